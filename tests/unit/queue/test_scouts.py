"""Tests of when messages come back that wait for a host nobody knows an end of."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import SpoolError
from umbcmail.hoststatus import HostStatus
from umbcmail.outcome import Outcome
from umbcmail.queue.scouts import APART, CROWD, EACH, LONGEST, PORTION, REST, TOGETHER, Key, Scouts
from umbcmail.reply import reply

KEY = ("remote", "mx.x.test[192.0.2.1]:25")
WHY = Outcome(reply(451, "4.4.1", "Does not answer"), KEY[1], "queue")


def status(again: float, since: float = 0.0) -> HostStatus:
    """It does not answer, and may be looked at again then."""
    return HostStatus(KEY[1], 1, since, again - 60.0, again)


class ScoutTests(SynchronousTestCase):
    """L{Scouts}.

    @ivar put: calls that put messages to rest.
    @ivar left: messages that are there for each call.
    """

    def setUp(self) -> None:
        """One."""
        self.clock = Clock()
        self.put: list[tuple[Any, ...]] = []
        self.left: list[int] = []
        self.dark = True
        self.scouts = Scouts(self.clock, lambda key: self.dark, self.putOff)

    def putOff(self, *args: Any) -> Deferred[int]:
        """As the spool has it."""
        self.put.append(args)
        return succeed(self.left.pop(0) if self.left else 0)

    def look(self, at: HostStatus, key: Key = KEY, domain: str = "x.test") -> float:
        """One more message."""
        return self.scouts.look(key, at, domain, WHY)

    def test_look(self) -> None:
        """Two come when it is time to look, the others rest; those of other classes and hosts are apart."""
        self.assertEqual([60.0, 60.0 + APART], [self.look(status(60.0)) for _ in range(2)])
        for _ in range(100):
            self.assertTrue(REST <= self.look(status(60.0)) <= (REST + 110 * EACH) * 1.25)
        self.assertEqual(60.0, self.look(status(60.0), ("slow", KEY[1])))
        self.assertEqual(60.0, self.look(status(60.0), ("remote", "other")))

    def test_again(self) -> None:
        """When their time is over others take their place, and when it is time sooner than they come."""
        for _ in range(3):
            self.look(status(60.0))
        self.clock.advance(60.0)
        self.assertEqual(120.0, self.look(status(120.0)))
        self.look(status(120.0))
        self.assertGreater(self.look(status(120.0)), REST)
        self.clock.advance(140.0)
        self.assertEqual(1000.0, self.look(status(1000.0)))
        self.assertEqual(220.0, self.look(status(220.0)))

    def test_deadForLong(self) -> None:
        """Half as long as the host has been dead, but some hours."""
        for age, least in ((10.0, REST), (2 * 7200.0, 7200.0), (10 * 86400.0, LONGEST)):
            rest = [self.look(status(60.0, -age), ("remote", str(age))) for _ in range(50)][2:]
            self.assertTrue(all(least <= at <= least * 1.25 + 100 * EACH for at in rest), (age, rest))
            self.assertGreater(len(set(rest)), 40)

    def test_veryMany(self) -> None:
        """They come one after the other, but none later than in some hours."""
        rest = sorted(self.scouts.rest(KEY, "x.test", WHY) for _ in range(200_000))
        self.assertLess(sum(at < REST + 600 for at in rest), 600 / EACH * 1.1)
        self.assertLessEqual(rest[-1], LONGEST * 1.25)

    def test_forget(self) -> None:
        """The host answers: who comes next is the first again."""
        for _ in range(2):
            self.look(status(60.0))
        self.scouts.forget(KEY)
        self.assertEqual(60.0, self.look(status(60.0)))

    def test_crowd(self) -> None:
        """Where several of a domain are to rest in a short time all that were due before rest, by portions, and each
        in a time of its own."""
        self.clock.advance(1000.0)
        self.left = [PORTION, PORTION, 7]
        for _ in range(CROWD - 1):
            self.scouts.rest(KEY, "x.test", WHY)
            self.scouts.rest(KEY, "y.test", WHY)
        self.assertEqual([], self.put)
        for _ in range(10):
            self.scouts.rest(KEY, "x.test", WHY)
        self.clock.pump([1.0] * 9)
        self.assertEqual(3, len(self.put))
        for queue, domain, number, before, begin, end, why in self.put:
            self.assertEqual(("remote", "x.test", PORTION, 1000.0, WHY), (queue, domain, number, before, why))
            self.assertTrue(1000.0 + REST <= begin < end <= 1000.0 + REST * 1.25 + 3000)
        self.assertGreaterEqual(self.put[1][4], self.put[0][4] + PORTION * EACH)
        self.assertGreaterEqual(self.scouts.rest(KEY, "z.test", WHY), self.put[2][4])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_noCrowd(self) -> None:
        """Some now and then are none."""
        for _ in range(CROWD * 2):
            self.scouts.rest(KEY, "x.test", WHY)
            self.clock.advance(TOGETHER / (CROWD - 1) + 0.1)
        self.assertEqual([], self.put)

    def test_takesMail(self) -> None:
        """The host turns out to take mail: the rest of the crowd is left as it is."""
        self.left = [PORTION] * 9
        for _ in range(CROWD):
            self.scouts.rest(KEY, "x.test", WHY)
        self.dark = False
        self.clock.advance(1.0)
        self.assertEqual(1, len(self.put))

    def test_trouble(self) -> None:
        """The spool can't be asked: each is looked at as it comes, until there is a crowd again."""
        self.scouts = Scouts(self.clock, lambda key: True, lambda *args: fail(SpoolError("no")))
        for _ in range(CROWD * 2):
            self.scouts.rest(KEY, "x.test", WHY)
        self.assertEqual([], self.clock.getDelayedCalls())
