"""Who is told of what, when, and by how many notifications (RFC 3461 section 5.2)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from twisted.internet.task import deferLater

from tests.queuefakes import LATER, NEVER
from tests.unit.queue.test_notices import DELIVERED, RELAYED, NoticeCase
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Recipient
from umbcmail.queue.notifier import Terms
from umbcmail.queue.settlement import Settlement
from umbcmail.selection import Selection


class QueueCase(NoticeCase):
    """A queue with messages in it."""

    terms = Terms()

    def setUp(self) -> None:
        """All in memory."""
        super().setUp()
        self.ids = iter(f"n{n}" for n in range(100_000))
        self.use(self.terms)

    def use(self, terms: Terms) -> None:
        """Other terms for notifications."""
        q = self.queues
        made = Settlement(
            "mx.y.test", q.spool, q.router, q.schedules, q.log, q.clock, lambda: next(self.ids),
            lambda queue: q.runners[queue].wake(), terms,
        )  # fmt: skip
        for runner in q.runners.values():
            self.patch(runner, "_settlement", made)

    def commit(self, *recipients: Recipient, id: str = "m1", **values: Any) -> None:
        """A message, as another process would; an entry for each class."""
        envelope = replace(self.envelope(*recipients, **values), id=id)
        now, drafts = self.clock.seconds(), dict[str, list[Delivery]]()
        for recipient in recipients:
            drafts.setdefault(self.queues.router.classify(recipient.domain), []).append(Delivery(recipient))
        made = [Draft(queue, tuple(some), now) for queue, some in drafts.items()]
        self.successResultOf(self.queues.spool.commit(envelope, self.queues.content(), made, now))

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.pump([1.0] * round(seconds))

    def told(self) -> list[list[str]]:
        """Of each notification: C{action recipient}."""
        return [
            [
                f"{action} {who}"
                for who, action in re.findall(r"Final-Recipient: rfc822; (\S+)\r\nAction: (\S+)", notice)
            ]
            for notice in self.notices()
        ]

    def dead(self) -> list[str]:
        """Ids of dead letters, all of which are held."""
        held = self.successResultOf(self.queues.spool.listing(Selection(queues=("dead",), held=True), 1000))
        all = self.successResultOf(self.queues.spool.listing(Selection(queues=("dead",)), 1000))
        self.assertEqual(held, all)
        return [entry.id for entry in held]


class NotifyTests(QueueCase):
    """By NOTIFY."""

    def test_failure(self) -> None:
        """NEVER: not at all; FAILURE, or nothing said: once; other words: not."""
        for notify, told in (
            ("NEVER", []),
            ("", [["failed a@x.test"]]),
            ("FAILURE", [["failed a@x.test"]]),
            ("SUCCESS,FAILURE", [["failed a@x.test"]]),
            ("SUCCESS", []),
            ("DELAY", []),
        ):
            self.setUp()
            self.courier.outcomes["a@x.test"] = NEVER
            self.commit(Recipient("a@x.test", notify))
            self.assertEqual((self.told(), self.queues.entries()), (told, {}), notify)

    def test_delay(self) -> None:
        """DELAY, or nothing said: once when the class warns; otherwise not."""
        for notify, told in (
            ("", [["delayed a@x.test"]]),
            ("DELAY", [["delayed a@x.test"]]),
            ("FAILURE", []),
            ("SUCCESS", []),
            ("NEVER", []),
        ):
            self.setUp()
            self.courier.outcomes["a@x.test"] = LATER
            self.commit(Recipient("a@x.test", notify))
            self.pass_(20_000)
            self.assertEqual(self.told(), told, notify)

    def test_success(self) -> None:
        """One "relayed" where the next hop does not tell, "delivered" from a mailbox."""
        for outcome, action in ((RELAYED, "relayed"), (DELIVERED, "delivered")):
            self.setUp()
            self.courier.outcomes["a@x.test"] = outcome
            self.commit(Recipient("a@x.test", "SUCCESS"))
            self.pass_(20_000)
            self.assertEqual(self.told(), [[f"{action} a@x.test"]])

    def test_different(self) -> None:
        """Two recipients with different answers: a failure is no success, and the other
        way round."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.test": RELAYED})
        self.commit(Recipient("a@x.test", "SUCCESS,FAILURE"), Recipient("b@x.test", "SUCCESS,FAILURE"))
        self.assertEqual(sorted(self.told()), [["failed a@x.test"], ["relayed b@x.test"]])

    def test_ofNotification(self) -> None:
        """Of a notification never: what can't be delivered and has no sender is put
        aside, and is tried again when an operator releases it."""
        self.courier.outcomes.update({"a@x.test": NEVER, "s@z.test": NEVER})
        self.commit(Recipient("a@x.test"))
        self.assertEqual(len(self.notices()), 1)
        self.pass_(20_000)
        self.assertEqual((len(self.notices()), self.dead()), (1, ["n0-1"]))
        self.assertIn(" dead id=n0-1 queue=remote", self.queues.logged())
        self.courier.outcomes.clear()
        self.successResultOf(self.queues.spool.release(Selection(queues=("dead",)), self.clock.seconds()))
        self.pass_(20)
        self.assertEqual((len(self.notices()), self.queues.entries()), (2, {}))


