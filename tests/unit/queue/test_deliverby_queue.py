"""Messages with a time to be delivered by (RFC 2852), in the queue and at the intake."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.queuefakes import LATER, SENT
from tests.unit.queue.test_notices import RELAYED, NoticeCase
from umbcmail import reply
from umbcmail.deliverby import DeliverBy
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import wants
from umbcmail.selection import Selection

ANN = Recipient("a@x.test")


class DeliverByCase(NoticeCase):
    """Queues in memory, whose remote class tries after 300 and 600 seconds."""

    def timed(self, seconds: float, mode: str, *recipients: Recipient, **values: Any) -> Envelope:
        """An envelope with so much time."""
        by = DeliverBy(self.clock.seconds() + seconds, mode[0] == "R", mode[1:] == "T")
        return self.envelope(*(recipients or (ANN,)), deliverBy=by.text, **values)

    def commit(self, envelope: Envelope) -> None:
        """A message, as another process would."""
        now = self.clock.seconds()
        draft = Draft("remote", tuple(Delivery(recipient) for recipient in envelope.recipients), now)
        self.successResultOf(self.queues.spool.commit(envelope, self.queues.content(), [draft], now))

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.pump([1.0] * round(seconds))

    def attempts(self) -> int:
        """How often Ann's mail has been tried."""
        return self.courier.deliveries.count(["a@x.test"])


class ReturnTests(DeliverByCase):
    """Mode R."""

    def test_intoTime(self) -> None:
        """Delivered in time nothing is told."""
        self.commit(self.timed(400, "R"))
        self.assertEqual((self.notices(), self.attempts(), self.queues.entries()), ([], 1, {}))

    def test_over(self) -> None:
        """At its time it comes back with 5.4.7, without an attempt, though the next one
        would have been due later."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit(self.timed(400, "R"))
        self.pass_(395)
        self.assertEqual((self.attempts(), self.queues.entries()), (2, {"m1": ("remote", ["a@x.test"])}))
        self.pass_(15)
        [notice] = self.notices()
        self.assertIn("\r\nAction: failed\r\nStatus: 5.4.7\r\n", notice)
        self.assertIn("Greylisted", notice)
        self.assertIn("\r\nDeliver-By-Date: ", notice)
        self.pass_(1000)
        self.assertEqual((self.attempts(), self.queues.entries()), (2, {}))

    def test_tooLate(self) -> None:
        """What is too late already is not tried at all, even if nobody looked for long."""
        self.commit(self.timed(-1, "R"))
        [notice] = self.notices()
        self.assertIn("\r\nStatus: 5.4.7\r\n", notice)
        self.assertEqual(self.attempts(), 0)

    def test_inTheAir(self) -> None:
        """An attempt that has begun in time counts, however long it takes."""
        for outcome, told in ((SENT, 0), (LATER, 1)):
            self.setUp()
            self.courier.hold = True
            self.courier.outcomes["a@x.test"] = outcome
            self.commit(self.timed(100, "R"))
            self.pass_(200)
            self.assertEqual((self.attempts(), len(self.queues.entries())), (1, 1))
            self.courier.hold = False
            self.courier.go()
            self.pass_(10)
            self.assertEqual((len(self.notices()), self.attempts(), self.queues.entries()), (told, 1, {}))


class NotifyTests(DeliverByCase):
    """Mode N."""

    def test_late(self) -> None:
        """At its time the sender is told once of the delay, with 4.4.7, and it goes on."""
        self.courier.outcomes["a@x.test"] = LATER
        self.commit(self.timed(400, "N"))
        self.pass_(380)
        self.assertEqual(self.notices(), [])  # takes ten seconds
        self.pass_(20)
        [notice] = self.notices()
        self.assertIn("\r\nAction: delayed\r\nStatus: 4.4.7\r\n", notice)
        self.assertIn("Will-Retry-Until: ", notice)
        self.pass_(20_000)  # longer than the class waits to warn
        self.assertEqual(len(self.notices()), 1)
        self.courier.outcomes.clear()
        self.pass_(700)
        self.assertEqual(self.queues.entries(), {})

    def test_notWanted(self) -> None:
        """NOTIFY without DELAY: nothing is told."""
        ann = Recipient("a@x.test", "FAILURE")
        self.courier.outcomes["a@x.test"] = LATER
        self.commit(self.timed(100, "N", ann))
        self.pass_(2000)
        self.assertEqual(self.notices(), [])
        self.assertEqual(len(self.queues.entries()), 1)

    def test_inTime(self) -> None:
        """Delivered in time: nothing."""
        self.commit(self.timed(100, "N"))
        self.pass_(2000)
        self.assertEqual((self.notices(), self.attempts()), ([], 1))


class RelayedTests(DeliverByCase):
    """What couriers say has been passed on to where nobody tells."""

    def test_told(self) -> None:
        """It is told unless that is forbidden, whether SUCCESS was asked for or not."""
        addresses = {"a": "", "b": "NEVER", "c": "FAILURE", "d": "SUCCESS"}
        self.courier.outcomes.update({f"{name}@x.test": RELAYED for name in addresses})
        people = [Recipient(f"{name}@x.test", notify) for name, notify in addresses.items()]
        self.commit(self.timed(100, "N", *people))
        [notice] = self.notices()
        found = [line for line in notice.split("\r\n") if line.startswith("Final-Recipient")]
        self.assertEqual(found, [f"Final-Recipient: rfc822; {name}@x.test" for name in "acd"])
        self.assertEqual(notice.count("\r\nAction: relayed\r\n"), 3)

    def test_noHop(self) -> None:
        """What can't be passed on with its time comes back with a reason that fits."""
        self.courier.outcomes["a@x.test"] = Outcome(
            reply.reply(554, "5.3.3", "No DELIVERBY"), "h[192.0.2.1]:25", "EHLO"
        )
        self.commit(self.timed(100, "R"))
        [notice] = self.notices()
        self.assertIn("\r\nStatus: 5.3.3\r\n", notice)
        self.assertIn("without a time limit", notice)
        self.assertNotIn("smaller", notice)

    def test_onlyRelayed(self) -> None:
        """A time changes nothing for other notifications."""
        for notify in ("", "NEVER", "SUCCESS", "FAILURE", "DELAY"):
            for action in ("failed", "delayed", "delivered"):
                self.assertEqual(wants(Recipient("a@b", notify), action, True), wants(Recipient("a@b", notify), action))


