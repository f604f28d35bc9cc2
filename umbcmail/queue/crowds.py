"""Much that waits for destinations which nobody knows an end of is put to rest in the
spool, without a look at each.

Where several messages of a domain have to rest within a short time there are more of
them.  One walk through what is due takes those of all such domains along, a portion at
a time, so that others have their turn at the spool.  Used by L{umbcmail.queue.scouts}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from umbcmail.entry import Crowd
from umbcmail.outcome import Outcome
from umbcmail.queue.lane import Key

MANY = 3
"""Messages of a domain that are to rest within L{TOGETHER} seconds, and are a crowd."""
TOGETHER = 10.0
SOON = 0.5
"""Seconds until a walk begins, so that it is one for several crowds."""
PORTION = 500
"""Entries that are passed at a time: the spool does nothing else meanwhile."""
PAUSE = 0.05
"""Seconds between two portions, at least."""
SHARE = 0.05
"""Of the time in which portions are on their way: others have the rest."""
STEP = 0.02
"""Seconds between two of a class when they come back from their rest."""
KNOWN = 20_000
"""Domains that are counted."""

PutOff = Callable[[str, Sequence[Crowd], int, Any], "Deferred[tuple[int, Any]]"]
"""Called with a class, crowds, a number of entries, and where to go on: see L{ISpool.putOff}."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """What waits for a domain, and may rest.

    @ivar host: that it waits for.
    @ivar before: those that would be due before.
    @ivar until: when they come back.
    @ivar why: what they have to wait for.
    """

    host: str
    before: float
    until: float
    why: Outcome


class Crowds:
    """
    @param mayRest: whether a host of a class still is one that messages rest for.
    @param putOff: see L{PutOff}.
    """

    def __init__(self, clock: IReactorTime, mayRest: Callable[[Key], bool], putOff: PutOff) -> None:
        self._clock = clock
        self._mayRest = mayRest
        self._putOff = putOff
        self._counted: dict[Key, tuple[float, int]] = {}
        self._coming: dict[str, dict[str, _Rest]] = {}
        self._walking: set[str] = set()

    def gather(self, key: Key, domain: str, before: float, until: float, why: Outcome) -> None:
        """One more message of a domain is to rest.

        @param before: time before which others are due that are to rest too.
        @param until: time until which they may rest.
        """
        queue, host = key
        now, whose = self._clock.seconds(), (queue, domain)
        began, count = self._counted.get(whose, (now, 0))
        if now - began > TOGETHER:
            began, count = now, 0
        if count + 1 < MANY:
            if len(self._counted) >= KNOWN:
                self._counted.clear()
            self._counted[whose] = began, count + 1
            return
        self._counted.pop(whose, None)
        self._coming.setdefault(queue, {})[domain] = _Rest(host, before, until, why)
        if queue not in self._walking:
            self._walking.add(queue)
            self._clock.callLater(SOON, self._walk, queue)

    def _walk(self, queue: str) -> None:
        """All crowds that there are, those that come meanwhile in the next one."""
        self._portion(queue, self._coming.pop(queue), 0, None)

    def _portion(self, queue: str, rests: dict[str, _Rest], moved: int, place: Any) -> None:
        """@param moved: how many there were before.  @param place: where to go on."""
        began = self._clock.seconds()
        rests = {domain: rest for domain, rest in rests.items() if self._mayRest((queue, rest.host))}
        if not rests:
            self._walked(queue)
            return
        crowds = [
            Crowd(domain, rest.before, rest.until + moved * STEP, STEP, rest.why) for domain, rest in rests.items()
        ]

        def done(found: tuple[int, Any]) -> None:
            count, following = found
            if following is None:
                self._walked(queue)
            else:
                pause = max(PAUSE, (self._clock.seconds() - began) * (1 / SHARE - 1))
                self._clock.callLater(pause, self._portion, queue, rests, moved + count, following)

        # What is wrong with the spool the runner says.
        self._putOff(queue, crowds, PORTION, place).addErrback(lambda _: (0, None)).addCallback(done)

    def _walked(self, queue: str) -> None:
        if queue in self._coming:
            self._clock.callLater(SOON, self._walk, queue)
        else:
            self._walking.discard(queue)
