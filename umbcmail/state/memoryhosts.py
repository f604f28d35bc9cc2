"""The hosts that do not answer, in memory: see L{umbcmail.state.memory}."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.hoststatus import USUAL, HostStatus, unknown
from umbcmail.interfaces import IHosts
from umbcmail.sighting import StateError


def hostFigures(known: Iterable[HostStatus]) -> Iterable[Figure]:
    """How many hosts something is wrong with.

    @param known: may have some that nothing is wrong with.
    """
    counts = {"down": 0, "suspended": 0}
    for status in known:
        if not status.isFine:
            counts["suspended" if status.suspended else "down"] += 1
    for name, count in counts.items():
        yield Figure("state_hosts", count, "Next hops that do not answer, or are suspended.", (("status", name),))


@implementer(IHosts)
class MemoryHosts:
    """See L{IHosts}.

    @ivar isOpen: the state has been started, and not stopped.
    @param known: by name, shared by those who share it.
    @param calls: what is called with hosts that are back, shared in the same way.
    """

    def __init__(self, known: dict[str, HostStatus], calls: list[Callable[[str], None]] | None = None) -> None:
        self.isOpen = True
        self.waits = USUAL
        self._known = known
        self._calls = [] if calls is None else calls

    def find(self, host: str, now: float) -> HostStatus | None:
        """See L{IHosts.find}."""
        known = self._known.get(host)
        if known is not None and known.isForgotten(now):
            del self._known[host]
            return None
        return known

    def whenBack(self, call: Callable[[str], None]) -> None:
        """See L{IHosts.whenBack}."""
        self._calls.append(call)

    def _put(self, status: HostStatus) -> HostStatus:
        if not status.isFine:
            self._known[status.host] = status
        elif self._known.pop(status.host, None) is not None:
            for call in self._calls:
                call(status.host)
        return status

    def failed(self, host: str, why: str, now: float) -> Deferred[HostStatus]:
        """See L{IHosts.failed}."""
        return succeed(self._put((self.find(host, now) or unknown(host)).afterFailure(why, now, self.waits)))

    def answered(self, host: str, now: float) -> Deferred[HostStatus | None]:
        """See L{IHosts.answered}."""
        known = self.find(host, now)
        if known is not None:
            self._put(known.afterAnswer(now))
        return succeed(known)

    def claimProbe(self, host: str, now: float, seconds: float) -> Deferred[bool]:
        """See L{IHosts.claimProbe}."""
        known = self.find(host, now)
        if known is None:
            return succeed(True)
        if not known.mayProbe(now):
            return succeed(False)
        self._put(known.probedUntil(now + seconds))
        return succeed(True)

    def prolongProbe(self, host: str, now: float, seconds: float) -> Deferred[None]:
        """See L{IHosts.prolongProbe}."""
        known = self.find(host, now)
        if known is not None:
            self._put(known.probedOn(now, now + seconds))
        return succeed(None)

    def suspend(self, host: str, why: str, now: float) -> Deferred[None]:
        """See L{IHosts.suspend}."""
        if not self.isOpen:
            return fail(StateError("the state is not open"))
        self._put((self.find(host, now) or unknown(host)).afterSuspension(why, now))
        return succeed(None)

    def resume(self, host: str) -> Deferred[bool]:
        """See L{IHosts.resume}."""
        if not self.isOpen:
            return fail(StateError("the state is not open"))
        known = self._known.get(host)
        if known is not None:
            self._put(unknown(host))
        return succeed(known is not None)

    def listing(self, now: float) -> Deferred[list[HostStatus]]:
        """See L{IHosts.listing}."""
        if not self.isOpen:
            return fail(StateError("the state is not open"))
        found = [known for host in list(self._known) if (known := self.find(host, now)) is not None]
        return succeed(sorted(found, key=lambda known: known.host))
