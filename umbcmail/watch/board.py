"""Looks at all watched parts, when somebody asks.

Nothing is gathered while nobody looks.  Parts that have to ask first (the spool
counts its entries in a thread) are asked at most every few seconds, once for all
who look at the same time, and waited for only so long: what does not answer is a
condition.  A part that raises is told as broken, and logged once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed, IWatched
from umbcmail.maillog import MailLog
from umbcmail.watch.picture import About, Part, Picture

PATIENCE = 2.0
"""Seconds that who looks waits for parts that have to ask."""
FRESH = 5.0
"""Seconds for which what they have found is good enough."""
BROKEN = "broken, see the log"

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Board:
    """See the module.

    @param watched: the parts; may grow until the program has begun.
    @param needed: names of parts without which no mail can be accepted.
    """

    def __init__(
        self,
        about: About,
        watched: Sequence[IWatched],
        needed: Collection[str],
        log: MailLog,
        clock: IReactorTime,
    ) -> None:
        self._about = about
        self._watched = watched
        self._needed = frozenset(needed)
        self._log = log
        self._clock = clock
        self._asked: dict[Any, float] = {}
        self._isWaiting = False
        self._timer: IDelayedCall | None = None
        self._waiters: list[Deferred[None]] = []
        self._refreshed: float | None = None
        self._broken: set[tuple[str, str]] = set()

    def look(self) -> Deferred[Picture]:
        """@return: L{Deferred} that fires within L{PATIENCE}, and does not fail."""
        return self._fresh().addCallback(lambda _: self._picture())

    # Parts that have to ask

    def _fresh(self) -> Deferred[None]:
        """Fires when all have answered, or there is no more patience."""
        now = self._clock.seconds()
        if not self._isWaiting:
            if self._refreshed is not None and 0 <= now - self._refreshed < FRESH:
                return succeed(None)
            self._isWaiting = True
            for part in self._watched:
                if IRefreshed.providedBy(part) and part not in self._asked:
                    self._asked[part] = now
                    maybeDeferred(part.refresh).addBoth(self._answered, part)
            if not self._asked:
                self._end()
                return succeed(None)
            self._timer = self._clock.callLater(PATIENCE, self._end)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def _answered(self, result: Any, part: Any) -> None:
        del self._asked[part]
        self._note(part.name, "refresh", result if isinstance(result, Failure) else None)
        if not self._asked and self._timer is not None:
            self._timer.cancel()
            self._end()

    def _end(self) -> None:
        self._timer = None
        self._isWaiting = False
        self._refreshed = self._clock.seconds()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # The picture

    def _picture(self) -> Picture:
        now = self._clock.seconds()
        parts = tuple([self._part(part, now) for part in tuple(self._watched)])
        why = [f"{part.name}: {part.condition}" for part in parts if part.condition and part.name in self._needed]
        return Picture(self._about, os.getpid(), now, parts, "; ".join(why))

    def _part(self, part: Any, now: float) -> Part:
        name = str(part.name)
        condition = self._safely(name, "condition", lambda: str(part.condition()))
        figures = self._safely(name, "figures", lambda: tuple([_checked(figure) for figure in part.figures()]))
        asked = self._asked.get(part)
        if asked is not None:
            condition = f"no answer for {max(0.0, now - asked):.0f} s" + (f"; {condition}" if condition else "")
        if condition is None or figures is None or (name, "refresh") in self._broken:
            condition = BROKEN + (f"; {condition}" if condition else "")
        return Part(name, condition, figures or ())

    def _safely(self, name: str, what: str, call: Callable[[], Any]) -> Any:
        """What a part tells, L{None} when it breaks."""
        try:
            found = call()
        except Exception:
            self._note(name, what, Failure())
            return None
        self._note(name, what, None)
        return found

    def _note(self, name: str, what: str, failure: Failure | None) -> None:
        """Log that a part is broken, once until it works again."""
        if failure is None:
            self._broken.discard((name, what))
        elif (name, what) not in self._broken:
            self._broken.add((name, what))
            self._log.bug("-", f"watch {name}, {what}", failure)


def _checked(figure: Figure) -> Figure:
    """@raise ValueError: its name, or that of a label, is none that Prometheus knows."""
    names = (figure.name, *(name for name, _ in figure.labels))
    if not all(_NAME.fullmatch(name) for name in names) or figure.grows != figure.name.endswith("_total"):
        raise ValueError(f"{figure.name} is no name for a figure (those that only grow end in _total)")
    if not isinstance(figure.value, (int, float)):
        raise ValueError(f"{figure.name} is no number")
    return figure
