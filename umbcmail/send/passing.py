"""What a next hop is told of the time that a message should be delivered by.

Made by an attempt for a message with such a time (RFC 2852), asked by each of its
transactions right before MAIL is said: what is left is counted down until then.
By LMTP it is delivered, whether the server knows the extension or not.
"""

from __future__ import annotations

from collections.abc import Callable

from umbcmail.deliverby import DeliverBy
from umbcmail.reply import EXPIRED, Reply
from umbcmail.send.commands import Extensions
from umbcmail.send.problems import NEEDS_DELIVERBY, NEEDS_MORE_TIME

MOST = 999_999_999
"""The by-time has nine digits."""


class Passing:
    """The time of one message.

    @param now: gives seconds since 1970.
    """

    def __init__(self, by: DeliverBy, now: Callable[[], float]) -> None:
        self._by = by
        self._now = now

    def parameter(self, offered: Extensions, isDelivery: bool) -> bytes | Reply:
        """The parameter BY with a blank before it, or C{b""}; or why this server
        can't have the message.  With C{EXPIRED} no other can.

        @param isDelivery: the server is the last one.
        """
        by = self._by
        left = int(max(-MOST, min(by.until - self._now(), MOST)) // 1)
        if by.returns and left <= 0:
            return EXPIRED
        if not offered.deliverBy:
            return NEEDS_DELIVERBY if by.returns and not isDelivery else b""
        if by.returns and left < offered.leastBy:
            return NEEDS_MORE_TIME
        return b" BY=%d;%b" % (left, by.mode.encode())

    def isTold(self, offered: Extensions, isDelivery: bool) -> bool:
        """Whether the sender is to hear that it has been passed on: with T always,
        and in mode N where the server will not tell of a delay (section 4.1.4)."""
        by = self._by
        return not isDelivery and (by.trace or not (by.returns or offered.deliverBy))
