"""A domain that is not there must be seen twice, some time apart, before mail is returned."""

from __future__ import annotations

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import LATER, Queues
from umbcmail import reply
from umbcmail.destination import Route
from umbcmail.entry import Delivery, Entry
from umbcmail.envelope import Recipient
from umbcmail.outcome import Outcome, nextTry
from umbcmail.queue.spool.memory import MemoryStore
from umbcmail.reply import Reply
from umbcmail.selection import Selection

PATIENCE = 400.0
"""Longer than the first wait of the schedule (300 s), shorter than the second (600 s)."""


def absent(domain: str) -> Route:
    """The route of a domain that the name servers do not find."""
    final = reply.noSuchDomain(domain)
    return Route("smtp", problem=reply.notYet(final), final=final, patience=PATIENCE)


class SecondLookTests(SynchronousTestCase):
    """From the intake to the bounce."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.begin()

    def begin(self) -> None:
        """A queue, on the store that there is."""
        self.queues = Queues(store=self.store)
        self.clock = self.queues.clock
        self.queues.router.routes["x.test"] = absent("x.test")

    def accept(self, *addresses: str, interactive: bool = True) -> Reply:
        """What the client is told."""
        q = self.queues
        intake = q.intake(interactive)
        found: Reply = self.successResultOf(maybeDeferred(intake.accept, q.envelope(*addresses), q.content()))
        self.clock.advance(0)
        return found

    def entries(self, queue: str = "remote") -> list[Entry]:
        """What waits, bounces left out."""
        found: list[Entry] = self.successResultOf(self.queues.spool.listing(Selection(queues=(queue,)), 100))
        return [entry for entry in found if not entry.isBounce]

    def outcomes(self) -> list[str]:
        """The last outcomes of the only entry, as replies."""
        (entry,) = self.entries()
        return [str(d.outcome.reply)[:9] if d.outcome else "" for d in entry.deliveries]

    def bounces(self) -> list[str]:
        """Bounces that were made."""
        return [line for line in self.queues.logged().splitlines() if " bounced " in line]

    def go(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.pump([5.0] * round(seconds / 5))

    def test_interactive(self) -> None:
        """The client is told that the message is queued, and its sender that there is no such domain: at the
        second look, which is made when it may be, and not by the schedule."""
        self.assertEqual(reply.queued("m1"), self.accept("a@x.test"))
        self.assertEqual(["450 4.1.2"], self.outcomes())
        self.go(PATIENCE - 5)
        self.assertEqual([], self.bounces())
        self.assertEqual(1, self.entries()[0].attempts)
        self.go(10)
        self.assertEqual(1, len(self.bounces()))
        self.assertEqual([], self.entries())
        (content,) = [c for c in self.queues.courier.contents if c is not None and b"x.test" in c]
        for text in (b"Why: the domain of the address does not exist.", b"550 5.1.2 The domain x.test does not exist"):
            self.assertIn(text, content)

    def test_background(self) -> None:
        """So it is in background mode."""
        self.assertEqual(reply.queued("m1"), self.accept("a@x.test", interactive=False))
        self.assertEqual(["450 4.1.2"], self.outcomes())
        self.go(PATIENCE + 5)
        self.assertEqual((1, []), (len(self.bounces()), self.entries()))

    def test_thereAfterAll(self) -> None:
        """A domain that is there at the second look gets its mail."""
        self.accept("a@x.test")
        del self.queues.router.routes["x.test"]
        self.go(PATIENCE + 5)
        self.assertEqual([["a@x.test"]], self.queues.courier.deliveries)
        self.assertEqual(([], []), (self.bounces(), self.entries()))

    def test_restart(self) -> None:
        """The first look is not forgotten over a restart."""
        self.accept("a@x.test")
        self.queues.spool.stop()
        at = self.clock.seconds()
        self.begin()
        self.clock.advance(at + PATIENCE - 10 - self.clock.seconds())
        self.go(5)
        self.assertEqual((["450 4.1.2"], []), (self.outcomes(), self.bounces()))
        self.go(15)
        self.assertEqual((1, []), (len(self.bounces()), self.entries()))

    def retry(self) -> None:
        """An operator's order."""
        self.successResultOf(self.queues.spool.retry(Selection(), self.clock.seconds()))
        self.go(10)

    def test_retriedEarly(self) -> None:
        """An operator who has everything tried again has nothing returned too early, and does not put it off."""
        self.accept("a@x.test")
        for _ in range(5):
            self.go(50)
            self.retry()
        self.assertEqual((["450 4.1.2"], []), (self.outcomes(), self.bounces()))
        self.go(PATIENCE - 5 * 60 + 5)
        self.assertEqual((1, []), (len(self.bounces()), self.entries()))

    def test_otherAnswerBetween(self) -> None:
        """After another answer it begins anew, with the last word of the DNS."""
        self.accept("a@x.test")
        self.queues.router.routes["x.test"] = Route("smtp", problem=reply.NO_ROUTE_YET)
        self.go(PATIENCE + 5)
        self.assertEqual(["451 4.4.3"], self.outcomes())
        self.queues.router.routes["x.test"] = absent("x.test")
        self.retry()
        self.assertEqual((["450 4.1.2"], []), (self.outcomes(), self.bounces()))
        self.go(PATIENCE)
        self.assertEqual((1, []), (len(self.bounces()), self.entries()))

    def test_others(self) -> None:
        """Recipients of the same entry keep their schedule; those of other domains that are not there have their own
        time."""
        self.queues.courier.outcomes["b@y.test"] = LATER
        self.accept("a@x.test", "b@y.test")
        self.assertEqual(300.0, self.entries()[0].due - self.clock.seconds())
        self.go(305)
        self.assertEqual(["450 4.1.2", "451 4.7.1"], self.outcomes())
        self.go(PATIENCE - 300)
        self.assertEqual((1, ["451 4.7.1"]), (len(self.bounces()), self.outcomes()))

    def test_clockIsSet(self) -> None:
        """A clock that was wrong can make the wait longer by what is asked for, not by more."""
        q, now = self.queues, self.clock.seconds()
        first = Outcome(absent("x.test").problem or reply.LOCAL_ERROR, command="route")
        for at, again in ((now - PATIENCE, 0.0), (now - 100, now - 100 + PATIENCE), (now + 1e6, now + PATIENCE)):
            last = Delivery(Recipient("a@x.test")).after(first, at)
            tried = q.attempts.run("m1", q.envelope("a@x.test"), q.content(), [last.recipient], "remote", [last])
            (outcome,) = self.successResultOf(tried)
            self.assertEqual((again, not again), (outcome.again, outcome.isFailed))
            if again:
                self.assertEqual(min(at, now), last.after(outcome, now).at)

    def test_atOnce(self) -> None:
        """Without patience the client hears it itself."""
        final = reply.noSuchDomain("x.test")
        self.queues.router.routes["x.test"] = Route("smtp", problem=final)
        self.assertEqual(final, self.accept("a@x.test"))


