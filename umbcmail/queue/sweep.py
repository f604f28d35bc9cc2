"""What goes through the spool from time to time has in common: munger and cleaner.

Entries are taken by pages, each by an order of its own, since somebody may have claimed
it meanwhile; the orders of a page are written together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.python.failure import Failure

from umbcmail.entry import Entry, SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.maillog import MailLog
from umbcmail.queue.attempt import firstFailure
from umbcmail.selection import Selection

PAGE = 500
"""Entries that are looked at at a time."""


class Sweep:
    """
    @cvar name: for the log and the status page.
    @cvar complaint: what could not be done, when the spool did not do it.
    """

    name: ClassVar[str]
    complaint: ClassVar[str]

    def __init__(self, spool: ISpool, log: MailLog) -> None:
        self._spool = spool
        self._log = log
        self._looks = 0
        self._problem = ""

    def sweep(self) -> Deferred[int]:
        """Do it once.  @return: L{Deferred} of how many entries; fails with C{SpoolError}."""
        raise NotImplementedError

    def look(self) -> Deferred[Any]:
        """Do it once; never fails."""
        return self.sweep().addCallbacks(self._done, self._failed)

    def _done(self, number: int) -> None:
        self._problem = ""

    def _failed(self, failure: Failure) -> None:
        if failure.check(SpoolError):
            self._problem = failure.getErrorMessage()
            self._log.trouble("-", self.name, self._problem)
        else:
            self._problem = "broken, see the log"
            self._log.bug("-", self.name, failure)

    @inlineCallbacks
    def _through(self, selection: Selection, treat: Callable[[Iterable[Entry]], Deferred[int]]) -> Any:
        """Treat what is meant, page by page, as long as that takes anything away.

        @return: L{Deferred} of how many entries; fails with C{SpoolError}.
        """
        total = 0
        while True:
            page = yield self._spool.listing(selection, PAGE)
            done = yield treat(page)
            total += done
            if not done or len(page) < PAGE:
                return total

    @staticmethod
    def _each(
        page: Iterable[Entry], order: Callable[[Entry], Deferred[int]], done: Callable[[Entry], object]
    ) -> Deferred[int]:
        """Order something about each entry.  The first entry of a message has the message's
        id and means all of its entries, so it comes last.

        @param order: gives how many entries it was done to.
        @param done: called with an entry that it was done to.
        @return: L{Deferred} of how many of the page they were.
        """

        def ordered(number: int, entry: Entry) -> int:
            if number:
                done(entry)
            return min(number, 1)

        entries = sorted(page, key=lambda entry: entry.id, reverse=True)
        waits = [order(entry).addCallback(ordered, entry) for entry in entries]
        return gatherResults(waits, consumeErrors=True).addCallbacks(sum, firstFailure)

    def condition(self) -> str:
        """See L{IWatched.condition<umbcmail.interfaces.IWatched.condition>}."""
        return f"{self.complaint}: {self._problem}" if self._problem else ""


@inlineCallbacks
def eachOf(spool: ISpool, selection: Selection, met: Callable[[Entry], object]) -> Any:
    """Go through the entries that are meant, by pages; what comes and goes meanwhile may
    be met, and an entry may be met twice.

    @return: L{Deferred}; fails with C{SpoolError}.
    """
    last = ""
    while True:
        try:
            page = yield spool.listing(selection, PAGE, after=last)
        except SpoolError:
            if not last:
                raise
            last = ""  # that entry has gone
            continue
        for entry in page:
            met(entry)
        if len(page) < PAGE:
            return
        last = page[-1].id
