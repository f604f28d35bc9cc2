"""What the spool keeps: entries, the state of their recipients, and claims.

An entry is one message in one queue class.  A message whose recipients fall in
several classes is several entries that share one content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from umbcmail.address import addressMatches
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome

DEAD = "dead"
"""The class of what has failed and has nobody to be told."""
REMEMBERED = 20
"""Past attempts that an entry remembers; older ones are forgotten first."""


class Status(StrEnum):
    """How far a recipient has come.

    C{WAITING}: to be tried (again).  C{FAILED}: failed for good, the sender has
    not been told yet.  C{DONE}: sent, or failed and the sender told.
    """

    WAITING = "waiting"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A recipient and what has been done for it.

    @ivar recipient: whom.
    @ivar status: see L{Status}.
    @ivar attempts: real attempts so far.
    @ivar outcome: the last one, or L{None} before the first attempt.
    @ivar at: seconds since 1970 when that one was recorded, 0 before; of one that
        waits to be met again (C{Outcome.again}) when it was met first.
    """

    recipient: Recipient
    status: Status = Status.WAITING
    attempts: int = 0
    outcome: Outcome | None = None
    at: float = field(default=0.0, compare=False)

    def after(self, outcome: Outcome, at: float = 0.0) -> Delivery:
        """This delivery after one more attempt, or after none (C{Outcome.postponed}).
        @param at: its end."""
        if outcome.postponed:
            return self if self.outcome is not None else replace(self, outcome=outcome, at=at)
        if outcome.isSent:
            status = Status.DONE
        elif outcome.isFailed:
            status = Status.FAILED
        else:
            status = Status.WAITING
        if outcome.again and outcome == self.outcome:
            at = min(self.at, at)
        return Delivery(self.recipient, status, self.attempts + 1, outcome, at)

    def givenUp(self, outcome: Outcome, at: float) -> Delivery:
        """This delivery when it waits no longer, without another attempt."""
        if self.status is not Status.WAITING:
            return self
        return replace(self, status=Status.FAILED, outcome=outcome, at=at)

    @property
    def isAction(self) -> bool:
        """A program or a file gets it, not a mailbox."""
        return self.recipient.origin is not None and bool(self.recipient.origin.action)

    def readdressed(self, old: str, new: str) -> Delivery:
        """This delivery to another address if it waits, is to the old one, and to a mailbox.

        @param old: address, or C{*@domain}.
        @param new: address, or C{*@domain} (the local part stays).
        """
        recipient = self.recipient
        if self.status is not Status.WAITING or self.isAction or not addressMatches(old, recipient.address):
            return self
        address = recipient.address.rpartition("@")[0] + new[1:] if new.startswith("*@") else new
        return replace(self, recipient=recipient.readdressed(address))


def readdressed(deliveries: Sequence[Delivery], old: str, new: str) -> tuple[Delivery, ...]:
    """Deliveries with another address in place of one, see L{Delivery.readdressed}.  An
    address that others of them wait for already is not there twice."""
    pairs = [(delivery, delivery.readdressed(old, new)) for delivery in deliveries]
    waiting = [pair for pair in pairs if pair[0].status is Status.WAITING and not pair[0].isAction]
    there = [before for before, after in waiting if before is after]
    found = []
    for before, after in pairs:
        if before is not after:
            if any(addressMatches(after.recipient.address, other.recipient.address) for other in there):
                continue
            there.append(after)
        found.append(after)
    return tuple(found)


