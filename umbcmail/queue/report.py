"""What a delivery status notification is about, and who wants it.  Pure.

`settlement` asks L{wants}, `bounce` and `bouncetext` make the notification.
"""

from __future__ import annotations

from dataclasses import dataclass

from umbcmail.deliverby import isLate
from umbcmail.entry import Delivery
from umbcmail.envelope import Envelope, Recipient
from umbcmail.reply import EXPIRED, GIVEN_UP, LATE, NOT_TRIED, Reply

FULL_LIMIT = 50_000
"""Octets up to which the whole message is returned, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told.

    @ivar id: of the notification.
    @ivar hostName: who tells it.
    @ivar action: C{"failed"}, C{"delayed"}, C{"relayed"}, C{"delivered"} or C{"expanded"} (RFC 3464
        section 2.3.3).
    @ivar envelope: of the message that it is about.
    @ivar deliveries: whom it is about, with the last outcomes.  One that has failed
        though its last outcome says "later" has been given up by ourselves.
    @ivar now: seconds since 1970.
    @ivar until: until when it will be tried, seconds since 1970.
    @ivar contact: whom people can ask, C{""}: nobody is named.
    @ivar limit: octets up to which the whole message is returned.
    """

    id: str
    hostName: str
    action: str
    envelope: Envelope
    deliveries: tuple[Delivery, ...]
    now: float
    until: float
    contact: str = ""
    limit: int = FULL_LIMIT

    @property
    def isWide(self) -> bool:
        """It goes by SMTPUTF8, since its recipient has such an address."""
        return not self.envelope.sender.isascii()


def wants(recipient: Recipient, action: str, isTimed: bool = False) -> bool:
    """Whether the sender wants to hear of this (RFC 3461 section 5.2.6).

    @param isTimed: it has a time to be delivered by, so that passing it on is
        told of unless that is forbidden (RFC 2852 section 4.1.4).
    """
    words = recipient.notify.split(",")
    if isTimed and action == "relayed":
        return words != ["NEVER"]
    if action in ("relayed", "delivered", "expanded"):
        return "SUCCESS" in words
    return not recipient.notify or ("FAILURE" if action == "failed" else "DELAY") in words


def ownReason(report: Report, delivery: Delivery) -> Reply | None:
    """Our own reason for what is told, where it is not the last outcome alone."""
    outcome, by = delivery.outcome, report.envelope.deliverBy
    if report.action == "failed" and (outcome is None or not outcome.isFailed):
        # The class is that of what kept it waiting (RFC 3463 section 2): sent again it may pass.
        return EXPIRED if by else GIVEN_UP
    if report.action == "delayed":
        if by and isLate(by, report.now):
            return LATE
        return NOT_TRIED if outcome is None else None
    return None
