"""Tests of the line of hosts that wait for a place in their class."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import SpoolError
from umbcmail.queue.line import HOSTS, ON_THE_WAY, Line


class LineTests(SynchronousTestCase):
    """L{Line}.

    @ivar called: domains of which a message was called.
    """

    def setUp(self) -> None:
        """A line with two places."""
        self.clock = Clock()
        self.called: list[str] = []
        self.room = 2
        self.line = Line(self.clock, lambda queue: self.room, self.hasten)

    def hasten(self, queue: str, domains: Sequence[str], number: int, at: float) -> Deferred[int]:
        """As the spool has it."""
        self.called += domains
        return succeed(number)

    def wait(self, *hosts: str) -> None:
        """Messages for these find no place."""
        for host in hosts:
            self.line.wait(("remote", host), f"{host}.test")

    def test_order(self) -> None:
        """One message for each host, in the order of the hosts, as many as there are places."""
        self.wait("a", "b", "a", "c", "a", "d")
        self.line.go("remote")
        self.assertEqual(["a.test", "b.test"], self.called)
        self.line.go("remote")
        self.assertEqual(["a.test", "b.test"], self.called)
        self.line.come(("remote", "a"))
        self.line.come(("remote", "b"))
        self.room = 1
        self.line.go("remote")
        self.assertEqual(["a.test", "b.test", "c.test"], self.called)
        self.line.go("slow")

    def test_others(self) -> None:
        """Who was called and found that others were quicker is the first again; who comes late is not."""
        self.wait("a", "b", "c")
        self.line.go("remote")
        self.wait("a")
        self.room = 2
        self.line.go("remote")
        self.assertEqual(["a.test", "b.test", "a.test"], self.called)
        self.clock.rightNow += ON_THE_WAY
        self.wait("b")
        self.line.go("remote")
        self.assertEqual(["a.test", "b.test", "a.test", "c.test", "b.test"], self.called)

    def test_lost(self) -> None:
        """A message that was called does not come: after a while the next ones are called."""
        self.wait("a", "b", "c")
        self.line.go("remote")
        self.clock.advance(ON_THE_WAY - 0.1)
        self.assertEqual(2, len(self.called))
        self.clock.advance(0.1)
        self.assertEqual(["a.test", "b.test", "c.test"], self.called)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_trouble(self) -> None:
        """The spool can't be asked: the next ones come all the same."""
        self.line = Line(self.clock, lambda queue: 1, lambda queue, domains, number, at: fail(SpoolError("no")))
        self.wait("a", "b")
        self.line.go("remote")
        self.line.come(("remote", "a"))
        self.line.go("remote")

    def test_bound(self) -> None:
        """No more hosts are known than so many."""
        self.wait(*(f"h{n}" for n in range(HOSTS + 10)))
        self.room = HOSTS * 2
        self.line.go("remote")
        self.assertEqual(HOSTS, len(self.called))
