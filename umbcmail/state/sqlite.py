"""The state in a folder of this host, shared by all processes that use the folder.

Made by the service for C{state.url = "sqlite:/folder"}.  An add is answered when the
kernel has it, so it survives whatever happens to the process; at most L{LOOK} seconds
later it is being brought to the disk, so that is what a loss of power may cost.  What
this process knows of an address is answered at once (`known`); what it does not know is
asked of the file, so adds of other processes are seen at once, and their removals after
L{LOOK} seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import ICounters, IRoster, IState, IWatched
from umbcmail.maillog import MailLog
from umbcmail.sighting import Sighting, StateError
from umbcmail.state import rows
from umbcmail.state.database import Database
from umbcmail.state.known import Known
from umbcmail.state.sqlitehosts import SqliteHosts

LOOK = 0.5
"""Seconds between two looks at what other processes have removed, and two checkpoints."""
SWEEP = 60.0
"""Seconds between two sweeps."""
PORTION = 1000
"""Addresses that are swept in one transaction."""
SHOWN = 3600.0
"""Seconds for which it is shown that a damaged file was set aside."""


def _closed() -> StateError:
    return StateError("the state is not open")


@implementer(IRoster)
class SqliteRoster:
    """See L{IRoster}."""

    def __init__(self, state: SqliteState) -> None:
        self._state = state
        self._database = state.database
        self._known = state.known

    def add(self, sighting: Sighting, now: float) -> Deferred[bool]:
        """See L{IRoster.add}."""
        if not self._state.isOpen:
            return fail(_closed())
        return self._database.add(sighting, now).addCallback(self._added)

    def _added(self, result: tuple[bool, Sighting, int]) -> bool:
        isNew, sighting, removal = result
        self._known.put(sighting, removal)
        return isNew

    def find(self, address: str, now: float) -> Sighting | Deferred[Sighting | None] | None:
        """See L{IRoster.find}; at once what is known here."""
        if not self._state.isOpen:
            raise _closed()
        known = self._known.get(address, now)
        if known is not None:
            return known
        return self._database.read(rows.find, address).addCallback(self._found, now)

    def _found(self, result: tuple[Sighting | None, int], now: float) -> Sighting | None:
        sighting, removal = result
        if sighting is None or sighting.expires <= now:
            return None
        self._known.put(sighting, removal)
        return sighting

    def remove(self, address: str) -> Deferred[bool]:
        """See L{IRoster.remove}."""
        if not self._state.isOpen:
            return fail(_closed())
        done = self._database.write(rows.remove, address, self._state.now())
        return done.addCallback(self._removed, address)

    def _removed(self, result: tuple[bool, int], address: str) -> bool:
        wasThere, removal = result
        self._known.removed(address, removal)
        return wasThere

    def listing(self, now: float) -> Deferred[list[Sighting]]:
        """See L{IRoster.listing}."""
        return self._database.read(rows.listing, now) if self._state.isOpen else fail(_closed())


@implementer(ICounters)
class SqliteCounters:
    """See L{ICounters}."""

    def __init__(self, state: SqliteState) -> None:
        self._state = state
        self._database = state.database

    def add(self, name: str, key: str, number: float, halfLife: float, now: float) -> Deferred[float]:
        """See L{ICounters.add}."""
        if not self._state.isOpen:
            return fail(_closed())
        return self._database.write(rows.countUp, name, key, number, halfLife, now)

    def forget(self, name: str, key: str) -> Deferred[None]:
        """See L{ICounters.forget}."""
        return self._database.write(rows.forget, name, key) if self._state.isOpen else fail(_closed())


@implementer(IState, IWatched)
class SqliteState:
    """See L{IState}.

    @ivar isOpen: it has been started, and not stopped.
    @param folder: where it is; made with mode 0700 if it is missing.
    @param log: for what does not work.
    """

    name = "state"

    def __init__(self, folder: str, reactor: Any, log: MailLog | None = None) -> None:
        self.isOpen = False
        self.known = Known()
        self.database = Database(folder, reactor, self._setAside, self._bug)
        self.roster = SqliteRoster(self)
        self.counters = SqliteCounters(self)
        self.now = reactor.seconds
        self.hosts = SqliteHosts(self.database, lambda: self.now())
        self._log = log
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._entries: int | None = None
        self._sweepAt = 0.0
        self._isSweeping = False
        self._aside = ("", 0.0)
        self._asideCount = 0

    def start(self) -> Deferred[None]:
        """See L{IState.start}."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self.database.start()
        try:
            self.known.begin(await self.database.read(rows.lastRemoval), self.now())
            await self.hosts.look()
        except BaseException:
            await self.database.stop()
            raise
        self.isOpen = self.hosts.isOpen = True
        self._sweepAt = self.now() + SWEEP
        self._loop.start(LOOK).addErrback(self._bug)

    def stop(self) -> Deferred[None]:
        """See L{IState.stop}."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if not self.isOpen:
            return
        self.isOpen = self.hosts.isOpen = False
        self._loop.stop()
        await self.database.stop()

    def _bug(self, failure: Failure) -> None:
        if self._log is not None:
            self._log.bug("-", "state", failure)

    def _setAside(self, path: str, why: str) -> None:
        self._aside = (path, self.now())
        self._asideCount += 1
        if self._log is not None:
            self._log.trouble("-", "state", f"{path} is damaged ({why}); a new one is begun, what was in it is lost")

    # From time to time

    def _look(self) -> None:
        # An error shows in the condition, and the next look tries again.
        database, now = self.database, self.now()
        read = database.read(rows.removals, self.known.read)
        read.addCallbacks(self._caughtUp, lambda failure: failure.trap(StateError)).addErrback(self._bug)
        self.hosts.look().addErrback(lambda failure: failure.trap(StateError)).addErrback(self._bug)
        kept = database.checkpoint()
        kept.addCallbacks(self._counted, lambda failure: failure.trap(StateError)).addErrback(self._bug)
        if database.writer.problem:
            database.write(rows.probe, now).addErrback(lambda failure: failure.trap(StateError))
        if now >= self._sweepAt and not self._isSweeping:
            self._sweepAt = now + SWEEP
            self._isSweeping = True
            Deferred.fromCoroutine(self._sweep(now)).addErrback(self._bug)

    def _caughtUp(self, removals: list[tuple[int, str]]) -> None:
        self.known.catchUp(removals, self.now())

    def _counted(self, entries: int | None) -> None:
        if entries is not None:
            self._entries = entries

    async def _sweep(self, now: float) -> None:
        """Forget what has expired, in portions, so that nobody waits for long."""
        try:
            self.known.sweep(now)
            self.hosts.purge(now)
            addresses = [""] * PORTION
            while len(addresses) == PORTION and self.isOpen:
                addresses = await self.database.keep(rows.expired, now, PORTION)
                if self.isOpen:
                    await self.database.write(rows.sweep, addresses, now)
        except StateError:
            pass
        finally:
            self._isSweeping = False

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        found = []
        database = self.database
        path, since = self._aside
        if database.writer.problem:
            found.append(f"can't be written: {database.writer.problem}; logins that are told now are not remembered")
        if database.reader.problem:
            found.append(f"can't be read: {database.reader.problem}; what this process knows holds until it expires")
        if database.keeper.problem:
            found.append(f"does not get to the disk: {database.keeper.problem}")
        if path and self.now() - since < SHOWN:
            found.append(f"{path} was damaged, and what was in it is lost")
        return "; ".join(found)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        if self._entries is not None:
            yield Figure("state_roster_entries", self._entries, "Addresses in the roster.")
        yield Figure("state_roster_known", len(self.known), "Addresses that are found without a look into the file.")
        yield from self.hosts.figures()
        yield Figure("state_transactions_total", self.database.count, "Transactions that were written.", (), True)
        yield Figure("state_damaged_total", self._asideCount, "Damaged files that were set aside.", (), True)
