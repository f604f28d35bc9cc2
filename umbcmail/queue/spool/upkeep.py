"""What keeps the spool on the disk in order: claims of dead processes, content
without a message, damaged entries; and what an operator orders about many of them.

Puts together `database`, `files` and `repair` for `sqlite`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail.entry import Order, SpoolError
from umbcmail.queue.spool import orders, reads, repair, rows
from umbcmail.queue.spool.database import Database
from umbcmail.queue.spool.files import SpoolFolder
from umbcmail.queue.spool.records import toNanoseconds
from umbcmail.selection import Selection

TOGETHER = 500
"""Entries that an order changes in one transaction."""


class Upkeep:
    """
    @param inThread: runs a function in a thread, and fails with C{SpoolError} only.
    @param removed: removes files whose rows are gone, and gives its second argument.
    """

    def __init__(
        self,
        database: Database,
        folder: SpoolFolder,
        inThread: Callable[..., Deferred[Any]],
        removed: Callable[[list[str], int], Deferred[int]],
    ) -> None:
        self._database = database
        self._folder = folder
        self._inThread = inThread
        self._removed = removed

    async def order(self, what: Callable[..., Any], selection: Selection, args: tuple[Any, ...]) -> int:
        """Do something to a selection, some entries at a time: mail that waits to be
        written waits for no walk through the spool.

        @param what: a function of L{umbcmail.queue.spool.orders}.
        @return: how many entries.
        """
        if selection.ids and len(selection.ids) <= TOGETHER:
            return await self._some(what, (selection, None), args)
        ids, total = await self._database.scan(reads.ids, selection), 0
        for at in range(0, len(ids), TOGETHER):
            total += await self._some(what, (selection, ids[at : at + TOGETHER]), args)
        return total

    async def _some(self, what: Callable[..., Any], chosen: orders.Chosen, args: tuple[Any, ...]) -> int:
        done = await self._database.write(what, chosen, *args)
        if what is orders.remove:
            number, files = done
            return await self._removed(files, number)
        number = done
        return number

    async def recover(self, now: float) -> int:
        """See C{ISpool.recover}."""
        names = await self._database.read(orders.owners)
        locks = await self._inThread(self._folder.dead, names)
        freed = 0
        try:
            if locks:
                freed = await self._database.write(orders.free, [lock.owner for lock in locks])
        except BaseException:
            await self._inThread(self._folder.leave, locks)
            raise
        await self._inThread(self._folder.bury, locks)
        old = await self._inThread(self._folder.old, now)
        orphans = await self._database.read(rows.unused, old)
        await self._inThread(self._folder.remove, orphans)
        return freed

    async def clear(self, queue: str, limit: int, now: float, order: Order) -> dict[str, str]:
        """Put aside what C{claim} has failed at: SQLite writes nothing more in a transaction
        that has met with a part of its file that can't be read.  @return: by id why"""
        return await self.putAside(await self._database.scan(orders.unreadable, queue, limit, now, order))

    async def putAside(self, damaged: dict[str, str]) -> dict[str, str]:
        """See L{orders.putAside}; where that can't be written, the next one may."""
        try:
            these: dict[str, str] = await self._database.write(orders.putAside, damaged)
        except SpoolError:
            return {}
        return these

    async def repair(self, ids: Sequence[str], folder: str, now: float) -> int:
        """See C{ISpool.repair}."""
        found = [entry.id for entry in await self._database.read(reads.damaged)]
        chosen = [id for id in found if not ids or id in ids]
        for id in chosen:
            if await self._isWhole(id):
                await self._database.write(repair.heal, id, toNanoseconds(now))
                continue
            left, file = await self._database.read(repair.remains, id)
            await self._inThread(repair.save, folder, id, left, self._folder.contentPath(file))
            await self._removed(await self._database.write(repair.remove, id), 0)
        return len(chosen)

    async def _isWhole(self, id: str) -> bool:
        """A damaged entry can be read now."""
        found = await self._database.read(repair.readable, id)
        if found is None or not found[0]:
            return found is not None
        try:
            await self._inThread(self._folder.check, *found)
        except SpoolError:
            return False
        return True
