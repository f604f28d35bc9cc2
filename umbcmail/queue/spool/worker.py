"""A thread with a database connection of its own, that works off jobs.

The spool has two: one writes and does all that waits in one transaction, one
reads.  Jobs are done in the order in which they are given; their Deferreds are
fired in the reactor's thread, those of one round in one call.  No exception ends
the thread, and none but C{SpoolError} comes out of it.
"""

from __future__ import annotations

import errno
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail.entry import SpoolError, SpoolFull, StaleClaim

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def spoolError(why: Exception) -> SpoolError:
    """What our callers are told of an error of SQLite or the file system."""
    if isinstance(why, SpoolError):
        return why
    code = getattr(why, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (isinstance(why, OSError) and why.errno in NO_ROOM):
        return SpoolFull(str(why))
    return SpoolError(f"{type(why).__name__}: {why}")


def isExpected(why: Exception) -> bool:
    """Disks get full and databases damaged; all else is a bug."""
    return isinstance(why, (SpoolError, sqlite3.Error, OSError))


class Job:
    """Something to be done in the thread.

    @ivar run: called with the connection.
    @ivar deferred: fires with what C{run} returns.
    """

    __slots__ = ("bug", "deferred", "error", "result", "run")

    def __init__(self, run: Callable[[sqlite3.Connection], Any]) -> None:
        self.run = run
        self.deferred: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: SpoolError | None = None
        self.bug: Failure | None = None

    def fail(self, why: Exception) -> None:
        """It can't be done."""
        self.result = None
        self.error = spoolError(why)
        self.bug = None if isExpected(why) else Failure(why)

    def fire(self, onBug: Callable[[Failure], None]) -> None:
        """In the reactor's thread: tell who waits."""
        if self.bug is not None:
            onBug(self.bug)
        if self.error is not None:
            self.deferred.errback(Failure(self.error))
        else:
            self.deferred.callback(self.result)


Work = Callable[[sqlite3.Connection, "list[Job]"], None]
"""Does some jobs: sets the result of each, or calls its C{fail}."""


def oneByOne(connection: sqlite3.Connection, jobs: list[Job]) -> None:
    """The work of a thread that only reads."""
    for job in jobs:
        try:
            job.result = job.run(connection)
        except Exception as why:
            job.fail(why)


class Worker:
    """The thread.

    @ivar problem: why the last job could not be done, C{""} when it could.
    @param name: name of the thread.
    @param connect: opens the connection, called in the thread.
    @param work: what to do with the jobs that wait.
    @param onBug: called in the reactor's thread with errors that nobody expected.
    """

    def __init__(
        self,
        name: str,
        reactor: Any,
        connect: Callable[[], sqlite3.Connection],
        work: Work,
        onBug: Callable[[Failure], None],
    ) -> None:
        self.problem = ""
        self._name = name
        self._reactor = reactor
        self._connect = connect
        self._work = work
        self._onBug = onBug
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._opened: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()

    def start(self) -> Deferred[None]:
        """@return: fires when the connection is open, or fails with C{SpoolError}."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return self._opened

    def stop(self) -> Deferred[None]:
        """No more jobs will be given.  @return: fires when all are done and the
        connection is closed."""
        self._jobs.put(None)
        return self._ended

    def put(self, job: Job) -> Deferred[Any]:
        """@return: the job's Deferred."""
        self._jobs.put(job)
        return job.deferred

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as why:
            self._reactor.callFromThread(self._opened.errback, Failure(spoolError(why)))
            return
        self._reactor.callFromThread(self._opened.callback, None)
        while self._round(connection):
            pass
        try:
            connection.close()
        except sqlite3.Error:
            pass  # what has been committed is stable without it
        self._reactor.callFromThread(self._ended.callback, None)

    def _round(self, connection: sqlite3.Connection) -> bool:
        """Wait for a job, do all that are there by then; False at the end."""
        jobs = [self._jobs.get()]
        try:
            while True:
                jobs.append(self._jobs.get_nowait())
        except queue.Empty:
            pass
        real = [job for job in jobs if job is not None]
        if real:
            try:
                self._work(connection, real)
            except Exception as why:
                for job in real:
                    job.fail(why)
            self._reactor.callFromThread(self._fire, real)
        return len(real) == len(jobs)

    def _fire(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.error is None:
                self.problem = ""
            elif not isinstance(job.error, StaleClaim):
                self.problem = str(job.error)
            job.fire(self._onBug)
