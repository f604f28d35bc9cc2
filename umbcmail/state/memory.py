"""State in memory: for tests and experiments, and the plainest picture of what the
other stores must do (C{tests/contracts/state.py}).

Several L{MemoryState}s may share one L{MemoryStore}, as processes share a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.hoststatus import HostStatus
from umbcmail.interfaces import ICounters, IRoster, IState, IWatched
from umbcmail.sighting import Sighting, StateError
from umbcmail.state.memoryhosts import MemoryHosts, hostFigures


class MemoryStore:
    """What outlives a process in this picture."""

    def __init__(self) -> None:
        self.sightings: dict[str, Sighting] = {}
        self.numbers: dict[tuple[str, str], tuple[float, float]] = {}
        self.hosts: dict[str, HostStatus] = {}
        self.calls: list[Callable[[str], None]] = []


class _Part:
    """The roster or the counters of a process.

    @ivar isOpen: the state has been started, and not stopped.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.isOpen = False
        self._sightings = store.sightings
        self._numbers = store.numbers

    def _checkOpen(self) -> None:
        if not self.isOpen:
            raise StateError("the state is not open")


@implementer(IRoster)
class MemoryRoster(_Part):
    """See L{IRoster}."""

    def add(self, sighting: Sighting, now: float) -> Deferred[bool]:
        """See L{IRoster.add}."""
        return execute(self._add, sighting, now)

    def _add(self, sighting: Sighting, now: float) -> bool:
        self._checkOpen()
        known = self._sightings.get(sighting.address)
        isNew = known is None or known.expires <= now
        if known is not None and known.expires > sighting.expires:
            sighting = replace(sighting, expires=known.expires)
        self._sightings[sighting.address] = sighting
        return isNew

    def find(self, address: str, now: float) -> Sighting | None:
        """See L{IRoster.find}; at once."""
        self._checkOpen()
        known = self._sightings.get(address)
        return known if known is not None and known.expires > now else None

    def remove(self, address: str) -> Deferred[bool]:
        """See L{IRoster.remove}."""
        return execute(self._remove, address)

    def _remove(self, address: str) -> bool:
        self._checkOpen()
        return self._sightings.pop(address, None) is not None

    def listing(self, now: float) -> Deferred[list[Sighting]]:
        """See L{IRoster.listing}."""
        return execute(self._listing, now)

    def _listing(self, now: float) -> list[Sighting]:
        self._checkOpen()
        found = [each for each in self._sightings.values() if each.expires > now]
        return sorted(found, key=lambda each: each.address)


@implementer(ICounters)
class MemoryCounters(_Part):
    """See L{ICounters}."""

    def add(self, name: str, key: str, number: float, halfLife: float, now: float) -> Deferred[float]:
        """See L{ICounters.add}."""
        return execute(self._add, name, key, number, halfLife, now)

    def _add(self, name: str, key: str, number: float, halfLife: float, now: float) -> float:
        self._checkOpen()
        last, when = self._numbers.get((name, key), (0.0, now))
        left = max(0.0, last * 0.5 ** (max(0.0, now - when) / halfLife) + number)
        self._numbers[name, key] = (left, max(now, when))
        return left

    def forget(self, name: str, key: str) -> Deferred[None]:
        """See L{ICounters.forget}."""
        return execute(self._forget, name, key)

    def _forget(self, name: str, key: str) -> None:
        self._checkOpen()
        self._numbers.pop((name, key), None)


@implementer(IState, IWatched)
class MemoryState:
    """See L{IState}."""

    name = "state"

    def __init__(self, store: MemoryStore | None = None) -> None:
        store = store or MemoryStore()
        self._store = store
        self.roster = MemoryRoster(store)
        self.counters = MemoryCounters(store)
        self.hosts = MemoryHosts(store.hosts, store.calls)
        self.hosts.isOpen = False

    def start(self) -> Deferred[None]:
        """See L{IState.start}."""
        self.roster.isOpen = self.counters.isOpen = self.hosts.isOpen = True
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See L{IState.stop}."""
        self.roster.isOpen = self.counters.isOpen = self.hosts.isOpen = False
        return succeed(None)

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("state_roster_entries", len(self._store.sightings), "Addresses in the roster.")
        yield from hostFigures(self._store.hosts.values())
