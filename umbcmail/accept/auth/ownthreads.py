"""Threads of its own for a library that may block for long, and can't be stopped.

`krb5` runs the Kerberos library here, which waits half a minute for a KDC that does
not answer.  Only so many calls run and wait, and nobody waits for one longer than
the deadline; a call that is late goes on in its thread, and nobody hears of it any
more.  Threads are daemons: the process ends without waiting for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure


class Overdue(OSError):
    """A call has not come back in time."""


class Crowded(OSError):
    """Too many calls are waiting already."""


class _Call:
    """A function that is to be called, and who waits for it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function: Callable[[], Any] | None = function
        self.result: Deferred[Any] = Deferred()
        self.timer: Any = None

    def finish(self, result: Any) -> None:
        """There is an answer, or it is too late for one; the first counts."""
        waits, self.function = self.result.called, None
        if self.timer.active():
            self.timer.cancel()
        if not waits:
            self.result.callback(result)


def startDaemon(function: Callable[[], None]) -> None:
    """Start a thread that the process does not wait for when it ends."""
    Thread(target=function, daemon=True, name="own").start()


class OwnThreads:
    """A few threads, one for each call."""

    def __init__(
        self,
        reactor: Any,
        what: str,
        size: int,
        waiting: int,
        deadline: float,
        start: Callable[[Callable[[], None]], None] = startDaemon,
    ) -> None:
        """
        @param what: who is called; for the texts of errors.
        @param size: calls at the same time.
        @param waiting: calls that may wait for a thread.
        @param deadline: seconds for waiting and calling.
        @param start: starts a thread.
        """
        self._reactor = reactor
        self._what = what
        self._size = size
        self._limit = waiting
        self._deadline = deadline
        self._start = start
        self._running = 0
        self._waiting: deque[_Call] = deque()

    def run(self, function: Callable[[], Any]) -> Deferred[Any]:
        """Call something in a thread.

        @return: L{Deferred} of what it returns; fails with what it raises, with
            L{Overdue} or L{Crowded}.
        """
        if len(self._waiting) >= self._limit:
            return fail(Crowded(f"{self._what}: {self._running} calls run and {self._limit} wait already"))
        call = _Call(function)
        call.timer = self._reactor.callLater(self._deadline, self._late, call)
        self._waiting.append(call)
        self._next()
        return call.result

    def _late(self, call: _Call) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
        call.finish(Failure(Overdue(f"{self._what}: no answer within {self._deadline:g} s")))

    def _next(self) -> None:
        while self._waiting and self._running < self._size:
            call = self._waiting.popleft()
            try:
                self._start(self._work(call))
            except RuntimeError as why:  # no thread to be had
                call.finish(Failure(Crowded(f"{self._what}: {why}")))
                continue
            self._running += 1

    def _work(self, call: _Call) -> Callable[[], None]:
        function = call.function
        assert function is not None

        def work() -> None:
            result: Any
            try:
                result = function()
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(self._done, call, result)

        return work

    def _done(self, call: _Call, result: Any) -> None:
        self._running -= 1
        self._next()
        if isinstance(result, Failure):
            result.cleanFailure()
        call.finish(result)
