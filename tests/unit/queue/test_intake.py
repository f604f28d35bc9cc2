"""L{umbcmail.queue.intake} and L{umbcmail.queue.attempt}: a message is taken over."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.queuefakes import LATER, NEVER, SENT, TEXT, Queues
from umbcmail import reply
from umbcmail.destination import Hop, Route
from umbcmail.entry import SpoolError, SpoolFull
from umbcmail.interfaces import ICourier, IIntake, IRouter
from umbcmail.outcome import Outcome
from umbcmail.queue.intake import Intake
from umbcmail.selection import Selection


class IntakeCase(SynchronousTestCase):
    """An intake over queues in memory."""

    interactive = True
    running = True

    def setUp(self) -> None:
        """All in memory."""
        self.queues = Queues(self.running)
        self.courier = self.queues.courier
        self.loaded = False
        self.intake = self.make()

    def make(self, **values: Any) -> Intake:
        """An intake."""
        q = self.queues
        return q.intake(self.interactive, isLoaded=lambda: self.loaded, **values)

    def accept(self, *addresses: str, **values: Any) -> list[reply.Reply]:
        """What the client is told; empty as long as that is not known."""
        told: list[reply.Reply] = []
        answer = self.intake.accept(self.queues.envelope(*addresses, **values), self.queues.content())
        if isinstance(answer, Deferred):
            answer.addCallback(told.append)
        else:
            told.append(answer)
        return told


class InteractiveTests(IntakeCase):
    """The client waits for the next hop."""

    def test_interfaces(self) -> None:
        """The intake and the fakes are what they claim."""
        verifyObject(IIntake, self.intake)
        verifyObject(IRouter, self.queues.router)
        verifyObject(ICourier, self.courier)

    def test_sent(self) -> None:
        """All sent: 250, and the spool was not touched."""
        self.assertEqual(self.accept("a@x.test", "b@x.test"), [reply.sent("m1")])
        self.assertEqual(self.courier.deliveries, [["a@x.test", "b@x.test"]])
        self.assertEqual(self.courier.contents, [TEXT])
        self.assertEqual(self.queues.entries(), {})

    def test_grouped(self) -> None:
        """Recipients with the same route travel together, others apart."""
        self.assertEqual(self.accept("a@x.test", "b@y.test", "c@x.test"), [reply.sent("m1")])
        self.assertEqual(sorted(self.courier.deliveries), [["a@x.test", "c@x.test"], ["b@y.test"]])

    def test_failed(self) -> None:
        """All failed: the client gets the 5xx itself, and there is no bounce."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.assertEqual(self.accept("a@x.test"), [NEVER.reply])
        self.assertEqual(self.queues.entries(), {})

    def test_failedDifferently(self) -> None:
        """Several failures are told in one reply, each with its recipient."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.courier.outcomes["b@x.test"] = Outcome(reply.reply(552, "5.2.2", "Full"))
        [told] = self.accept("a@x.test", "b@x.test")
        self.assertEqual((told.code, told.enhanced), (554, "5.0.0"))
        self.assertEqual(told.lines, ("<a@x.test>: 550 5.1.1 No such user", "<b@x.test>: 552 5.2.2 Full"))

    def test_delayed(self) -> None:
        """Delayed recipients are committed before the 250; the others are not."""
        self.courier.outcomes["a@x.test"] = LATER
        self.assertEqual(self.accept("a@x.test", "b@x.test"), [reply.queued("m1")])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})
        self.courier.outcomes.clear()
        self.queues.clock.pump([1.0] * 400)
        self.assertEqual(self.courier.deliveries[1:], [["a@x.test"]])
        self.assertEqual(self.queues.entries(), {})

    def test_held(self) -> None:
        """What its sender wants to be held is committed until then, and goes out
        then (RFC 4865); an operator's retry does not change that."""
        release = self.queues.clock.seconds() + 7200
        for interactive in (True, False):
            self.queues = Queues(True)
            self.courier, self.interactive = self.queues.courier, interactive
            self.intake = self.make()
            self.assertEqual(self.accept("a@x.test", "b@y.local", holdUntil=release), [reply.queued("m1")])
            self.queues.clock.pump([60.0] * 20)
            self.successResultOf(self.queues.spool.retry(Selection(), self.queues.clock.seconds()))
            self.queues.clock.pump([60.0] * 98)
            self.assertEqual(self.courier.deliveries, [])
            self.assertEqual(len(self.queues.entries()), 2)
            self.queues.clock.pump([60.0] * 3)
            self.assertEqual(sorted(self.courier.deliveries), [["a@x.test"], ["b@y.local"]])
            self.assertEqual(self.queues.entries(), {})

    def test_heldExpires(self) -> None:
        """Warnings and expiry of a held message count from its release."""
        self.courier.outcomes["a@x.test"] = LATER
        release = self.queues.clock.seconds() + 7200
        self.accept("a@x.test", holdUntil=release)
        [entry] = self.successResultOf(self.queues.spool.listing(Selection(), 10))
        schedule = self.queues.schedules["remote"]
        self.assertFalse(schedule.isExpired(entry, release + schedule.expire - 1))
        self.assertTrue(schedule.isExpired(entry, release + schedule.expire))
        self.assertEqual(entry.due, release)

    def test_aside(self) -> None:
        """What a rule or a filter has put aside is committed as held, whatever the
        mode, and tried when an operator releases it, however late."""
        for interactive in (True, False):
            self.queues = Queues(True)
            self.interactive = interactive
            self.courier, self.intake = self.queues.courier, self.make()
            q = self.queues
            self.assertEqual(self.accept("a@x.test", "b@y.local", hold="bad"), [reply.queued("m1")])
            q.clock.pump([3600.0] * 24 * 30)
            self.assertEqual(self.courier.deliveries, [])
            entries = self.successResultOf(q.spool.listing(Selection(), 9))
            self.assertEqual([("remote", "bad"), ("local", "bad")], [(e.queue, e.heldBecause) for e in entries])
            self.successResultOf(q.spool.release(Selection(), q.clock.seconds()))
            q.clock.pump([1.0] * 60)
            self.assertEqual(sorted(self.courier.deliveries), [["a@x.test"], ["b@y.local"]])
            self.assertEqual(q.entries(), {})
            self.assertIn(" held id=m1 queue=remote recipients=1 why=bad", "".join(map(bytes.decode, q.lines)))

    def test_asideForSome(self) -> None:
        """The others get theirs by the queue at once, and the client hears 250
        whatever they say."""
        self.courier.outcomes["b@x.test"] = NEVER
        told = self.accept("a@x.test", "b@x.test", "c@x.test", hold="bad", heldFor=("a@x.test",))
        self.assertEqual(told, [reply.queued("m1")])
        self.queues.clock.advance(1)
        self.assertEqual(self.courier.deliveries[0], ["b@x.test", "c@x.test"])
        entries = {e.id: e for e in self.successResultOf(self.queues.spool.listing(Selection(held=True), 9))}
        self.assertEqual({"m1.2": ("a@x.test",)}, {i: e.envelope.heldFor for i, e in entries.items()})

    def test_asideUntil(self) -> None:
        """A sender's wish to have it held counts too, when it is released before."""
        release = self.queues.clock.seconds() + 7200
        self.accept("a@x.test", hold="bad", holdUntil=release)
        self.successResultOf(self.queues.spool.release(Selection(), self.queues.clock.seconds() + 1))
        self.queues.clock.pump([10.0] * 719)
        self.assertEqual(self.courier.deliveries, [])
        self.queues.clock.pump([10.0] * 10)
        self.assertEqual(self.courier.deliveries, [["a@x.test"]])

    def test_asideIsRefused(self) -> None:
        """When it can't be kept the client keeps it."""
        self.queues.spool.commit = lambda *args: fail(SpoolFull("full"))  # type: ignore[method-assign]
        self.assertEqual(self.accept("a@x.test", hold="bad"), [reply.NO_STORAGE])

    def test_released(self) -> None:
        """A release time that has passed is none."""
        self.queues.clock.advance(100)
        self.assertEqual(self.accept("a@x.test", holdUntil=self.queues.clock.seconds()), [reply.sent("m1")])

    def test_someFailed(self) -> None:
        """Some failed: committed with their failure, and the bounce comes from the
        queue."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.assertEqual(self.accept("a@x.test", "b@x.test"), [reply.queued("m1")])
        self.queues.clock.pump([0.0, 0.1, 0.1])
        self.assertEqual(self.courier.deliveries[1:], [["s@z.test"]])
        self.assertIn(b"No such user", self.courier.contents[-1] or b"")
        self.assertEqual(self.queues.entries(), {})

    def test_split(self) -> None:
        """What goes to the spool is split by class."""
        for address in ("a@x.test", "b@y.local", "c@z.internal"):
            self.courier.outcomes[address] = LATER
        self.accept("a@x.test", "b@y.local", "c@z.internal")
        found = sorted(self.queues.entries().values())
        self.assertEqual(found, [("internal", ["c@z.internal"]), ("local", ["b@y.local"]), ("remote", ["a@x.test"])])

    def test_bug(self) -> None:
        """A courier that raises delays its recipients and no others."""
        self.courier.outcomes["a@x.test"] = RuntimeError("a bug")
        self.assertEqual(self.accept("a@x.test", "b@y.test"), [reply.queued("m1")])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})
        self.assertIn(" bug id=m1", self.queues.logged())

    def test_noRoute(self) -> None:
        """A domain that does not exist is refused at once."""
        self.queues.router.problems["x.test"] = reply.NO_SUCH_DOMAIN
        self.assertEqual(self.accept("a@x.test"), [reply.NO_SUCH_DOMAIN])

    def test_routeMustBeWaitedFor(self) -> None:
        """A route that is not known at once is waited for."""
        self.queues.router.waiting["x.test"] = Deferred()
        told = self.accept("a@x.test", "b@y.test")
        self.assertEqual(told, [])
        self.queues.router.waiting["x.test"].callback(Route("smtp", (Hop("h", "192.0.2.9", 25),)))
        self.assertEqual(told, [reply.sent("m1")])

    def test_deadline(self) -> None:
        """Past the deadline the message is committed and answered; the attempt goes
        on, and what it has sent is not sent again."""
        self.courier.hold = True
        told = self.accept("a@x.test", "b@y.local")
        self.queues.clock.pump([59.0])
        self.assertEqual(told, [])
        self.queues.clock.pump([2.0])
        self.assertEqual(told, [reply.queued("m1")])
        self.assertEqual(len(self.queues.entries()), 2)
        self.queues.clock.pump([10.0] * 20)
        self.assertEqual(len(self.courier.deliveries), 2)
        self.courier.outcomes["b@y.local"] = LATER
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})

    def test_noDeadlineForTheSpool(self) -> None:
        """An attempt that is over at once has no deadline, however long its commit takes:
        the message is not committed again."""
        spool, waiting = self.queues.spool, Deferred[None]()
        commit = spool.commit
        commits: list[str] = []

        def slow(envelope: Any, *args: Any) -> Any:
            commits.append(envelope.id)
            return waiting.addCallback(lambda _: commit(envelope, *args))

        self.patch(spool, "commit", slow)
        self.courier.outcomes["a@x.test"] = LATER
        told = self.accept("a@x.test")
        self.assertEqual(told, [])
        self.queues.clock.advance(61)
        waiting.callback(None)
        self.queues.clock.advance(61)
        self.assertEqual((told, commits), ([reply.queued("m1")], ["m1"]))

    def test_deadlineThenDelayed(self) -> None:
        """An attempt that ends late and without success is tried again."""
        self.courier.hold = True
        self.courier.outcomes["a@x.test"] = LATER
        self.accept("a@x.test")
        self.queues.clock.pump([61.0])
        self.courier.go()
        self.courier.hold = False
        self.courier.outcomes.clear()
        self.queues.clock.pump([1.0] * 400)
        self.assertEqual(self.courier.deliveries, [["a@x.test"]] * 2)

    def test_leaseIsRenewed(self) -> None:
        """As long as an attempt lasts nobody else gets the entry."""
        self.courier.hold = True
        self.accept("a@x.test")
        self.queues.clock.pump([61.0] + [100.0] * 12)
        claims: list[Any] = []
        self.queues.spool.claim("remote", 10, self.queues.clock.seconds()).addCallback(claims.extend)
        self.assertEqual(claims, [])

    def test_tooManyAttempts(self) -> None:
        """Over the cap messages are committed first, as when the machine is loaded."""
        self.courier.hold = True
        self.intake = self.make(limit=1)
        self.assertEqual(self.accept("a@x.test"), [])
        told = self.accept("b@x.test", sender="t@z.test")
        self.assertEqual(told, [reply.queued("m1")])

    def test_loaded(self) -> None:
        """On a loaded machine messages are committed first."""
        self.loaded = True
        self.courier.hold = True
        self.assertEqual(self.accept("a@x.test"), [reply.queued("m1")])

    def test_brokenSpool(self) -> None:
        """What can't be stored stays with the client; full and broken differ."""
        self.courier.outcomes["a@x.test"] = LATER
        for failure, told in ((SpoolFull("full"), reply.NO_STORAGE), (SpoolError("broken"), reply.LOCAL_ERROR)):
            self.patch(self.queues.spool, "commit", lambda *args, failure=failure: fail(failure))
            self.assertEqual(self.accept("a@x.test"), [told])

    def test_bugAfterTheAttempt(self) -> None:
        """What nobody expected is a 451: the client does not wait for ever, and what
        it keeps is not kept here too."""
        self.courier.outcomes["a@x.test"] = LATER
        discarded: list[Any] = []
        self.patch(self.queues.spool, "discard", discarded.append)
        self.intake = self.make(queue="nowhere")
        self.assertEqual(self.accept("a@x.test"), [reply.LOCAL_ERROR])
        self.assertEqual((len(discarded), self.queues.entries()), (1, {}))
        self.assertIn(" bug id=m1", self.queues.logged())

    def test_bugAtTheDeadline(self) -> None:
        """The same when the deadline passes."""
        self.courier.hold = True
        self.intake = self.make(queue="nowhere")
        told = self.accept("a@x.test")
        self.patch(self.queues.router, "classify", lambda domain: 1 / 0)
        self.intake._queue = ""
        self.queues.clock.pump([61.0])
        self.assertEqual(told, [reply.LOCAL_ERROR])
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})

    def test_courierCountsWrong(self) -> None:
        """A courier with too few outcomes delays its recipients and no others: they
        would get the message twice."""
        deliver = self.courier.deliver

        def short(envelope: Any, content: Any, recipients: list[Any], hops: Any) -> Any:
            tried = deliver(envelope, content, recipients, hops)
            return tried.addCallback(lambda found: found[:1]) if recipients[0].domain == "x.test" else tried

        self.patch(self.courier, "deliver", short)
        self.assertEqual(self.accept("a@x.test", "b@y.test", "c@x.test"), [reply.queued("m1")])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test", "c@x.test"])})

    def test_courierGivesNonsense(self) -> None:
        """The same of one that gives no Deferred."""
        deliver = self.courier.deliver

        def odd(envelope: Any, content: Any, recipients: list[Any], hops: Any) -> Any:
            tried = deliver(envelope, content, recipients, hops)
            return None if recipients[0].domain == "x.test" else tried

        self.patch(self.courier, "deliver", odd)
        self.assertEqual(self.accept("b@y.test", "a@x.test"), [reply.queued("m1")])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})

    def test_brokenSpoolAtTheDeadline(self) -> None:
        """The same when the deadline passes; the end of the attempt then finds
        nobody, and harms nobody."""
        self.courier.hold = True
        self.patch(self.queues.spool, "commit", lambda *args: fail(SpoolError("broken")))
        told = self.accept("a@x.test")
        self.queues.clock.pump([61.0])
        self.assertEqual(told, [reply.LOCAL_ERROR])
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})