def causeOf(delivery: Delivery) -> str:
    """What L{Selection} compares a cause with: the host and its last reply."""
    outcome = delivery.outcome
    return "" if outcome is None else f"{outcome.host} {outcome.reply}"


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of an attempt, as an entry remembers it.

    @ivar at: seconds since 1970 of its end.
    @ivar count: recipients for whom it was the same.
    @ivar address: one of them.
    @ivar outcome: what the other side, or ourselves, said.
    """

    at: float
    count: int
    address: str
    outcome: Outcome


def attemptedOf(deliveries: Sequence[Delivery], at: float) -> tuple[Attempted, ...]:
    """What came of an attempt for these recipients, each outcome once.

    @param deliveries: after the attempt; those without an outcome are left out.
    """
    seen: dict[tuple[str, str, str], Attempted] = {}
    for delivery in deliveries:
        outcome = delivery.outcome
        if outcome is not None:
            key = (str(outcome.reply), outcome.host, outcome.command)
            known = seen.get(key)
            count, address = (known.count + 1, known.address) if known else (1, delivery.recipient.address)
            seen[key] = Attempted(at, count, address, outcome)
    return tuple(seen.values())


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be committed.

    @ivar queue: the queue class.
    @ivar deliveries: at least one; those that are DONE are left out by the spool.
    @ivar due: seconds since 1970 of the next attempt.
    @ivar held: it is put aside from the beginning.
    """

    queue: str
    deliveries: tuple[Delivery, ...]
    due: float
    held: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is in the spool.

    @ivar id: the message's id, with C{.2}, C{.3} … behind it where a message
        has several entries, and C{.7-1}, C{.7-2} … behind that of those that were made
        of another entry later.
    @ivar queue: the queue class that it is in.
    @ivar envelope: its recipients are those of C{deliveries}.
    @ivar deliveries: those that are not DONE.
    @ivar created: seconds since 1970; expiry counts from here (of a message that
        is held by its sender's wish, or was by an operator's, it is the time of
        release).
    @ivar due: seconds since 1970 of the next attempt.
    @ivar attempts: attempts so far.
    @ivar held: it is put aside: by an operator, or for what C{envelope.hold} says.
    @ivar warned: the sender has been told of the delay.
    @ivar owner: who has claimed it, C{""} for nobody.
    """

    id: str
    queue: str
    envelope: Envelope
    deliveries: tuple[Delivery, ...]
    created: float
    due: float
    attempts: int = 0
    held: bool = False
    warned: bool = False
    owner: str = ""

    @property
    def isBounce(self) -> bool:
        """A delivery status notification of ours."""
        return self.envelope.agent == "bounce"

    @property
    def lane(self) -> str:
        """The destination that it waits for in its class, see L{laneOf}."""
        return laneOf(self.deliveries)

    @property
    def heldBecause(self) -> str:
        """Why it is put aside, C{""}: it is not, or by an operator."""
        envelope = self.envelope
        if self.held and self.queue == DEAD:
            return "a dead letter, nobody is told of it"
        return envelope.hold if self.held and any(map(envelope.isHeldFor, envelope.recipients)) else ""


def laneOf(deliveries: Sequence[Delivery]) -> str:
    """The destination of an entry, that what is kept back together is found by: the
    domain of its first waiting recipient, in lower case, C{""} when none waits."""
    for delivery in deliveries:
        if delivery.status is Status.WAITING:
            return delivery.recipient.domain
    return ""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on an entry until the lease ends.

    @ivar entry: as it was when it was claimed.
    @ivar token: fencing token, larger for each new claim of the entry; what an
        older claim writes is refused.
    @ivar lease: seconds since 1970 until when it holds unless renewed.
    """

    entry: Entry
    token: int
    lease: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Entries that wait for a destination in vain, and are to be put off.

    @ivar lane: the destination.
    @ivar before: those are meant that are due before this time.
    @ivar begin: when the first of them is due instead.
    @ivar step: seconds from one to the next.
    @ivar why: what is kept for recipients of which there is no outcome yet.
    @ivar warn: age at which their senders are told of a delay, 0: not at all.
    """

    lane: str
    before: float
    begin: float
    step: float
    why: Outcome
    warn: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What an attempt has changed in a claimed entry; ends the claim.

    @ivar deliveries: all of the entry's; when all are DONE the entry goes.
    @ivar due: when to try again.
    @ivar attempts: how many there have been now.
    @ivar warned: the sender has been told of the delay.
    @ivar history: what came of this attempt; the entry remembers the last
        L{REMEMBERED} of all its attempts.
    @ivar queue: the class that it goes into, C{""}: it stays where it is.
    @ivar held: it is put aside.
    @ivar also: ids of other entries of the same message that go with this record,
        as far as nobody has claimed them: what there was to tell of them is told.
    @ivar drafts: more entries of the same message, made with this record: recipients
        of it that have become others, in other classes.
    """

    deliveries: tuple[Delivery, ...]
    due: float
    attempts: int
    warned: bool = False
    history: tuple[Attempted, ...] = ()
    queue: str = ""
    held: bool = False
    also: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()


class Order(StrEnum):
    """Which of the entries that are due come first, among the next L{WINDOW} by
    the time when they are due.

    C{DUE}: what has been due for longest; but where there is more than is wanted, one of
    L{LATEST} is what has become due last, so that it is not behind a crowd that may
    take long.  C{AGE}: the oldest message.  C{HOST}: by
    destination, so that connections are used again.  C{PRIORITY}: the smallest
    message with the fewest attempts.  C{RANDOM}: any.
    """

    DUE = "due"
    AGE = "age"
    HOST = "host"
    PRIORITY = "priority"
    RANDOM = "random"


LATEST = 4
"""One of so many is what has become due last, see L{Order}."""
WINDOW = 1000
"""Entries that L{Order} looks at: those that follow wait their turn however old they are."""


@dataclass(frozen=True, slots=True)
class DamagedEntry:
    """What can't be read, and has been put aside.

    @ivar id: of the entry.
    @ivar why: what is wrong with it, for the operator.
    """

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries a queue class holds.

    @ivar waiting: neither held nor claimed.
    @ivar claimed: being worked on.
    @ivar held: put aside.
    @ivar oldest: seconds since 1970 when the oldest was made, or L{None}.
    """

    waiting: int = 0
    claimed: int = 0
    held: int = 0
    oldest: float | None = field(default=None)


class SpoolError(Exception):
    """The spool can't do what it was asked for; nothing has changed."""


class SpoolFull(SpoolError):
    """There is no room left (space, inodes or quota)."""


class ContentDamaged(SpoolError):
    """The content of a message is not there, or not whole; trying again does not help."""


class StaleClaim(SpoolError):
    """The claim has been taken over, or its entry has been removed."""
