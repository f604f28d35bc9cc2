"""Proves that each runner gets on, and restarts what does not.

Couriers, routes and the spool have time limits of their own; this is for what nobody
has thought of: an answer that never comes.  A minute's look counts, not a clock, so
that a clock that is set makes nobody look hung.  Run by the role C{queue}.

What it can do without harm is little, and it says loudly that it was needed.  A runner
whose question the spool has not answered asks again.  An attempt that has not come to
its end for hours loses its place, and its claim is not renewed: when the lease has ended
the entry is tried again, by whoever comes.  Until then nobody else can have it, so it is
not sent twice unless the attempt that hangs has sent it without anybody hearing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import durationText
from umbcmail.queue.runner import Holding, Runner

INTERVAL = 60.0
"""Seconds between two looks."""
ANSWER = 5
"""Looks in which the spool must have answered, and a runner must know when to look again."""
SHOWN = 60
"""Looks for which a condition says what has happened."""


@implementer(IWatched)
class Watchdog(TimerService):
    """The dog.

    @param runners: by class.
    @param limits: seconds that an attempt may take, by class.
    """

    def __init__(
        self, runners: Mapping[str, Runner], limits: Mapping[str, float], log: MailLog, clock: IReactorTime
    ) -> None:
        TimerService.__init__(self, INTERVAL, self.look)
        self.name = "watchdog"
        self.clock = clock
        self._runners = runners
        self._limits = limits
        self._log = log
        self._seen: dict[Holding, int] = {}
        self._asked: dict[str, tuple[int, int]] = {}
        self._still: dict[str, int] = {}
        self._counts = {(queue, what): 0 for queue in runners for what in ("attempt", "look", "timer")}
        self._recent: dict[tuple[str, str], int] = {}

    def look(self) -> None:
        """See that all get on."""
        self._recent = {key: left - 1 for key, left in self._recent.items() if left > 1}
        for queue, runner in self._runners.items():
            self._lookAtAnswer(queue, runner)
            self._lookAtTimer(queue, runner)
        self._lookAtAttempts()

    def _lookAtAnswer(self, queue: str, runner: Runner) -> None:
        """Whether the spool has answered."""
        number, times = self._asked.get(queue, (0, 0))
        if not runner.isLooking or runner.looks != number:
            self._asked[queue] = (runner.looks, 0)
        elif times + 1 < ANSWER:
            self._asked[queue] = (number, times + 1)
        else:
            self._tell(queue, "look", "-", f"the spool has not answered for {durationText(ANSWER * INTERVAL)}")
            runner.restart()

    def _lookAtTimer(self, queue: str, runner: Runner) -> None:
        """Whether it is going to look at the spool again by itself."""
        times = self._still[queue] = self._still.get(queue, 0) + 1 if runner.isStill else 0
        if times >= ANSWER:
            self._tell(queue, "timer", "-", "nothing was going to make it look at the spool")
            runner.restart()

    def _lookAtAttempts(self) -> None:
        """Whether attempts come to their end."""
        before, self._seen = self._seen, {}
        for queue, runner in self._runners.items():
            for holding in runner.holdings:
                times = self._seen[holding] = before.get(holding, 0) + 1
                if times * INTERVAL > self._limits[queue]:
                    del self._seen[holding]
                    id, age = holding.claim.entry.id, durationText((times - 1) * INTERVAL)
                    self._tell(queue, "attempt", id, f"the attempt has not come to its end for {age}, it is given up")
                    runner.abandon(holding)

    def _tell(self, queue: str, what: str, id: str, why: str) -> None:
        self._counts[queue, what] += 1
        self._recent[queue, what] = SHOWN
        self._log.hung(id, queue, what, why)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        words: dict[str, Any] = {"attempt": "an attempt", "look": "a question to the spool", "timer": "its timer"}
        return "; ".join(f"queue {queue}: {words[what]} hung in the last hour" for queue, what in self._recent)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        oldest = max(self._seen.values(), default=1) - 1
        yield Figure("queue_attempt_oldest_seconds", oldest * INTERVAL, "For how long the oldest attempt is under way.")
        meaning = "What did not get on and was restarted: attempt, look at the spool, timer."
        for (queue, what), number in self._counts.items():
            yield Figure("queue_hung_total", number, meaning, (("queue", queue), ("what", what)), True)
