"""Removes notifications about spam: nobody has asked for them, and most of their
addresses are forged.

None are made of what is known to be spam in time (C{[bounce] spam-score}).  This is for
what was made before that was set so, or with another bound.  Run from time to time by
the role C{schedule}, and once by C{umbcmail clean}.  An attempt under way may finish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.entry import Entry, SpoolError
from umbcmail.figure import Figure
from umbcmail.interfaces import ISpool, IWatched
from umbcmail.maillog import MailLog
from umbcmail.queue.munger import PAGE, eachOf, firstFailure
from umbcmail.selection import Selection


@implementer(IWatched)
class Cleaner:
    """The broom.

    @param score: spam score of a message over which notifications about it go, in all
        classes, held ones too.
    """

    name = "cleaner"

    def __init__(self, score: float, spool: ISpool, log: MailLog) -> None:
        self._selection = Selection(bounces=True, scoreOver=score)
        self._spool = spool
        self._log = log
        self._looks = 0
        self._removed = 0
        self._problem = ""

    def look(self) -> Deferred[Any]:
        """Remove what there is; never fails."""
        return self.clean().addCallbacks(self._done, self._failed)

    def _done(self, removed: int) -> None:
        self._problem = ""

    def _failed(self, failure: Failure) -> None:
        if failure.check(SpoolError):
            self._problem = failure.getErrorMessage()
            self._log.trouble("-", "cleaner", self._problem)
        else:
            self._problem = "broken, see the log"
            self._log.bug("-", "cleaner", failure)

    @inlineCallbacks
    def clean(self, told: Callable[[Entry], object] = lambda entry: None) -> Any:
        """Remove what there is.

        @param told: called with each entry that is gone.
        @return: L{Deferred} of how many there were; fails with C{SpoolError}.
        """
        total = 0
        while True:
            page = yield self._spool.listing(self._selection, PAGE)
            removed = yield self._remove(page, told)
            total += removed
            if not removed or len(page) < PAGE:
                break
        self._looks += 1
        self._log.cleaned(total)
        return total

    def _remove(self, page: Iterable[Entry], told: Callable[[Entry], object]) -> Deferred[int]:
        """Each by an order of its own, so that what is logged is what was removed; all of
        them are written together."""

        def done(number: int, entry: Entry) -> int:
            if number:
                self._removed += 1
                self._log.removed(entry.id, entry.queue, f"a notification about spam, score {entry.envelope.score:g}")
                told(entry)
            return min(number, 1)

        waits = []
        for entry in sorted(page, key=lambda entry: entry.id, reverse=True):
            one = replace(self._selection, ids=(entry.id,))
            waits.append(self._spool.remove(one).addCallback(done, entry))
        return gatherResults(waits, consumeErrors=True).addCallbacks(sum, firstFailure)

    @inlineCallbacks
    def rehearse(self, told: Callable[[Entry], object]) -> Any:
        """Tell what would be removed.

        @return: L{Deferred} of how many; fails with C{SpoolError}.
        """
        seen: set[str] = set()

        def met(entry: Entry) -> None:
            if entry.id not in seen:
                seen.add(entry.id)
                told(entry)

        yield eachOf(self._spool, self._selection, met)
        return len(seen)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"notifications about spam could not be removed: {self._problem}" if self._problem else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure(
            "cleaner_looks_total", self._looks, "How often notifications about spam were looked for.", (), True
        )
        yield Figure("cleaner_removed_total", self._removed, "Notifications about spam that were removed.", (), True)
