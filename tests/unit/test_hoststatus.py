"""Tests of what is known of hosts that do not answer."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.hoststatus import FORGOTTEN, KEPT, Waits, statusOf, unknown
from umbcmail.state.memoryhosts import MemoryHosts

HOST = "mx.example:25"


class HostStatusTests(SynchronousTestCase):
    """L{HostStatus}."""

    def test_waits(self) -> None:
        """Waits double up to the longest; the first failure is remembered."""
        status, now, waits = unknown(HOST), 1000.0, []
        for _ in range(8):
            status = status.afterFailure("refused", now, Waits())
            waits.append(status.again - now)
            now = status.again
        self.assertEqual([60.0, 120.0, 240.0, 480.0, 900.0, 900.0], waits[:6])
        self.assertEqual(11.0, unknown(HOST).afterFailure("refused", 10.0, Waits(1.0, 5.0)).again)
        self.assertEqual((1000.0, 8), (status.since, status.failures))

    def test_together(self) -> None:
        """Attempts that were under way when the first of them failed count once; a probe counts by itself."""
        status = unknown(HOST).afterFailure("refused", 1000.0)
        same = status.afterFailure("timeout", 1010.0)
        self.assertIs(status, same)
        probing = replace(same, probed=1120.0)
        self.assertEqual((2, 1230.0, 0.0), _shown(probing.afterFailure("timeout", 1110.0, Waits())))

    def test_mayProbe(self) -> None:
        """When the wait is over, nobody else is at it, and no operator has suspended it."""
        status = unknown(HOST).afterFailure("refused", 1000.0, Waits())
        self.assertEqual([False, True], [status.mayProbe(now) for now in (1059.0, 1060.0)])
        self.assertFalse(replace(status, probed=2000.0).mayProbe(1999.0))
        self.assertTrue(replace(status, probed=2000.0).mayProbe(2000.0))
        self.assertFalse(replace(status, suspended="works on it").mayProbe(9e9))

    def test_answers(self) -> None:
        """Nothing is left of its failures; a suspension is."""
        status = replace(unknown(HOST).afterFailure("refused", 1000.0), suspended="moves")
        self.assertEqual(replace(unknown(HOST), last=1001.0, suspended="moves"), status.afterAnswer(1001.0))
        resumed = status.afterResumption(1002.0)
        self.assertEqual((True, False), (resumed.isFine, status.isFine))
        self.assertIs(resumed, resumed.afterAnswer(1003.0))
        self.assertEqual([False, True], [resumed.isForgotten(1002.0 + KEPT + n) for n in (-1, 0)])

    def test_newer(self) -> None:
        """The later of two holds, but for a suspension: that is known where anything is."""
        old = unknown(HOST).afterFailure("refused", 1000.0)
        new = replace(unknown(HOST).afterFailure("timeout", 1001.0), suspended="moves")
        self.assertIs(new, new.newer(old))
        self.assertIs(new, unknown(HOST).newer(new))
        self.assertEqual(replace(new, suspended=""), old.newer(new))
        self.assertEqual(replace(old, probed=9e9), old.newer(replace(old, probed=9e9)))
        self.assertEqual(replace(old, suspended="moves"), replace(new, last=999.0).newer(old))

    def test_text(self) -> None:
        """What is kept is the same when it is read, and what later versions add does no harm."""
        status = replace(unknown("unix:/run/\xe4 b"), failures=2, why='no "way"', last=1e9 / 7)
        self.assertEqual(status, statusOf(status.text()))
        self.assertEqual(status, statusOf(status.text().replace("{", '{"more": [1], ', 1)))


class MemoryHostsTests(SynchronousTestCase):
    """L{MemoryHosts}."""

    def test_forgotten(self) -> None:
        """A host that nobody has asked for in a day is left out, a suspended one never."""
        hosts = MemoryHosts({})
        self.successResultOf(hosts.failed(HOST, "refused", 1000.0))
        self.successResultOf(hosts.suspend("other.example:25", "moves", 1000.0))
        self.assertIsNotNone(hosts.find(HOST, 999.0 + FORGOTTEN))
        found = self.successResultOf(hosts.listing(1000.0 + FORGOTTEN))
        self.assertEqual(["other.example:25"], [status.host for status in found])


def _shown(status: object) -> tuple[object, ...]:
    return tuple(getattr(status, name) for name in ("failures", "again", "probed"))
