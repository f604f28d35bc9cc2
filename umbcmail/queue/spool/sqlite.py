"""The spool in a folder of this host: a database, and files for large content.

Made by the service for C{spool.url = "sqlite:/folder"}.  Several processes may
share the folder, each with an owner's name of its own.  All that waits to be
written becomes one transaction with one fsync, in a thread; reads have a thread
and a connection of their own and wait for no writer.  What goes wrong with the
disk comes out as C{SpoolError}, C{SpoolFull} when there is no room.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.content import FileContent, InThread, MemoryContent
from umbcmail.entry import Attempted, Change, Claim, Count, Crowd, DamagedEntry, Draft, Entry, Order, SpoolError
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent, IContentWriter, ISpool
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue.spool import crowding, orders, reads, rows
from umbcmail.queue.spool.database import Database
from umbcmail.queue.spool.errors import DatabaseDamaged, isExpected, spoolError
from umbcmail.queue.spool.files import Large, SpoolFolder, isName, largeOf, removeFile
from umbcmail.queue.spool.incoming import IncomingContent
from umbcmail.queue.spool.records import checkId
from umbcmail.queue.spool.room import Rest, Room
from umbcmail.queue.spool.upkeep import Upkeep
from umbcmail.queue.spool.writer import CommitJob, RecordJob
from umbcmail.selection import Row, Selection, Sort
from umbcmail.sqlite.worker import Job


@implementer(ISpool)
class SqliteSpool:
    """See L{ISpool}.

    @param folder: where it is; made with mode 0700 if it is missing.
    @param owner: unique among the living processes; part of file names.
    @param lease: seconds that a claim holds unless renewed.
    @param inThread: runs a function in a thread, for files.
    @param log: for what does not work.
    @param reserve: octets of the disk that are kept free: with less nothing more is taken.
    @param inodes: likewise.
    """

    def __init__(
        self,
        folder: str,
        reactor: Any,
        owner: str,
        lease: float = 600.0,
        inThread: InThread | None = None,
        log: MailLog | None = None,
        reserve: int = 0,
        inodes: int = 0,
    ) -> None:
        if not isName(owner):
            raise ValueError(f"{owner!r} can't be the name of an owner")
        self.owner = owner
        self._lease = lease
        self._log = log
        self._thread: InThread = inThread or partial(deferToThreadPool, reactor, reactor.getThreadPool())
        self._folder = SpoolFolder(folder, owner)
        self._room = Room(
            self._folder.path, reserve, inodes, lambda rest: reactor.callFromThread(self._roomChanged, rest)
        )
        self._database = Database(self._folder.database, reactor, owner, self._room, self._bug)
        self._upkeep = Upkeep(self._database, self._folder, self._inThread, self._removed)
        self._ready = False
        self._unfinished = 0
        self._idle: Deferred[None] | None = None
        self._toldOf: set[str] = set()

    @property
    def transactions(self) -> int:
        """How many have been committed, for the metrics."""
        return self._database.transactions.count

    @property
    def problem(self) -> str:
        """Why the last thing could not be written, C{""} when it could."""
        return self._database.problem

    def room(self) -> Deferred[Rest]:
        """How things stand on the disk.

        @return: L{Deferred} of a L{Rest}; fails with C{SpoolError}.
        """
        return self._database.room() if self._ready else fail(_closed())

    def _roomChanged(self, rest: Rest) -> None:
        if self._log is not None:
            self._log.room(rest.isLow, rest.lacking or "there is room again")

    # Beginning and end

    def start(self) -> Deferred[None]:
        """See L{ISpool.start}."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self._inThread(self._folder.open)
        try:
            await self._database.start()
        except BaseException:
            await self._inThread(self._folder.close)
            raise
        self._ready = True

    def stop(self) -> Deferred[None]:
        """See L{ISpool.stop}.  What is still claimed is freed by the next C{recover}."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if not self._ready:
            return
        self._ready = False
        if self._unfinished:
            self._idle = Deferred()
            await self._idle
        await self._database.stop()
        await self._inThread(self._folder.close)

    def _bug(self, failure: Failure) -> None:
        if self._log is not None:
            self._log.bug("-", "spool", failure)

    def _trouble(self, id: str, why: str) -> None:
        if self._log is not None:
            self._log.trouble(id, "spool", why)

    def _inThread(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """In a thread; fails with C{SpoolError} only, and C{stop} waits for it."""
        return self._counted(self._thread(what, *args).addErrback(self._mapped))

    def _mapped(self, failure: Failure) -> Any:
        why = failure.value
        if not isinstance(why, Exception):
            return failure
        if not isExpected(why):
            self._bug(failure)
        raise spoolError(why) from None

    def _counted(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self._unfinished += 1
        return deferred.addBoth(self._uncount)

    def _uncount(self, result: Any) -> Any:
        self._unfinished -= 1
        if not self._unfinished and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
        return result

    # Content

    def isFull(self, size: int) -> bool:
        """See L{ISpool.isFull}."""
        return self._room.isFull(size)

    def newContent(self, messageId: str, size: int = 0) -> IContentWriter:
        """See L{ISpool.newContent}.  Its calls fail if the id is no good."""
        problem = None if self._ready else _closed()
        try:
            path = os.path.join(self._folder.incoming, checkId(messageId))
        except SpoolError as why:
            path, problem = "", why
        return IncomingContent(path, self._inThread, problem, self._room, size)

    def discard(self, content: IContent) -> None:
        """See L{ISpool.discard}.  Content of a committed message stays."""
        if isinstance(content, FileContent) and self._folder.isIncoming(content):
            self._inThread(removeFile, content.path).addErrback(self._notRemoved)

    def _notRemoved(self, failure: Failure) -> None:
        self._trouble("-", failure.getErrorMessage())

    def content(self, entry: Entry) -> Deferred[IContent]:
        """See L{ISpool.content}."""
        return self._read(reads.content, entry.envelope.id).addCallback(self._opened)

    def _opened(self, found: tuple[bytes | None, str, int]) -> IContent | Deferred[IContent]:
        data, file, size = found
        if data is not None:
            return MemoryContent(data)
        checked = self._inThread(self._folder.check, file, size)
        return checked.addCallback(lambda path: FileContent(path, size, self._thread))

    # Commit and record

    def commit(
        self, envelope: Envelope, content: IContent, drafts: Sequence[Draft], now: float, claim: bool = False
    ) -> Deferred[list[Claim]]:
        """See L{ISpool.commit}."""
        try:
            self._checkReady()
            large = largeOf([(envelope, content)])
            owner, lease = (self.owner, now + self._lease) if claim else ("", 0.0)
            job = CommitJob(rows.pack(envelope, content, drafts, now, owner, lease))
        except Exception as why:
            return self._refused(why, [content])
        return self._put(job, large)

    def record(
        self, claim: Claim, change: Change, now: float, bounces: Iterable[tuple[Envelope, IContent, Draft]] = ()
    ) -> Deferred[None]:
        """See L{ISpool.record}."""
        bounces = list(bounces)
        try:
            self._checkReady()
            large = largeOf([(envelope, content) for envelope, content, _ in bounces])
            packages = [rows.pack(envelope, content, [draft], now) for envelope, content, draft in bounces]
            job = RecordJob(rows.recordRows(claim, change, now, packages))
        except Exception as why:
            return self._refused(why, [content for _, content, _ in bounces])
        return self._put(job, large).addCallback(self._removed)

    def _refused(self, why: Exception, contents: list[IContent]) -> Deferred[Any]:
        for content in contents:
            self.discard(content)
        if not isExpected(why):
            self._bug(Failure(why))
        return fail(spoolError(why))

    def _put(self, job: Job, large: Large) -> Deferred[Any]:
        """Give a job to the writer; the files of large contents come first."""
        if not large:
            return self._database.put(job)
        return self._counted(Deferred.fromCoroutine(self._putLarge(job, large)))

    async def _putLarge(self, job: Job, large: Large) -> Any:
        await self._inThread(self._folder.keepAll, large)
        try:
            return await self._database.put(job)
        except SpoolError:
            await self._inThread(self._folder.remove, [id for id, _ in large])
            raise

    def _removed(self, files: list[str], result: Any = None) -> Deferred[Any]:
        """The rows are gone, so their files can go."""
        if not files:
            return succeed(result)
        gone = self._inThread(self._folder.remove, files).addErrback(self._notRemoved)
        return gone.addCallback(lambda _: result)

    # Claims

    def claim(self, queue: str, limit: int, now: float, order: Order = Order.DUE) -> Deferred[list[Claim]]:
        """See L{ISpool.claim}."""
        return Deferred.fromCoroutine(self._claim(queue, limit, now, order))

    async def _claim(self, queue: str, limit: int, now: float, order: Order) -> list[Claim]:
        what = (orders.claim, queue, limit, now, self.owner, now + self._lease, order)
        while True:
            try:
                return self._readable(await self._write(*what))
            except DatabaseDamaged:
                if not (aside := await self._upkeep.clear(queue, limit, now, order)):
                    raise
            self._readable(([], aside))

    def _readable(self, found: tuple[list[Any], dict[str, str]]) -> list[Any]:
        """Say once of each entry that it can't be read."""
        good, damaged = found
        for id, why in damaged.items():
            if id not in self._toldOf:
                self._toldOf.add(id)
                self._trouble(id, f"damaged and put aside: {why}")
        return good

    def renew(self, claims: Sequence[Claim], now: float) -> Deferred[list[Claim]]:
        """See L{ISpool.renew}."""
        return self._write(orders.renew, claims, self.owner, now + self._lease)

    def giveBack(self, claim: Claim, due: float) -> Deferred[None]:
        """See L{ISpool.giveBack}."""
        return self._write(orders.giveBack, claim, self.owner, due)

    def hasten(self, queue: str, lanes: Sequence[str], limit: int, at: float) -> Deferred[int]:
        """See L{ISpool.hasten}."""
        return self._write(orders.hasten, queue, lanes, limit, at)

    def putOff(
        self, queue: str, crowds: Sequence[Crowd], limit: int, place: Any, now: float
    ) -> Deferred[tuple[int, Any]]:
        """See L{ISpool.putOff}."""
        return self._write(crowding.putOff, queue, crowds, limit, place, now)

    def setAside(self, claim: Claim, why: str) -> Deferred[bool]:
        """See L{ISpool.setAside}."""
        return self._write(orders.setAside, claim, self.owner, why)

    def recover(self, now: float) -> Deferred[int]:
        """See L{ISpool.recover}."""
        if not self._ready:
            return fail(_closed())
        return self._counted(Deferred.fromCoroutine(self._upkeep.recover(now)))

    # Questions and orders

    def nextDue(self, queue: str) -> Deferred[float | None]:
        """See L{ISpool.nextDue}."""
        return self._read(reads.nextDue, queue)

    def listing(
        self, selection: Selection, limit: int, sort: Sort = Sort.AGE, after: str = ""
    ) -> Deferred[list[Entry]]:
        """See L{ISpool.listing}."""
        return Deferred.fromCoroutine(self._listing(selection, limit, sort, after))

    async def _listing(self, *what: Any) -> list[Entry]:
        entries, damaged = await self._scan(reads.listing, *what)
        if damaged:  # who comes upon it puts it aside
            self._readable(([], await self._upkeep.putAside(damaged)))
        return list(entries)

    def history(self, id: str) -> Deferred[list[Attempted]]:
        """See L{ISpool.history}."""
        return self._read(reads.history, id)

    def count(self, selection: Selection) -> Deferred[int]:
        """See L{ISpool.count}."""
        return self._scan(reads.count, selection)

    def summary(self, selection: Selection, limit: int, now: float) -> Deferred[list[Row]]:
        """See L{ISpool.summary}."""
        return self._scan(reads.summary, selection, limit, now)

    def counts(self, now: float) -> Deferred[dict[str, Count]]:
        """See L{ISpool.counts}."""
        return self._scan(reads.counts, now)

    def retry(self, selection: Selection, now: float) -> Deferred[int]:
        """See L{ISpool.retry}."""
        return self._order(orders.retry, selection, now)

    def hold(self, selection: Selection) -> Deferred[int]:
        """See L{ISpool.hold}."""
        return self._order(orders.hold, selection)

    def release(self, selection: Selection, now: float) -> Deferred[int]:
        """See L{ISpool.release}."""
        return self._order(orders.release, selection, now)

    def move(self, selection: Selection, queue: str) -> Deferred[int]:
        """See L{ISpool.move}."""
        return self._order(orders.move, selection, queue)

    def giveUp(self, selection: Selection, outcome: Outcome, now: float) -> Deferred[int]:
        """See L{ISpool.giveUp}."""
        return self._order(orders.giveUp, selection, outcome, now)

    def readdress(self, selection: Selection, old: str, new: str, now: float) -> Deferred[int]:
        """See L{ISpool.readdress}."""
        return self._order(orders.readdress, selection, old, new, now)

    def damaged(self) -> Deferred[list[DamagedEntry]]:
        """See L{ISpool.damaged}."""
        return self._scan(reads.damaged)

    def repair(self, ids: Sequence[str], folder: str, now: float) -> Deferred[int]:
        """See L{ISpool.repair}."""
        if not self._ready:
            return fail(_closed())
        return self._counted(Deferred.fromCoroutine(self._upkeep.repair(ids, os.path.abspath(folder), now)))

    def remove(self, selection: Selection) -> Deferred[int]:
        """See L{ISpool.remove}."""
        return self._order(orders.remove, selection)

    def _order(self, what: Callable[..., Any], selection: Selection, *args: Any) -> Deferred[int]:
        if not self._ready:
            return fail(_closed())
        return self._counted(Deferred.fromCoroutine(self._upkeep.order(what, selection, args)))

    def _checkReady(self) -> None:
        if not self._ready:
            raise _closed()

    def _read(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return self._database.read(what, *args) if self._ready else fail(_closed())

    def _scan(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return self._database.scan(what, *args) if self._ready else fail(_closed())

    def _write(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return self._database.write(what, *args) if self._ready else fail(_closed())


def _closed() -> SpoolError:
    return SpoolError("the spool is not open")