class BackgroundTests(IntakeCase):
    """The client waits for the spool only."""

    interactive = False

    def test_committedFirst(self) -> None:
        """The message is stable before the client is answered, and its attempt
        begins after that, from memory."""
        self.assertEqual(self.accept("a@x.test"), [reply.queued("m1")])
        self.assertEqual(self.courier.deliveries, [])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["a@x.test"])})
        self.patch(self.queues.spool, "content", lambda entry: fail(SpoolError("not to be read")))
        self.queues.clock.pump([0.0])
        self.assertEqual(self.courier.deliveries, [["a@x.test"]])
        self.assertEqual(self.queues.entries(), {})

    def test_failed(self) -> None:
        """A failure after the 250 becomes a bounce."""
        self.courier.outcomes["a@x.test"] = NEVER
        self.accept("a@x.test")
        self.queues.clock.pump([0.0, 0.1, 0.1])
        self.assertEqual(self.courier.deliveries, [["a@x.test"], ["s@z.test"]])

    def test_noRoom(self) -> None:
        """With all places taken the message is committed and waits its turn."""
        self.courier.hold = True
        for n in range(12):
            envelope = self.queues.envelope("a@x.test")
            envelope = type(envelope)(f"n{n}", "s@z.test", envelope.recipients, envelope.arrived)
            self.intake.accept(envelope, self.queues.content())
        self.queues.clock.pump([0.0, 0.1])
        self.assertEqual(len(self.courier.deliveries), 10)
        self.assertEqual(len(self.queues.entries()), 12)
        self.courier.hold = False
        self.courier.go()
        self.queues.clock.pump([0.1] * 5)
        self.assertEqual(len(self.courier.deliveries), 12)
        self.assertEqual(self.queues.entries(), {})

    def test_brokenSpool(self) -> None:
        """What can't be stored stays with the client, and its place is free again."""
        for _ in range(20):
            self.patch(self.queues.spool, "commit", lambda *args: fail(SpoolError("broken")))
            self.assertEqual(self.accept("a@x.test"), [reply.LOCAL_ERROR])
        self.assertTrue(self.queues.runners["remote"].reserve())


class ElsewhereTests(IntakeCase):
    """Another process runs the queues."""

    interactive = False
    running = False

    def test_committed(self) -> None:
        """The message is left for it."""
        self.assertEqual(self.accept("a@x.test"), [reply.queued("m1")])
        self.queues.clock.pump([0.0, 10.0])
        self.assertEqual(self.courier.deliveries, [])
        claims: list[Any] = []
        self.queues.spool.claim("remote", 10, self.queues.clock.seconds()).addCallback(claims.extend)
        self.assertEqual(len(claims), 1)

    def test_interactive(self) -> None:
        """What is in the air past the deadline is settled all the same."""
        self.interactive = True
        self.intake = self.make()
        self.courier.hold = True
        told = self.accept("a@x.test")
        self.queues.clock.pump([61.0])
        self.assertEqual(told, [reply.queued("m1")])
        self.courier.go()
        self.assertEqual(self.queues.entries(), {})
        self.assertIs(self.courier.outcomes.get("a@x.test", SENT), SENT)
