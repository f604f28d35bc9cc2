"""L{umbcmail.queue.cleaner}: notifications about spam go, and nothing else."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from tests.queuefakes import Queues
from umbcmail.entry import Delivery, Draft, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue import sweep
from umbcmail.queue.cleaner import Cleaner
from umbcmail.selection import Selection


class CleanerTests(SynchronousTestCase):
    """A spool in memory."""

    def setUp(self) -> None:
        """Nobody runs."""
        self.queues = Queues(False)
        self.spool = self.queues.spool
        self.cleaner = Cleaner(10.0, self.spool, self.queues.log)

    def put(
        self, id: str, score: float | None, agent: str = "bounce", queue: str = "remote", held: bool = False
    ) -> None:
        """An entry that is due."""
        whom, now = Recipient("a@x.test"), self.queues.clock.seconds()
        envelope = Envelope(id, "", (whom,), now, agent=agent, score=score)
        draft = Draft(queue, (Delivery(whom),), now, held)
        self.successResultOf(self.spool.commit(envelope, self.queues.content(), [draft], now))

    def test_clean(self) -> None:
        """Notifications about messages with a score over the bound go, in all classes and
        also when they are held; what is no notification stays, whatever its score."""
        self.put("ham", 0.0)
        self.put("bound", 10.0)
        self.put("unknown", None)
        self.put("message", 30.0, agent="delivery")
        self.put("spam", 10.5)
        self.put("dead", 12.0, queue="dead", held=True)
        self.cleaner.look()
        self.assertEqual(sorted(self.queues.entries()), ["bound", "ham", "message", "unknown"])
        log = self.queues.logged()
        self.assertIn(' removed id=spam queue=remote why="a notification about spam, score 10.5"\n', log)
        self.assertIn(' removed id=dead queue=dead why="a notification about spam, score 12"\n', log)
        self.assertIn(" cleaned id=- entries=2\n", log)
        self.assertEqual([figure.value for figure in self.cleaner.figures()], [1, 2])

    def test_inFlight(self) -> None:
        """What is being attempted goes too; the attempt ends without a trace."""
        self.queues.courier.hold = True
        self.put("spam", 30.0)
        self.queues.runners["remote"].start()
        self.assertEqual(len(self.queues.courier.waiting), 1)
        self.cleaner.look()
        self.assertEqual(self.queues.entries(), {})
        self.queues.courier.go()
        self.assertIn(" stale id=spam ", self.queues.logged())
        self.assertEqual(self.queues.runners["remote"].active, 0)

    def test_rehearse(self) -> None:
        """What would go is told, and stays."""
        self.patch(sweep, "PAGE", 2)
        for n in range(5):
            self.put(f"m{n}", 11.0)
        told: list[str] = []
        self.assertEqual(self.successResultOf(self.cleaner.rehearse(lambda entry: told.append(entry.id))), 5)
        self.assertEqual(sorted(told), sorted(self.queues.entries()))
        self.assertEqual(self.successResultOf(self.cleaner.clean()), 5)
        self.assertEqual(self.queues.entries(), {})

    def test_broken(self) -> None:
        """A spool that can't is a trouble and a condition until it can again."""
        self.put("m1", 11.0)
        remove = self.spool.remove
        self.patch(self.spool, "remove", lambda selection: fail(SpoolError("broken")))
        self.cleaner.look()
        self.assertIn(" trouble id=- where=cleaner why=broken", self.queues.logged())
        self.assertEqual(self.cleaner.condition(), "notifications about spam could not be removed: broken")
        self.patch(self.spool, "remove", remove)
        self.cleaner.look()
        self.assertEqual(self.cleaner.condition(), "")
        self.assertEqual(self.successResultOf(self.spool.count(Selection())), 0)