class OutcomeTests(SynchronousTestCase):
    """The values behind it."""

    def test_nextTry(self) -> None:
        """The soonest of what is asked for and the schedule, where that is for anybody."""
        again, later, sent = (Outcome(reply.NO_ROUTE_YET, again=7.0), LATER, Outcome(reply.DELIVERED))
        for outcomes, due in (
            ([], 9.0),
            ([None], 9.0),
            ([later], 9.0),
            ([again], 7.0),
            ([again, Outcome(reply.NO_ROUTE_YET, again=20.0)], 7.0),
            ([Outcome(reply.NO_ROUTE_YET, again=20.0)], 20.0),
            ([Outcome(reply.NO_ROUTE_YET, again=20.0), later], 9.0),
            ([again, sent], 7.0),
            ([sent], 9.0),
        ):
            self.assertEqual(due, nextTry(outcomes, 9.0), outcomes)

    def test_at(self) -> None:
        """When an outcome that must be met twice is met again, the time of the first stays; else that of the last
        counts."""
        waiting = Delivery(Recipient("a@x.test"))
        first = waiting.after(Outcome(reply.NO_ROUTE_YET, again=500.0), 100.0)
        self.assertEqual(100.0, first.at)
        self.assertEqual(100.0, first.after(Outcome(reply.NO_ROUTE_YET, again=500.0), 200.0).at)
        self.assertEqual(50.0, first.after(Outcome(reply.NO_ROUTE_YET, again=500.0), 50.0).at)
        self.assertEqual(200.0, first.after(Outcome(reply.NO_ROUTE_YET), 200.0).at)
        self.assertEqual(200.0, first.after(LATER, 200.0).at)
