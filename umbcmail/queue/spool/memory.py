"""The spool in memory: for tests and simulations; nothing survives the process.

Passes the same contract tests as the one on disk.  Several L{MemorySpool}s with
one L{MemoryStore} are what several processes with one folder are.  All Deferreds
have fired when they are returned.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from random import random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from umbcmail.entry import (
    LATEST,
    REMEMBERED,
    WINDOW,
    Attempted,
    Change,
    Claim,
    ContentDamaged,
    Count,
    Crowd,
    DamagedEntry,
    Draft,
    Entry,
    Order,
    SpoolError,
    StaleClaim,
    attemptedOf,
    readdressed,
)
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent, IContentWriter, ISpool
from umbcmail.outcome import Outcome
from umbcmail.queue.spool.memorystore import Kept, MemoryStore
from umbcmail.queue.spool.memorywriter import MemoryWriter
from umbcmail.queue.spool.records import checkId, firstEntry, laterEntry, waiting
from umbcmail.selection import AGES, Row, Selection, Sort, ageColumn

Result = TypeVar("Result")


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

    def isFull(self, size: int) -> bool:
        """See L{ISpool.isFull}."""
        return False

    def newContent(self, messageId: str, size: int = 0) -> IContentWriter:
        """See L{ISpool.newContent}."""
        return MemoryWriter(messageId, self.owner in self._store.living)

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
            self._store.keep(Kept(entry, token, lease, attemptedOf(entry.deliveries, entry.created)))

    @_deferred
    def claim(self, queue: str, limit: int, now: float, order: Order = Order.DUE) -> list[Claim]:
        """See L{ISpool.claim}."""
        found = self._store.next(queue, limit if order is Order.DUE else WINDOW, now)
        first = sorted(found, key=_RANKS[order])[: max(limit, 0)]
        if order is Order.DUE and first and len(first) == limit:
            others = [kept for kept in self._store.latest(queue, limit // LATEST, now) if kept not in first]
            first[limit - len(others) :] = others
        return [self._claimed(kept, now + self._lease) for kept in first]

    def _claimed(self, kept: Kept, lease: float) -> Claim:
        self._store.change(kept, owner=self.owner)
        kept.token += 1
        kept.lease = lease
        return Claim(kept.entry, kept.token, lease)

    def _held(self, claim: Claim) -> Kept | None:
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
        made = [laterEntry(claim, number, draft) for number, draft in enumerate(change.drafts)]
        if made:
            drafted.append((self._store.contents[made[0].envelope.id], made))
        for content, entries in drafted:
            self._keep(content, entries, 0, 0.0)
        for other in [self._store.entries[id] for id in change.also if id in self._store.entries]:
            if not other.entry.owner:
                self._store.delete(other.entry)
        left = waiting(change.deliveries)
        if not left:
            self._store.delete(kept.entry)
            return
        envelope = kept.entry.envelope.withRecipients(tuple([delivery.recipient for delivery in left]))
        self._store.change(
            kept,
            envelope=envelope,
            deliveries=left,
            due=change.due,
            attempts=change.attempts,
            warned=change.warned,
            queue=change.queue or kept.entry.queue,
            held=kept.entry.held or change.held,
            owner="",
        )
        kept.history = (kept.history + change.history)[-REMEMBERED:]

    @_deferred
    def giveBack(self, claim: Claim, due: float) -> None:
        """See L{ISpool.giveBack}."""
        kept = self._held(claim)
        if kept is not None:
            self._store.change(kept, owner="", due=due)

    @_deferred
    def content(self, entry: Entry) -> IContent:
        """See L{ISpool.content}."""
        if entry.envelope.id not in self._store.contents:
            raise ContentDamaged(f"{entry.envelope.id} is not in the spool")
        return self._store.contents[entry.envelope.id]

    @_deferred
    def nextDue(self, queue: str) -> float | None:
        """See L{ISpool.nextDue}."""
        return self._store.nextDue(queue)

    @_deferred
    def setAside(self, claim: Claim, why: str) -> bool:
        """See L{ISpool.setAside}."""
        kept = self._held(claim)
        if kept is not None:
            kept.damaged = why
            self._change([kept], owner="", held=True)
        return kept is not None

    @_deferred
    def hasten(self, queue: str, lanes: Sequence[str], limit: int, at: float) -> int:
        """See L{ISpool.hasten}."""
        later = [k for lane in set(lanes) for k in self._store.lane(queue, lane) if k.entry.due > at]
        first = heapq.nsmallest(max(limit, 0), later, key=lambda kept: (kept.entry.lane, kept.entry.id))
        return self._change(first, due=at)

    @_deferred
    def putOff(
        self, queue: str, crowds: Sequence[Crowd], limit: int, place: Any, now: float
    ) -> tuple[int, tuple[float, str] | None]:
        """See L{ISpool.putOff}."""
        byLane = {crowd.lane: crowd for crowd in crowds}
        until = max(crowd.before for crowd in crowds)
        passed = [key for key in self._store.dueBefore(queue, until) if key > (place or (0.0, "~"))][:limit]
        count = 0
        for due, id in passed:
            kept = self._store.entries[id]
            entry, crowd = kept.entry, byLane.get(kept.entry.lane)
            if crowd is None or due >= crowd.before or not kept.isAlone:
                continue
            again = crowd.begin + count * crowd.step
            if crowd.warn and not entry.warned and entry.created + crowd.warn > now:
                again = min(again, entry.created + crowd.warn)
            told = [d if d.outcome is not None else replace(d, outcome=crowd.why, at=now) for d in entry.deliveries]
            self._store.change(kept, due=again, deliveries=tuple(told))
            count += 1
        return count, passed[-1] if len(passed) == limit else None

    @_deferred
    def listing(self, selection: Selection, limit: int, sort: Sort = Sort.AGE, after: str = "") -> list[Entry]:
        """See L{ISpool.listing}."""
        key = _SORTS[sort]
        found = sorted([kept.entry for kept in self._store.matching(selection)], key=key)
        if after:
            if after not in self._store.entries:
                raise SpoolError(f"{after} is not in the spool any more")
            last = key(self._store.entries[after].entry)
            found = [entry for entry in found if key(entry) > last]
        return found[:limit]

    @_deferred
    def history(self, id: str) -> list[Attempted]:
        """See L{ISpool.history}."""
        kept = self._store.entries.get(id)
        return list(kept.history) if kept is not None else []

    @_deferred
    def count(self, selection: Selection) -> int:
        """See L{ISpool.count}."""
        return len(self._store.matching(selection))

    @_deferred
    def summary(self, selection: Selection, limit: int, now: float) -> list[Row]:
        """See L{ISpool.summary}."""
        whole = [0] * (len(AGES) + 1)
        lanes: dict[str, list[int]] = {}
        for kept in self._store.matching(selection):
            column = ageColumn(now - kept.entry.created)
            lanes.setdefault(kept.entry.lane, [0] * len(whole))[column] += 1
            whole[column] += 1
        rows = sorted(lanes.items(), key=lambda item: (-sum(item[1]), item[0]))[:limit]
        return [Row("", tuple(whole)), *(Row(lane, tuple(ages)) for lane, ages in rows)]

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

    def _change(self, kept: list[Kept], **values: Any) -> int:
        for each in kept:
            self._store.change(each, **values)
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
        found = [kept for kept in self._store.matching(selection) if kept.entry.held and not kept.damaged]
        return self._change(found, held=False, due=now, created=now)

    @_deferred
    def move(self, selection: Selection, queue: str) -> int:
        """See L{ISpool.move}."""
        found = [k for k in self._store.matching(selection) if not k.entry.owner and k.entry.queue != queue]
        return self._change(found, queue=queue)

    def _unclaimed(self, selection: Selection) -> list[Kept]:
        return [kept for kept in self._store.matching(selection) if not (kept.entry.owner or kept.damaged)]

    @_deferred
    def giveUp(self, selection: Selection, outcome: Outcome, now: float) -> int:
        """See L{ISpool.giveUp}."""
        found = self._unclaimed(selection)
        for kept in found:
            deliveries = tuple([delivery.givenUp(outcome, now) for delivery in kept.entry.deliveries])
            self._change([kept], deliveries=deliveries, due=now, held=False)
        return len(found)

    @_deferred
    def readdress(self, selection: Selection, old: str, new: str, now: float) -> int:
        """See L{ISpool.readdress}."""
        changed = 0
        for kept in self._unclaimed(selection):
            deliveries = readdressed(kept.entry.deliveries, old, new)
            if deliveries != kept.entry.deliveries:
                envelope = kept.entry.envelope.withRecipients(tuple([d.recipient for d in deliveries]))
                changed += self._change([kept], deliveries=deliveries, envelope=envelope, due=now)
        return changed

    @_deferred
    def remove(self, selection: Selection) -> int:
        """See L{ISpool.remove}."""
        found = self._store.matching(selection)
        for kept in found:
            self._store.delete(kept.entry)
        return len(found)

    @_deferred
    def damaged(self) -> list[DamagedEntry]:
        """See L{ISpool.damaged}; only what was set aside."""
        found = [DamagedEntry(kept.entry.id, kept.damaged) for kept in self._store.entries.values() if kept.damaged]
        return sorted(found, key=lambda entry: entry.id)

    @_deferred
    def repair(self, ids: Sequence[str], folder: str, now: float) -> int:
        """See L{ISpool.repair}: what is in memory can always be read, unless its content is gone."""
        chosen = [k for k in self._store.entries.values() if k.damaged and (not ids or k.entry.id in ids)]
        for kept in chosen:
            if kept.entry.envelope.id in self._store.contents:
                kept.damaged = ""
                self._change([kept], held=False, due=now)
            else:
                self._store.delete(kept.entry)
        return len(chosen)

    @_deferred
    def recover(self, now: float) -> int:
        """See L{ISpool.recover}."""
        return self._free(self._store.owners() - self._store.living)

    def _free(self, dead: set[str]) -> int:
        return self._change(self._store.claimedBy(dead), owner="")


_RANKS: dict[Order, Callable[[Kept], Any]] = {
    Order.DUE: lambda kept: (kept.entry.due, kept.entry.id),
    Order.AGE: lambda kept: (kept.entry.created, kept.entry.id),
    Order.HOST: lambda kept: (kept.entry.lane, kept.entry.due, kept.entry.id),
    Order.PRIORITY: lambda kept: (kept.entry.attempts, kept.entry.envelope.size, kept.entry.id),
    Order.RANDOM: lambda kept: random(),
}
_SORTS: dict[Sort, Callable[[Entry], Any]] = {
    Sort.AGE: lambda entry: (entry.created, entry.id),
    Sort.DUE: lambda entry: (entry.due, entry.id),
    Sort.SIZE: lambda entry: (entry.envelope.size, entry.id),
    Sort.ID: lambda entry: entry.id,
}
