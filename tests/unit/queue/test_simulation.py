"""A small simulation: what C{script/simulate} does for longer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.heapclock import HeapClock
from tests.simulation.ledger import Ledger
from tests.simulation.report import findings, shown
from tests.simulation.run import Run
from tests.simulation.world import BEGIN, DAY, World
from umbcmail.content import MemoryContent
from umbcmail.envelope import Envelope, Recipient


class SimulationTests(SynchronousTestCase):
    """The queues in a world of a hundred destinations, for half a day and until nothing waits any more."""

    def test_promises(self) -> None:
        """Nothing is lost, nothing is sent twice, and what is wrong with some destinations does not show elsewhere."""
        result = Run(3000, 100, 0.3, processes=2).run()
        without = Run(3000, 100, 0.3, isWithout=True).run()
        missed = [str(finding) for finding in findings(result, without) if not finding.isKept]
        self.assertEqual([], missed, shown(result, without))
        self.assertEqual(3000, result.messages)
        self.assertEqual(result.recipients, result.outcome.total())
        self.assertEqual({"sent", "returned", "refused to the client"}, {what for _, what in result.outcome})
        self.assertGreater(result.counts["expired"], 50)


class LedgerTests(SynchronousTestCase):
    """It sees what is wrong."""

    def setUp(self) -> None:
        """One recipient."""
        self.ledger = Ledger()
        self.number = self.ledger.arrive("remote", "good", BEGIN)
        self.address = f"u{self.number}@d1.test"
        self.envelope = Envelope("m0", "s@d0.here.test", (Recipient(self.address),), BEGIN)

    def test_twice(self) -> None:
        """What has been sent is tried again, or sent again."""
        self.ledger.tried(self.envelope, self.address)
        self.ledger.sent(self.envelope, self.address, BEGIN + 1)
        self.assertEqual(0, self.ledger.faults)
        self.ledger.tried(self.envelope, self.address)
        self.ledger.sent(self.envelope, self.address, BEGIN + 1)
        self.assertEqual(2, self.ledger.faults)

    def test_sentAndReturned(self) -> None:
        """A notification tells of what has been sent, or of what has been told already."""
        told = MemoryContent(b"Final-Recipient: rfc822;u0@d1.test\r\nAction: failed\r\n")
        self.ledger.told([(Envelope("b1", "", (), BEGIN), told)])
        self.assertEqual(0, self.ledger.faults)
        self.ledger.told([(Envelope("b2", "", (), BEGIN), told)])
        self.ledger.sent(self.envelope, self.address, BEGIN + 1)
        self.assertEqual(2, self.ledger.faults)

    def test_lost(self) -> None:
        """An entry is gone from the spool without an end."""
        run = Run(50, 100, 0.01)
        run.ledger.arrive("remote", "good", BEGIN)
        result = run.run()
        self.assertEqual(["u0 is 0 times in the spool, and in the spool"], result.broken)


class WorldTests(SynchronousTestCase):
    """The world is as it is said to be."""

    def test_shares(self) -> None:
        """One in twenty is dead, or greylisting, one in a hundred wants less."""
        world = World(10_000, 5.0, 1)
        kinds = [domain.kind for domain in world.domains["remote"]]
        dead = sum(kind in ("refused", "silent", "mute", "outage", "flapping") for kind in kinds)
        for count, share in (
            (dead, 0.05),
            (kinds.count("greylist"), 0.05),
            (kinds.count("connections") + kinds.count("rate"), 0.01),
        ):
            self.assertTrue(abs(share - count / 10_000) < 0.001, (share, count))
        self.assertEqual(10_000, len(world.byName))

    def test_outage(self) -> None:
        """A host that much mail is for is away on the second day."""
        world = World(10_000, 5.0, 1)
        [(_, host)] = world.domains["remote"][1].exchanges
        self.assertFalse(host.isDown(BEGIN + DAY))
        self.assertTrue(host.isDown(BEGIN + 1.6 * DAY))
        self.assertFalse(host.isDown(BEGIN + 2 * DAY))


class HeapClockTests(SynchronousTestCase):
    """It does what C{task.Clock} does."""

    def test_order(self) -> None:
        """Calls come at their time, in the order of their time, also those that are moved or made meanwhile."""
        clock = HeapClock(10.0)
        seen: list[tuple[str, float]] = []

        def note(name: str) -> None:
            seen.append((name, clock.seconds()))

        later = clock.callLater(1.0, note, "later")
        sooner = clock.callLater(5.0, note, "sooner")
        clock.callLater(3.0, lambda: clock.callLater(0.5, note, "made"))
        gone = clock.callLater(2.0, note, "gone")
        later.reset(4.0)
        sooner.reset(2.0)
        gone.cancel()
        clock.advance(10.0)
        self.assertEqual([("sooner", 12.0), ("made", 13.5), ("later", 14.0)], seen)
        self.assertEqual(20.0, clock.seconds())
        self.assertEqual([], list(clock.getDelayedCalls()))
