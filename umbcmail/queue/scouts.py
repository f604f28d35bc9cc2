"""When messages come back that nobody knows an end of: their host does not answer, or
it is to be found out first whether it does.

A few look after it; all others rest for long, so that many of them cost next to
nothing: what the few find brings the others back (L{umbcmail.queue.catchup}).  Should
the few be lost, those that rest come sooner or later.  Where there is a crowd, it is put
to rest in the spool, without a look at each.  Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from umbcmail.hoststatus import HostStatus
from umbcmail.outcome import Outcome

Key = tuple[str, str]
"""A class, and a host."""

SCOUTS = 2
"""Messages of a class that come back when it is time to look at a host."""
APART = 5.0
"""Seconds between them."""
SUSPENDED = 300.0
"""Seconds until it is seen that a host is not suspended any more, where nobody tells; up to twice as many."""
SLACK = 120.0
"""Seconds by which a look that is planned may be later than it could be."""
REST = 1800.0
"""Seconds that others rest; up to a quarter more at random."""
LONGEST = 3 * 3600.0
"""The same where a host has been dead for long, or very many rest."""
EACH = 0.02
"""Seconds between two of a class that come back from their rest."""
KNOWN = 20_000
"""Hosts whose next look is known; likewise crowds."""
CROWD = 3
"""Messages of a domain that are to rest within L{TOGETHER} seconds, and make a crowd."""
TOGETHER = 10.0
PORTION = 1000
"""Messages of a crowd that are put to rest at a time: the spool does nothing else meanwhile."""
PAUSE = 0.05
"""Seconds between two portions."""

PutOff = Callable[[str, str, int, float, float, float, Outcome], "Deferred[int]"]
"""Called with a class, a domain, a number of messages, a time, two more, and an outcome: as
many as were due before that time are due between those two, and have that outcome if they
have none; L{Deferred} of how many there were."""


class _Crowd:
    """Messages of a domain that are to rest.

    @ivar began: when the first of them was.
    @ivar count: how many there were.
    @ivar isGoing: they are being put to rest.
    @ivar call: the next portion.
    """

    __slots__ = ("began", "call", "count", "isGoing")

    def __init__(self, now: float) -> None:
        self.began = now
        self.count = 0
        self.isGoing = False
        self.call: IDelayedCall | None = None


class Scouts:
    """Of all classes and hosts.

    @param mayRest: whether a host of a class still is one that messages rest for.
    @param putOff: see L{PutOff}.
    """

    def __init__(self, clock: IReactorTime, mayRest: Callable[[Key], bool], putOff: PutOff) -> None:
        self._clock = clock
        self._mayRest = mayRest
        self._putOff = putOff
        self._looks: dict[Key, tuple[float, int]] = {}
        self._rests: dict[tuple[str, bool], float] = {}
        self._crowds: dict[Key, _Crowd] = {}

    def look(self, key: Key, status: HostStatus, domain: str, why: Outcome) -> float:
        """When a message comes back that waits for a host which does not answer, or is
        suspended.

        @param status: what is known of it.
        @param domain: of the message.
        @param why: what is said of it.
        """
        now = self._clock.seconds()
        wait = max(status.again - status.last, 0.1)
        first = max(status.again, now + (min(60.0, 2 * wait) if status.probed > now else min(15.0, wait)))
        if status.suspended:
            first = now + SUSPENDED * (1.0 + random())
        at, count = self._looks.get(key, (0.0, 0))
        if not now < at <= first + SLACK:
            at, count = first, 0
        if count >= SCOUTS:
            return self.rest(key, domain, why, (now - status.since) / 2 if status.failures else 0.0)
        if len(self._looks) >= KNOWN:
            self._looks.clear()
        self._looks[key] = at, count + 1
        return at + APART * count

    def rest(self, key: Key, domain: str, why: Outcome, seconds: float = 0.0) -> float:
        """When a message comes back that others look out for.

        @param seconds: that it may rest.
        """
        self._gather(key, domain, why, seconds)
        begin, end = self._time(key[0], seconds, 1)
        return begin + random() * (end - begin)

    def forget(self, key: Key) -> None:
        """The host answers: who waits for it comes at once."""
        self._looks.pop(key, None)

    def _time(self, queue: str, seconds: float, count: int) -> tuple[float, float]:
        """From when and until when some come back."""
        now, kind = self._clock.seconds(), (queue, seconds > REST)
        begin = max(now + min(max(REST, seconds), LONGEST), self._rests.get(kind, 0.0) + EACH)
        begin = min(begin, now + LONGEST)
        self._rests[kind] = begin + (count - 1) * EACH
        return begin, begin + (count - 1) * EACH + (begin - now) / 4

    # Crowds

    def _gather(self, key: Key, domain: str, why: Outcome, seconds: float) -> None:
        """One more of a domain: where there are several in a short time there are many."""
        now, whose = self._clock.seconds(), (key[0], domain)
        crowd = self._crowds.get(whose)
        if crowd is None or (not crowd.isGoing and now - crowd.began > TOGETHER):
            if len(self._crowds) >= KNOWN:
                self._crowds = {each: crowd for each, crowd in self._crowds.items() if crowd.isGoing}
            crowd = self._crowds[whose] = _Crowd(now)
        crowd.count += 1
        if crowd.count == CROWD:
            crowd.isGoing = True
            crowd.began = now
            self._portion(key, domain, why, seconds, crowd)

    def _portion(self, key: Key, domain: str, why: Outcome, seconds: float, crowd: _Crowd) -> None:
        """Those that were due before: what is called since then is let go."""
        if not self._mayRest(key):
            self._crowds.pop((key[0], domain), None)
            return
        begin, end = self._time(key[0], seconds, 1)
        put = self._putOff(key[0], domain, PORTION, crowd.began, begin, end + PORTION * EACH, why)

        def done(found: int) -> None:
            self._time(key[0], seconds, max(1, found))
            if found < PORTION:
                self._crowds.pop((key[0], domain), None)
            else:
                crowd.call = self._clock.callLater(PAUSE, self._portion, key, domain, why, seconds, crowd)

        # What is wrong with the spool the runner says.
        put.addErrback(lambda _: 0).addCallback(done)
