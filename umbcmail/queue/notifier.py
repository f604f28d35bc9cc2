"""Whether the sender is told, and by which message.

Asked by `settlement` with what has become of some recipients.  The null sender is
never told anything (RFC 5321 section 6.1), nor is the sender of a message that is
spam, who has most likely not sent it; and nobody is told more often in an hour than
the rate allows, as a forged address would bury its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umbcmail.address import domainOf
from umbcmail.content import MemoryContent
from umbcmail.entry import DEAD, Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, IRouter
from umbcmail.maillog import MailLog
from umbcmail.options import TEXT, Option, Section, choice, duration, integer, number, size
from umbcmail.queue.bounce import bounceContent
from umbcmail.queue.report import FULL_LIMIT, Report, wants

BOUNCE = Section(
    "bounce",
    "Notifications for senders, of what has become of their mail.",
    (
        Option("contact", TEXT, "", "A sentence for people that says whom they can ask; empty: nobody is named."),
        Option(
            "gather",
            duration(0, 3600),
            "2m",
            "How long a failure waits for other classes to end their first attempt at the message.",
        ),
        Option("return-size", size(0, 1 << 20), FULL_LIMIT, "Octets up to which a message is returned whole."),
        Option("spam-score", number(0), 10, "Spam score over which nobody is told; 0: it does not matter."),
        Option("rate", integer(0), 30, "Notifications to one address in an hour, by each process; 0: any number."),
        Option(
            "over-rate", choice("drop", "keep"), "drop", "What is done with others: nothing, or kept as dead letters."
        ),
        Option(
            "dead-letters",
            integer(0, 1_000_000),
            1000,
            "Messages that can't be delivered and have no sender to be told, to be kept in class dead; 0: none.",
        ),
        Option("dead-age", duration(60), "7d", "How long they are kept."),
    ),
)

HOUR = 3600.0
REMEMBERED = 10_000
"""Addresses whose notifications are counted."""

Bounce = tuple[Envelope, IContent, Draft]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for notifications; see the options of L{BOUNCE}.

    @ivar score: spam score over which nobody is told; 0: none.
    @ivar rate: in an hour; 0: any.
    @ivar keeps: those over the rate become dead letters.
    @ivar deadLetters: how many may be kept.
    @ivar deadAge: seconds.
    """

    contact: str = ""
    gather: float = 120.0
    limit: int = FULL_LIMIT
    score: float = 10.0
    rate: int = 30
    keeps: bool = False
    deadLetters: int = 1000
    deadAge: float = 604_800.0


def termsOf(section: Mapping[str, Any]) -> Terms:
    """The terms of a configuration."""
    return Terms(
        section["contact"],
        section["gather"],
        section["return-size"],
        section["spam-score"],
        section["rate"],
        section["over-rate"] == "keep",
        section["dead-letters"],
        section["dead-age"],
    )


USUAL = Terms()


class Allowance:
    """A token bucket for each of many keys; those unused for longest are forgotten."""

    def __init__(self, rate: int) -> None:
        """
        @param rate: tokens in an hour, and the most that are left; 0: any number.
        """
        self._rate = rate
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key: str, now: float) -> bool:
        """Take a token.  @return: there was one."""
        if not self._rate:
            return True
        left, since = self._left.pop(key, (float(self._rate), now))
        left = min(float(self._rate), left + max(0.0, now - since) * self._rate / HOUR)
        isThere = left >= 1.0
        self._left[key] = (left - 1.0 if isThere else left, now)
        if len(self._left) > REMEMBERED:
            del self._left[next(iter(self._left))]
        return isThere


class Notifier:
    """Makes the notifications.

    @ivar terms: what holds for them.
    """

    def __init__(self, hostName: str, router: IRouter, log: MailLog, newId: Callable[[], str], terms: Terms) -> None:
        """
        @param newId: makes ids.
        """
        self.terms = terms
        self._hostName = hostName
        self._router = router
        self._log = log
        self._newId = newId
        self._allowance = Allowance(terms.rate)

    def made(
        self,
        action: str,
        deliveries: tuple[Delivery, ...],
        original: tuple[bytes, bool],
        about: str,
        envelope: Envelope,
        now: float,
        until: float,
    ) -> Bounce | None:
        """The message to the sender, or L{None} when there is nobody to be told.

        @param action: see L{Report}.
        @param original: the beginning of the message, and whether that is all of it.
        @param about: id for the log.
        @param until: until when it is going to be tried.
        """
        told = tuple(d for d in deliveries if wants(d.recipient, action, bool(envelope.deliverBy)))
        if not told or not envelope.sender or self._isSpam(about, envelope, told):
            return None
        draft = Draft(self._router.classify(domainOf(envelope.sender)), (Delivery(Recipient(envelope.sender)),), now)
        if not self._allowance.take(envelope.sender.lower(), now):
            why = f"the sender has been told {self.terms.rate} times in an hour"
            self._log.notTold(about, envelope.sender, len(told), action, why)
            if not (self.terms.keeps and self.terms.deadLetters):
                return None
            draft = Draft(DEAD, draft.deliveries, now, held=True)
        id = f"{self._newId()}-1"
        report = Report(id, self._hostName, action, envelope, told, now, until, self.terms.contact, self.terms.limit)
        data = bounceContent(report, *original)
        bounce = Envelope(
            id,
            "",
            (Recipient(envelope.sender),),
            now,
            size=len(data),
            agent="bounce",
            body="7BIT" if data.isascii() else "8BITMIME",
            smtputf8=report.isWide,
            requireTLS=envelope.requireTLS,
            score=envelope.score,
        )
        self._log.bounced(about, id, envelope.sender, len(told), action)
        return bounce, MemoryContent(data), draft

    def all(
        self,
        told: Iterable[tuple[str, tuple[Delivery, ...]]],
        original: tuple[bytes, bool],
        about: str,
        envelope: Envelope,
        now: float,
        until: float,
    ) -> list[Bounce]:
        """The notifications, one for each action and for each who is told."""
        found = [
            self.made(action, some, original, about, whose, now, until)
            for action, deliveries in told
            for whose, some in _bySender(envelope, deliveries)
        ]
        return [bounce for bounce in found if bounce is not None]

    def _isSpam(self, about: str, envelope: Envelope, told: tuple[Delivery, ...]) -> bool:
        limit, score = self.terms.score, envelope.score
        if not limit or score is None or score <= limit:
            return False
        self._log.notTold(about, envelope.sender, len(told), "", f"the message has a spam score of {score:g}")
        return True


def successes(deliveries: Sequence[Delivery]) -> list[tuple[str, tuple[Delivery, ...]]]:
    """Who has got the message and is to be told of, by action."""
    told = [(d, d.outcome) for d in deliveries if d.outcome is not None and d.outcome.isTold]
    found = (
        ("relayed", tuple(d for d, outcome in told if outcome.relayed)),
        ("delivered", tuple(d for d, outcome in told if outcome.delivered)),
        ("expanded", tuple(d for d, outcome in told if outcome.expanded)),
    )
    return [(action, some) for action, some in found if some]


def _bySender(envelope: Envelope, deliveries: Sequence[Delivery]) -> Iterable[tuple[Envelope, tuple[Delivery, ...]]]:
    """Who is told of what: the owner of a list hears of its members."""
    found: dict[Envelope, list[Delivery]] = {}
    for delivery in deliveries:
        found.setdefault(envelope.toward(delivery.recipient), []).append(delivery)
    return [(whose, tuple(some)) for whose, some in found.items()]
