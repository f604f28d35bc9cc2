"""L{umbcmail.queue.runner}, L{umbcmail.queue.settlement}, L{umbcmail.queue.expiry}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import LATER, NEVER, Queues
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue import notifier
from umbcmail.queue.expiry import Expiry
from umbcmail.selection import Selection


class Unreadable:
    """Content in a file that is gone."""

    data = None
    size = 300_000

    def open(self) -> Unreadable:
        return self

    def read(self) -> Deferred[bytes]:
        return fail(FileNotFoundError("gone"))

    def close(self) -> None:
        """Nothing is open."""


class RunnerCase(SynchronousTestCase):
    """Queues in memory."""

    def setUp(self) -> None:
        """All in memory."""
        self.queues = Queues()
        self.courier = self.queues.courier
        self.clock = self.queues.clock
        self.spool = self.queues.spool

    def commit(self, id: str, *addresses: str, sender: str = "s@z.test", queue: str = "remote") -> None:
        """Put a message into the spool as another process would: nobody is told."""
        recipients = tuple(Recipient(address) for address in addresses)
        envelope = Envelope(id, sender, recipients, self.clock.seconds())
        draft = Draft(queue, tuple(Delivery(recipient) for recipient in recipients), self.clock.seconds())
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], self.clock.seconds()))

    def run_(self, seconds: float, step: float = 1.0) -> None:
        """Let time go by."""
        self.clock.pump([step] * round(seconds / step))


class RunnerTests(RunnerCase):
    """Entries are tried, and tried again."""

    def test_whatOthersQueued(self) -> None:
        """What another process has committed is found within the poll time."""
        self.run_(1)
        self.commit("m1", "a@x.test")
        self.run_(6)
        self.assertEqual(self.courier.deliveries, [["a@x.test"]])
        self.assertEqual(self.queues.entries(), {})

    def test_schedule(self) -> None:
        """Attempts follow the schedule, whose last time repeats."""
        self.courier.outcomes["a@x.test"] = LATER
        begin = self.clock.seconds()
        times: list[float] = []
        deliver = self.courier.deliver

        def noted(*args: Any) -> Any:
            times.append(self.clock.seconds() - begin)
            return deliver(*args)

        self.patch(self.courier, "deliver", noted)
        self.commit("m1", "a@x.test")
        self.run_(2400)
        for found, wanted in zip(times, (0, 300, 900, 1500, 2100), strict=True):
            self.assertLess(abs(found - wanted), 30)

    def test_someSent(self) -> None:
        """Only those that wait are tried again."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1", "a@x.test", "b@x.test")
        self.run_(10)
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})
        self.run_(320)
        self.assertEqual(self.courier.deliveries, [["a@x.test", "b@x.test"], ["a@x.test"]])

    def test_concurrency(self) -> None:
        """No more than so many at a time, and all in the end; a quarter of the places is left for what comes fresh."""
        self.courier.hold = True
        for n in range(35):
            self.commit(f"m{n}", "a@x.test")
        self.run_(10)
        self.assertEqual(len(self.courier.deliveries), 8)
        runner = self.queues.runners["remote"]
        self.assertEqual([runner.reserve() for _ in range(3)], [True, True, False])
        runner.unreserve()
        runner.unreserve()
        for _ in range(6):
            self.courier.go()
            self.run_(1, 0.1)
        self.assertEqual(len(self.courier.deliveries), 35)
        self.assertEqual(self.queues.entries(), {})

    def test_classesAreApart(self) -> None:
        """A class that hangs does not hold up another."""
        self.courier.hold = True
        for n in range(20):
            self.commit(f"m{n}", "a@x.test")
        self.run_(10)
        self.courier.hold = False
        self.commit("n", "b@y.local", queue="local")
        self.run_(10)
        self.assertEqual(self.courier.deliveries[-1], ["b@y.local"])

    def test_stop(self) -> None:
        """It stops when what is under way has been recorded, and takes no more."""
        self.courier.hold = True
        self.commit("m1", "a@x.test")
        self.run_(6)
        stopped = self.queues.runners["remote"].stop()
        self.commit("m2", "a@x.test")
        self.run_(20)
        self.assertNoResult(stopped)
        self.courier.go()
        self.successResultOf(stopped)
        self.assertEqual(list(self.queues.entries()), ["m2"])
        for name in ("local", "internal", "slow", "dead"):
            self.successResultOf(self.queues.runners[name].stop())
        self.queues.log.flush()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_removedInFlight(self) -> None:
        """Removal wins over an attempt that is under way, and nothing comes back."""
        self.courier.hold = True
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1", "a@x.test")
        self.run_(6)
        self.successResultOf(self.spool.remove(Selection(ids=("m1",))))
        self.courier.go()
        self.run_(1000)
        self.assertEqual((self.queues.entries(), len(self.courier.deliveries)), ({}, 1))
        self.assertIn(" stale id=m1", self.queues.logged())

    def test_brokenContent(self) -> None:
        """Content that can't be read delays its entry and no other; nothing is lost."""
        self.commit("m1", "a@x.test")
        content = self.spool.content
        self.patch(
            self.spool, "content", lambda entry: fail(SpoolError("broken")) if entry.id == "m1" else content(entry)
        )
        self.commit("m2", "b@x.test")
        self.run_(10)
        self.assertEqual(list(self.queues.entries()), ["m1"])
        self.patch(self.spool, "content", content)
        self.run_(70)
        self.assertEqual(self.queues.entries(), {})

    def test_damagedContent(self) -> None:
        """An entry whose content is damaged is put aside and said once, and no other suffers."""
        self.commit("m1", "a@x.test")
        self.commit("m2", "b@x.test")
        del self.spool._store.contents["m1"]
        self.run_(10)
        self.assertEqual(["m1"], [entry.id for entry in self.successResultOf(self.spool.damaged())])
        self.assertEqual(["m1"], list(self.queues.entries()))
        self.run_(9e5, 1000.0)
        self.assertEqual(1, self.queues.logged().count("damaged and put aside: m1 is not in the spool"))

    def test_placeGivenBack(self) -> None:
        """A place that the intake has reserved and does not need is used again."""
        runner = self.queues.runners["remote"]
        self.assertTrue(all(runner.reserve() for _ in range(10)))
        self.commit("m1", "a@x.test")
        self.run_(12)
        for _ in range(10):
            runner.unreserve()
        self.run_(6)
        self.assertEqual(self.courier.deliveries, [["a@x.test"]])

    def test_stopBeforeItBegins(self) -> None:
        """What the intake is just committing when the end comes is left for the next
        start: nothing is begun whose end could not be written down."""
        runner = self.queues.runners["remote"]
        self.assertTrue(runner.reserve())
        stopped = runner.stop()
        self.assertNoResult(stopped)
        self.commit("m1", "a@x.test")
        [claim] = self.successResultOf(self.spool.claim("remote", 1, self.clock.seconds()))
        runner.begin(claim, MemoryContent(b""))
        self.successResultOf(stopped)
        self.assertEqual(self.courier.deliveries, [])
        self.assertEqual(len(self.successResultOf(self.spool.claim("remote", 1, self.clock.seconds()))), 1)

    def test_leaseEndsMeanwhile(self) -> None:
        """When a lease has ended since the host slept or its clock was set, what is
        in the air is not sent a second time, and its end is written down."""
        self.courier.hold = True
        self.courier.outcomes["b@x.test"] = LATER
        self.commit("m1", "a@x.test", "b@x.test")
        self.run_(6)
        self.clock.advance(7200)
        self.run_(20)
        self.assertEqual(len(self.courier.deliveries), 1)
        self.courier.go()
        self.run_(1)
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["b@x.test"])})
        [entry] = self.successResultOf(self.spool.listing(Selection(), 10))
        self.assertEqual((entry.owner, entry.attempts), ("", 1))

    def test_brokenRecord(self) -> None:
        """What can't be written down is not tried again for that reason: writing is."""
        record = self.spool.record
        self.patch(self.spool, "record", lambda *args: fail(SpoolError("broken")))
        self.commit("m1", "a@x.test")
        self.run_(100)
        self.assertEqual(list(self.queues.entries()), ["m1"])
        self.patch(self.spool, "record", record)
        self.run_(20)
        self.assertEqual((self.queues.entries(), self.courier.deliveries), ({}, [["a@x.test"]]))

    def test_claimFails(self) -> None:
        """A spool that does not answer for a while is asked again."""
        claim = self.spool.claim
        self.patch(self.spool, "claim", lambda *args: fail(SpoolError("busy")))
        self.commit("m1", "a@x.test")
        self.run_(20)
        self.patch(self.spool, "claim", claim)
        self.run_(6)
        self.assertEqual(self.queues.entries(), {})

    def test_slowSpool(self) -> None:
        """While the spool has not answered, it is not asked again."""
        asked: list[Deferred[Any]] = []

        def slow(*args: Any) -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        self.patch(self.spool, "claim", slow)
        self.run_(20)
        self.queues.runners["remote"].wake()
        self.assertEqual(len(asked), 5)


