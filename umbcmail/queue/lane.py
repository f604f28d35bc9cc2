"""How fast one destination gets its mail: how many messages at the same time, how
many in which time, and when it is the turn of those that have to wait.

Pure: the caller gives the time, and does what is said here.  Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[str, str]
"""Of a lane: a class, and a host."""

PROVEN = 600.0
"""Seconds for which a destination that has taken mail counts as one that takes it."""
BLIND = 0.5
"""Seconds between messages that wait for a destination of which nothing is known."""
WEIGHT = 0.1
"""Of the last attempt in the average of how long an attempt takes."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a destination.

    @ivar concurrency: messages at the same time, at most.
    @ivar start: and at first, before anything is known.
    @ivar interval: seconds between messages on average, 0 for no limit.
    @ivar burst: messages that may go at once after a while without any.
    @ivar release: messages a second, at first, when a host answers again.
    """

    concurrency: int = 20
    start: int = 5
    interval: float = 0.0
    burst: int = 1
    release: float = 10.0


class Lane:
    """One destination of a class.

    @ivar terms: what holds for it; may be set anew.
    @ivar window: messages at the same time, as the destination has shown to bear.
    @ivar active: messages that are being attempted.
    @ivar booked: messages that have been told to wait since it was last idle.
    @ivar ceiling: what the window may grow to, below the terms after a reply that asked for less.
    """

    __slots__ = (
        "_ahead",
        "_average",
        "_grows",
        "_provenUntil",
        "_raised",
        "_recovery",
        "_tat",
        "active",
        "booked",
        "ceiling",
        "heldUntil",
        "terms",
        "window",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.window = float(min(terms.start, terms.concurrency))
        self.ceiling = float(terms.concurrency)
        self.active = 0
        self.booked = 0
        self.heldUntil = 0.0
        self._recovery = 0.0
        self._tat = 0.0
        self._ahead = 0.0
        self._average = 0.0
        self._provenUntil = 0.0
        self._grows = True
        self._raised = 0.0

    def isProven(self, now: float) -> bool:
        """It has taken mail a short while ago."""
        return now < self._provenUntil

    def isIdle(self, now: float) -> bool:
        """Nothing is known of it that a new one would not know."""
        quiet = not self.active and not self.booked and self._tat <= now and self.heldUntil <= now
        return quiet and not self.isProven(now) and self.ceiling >= self.terms.concurrency

    # May a message go?

    @property
    def room(self) -> int:
        """How many messages more it bears now."""
        return max(0, max(1, int(min(self.window, self.ceiling))) - self.active)

    def isTimely(self, now: float) -> bool:
        """Whether its rate permits a message now.  A little early is in time, or who
        has waited for its turn would have to wait again."""
        return now >= self.heldUntil and (not self.terms.interval or self._token() <= now + self._tolerance())

    def hasQueue(self, now: float) -> bool:
        """Whether others have a turn that is to come: who comes now is behind them."""
        return bool(self.terms.interval) and self._ahead > now + self._tolerance()

    def _token(self) -> float:
        """When the rate permits the next message."""
        return self._tat - self.terms.interval * (self.terms.burst - 1)

    def _tolerance(self) -> float:
        return min(self.terms.interval / 2, 1.0)

    def enter(self, now: float) -> None:
        """A message goes: L{leave} is called when its attempt is over."""
        self.active += 1
        if self.terms.interval:
            self._tat = max(self._tat, now) + self.terms.interval

    def turn(self, now: float) -> float:
        """When it is the turn of one more message that has to wait: each gets a turn
        of its own, behind those that have got one before.

        @return: seconds since 1970.
        """
        pace = self._pace(now)
        turn = max(self._ahead + pace, self.heldUntil)
        if self.terms.interval:
            turn = max(turn, self._token())
        if turn <= now:
            turn = now + pace
        self._ahead = turn
        self.booked += 1
        return turn

    def _pace(self, now: float) -> float:
        """Seconds from one message to the next."""
        pace = 1.0 / self.throughput if self.isProven(now) or self._average else BLIND
        return max(pace, self.terms.interval)

    @property
    def throughput(self) -> float:
        """Messages a second that it takes, as far as we know."""
        return max(1.0, min(self.window, self.ceiling)) / max(self._average, 0.001)

    # What has come of it

    def leave(self, now: float, seconds: float, isGood: bool, isBad: bool) -> None:
        """An attempt is over.

        @param seconds: how long it took.
        @param isGood: the destination has taken what it was to take, or refused it for
            what it is.
        @param isBad: it could not be reached, broke off or said that it has enough.
        """
        self.active -= 1
        if isGood:  # how long it takes to find out that it does not answer says nothing of the rest
            self._average = seconds if not self._average else self._average + WEIGHT * (seconds - self._average)
        if isBad:
            self.window = max(1.0, self.window / 2)
            self._grows = False
        elif isGood:
            if not self.isProven(now) and not self.terms.interval:
                self._ahead = 0.0  # turns that were given in the dark
            self._provenUntil = now + PROVEN
            # Twice as many with each round until it was too much once, from then on one more with each round.
            self.window += 1.0 if self._grows else 1.0 / max(self.window, 1.0)
            self.window = min(self.window, float(self.terms.concurrency))
        if self._recovery and self.ceiling < self.terms.concurrency and now - self._raised >= self._recovery:
            self.ceiling += 1.0
            self._raised = now

    def slowDown(self, floor: int, hold: float, recovery: float, now: float) -> None:
        """A reply has asked for less: half of it, after a while.

        @param floor: messages at the same time, at least.
        @param hold: seconds without any.
        @param recovery: seconds until one more is tried, again and again.
        """
        self.ceiling = max(float(floor), min(self.window, self.ceiling) / 2)
        self.window = min(self.window, max(1.0, self.ceiling))
        self.heldUntil = max(self.heldUntil, now + hold)
        self._recovery = recovery
        self._raised = max(now, self.heldUntil)

    def fall(self) -> None:
        """It does not answer: when it does again it is not to get what it bore before."""
        self.window = min(self.window, 2.0)

    def begin(self, now: float) -> None:
        """A host that did not answer has answered: carefully, and from now."""
        self.window = min(2.0, float(self.terms.concurrency))
        self._grows = True
        self._ahead = 0.0
        self._provenUntil = now + PROVEN

    def beginTurns(self) -> None:
        """Those whose turn would have come next are called now: turns begin anew.  By a
        rate they are right as they are."""
        if not self.terms.interval:
            self._ahead = 0.0

    def caughtUp(self) -> None:
        """Nobody has to wait any more."""
        self.booked = 0
        self._ahead = 0.0
