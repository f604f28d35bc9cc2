"""L{umbcmail.steadytime}: a clock that jumps does no harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import LATER, Queues
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.maillog import MailLog
from umbcmail.queue.expiry import Expiry
from umbcmail.queue.spool.memory import MemorySpool
from umbcmail.selection import Selection
from umbcmail.steadytime import INTERVAL, FollowedTime, SteadyTime

HOUR, DAY = 3600.0, 86400.0
BEGIN = 1_000_000.0


class World:
    """A reactor, and the two clocks of its host.

    @ivar clock: the reactor.
    @ivar wall: how much the system's clock is ahead of the true time.
    """

    def __init__(self, clock: Clock | None = None, make: type[SteadyTime] = SteadyTime) -> None:
        self.clock = clock or Clock()
        self.monotonic, self.wall = 77.0, 0.0
        self.steady = make(self.clock, lambda: BEGIN + self.monotonic - 77 + self.wall, lambda: self.monotonic)
        self.lines: list[bytes] = []
        self.steady.log = MailLog(self.lines.append, self.clock)
        self.steady.startService()

    @property
    def true(self) -> float:
        """The true time."""
        return BEGIN + self.monotonic - 77

    @property
    def ahead(self) -> float:
        """How much our time is ahead of the true one."""
        return self.clock.seconds() - self.true

    def run(self, seconds: float, step: float = 1.0) -> None:
        """Let time go by."""
        for _ in range(round(seconds / step)):
            self.monotonic += step
            self.clock.advance(0)

    def logged(self) -> list[str]:
        """What was told of the clock."""
        return [line for line in b"".join(self.lines).decode().splitlines() if " clock id=- " in line]


class FollowedTests(SynchronousTestCase):
    """The system's time, for roles without claims."""

    def test_set(self) -> None:
        """A clock that is set is followed within seconds, back as well as ahead, and no timer fires early or
        sleeps for as long as it was set back."""
        for by, word in ((-10 * HOUR, "back by 10h"), (DAY, "ahead by 1d")):
            world = World(make=FollowedTime)
            fired: list[float] = []
            world.clock.callLater(300, lambda world=world, fired=fired: fired.append(world.monotonic))
            world.run(10)
            world.wall = by
            world.run(INTERVAL + 1)
            self.assertAlmostEqual(by, world.ahead)
            self.assertEqual(1, len(world.logged()))
            self.assertIn(word, world.logged()[0])
            self.assertEqual([], fired)
            world.run(300)
            self.assertEqual(1, len(fired))
            self.assertAlmostEqual(77 + 300, fired[0], delta=1.5)
            self.assertEqual("", world.steady.condition())

    def test_drift(self) -> None:
        """One that only goes wrong by a little is followed without a word."""
        world = World(make=FollowedTime)
        for _ in range(20):
            world.wall -= 0.3
            world.run(INTERVAL)
        self.assertAlmostEqual(-6, world.ahead, delta=0.31)
        self.assertEqual([], world.logged())


class TimeTests(SynchronousTestCase):
    """What time it is."""

    def setUp(self) -> None:
        """All is well."""
        self.world = World()
        self.steady = self.world.steady
        self.told: list[tuple[float, bool]] = []
        self.steady.followers.append(lambda ahead, isSparing: self.told.append((round(ahead), isSparing)))

    def near(self, value: float, expected: float, by: float) -> None:
        """They do not differ by more."""
        self.assertLessEqual(abs(value - expected), by, (value, expected))

    def jump(self, seconds: float) -> None:
        """Set the system's clock."""
        self.world.wall += seconds

    def counted(self, period: float) -> Callable[[], int]:
        """How often something at regular times was done since the last question."""
        done: list[int] = []
        loop = LoopingCall(done.append, 1)
        loop.clock = self.world.clock
        loop.start(period, now=False)

        def count() -> int:
            number = len(done)
            done.clear()
            return number

        return count

    def test_steady(self) -> None:
        """A clock that is led by another a little at a time is followed, and nothing said."""
        for _ in range(1000):
            self.jump(0.005)
            self.world.run(10)
        self.near(self.world.ahead, 5.0, 0.02)
        self.assertEqual((self.world.logged(), self.told, self.steady.condition()), ([], [], ""))

    def test_littleAhead(self) -> None:
        """Up to a minute ahead: at once, and timers keep what they have left."""
        count = self.counted(100.0)
        self.world.run(50)
        self.jump(59)
        self.world.run(10)
        self.assertEqual((round(self.world.ahead), count()), (59, 0))
        self.world.run(1000)
        self.assertIn(count(), (10, 11))
        self.assertEqual(self.world.logged(), [])

    def test_ahead(self) -> None:
        """A day ahead, for good: it is told; followed after ten minutes; and no timer fires
        before it would have."""
        count = self.counted(100.0)
        self.jump(DAY)
        self.world.run(590, 5)
        self.assertEqual((round(self.world.ahead), count()), (0, 5))
        self.assertEqual(self.told, [(DAY, False)])
        self.assertIn("1d ahead, and is not followed yet", self.steady.condition())
        self.world.run(30, 5)
        self.assertEqual((round(self.world.ahead), count()), (DAY, 1))
        self.assertEqual((self.told[1:], self.steady.condition()), ([(0, True)], ""))
        self.world.run(1000, 5)
        self.assertEqual(count(), 10)
        self.world.run(HOUR, 5)
        self.assertEqual(self.told[2:], [(0, False)])
        self.assertEqual(len(self.world.logged()), 2)

    def test_aheadByMistake(self) -> None:
        """A jump ahead that is corrected soon has not happened."""
        count = self.counted(100.0)
        self.jump(DAY)
        self.world.run(300, 5)
        self.jump(-DAY)
        self.world.run(300, 5)
        self.assertEqual((round(self.world.ahead), count()), (0, 6))
        self.assertEqual(self.told, [(DAY, False), (0, False)])
        self.assertIn("the system's clock is right again", self.world.logged()[-1])

    def test_restless(self) -> None:
        """A clock that jumps on and on is not followed before it rests."""
        for _ in range(10):
            self.jump(HOUR)
            self.world.run(300, 5)
        self.assertEqual(round(self.world.ahead), 0)
        self.world.run(400, 5)
        self.assertEqual(round(self.world.ahead), 10 * HOUR)

    def test_behind(self) -> None:
        """An hour behind: our time never goes back, no timer sleeps, and after two hours
        both are one."""
        count = self.counted(10.0)
        self.jump(-HOUR)
        last = self.world.clock.seconds()
        for _ in range(720):
            self.world.run(10, 5)
            self.assertGreater(self.world.clock.seconds(), last)
            last = self.world.clock.seconds()
        self.near(self.world.ahead, -HOUR, 100)
        self.near(count(), 360, 10)
        self.world.run(200, 5)
        self.near(self.world.ahead, -HOUR, 1)
        self.assertEqual(["behind" in line for line in self.world.logged()], [True, False])
        self.assertEqual(self.steady.condition(), "")

    def test_dayBehind(self) -> None:
        """A day behind: what is looked at every five seconds is looked at every ten."""
        count = self.counted(5.0)
        self.jump(-DAY)
        self.world.run(1000, 5)
        self.near(count(), 100, 5)
        self.assertIn("a restart sets it", self.steady.condition())
        self.assertIn("ours is slowed down for 2d", self.world.logged()[0])

    def test_behindByMistake(self) -> None:
        """Set right again: as if nothing had happened."""
        self.jump(-DAY)
        self.world.run(100, 5)
        self.jump(DAY)
        self.world.run(100, 5)
        self.near(self.world.ahead, 0, 0.1)
        self.assertEqual(self.steady.condition(), "")


