"""Tests of L{umbcmail.state.rostercopy}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.sighting import Sighting
from umbcmail.state.rostercopy import Copy


def copyOf(**entries: float) -> Copy:
    """A copy with entries that expire then."""
    copy = Copy()
    for address, expires in entries.items():
        copy.add(Sighting(address, expires))
    return copy


class CopyTests(SynchronousTestCase):
    """What a process knows."""

    def test_find(self) -> None:
        """Until it expires, and not from then on."""
        copy = copyOf(a=10.0)
        self.assertEqual(copy.find("a", 9.9), Sighting("a", 10.0))
        self.assertIsNone(copy.find("a", 10.0))
        self.assertIsNone(copy.find("b", 0.0))

    def test_neverShorter(self) -> None:
        """What would expire sooner changes the reporter only."""
        copy = copyOf(a=10.0)
        copy.add(Sighting("a", 5.0, "r"))
        self.assertEqual(copy.find("a", 0.0), Sighting("a", 10.0, "r"))
        copy.add(Sighting("a", 15.0, "s"))
        self.assertEqual(copy.find("a", 0.0), Sighting("a", 15.0, "s"))

    def test_news(self) -> None:
        """What is published is done in its order; times are exact."""
        copy = copyOf(a=10.0, b=10.0)
        copy.hear([["remove", "a"], ["add", "a", "5.125000000000001", "r"], ["add", "c", "7.0", ""], ["remove", "b"]])
        copy.hear([["remove", "nobody"]])
        self.assertEqual(sorted(copy.entries), ["a", "c"])
        self.assertEqual(copy.find("a", 0.0), Sighting("a", 5.125000000000001, "r"))

    def test_beyond(self) -> None:
        """What another one lacks is what it does not have, or not for as long, and what has
        not expired."""
        mine, other = copyOf(a=10.0, b=10.0, c=10.0, d=1.0), copyOf(b=10.0, c=9.0, e=10.0)
        self.assertEqual([each.address for each in mine.beyond(other, 1.0)], ["a", "c"])
        self.assertEqual(other.beyond(mine, 1.0), [Sighting("e", 10.0)])

    def test_purge(self) -> None:
        """What has expired goes."""
        copy = copyOf(a=10.0, b=11.0)
        copy.purge(10.0)
        self.assertEqual((list(copy.entries), len(copy)), (["b"], 1))
