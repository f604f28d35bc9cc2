"""Who is told of what by delivery status notifications (RFC 3461, RFC 3464), and where
a message goes whose fate is not known (RFC 1047)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import LATER, NEVER, SENT, TEXT, Queues
from umbcmail import reply
from umbcmail.content import MemoryContent
from umbcmail.destination import Hop, Route
from umbcmail.entry import Delivery, Draft, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import Report, bounceContent, wants

RELAYED = replace(SENT, relayed=True)
DELIVERED = Outcome(reply.DELIVERED, command="mailbox", delivered=True)
UNCERTAIN = Outcome(reply.reply(451, "4.4.2", "Lost"), "two[192.0.2.2]:25", "end of DATA", uncertain=True)


class NoticeCase(SynchronousTestCase):
    """Queues in memory."""

    def setUp(self) -> None:
        """All in memory."""
        self.queues = Queues()
        self.courier = self.queues.courier
        self.clock = self.queues.clock

    def envelope(self, *recipients: Recipient, sender: str = "s@z.test", **values: Any) -> Envelope:
        """An envelope."""
        return Envelope("m1", sender, recipients, self.clock.seconds(), size=len(TEXT), **values)

    def notices(self) -> list[str]:
        """The notifications that have been sent so far."""
        self.clock.pump([0.5] * 20)
        pairs = zip(self.courier.deliveries, self.courier.contents, strict=True)
        return [(content or b"").decode() for addresses, content in pairs if addresses == ["s@z.test"]]


class SettledTests(NoticeCase):
    """Out of the spool."""

    def commit(self, envelope: Envelope) -> None:
        """A message, as another process would."""
        now = self.clock.seconds()
        draft = Draft("remote", tuple(Delivery(recipient) for recipient in envelope.recipients), now)
        self.successResultOf(self.queues.spool.commit(envelope, self.queues.content(), [draft], now))

    def test_relayed(self) -> None:
        """Who asked for SUCCESS hears that the mail has left our world; others do not."""
        self.courier.outcomes.update({"a@x.test": RELAYED, "b@x.test": RELAYED})
        wanted = Recipient("a@x.test", "SUCCESS", "rfc822;A+2Ba@x.test")
        self.commit(self.envelope(wanted, Recipient("b@x.test", "FAILURE"), envid="e+2B1"))
        [notice] = self.notices()
        self.assertIn("\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; h\r\n", notice)
        self.assertIn("\r\nOriginal-Envelope-Id: e+1\r\n", notice)
        self.assertIn("\r\nOriginal-Recipient: rfc822; A+a@x.test\r\n", notice)
        self.assertIn("Subject: Your message has been passed on", notice)
        self.assertNotIn("b@x.test", notice)
        self.assertNotIn("\r\n\r\nbody", notice)

    def test_delivered(self) -> None:
        """Likewise of a mailbox of ours."""
        self.courier.outcomes["a@x.local"] = DELIVERED
        self.commit(self.envelope(Recipient("a@x.local", "NEVER"), Recipient("a@x.local", "SUCCESS,DELAY")))
        [notice] = self.notices()
        self.assertEqual(notice.count("Action: delivered\r\nStatus: 2.1.5"), 1)

    def test_all(self) -> None:
        """One attempt with all kinds of outcomes: each is told to whom it is due."""
        self.courier.outcomes.update({"a@x.test": RELAYED, "b@x.test": DELIVERED, "c@x.test": NEVER, "d@x.test": LATER})
        letters = [Recipient(f"{letter}@x.test", "SUCCESS,FAILURE") for letter in "abcd"]
        self.commit(self.envelope(*letters, Recipient("e@x.test", "SUCCESS")))
        found = sorted(line for notice in self.notices() for line in notice.split("\r\n") if line[:7] == "Action:")
        self.assertEqual(found, ["Action: delivered", "Action: failed", "Action: relayed"])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["d@x.test"])})

    def test_nullSender(self) -> None:
        """The null sender is told nothing."""
        self.courier.outcomes["a@x.test"] = RELAYED
        self.commit(self.envelope(Recipient("a@x.test", "SUCCESS"), sender=""))
        self.assertEqual((self.notices(), self.queues.entries()), ([], {}))


class InteractiveTests(NoticeCase):
    """While the client waits."""

    def accept(self, envelope: Envelope) -> list[reply.Reply]:
        """What the client is told."""
        q = self.queues
        intake = q.intake(True, tell=q.settlement.tell)
        told: list[reply.Reply] = []
        answer = intake.accept(envelope, q.content())
        assert isinstance(answer, Deferred)
        answer.addCallback(told.append)
        return told

    def test_stableFirst(self) -> None:
        """The notification is on stable storage before the client hears 250."""
        self.courier.outcomes["a@x.test"] = RELAYED
        waiting: list[Deferred[Any]] = []
        commit = self.queues.spool.commit

        def slow(*args: Any) -> Any:
            done: Deferred[Any] = Deferred()
            waiting.append(done.addCallback(lambda _: commit(*args)))
            return done

        self.patch(self.queues.spool, "commit", slow)
        told = self.accept(self.envelope(Recipient("a@x.test", "SUCCESS")))
        self.assertEqual(told, [])
        waiting[0].callback(None)
        self.assertEqual(told, [reply.sent("m1")])
        self.assertIn("Action: relayed", self.notices()[0])

    def test_someLater(self) -> None:
        """Who is delayed goes to the spool as ever."""
        self.courier.outcomes.update({"a@x.test": RELAYED, "b@x.test": LATER})
        told = self.accept(self.envelope(Recipient("a@x.test", "SUCCESS"), Recipient("b@x.test")))
        self.assertEqual(told, [reply.queued("m1")])
        self.assertEqual(len(self.notices()), 1)
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["b@x.test"])})

    def test_brokenSpool(self) -> None:
        """What has been sent is not sent again because its notification can't be kept."""
        self.courier.outcomes["a@x.test"] = RELAYED
        self.patch(self.queues.spool, "commit", lambda *args: fail(SpoolError("broken")))
        self.assertEqual(self.accept(self.envelope(Recipient("a@x.test", "SUCCESS"))), [reply.sent("m1")])
        self.assertIn(" trouble id=m1 where=notification why=broken", self.queues.logged())

    def test_notWanted(self) -> None:
        """Nobody asks: the spool is not touched."""
        self.patch(self.queues.spool, "commit", lambda *args: fail(AssertionError("touched")))
        self.assertEqual(self.accept(self.envelope(Recipient("a@x.test"))), [reply.sent("m1")])
        self.assertEqual(self.notices(), [])