class SettlementTests(RunnerCase):
    """What is told to the sender."""

    def bounces(self) -> list[str]:
        """The notifications that have been sent so far."""
        pairs = zip(self.courier.deliveries, self.courier.contents, strict=True)
        return [(content or b"").decode() for addresses, content in pairs if addresses == ["s@z.test"]]

    def test_bounce(self) -> None:
        """Failures of one attempt are told in one notification, and the entry is gone."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.test": NEVER})
        self.commit("m1", "a@x.test", "b@x.test", "c@x.test")
        self.run_(12)
        [bounce] = self.bounces()
        self.assertIn("Final-Recipient: rfc822; a@x.test", bounce)
        self.assertIn("Final-Recipient: rfc822; b@x.test", bounce)
        self.assertNotIn("c@x.test", bounce)
        self.assertEqual(self.queues.entries(), {})

    def test_unreadable(self) -> None:
        """When the message can't be read its sender is told all the same, and who has
        got it does not get it again."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.patch(self.queues, "content", Unreadable)
        self.commit("m1", "a@x.test", "b@x.test")
        self.run_(400)
        [bounce] = self.bounces()
        self.assertIn("Final-Recipient: rfc822; a@x.test", bounce)
        self.assertEqual(self.courier.deliveries, [["a@x.test", "b@x.test"], ["s@z.test"]])
        self.assertEqual(self.queues.entries(), {})
        self.assertIn(" trouble id=m1", self.queues.logged())

    def test_bugInTheBounce(self) -> None:
        """A notification that can't be made is made later; what the attempt has
        done is written down at once."""
        make = notifier.bounceContent
        self.patch(notifier, "bounceContent", lambda *args: 1 / 0)
        self.courier.outcomes["a@x.test"] = NEVER
        self.commit("m1", "a@x.test", "b@x.test")
        self.run_(1000)
        self.assertEqual(self.courier.deliveries, [["a@x.test", "b@x.test"]])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})
        self.assertIn(" bug id=m1", self.queues.logged())
        self.patch(notifier, "bounceContent", make)
        self.run_(700)
        self.assertIn("Final-Recipient: rfc822; a@x.test", self.bounces()[0])
        self.assertEqual(self.queues.entries(), {})

    def test_unreadableForLong(self) -> None:
        """An entry whose content is lost does not stay for ever: its sender is told
        when its time is over."""
        self.commit("m1", "a@x.test")
        content = self.spool.content
        self.patch(
            self.spool, "content", lambda entry: fail(SpoolError("broken")) if entry.id == "m1" else content(entry)
        )
        self.run_(86_600, 10)
        self.assertIn("Status: 4.4.7", self.bounces()[0])
        self.assertEqual(self.queues.entries(), {})

    def test_requireTLS(self) -> None:
        """A message that needs TLS is returned by TLS only, and without its body
        (RFC 8689 section 5)."""
        self.courier.outcomes["a@x.test"] = NEVER
        envelopes: list[Envelope] = []
        deliver = self.courier.deliver

        def noted(envelope: Envelope, *args: Any) -> Any:
            envelopes.append(envelope)
            return deliver(envelope, *args)

        self.patch(self.courier, "deliver", noted)
        recipient = Recipient("a@x.test")
        envelope = Envelope("m1", "s@z.test", (recipient,), self.clock.seconds(), ret="FULL", requireTLS=True)
        draft = Draft("remote", (Delivery(recipient),), self.clock.seconds())
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], self.clock.seconds()))
        self.run_(12)
        self.assertEqual([envelope.requireTLS for envelope in envelopes], [True, True])
        [bounce] = self.bounces()
        self.assertIn("\r\nContent-Type: text/rfc822-headers\r\n", bounce)
        self.assertNotIn("body\r\n", bounce)

    def test_nullSender(self) -> None:
        """Nobody is told of what failed for the null sender; it is put aside."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.commit("m1", "a@x.test", sender="")
        self.run_(12)
        self.assertEqual((self.queues.entries(), len(self.courier.deliveries)), ({"m1": ("dead", ["a@x.test"])}, 1))
        self.assertIn(" dead id=m1", self.queues.logged())

    def test_bounceOfABounce(self) -> None:
        """A notification that fails is not answered by another."""
        self.courier.outcomes.update({"a@x.test": NEVER, "s@z.test": NEVER})
        self.commit("m1", "a@x.test")
        self.run_(30)
        dead = {"b0-1": ("dead", ["s@z.test"])}
        self.assertEqual((self.queues.entries(), len(self.courier.deliveries)), (dead, 2))

    def test_expiry(self) -> None:
        """Past its time an entry is not tried again but returned, with the last
        answer."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1", "a@x.test")
        self.run_(86_000, 10)
        tries = self.courier.deliveries.count(["a@x.test"])
        self.run_(2_000, 10)
        bounce = self.bounces()[-1]
        self.assertIn("Action: failed", bounce)
        self.assertIn("Status: 4.4.7", bounce)
        self.assertIn("Greylisted", bounce)
        self.assertLessEqual(self.courier.deliveries.count(["a@x.test"]) - tries, 1)
        self.assertEqual(self.queues.entries(), {})

    def test_warning(self) -> None:
        """The sender is told of the delay once."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit("m1", "a@x.test")
        self.run_(14_000, 10)
        self.assertEqual(self.bounces(), [])
        self.run_(20_000, 10)
        [warning] = self.bounces()
        self.assertIn("Action: delayed", warning)
        self.assertIn("Will-Retry-Until:", warning)

    def test_notify(self) -> None:
        """NOTIFY=NEVER is kept (RFC 3461)."""
        self.courier.outcomes["a@x.test"] = NEVER
        recipient = Recipient("a@x.test", "NEVER")
        envelope = Envelope("m1", "s@z.test", (recipient,), self.clock.seconds())
        draft = Draft("remote", (Delivery(recipient),), self.clock.seconds())
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], self.clock.seconds()))
        self.run_(12)
        self.assertEqual((self.bounces(), self.queues.entries()), ([], {}))

    def test_bounceAndRecordAreOne(self) -> None:
        """When writing fails there is neither a bounce nor an end of the entry."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.patch(self.spool, "record", lambda *args: fail(SpoolError("broken")))
        self.commit("m1", "a@x.test")
        self.run_(30)
        self.assertEqual((self.bounces(), list(self.queues.entries())), ([], ["m1"]))


