"""Tests of L{umbcmail.state.known}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.sighting import Sighting
from umbcmail.state.known import Known
from umbcmail.state.rows import KEPT

NOW = 1_700_000_000.0
A, B = "192.0.2.1", "192.0.2.2"


def seen(address: str = A, seconds: float = 100.0) -> Sighting:
    """An entry that expires that many seconds from now."""
    return Sighting(address, NOW + seconds)


class KnownTests(SynchronousTestCase):
    """What a process knows."""

    def setUp(self) -> None:
        """Nothing, and nobody has removed anything."""
        self.known = Known()
        self.known.begin(0, NOW)

    def test_expires(self) -> None:
        """An entry holds until it expires, and goes with the next sweep."""
        self.known.put(seen(), 0)
        self.assertEqual(self.known.get(A, NOW + 99), seen())
        self.assertIsNone(self.known.get(A, NOW + 100))
        self.assertIsNone(self.known.get(B, NOW))
        self.known.sweep(NOW + 99)
        self.assertEqual(len(self.known), 1)
        self.known.sweep(NOW + 100)
        self.assertEqual(len(self.known), 0)

    def test_longest(self) -> None:
        """An answer that comes late makes nothing shorter."""
        self.known.put(seen(seconds=200), 0)
        self.known.put(seen(seconds=100), 0)
        self.assertEqual(self.known.get(A, NOW), seen(seconds=200))

    def test_removedByOthers(self) -> None:
        """Removals of others are seen when they are read, in order."""
        self.known.put(seen(A), 5)
        self.known.put(seen(B), 5)
        self.known.catchUp([(6, A), (7, "192.0.2.9")], NOW)
        self.assertIsNone(self.known.get(A, NOW))
        self.assertEqual(self.known.get(B, NOW), seen(B))
        self.assertEqual(self.known.read, 7)

    def test_removedByUs(self) -> None:
        """A removal of our own holds at once, and does not skip those of others."""
        self.known.put(seen(A), 5)
        self.known.put(seen(B), 5)
        self.known.removed(A, 7)
        self.assertIsNone(self.known.get(A, NOW))
        self.assertEqual(self.known.read, 0)
        self.known.catchUp([(6, B), (7, A)], NOW)
        self.assertIsNone(self.known.get(B, NOW))

    def test_lateAnswer(self) -> None:
        """What was read before a removal that is known by now does not come in: the
        entry may be the one that was removed."""
        self.known.removed(A, 7)
        self.known.put(seen(A), 6)
        self.assertIsNone(self.known.get(A, NOW))
        self.known.put(seen(A), 7)
        self.assertEqual(self.known.get(A, NOW), seen(A))

    def test_slept(self) -> None:
        """Who has not looked for longer than removals are kept knows nothing any more."""
        self.known.put(seen(seconds=10 * KEPT), 0)
        self.known.catchUp([], NOW + KEPT / 4)
        self.assertEqual(len(self.known), 1)
        self.known.catchUp([], NOW + KEPT)
        self.assertEqual(len(self.known), 0)
