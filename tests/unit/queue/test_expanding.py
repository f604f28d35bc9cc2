"""L{umbcmail.queue.expanding}: what recipients stand for is known, and written down where it
are several, before anything is attempted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.queuefakes import LATER, NEVER, TEXT, Queues
from umbcmail import reply
from umbcmail.content import MemoryContent
from umbcmail.entry import Claim, Delivery, Draft, SpoolError
from umbcmail.envelope import Origin, Recipient
from umbcmail.interfaces import IExpander
from umbcmail.outcome import Outcome

TOLD = Outcome(reply.EXPANDED, command="aliases", expanded=True)
LISTED = Outcome(reply.EXPANDED, command="aliases", delivered=True)
UNKNOWN = Outcome(reply.RECIPIENT_YET, command="aliases")
LOOP = Outcome(reply.ALIAS_LOOP, command="aliases")


@implementer(IExpander)
class FakeExpander:
    """Answers what a test has set, by address; who has an origin stands for himself."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.asked: list[str] = []

    def expand(self, sender: str, recipient: Recipient) -> Any:
        """See L{IExpander.expand}."""
        self.asked.append(recipient.address)
        said = self.found.get(recipient.address)
        if isinstance(said, Exception):
            raise said
        if recipient.origin is not None and recipient.origin.depth is None:
            return None
        return said

    def become(self, address: str, *to: str, owner: str | None = None, action: str = "") -> list[Delivery]:
        """An address becomes others."""
        origin = Origin(address, owner, action)
        made = [Delivery(replace(Recipient(each), origin=origin)) for each in to]
        self.found[address] = tuple(made)
        return made


class Case(SynchronousTestCase):
    """An intake over queues in memory, which do not run until they are started."""

    def setUp(self) -> None:
        """All in memory."""
        self.expander = FakeExpander()
        self.queues = Queues(False, expander=self.expander)
        self.courier = self.queues.courier
        self.told: list[reply.Reply] = []

    def accept(self, *addresses: str, interactive: bool = True, content: bytes = TEXT, **values: Any) -> None:
        """A message comes; C{told} is what the client hears."""
        q = self.queues
        intake = q.intake(interactive, tell=q.settlement.tell, expansions=q.expansions, queue=values.pop("queue", ""))
        envelope = q.envelope(*addresses)
        if "notify" in values:
            notify = values.pop("notify")
            envelope = envelope.withRecipients(tuple(replace(each, notify=notify) for each in envelope.recipients))
        answer = intake.accept(replace(envelope, **values), MemoryContent(content))
        if isinstance(answer, Deferred):
            answer.addCallback(self.told.append)
        else:
            self.told.append(answer)

    def run_(self, seconds: float = 1.0) -> None:
        """The queues run."""
        for runner in self.queues.runners.values():
            runner.start()
        self.queues.clock.pump([0.1] * int(seconds * 10))