class ExpiryTests(RunnerCase):
    """The regular look."""

    def test_look(self) -> None:
        """Entries that are too old are made due, others are left alone; the dead are
        cleaned up after."""
        self.courier.outcomes.update({"a@x.test": LATER, "b@x.test": LATER})
        self.commit("m1", "a@x.test")
        self.run_(10)
        for runner in self.queues.runners.values():
            runner.stop()
        self.clock.advance(86_500)
        self.commit("m2", "b@x.test")
        recovered: list[float] = []
        self.patch(self.spool, "recover", lambda now: succeed(recovered.append(now) or 3))
        due: list[Any] = []
        expiry = Expiry(300.0, self.spool, self.queues.schedules, self.queues.log, self.clock)
        expiry.start()
        self.successResultOf(self.spool.listing(Selection(), 10).addCallback(due.extend))
        self.assertEqual([entry.due <= self.clock.seconds() for entry in due], [True, True])
        self.clock.advance(300)
        self.assertEqual(len(recovered), 2)
        expiry.stop()
        self.assertIn("recovered id=- entries=3", self.queues.logged())

    def test_broken(self) -> None:
        """A spool that does not answer does not end it."""
        self.patch(self.spool, "recover", lambda now: fail(SpoolError("broken")))
        expiry = Expiry(300.0, self.spool, self.queues.schedules, self.queues.log, self.clock)
        expiry.start()
        self.clock.advance(300)
        expiry.stop()
        self.assertEqual(self.queues.logged().count("where=expiry"), 2)
