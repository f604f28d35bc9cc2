"""What came of attempts, counted by queue class and by courier; and what the queues
are doing.  L{Queues} tells it to who watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.outcome import Outcome

if TYPE_CHECKING:
    from umbcmail.queue.attempt import Attempts
    from umbcmail.queue.runner import Runner

RESULTS = ("sent", "delayed", "failed")
AT_ONCE = "-"
"""What the class of an attempt is called that is made before anything is queued."""


class _Sums:
    """Of one class or courier."""

    __slots__ = ("attempts", "results", "seconds")

    def __init__(self) -> None:
        self.attempts = 0
        self.seconds = 0.0
        self.results = [0, 0, 0]

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            code = outcome.reply.code
            self.results[0 if code < 300 else 2 if code >= 500 else 1] += 1


class Tally:
    """Since the program has begun.

    @ivar queues: by class, C{""} for attempts before anything is queued.
    @ivar couriers: by courier.
    """

    def __init__(self) -> None:
        self.queues: dict[str, _Sums] = {"": _Sums()}
        self.couriers: dict[str, _Sums] = {}

    def attempted(self, queue: str, outcomes: Sequence[Outcome], seconds: float) -> None:
        """An attempt is over."""
        sums = self.queues.get(queue)
        if sums is None:
            sums = self.queues[queue] = _Sums()
        sums.attempts += 1
        sums.seconds += seconds
        sums.add(outcomes)

    def carried(self, courier: str, outcomes: Sequence[Outcome]) -> None:
        """A courier is done."""
        sums = self.couriers.get(courier)
        if sums is None:
            sums = self.couriers[courier] = _Sums()
        sums.add(outcomes)


@implementer(IWatched)
class Queues:
    """What the queues of this process are doing.

    @param runners: by class.
    @param couriers: names of all couriers.
    """

    name = "queue"

    def __init__(self, runners: Mapping[str, Runner], attempts: Attempts, couriers: Iterable[str]) -> None:
        self._runners = runners
        self._attempts = attempts
        self._couriers = tuple(couriers)

    def condition(self) -> str:
        """See L{IWatched.condition}.  A long queue is no fault, but a figure."""
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        tally = self._attempts.tally
        yield Figure("attempts_running", self._attempts.running, "Attempts that are under way, of all kinds.")
        for queue, runner in self._runners.items():
            label = (("queue", queue),)
            yield Figure("queue_attempting", runner.active, "Entries that this process attempts now.", label)
            yield Figure("queue_concurrency", runner.concurrency, "Entries that it may attempt at once.", label)
        for queue in dict.fromkeys(("", *self._runners, *tally.queues)):
            yield from self._ofQueue(queue or AT_ONCE, tally.queues.get(queue) or _Sums())
        meaning = "Recipients that were carried, by courier and what came of it."
        for courier in dict.fromkeys((*self._couriers, *tally.couriers)):
            sums = tally.couriers.get(courier) or _Sums()
            for result, number in zip(RESULTS, sums.results, strict=True):
                labels = (("courier", courier), ("result", result))
                yield Figure("courier_recipients_total", number, meaning, labels, True)

    @staticmethod
    def _ofQueue(queue: str, sums: _Sums) -> Iterable[Figure]:
        label = ("queue", queue)
        meaning = "Attempts that are over; queue -: those that are made before anything is queued."
        yield Figure("attempts_total", sums.attempts, meaning, (label,), True)
        yield Figure("attempts_seconds_total", sums.seconds, "Time that attempts took.", (label,), True)
        meaning = "Recipients that were attempted, by what came of it."
        for result, number in zip(RESULTS, sums.results, strict=True):
            yield Figure("attempts_recipients_total", number, meaning, (label, ("result", result)), True)
