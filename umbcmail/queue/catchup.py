"""Brings messages back that were told to wait longer than they have to.

When a host that did not answer does again, or a destination takes mail faster than
was thought, what waits for it in the spool becomes due: some at first, then twice as
many, as long as it takes them.  Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from umbcmail.queue.lane import Key, Lane
from umbcmail.queue.shelf import FIRST, Hasten

DOMAINS = 1000
"""Domains of one host that are remembered; others wait until they are due."""
HOSTS = 20_000
"""Hosts that somebody waits for; the oldest are forgotten first."""
STEP = 1.0
"""Seconds between two steps."""


class _Behind:
    """What waits for one host.

    @ivar rate: messages for the next step.
    @ivar isCareful: the host did not answer, and must not get more than that.
    @ivar left: messages that may still go in this one.
    @ivar look: when one of them looks whether the host answers.
    """

    __slots__ = ("call", "domains", "isCareful", "left", "look", "rate")

    def __init__(self) -> None:
        self.domains: dict[str, None] = {}
        self.rate = 0.0
        self.isCareful = False
        self.left = 0
        self.call: IDelayedCall | None = None
        self.look = 0.0


class CatchUp:
    """
    @param isDown: whether a host does not answer, or is suspended.
    @param hasten: see L{Hasten}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        isDown: Callable[[str], bool],
        hasten: Hasten,
    ) -> None:
        self._clock = clock
        self._isDown = isDown
        self._hasten = hasten
        self._behind: dict[Key, _Behind] = {}

    def note(self, key: Key, domain: str) -> None:
        """A message waits in the spool."""
        behind = self._behind.get(key)
        if behind is None:
            if len(self._behind) >= HOSTS:
                oldest = next(iter(self._behind))
                self._drop(oldest)
            behind = self._behind[key] = _Behind()
        if len(behind.domains) < DOMAINS:
            behind.domains[domain] = None

    def go(self, key: Key, lane: Lane, isCareful: bool = False) -> None:
        """The host takes mail: begin, unless it has begun.

        @param isCareful: it did not answer until now.
        """
        behind = self._behind.get(key)
        if behind is not None and behind.call is None:
            behind.isCareful = isCareful
            behind.rate = max(1.0, lane.terms.release * STEP)
            behind.call = self._clock.callLater(0, self._step, key, lane)

    def mayGo(self, key: Key) -> bool:
        """Whether a message that has waited may go now, to a host that did not answer:
        those that are due by themselves count among those that are brought back."""
        behind = self._behind.get(key)
        if behind is None or behind.call is None or not behind.isCareful:
            return True
        behind.left -= 1
        return behind.left >= 0

    def send(self, key: Key, at: float) -> None:
        """One that waits is to look whether the host answers, when it is time: those that have
        looked in vain wait for their own next attempt."""
        behind = self._behind.get(key)
        if behind is not None and behind.look != at:
            behind.look = at
            self._hasten(key[0], tuple(behind.domains), 1, at).addErrback(lambda _: 0)

    def _drop(self, key: Key) -> None:
        behind = self._behind.pop(key)
        if behind.call is not None and behind.call.active():
            behind.call.cancel()

    def _step(self, key: Key, lane: Lane) -> None:
        behind = self._behind.get(key)
        if behind is None:
            return
        if self._isDown(key[1]) or not lane.isProven(self._clock.seconds()):
            behind.call = None  # the next message that it takes begins anew
            return
        wanted = max(1, int(behind.rate))
        if lane.terms.interval:
            wanted = min(wanted, max(1, int(STEP / lane.terms.interval)))
        behind.left = wanted
        lane.beginTurns()
        found = self._hasten(key[0], tuple(behind.domains), wanted, FIRST)
        found.addErrback(lambda _: wanted)  # the runner says what is wrong with the spool
        found.addCallback(self._stepped, key, lane, wanted)

    def _stepped(self, found: int, key: Key, lane: Lane, wanted: int) -> Any:
        behind = self._behind.get(key)
        if behind is None:
            return
        if found < wanted:
            self._drop(key)
            lane.caughtUp()
            return
        behind.rate = min(behind.rate * 2, max(lane.terms.release, lane.throughput * 1.5) * STEP)
        behind.call = self._clock.callLater(STEP, self._step, key, lane)
