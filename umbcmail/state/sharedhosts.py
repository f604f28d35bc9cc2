"""What the stores have in common that tell all processes which hosts do not answer.

Each process has a copy of all that is known, so a look costs nothing.  What it finds
out is changed in the copy at once, then in the store: there the same function makes of
what is known by then what is known afterwards (L{umbcmail.hoststatus}), so that of many
who want to probe a host one may.  The store numbers the changes; a copy takes only what
is not older than what it has.  Of a host that nothing is wrong with any more that is kept
for a while, so that nobody brings back what was before.

What can't be written is handed in later: the latest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.hoststatus import USUAL, HostStatus, unknown
from umbcmail.interfaces import IHosts
from umbcmail.sighting import StateError
from umbcmail.state.memoryhosts import hostFigures

TOGETHER = 500
"""Hosts that are handed in at the same time."""

Change = Callable[[HostStatus], HostStatus]
"""Makes of what is known what is known afterwards; may be called again and again."""


class Changed(NamedTuple):
    """What a store has done.

    @ivar number: of the last change of the host; or, of one that is not in the store,
        of the last change of all.
    """

    number: int
    before: HostStatus
    after: HostStatus


@implementer(IHosts)
class SharedHosts:
    """See L{IHosts} and the module.  A store adds L{_change} and L{listing}."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.waits = USUAL
        self._now = now
        self._copy: dict[str, tuple[int, HostStatus]] = {}
        self._unshared: set[str] = set()
        self._calls: list[Callable[[str], None]] = []
        self._isSharing = False

    def _change(self, host: str, change: Change) -> Deferred[Changed]:
        """Change what the store knows; nothing is written where nothing changes.

        @return: L{Deferred}; fails with L{StateError}.
        """
        raise NotImplementedError

    def listing(self, now: float) -> Deferred[list[HostStatus]]:
        """See L{IHosts.listing}."""
        raise NotImplementedError

    # The interface

    def find(self, host: str, now: float) -> HostStatus | None:
        """See L{IHosts.find}."""
        known = self._copy.get(host)
        return _wrong(known[1], now) if known is not None else None

    def whenBack(self, call: Callable[[str], None]) -> None:
        """See L{IHosts.whenBack}."""
        self._calls.append(call)

    def failed(self, host: str, why: str, now: float) -> Deferred[HostStatus]:
        """See L{IHosts.failed}."""
        known = self.find(host, now)
        if known is not None and known.afterFailure(why, now, self.waits) is known:
            return succeed(known)
        done = self._do(host, now, lambda status: status.afterFailure(why, now, self.waits))
        return done.addCallback(lambda changed: changed.after)

    def answered(self, host: str, now: float) -> Deferred[HostStatus | None]:
        """See L{IHosts.answered}."""
        done = self._do(host, now, lambda status: status.afterAnswer(now))
        return done.addCallback(lambda changed: _wrong(changed.before, now))

    def claimProbe(self, host: str, now: float, seconds: float) -> Deferred[bool]:
        """See L{IHosts.claimProbe}."""
        known = self.find(host, now)
        if known is not None and not known.mayProbe(now):
            return succeed(False)
        until = now + seconds

        def claim(status: HostStatus) -> HostStatus:
            return status.probedUntil(until) if not status.isFine and status.mayProbe(now) else status

        done = self._do(host, now, claim)
        return done.addCallback(lambda changed: changed.after is not changed.before or changed.after.isFine)

    def prolongProbe(self, host: str, now: float, seconds: float) -> Deferred[None]:
        """See L{IHosts.prolongProbe}."""
        until = now + seconds
        return self._do(host, now, lambda status: status.probedOn(now, until)).addCallback(lambda changed: None)

    def suspend(self, host: str, why: str, now: float) -> Deferred[None]:
        """See L{IHosts.suspend}."""
        done = self._tell(host, _current(now, lambda status: status.afterSuspension(why, now)))
        return done.addCallback(lambda changed: None)

    def resume(self, host: str) -> Deferred[bool]:
        """See L{IHosts.resume}."""
        now = self._now()
        done = self._tell(host, _current(now, lambda status: status.afterResumption(now)))
        return done.addCallback(lambda changed: _wrong(changed.before, now) is not None)

    def _do(self, host: str, now: float, change: Change) -> Deferred[Changed]:
        """Do it here, then where all see it.  @return: never fails for the store."""
        change = _current(now, change)
        number, before = self._copy.get(host) or (0, unknown(host))
        after = change(before)
        told = self._tell(host, change)
        if after is not before:
            self._set(number, after)
        return told.addErrback(self._alone, Changed(number, before, after))

    def _tell(self, host: str, change: Change) -> Deferred[Changed]:
        """Change what all know, which is the later of what the store has and what this
        process could not tell it."""
        if host not in self._unshared:
            return self._change(host, change).addCallback(self._shared)
        # Until there is an answer nobody knows whether what is heard has been made of ours.
        self._unshared.discard(host)
        own = self._copy[host][1]
        told = self._change(host, lambda status: change(status.newer(own))).addCallback(self._shared)

        def notTold(failure: Failure) -> Failure:
            failure.trap(StateError)
            self._mustShare(own)
            return failure

        return told.addErrback(notTold)

    def _shared(self, changed: Changed) -> Changed:
        self._heard(changed.number, changed.after)
        return changed

    def _alone(self, failure: Failure, here: Changed) -> Changed:
        failure.trap(StateError)
        if here.after is not here.before:
            self._mustShare(here.after)
        return here

    def _mustShare(self, own: HostStatus) -> None:
        # Something else may have been heard meanwhile, or all been loaded anew.
        number, known = self._copy.get(own.host) or (0, unknown(own.host))
        self._set(number, known.newer(own))
        if own.host in self._copy:
            self._unshared.add(own.host)

    # The copy

    def _heard(self, number: int, status: HostStatus) -> None:
        """What the store has.  What could not be written yet is later than that, or not."""
        known = self._copy.get(status.host)
        if known is None or known[0] <= number:
            self._set(number, status.newer(known[1]) if known and status.host in self._unshared else status)

    def _set(self, number: int, status: HostStatus) -> None:
        known = self._copy.get(status.host)
        if known is None and not status.last:
            return
        self._copy[status.host] = number, status
        if status.isFine and known is not None and not known[1].isFine:
            for call in self._calls:
                call(status.host)

    def _renew(self, found: Iterable[tuple[int, HostStatus]]) -> None:
        """All that a store has which this process has not followed: what it has lost, or
        could not be told, is handed in with the next L{share}."""
        was, self._copy = self._copy, {}
        for number, status in found:
            self._copy[status.host] = number, status
        for host, (_, own) in was.items():
            number, stored = self._copy.get(host) or (0, unknown(host))
            isLost = not stored.last and not own.isFine
            if isLost or host in self._unshared:
                self._copy[host] = number, stored.newer(own)
                self._unshared.add(host)
            if not own.isFine and (host not in self._copy or self._copy[host][1].isFine):
                for call in self._calls:
                    call(host)

    def purge(self, now: float) -> list[HostStatus]:
        """Let go of what nobody needs any more.  @return: that."""
        gone = [status for _, status in self._copy.values() if status.isForgotten(now)]
        for status in gone:
            del self._copy[status.host]
            self._unshared.discard(status.host)
        return gone

    # What could not be written

    def share(self) -> None:
        """Hand in what the store does not know."""
        if self._isSharing or not self._unshared:
            return
        self._isSharing = True
        hosts = list(islice(self._unshared, TOGETHER))
        asked = [self._tell(host, lambda status: status).addErrback(_untold) for host in hosts]
        DeferredList(asked).addCallback(self._handedIn)

    def _handedIn(self, results: list[Any]) -> None:
        self._isSharing = False
        if all(changed for _, changed in results):
            self.share()  # there may be more

    # For who watches

    def figures(self) -> Iterable[Figure]:
        """How many hosts something is wrong with."""
        now = self._now()
        return hostFigures(status for _, status in self._copy.values() if not status.isForgotten(now))


def _wrong(status: HostStatus, now: float) -> HostStatus | None:
    """Something is wrong with a host."""
    return None if status.isFine or status.isForgotten(now) else status


def _untold(failure: Failure) -> None:
    """The store is away: later, then."""
    failure.trap(StateError)


def _current(now: float, change: Change) -> Change:
    """Of what has been forgotten nothing is known."""
    return lambda status: change(unknown(status.host) if status.isForgotten(now) else status)
