"""Removes notifications about spam: nobody has asked for them, and most of their
addresses are forged.

None are made of what is known to be spam in time (C{[bounce] spam-score}).  This is for
what was made before that was set so, or with another bound.  Run from time to time by
the role C{schedule}, and once by C{umbcmail clean}.  An attempt under way may finish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import implementer

from umbcmail.entry import Entry
from umbcmail.figure import Figure
from umbcmail.interfaces import ISpool, IWatched
from umbcmail.maillog import MailLog
from umbcmail.queue.sweep import Sweep, eachOf
from umbcmail.selection import Selection


@implementer(IWatched)
class Cleaner(Sweep):
    """The broom.

    @param score: spam score of a message over which notifications about it go, in all
        classes, held ones too.
    """

    name = "cleaner"
    complaint = "notifications about spam could not be removed"

    def __init__(self, score: float, spool: ISpool, log: MailLog) -> None:
        Sweep.__init__(self, spool, log)
        self._selection = Selection(bounces=True, scoreOver=score)
        self._removed = 0

    def sweep(self) -> Deferred[int]:
        """See L{Sweep.sweep}."""
        done: Deferred[int] = self.clean()
        return done

    @inlineCallbacks
    def clean(self, told: Callable[[Entry], object] = lambda entry: None) -> Any:
        """Remove what there is.

        @param told: called with each entry that is gone.
        @return: L{Deferred} of how many there were; fails with C{SpoolError}.
        """
        total = yield self._through(self._selection, partial(self._remove, told))
        self._looks += 1
        self._log.cleaned(total)
        return total

    def _remove(self, told: Callable[[Entry], object], page: Iterable[Entry]) -> Deferred[int]:
        def order(entry: Entry) -> Deferred[int]:
            return self._spool.remove(replace(self._selection, ids=(entry.id,)))

        def done(entry: Entry) -> None:
            self._removed += 1
            self._log.removed(entry.id, entry.queue, f"a notification about spam, score {entry.envelope.score:g}")
            told(entry)

        return self._each(page, order, done)

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

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure(
            "cleaner_looks_total", self._looks, "How often notifications about spam were looked for.", (), True
        )
        yield Figure("cleaner_removed_total", self._removed, "Notifications about spam that were removed.", (), True)
