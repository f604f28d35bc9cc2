"""L{umbcmail.accept.auth.ownthreads}: calls that may block, with bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.auth.ownthreads import Crowded, Overdue, OwnThreads, startDaemon


class Reactor(Clock):
    """What is called from a thread is called at once."""

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """See L{IReactorFromThreads}."""
        function(*arguments)


class OwnThreadsTests(SynchronousTestCase):
    """What a caller may rely on."""

    def setUp(self) -> None:
        """Two threads, which run when the test lets them."""
        self.clock = Reactor()
        self.started: list[Callable[[], None]] = []
        self.threads = OwnThreads(self.clock, "the KDC", 2, 3, 10.0, self.started.append)

    def test_results(self) -> None:
        """What a call returns or raises is the result."""
        right, wrong = self.threads.run(lambda: 7), self.threads.run(lambda: 1 // 0)
        self.assertNoResult(right)
        for work in self.started:
            work()
        self.assertEqual(7, self.successResultOf(right))
        self.failureResultOf(wrong, ZeroDivisionError)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_turns(self) -> None:
        """So many run at a time, the others in the order in which they came."""
        results = [self.threads.run(lambda n=n: n) for n in range(5)]
        self.assertEqual(2, len(self.started))
        for n in range(5):
            self.started[n]()
            self.assertEqual(n, self.successResultOf(results[n]))
        self.assertEqual(5, len(self.started))

    def test_crowded(self) -> None:
        """Over the number that may wait there is an answer at once."""
        waiting = [self.threads.run(lambda: 0) for _ in range(5)]
        why = self.failureResultOf(self.threads.run(lambda: 0), Crowded)
        self.assertEqual("the KDC: 2 calls run and 3 wait already", why.getErrorMessage())
        self.started[0]()
        waiting.append(self.threads.run(lambda: 0))
        self.assertEqual(0, self.successResultOf(waiting.pop(0)))
        for each in waiting:
            self.assertNoResult(each)

    def test_overdue(self) -> None:
        """Nobody waits longer than the deadline, whether the call runs or waits, and a
        call that nobody waits for is not begun."""
        called: list[int] = []
        results = [self.threads.run(lambda n=n: called.append(n)) for n in range(3)]
        self.clock.advance(9.9)
        late = self.threads.run(lambda: called.append(9))
        self.assertNoResult(results[2])
        self.clock.advance(0.1)
        for each in results:
            why = self.failureResultOf(each, Overdue)
            self.assertEqual("the KDC: no answer within 10 s", why.getErrorMessage())
        self.started[0]()
        self.started[1]()
        self.started[2]()
        self.assertEqual([0, 1, 9], called)
        self.assertIsNone(self.successResultOf(late))

    def test_threadsAreHeld(self) -> None:
        """A call that is overdue keeps its thread until it comes back: there are never
        more."""
        for _ in range(4):
            first, second = (self.threads.run(lambda: 0) for _ in range(2))
            self.clock.advance(10)
            self.failureResultOf(first, Overdue)
            self.failureResultOf(second, Overdue)
        self.assertEqual(2, len(self.started))
        self.started[0]()
        last = self.threads.run(lambda: 5)
        self.started[2]()
        self.assertEqual(5, self.successResultOf(last))

    def test_noThread(self) -> None:
        """Where the system has no thread left, that is the answer."""

        def start(function: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        threads = OwnThreads(self.clock, "the KDC", 1, 3, 10.0, start)
        for _ in range(3):
            self.failureResultOf(threads.run(lambda: 0), Crowded)

    def test_daemons(self) -> None:
        """The process does not wait for threads when it ends."""
        seen: list[threading.Thread] = []
        done = threading.Event()

        def work() -> None:
            seen.append(threading.current_thread())
            done.set()

        startDaemon(work)
        self.assertTrue(done.wait(20))
        self.assertTrue(seen[0].daemon)
        self.assertIsNot(threading.current_thread(), seen[0])
