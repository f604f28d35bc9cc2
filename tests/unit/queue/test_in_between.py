"""What changes while an attempt is under way, or between two: removal, age, routes."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import LATER, NEVER, SENT, FakeCourier, Queues
from umbcmail.destination import Hop, Route
from umbcmail.entry import Delivery, Draft, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.attempt import Attempts
from umbcmail.selection import Selection

ALL = Selection()


class InFlightCase(SynchronousTestCase):
    """Queues in memory, and one message that is being attempted."""

    def setUp(self) -> None:
        """All in memory."""
        self.queues = Queues()
        self.courier, self.clock, self.spool = self.queues.courier, self.queues.clock, self.queues.spool

    def commit(self, *addresses: str) -> None:
        """A message that another process has queued, which is found and tried."""
        recipients, now = tuple(map(Recipient, addresses)), self.clock.seconds()
        draft = Draft("remote", tuple(map(Delivery, recipients)), now)
        envelope = Envelope("m1", "s@z.test", recipients, now)
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], now))
        self.run_(6)

    def run_(self, seconds: float, step: float = 1.0) -> None:
        """Let time go by."""
        self.clock.pump([step] * round(seconds / step))

    def remove(self) -> int:
        """As an operator does."""
        return self.successResultOf(self.spool.remove(ALL))


class RemovalTests(InFlightCase):
    """Removal always wins: the attempt may finish, and nothing comes of it."""

    def removed(self, outcome: Outcome) -> None:
        """Removed while it is being tried, with this outcome: no retry, no entry, and
        nobody is told."""
        self.courier.hold = True
        self.courier.outcomes["a@x.test"] = outcome
        self.commit("a@x.test")
        self.assertEqual(self.remove(), 1)
        self.courier.go()
        self.run_(20_000, 10)
        self.assertEqual((self.queues.entries(), self.courier.deliveries), ({}, [["a@x.test"]]))
        self.assertIn(" stale id=m1 ", self.queues.logged())
        self.assertEqual(self.queues.runners["remote"].active, 0)

    def test_sent(self) -> None:
        """It has gone out."""
        self.removed(SENT)

    def test_delayed(self) -> None:
        """There is no second attempt."""
        self.removed(LATER)

    def test_failed(self) -> None:
        """There is no notification."""
        self.removed(NEVER)

    def test_whileItIsRead(self) -> None:
        """Removed before its content has been read: an error of reading makes nothing new."""
        reading = Deferred[None]()
        self.patch(self.spool, "content", lambda entry: reading)
        self.commit("a@x.test")
        self.remove()
        reading.errback(SpoolError("gone"))
        self.run_(1000)
        self.assertEqual((self.queues.entries(), self.courier.deliveries), ({}, []))

    def test_whileItCantBeRecorded(self) -> None:
        """Removed while the spool could not write down what came of it: no more is tried."""
        record = self.spool.record
        self.patch(self.spool, "record", lambda *args: fail(SpoolError("broken")))
        self.courier.outcomes["a@x.test"] = NEVER
        self.commit("a@x.test")
        self.remove()
        self.patch(self.spool, "record", record)
        self.run_(1000)
        self.assertEqual((self.queues.entries(), len(self.courier.deliveries)), ({}, 1))
        self.assertEqual(self.queues.runners["remote"].active, 0)

    def test_inTheAir(self) -> None:
        """Removed after the deadline of an interactive attempt that goes on."""
        q = self.queues
        self.courier.hold = True
        self.courier.outcomes["a@x.test"] = LATER
        intake = q.intake(True)
        intake.accept(q.envelope("a@x.test"), q.content())
        self.run_(61)
        self.assertEqual(self.remove(), 1)
        self.courier.go()
        self.run_(1000)
        self.assertEqual((q.entries(), len(self.courier.deliveries)), ({}, 1))
        self.assertEqual(q.runners["remote"].active, 0)

    def test_comesAgain(self) -> None:
        """A message of the same id that comes after the removal is another: what came of
        the first one does not count for it."""
        self.courier.hold = True
        self.commit("a@x.test")
        (old,) = self.courier.waiting
        self.courier.waiting.clear()
        self.remove()
        self.courier.hold = False
        self.courier.outcomes["a@x.test"] = LATER
        self.queues.runners["remote"].stop()
        self.commit("a@x.test")
        old[0].callback([SENT])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})


class ExpiryTests(InFlightCase):
    """Age is looked at before each attempt."""

    def deliveries(self) -> int:
        """Attempts to deliver the message."""
        return self.courier.deliveries.count(["a@x.test"])

    def test_beforeEachAttempt(self) -> None:
        """What is due and too old is returned without another attempt, though its host
        would take it now."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("a@x.test")
        self.assertEqual(self.deliveries(), 1)
        self.successResultOf(self.spool.hold(ALL))
        self.run_(87_000, 100)
        del self.courier.outcomes["a@x.test"]
        self.spool._store.change(self.spool._store.entries["m1"], held=False)  # as if it had waited all the time
        self.run_(10)
        self.assertEqual(self.deliveries(), 1)
        self.assertIn(" expired id=m1 recipient=<a@x.test> age=", self.queues.logged())
        self.assertIn(["s@z.test"], self.courier.deliveries)
        self.assertEqual(self.queues.entries(), {})

    def test_untried(self) -> None:
        """Also when it was never tried, as it never was its turn; it is looked at when its sender is to be told of
        the delay."""
        self.courier.outcomes["a@x.test"] = Outcome(LATER.reply, postponed=self.clock.seconds() + 86_300)
        self.commit("a@x.test")
        self.run_(86_200, 100)
        self.assertEqual((list(self.queues.entries()), self.deliveries()), (["m1"], 2))
        self.courier.outcomes["a@x.test"] = Outcome(LATER.reply, postponed=self.clock.seconds() + 86_300)
        self.run_(200)
        self.assertEqual((list(self.queues.entries()), self.deliveries()), (["m1"], 3))
        self.run_(86_300, 100)
        self.assertEqual((self.queues.entries(), self.deliveries()), ({}, 3))
        self.assertNotIn(" delayed id=m1 ", self.queues.logged())


class RouteTests(InFlightCase):
    """Routes are asked for anew at each attempt."""

    def test_changed(self) -> None:
        """The next attempt goes where the route leads by then, with another courier too."""
        other = FakeCourier()
        q = self.queues
        attempts = Attempts(q.router, {"smtp": q.courier, "lmtp": other}, q.log, q.clock)
        self.patch(q.runners["remote"], "_attempts", attempts)
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("a@x.test")
        self.assertEqual((len(self.courier.deliveries), other.deliveries), (1, []))
        q.router.routes["x.test"] = Route("lmtp", (Hop("lmtp.x.test", "192.0.2.9", 24),))
        self.run_(400)
        self.assertEqual((len(self.courier.deliveries), other.deliveries), (1, [["a@x.test"]]))
        self.assertEqual(q.entries(), {})

    def test_underWay(self) -> None:
        """An attempt that is under way is not disturbed."""
        self.courier.hold = True
        self.commit("a@x.test")
        self.queues.router.problems["x.test"] = NEVER.reply
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})
        self.assertIn(" delivered id=m1 ", self.queues.logged())
