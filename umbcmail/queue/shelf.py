"""What waits in the spool for a destination: some of it is brought back, or put off.

Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from umbcmail.entry import Crowd
from umbcmail.interfaces import ISpool
from umbcmail.queue.schedule import Schedule

FIRST = 0.0
"""The time of what is called: it comes before all that is due, and nothing puts it off."""

Hasten = Callable[[str, Sequence[str], int, float], "Deferred[int]"]
"""Called with a class, domains, a number, and a time: as many messages that wait for them, and
would be due later, are due then; L{Deferred} of how many there were, or C{SpoolError}."""


class Shelf:
    """
    @param schedules: by class.
    @param wake: told the class of what is due anew.
    """

    def __init__(
        self, spool: ISpool, schedules: Mapping[str, Schedule], wake: Callable[[str], None], clock: IReactorTime
    ) -> None:
        self._spool = spool
        self._schedules = schedules
        self._wake = wake
        self._clock = clock

    def hasten(self, queue: str, domains: Sequence[str], number: int, at: float) -> Deferred[int]:
        """See L{Hasten}."""
        hastened = self._spool.hasten(queue, domains, number, at)
        return hastened.addCallback(self._hastened, queue)

    def _hastened(self, found: int, queue: str) -> int:
        if found:
            self._wake(queue)
        return found

    def putOff(self, queue: str, crowds: Sequence[Crowd], number: int, place: Any) -> Deferred[tuple[int, Any]]:
        """See L{ISpool.putOff}; senders are told of the delay when it is time."""
        schedule = self._schedules[queue]
        crowds = [replace(crowd, warn=schedule.of(crowd.lane).warn) for crowd in crowds]
        return self._spool.putOff(queue, crowds, number, place, self._clock.seconds())
