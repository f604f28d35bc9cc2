"""When messages come back that wait for a host which does not answer.

A few look after it; all others rest for long, so that many of them cost next to
nothing: what the few find brings the others back (L{umbcmail.queue.catchup}).  Should
the few be lost, those that rest come sooner or later.  Used by
L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from random import random

from umbcmail.hoststatus import HostStatus

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
"""Hosts whose next look is known."""


class Scouts:
    """Of all classes and hosts."""

    def __init__(self) -> None:
        self._looks: dict[Key, tuple[float, int]] = {}
        self._rests: dict[str, float] = {}

    def look(self, key: Key, status: HostStatus, now: float) -> float:
        """When a message comes back that waits for a host which does not answer, or is
        suspended.

        @param status: what is known of it.
        """
        wait = max(status.again - status.last, 0.1)
        first = max(status.again, now + (min(60.0, 2 * wait) if status.probed > now else min(15.0, wait)))
        if status.suspended:
            first = now + SUSPENDED * (1.0 + random())
        at, count = self._looks.get(key, (0.0, 0))
        if not now < at <= first + SLACK:
            at, count = first, 0
        if count >= SCOUTS:
            return self.rest(key[0], now, (now - status.since) / 2 if status.failures else 0.0)
        if len(self._looks) >= KNOWN:
            self._looks.clear()
        self._looks[key] = at, count + 1
        return at + APART * count

    def rest(self, queue: str, now: float, seconds: float = 0.0) -> float:
        """When a message of a class comes back that others look out for.

        @param seconds: that it may rest.
        """
        at = now + min(max(REST, seconds), LONGEST)
        if seconds <= REST:
            at = self._rests[queue] = min(max(at, self._rests.get(queue, 0.0) + EACH), now + LONGEST)
        return at + random() * (at - now) / 4

    def forget(self, key: Key) -> None:
        """The host answers: who waits for it comes at once."""
        self._looks.pop(key, None)