class InteractiveTests(Case):
    """The client waits for the next hop."""

    def test_itself(self) -> None:
        """Who stands for himself costs nothing."""
        self.accept("a@x.test")
        self.assertEqual(([["a@x.test"]], [reply.sent("m1")]), (self.courier.deliveries, self.told))
        self.assertEqual([TEXT], self.courier.contents)

    def test_one(self) -> None:
        """One for one is tried at once, and no disk is touched; the message says where it came
        to, and what the other is told the client is told."""
        self.expander.become("a@x.test", "b@y.test")
        self.accept("a@x.test")
        self.assertEqual(([["b@y.test"]], [reply.sent("m1")]), (self.courier.deliveries, self.told))
        self.assertEqual([b"Delivered-To: a@x.test\r\n" + TEXT], self.courier.contents)
        self.assertEqual({}, self.queues.entries())
        self.courier.outcomes["b@y.test"] = NEVER
        self.accept("a@x.test")
        self.assertEqual(NEVER.reply, self.told[1])

    def test_refusals(self) -> None:
        """Several who refuse are told of by the names that the client knows."""
        self.expander.become("a@x.test", "secret@y.test")
        self.courier.outcomes["secret@y.test"] = NEVER
        self.courier.outcomes["b@x.test"] = Outcome(reply.reply(552, "5.2.2", "Full"))
        self.accept("a@x.test", "b@x.test")
        self.assertEqual(("<a@x.test>: 550 5.1.1 No such user", "<b@x.test>: 552 5.2.2 Full"), self.told[0].lines)

    def test_delayed(self) -> None:
        """Of one for one the other waits, and is not expanded again."""
        self.expander.become("a@x.test", "b@y.local")
        self.courier.outcomes["b@y.local"] = LATER
        self.accept("a@x.test")
        self.assertEqual({"m1": ("local", ["b@y.local"])}, self.queues.entries())
        self.expander.become("b@y.local", "c@z.test")
        self.courier.outcomes.clear()
        self.run_(500)
        self.assertEqual([["b@y.local"]] * 2, self.courier.deliveries)

    def test_several(self) -> None:
        """Several are on the spool, each in its class, before anything is attempted."""
        self.expander.become("l@x.local", "a@x.local", "b@y.test", "c@y.test")
        self.accept("l@x.local", "d@y.test")
        self.assertEqual(([], [reply.queued("m1")]), (self.courier.deliveries, self.told))
        wanted = {"m1": ("local", ["a@x.local"]), "m1.2": ("remote", ["b@y.test", "c@y.test", "d@y.test"])}
        self.assertEqual(wanted, self.queues.entries())
        self.run_()
        self.assertEqual({}, self.queues.entries())
        went = sorted(address for addresses in self.courier.deliveries for address in addresses)
        self.assertEqual(["a@x.local", "b@y.test", "c@y.test", "d@y.test"], went)

    def test_duplicates(self) -> None:
        """Who would get it twice gets it once, and is told of as who was named."""
        self.expander.become("l@x.local", "A@y.test", owner="o@x.local")
        self.expander.become("m@x.local", "a@y.test", "b@y.test")
        self.accept("l@x.local", "a@Y.test", "m@x.local")
        self.run_()
        self.assertEqual(["a@Y.test", "b@y.test"], sorted(each for some in self.courier.deliveries for each in some))
        self.assertEqual(["s@z.test", "s@z.test"], self.courier.senders)

    def test_failing(self) -> None:
        """Who leads nowhere is refused; where others go on he is told of by a notification."""
        self.expander.found["a@x.test"] = (Delivery(Recipient("a@x.test")).after(LOOP),)
        self.accept("a@x.test")
        self.assertEqual([reply.ALIAS_LOOP], self.told)
        bad = Delivery(Recipient("b@x.test", origin=Origin("l@x.test"))).after(LOOP)
        self.expander.found["l@x.test"] = (*self.expander.become("l@x.test", "c@y.test"), bad)
        self.accept("l@x.test")
        self.assertEqual(reply.queued("m1"), self.told[1])
        self.run_()
        self.assertEqual([["c@y.test"], ["s@z.test"]], self.courier.deliveries)
        self.assertIn(b"5.4.6", self.courier.contents[1] or b"")

    def test_unknown(self) -> None:
        """What can't be told is no refusal: it waits as it is, and is asked about again."""
        self.expander.found["a@x.test"] = (Delivery(Recipient("a@x.test")).after(UNKNOWN),)
        self.accept("a@x.test", "b@y.test")
        self.assertEqual([reply.queued("m1")], self.told)
        self.assertEqual({"m1": ("remote", ["a@x.test"])}, self.queues.entries())
        self.expander.become("a@x.test", "c@y.test", "d@y.test")
        self.run_(400)
        self.assertEqual([["b@y.test"], ["c@y.test", "d@y.test"]], self.courier.deliveries)

    def test_bug(self) -> None:
        """A bug delays, whether it comes at once or later."""
        for said in (ZeroDivisionError(), None):
            self.expander.found["a@x.test"] = said if said is not None else fail(ZeroDivisionError())
            self.accept("a@x.test", id=f"m-{said is None}")
        self.assertEqual([["a@x.test"]] * 2, [addresses for _, addresses in self.queues.entries().values()])
        self.assertEqual([], self.courier.deliveries)
        self.assertEqual(2, self.queues.logged().count("where=aliases"))

    def test_waits(self) -> None:
        """The answer may take its time."""
        waiting: Deferred[Any] = Deferred()
        self.expander.found["a@x.test"] = waiting
        self.accept("a@x.test", "b@x.test")
        self.assertEqual(([], []), (self.told, self.courier.deliveries))
        waiting.callback((Delivery(Recipient("c@x.test", origin=Origin("a@x.test"))),))
        self.assertEqual([["c@x.test"], ["b@x.test"]], self.courier.deliveries)
        self.assertEqual([reply.sent("m1")], self.told)

    def test_loop(self) -> None:
        """What has come back is refused and not forwarded once more."""
        self.expander.become("a@x.test", "b@y.test")
        self.accept("a@x.test", content=b"Received: x\r\nDelivered-To: A@x.test\r\n\r\n")
        self.assertEqual(([reply.DELIVERED_BEFORE], []), (self.told, self.courier.deliveries))

    def test_limit(self) -> None:
        """A message becomes so many recipients at a time; the rest waits."""
        for name in "lm":
            self.expander.become(f"{name}@x.test", *(f"{name}{number}@y.test" for number in range(60)))
        self.accept("l@x.test", "m@x.test")
        [(_, addresses)] = self.queues.entries().values()
        self.assertEqual((61, True), (len(addresses), "m@x.test" in addresses))
        self.run_(5)
        self.assertEqual(60, sum(map(len, self.courier.deliveries)))
        self.run_(700)
        self.assertEqual(120, sum(map(len, self.courier.deliveries)))

    def test_nobody(self) -> None:
        """What is thrown away is answered 250."""
        gone = Outcome(reply.NOBODY, command="aliases")
        self.expander.found["a@x.test"] = (Delivery(Recipient("a@x.test")).after(gone),)
        self.accept("a@x.test")
        self.assertEqual(([reply.sent("m1")], [], {}), (self.told, self.courier.deliveries, self.queues.entries()))

    def test_noSpool(self) -> None:
        """A list that can't be written down is not ours, and nobody gets anything."""
        self.expander.become("l@x.test", "a@y.test", "b@y.test")
        self.patch(self.queues.spool, "commit", lambda *given: fail(SpoolError("no")))
        self.accept("l@x.test")
        self.assertEqual(([reply.LOCAL_ERROR], []), (self.told, self.courier.deliveries))


