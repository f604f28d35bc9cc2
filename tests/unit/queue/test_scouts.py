"""Tests of when messages come back that wait for a host nobody knows an end of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.hoststatus import HostStatus
from umbcmail.queue.scouts import APART, EACH, LONGEST, REST, Scouts

KEY = ("remote", "mx.x.test[192.0.2.1]:25")


def status(again: float, since: float = 0.0) -> HostStatus:
    """It does not answer, and may be looked at again then."""
    return HostStatus(KEY[1], 1, since, again - 60.0, again)


class ScoutTests(SynchronousTestCase):
    """L{Scouts}."""

    def setUp(self) -> None:
        """One."""
        self.scouts = Scouts()

    def test_look(self) -> None:
        """Two come when it is time to look, the others rest; those of other classes and hosts are apart."""
        self.assertEqual([60.0, 60.0 + APART], [self.scouts.look(KEY, status(60.0), 0.0) for _ in range(2)])
        for _ in range(100):
            self.assertTrue(REST <= self.scouts.look(KEY, status(60.0), 0.0) <= (REST + 100 * EACH) * 1.25)
        self.assertEqual(60.0, self.scouts.look(("slow", KEY[1]), status(60.0), 0.0))
        self.assertEqual(60.0, self.scouts.look(("remote", "other"), status(60.0), 0.0))

    def test_again(self) -> None:
        """When their time is over others take their place, and when it is time sooner than they come."""
        for _ in range(3):
            self.scouts.look(KEY, status(60.0), 0.0)
        self.assertEqual(120.0, self.scouts.look(KEY, status(120.0), 60.0))
        self.scouts.look(KEY, status(120.0), 60.0)
        self.assertGreater(self.scouts.look(KEY, status(120.0), 60.0), REST)
        self.assertEqual(1000.0, self.scouts.look(KEY, status(1000.0), 200.0))
        self.assertEqual(220.0, self.scouts.look(KEY, status(220.0), 200.0))

    def test_deadForLong(self) -> None:
        """Half as long as the host has been dead, but some hours."""
        for age, least in ((10.0, REST), (2 * 7200.0, 7200.0), (10 * 86400.0, LONGEST)):
            rest = [self.scouts.look(("remote", str(age)), status(60.0, -age), 0.0) for _ in range(50)][2:]
            self.assertTrue(all(least <= at <= least * 1.25 + 50 * EACH for at in rest), (age, rest))
            self.assertGreater(len(set(rest)), 40)

    def test_veryMany(self) -> None:
        """They come one after the other, but none later than in some hours."""
        rest = sorted(self.scouts.rest("remote", 0.0) for _ in range(200_000))
        self.assertLess(sum(at < REST + 600 for at in rest), 600 / EACH * 1.1)
        self.assertLessEqual(rest[-1], LONGEST * 1.25)

    def test_forget(self) -> None:
        """The host answers: who comes next is the first again."""
        for _ in range(2):
            self.scouts.look(KEY, status(60.0), 0.0)
        self.scouts.forget(KEY)
        self.assertEqual(60.0, self.scouts.look(KEY, status(60.0), 0.0))
