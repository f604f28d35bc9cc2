"""When messages come back that nobody knows an end of: their host does not answer, or
it is to be found out first whether it does.

A few look after it; all others rest for long, so that many of them cost next to
nothing: what the few find brings the others back (L{umbcmail.queue.catchup}).  Should
the few be lost, those that rest come sooner or later.  Crowds are put to rest in the spool
(L{umbcmail.queue.crowds}).  Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

from twisted.internet.interfaces import IReactorTime

from umbcmail.hoststatus import HostStatus
from umbcmail.outcome import Outcome
from umbcmail.queue.crowds import STEP, Crowds, PutOff
from umbcmail.queue.lane import Key

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
KNOWN = 20_000
"""Hosts whose next look is known."""
AHEAD = 600.0
"""Seconds in which others of a crowd would be due that are put to rest with it."""


class Scouts:
    """Of all classes and hosts.

    @param mayRest: whether a host of a class still is one that messages rest for.
    @param putOff: see L{PutOff}.
    """

    def __init__(self, clock: IReactorTime, mayRest: Callable[[Key], bool], putOff: PutOff) -> None:
        self._clock = clock
        self._looks: dict[Key, tuple[float, int]] = {}
        self._rests: dict[tuple[str, bool], float] = {}
        self._crowds = Crowds(clock, mayRest, putOff)

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
            return self.rest(key, domain, why, (now - status.since) / 2 if status.failures else 0.0, status.again)
        if len(self._looks) >= KNOWN:
            self._looks.clear()
        self._looks[key] = at, count + 1
        return at + APART * count

    def rest(self, key: Key, domain: str, why: Outcome, seconds: float = 0.0, before: float = 0.0) -> float:
        """When a message comes back that others look out for.

        @param seconds: that it may rest.
        @param before: others of the domain that are due before are to rest too; those that are due now in any case.
        """
        now, kind = self._clock.seconds(), (key[0], seconds > REST)
        at = now + min(max(REST, seconds), LONGEST)
        self._crowds.gather(key, domain, max(now, min(before, now + AHEAD)), at, why)
        at = self._rests[kind] = min(max(at, self._rests.get(kind, 0.0) + STEP), now + LONGEST)
        return at + random() * (at - now) / 4

    def forget(self, key: Key) -> None:
        """The host answers: who waits for it comes at once."""
        self._looks.pop(key, None)