class IntakeTests(DeliverByCase):
    """At the intake."""

    def accept(self, envelope: Envelope, interactive: bool = True) -> list[reply.Reply]:
        """What the client is told."""
        q = self.queues
        intake = q.intake(interactive, tell=q.settlement.tell)
        told: list[reply.Reply] = []
        answer = intake.accept(envelope, q.content())
        assert isinstance(answer, Deferred)
        answer.addCallback(told.append)
        return told

    def due(self) -> float:
        """When the only entry is due."""
        [entry] = self.successResultOf(self.queues.spool.listing(Selection(), 10))
        return float(entry.due)

    def test_tooLate(self) -> None:
        """The client has sent it too slowly: it is told, and nothing is tried."""
        [told] = self.accept(self.timed(0, "R"))
        self.assertEqual((told.code, told.enhanced, self.attempts()), (554, "5.4.7", 0))
        self.assertEqual(self.queues.entries(), {})

    def test_delayed(self) -> None:
        """What is delayed is due at its time at the latest, and told of then."""
        self.courier.outcomes["a@x.test"] = LATER
        for mode, action in (("R", "failed"), ("N", "delayed")):
            self.setUp()
            self.courier.outcomes["a@x.test"] = LATER
            self.assertEqual(self.accept(self.timed(100, mode)), [reply.queued("m1")])
            self.assertEqual(self.due(), self.clock.seconds() + 100)
            self.pass_(110)
            [notice] = self.notices()
            self.assertIn(f"\r\nAction: {action}\r\n", notice)

    def test_inTheAir(self) -> None:
        """The attempt that the client no longer waits for counts when it comes to its end."""
        for outcome, told in ((SENT, 0), (LATER, 1)):
            self.setUp()
            self.courier.hold = True
            self.courier.outcomes["a@x.test"] = outcome
            answer = self.accept(self.timed(100, "R"))
            self.pass_(70)
            self.assertEqual(answer, [reply.queued("m1")])
            self.assertEqual(self.due(), self.clock.seconds() + 30)
            self.pass_(60)
            self.courier.hold = False
            self.courier.go()
            self.pass_(10)
            self.assertEqual((len(self.notices()), self.attempts(), self.queues.entries()), (told, 1, {}))

    def test_background(self) -> None:
        """Likewise where it is committed first."""
        self.courier.outcomes["a@x.test"] = LATER
        self.assertEqual(self.accept(self.timed(100, "R"), False), [reply.queued("m1")])
        self.pass_(110)
        self.assertEqual((len(self.notices()), self.attempts(), self.queues.entries()), (1, 1, {}))

    def test_relayedInteractive(self) -> None:
        """The client's 250 comes with the notification on stable storage."""
        self.courier.outcomes["a@x.test"] = RELAYED
        self.assertEqual(self.accept(self.timed(100, "N")), [reply.sent("m1")])
        self.assertIn("Action: relayed", self.notices()[0])
