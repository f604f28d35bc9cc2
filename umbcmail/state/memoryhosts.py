"""The hosts that do not answer, in memory: see L{umbcmail.state.memory}."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from umbcmail.hoststatus import HostStatus, Waits, unknown
from umbcmail.interfaces import IHosts


@implementer(IHosts)
class MemoryHosts:
    """See L{IHosts}.

    @param known: by name, shared by those who share it.
    """

    def __init__(self, known: dict[str, HostStatus]) -> None:
        self.waits = Waits()
        self._known = known

    def find(self, host: str, now: float) -> HostStatus | None:
        """See L{IHosts.find}."""
        known = self._known.get(host)
        if known is not None and known.isForgotten(now):
            del self._known[host]
            return None
        return known

    def failed(self, host: str, why: str, now: float) -> Deferred[HostStatus]:
        """See L{IHosts.failed}."""
        known = (self.find(host, now) or unknown(host)).afterFailure(why, now, self.waits)
        self._known[host] = known
        return succeed(known)

    def answered(self, host: str, now: float) -> Deferred[HostStatus | None]:
        """See L{IHosts.answered}."""
        known = self.find(host, now)
        if known is not None and known.suspended:
            self._known[host] = replace(unknown(host), last=now, suspended=known.suspended)
        elif known is not None:
            del self._known[host]
        return succeed(known)

    def claimProbe(self, host: str, now: float, seconds: float) -> Deferred[bool]:
        """See L{IHosts.claimProbe}."""
        known = self.find(host, now)
        if known is None:
            return succeed(True)
        if not known.mayProbe(now):
            return succeed(False)
        self._known[host] = replace(known, probed=now + seconds)
        return succeed(True)

    def suspend(self, host: str, why: str, now: float) -> Deferred[None]:
        """See L{IHosts.suspend}."""
        self._known[host] = replace(self.find(host, now) or unknown(host), last=now, suspended=why)
        return succeed(None)

    def resume(self, host: str) -> Deferred[bool]:
        """See L{IHosts.resume}."""
        return succeed(self._known.pop(host, None) is not None)

    def listing(self, now: float) -> Deferred[list[HostStatus]]:
        """See L{IHosts.listing}."""
        found = [known for host in list(self._known) if (known := self.find(host, now)) is not None]
        return succeed(sorted(found, key=lambda known: known.host))
