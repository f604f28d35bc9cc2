"""Message content and the stable storage for it.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from twisted.internet.defer import Deferred

    from umbcmail.entry import Attempted, Change, Claim, Count, Crowd, DamagedEntry, Draft, Entry, Order
    from umbcmail.envelope import Envelope
    from umbcmail.outcome import Outcome
    from umbcmail.selection import Row, Selection, Sort


class IContent(Interface):
    """The octets of a message, header and body, with CRLF line ends and
    without dot-stuffing.  May be read more than once, at the same time too."""

    size = Attribute("Octets, an int.")
    data = Attribute("All of it as bytes when it is held in memory, else None.")

    def open() -> IContentReader:
        """Start to read.  @return: L{IContentReader}"""


class IContentReader(Interface):
    """Reads a content from its beginning, by pieces."""

    def read() -> Deferred[bytes]:
        """The next piece.  Not to be called while one is being read.

        @return: L{Deferred} of bytes, C{b""} at the end; fails with L{OSError}.
        """

    def close() -> None:
        """No more is wanted.  Must be called once, also after an error."""


class IContentWriter(Interface):
    """Takes content that is too large for memory, before its message is committed."""

    def write(data: bytes) -> Deferred[None]:
        """Add octets.  May be called again before the Deferred fires; who does
        not want to hold more in memory waits for it.

        @return: L{Deferred}; fails with C{SpoolError}.
        """

    def finish() -> Deferred[IContent]:
        """All has been written.

        @return: L{Deferred} of L{IContent}, which C{ISpool.commit} takes and
            which C{ISpool.discard} must be told of when it is not committed.
        """

    def abort() -> None:
        """Forget what has been written."""


class ISpool(Interface):
    """Stable storage for messages that can't be delivered at once.

    All times are seconds since 1970, given by the caller.  All Deferreds fire in
    the reactor's thread and may fail with C{SpoolError}; then nothing has changed.
    """

    owner = Attribute("Who claims here: unique among the living processes, a str.")

    def start() -> Deferred[None]:
        """Open it.  @return: L{Deferred}; fails with C{SpoolError}."""

    def stop() -> Deferred[None]:
        """Finish what has been asked for and close.  @return: L{Deferred}"""

    def isFull(size: int) -> bool:
        """Whether a message would be refused for want of room, as far as is known now:
        asks nobody, so that it can be called at any time.

        @param size: its octets, 0 where they are not known.
        @return: bool; False is no promise.
        """

    def newContent(messageId: str, size: int = ...) -> IContentWriter:
        """A place for large content.

        @param size: octets that are expected, 0 where they are not known.
        @return: L{IContentWriter}
        """

    def discard(content: IContent) -> None:
        """A finished content is not going to be committed; any L{IContent} may be
        given, also one that is held in memory.  @return: C{None}"""

    def commit(
        envelope: Envelope, content: IContent, drafts: Sequence[Draft], now: float, claim: bool = False
    ) -> Deferred[list[Claim]]:
        """Put a message on stable storage: when the Deferred fires it survives
        the loss of power.

        @param content: L{IContent}; if it came from C{newContent} the spool owns
            it from here on, whatever happens.
        @param drafts: sequence of C{Draft}, at least one.
        @param claim: the entries are claimed by the caller from the beginning.
        @return: L{Deferred} of a list of C{Claim}, in the order of the drafts
            (with token 0 when not claimed).
        """

    def claim(queue: str, limit: int, now: float, order: Order = ...) -> Deferred[list[Claim]]:
        """Take up to C{limit} entries of a class that are due, neither held nor
        claimed under a lease that still holds.  No two callers get the same.

        @param order: which of them come first, C{Order.DUE} unless said.
        @return: L{Deferred} of a list of C{Claim}, in that order.
        """

    def renew(claims: Sequence[Claim], now: float) -> Deferred[list[Claim]]:
        """Extend the leases of claims that the caller still works on.
        @return: L{Deferred} of a list of those that still hold, renewed."""

    def record(
        claim: Claim, change: Change, now: float, bounces: Iterable[tuple[Envelope, IContent, Draft]] = ()
    ) -> Deferred[None]:
        """Write down what an attempt has done and end the claim, in one step with
        the commit of C{bounces}.  When all deliveries are done the entry goes,
        and with its last entry the message.

        @param bounces: sequence of C{(Envelope, IContent, Draft)}.
        @return: L{Deferred}; fails with C{StaleClaim} when the claim does not
            hold any more; then nothing is changed and no bounce is committed.
        """

    def giveBack(claim: Claim, due: float) -> Deferred[None]:
        """End a claim without an attempt.  A stale one is no error.
        @return: L{Deferred}"""

    def hasten(queue: str, lanes: Sequence[str], limit: int, at: float) -> Deferred[int]:
        """What waits for some destinations may go sooner: up to C{limit} of the entries
        of these lanes (C{umbcmail.entry.laneOf}) that are neither held nor claimed, and
        would be due after a time, become due then, of each lane those first that came first.
        Where very many are due before not all are looked at.

        @return: L{Deferred} of how many.
        """

    def putOff(queue: str, crowds: Sequence[Crowd], limit: int, place: Any, now: float) -> Deferred[tuple[int, Any]]:
        """Much waits for some destinations in vain: of up to C{limit} entries of a class,
        in the order in which they are due, those of these lanes become due later, if
        they are neither held nor claimed, nor due since 1970 (see L{hasten}).  Those are left alone which also have
        recipients elsewhere, or a time by which they should be delivered; those whose
        senders are to be told of the delay become due for that.

        @param place: where to go on, as an earlier call has said; L{None}: from the beginning.
        @return: L{Deferred} of how many were put off, and where to go on, L{None} when
            nothing is left.
        """

    def content(entry: Entry) -> Deferred[IContent]:
        """The content of an entry.  @return: L{Deferred} of L{IContent}; fails
        with C{SpoolError} when it can't be read now, with C{ContentDamaged} when it
        never will."""

    def setAside(claim: Claim, why: str) -> Deferred[bool]:
        """End a claim on what is damaged: the entry is held and in C{damaged} from
        now on.  @return: L{Deferred} of whether the claim held; otherwise nothing is
        changed."""

    def nextDue(queue: str) -> Deferred[float | None]:
        """When the next entry of a class is due that is neither held nor claimed.
        @return: L{Deferred} of a float, or None when there is none."""

    def listing(selection: Selection, limit: int, sort: Sort = ..., after: str = "") -> Deferred[list[Entry]]:
        """Entries, sorted, by pages.  Those that can't be read are put aside (L{damaged}),
        unless somebody has claimed them.

        @param sort: C{Sort.AGE} unless said: the oldest first.
        @param after: id of the last entry of the page before; C{""}: from the beginning.
        @return: L{Deferred} of a list of C{Entry}, shorter where some can't be read;
            fails with C{SpoolError} when C{after} is not there any more.
        """

    def history(id: str) -> Deferred[list[Attempted]]:
        """What came of the last attempts at an entry, the oldest first.

        @return: L{Deferred}; an empty list also when there is no such entry.
        """

    def count(selection: Selection) -> Deferred[int]:
        """@return: L{Deferred} of how many entries there are."""

    def summary(selection: Selection, limit: int, now: float) -> Deferred[list[Row]]:
        """How many entries of which age wait for which destination.

        @param limit: destinations at most, those with most entries come first.
        @return: L{Deferred} of a list of C{Row}; the first one is of all
            destinations together and always there.
        """

    def counts(now: float) -> Deferred[dict[str, Count]]:
        """@return: L{Deferred} of a dict from class name to C{Count}; classes
        without entries may be missing."""

    def retry(selection: Selection, now: float) -> Deferred[int]:
        """Make entries due now.  @return: L{Deferred} of how many."""

    def hold(selection: Selection) -> Deferred[int]:
        """Put entries aside; an attempt under way may finish.
        @return: L{Deferred} of how many."""

    def release(selection: Selection, now: float) -> Deferred[int]:
        """Take entries back that are held, due now; their age counts from now, so
        that what was held for long is not given up at once.
        @return: L{Deferred} of how many."""

    def move(selection: Selection, queue: str) -> Deferred[int]:
        """Move entries to another class; due times stay.  Claimed entries are
        left out.  @return: L{Deferred} of how many."""

    def giveUp(selection: Selection, outcome: Outcome, now: float) -> Deferred[int]:
        """The waiting recipients have failed with this outcome; the entries are due
        now, so that a runner tells their senders, and not held any more.  Claimed
        entries are left out.  @return: L{Deferred} of how many entries."""

    def readdress(selection: Selection, old: str, new: str, now: float) -> Deferred[int]:
        """A waiting recipient gets another address, and the entry is due now.  Claimed
        entries are left out, and those that have no such recipient.  The class stays.
        An address that the entry waits for already is not there twice.

        @param old: address, or C{*@domain}.
        @param new: address, or C{*@domain} (the local part stays).
        @return: L{Deferred} of how many entries.
        """

    def remove(selection: Selection) -> Deferred[int]:
        """Remove entries for good, claimed ones too (their claims become stale).
        @return: L{Deferred} of how many."""

    def damaged() -> Deferred[list[DamagedEntry]]:
        """What can't be read and has been put aside.  @return: L{Deferred}"""

    def repair(ids: Sequence[str], folder: str, now: float) -> Deferred[int]:
        """Save what is left of damaged entries in a folder (for each the rows as JSON
        and the content), and take them out of the spool; or take them into
        service again if they can be read now.

        @param ids: of damaged entries, all of them when empty.
        @return: L{Deferred} of how many; fails with C{SpoolError} when they could not
            be saved.
        """

    def recover(now: float) -> Deferred[int]:
        """Free what processes that have ended had claimed, and remove content
        that never got its message.  @return: L{Deferred} of how many entries
        were freed."""
