"""The database of the state: a thread that writes, one that reads, and one that looks after it.

What waits to be written goes into one transaction, in turn with other processes; readers
wait for nobody.  The third brings to the disk what has been written (a checkpoint), so
that nobody who adds or asks waits for a disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail.sighting import Sighting, StateError
from umbcmail.sqlite.group import GroupCommit
from umbcmail.sqlite.turn import Turn
from umbcmail.sqlite.worker import Job, Worker, oneByOne
from umbcmail.state import rows
from umbcmail.state.files import LOG, PAGE, StateFile, StateFolder, isDamage

TRIES = 3
PAUSE = 0.001
"""Seconds from one transaction to the next."""


def stateError(why: Exception) -> StateError:
    """What callers are told of any error."""
    return why if isinstance(why, StateError) else StateError(f"{type(why).__name__}: {why}")


class AddJob(Job):
    """Add a sighting; gives whether it is new, what is stored, and the last removal."""

    __slots__ = ("now", "sighting")

    def __init__(self, sighting: Sighting, now: float) -> None:
        super().__init__(lambda connection: None)
        self.sighting = sighting
        self.now = now


class Database(GroupCommit):
    """All three threads.

    @param onDamage: called in the reactor's thread with the path of a database that has
        been set aside, and what is wrong with it.
    @param onBug: called there with errors that nobody expected.
    """

    def __init__(
        self, folder: str, reactor: Any, onDamage: Callable[[str, str], None], onBug: Callable[[Failure], None]
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._onDamage = onDamage
        self._folder = StateFolder(folder)
        self._turn = Turn(self._folder.path + "/turn")
        self._keepersTurn = Turn(self._folder.path + "/turn")
        self._suspected = 0
        self._seen: tuple[sqlite3.Connection | None, int] = (None, 0)
        self.writer = Worker("state-write", reactor, self._openToWrite, self._write, stateError, onBug, pause=PAUSE)
        self.reader = Worker("state-read", reactor, self._openToRead, self._read, stateError, onBug)
        self.keeper = Worker("state-keep", reactor, self._openToKeep, self._read, stateError, onBug)

    async def start(self) -> None:
        """@raise StateError: it can't be opened."""
        started: list[Worker] = []
        try:
            for worker in (self.writer, self.reader, self.keeper):
                await worker.start()
                started.append(worker)
        except BaseException:
            await self._end(started)
            raise

    async def stop(self) -> None:
        """Do what has been asked for, and close."""
        await self._end([self.writer, self.reader, self.keeper])

    async def _end(self, workers: list[Worker]) -> None:
        for worker in workers:
            await worker.stop()
        self._turn.close()
        self._keepersTurn.close()

    # What may be asked

    def add(self, sighting: Sighting, now: float) -> Deferred[Any]:
        """See L{AddJob}."""
        return self.writer.put(AddJob(sighting, now))

    def write(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Have a function called with the connection inside of a transaction; it may be
        called again when another of its group has failed."""
        return self.writer.put(Job(lambda connection: what(connection, *args)))

    def read(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Have a function called with the connection that reads."""
        return self.reader.put(Job(lambda connection: what(connection, *args)))

    def keep(self, what: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Have a function called that may take long."""
        return self.keeper.put(Job(lambda connection: what(connection, *args)))

    def checkpoint(self) -> Deferred[int | None]:
        """Bring to the disk what has been written.

        @return: L{Deferred} of the number of addresses, or L{None} when nothing has
            been written since the last time.
        """
        return self.keep(self._checkpoint)

    def _checkpoint(self, connection: sqlite3.Connection) -> int | None:
        # Counts what others have committed, and this connection commits nothing.
        seen = connection, connection.execute("PRAGMA data_version").fetchone()[0]
        if seen == self._seen:
            return None
        passive = "PRAGMA wal_checkpoint(PASSIVE)"
        isBusy, pages, _ = connection.execute(passive).fetchone()
        if pages * PAGE > LOG:
            # While commits never end no checkpoint reaches the last of them, and the log would grow for ever.
            connection.execute(passive)  # all but the very last ones, so that nobody waits for long
            with self._keepersTurn:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
        if not isBusy:  # another process is at it, and may have begun before the last commit
            self._seen = seen
        return rows.count(connection)

    # In the threads

    def _openToWrite(self) -> StateFile:
        self._folder.make()
        self._turn.open()
        for _ in range(TRIES):
            number = self._folder.current()
            try:
                file = StateFile(self._folder)
                try:
                    file.check()
                    return file
                except BaseException:
                    file.close()
                    raise
            except sqlite3.DatabaseError as why:
                if not isDamage(why):
                    raise
                with self._turn:
                    self._setAside(number, why)
        raise StateError(f"{self._folder.path}: one database after the other is damaged")

    def _openToRead(self) -> StateFile:
        return StateFile(self._folder, "query_only = ON")

    def _openToKeep(self) -> StateFile:
        self._keepersTurn.open()
        return StateFile(self._folder, "busy_timeout = 1000")

    def _setAside(self, number: int, why: Exception) -> None:
        """A database is damaged: begin another, if no other process has done so."""
        if self._folder.current() == number:
            self._folder.next()
            self._reactor.callFromThread(self._onDamage, self._folder.database(number), str(why))

    def _write(self, file: StateFile, jobs: list[Job]) -> None:
        with self._turn:
            file.follow()
            if self._suspected == file.number:
                self._suspected = 0
                try:
                    file.check()
                except sqlite3.DatabaseError as why:
                    self._replace(file, why)
            self.commit(file.connection, jobs)
            damaged = [job for job in jobs if isDamage(job.error)]
            if damaged:
                self._replace(file, damaged[0].error or Exception())
                for job in damaged:
                    job.error = None
                self.commit(file.connection, damaged)

    def _replace(self, file: StateFile, why: Exception) -> None:
        self._setAside(file.number, why)
        file.follow()

    def do(self, connection: sqlite3.Connection, jobs: list[Job]) -> None:
        """See L{GroupCommit.do}."""
        adds: list[AddJob] = []
        for job in jobs:
            if isinstance(job, AddJob):
                adds.append(job)
                continue
            _add(connection, adds)
            adds = []
            job.result = job.run(connection)
        _add(connection, adds)

    def _read(self, file: StateFile, jobs: list[Job]) -> None:
        file.follow()
        oneByOne(file.connection, jobs)
        if any(isDamage(job.error) for job in jobs):
            self._suspected = file.number
            self.writer.put(Job(lambda connection: None))


def _add(connection: sqlite3.Connection, jobs: list[AddJob]) -> None:
    if jobs:
        found, removal = rows.add(connection, [(job.sighting, job.now) for job in jobs])
        for job, (isNew, sighting) in zip(jobs, found, strict=True):
            job.result = isNew, sighting, removal
