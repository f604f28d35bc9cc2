"""L{umbcmail.queue.munger}: what waits for long is moved, and each move is told."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import Queues
from umbcmail.entry import Delivery, Draft, Entry, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue import sweep
from umbcmail.queue.munger import USUAL, Munger, Rule, rulesOf
from umbcmail.selection import Selection

DAY = 86400.0


class MungerCase(SynchronousTestCase):
    """A spool in memory."""

    def setUp(self) -> None:
        """Nobody runs."""
        self.queues = Queues(False)
        self.spool, self.clock = self.queues.spool, self.queues.clock

    def put(self, id: str, queue: str, age: float, **values: Any) -> None:
        """An entry of some age, due in an hour."""
        whom = Recipient("a@x.test")
        now = self.clock.seconds()
        draft = Draft(queue, (Delivery(whom),), now + 3600, values.pop("held", False))
        envelope = Envelope(id, values.pop("sender", "s@z.test"), (whom,), now - age, **values)
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], now - age))

    def munger(self, *rules: Rule) -> Munger:
        """One with these rules, or the usual ones."""
        return Munger(rules or USUAL, self.spool, self.queues.log, self.clock.seconds)

    def classes(self) -> dict[str, str]:
        """Where each entry is."""
        return {id: queue for id, (queue, _) in self.queues.entries().items()}


class UsualTests(MungerCase):
    """The rules that hold without configuration."""

    def test_usual(self) -> None:
        """What has been in remote or internal for a day goes to slow, and notifications
        that have been in local for a day; nothing else does."""
        for queue in ("remote", "internal", "local", "slow", "dead"):
            self.put(f"{queue}-old", queue, DAY + 1)
            self.put(f"{queue}-new", queue, DAY - 1)
            self.put(f"{queue}-dsn-old", queue, DAY + 1, agent="bounce", sender="")
            self.put(f"{queue}-dsn-new", queue, DAY - 1, agent="bounce", sender="")
        before = self.classes()
        moved = ["internal-dsn-old", "internal-old", "local-dsn-old", "remote-dsn-old", "remote-old"]
        self.assertEqual(self.successResultOf(self.munger().munge()), 5)
        self.assertEqual(self.classes(), {**before, **dict.fromkeys(moved, "slow")})

    def test_log(self) -> None:
        """A line for each entry, and a summary; a second look has nothing to do."""
        self.put("m1", "remote", DAY + 1)
        self.put("m2", "local", DAY + 1, agent="bounce", sender="")
        work = self.munger()
        work.look()
        log = self.queues.logged()
        self.assertIn(' moved id=m1 queue=remote to=slow why="in remote, internal for 1d"\n', log)
        self.assertIn(' moved id=m2 queue=local to=slow why="in local for 1d"\n', log)
        self.assertIn(" munged id=- entries=2\n", log)
        work.look()
        self.assertTrue(self.queues.logged().endswith(" munged id=- entries=0\n"))
        found = {(f.name, *(value for _, value in f.labels)): f.value for f in work.figures()}
        self.assertEqual(
            found,
            {
                ("munger_looks_total",): 2,
                ("munger_moved_total", "remote", "slow"): 1,
                ("munger_moved_total", "internal", "slow"): 0,
                ("munger_moved_total", "local", "slow"): 1,
            },
        )

    def test_dueStays(self) -> None:
        """A move is no reason to try it sooner, or to count its age anew."""
        self.put("m1", "remote", DAY + 1)
        self.successResultOf(self.munger().munge())
        (entry,) = self.successResultOf(self.spool.listing(Selection(), 9))
        now = self.clock.seconds()
        self.assertEqual((entry.due, entry.created), (now + 3600, now - DAY - 1))

    def test_claimed(self) -> None:
        """What is being attempted is left for the next time, and so is what somebody
        claims between look and move; what is held stays where it is."""
        self.put("held", "remote", DAY + 1, held=True)
        self.put("busy", "remote", DAY + 1)
        self.put("late", "remote", DAY + 1)
        now = self.clock.seconds()
        self.successResultOf(self.spool.retry(Selection(ids=("busy",)), now))
        (claim,) = self.successResultOf(self.spool.claim("remote", 9, now))
        listing = self.spool.listing

        def claimed(selection: Selection, limit: int) -> Any:
            found = listing(selection, limit)
            self.successResultOf(self.spool.retry(Selection(ids=("late",)), now))
            self.assertEqual(len(self.successResultOf(self.spool.claim("remote", 9, now))), 1)
            return found

        self.patch(self.spool, "listing", claimed)
        work = self.munger(USUAL[0])
        self.assertEqual(self.successResultOf(work.munge()), 0)
        self.patch(self.spool, "listing", listing)
        self.assertEqual(self.classes(), {"held": "remote", "busy": "remote", "late": "remote"})
        self.assertNotIn(" moved ", self.queues.logged())
        self.successResultOf(self.spool.giveBack(claim, now + 3600))
        self.assertEqual(self.successResultOf(work.munge()), 1)
        self.assertEqual(self.classes()["busy"], "slow")


class RulesTests(MungerCase):
    """Rules of the configuration."""

    def rule(self, **values: Any) -> Rule:
        """A rule as it comes from there."""
        row = {"from": ("remote",), "to": "slow", "older": 0.0, "bounces": None, "sender": "", "recipient": ""}
        row |= {"domain": None, "cause": "", "larger": None, "smaller": None}
        (rule,) = rulesOf([row | values])
        return rule

    def meant(self, *rules: Rule) -> list[str]:
        """Ids of what would be moved."""
        told: list[str] = []
        self.successResultOf(self.munger(*rules).rehearse(lambda entry, to: told.append(entry.id)))
        return told

    def test_replaced(self) -> None:
        """Rules of the configuration stand in place of the usual ones."""
        self.assertEqual(rulesOf([]), USUAL)
        self.assertEqual(len(rulesOf([{**_row(self.rule()), "to": "big"}])), 1)

    def test_filters(self) -> None:
        """Each filter means what it says."""
        self.put("small", "remote", 60, size=10, sender="a@lists.test")
        self.put("large", "remote", 60, size=1000, sender="b@z.test")
        for values, expected in (
            ({"larger": 100}, ["large"]),
            ({"smaller": 100}, ["small"]),
            ({"sender": "*@lists.test"}, ["small"]),
            ({"recipient": "a@x.test", "larger": 100}, ["large"]),
            ({"domain": "other.test"}, []),
            ({"bounces": True}, []),
            ({"cause": "mailbox full"}, []),
            ({"older": 61.0}, []),
            ({"from": ("local",)}, []),
        ):
            self.assertEqual(self.meant(self.rule(**values)), expected, values)

    def test_inOrder(self) -> None:
        """Each rule sees what those before it have done."""
        self.put("m1", "remote", 60)
        rules = (self.rule(), self.rule(**{"from": ("slow",), "to": "dead"}))
        self.assertEqual(self.successResultOf(self.munger(*rules).munge()), 2)
        self.assertEqual(self.classes(), {"m1": "dead"})

    def test_siblings(self) -> None:
        """Two entries of one message in one class are two moves, each with its line."""
        whom, now = Recipient("a@x.test"), self.clock.seconds()
        drafts = [Draft("remote", (Delivery(whom),), now + 60)] * 2
        self.successResultOf(
            self.spool.commit(Envelope("m1", "s@z.test", (whom,), now), self.queues.content(), drafts, now - 60)
        )
        told: list[str] = []
        moved = self.successResultOf(self.munger(self.rule()).munge(lambda entry, to: told.append(entry.id)))
        self.assertEqual((moved, sorted(told)), (2, ["m1", "m1.2"]))

    def test_pages(self) -> None:
        """Many are moved some at a time, and rehearsed likewise."""
        self.patch(sweep, "PAGE", 10)
        for n in range(35):
            self.put(f"m{n:02}", "remote", 60)
        work = self.munger(self.rule())
        self.assertEqual(sorted(self.meant(self.rule())), sorted(self.classes()))
        self.assertEqual(self.successResultOf(work.munge()), 35)
        self.assertEqual(set(self.classes().values()), {"slow"})

    def test_rehearsedInMotion(self) -> None:
        """An entry that goes while pages are read does not end the rehearsal, nor does
        it make others be told twice."""
        self.patch(sweep, "PAGE", 2)
        for n in range(5):
            self.put(f"m{n}", "remote", 60 - n)
        told: list[str] = []

        def tell(entry: Entry, to: str) -> None:
            told.append(entry.id)
            if entry.id == "m1":
                self.successResultOf(self.spool.remove(Selection(ids=("m1",))))

        self.assertEqual(self.successResultOf(self.munger(self.rule()).rehearse(tell)), 5)
        self.assertEqual(told, ["m0", "m1", "m2", "m3", "m4"])

    def test_broken(self) -> None:
        """A spool that can't is a trouble and a condition until it can again."""
        self.put("m1", "remote", 60)
        work = self.munger(self.rule())
        move = self.spool.move
        self.patch(self.spool, "move", lambda selection, to: fail(SpoolError("broken")))
        work.look()
        self.assertIn(" trouble id=- where=munger why=broken", self.queues.logged())
        self.assertEqual(work.condition(), "the rules could not be applied: broken")
        self.patch(self.spool, "move", move)
        work.look()
        self.assertEqual((work.condition(), self.classes()), ("", {"m1": "slow"}))


def _row(rule: Rule) -> dict[str, Any]:
    chosen = rule.selection
    return {
        "from": chosen.queues,
        "older": rule.older,
        "bounces": chosen.bounces,
        "sender": "",
        "recipient": "",
        "domain": None,
        "cause": "",
        "larger": None,
        "smaller": None,
    }
