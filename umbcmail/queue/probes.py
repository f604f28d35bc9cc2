"""Who of ours is looking whether a host answers again.

One message at a time may, of all processes: that is claimed in the state (C{IHosts}).
A claim is for a short time, and prolonged while the attempt lasts, so a process that dies
while it looks keeps nobody from the host for long.  Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from umbcmail.interfaces import IHosts

CLAIMED = 15.0
"""Seconds that a claim is for."""
PROLONGED = 5.0
"""Seconds after which it is prolonged."""


class Probes:
    """Of all classes."""

    def __init__(self, hosts: IHosts, clock: IReactorTime) -> None:
        self._hosts = hosts
        self._clock = clock
        self._underWay: dict[str, dict[str, bool]] = {}
        self._timer: Any = None

    def claim(self, host: str) -> Deferred[bool]:
        """Try to become the one who looks.  @return: L{Deferred} of whether the caller is it."""
        claimed = self._hosts.claimProbe(host, self._clock.seconds(), CLAIMED)
        # What can't be asked of others is tried.
        return claimed.addErrback(lambda _: True)

    def begin(self, queue: str, host: str, counts: bool) -> None:
        """The attempt begins.

        @param counts: it takes a place of the class.
        """
        self._underWay.setdefault(queue, {})[host] = counts
        if self._timer is None:
            self._timer = self._clock.callLater(PROLONGED, self._prolong)

    def end(self, queue: str, host: str) -> None:
        """The attempt is over."""
        self._underWay[queue].pop(host, None)

    def isUnderWay(self, queue: str, host: str) -> bool:
        """A message of the class is looking."""
        return host in self._underWay.get(queue, ())

    def count(self, queue: str) -> int:
        """Places of the class that are taken."""
        return sum(self._underWay.get(queue, {}).values())

    def _prolong(self) -> None:
        self._timer = None
        hosts = {host for each in self._underWay.values() for host in each}
        if not hosts:
            return
        self._timer = self._clock.callLater(PROLONGED, self._prolong)
        for host in hosts:
            self._hosts.prolongProbe(host, self._clock.seconds(), CLAIMED)
