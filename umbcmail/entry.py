"""What the spool keeps: entries, the state of their recipients, and claims.

An entry is one message in one queue class.  A message whose recipients fall in
several classes is several entries that share one content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome


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
    """

    recipient: Recipient
    status: Status = Status.WAITING
    attempts: int = 0
    outcome: Outcome | None = None

    def after(self, outcome: Outcome) -> Delivery:
        """This delivery after one more attempt."""
        if outcome.isSent:
            status = Status.DONE
        elif outcome.isFailed:
            status = Status.FAILED
        else:
            status = Status.WAITING
        return Delivery(self.recipient, status, self.attempts + 1, outcome)


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
        has several entries.
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
    def heldBecause(self) -> str:
        """Why it is put aside, C{""}: it is not, or by an operator."""
        envelope = self.envelope
        return envelope.hold if self.held and any(map(envelope.isHeldFor, envelope.recipients)) else ""


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
class Change:
    """What an attempt has changed in a claimed entry; ends the claim.

    @ivar deliveries: all of the entry's; when all are DONE the entry goes.
    @ivar due: when to try again.
    @ivar attempts: how many there have been now.
    @ivar warned: the sender has been told of the delay.
    """

    deliveries: tuple[Delivery, ...]
    due: float
    attempts: int
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a listing or an operator's order is about; all of the
    conditions that are given must hold.

    @ivar ids: ids of entries, or of messages (then all of their entries).
    @ivar queue: a queue class.
    @ivar domain: some waiting recipient is in this domain (lower case).
    @ivar held: only held, or only not held ones.
    @ivar createdBefore: made before this, seconds since 1970.
    """

    ids: tuple[str, ...] = ()
    queue: str = ""
    domain: str = ""
    held: bool | None = None
    createdBefore: float | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether an entry is meant."""
        return (
            (not self.ids or entry.id in self.ids or entry.envelope.id in self.ids)
            and (not self.queue or entry.queue == self.queue)
            and (not self.domain or any(d.recipient.domain == self.domain for d in entry.deliveries))
            and (self.held is None or entry.held == self.held)
            and (self.createdBefore is None or entry.created < self.createdBefore)
        )


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


class StaleClaim(SpoolError):
    """The claim has been taken over, or its entry has been removed."""
