"""Tests of L{umbcmail.state.sharedhosts}: what comes of it when stores answer at bad moments."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.hoststatus import HostStatus, unknown
from umbcmail.sighting import StateError
from umbcmail.state.sharedhosts import Change, Changed, SharedHosts

HOST = "mx.example[192.0.2.1]:25"
NOW = 1000.0


class Store(SharedHosts):
    """Answers when a test wants.

    @ivar asked: what has been asked, and was not answered.
    """

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.asked: list[tuple[str, Change, Deferred[Changed]]] = []

    def _change(self, host: str, change: Change) -> Deferred[Changed]:
        """See L{SharedHosts._change}."""
        answer: Deferred[Changed] = Deferred()
        self.asked.append((host, change, answer))
        return answer

    def fail(self) -> None:
        """The store is away."""
        self.asked.pop(0)[2].errback(Failure(StateError("away")))

    def reply(self, number: int, before: HostStatus) -> HostStatus:
        """It does what is asked.  @return: what it has then."""
        _, change, answer = self.asked.pop(0)
        after = change(before)
        answer.callback(Changed(number, before, after))
        return after


class SharedHostsTests(SynchronousTestCase):
    """What one process has found out while the store was away."""

    def setUp(self) -> None:
        """It has failed later than others have seen it answer, and nobody could be told."""
        self.store = Store()
        self.store.failed(HOST, "refused", NOW)
        self.store.fail()
        self.fine = HostStatus(HOST, last=NOW - 10)

    def failures(self) -> int:
        """In a row, as this process knows them."""
        known = self.store.find(HOST, NOW)
        return known.failures if known else 0

    def handIn(self) -> None:
        """The store is back, and takes it."""
        self.store.share()
        self.assertEqual(self.store.reply(8, self.fine).failures, 1)
        self.assertEqual((self.failures(), self.store._unshared), (1, set()))

    def test_heardBefore(self) -> None:
        """What is heard of others before it is handed in is older, and changes nothing."""
        self.store._heard(7, self.fine)
        self.assertEqual(self.failures(), 1)
        self.handIn()

    def test_heardMeanwhile(self) -> None:
        """The same while it is handed in, also when that fails."""
        self.store.share()
        self.store._heard(7, self.fine)
        self.store.fail()
        self.assertEqual((self.failures(), self.store._unshared), (1, {HOST}))
        self.handIn()

    def test_heardOfOurs(self) -> None:
        """What others have made of it is heard before the answer: that counts, whatever its time."""
        self.store.share()
        self.store._heard(9, self.fine)
        self.store.reply(8, unknown(HOST))
        self.assertEqual((self.failures(), self.store._unshared), (0, set()))

    def test_heardOfOursToldWithMore(self) -> None:
        """The same when it is told with the next thing that is found out; and when that fails it is still there."""
        self.store.failed(HOST, "refused", NOW + 900)
        self.store._heard(9, self.fine)
        self.assertEqual(self.store.reply(8, unknown(HOST)).failures, 2)
        self.assertEqual((self.failures(), self.store._unshared), (0, set()))
        self.setUp()
        self.store.failed(HOST, "refused", NOW + 900)
        self.store._heard(9, self.fine)
        self.store.fail()
        self.assertEqual((self.failures(), self.store._unshared), (2, {HOST}))

    def test_heardLater(self) -> None:
        """What is later counts, and is what is handed in."""
        later = HostStatus(HOST, last=NOW + 10)
        self.store._heard(7, later)
        self.assertEqual(self.failures(), 0)
        self.store.share()
        self.assertEqual(self.store.reply(8, unknown(HOST)), later)