class NotifyTests(Case):
    """Who is told what (RFC 3461 section 5.2.7)."""

    def test_owner(self) -> None:
        """What goes wrong with members is told to the owner of the list, by whom it was sent."""
        self.expander.become("l@x.test", "a@y.test", "b@y.test", owner="owner-l@x.test")
        self.courier.outcomes["a@y.test"] = self.courier.outcomes["c@y.test"] = NEVER
        self.accept("l@x.test", "c@y.test", ret="HDRS", envid="E1")
        self.run_()
        self.assertEqual({"owner-l@x.test", "s@z.test", ""}, set(self.courier.senders))
        self.assertEqual(
            [["a@y.test", "b@y.test"], ["c@y.test"], ["owner-l@x.test"], ["s@z.test"]], sorted(self.courier.deliveries)
        )
        for addresses, content in zip(self.courier.deliveries, self.courier.contents, strict=True):
            if addresses == ["owner-l@x.test"]:
                self.assertIn(b"rfc822; a@y.test", content or b"")
                self.assertNotIn(b"c@y.test", content or b"")
                self.assertNotIn(b"E1", content or b"")
            elif addresses == ["s@z.test"]:
                self.assertIn(b"rfc822; c@y.test", content or b"")
                self.assertIn(b"Original-Envelope-Id: E1", content or b"")
                self.assertNotIn(b"a@y.test", content or b"")

    def test_success(self) -> None:
        """Who asked to hear of success hears at once: of a list that it is delivered, of
        several that it is expanded."""
        for told, action in ((LISTED, b"delivered"), (TOLD, b"expanded")):
            for interactive in (True, False):
                self.setUp()
                made = self.expander.become("l@x.local", "a@y.test", "b@y.test")
                done = Delivery(Recipient("l@x.local", "SUCCESS")).after(told)
                self.expander.found["l@x.local"] = (done, *made)
                self.accept("l@x.local", interactive=interactive, notify="SUCCESS")
                self.run_()
                self.assertEqual([["a@y.test", "b@y.test"], ["s@z.test"]], sorted(self.courier.deliveries))
                [dsn] = [content for content in self.courier.contents if content and b"Action:" in content]
                self.assertIn(b"Action: " + action, dsn)
                self.assertIn(b"Final-Recipient: rfc822; l@x.local", dsn)


