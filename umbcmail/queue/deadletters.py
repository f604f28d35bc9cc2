"""Keeps the class of dead letters within its bounds: number and age.

Dead letters are what could not be delivered and has no sender to be told: bounces of
bounces, mostly.  They are held for the postmaster to look at, to release, or to
remove.  The oldest are dropped, each with a line in the log.  Run by the role
C{schedule}, with L{umbcmail.queue.expiry}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.entry import DEAD, Entry
from umbcmail.interfaces import ISpool
from umbcmail.maillog import MailLog
from umbcmail.selection import Selection

BATCH = 500
"""Entries that are looked at at a time."""


class DeadLetters:
    """The class C{dead}."""

    def __init__(self, number: int, age: float, spool: ISpool, log: MailLog) -> None:
        """
        @param number: how many may be kept.
        @param age: seconds that they may be kept.
        """
        self._number = number
        self._age = age
        self._spool = spool
        self._log = log

    @inlineCallbacks
    def look(self, now: float) -> Any:
        """Drop what is too much.

        @return: L{Deferred}; fails with C{SpoolError}.
        """
        while True:
            counts = yield self._spool.counts(now)
            count = counts.get(DEAD)
            if count is None or not count.held:
                return
            found = yield self._spool.listing(Selection(queues=(DEAD,), held=True), BATCH)
            excess = count.held - self._number
            old = [entry for at, entry in enumerate(found) if at < excess or now - entry.created > self._age]
            if not old:
                return
            dropped = yield self._drop(old)
            if not dropped:
                return

    def _drop(self, entries: list[Entry]) -> Deferred[int]:
        for entry in entries:
            why = f"the class {DEAD} keeps {self._number} for {round(self._age / 86400, 1):g} days"
            self._log.removed(entry.id, DEAD, why)
        return self._spool.remove(Selection(ids=tuple(entry.id for entry in entries), queues=(DEAD,), held=True))
