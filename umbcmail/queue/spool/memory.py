"""The spool in memory: for tests and simulations; nothing survives the process.

Passes the same contract tests as the one on disk.  Several L{MemorySpool}s with
one L{MemoryStore} are what several processes with one folder are.  All Deferreds
have fired when they are returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from umbcmail.content import MemoryContent
from umbcmail.entry import Change, Claim, Count, Draft, Entry, Selection, SpoolError, StaleClaim
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent, IContentWriter, ISpool
from umbcmail.queue.spool.records import checkId, firstEntry, waiting

Result = TypeVar("Result")


@dataclass(slots=True)
class _Kept:
    """An entry, and the claim on it."""

    entry: Entry
    token: int
    lease: float


@dataclass(slots=True)
class MemoryStore:
    """What several spools share.

    @ivar contents: by id of the message.
    @ivar entries: by id, the oldest first unless clocks went backwards.
    @ivar living: owners that have started and not stopped.
    """

    contents: dict[str, IContent] = field(default_factory=dict)
    entries: dict[str, _Kept] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)

    def matching(self, selection: Selection) -> list[_Kept]:
        """What a selection means."""
        return [kept for kept in self.entries.values() if selection.matches(kept.entry)]

    def delete(self, entry: Entry) -> None:
        """Delete an entry, and its message if it was the last."""
        del self.entries[entry.id]
        message = entry.envelope.id
        if not any(kept.entry.envelope.id == message for kept in self.entries.values()):
            del self.contents[message]


def _deferred(method: Callable[..., Result]) -> Callable[..., Deferred[Result]]:
    """Calls of the interface give Deferreds, and none but C{SpoolError} fails them."""

    @wraps(method)
    def call(self: MemorySpool, *args: Any, **named: Any) -> Deferred[Result]:
        if self.owner not in self._store.living:
            return fail(SpoolError("the spool is not open"))
        try:
            return succeed(method(self, *args, **named))
        except SpoolError as why:
            return fail(why)

    return call


@implementer(ISpool)
class MemorySpool:
    """See L{ISpool}.

    @param owner: unique among those that share the store.
    @param lease: seconds that a claim holds unless renewed.
    @param store: what is shared, or L{None} for one of its own.
    """

    def __init__(self, owner: str, lease: float = 600.0, store: MemoryStore | None = None) -> None:
        self.owner = owner
        self._lease = lease
        self._store = store or MemoryStore()

    def start(self) -> Deferred[None]:
        """See L{ISpool.start}."""
        if self.owner in self._store.living:
            return fail(SpoolError(f"another one uses the spool as {self.owner}"))
        self._free({self.owner})
        self._store.living.add(self.owner)
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See L{ISpool.stop}."""
        self._store.living.discard(self.owner)
        return succeed(None)

    def newContent(self, messageId: str) -> IContentWriter:
        """See L{ISpool.newContent}."""
        return _MemoryWriter(messageId, self.owner in self._store.living)

    def discard(self, content: IContent) -> None:
        """See L{ISpool.discard}."""

    @_deferred
    def commit(
        self, envelope: Envelope, content: IContent, drafts: Sequence[Draft], now: float, claim: bool = False
    ) -> list[Claim]:
        """See L{ISpool.commit}."""
        entries = self._drafted(envelope, drafts, now, self.owner if claim else "")
        lease, token = (now + self._lease, 1) if claim else (0.0, 0)
        self._keep(content, entries, token, lease)
        return [Claim(entry, token, lease) for entry in entries]

    def _drafted(self, envelope: Envelope, drafts: Sequence[Draft], now: float, owner: str) -> list[Entry]:
        if checkId(envelope.id) in self._store.contents:
            raise SpoolError(f"{envelope.id} is in the spool already")
        if not drafts:
            raise SpoolError(f"{envelope.id} has no entries")
        return [firstEntry(envelope, number, draft, now, owner) for number, draft in enumerate(drafts)]

    def _keep(self, content: IContent, entries: list[Entry], token: int, lease: float) -> None:
        self._store.contents[entries[0].envelope.id] = content
        for entry in entries:
            self._store.entries[entry.id] = _Kept(entry, token, lease)

    @_deferred
    def claim(self, queue: str, limit: int, now: float) -> list[Claim]:
        """See L{ISpool.claim}."""
        due = [
            kept
            for kept in self._store.entries.values()
            if kept.entry.queue == queue and kept.entry.due <= now and not kept.entry.held
            if not kept.entry.owner or kept.lease <= now
        ]
        due.sort(key=lambda kept: (kept.entry.due, kept.entry.id))
        return [self._claimed(kept, now + self._lease) for kept in due[: max(limit, 0)]]

    def _claimed(self, kept: _Kept, lease: float) -> Claim:
        kept.entry = replace(kept.entry, owner=self.owner)
        kept.token += 1
        kept.lease = lease
        return Claim(kept.entry, kept.token, lease)

    def _held(self, claim: Claim) -> _Kept | None:
        """What a claim is on, if it holds."""
        kept = self._store.entries.get(claim.entry.id)
        if kept is None or kept.entry.owner != self.owner or kept.token != claim.token or not claim.token:
            return None
        return kept

    @_deferred
    def renew(self, claims: Sequence[Claim], now: float) -> list[Claim]:
        """See L{ISpool.renew}."""
        good = [(claim, kept) for claim in claims if (kept := self._held(claim)) is not None]
        for _, kept in good:
            kept.lease = now + self._lease
        return [replace(claim, lease=now + self._lease) for claim, _ in good]

    @_deferred
    def record(
        self, claim: Claim, change: Change, now: float, bounces: Iterable[tuple[Envelope, IContent, Draft]] = ()
    ) -> None:
        """See L{ISpool.record}."""
        kept = self._held(claim)
        if kept is None:
            raise StaleClaim(f"{claim.entry.id}: taken over, or removed")
        drafted = [(content, self._drafted(envelope, [draft], now, "")) for envelope, content, draft in bounces]
        for content, entries in drafted:
            self._keep(content, entries, 0, 0.0)
        left = waiting(change.deliveries)
        if not left:
            self._store.delete(kept.entry)
            return
        envelope = kept.entry.envelope.withRecipients(tuple([delivery.recipient for delivery in left]))
        kept.entry = replace(
            kept.entry,
            envelope=envelope,
            deliveries=left,
            due=change.due,
            attempts=change.attempts,
            warned=change.warned,
            owner="",
        )

    @_deferred
    def giveBack(self, claim: Claim, due: float) -> None:
        """See L{ISpool.giveBack}."""
        kept = self._held(claim)
        if kept is not None:
            kept.entry = replace(kept.entry, owner="", due=due)

    @_deferred
    def content(self, entry: Entry) -> IContent:
        """See L{ISpool.content}."""
        if entry.envelope.id not in self._store.contents:
            raise SpoolError(f"{entry.envelope.id} is not in the spool")
        return self._store.contents[entry.envelope.id]

    @_deferred
    def nextDue(self, queue: str) -> float | None:
        """See L{ISpool.nextDue}."""
        entries = [kept.entry for kept in self._store.entries.values()]
        return min([e.due for e in entries if e.queue == queue and not e.held and not e.owner], default=None)

    @_deferred
    def listing(self, selection: Selection, limit: int) -> list[Entry]:
        """See L{ISpool.listing}."""
        found = [kept.entry for kept in self._store.matching(selection)]
        return sorted(found, key=lambda entry: (entry.created, entry.id))[:limit]

    @_deferred
    def counts(self, now: float) -> dict[str, Count]:
        """See L{ISpool.counts}."""
        counts: dict[str, Count] = {}
        for kept in self._store.entries.values():
            entry = kept.entry
            old = counts.get(entry.queue, Count())
            busy = not entry.held and bool(entry.owner) and kept.lease > now
            counts[entry.queue] = Count(
                old.waiting + (not entry.held and not busy),
                old.claimed + busy,
                old.held + entry.held,
                entry.created if old.oldest is None else min(old.oldest, entry.created),
            )
        return counts

    def _change(self, kept: list[_Kept], **values: Any) -> int:
        for each in kept:
            each.entry = replace(each.entry, **values)
        return len(kept)

    @_deferred
    def retry(self, selection: Selection, now: float) -> int:
        """See L{ISpool.retry}."""
        return self._change(self._store.matching(selection), due=now)

    @_deferred
    def hold(self, selection: Selection) -> int:
        """See L{ISpool.hold}."""
        found = [kept for kept in self._store.matching(selection) if not kept.entry.held]
        return self._change(found, held=True)

    @_deferred
    def release(self, selection: Selection, now: float) -> int:
        """See L{ISpool.release}."""
        found = [kept for kept in self._store.matching(selection) if kept.entry.held]
        return self._change(found, held=False, due=now, created=now)

    @_deferred
    def move(self, selection: Selection, queue: str) -> int:
        """See L{ISpool.move}."""
        found = [k for k in self._store.matching(selection) if not k.entry.owner and k.entry.queue != queue]
        return self._change(found, queue=queue)

    @_deferred
    def remove(self, selection: Selection) -> int:
        """See L{ISpool.remove}."""
        found = self._store.matching(selection)
        for kept in found:
            self._store.delete(kept.entry)
        return len(found)

    @_deferred
    def recover(self, now: float) -> int:
        """See L{ISpool.recover}."""
        owners = {kept.entry.owner for kept in self._store.entries.values()}
        return self._free(owners - self._store.living)

    def _free(self, dead: set[str]) -> int:
        freed = [kept for kept in self._store.entries.values() if kept.entry.owner and kept.entry.owner in dead]
        return self._change(freed, owner="")


@implementer(IContentWriter)
class _MemoryWriter:
    """Large content in memory all the same."""

    def __init__(self, messageId: str, isOpen: bool) -> None:
        self._pieces: list[bytes] = []
        self._problem: SpoolError | None = None if isOpen else SpoolError("the spool is not open")
        try:
            checkId(messageId)
        except SpoolError as why:
            self._problem = why

    def write(self, data: bytes) -> Deferred[None]:
        """See L{IContentWriter.write}."""
        if self._problem is not None:
            return fail(self._problem)
        self._pieces.append(data)
        return succeed(None)

    def finish(self) -> Deferred[IContent]:
        """See L{IContentWriter.finish}."""
        if self._problem is not None:
            return fail(self._problem)
        self._problem = SpoolError("written after the end")
        return succeed(MemoryContent(b"".join(self._pieces)))

    def abort(self) -> None:
        """See L{IContentWriter.abort}."""
        self._problem = SpoolError("aborted")
        self._pieces = []