class QueueTests(SynchronousTestCase):
    """The queues meanwhile: two processes that share a spool, each with its reactor."""

    def setUp(self) -> None:
        """Both are in one world, and look at the clock at other moments."""
        self.queues = Queues()
        self.world = World(self.queues.clock)
        self.courier, self.spool, self.clock = self.queues.courier, self.queues.spool, self.queues.clock
        self.world.steady.followers += [runner.clockJumped for runner in self.queues.runners.values()]
        self.other = MemorySpool("other", store=self.spool._store)
        self.successResultOf(self.other.start())

    def commit(self, id: str, age: float = 0.0) -> None:
        """A message that another process has put there."""
        whom, now = Recipient("a@x.test"), self.clock.seconds()
        envelope = Envelope(id, "s@z.test", (whom,), now - age)
        draft = Draft("remote", (Delivery(whom),), now)
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], now - age))

    def stolen(self) -> list[Any]:
        """What the other process gets when it goes by the system's clock."""
        return self.successResultOf(self.other.claim("remote", 100, self.world.true + self.world.wall))

    def test_leases(self) -> None:
        """What is being attempted stays with who attempts it, also for processes that
        follow the clock sooner; so does what is taken meanwhile."""
        self.courier.hold = True
        self.commit("m1")
        self.world.run(10)
        self.world.wall += DAY
        self.world.run(10)
        self.assertEqual(self.stolen(), [])
        self.commit("m2")
        self.world.run(10)
        self.assertEqual(self.stolen(), [])
        self.world.run(900, 5)
        self.assertEqual((self.stolen(), round(self.world.ahead)), ([], DAY))
        self.assertEqual(len(self.courier.deliveries), 2)
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})

    def test_expiry(self) -> None:
        """What has become too old by a jump is tried once more before it is given up."""
        self.courier.outcomes["a@x.test"] = LATER
        log, schedules = self.queues.log, self.queues.schedules
        expiry = Expiry(300.0, self.spool, schedules, log, self.clock)
        self.world.steady.followers.append(expiry.clockJumped)
        expiry.start()
        self.addCleanup(expiry.stop)
        self.commit("m1")
        self.world.run(10)
        self.world.wall += 30 * DAY
        self.world.run(1000, 5)
        before = len(self.courier.deliveries)
        self.world.run(1200, 5)
        self.assertEqual(list(self.queues.entries()), ["m1"])
        self.assertIn(len(self.courier.deliveries) - before, (1, 2, 3))  # by the schedule
        del self.courier.outcomes["a@x.test"]
        self.world.run(1200, 5)
        self.assertEqual(self.queues.entries(), {})
        self.assertNotIn(" expired ", self.queues.logged())

    def test_expiredAfterAll(self) -> None:
        """An hour later it is given up."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1")
        self.world.run(10)
        self.world.wall += 30 * DAY
        self.world.run(2 * HOUR, 5)
        self.assertIn(" expired id=m1 ", self.queues.logged())

    def test_back(self) -> None:
        """A clock that is set back by a day delays nothing by a day."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1")
        self.world.run(10)
        self.world.wall -= DAY
        self.world.run(HOUR, 5)
        self.assertGreaterEqual(self.courier.deliveries.count(["a@x.test"]), 3)
        self.commit("m2")
        self.world.run(20)
        self.assertEqual(len(self.successResultOf(self.spool.listing(Selection(claimed=False), 9))), 2)
        self.assertIn(" delayed id=m2 ", self.queues.logged())
