"""Tests of what puts crowds to rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import Crowd, SpoolError
from umbcmail.outcome import Outcome
from umbcmail.queue.crowds import KNOWN, MANY, PAUSE, PORTION, SOON, STEP, TOGETHER, Crowds
from umbcmail.queue.lane import Key
from umbcmail.reply import reply

KEY = ("remote", "mx.x.test[192.0.2.1]:25")
WHY = Outcome(reply(451, "4.4.1", "Does not answer"), KEY[1], "queue")


class CrowdsTests(SynchronousTestCase):
    """L{Crowds}.

    @ivar calls: of the spool: class, crowds and where to go on.
    @ivar answers: to them.
    @ivar proven: hosts that take mail.
    """

    def setUp(self) -> None:
        """One."""
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.calls: list[tuple[str, Sequence[Crowd], Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self.proven: set[Key] = set()
        self.crowds = Crowds(self.clock, lambda key: key not in self.proven, self.putOff)

    def putOff(self, queue: str, crowds: Sequence[Crowd], limit: int, place: Any) -> Deferred[tuple[int, Any]]:
        """As the spool has it."""
        self.assertEqual(PORTION, limit)
        self.calls.append((queue, crowds, place))
        return succeed(self.answers.pop(0) if self.answers else (0, None))

    def gather(self, count: int, domain: str = "x.test", key: Key = KEY) -> None:
        """Some messages."""
        for _ in range(count):
            self.crowds.gather(key, domain, 1010.0, 2800.0, WHY)

    def test_one(self) -> None:
        """Where several of a domain are to rest in a short time all that are due before rest, by portions, one after
        the other."""
        self.gather(MANY - 1)
        self.gather(MANY - 1, "y.test")
        self.clock.advance(SOON)
        self.assertEqual([], self.calls)
        self.answers = [(400, "here"), (0, "there"), (7, None)]
        self.gather(9)
        self.clock.advance(SOON)
        self.clock.pump([PAUSE] * 9)
        self.assertEqual([(KEY[0], None), (KEY[0], "here"), (KEY[0], "there")], [(q, p) for q, _, p in self.calls])
        begins = [2800.0, 2800.0 + 400 * STEP, 2800.0 + 400 * STEP]
        for begin, (_, crowds, _) in zip(begins, self.calls, strict=True):
            self.assertEqual([Crowd("x.test", 1010.0, begin, STEP, WHY)], crowds)

    def test_together(self) -> None:
        """Several crowds of a class are put to rest together, those of other classes by themselves; what comes
        meanwhile is for the next time."""
        self.answers = [(1000, "here"), (3, None)]
        self.gather(MANY)
        self.gather(MANY, "y.test")
        self.gather(MANY, "x.test", ("slow", KEY[1]))
        self.clock.advance(SOON)
        self.gather(MANY, "z.test")
        self.assertEqual(
            [("remote", ["x.test", "y.test"]), ("slow", ["x.test"])],
            [(queue, [crowd.lane for crowd in crowds]) for queue, crowds, _ in self.calls],
        )
        self.clock.pump([SOON] * 9)
        self.assertEqual(["x.test", "y.test"], [crowd.lane for crowd in self.calls[2][1]])
        self.assertEqual(["z.test"], [crowd.lane for crowd in self.calls[3][1]])
        self.assertEqual(4, len(self.calls))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_seldom(self) -> None:
        """Some now and then are no crowd."""
        for _ in range(MANY * 2):
            self.gather(1)
            self.clock.advance(TOGETHER / (MANY - 1) + 0.1)
        self.assertEqual([], self.calls)

    def test_takesMail(self) -> None:
        """A host turns out to take mail: the rest of its crowd is left as it is."""
        self.answers = [(1000, "here"), (1000, "there"), (1, None)]
        other: Key = ("remote", "other")
        self.gather(MANY)
        self.gather(MANY, "y.test", other)
        self.clock.advance(SOON)
        self.proven.add(KEY)
        self.clock.advance(PAUSE)
        self.assertEqual(["y.test"], [crowd.lane for crowd in self.calls[1][1]])
        self.proven.add(other)
        self.clock.pump([PAUSE] * 9)
        self.assertEqual(2, len(self.calls))
        self.proven.clear()
        self.gather(MANY)
        self.clock.advance(SOON)
        self.assertEqual(3, len(self.calls))

    def test_trouble(self) -> None:
        """The spool can't be asked: each is looked at as it comes, until there is a crowd again."""
        self.crowds = Crowds(self.clock, lambda key: True, lambda *args: fail(SpoolError("no")))
        for _ in range(2):
            self.gather(MANY)
            self.clock.advance(SOON)
            self.assertEqual([], self.clock.getDelayedCalls())

    def test_slow(self) -> None:
        """A spool that is slow has nineteen times as long without us."""
        waits: list[Deferred[tuple[int, Any]]] = [Deferred(), Deferred()]
        self.crowds = Crowds(self.clock, lambda key: True, lambda *args: self.calls.append(args[:3]) or waits.pop(0))
        first = waits[0]
        self.gather(MANY)
        self.clock.advance(SOON)
        self.clock.advance(3.0)
        first.callback((1000, "here"))
        self.clock.advance(56.9)
        self.assertEqual(1, len(self.calls))
        self.clock.advance(0.1)
        self.assertEqual(2, len(self.calls))

    def test_bound(self) -> None:
        """No more domains are counted than so many."""
        for n in range(KNOWN + 10):
            self.gather(1, f"d{n}.test")
        self.assertLessEqual(len(self.crowds._counted), KNOWN)
