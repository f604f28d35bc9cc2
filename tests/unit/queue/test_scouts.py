"""Tests of when messages come back that wait for a host nobody knows an end of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import Crowd
from umbcmail.hoststatus import HostStatus
from umbcmail.outcome import Outcome
from umbcmail.queue.crowds import MANY, SOON, STEP
from umbcmail.queue.lane import Key
from umbcmail.queue.scouts import AHEAD, APART, LONGEST, REST, SCOUTS, Scouts
from umbcmail.reply import reply

KEY = ("remote", "mx.x.test[192.0.2.1]:25")
WHY = Outcome(reply(451, "4.4.1", "Does not answer"), KEY[1], "queue")


def status(again: float, since: float = 0.0) -> HostStatus:
    """It does not answer, and may be looked at again then."""
    return HostStatus(KEY[1], 1, since, again - 60.0, again)


class ScoutTests(SynchronousTestCase):
    """L{Scouts}.

    @ivar put: crowds that were put to rest.
    """

    def setUp(self) -> None:
        """One."""
        self.clock = Clock()
        self.put: list[Sequence[Crowd]] = []
        self.scouts = Scouts(self.clock, lambda key: True, self.putOff)

    def putOff(self, queue: str, crowds: Sequence[Crowd], limit: int, place: Any) -> Deferred[tuple[int, Any]]:
        """As the spool has it."""
        self.put.append(crowds)
        return succeed((0, None))

    def look(self, at: HostStatus, key: Key = KEY, domain: str = "x.test") -> float:
        """One more message."""
        return self.scouts.look(key, at, domain, WHY)

    def test_look(self) -> None:
        """Two come when it is time to look, the others rest; those of other classes and hosts are apart."""
        self.assertEqual([60.0, 60.0 + APART], [self.look(status(60.0)) for _ in range(2)])
        for _ in range(100):
            self.assertTrue(REST <= self.look(status(60.0)) <= (REST + 110 * STEP) * 1.25)
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
            self.assertTrue(all(least <= at <= least * 1.25 + 100 * STEP for at in rest), (age, rest))
            self.assertGreater(len(set(rest)), 40)

    def test_veryMany(self) -> None:
        """They come one after the other, but none later than in some hours."""
        rest = sorted(self.scouts.rest(KEY, "x.test", WHY) for _ in range(200_000))
        self.assertLess(sum(at < REST + 600 for at in rest), 600 / STEP * 1.1)
        self.assertLessEqual(rest[-1], LONGEST * 1.25)

    def test_forget(self) -> None:
        """The host answers: who comes next is the first again."""
        for _ in range(2):
            self.look(status(60.0))
        self.scouts.forget(KEY)
        self.assertEqual(60.0, self.look(status(60.0)))

    def test_crowd(self) -> None:
        """Where several of a domain wait others of it rest too: those that are due before it is time to look, or within
        a while, or now where it is not known when it is."""
        self.clock.advance(1000.0)
        for _ in range(SCOUTS + MANY):
            self.look(status(1060.0))
            self.look(status(9000.0), ("remote", "other"), "y.test")
        for _ in range(MANY):
            self.scouts.rest(("remote", "unknown"), "z.test", WHY)
        self.clock.advance(SOON)
        [crowds] = self.put
        found = {crowd.lane: (crowd.before, crowd.begin) for crowd in crowds}
        rested = 1000.0 + REST
        self.assertEqual(
            {"x.test": (1060.0, rested), "y.test": (1000.0 + AHEAD, rested), "z.test": (1000.0, rested)}, found
        )