class QueueTests(Case):
    """What waits in the queues is expanded when it is taken."""

    def test_background(self) -> None:
        """The client is answered at once; then it is expanded, that is recorded, and attempted."""
        self.expander.become("l@x.local", "a@x.local", "b@y.test", action="")
        self.accept("l@x.local", "c@x.local", interactive=False)
        self.assertEqual([reply.queued("m1")], self.told)
        self.assertEqual({"m1": ("local", ["l@x.local", "c@x.local"])}, self.queues.entries())
        self.courier.hold = True
        self.run_()
        self.assertEqual(
            {"m1": ("local", ["a@x.local", "c@x.local"]), "m1.1-1": ("remote", ["b@y.test"])},
            dict(sorted((id, (q, sorted(a))) for id, (q, a) in self.queues.entries().items())),
        )
        self.courier.go()
        self.run_()
        self.assertEqual({}, self.queues.entries())
        self.assertEqual([["a@x.local"], ["b@y.test"], ["c@x.local"]], sorted(self.courier.deliveries))

    def test_crash(self) -> None:
        """A crash behind the record and amid the attempts neither loses nor repeats anybody:
        the list has been changed meanwhile, and that changes nothing."""
        self.expander.become("l@x.local", "a@x.local", "b@y.test")
        self.accept("l@x.local", interactive=False)
        self.courier.outcomes["b@y.test"] = LATER
        self.run_()
        self.assertEqual([["a@x.local"], ["b@y.test"]], sorted(self.courier.deliveries))
        store, clock = self.queues.spool._store, self.queues.clock.seconds()
        self.queues.spool.stop()
        self.expander.become("l@x.local", "new@y.test")
        self.queues = Queues(store=store, expander=self.expander)
        self.queues.clock.advance(clock - self.queues.clock.seconds() + 400)
        self.queues.clock.pump([1.0] * 10)
        self.assertEqual([["b@y.test"]], self.queues.courier.deliveries)

    def test_unrecorded(self) -> None:
        """When it can't be recorded nothing is attempted."""
        self.expander.become("l@x.local", "a@x.local", "b@y.test")
        self.accept("l@x.local", interactive=False)
        self.patch(self.queues.spool, "record", lambda *given: fail(SpoolError("no")))
        self.run_(3)
        self.assertEqual([], self.courier.deliveries)

    def test_handover(self) -> None:
        """Mail in a class that goes to other hosts as it is, is not expanded here."""
        whole = self.queues.envelope("l@x.local")
        self.expander.become("l@x.local", "a@x.local")
        self.assertIsNone(self.queues.expansions.of(whole, self.queues.content(), whole.recipients, "handover"))
        self.assertIsNotNone(self.queues.expansions.of(whole, self.queues.content(), whole.recipients, "slow"))

    def test_action(self) -> None:
        """Programs go to the local delivery agent, whatever the way of the domain is."""
        self.expander.become("p@x.local", "prog@x.local", action="|vacation")
        self.queues.router.problems["x.local"] = NEVER.reply
        self.accept("p@x.local", interactive=False)
        self.run_()
        self.assertEqual(([["prog@x.local"]], ["|vacation"]), (self.courier.deliveries, self.courier.actions))

    def test_attempts(self) -> None:
        """Others in the entry keep what is known of them."""
        whole = self.queues.envelope("l@x.local", "b@x.local")
        old = Delivery(Recipient("b@x.local")).after(LATER, 5.0)
        now = self.queues.clock.seconds()
        drafts = [Draft("local", (Delivery(Recipient("l@x.local")), old), now)]
        self.successResultOf(self.queues.spool.commit(whole, self.queues.content(), drafts, now))
        self.expander.become("l@x.local", "a@x.local")
        self.courier.hold = True
        self.run_()
        [claim] = [held.claim for held in self.queues.runners["local"].holdings]
        assert isinstance(claim, Claim)
        self.assertEqual(
            [("a@x.local", 0), ("b@x.local", 1)],
            sorted((d.recipient.address, d.attempts) for d in claim.entry.deliveries),
        )

    def test_unreadable(self) -> None:
        """When the message can't be read nobody knows whether it loops: it waits."""

        class Bad(MemoryContent):
            """Can't be read."""

            data = None  # type: ignore[assignment]

            def __init__(self) -> None:
                self.size = 5

            def open(self) -> Any:
                """See L{IContent.open}."""

                class Reader:
                    """Fails."""

                    def read(self) -> Any:
                        """Fail."""
                        return fail(OSError("gone"))

                    def close(self) -> None:
                        """Nothing."""

                return Reader()

        self.expander.become("l@x.local", "a@x.local")
        found = self.queues.expansions.of(self.queues.envelope("l@x.local"), Bad(), (Recipient("l@x.local"),))
        assert not isinstance(found, Deferred)
        self.assertEqual(451, found.groups[0][0].outcome.reply.code)
