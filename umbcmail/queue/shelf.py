"""What waits in the spool for a destination: some of it is brought back, or put off.

Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from umbcmail.interfaces import ISpool
from umbcmail.outcome import Outcome
from umbcmail.queue.schedule import Schedule


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

    def hasten(self, queue: str, domains: Sequence[str], number: int) -> Deferred[int]:
        """As many messages of a class that wait for some domains are to be tried now.

        @return: L{Deferred} of how many there were; fails with C{SpoolError}.
        """
        hastened = self._spool.hasten(queue, domains, number, self._clock.seconds())
        return hastened.addCallback(self._hastened, queue)

    def _hastened(self, found: int, queue: str) -> int:
        if found:
            self._wake(queue)
        return found

    def putOff(
        self, queue: str, domain: str, number: int, before: float, begin: float, end: float, why: Outcome
    ) -> Deferred[int]:
        """As many messages that wait for a domain, and were due before some time, are due
        between two others; but their senders are told of the delay when it is time.

        @param why: their outcome, if they have none.
        @return: as L{hasten}.
        """
        warn = self._schedules[queue].of(domain).warn
        return self._spool.putOff(queue, domain, number, before, begin, end, warn, why)
