"""The time that the program goes by: that of the system, without its jumps.

A clock that is set must not fire all timers at once or let them sleep for a day, take
claims from those who work on them, or make mail too old that is not.  So the reactor
counts by the monotonic clock, and is led after the system's clock here, in one place:

- up to a minute ahead: it follows at once;
- more: it is told, and followed when the clock has stayed there for ten minutes.  By then
  claims have been renewed so that they hold by both times.  Nothing is given up as too
  old for another hour, so that what could not be tried meanwhile is tried first;
- behind: never back, since all that waits would wait for so much longer, but at half
  speed until the system's clock has caught up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.internet import TimerService
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import durationText

INTERVAL = 5.0
"""Seconds between two looks at the system's clock."""
JUMP = 60.0
"""Seconds from which on a difference is not followed at once."""
SETTLED = 600.0
"""Seconds for which a clock that is ahead must have stayed there: claims are renewed more
often than that."""
SPARING = 3600.0
"""Seconds after which it may be believed that mail is too old."""
STILL = 5.0
"""Seconds by which a clock may differ from what it was set to, and has stayed there."""
NOTICED = 1.0
"""Seconds from which on timers are moved with the time."""

Follower = Callable[[float, bool], object]
"""Told how many seconds the system's clock is ahead, as long as it is not followed, and
whether nothing may be given up as too old."""


@implementer(IWatched)
class SteadyTime(TimerService):
    """The time.

    @ivar followers: see L{Follower}.
    @ivar log: the mail log, where there is one.
    """

    def __init__(
        self,
        reactor: Any,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param reactor: whose C{seconds} are these from now on.
        """
        TimerService.__init__(self, INTERVAL, self.look)
        self.name = "clock"
        self.clock = reactor
        self.followers: list[Follower] = []
        self.log: MailLog | None = None
        self._reactor = reactor
        self._wall = wall
        self._monotonic = monotonic
        self._base, self._from, self._rate = wall(), monotonic(), 1.0
        self._jump: tuple[float, float] | None = None
        self._sparedUntil = 0.0
        self._isBehind = False
        self._jumps = 0
        self._difference = 0.0
        reactor.seconds = self.seconds

    def seconds(self) -> float:
        """Seconds since 1970."""
        return self._base + (self._monotonic() - self._from) * self._rate

    def look(self) -> None:
        """Follow the system's clock."""
        now = self.seconds()
        difference = self._difference = self._wall() - now
        if difference > JUMP:
            self._ahead(difference, now)
        elif difference < -JUMP:
            self._jump = None
            self._behind(difference)
        else:
            self._near(difference)
        if self._sparedUntil and now >= self._sparedUntil:
            self._sparedUntil = 0.0
            self._tellAll(0.0)

    def _near(self, difference: float) -> None:
        if self._jump is not None or self._isBehind:
            self._jump, self._isBehind = None, False
            self._say("the system's clock is right again")
            self._tellAll(0.0)
        if difference < -NOTICED / 2:
            self._set(0.0, 0.5)
        else:
            self._set(difference, 1.0)

    def _ahead(self, difference: float, now: float) -> None:
        self._isBehind = False
        self._set(0.0, 1.0)
        if self._jump is None or abs(difference - self._jump[0]) > STILL:
            self._jump = (difference, now)
            self._jumps += 1
            self._say(
                f"the system's clock is {_span(difference)} ahead; it is followed if it is so for {_span(SETTLED)}"
            )
            self._tellAll(difference)
        elif now - self._jump[1] >= SETTLED:
            self._jump = None
            self._set(difference, 1.0)
            self._sparedUntil = self.seconds() + SPARING
            self._say(f"the system's clock is followed, {_span(difference)} ahead; nothing expires for an hour")
            self._tellAll(0.0)

    def _behind(self, difference: float) -> None:
        if not self._isBehind:
            self._isBehind = True
            self._jumps += 1
            lasts = _span(-2 * difference)
            self._say(f"the system's clock is {_span(-difference)} behind; ours is slowed down for {lasts}")
            self._tellAll(0.0)
        self._set(0.0, 0.5)

    def _set(self, by: float, rate: float) -> None:
        """Go on from here.  Timers keep the time that they have left."""
        if by or rate != self._rate:
            self._base, self._from = self.seconds() + by, self._monotonic()
            self._rate = rate
        if abs(by) >= NOTICED:
            for call in self._reactor.getDelayedCalls():
                call.delay(by)

    def _tellAll(self, ahead: float) -> None:
        for follower in self.followers:
            follower(ahead, bool(self._sparedUntil))

    def _say(self, what: str) -> None:
        if self.log is not None:
            self.log.clock(what)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        if self._jump is not None:
            return f"the system's clock is {_span(self._difference)} ahead, and is not followed yet"
        if self._isBehind:
            return f"the system's clock is {_span(-self._difference)} behind, ours is slowed down; a restart sets it"
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("clock_jumps_total", self._jumps, "Jumps of the system's clock by more than a minute.", (), True)
        meaning = "Seconds by which the system's clock is ahead of the time that the program goes by."
        yield Figure("clock_ahead_seconds", round(self._difference, 3), meaning)


class FollowedTime(SteadyTime):
    """The system's time as it is, for roles that must know when a ticket ends and claim nothing: a
    clock that is set, back or ahead, is followed at the next look, and timers keep the time that
    they have left."""

    def look(self) -> None:
        """Follow the system's clock."""
        difference = self._wall() - self.seconds()
        self._set(difference, 1.0)
        if abs(difference) > JUMP:
            self._jumps += 1
            self._say(f"the system's clock was set {'ahead' if difference > 0 else 'back'} by {_span(abs(difference))}")


def _span(seconds: float) -> str:
    return durationText(float(round(seconds)))
