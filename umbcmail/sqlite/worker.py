"""A thread with a database connection of its own, that works off jobs.

A store has one that writes and does all that waits in one transaction, and one that
reads.  Jobs are done in the order in which they are given; their Deferreds are
fired in the reactor's thread, those of one round in one call.  No exception ends
the thread, and none but the errors of the store come out of it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Job:
    """Something to be done in the thread.

    @ivar run: called with the connection.
    @ivar deferred: fires with what C{run} returns.
    """

    __slots__ = ("deferred", "error", "result", "run")

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self.run = run
        self.deferred: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: Exception | None = None

    def fail(self, why: Exception) -> None:
        """It can't be done."""
        self.result = None
        self.error = why


Work = Callable[[Any, "list[Job]"], None]
"""Does some jobs: sets the result of each, or calls its C{fail}."""


def oneByOne(connection: Any, jobs: list[Job]) -> None:
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
    @param errorOf: makes the store's error of any; gives one that is that already as it
        is.  Errors of SQLite and the file system are expected, all others are bugs.
    @param onBug: called in the reactor's thread with errors that nobody expected.
    @param answers: errors of the store that say nothing about how it is.
    @param pause: seconds from one round to the next at least: when much is to be done,
        more of it comes together, and threads that are awake in turns cost more than
        what they do.
    """

    def __init__(
        self,
        name: str,
        reactor: Any,
        connect: Callable[[], Any],
        work: Work,
        errorOf: Callable[[Exception], Exception],
        onBug: Callable[[Failure], None],
        answers: tuple[type[Exception], ...] = (),
        pause: float = 0.0,
    ) -> None:
        self.problem = ""
        self._name = name
        self._reactor = reactor
        self._connect = connect
        self._work = work
        self._errorOf = errorOf
        self._onBug = onBug
        self._answers = answers
        self._pause = pause
        self._next = 0.0  # monotonic time of the next round
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._opened: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()

    def start(self) -> Deferred[None]:
        """@return: fires when the connection is open, or fails with the store's error."""
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
            self._reactor.callFromThread(self._opened.errback, Failure(self._errorOf(why)))
            return
        self._reactor.callFromThread(self._opened.callback, None)
        while self._round(connection):
            pass
        try:
            connection.close()
        except sqlite3.Error:
            pass  # what has been committed is stable without it
        self._reactor.callFromThread(self._ended.callback, None)

    def _round(self, connection: Any) -> bool:
        """Wait for a job, do all that are there by then; False at the end."""
        jobs = [self._jobs.get()]
        if self._pause:
            left = self._next - monotonic()
            if left > 0:
                sleep(left)
            self._next = monotonic() + self._pause
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
                job.deferred.callback(job.result)
            else:
                self._fail(job, job.error)

    def _fail(self, job: Job, why: Exception) -> None:
        error = self._errorOf(why)
        if error is not why and not isinstance(why, (sqlite3.Error, OSError)):
            self._onBug(Failure(why))
        if not isinstance(error, self._answers):
            self.problem = str(error)
        job.deferred.errback(Failure(error))
