"""Tests of `umbcmail.queue.tally` and `umbcmail.queue.spoolwatch`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.entry import Count, SpoolError
from umbcmail.interfaces import IRefreshed, IWatched
from umbcmail.outcome import Outcome
from umbcmail.queue.spool.room import Rest
from umbcmail.queue.spoolwatch import SpoolWatch
from umbcmail.queue.tally import Queues, Tally
from umbcmail.reply import Reply

SENT, DELAYED, ODD, FAILED = (Outcome(Reply(code, "", ("x",))) for code in (250, 451, 354, 550))
NOW = 10_000.0


class FakeRunner:
    """One that is busy."""

    active = 3
    concurrency = 20


class FakeAttempts:
    """As much of L{umbcmail.queue.attempt.Attempts} as is asked."""

    def __init__(self) -> None:
        self.running = 5
        self.tally = Tally()


def values(part: Any, name: str) -> dict[tuple[str, ...], float]:
    """Figures of a name, by the values of their labels."""
    return {tuple(value for _, value in f.labels): f.value for f in part.figures() if f.name == name}


class QueuesTests(SynchronousTestCase):
    """Attempts and runners."""

    def setUp(self) -> None:
        """Two classes, two couriers."""
        self.attempts = FakeAttempts()
        runners: Any = {"local": FakeRunner(), "remote": FakeRunner()}
        self.queues = Queues(runners, self.attempts, ["smtp", "lmtp"])  # type: ignore[arg-type]

    def test_nothing(self) -> None:
        """What has not happened is told as 0, so that the first time is a change."""
        verifyObject(IWatched, self.queues)
        self.assertEqual(values(self.queues, "attempts_total"), {("-",): 0, ("local",): 0, ("remote",): 0})
        self.assertEqual(len(values(self.queues, "courier_recipients_total")), 6)
        self.assertEqual(values(self.queues, "attempts_running"), {(): 5})
        self.assertEqual(values(self.queues, "queue_attempting"), {("local",): 3, ("remote",): 3})
        self.assertEqual(values(self.queues, "queue_concurrency"), {("local",): 20, ("remote",): 20})

    def test_attempted(self) -> None:
        """By class and what came of each recipient; what is neither 2xx nor 5xx is a delay."""
        tally = self.attempts.tally
        tally.attempted("remote", [SENT, DELAYED, ODD, FAILED], 1.5)
        tally.attempted("remote", [SENT], 0.5)
        tally.attempted("", [SENT, SENT], 0.25)
        found = values(self.queues, "attempts_recipients_total")
        self.assertEqual([found["remote", result] for result in ("sent", "delayed", "failed")], [2, 2, 1])
        self.assertEqual([found["-", result] for result in ("sent", "delayed", "failed")], [2, 0, 0])
        self.assertEqual(values(self.queues, "attempts_total"), {("-",): 1, ("local",): 0, ("remote",): 2})
        self.assertEqual(values(self.queues, "attempts_seconds_total")["remote",], 2.0)

    def test_carried(self) -> None:
        """By courier; one that nobody named is told too."""
        self.attempts.tally.carried("smtp", [SENT, FAILED])
        self.attempts.tally.carried("pigeon", [DELAYED])
        found = values(self.queues, "courier_recipients_total")
        self.assertEqual((found["smtp", "sent"], found["smtp", "failed"], found["pigeon", "delayed"]), (1, 1, 1))


class FakeSpool:
    """Answers what it is told to.

    @ivar problem: see L{umbcmail.queue.spool.sqlite.SqliteSpool}.
    """

    transactions = 12

    def __init__(self) -> None:
        self.problem = ""
        self.found: Any = {"remote": Count(5, 1, 2, NOW - 60), "added": Count(1, 0, 0, NOW + 5)}
        self.rest: Any = Rest(1 << 30, 1 << 20, False)

    def counts(self, now: float) -> Deferred[Any]:
        """See L{ISpool.counts}."""
        return fail(self.found) if isinstance(self.found, Exception) else succeed(self.found)

    def room(self) -> Deferred[Any]:
        """How things stand."""
        return fail(self.rest) if isinstance(self.rest, Exception) else succeed(self.rest)


class BareSpool:
    """One that only counts."""

    def counts(self, now: float) -> Deferred[Any]:
        """See L{ISpool.counts}."""
        return succeed({})


class SpoolWatchTests(SynchronousTestCase):
    """How the spool is."""

    def setUp(self) -> None:
        """A spool with two classes, of which one is configured, beside another."""
        self.spool = FakeSpool()
        self.watch = SpoolWatch(self.spool, ["local", "remote"], lambda: NOW)  # type: ignore[arg-type]

    def refresh(self) -> str:
        """The condition afterwards."""
        self.successResultOf(self.watch.refresh())
        return self.watch.condition()

    def test_figures(self) -> None:
        """All classes are there, empty ones too; an age is never negative."""
        verifyObject(IRefreshed, self.watch)
        self.assertEqual(self.refresh(), "")
        found = values(self.watch, "queue_entries")
        self.assertEqual([found["remote", state] for state in ("waiting", "claimed", "held")], [5, 1, 2])
        self.assertEqual([found["local", state] for state in ("waiting", "claimed", "held")], [0, 0, 0])
        ages = values(self.watch, "queue_oldest_seconds")
        self.assertEqual(ages, {("local",): 0.0, ("remote",): 60.0, ("added",): 0.0})
        self.assertEqual(values(self.watch, "spool_free_bytes"), {(): 1 << 30})
        self.assertEqual(values(self.watch, "spool_reserve_bytes"), {(): 1 << 20})
        self.assertEqual(values(self.watch, "spool_transactions_total"), {(): 12})

    def test_before(self) -> None:
        """Before anything is known there is nothing to tell of the queues."""
        self.assertEqual((self.watch.condition(), values(self.watch, "queue_entries")), ("", {}))

    def test_low(self) -> None:
        """The reserve of the disk is reached."""
        self.spool.rest = Rest(3 << 20, 64 << 20, True)
        wanted = "3MiB are left on the disk, 64MiB are to be kept free: new mail is answered 452"
        self.assertEqual(self.refresh(), wanted)
        self.spool.rest = Rest(80 << 20, 64 << 20, False)
        self.assertEqual(self.refresh(), "")

    def test_cantBeRead(self) -> None:
        """A spool that can't count is a condition, and old counts are not told."""
        self.refresh()
        for attribute in ("found", "rest"):
            before = getattr(self.spool, attribute)
            setattr(self.spool, attribute, SpoolError("disk I/O error"))
            self.assertEqual(self.refresh(), "can't be read: disk I/O error")
            self.assertEqual(values(self.watch, "queue_entries"), {})
            setattr(self.spool, attribute, before)
            self.assertEqual(self.refresh(), "")

    def test_cantBeWritten(self) -> None:
        """So is one that can't be written."""
        self.spool.problem = "database or disk is full"
        self.assertEqual(self.refresh(), "can't be written: database or disk is full")

    def test_bug(self) -> None:
        """An error that is none of the spool's is one for who asks."""
        self.spool.found = ValueError("x")
        self.failureResultOf(self.watch.refresh(), ValueError)

    def test_bare(self) -> None:
        """A spool need not tell more than its counts."""
        self.watch = SpoolWatch(BareSpool(), ["local"], lambda: NOW)  # type: ignore[arg-type]
        self.assertEqual(self.refresh(), "")
        self.assertEqual({figure.name for figure in self.watch.figures()}, {"queue_entries", "queue_oldest_seconds"})