class TextTests(SynchronousTestCase):
    """What a notification says."""

    def made(self, action: str, original: bytes, recipient: Recipient, **values: Any) -> str:
        """One."""
        envelope = Envelope("m1", "s@z.test", (recipient,), 0.0, **values)
        report = Report("b1", "mx.y.test", action, envelope, (Delivery(recipient).after(NEVER),), 0.0, 0.0)
        return bounceContent(report, original, True).decode()

    def test_wants(self) -> None:
        """NOTIFY by recipient; without it failures and delays are told, successes not."""
        for notify, wanted in (
            ("", {"failed", "delayed"}),
            ("NEVER", set()),
            ("SUCCESS", {"relayed", "delivered"}),
            ("FAILURE,DELAY", {"failed", "delayed"}),
            ("DELAY,SUCCESS", {"delayed", "relayed", "delivered"}),
        ):
            actions = ("failed", "delayed", "relayed", "delivered")
            self.assertEqual({a for a in actions if wants(Recipient("a@b", notify), a)}, wanted, notify)

    def test_returned(self) -> None:
        """All of the message comes back with failures only, and not where it was asked
        or required that it does not."""
        ann = Recipient("a@b")
        self.assertIn("\r\n\r\nbody", self.made("failed", TEXT, ann))
        self.assertNotIn("\r\n\r\nbody", self.made("delayed", TEXT, ann, ret="FULL"))
        self.assertNotIn("\r\n\r\nbody", self.made("failed", TEXT, ann, ret="HDRS"))
        self.assertNotIn("\r\n\r\nbody", self.made("failed", TEXT, ann, requireTLS=True))

    def test_wide(self) -> None:
        """A header that is not ASCII comes back as message/global (RFC 6533)."""
        original = "Subject: é\r\n\r\nbody\r\n".encode()
        self.assertIn("Content-Type: message/global\r\n", self.made("failed", original, Recipient("a@b")))
        self.assertIn("message/global-headers\r\n", self.made("failed", original, Recipient("a@b"), ret="HDRS"))

    def test_noInjection(self) -> None:
        """Nothing that is coded in ENVID or ORCPT becomes a line of its own."""
        ann = Recipient("a@b", "", "rfc822;x+0D+0AAction:+20delivered")
        made = self.made("failed", TEXT, ann, envid="1+0D+0AAction:+20delivered")
        self.assertNotIn("\r\nAction: delivered", made)
        self.assertIn("Original-Envelope-Id: 1??Action: delivered\r\n", made)
        self.assertIn(
            "Original-Recipient: utf-8; j\\x{F6}@b", self.made("failed", TEXT, Recipient("a", "", "utf-8;jö@b"))
        )


class UncertainTests(NoticeCase):
    """The link was lost after the final dot."""

    def setUp(self) -> None:
        """Three hops."""
        super().setUp()
        self.hops = tuple(Hop(name, f"192.0.2.{n}", 25) for n, name in enumerate(("one", "two", "three"), 1))
        self.tried: list[tuple[str, ...]] = []
        deliver = self.courier.deliver

        def noted(envelope: Any, content: Any, recipients: Any, hops: tuple[Hop, ...]) -> Any:
            self.tried.append(tuple(hop.name for hop in hops))
            return deliver(envelope, content, recipients, hops)

        self.patch(self.courier, "deliver", noted)
        self.patch(self.queues.router, "route", lambda domain, queue: Route("smtp", self.hops))
        self.courier.outcomes["a@x.test"] = UNCERTAIN
        now = self.clock.seconds()
        recipients = (Recipient("a@x.test"), Recipient("b@x.test"))
        self.courier.outcomes["b@x.test"] = LATER
        draft = Draft("remote", tuple(Delivery(recipient) for recipient in recipients), now)
        self.queues.spool.commit(self.envelope(*recipients), MemoryContent(TEXT), [draft], now)
        self.clock.pump([1.0] * 10)

    def test_sameHost(self) -> None:
        """The next attempt goes to that host only, for that recipient only."""
        self.courier.outcomes["a@x.test"] = LATER
        self.clock.pump([1.0] * 330)
        self.assertEqual(self.tried[0], ("one", "two", "three"))
        self.assertEqual(sorted(self.tried[1:]), [("one", "two", "three"), ("two",)])
        self.assertIn(" again id=m1 recipient=<a@x.test> host=two[192.0.2.2]:25", self.queues.logged())
        self.clock.pump([1.0] * 700)
        self.assertEqual(self.tried[3:], [("one", "two", "three")])

    def test_gone(self) -> None:
        """When that host is no next hop any more, the others are tried."""
        self.hops = self.hops[::2]
        self.clock.pump([1.0] * 330)
        self.assertEqual(self.tried[1:], [("one", "three")])
        self.assertIn("is no next hop now", self.queues.logged())
