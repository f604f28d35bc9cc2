"""What several L{MemorySpool<umbcmail.queue.spool.memory.MemorySpool>}s share: the
entries, and what finds them without a walk over all.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from umbcmail.entry import Attempted, Entry
from umbcmail.interfaces import IContent
from umbcmail.selection import Selection


@dataclass(slots=True, eq=False)
class Kept:
    """An entry, the claim on it, what it remembers, and what is wrong with it."""

    entry: Entry
    token: int
    lease: float
    history: tuple[Attempted, ...] = ()
    damaged: str = ""

    @property
    def isAlone(self) -> bool:
        """All of its recipients are of one lane, and there is no time by which they should have it."""
        entry = self.entry
        return not entry.envelope.deliverBy and all(d.recipient.domain == entry.lane for d in entry.deliveries)

    @property
    def isFree(self) -> bool:
        """Neither held nor claimed."""
        return not self.entry.held and not self.entry.owner


class MemoryStore:
    """Entries change by L{keep}, L{change} and L{delete} only.

    @ivar contents: by id of the message.
    @ivar entries: by id, the oldest first unless clocks went backwards.
    @ivar living: owners that have started and not stopped.
    """

    def __init__(self) -> None:
        self.contents: dict[str, IContent] = {}
        self.entries: dict[str, Kept] = {}
        self.living: set[str] = set()
        self._ofMessage: dict[str, set[str]] = {}
        self._claimed: dict[str, Kept] = {}
        self._lanes: dict[tuple[str, str], dict[str, Kept]] = {}
        # By class: when free entries are due, as a heap.  An item that does not say what the entry says is passed over.
        self._due: dict[str, list[tuple[float, str]]] = {}
        # By class: when entries were made, in order.  Likewise.
        self._made: dict[str, list[tuple[float, str]]] = {}

    def keep(self, kept: Kept) -> None:
        """Take in a new entry."""
        entry = kept.entry
        self.entries[entry.id] = kept
        self._ofMessage.setdefault(entry.envelope.id, set()).add(entry.id)
        self._date(entry)
        self._index(kept)

    def change(self, kept: Kept, **values: Any) -> None:
        """Change an entry."""
        self._unindex(kept)
        old = kept.entry
        kept.entry = replace(old, **values)
        if (kept.entry.queue, kept.entry.created) != (old.queue, old.created):
            self._date(kept.entry)
        self._index(kept)

    def delete(self, entry: Entry) -> None:
        """Delete an entry, and its message if it was the last."""
        kept = self.entries.pop(entry.id)
        self._unindex(kept)
        message = entry.envelope.id
        left = self._ofMessage[message]
        left.discard(entry.id)
        if not left:
            del self._ofMessage[message]
            self.contents.pop(message, None)

    def _date(self, entry: Entry) -> None:
        insort(self._made.setdefault(entry.queue, []), (entry.created, entry.id))

    def _index(self, kept: Kept) -> None:
        entry = kept.entry
        if kept.isFree:
            heapq.heappush(self._due.setdefault(entry.queue, []), (entry.due, entry.id))
            self._lanes.setdefault((entry.queue, entry.lane), {})[entry.id] = kept
        elif entry.owner:
            self._claimed[entry.id] = kept

    def _unindex(self, kept: Kept) -> None:
        entry = kept.entry
        self._claimed.pop(entry.id, None)
        if kept.isFree:
            key = (entry.queue, entry.lane)
            lane = self._lanes[key]
            del lane[entry.id]
            if not lane:
                del self._lanes[key]

    # Questions

    def matching(self, selection: Selection) -> list[Kept]:
        """What a selection means."""
        found: Iterable[Kept] = self.entries.values()
        if selection.ids:
            ids = {id for given in selection.ids for id in (given, *self._ofMessage.get(given, ()))}
            found = [self.entries[id] for id in sorted(ids) if id in self.entries]
        elif selection.queues and selection.createdBefore is not None:
            found = [kept for name in selection.queues for kept in self._madeBefore(name, selection.createdBefore)]
        return [kept for kept in found if selection.matches(kept.entry)]

    def _madeBefore(self, queue: str, time: float) -> list[Kept]:
        """The entries of a class that are older; those that are gone are forgotten on the way."""
        made = self._made.get(queue, [])
        older = bisect_left(made, (time, ""))
        made[:older] = sorted({item for item in made[:older] if self._isMade(queue, item)})
        return [self.entries[id] for _, id in made[: bisect_left(made, (time, ""))]]

    def _isMade(self, queue: str, item: tuple[float, str]) -> bool:
        kept = self.entries.get(item[1])
        return kept is not None and kept.entry.queue == queue and kept.entry.created == item[0]

    def next(self, queue: str, limit: int, now: float) -> list[Kept]:
        """What is due in a class: free, or claimed under a lease that has ended."""
        due = self._due.get(queue, [])
        found = {
            kept.entry.id: kept
            for kept in self._claimed.values()
            if kept.lease <= now and kept.entry.queue == queue and not kept.entry.held and kept.entry.due <= now
        }
        taken: list[tuple[float, str]] = []
        while due and due[0][0] <= now and len(taken) < limit:
            item = heapq.heappop(due)
            if self._says(queue, item) and item[1] not in found:
                taken.append(item)
                found[item[1]] = self.entries[item[1]]
        for item in taken:
            heapq.heappush(due, item)
        return sorted(found.values(), key=lambda kept: (kept.entry.due, kept.entry.id))[:limit]

    def latest(self, queue: str, limit: int, now: float) -> list[Kept]:
        """Of the free entries of a class that are due those that have become so last."""
        due = [item for item in self._due.get(queue, []) if item[0] <= now] if limit else []
        found = [item for item in heapq.nlargest(2 * limit, due) if self._says(queue, item)]
        return [self.entries[id] for _, id in dict.fromkeys(found)][:limit]

    def nextDue(self, queue: str) -> float | None:
        """When the first free entry of a class is due."""
        due = self._due.get(queue, [])
        while due and not self._says(queue, due[0]):
            heapq.heappop(due)
        return due[0][0] if due else None

    def dueBefore(self, queue: str, until: float) -> list[tuple[float, str]]:
        """When free entries of a class are due before some time, and their ids, in order."""
        due = self._due.get(queue, [])
        found: list[tuple[float, str]] = []
        while due and due[0][0] < until:
            item = heapq.heappop(due)
            if self._says(queue, item) and item not in found[-1:]:
                found.append(item)
        for item in found:
            heapq.heappush(due, item)
        return found

    def _says(self, queue: str, item: tuple[float, str]) -> bool:
        kept = self.entries.get(item[1])
        return kept is not None and kept.isFree and kept.entry.queue == queue and kept.entry.due == item[0]

    def owners(self) -> set[str]:
        """Of the claims that there are."""
        return {kept.entry.owner for kept in self._claimed.values()}

    def claimedBy(self, owners: set[str]) -> list[Kept]:
        """What they have claimed."""
        return [kept for kept in self._claimed.values() if kept.entry.owner in owners]

    def lane(self, queue: str, lane: str) -> Iterable[Kept]:
        """The free entries of a class that wait for a destination."""
        return self._lanes.get((queue, lane), {}).values()
