"""What is asked of the spool: which entries, in which order, and how many of which age."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

from umbcmail.address import addressMatches
from umbcmail.entry import Entry, Status, causeOf

AGES = (300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0, 19200.0, 38400.0, 86400.0)
"""Bounds of the ages, in seconds, that a summary counts by; the last column is what
is older than the last bound."""


class Sort(StrEnum):
    """What a listing is sorted by: all of them from the smallest, ties by id."""

    AGE = "age"
    DUE = "due"
    SIZE = "size"
    ID = "id"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a listing or an operator's order is about; all of the
    conditions that are given must hold.

    Addresses and domains are compared without regard to case.  An address may be
    C{*@domain}, C{<>} is the null sender.

    @ivar ids: ids of entries, or of messages (then all of their entries).
    @ivar queues: some of these classes.
    @ivar sender: the sender, or C{*@domain}.
    @ivar recipient: some waiting recipient, or C{*@domain}.
    @ivar domain: some waiting recipient is in this domain (lower case).
    @ivar held: only held, or only not held ones.
    @ivar claimed: only those that somebody has claimed, or only others.
    @ivar createdBefore: made before this, seconds since 1970.
    @ivar createdAfter: made at this time or later.
    @ivar sizeOver: octets of the content are more than this.
    @ivar sizeUnder: octets of the content are less than this.
    @ivar cause: the last reply of some waiting recipient, or the host that gave it,
        has this text in it, without regard to case.
    @ivar bounces: only delivery status notifications of ours, or only others.
    @ivar scoreOver: the spam score is known and more than this (of a notification:
        the score of the message that it is about).
    """

    ids: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    sender: str = ""
    recipient: str = ""
    domain: str = ""
    held: bool | None = None
    claimed: bool | None = None
    createdBefore: float | None = None
    createdAfter: float | None = None
    sizeOver: int | None = None
    sizeUnder: int | None = None
    cause: str = ""
    bounces: bool | None = None
    scoreOver: float | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether an entry is meant."""
        envelope, waiting = entry.envelope, [d for d in entry.deliveries if d.status is Status.WAITING]
        return (
            (not self.ids or entry.id in self.ids or envelope.id in self.ids)
            and (not self.queues or entry.queue in self.queues)
            and (not self.sender or addressMatches(self.sender, envelope.sender))
            and (not self.recipient or any(addressMatches(self.recipient, d.recipient.address) for d in waiting))
            and (not self.domain or any(d.recipient.domain == self.domain for d in waiting))
            and (self.held is None or entry.held == self.held)
            and (self.claimed is None or bool(entry.owner) == self.claimed)
            and (self.createdBefore is None or entry.created < self.createdBefore)
            and (self.createdAfter is None or entry.created >= self.createdAfter)
            and (self.sizeOver is None or envelope.size > self.sizeOver)
            and (self.sizeUnder is None or envelope.size < self.sizeUnder)
            and (not self.cause or any(self.cause.lower() in causeOf(d).lower() for d in waiting))
            and (self.bounces is None or entry.isBounce == self.bounces)
            and (self.scoreOver is None or (envelope.score is not None and envelope.score > self.scoreOver))
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A destination in a summary.

    @ivar lane: the destination, see L{laneOf}; C{""} is all of them together.
    @ivar ages: entries by age, one number for each of L{AGES} and one for older.
    """

    lane: str
    ages: tuple[int, ...]

    @property
    def total(self) -> int:
        """Entries."""
        return sum(self.ages)


def ageColumn(age: float) -> int:
    """Which number of L{Row.ages} an age counts in."""
    return bisect_right(AGES, age)
