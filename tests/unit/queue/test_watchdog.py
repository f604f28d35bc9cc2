"""L{umbcmail.queue.watchdog}: what hangs is noticed and restarted, and nothing is lost by it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import SENT, Queues
from umbcmail.destination import Hop, Route
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue.watchdog import Watchdog
from umbcmail.selection import Selection

HOUR = 3600.0


class WatchdogTests(SynchronousTestCase):
    """Queues in memory with two places, and the dog."""

    def setUp(self) -> None:
        """Attempts may take an hour."""
        self.queues = Queues(concurrency=2)
        self.courier, self.clock, self.spool = self.queues.courier, self.queues.clock, self.queues.spool
        self.runner = self.queues.runners["remote"]
        limits = dict.fromkeys(self.queues.runners, HOUR)
        self.dog = Watchdog(self.queues.runners, limits, self.queues.log, self.clock)
        self.dog.startService()

    def commit(self, id: str, address: str = "a@x.test") -> None:
        """Put a message into the spool as another process would."""
        whom, now = Recipient(address), self.clock.seconds()
        draft = Draft("remote", (Delivery(whom),), now)
        envelope = Envelope(id, "s@z.test", (whom,), now)
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], now))

    def run_(self, seconds: float, step: float = 5.0) -> None:
        """Let time go by."""
        self.clock.pump([step] * round(seconds / step))

    def hung(self) -> dict[str, float]:
        """How often the dog was needed in remote, by what."""
        values = {tuple(value for _, value in f.labels): f.value for f in self.dog.figures()}
        return {what: values["remote", what] for what in ("attempt", "look", "timer") if values["remote", what]}

    def test_allWell(self) -> None:
        """Who works, waits or has nothing to do is left alone."""
        self.courier.hold = True
        self.commit("m1")
        self.run_(HOUR - 120)
        self.courier.go()
        self.courier.hold = False
        self.run_(20 * HOUR, 30)
        self.assertEqual((self.hung(), self.dog.condition(), self.queues.entries()), ({}, "", {}))
        self.assertNotIn(" hung ", self.queues.logged())

    def test_courier(self) -> None:
        """Attempts that a courier never ends lose their places, so others go on; when the
        lease has ended the entries are tried again, once, and not before."""
        self.courier.hold = True
        self.commit("m1")
        self.commit("m2")
        self.run_(60)
        self.courier.waiting.clear()
        self.courier.hold = False
        self.commit("m3", "b@x.test")
        self.run_(HOUR - 120)
        self.assertEqual(len(self.courier.deliveries), 2)
        self.run_(180)
        self.assertEqual(self.courier.deliveries[2:], [["b@x.test"]])
        self.assertEqual((sorted(self.queues.entries()), self.hung()), (["m1", "m2"], {"attempt": 2}))
        self.assertIn(" hung id=m1 queue=remote what=attempt why=", self.queues.logged())
        self.assertEqual(self.dog.condition(), "queue remote: an attempt hung in the last hour")
        self.run_(600)
        self.assertEqual((self.queues.entries(), len(self.courier.deliveries)), ({}, 5))
        self.run_(HOUR)
        self.assertEqual(self.dog.condition(), "")

    def test_late(self) -> None:
        """What comes of a hung attempt after all does not count for the next one."""
        self.courier.hold = True
        self.commit("m1")
        self.run_(60)
        (old,) = self.courier.waiting
        self.courier.waiting.clear()
        self.run_(HOUR + 700)
        self.assertEqual(len(self.courier.waiting), 1)  # the next one
        old[0].callback([SENT])
        self.assertEqual((list(self.queues.entries()), self.runner.active), (["m1"], 1))
        self.courier.go()
        self.assertEqual((self.queues.entries(), self.runner.active), ({}, 0))

    def test_route(self) -> None:
        """A look-up of a route that has no answer hangs one entry and no other."""
        self.queues.router.waiting["x.test"] = Deferred()
        self.commit("m1")
        self.commit("m2", "b@y.test")
        self.run_(60)
        self.assertEqual(list(self.queues.entries()), ["m1"])
        self.run_(HOUR + 60)
        self.assertEqual((self.hung(), self.runner.active), ({"attempt": 1}, 0))
        del self.queues.router.waiting["x.test"]
        self.run_(700)
        self.assertEqual(self.queues.entries(), {})

    def test_routeAtHand(self) -> None:
        """The same for a message whose client got its answer at the deadline."""
        q = self.queues
        q.router.routes["x.test"] = Route("smtp", (Hop("mx.x.test", "192.0.2.1", 25),))
        self.courier.hold = True
        q.intake(True).accept(q.envelope("a@x.test"), q.content())
        self.run_(60)
        self.assertEqual(self.runner.active, 1)
        self.courier.waiting.clear()
        self.courier.hold = False
        self.run_(HOUR + 800)
        self.assertEqual((q.entries(), self.hung()), ({}, {"attempt": 1}))

    def test_spool(self) -> None:
        """A spool that does not answer a question is asked again; what it answers late is
        given back, so that nothing is lost and no place is taken twice."""
        asked: list[tuple[Deferred[Any], Any]] = []
        claim = self.spool.claim

        def silent(*args: Any) -> Deferred[Any]:
            asked.append((Deferred(), args))
            return asked[-1][0]

        self.patch(self.spool, "claim", silent)
        self.run_(10)
        for n in range(5):
            self.commit(f"m{n}")
        self.patch(self.spool, "claim", claim)
        self.run_(240)
        self.assertEqual(self.courier.deliveries, [])
        self.courier.hold = True
        self.successResultOf(self.spool.hold(Selection()))
        self.run_(120)
        self.assertEqual(self.hung(), {"look": 1})
        self.successResultOf(self.spool.release(Selection(), self.clock.seconds()))
        (late, args) = next((d, a) for d, a in asked if a[0] == "remote")
        late.callback(self.successResultOf(claim(*args[:2], self.clock.seconds(), *args[3:])))
        self.assertEqual(self.runner.active, 0)
        while self.queues.entries():
            self.run_(10)
            self.assertEqual(self.runner.active, len(self.courier.waiting))
            self.assertLessEqual(self.runner.active, 2)
            self.courier.go()
        self.assertEqual(len(self.courier.deliveries), 5)

    def test_record(self) -> None:
        """What came of an attempt and is never written down: the attempt is made again, as
        nobody can know what the spool has."""
        record = self.spool.record
        self.patch(self.spool, "record", lambda *args: Deferred())
        self.commit("m1")
        self.run_(60)
        self.patch(self.spool, "record", record)
        self.run_(HOUR + 800)
        self.assertEqual((self.queues.entries(), self.hung()), ({}, {"attempt": 1}))

    def test_timer(self) -> None:
        """A runner that nothing would wake any more is woken."""
        self.run_(10)
        timer = self.runner._timer
        assert timer is not None
        timer.cancel()
        self.commit("m1")
        self.run_(240)
        self.assertEqual(list(self.queues.entries()), ["m1"])
        self.run_(120)
        self.assertEqual((self.queues.entries(), self.hung()), ({}, {"timer": 1}))
        self.run_(HOUR)
        self.assertEqual(self.hung(), {"timer": 1})

    def test_bug(self) -> None:
        """A bug with one entry of a batch costs no other, and lets it be tried again."""
        schedule = self.queues.schedules["remote"]
        isExpired = type(schedule).isExpired

        def buggy(schedule: Any, entry: Any, now: float) -> bool:
            if entry.id == "m1":
                raise ValueError("no such time")
            return isExpired(schedule, entry, now)

        self.patch(type(schedule), "isExpired", buggy)
        self.commit("m1")
        self.commit("m2")
        self.run_(10)
        self.assertEqual((list(self.queues.entries()), self.runner.active), (["m1"], 0))
        self.assertIn(' bug id=m1 where="queue remote, entry" why="no such time"', self.queues.logged())
        self.patch(type(schedule), "isExpired", isExpired)
        self.run_(70)
        self.assertEqual((self.queues.entries(), self.hung()), ({}, {}))
