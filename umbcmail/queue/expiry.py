"""Makes the runners look at what is too old, in time.

A runner gives up an entry when it is due and too old, but a long retry time may
put that off.  This makes such entries due, every few minutes; it also frees what
processes that have died had claimed, and has dead letters looked after.  Run by the role C{schedule}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from umbcmail.entry import SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.maillog import MailLog
from umbcmail.options import Option, Section, duration, number
from umbcmail.queue.deadletters import DeadLetters
from umbcmail.queue.schedule import Schedule
from umbcmail.selection import Selection

SCHEDULE = Section(
    "schedule",
    "What is done at regular times.",
    (
        Option("expiry", duration(1), "5m", "How often to look for entries that are too old, and for dead processes."),
        Option("munge", duration(0), "15m", "How often to move entries by the rules of [[munge]]; 0s: never."),
        Option("clean", duration(0), "15m", "How often to remove notifications about spam; 0s: never."),
        Option("spam-score", number(0), 10, "Spam score of a message over which notifications about it are removed."),
    ),
)


class Expiry:
    """The regular look."""

    def __init__(
        self,
        interval: float,
        spool: ISpool,
        schedules: Mapping[str, Schedule],
        log: MailLog,
        clock: IReactorTime,
        deadLetters: DeadLetters | None = None,
    ) -> None:
        """
        @param interval: seconds between two looks.
        @param schedules: by class.
        @param deadLetters: looked after likewise.
        """
        self._interval = interval
        self._spool = spool
        self._schedules = schedules
        self._log = log
        self._clock = clock
        self._deadLetters = deadLetters
        self._isSparing = False
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock

    def start(self) -> None:
        """Look now and from time to time."""
        self._loop.start(self._interval)

    def stop(self) -> None:
        """No more."""
        if self._loop.running:
            self._loop.stop()

    def clockJumped(self, ahead: float, isSparing: bool) -> None:
        """See L{umbcmail.steadytime.Follower}."""
        self._isSparing = isSparing

    def look(self) -> Deferred[Any]:
        """Look once; never fails."""
        now = self._clock.seconds()
        done: Deferred[Any] = self._spool.recover(now).addCallback(self._recovered)
        if self._isSparing:
            return done.addErrback(self._trouble)
        for queue, schedule in self._schedules.items():
            selection = Selection(queues=(queue,), held=False, createdBefore=now - schedule.expire)
            done.addCallback(self._retried, selection, now)
        if self._deadLetters is not None:
            done.addCallback(lambda _, letters: letters.look(now), self._deadLetters)
        return done.addErrback(self._trouble)

    def _retried(self, _: Any, selection: Selection, now: float) -> Deferred[int]:
        return self._spool.retry(selection, now)

    def _recovered(self, entries: int) -> None:
        if entries:
            self._log.recovered(entries)

    def _trouble(self, failure: Failure) -> None:
        if failure.check(SpoolError):
            self._log.trouble("-", "expiry", failure.getErrorMessage())
        else:
            self._log.bug("-", "expiry", failure)
