"""L{umbcmail.queue.deadletters} and L{umbcmail.queue.notifier.Allowance}: what is kept is bounded."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import Queues
from umbcmail.entry import Delivery, Draft, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue import notifier
from umbcmail.queue.deadletters import DeadLetters
from umbcmail.queue.expiry import Expiry
from umbcmail.queue.notifier import Allowance


class DeadLettersTests(SynchronousTestCase):
    """The oldest go first."""

    def setUp(self) -> None:
        """A spool in memory."""
        self.queues = Queues(False)
        self.spool, self.clock = self.queues.spool, self.queues.clock

    def put(self, id: str, age: float, queue: str = "dead", held: bool = True) -> None:
        """An entry of some age."""
        whom = Recipient("a@x.test")
        made = self.clock.seconds() - age
        draft = Draft(queue, (Delivery(whom),), made, held)
        self.successResultOf(self.spool.commit(Envelope(id, "", (whom,), made), self.queues.content(), [draft], made))

    def look(self, number: int, age: float) -> list[str]:
        """Look once, as the schedule does.  @return: what is left."""
        letters = DeadLetters(number, age, self.spool, self.queues.log)
        expiry = Expiry(300.0, self.spool, {}, self.queues.log, self.clock, letters)
        expiry.start()
        expiry.stop()
        return sorted(self.queues.entries())

    def test_bounds(self) -> None:
        """Those over the number and those that are too old, and no others."""
        for n in range(1200):
            self.put(f"d{n:04}", 2000 - n)
        self.put("released", 9000, held=False)
        self.put("other", 9000, "remote")
        left = self.look(100, 1e6)
        self.assertEqual(left, [*(f"d{n:04}" for n in range(1100, 1200)), "other", "released"])
        self.assertEqual(self.queues.logged().count(" removed id=d"), 1100)
        self.assertEqual(self.look(100, 850), [*(f"d{n:04}" for n in range(1150, 1200)), "other", "released"])

    def test_broken(self) -> None:
        """A spool that can't remove does not make it go round for ever."""
        self.put("d1", 10)
        self.patch(self.spool, "remove", lambda selection: fail(SpoolError("broken")))
        self.assertEqual(self.look(0, 1e6), ["d1"])
        self.assertIn(" trouble id=- where=expiry why=broken", self.queues.logged())


class AllowanceTests(SynchronousTestCase):
    """A token bucket for each address."""

    def test_take(self) -> None:
        """So many at once, then one for each part of the hour."""
        allowance = Allowance(4)
        self.assertEqual([allowance.take("a", 0.0) for _ in range(6)], [True] * 4 + [False] * 2)
        self.assertTrue(allowance.take("b", 0.0))
        self.assertFalse(allowance.take("a", 899.0))
        self.assertTrue(allowance.take("a", 901.0))
        self.assertEqual([allowance.take("a", 1e6) for _ in range(5)], [True] * 4 + [False])
        self.assertEqual([allowance.take("a", 0.0) for _ in range(2)], [False] * 2)  # the clock was set back

    def test_any(self) -> None:
        """No limit."""
        allowance = Allowance(0)
        self.assertTrue(all(allowance.take("a", 0.0) for _ in range(100)))

    def test_bounded(self) -> None:
        """A flood of addresses costs no memory; those in use are not forgotten for it."""
        self.patch(notifier, "REMEMBERED", 10)
        allowance = Allowance(1)
        self.assertTrue(allowance.take("a", 0.0))
        for n in range(100):
            allowance.take(f"x{n}", 0.0)
            self.assertFalse(allowance.take("a", 0.0))
        self.assertLessEqual(len(allowance._left), 10)