class GatheringTests(QueueCase):
    """One notification for all that has failed of a message."""

    def goFirst(self) -> None:
        """Of the attempts that hang the first comes to its end."""
        waiting = self.courier.waiting
        self.courier.waiting = waiting[:1]
        self.courier.go()
        self.courier.waiting = waiting[1:]

    def test_oneEntry(self) -> None:
        """All of one attempt, at once."""
        self.courier.outcomes.update({f"{name}@{host}.test": NEVER for name in "ab" for host in "xy"})
        self.commit(*(Recipient(f"{name}@{host}.test") for name in "ab" for host in "xy"))
        [told] = self.told()
        self.assertEqual(len(told), 4)

    def test_classes(self) -> None:
        """All classes, if the last attempt ends soon after the first."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": NEVER, "c@x.internal": NEVER})
        self.courier.hold = True
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"), Recipient("c@x.internal"))
        self.pass_(10)
        for _ in range(2):
            self.goFirst()
            self.pass_(30)
            self.assertNotIn(["s@z.test"], self.courier.deliveries)
        self.courier.hold = False
        self.goFirst()
        [told] = self.told()
        self.assertEqual(sorted(told), ["failed a@x.test", "failed b@x.local", "failed c@x.internal"])
        self.assertEqual(self.queues.entries(), {})

    def test_notLong(self) -> None:
        """An attempt that goes on does not put the notification off beyond the time."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": NEVER})
        self.courier.hold = True
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"))
        self.pass_(10)
        [first, second] = [f"failed {who}" for [who] in self.courier.deliveries]
        self.courier.hold = False
        self.goFirst()
        self.pass_(100)
        self.assertEqual(self.told(), [])
        self.pass_(30)
        self.assertEqual(self.told(), [[first]])
        self.goFirst()
        self.assertEqual(self.told(), [[first], [second]])
        self.assertEqual(self.queues.entries(), {})

    def test_together(self) -> None:
        """Classes whose attempts end in the same moment still make one, and soon."""
        record = self.queues.spool.record
        self.patch(self.queues.spool, "record", lambda *args: deferLater(self.clock, 0.2, record, *args))
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": NEVER})
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"))
        self.pass_(20)
        [told] = self.told()
        self.assertEqual(sorted(told), ["failed a@x.test", "failed b@x.local"])

    def test_restart(self) -> None:
        """What waits to be told is in the spool, so another process tells it."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": NEVER})
        self.courier.hold = True
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"))
        self.pass_(10)
        self.courier.waiting.pop()
        self.courier.go()
        for runner in self.queues.runners.values():
            runner.stop()
        self.pass_(1000)
        self.assertEqual(self.told(), [])
        self.courier.hold = False
        spool = self.queues.spool
        self.successResultOf(spool.stop())
        self.successResultOf(spool.start())
        for runner in self.queues.runners.values():
            runner._active.clear()
            runner.start()
        self.pass_(150)
        self.assertEqual(sorted(who for told in self.told() for who in told), ["failed a@x.test", "failed b@x.local"])
        self.assertEqual(self.queues.entries(), {})

    def test_othersWait(self) -> None:
        """Failures do not wait for what will be tried again later, nor that for them."""
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": LATER, "c@x.test": LATER})
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"), Recipient("c@x.test"))
        self.pass_(10)
        self.assertEqual(self.told(), [["failed a@x.test"]])
        self.assertEqual(self.queues.entries(), {"m1": ("remote", ["c@x.test"]), "m1.2": ("local", ["b@x.local"])})

    def test_off(self) -> None:
        """With no time each class tells by itself, at once."""
        self.use(Terms(gather=0.0))
        self.courier.outcomes.update({"a@x.test": NEVER, "b@x.local": NEVER})
        self.commit(Recipient("a@x.test"), Recipient("b@x.local"))
        self.assertEqual(sorted(self.told()), [["failed a@x.test"], ["failed b@x.local"]])


class RestraintTests(QueueCase):
    """Nobody is buried in notifications."""

    def fail(self, count: int, **values: Any) -> None:  # type: ignore[override]
        """So many messages fail."""
        self.courier.outcomes["a@x.test"] = NEVER
        for n in range(count):
            self.commit(Recipient("a@x.test"), id=f"f{self.clock.seconds():.0f}-{n}", **values)
        self.pass_(60)

    def test_rate(self) -> None:
        """So many in an hour to one address; the others are dropped, with a line each."""
        self.use(Terms(rate=5))
        self.fail(8)
        self.assertEqual((len(self.notices()), self.queues.entries()), (5, {}))
        self.assertEqual(self.queues.logged().count(" not-told "), 3)
        self.pass_(2 * 720)
        self.fail(8)
        self.assertEqual(len(self.notices()), 7)
        self.fail(1, sender="S2@z.test")
        self.assertEqual(self.courier.deliveries.count(["S2@z.test"]), 1)

    def test_kept(self) -> None:
        """Or they become dead letters."""
        self.use(Terms(rate=5, keeps=True))
        self.fail(8)
        self.assertEqual((len(self.notices()), len(self.dead())), (5, 3))

    def test_spam(self) -> None:
        """The sender of spam is told nothing, as somebody else has sent it; the score of
        a message goes with its notification."""
        self.fail(1, score=10.5)
        self.assertEqual((self.notices(), self.queues.entries()), ([], {}))
        self.assertIn("the message has a spam score of 10.5", self.queues.logged())
        self.courier.outcomes["s@z.test"] = LATER
        self.fail(1, score=10.0)
        [entry] = self.successResultOf(self.queues.spool.listing(Selection(), 10))
        self.assertEqual((entry.isBounce, entry.envelope.score), (True, 10.0))
        self.courier.outcomes.clear()
        self.use(Terms(score=0.0))
        self.fail(1, score=99.0)
        self.assertEqual(self.courier.deliveries.count(["s@z.test"]), 2)

    def test_noDeadLetters(self) -> None:
        """Where none are kept they are given up, with a line in the log."""
        self.use(Terms(deadLetters=0))
        self.fail(1, sender="")
        self.assertEqual(self.queues.entries(), {})
        self.assertIn(" discarded id=f", self.queues.logged())

    def test_someFail(self) -> None:
        """A message without sender is put aside when the last of its recipients is
        done, and no failure of it is forgotten until then."""
        self.courier.outcomes["b@x.test"] = LATER
        self.courier.outcomes["a@x.test"] = NEVER
        self.commit(Recipient("a@x.test"), Recipient("b@x.test"), sender="")
        self.pass_(400)
        self.assertEqual(self.courier.deliveries, [["a@x.test", "b@x.test"], ["b@x.test"]])
        self.assertEqual((self.dead(), self.queues.entries()), ([], {"m1": ("remote", ["a@x.test", "b@x.test"])}))
        self.courier.outcomes.clear()
        self.pass_(700)
        self.assertEqual(self.dead(), ["m1"])
        self.assertEqual(self.queues.entries(), {"m1": ("dead", ["a@x.test"])})
