"""How the spool is: whether it answers, has room, and what is in it.

Its figures are asked for when somebody looks, and are those of the whole spool,
other processes included.  Of the spool only C{counts} is a must; where it tells of
the disk too, that is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import inlineCallbacks
from zope.interface import implementer

from umbcmail.entry import Count, SpoolError
from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed, ISpool

_ENTRIES = "Entries on the spool, by state: waiting, claimed (being attempted), held."
_OLDEST = "Age of the oldest entry of a class; 0 when there is none."


@implementer(IRefreshed)
class SpoolWatch:
    """See the module.

    @param spool: with C{problem} and C{room} as those of
        L{umbcmail.queue.spool.sqlite.SqliteSpool}, or without.
    @param queues: classes to tell of, also when they are empty.
    @param now: gives seconds since 1970.
    """

    name = "spool"

    def __init__(self, spool: ISpool, queues: Iterable[str], now: Callable[[], float]) -> None:
        self._spool: Any = spool
        self._queues = tuple(queues)
        self._now = now
        self._failure = ""
        self._counts: dict[str, Count] | None = None
        self._room: Any = None

    @inlineCallbacks
    def refresh(self) -> Any:
        """See L{IRefreshed.refresh}."""
        try:
            if hasattr(self._spool, "room"):
                self._room = yield self._spool.room()
            self._counts = yield self._spool.counts(self._now())
            self._failure = ""
        except SpoolError as why:
            self._failure = str(why)

    def condition(self) -> str:
        """See L{IRefreshed.condition}."""
        found = []
        if self._failure:
            found.append(f"can't be read: {self._failure}")
        problem = getattr(self._spool, "problem", "")
        if problem:
            found.append(f"can't be written: {problem}")
        room = self._room
        if room is not None and room.isLow:
            found.append(f"{room.lacking}: new mail is answered 452")
        return "; ".join(found)

    def figures(self) -> Iterable[Figure]:
        """See L{IRefreshed.figures}."""
        if self._room is not None:
            yield Figure("spool_free_bytes", self._room.free, "Octets that are free on the spool's disk.")
            yield Figure("spool_reserve_bytes", self._room.reserve, "Octets with less than which no mail is taken.")
            kept = self._room.inodeReserve
            yield Figure("spool_reserve_inodes", kept, "Inodes with less than which no mail is taken.")
            if self._room.inodes is not None:
                yield Figure("spool_free_inodes", self._room.inodes, "Inodes that are free on the spool's disk.")
        if hasattr(self._spool, "transactions"):
            meaning = "Transactions that this process has written."
            yield Figure("spool_transactions_total", self._spool.transactions, meaning, (), True)
        if self._counts is not None and not self._failure:
            now = self._now()
            for queue in dict.fromkeys((*self._queues, *self._counts)):
                yield from _figuresOf(queue, self._counts.get(queue) or Count(), now)


def _figuresOf(queue: str, count: Count, now: float) -> Iterable[Figure]:
    for state, number in (("waiting", count.waiting), ("claimed", count.claimed), ("held", count.held)):
        yield Figure("queue_entries", number, _ENTRIES, (("queue", queue), ("state", state)))
    age = 0.0 if count.oldest is None else max(0.0, now - count.oldest)
    yield Figure("queue_oldest_seconds", round(age, 3), _OLDEST, (("queue", queue),))
