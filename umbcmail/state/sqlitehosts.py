"""The hosts that do not answer, in the state of this host.

The copy follows the file by the numbers of the changes: at each look what is behind the
last one is read, and that is nothing most of the time.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from umbcmail.hoststatus import HostStatus
from umbcmail.sighting import StateError
from umbcmail.state import hostrows
from umbcmail.state.database import Database
from umbcmail.state.files import NUMBERS
from umbcmail.state.sharedhosts import Change, Changed, SharedHosts


class SqliteHosts(SharedHosts):
    """See L{SharedHosts}.

    @ivar isOpen: the state has been started, and not stopped.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.isOpen = False
        self._database = database
        self._read = -1

    def _change(self, host: str, change: Change) -> Deferred[Changed]:
        """See L{SharedHosts._change}; in the thread that writes."""
        return self._database.write(hostrows.change, host, change) if self.isOpen else fail(_closed())

    def listing(self, now: float) -> Deferred[list[HostStatus]]:
        """See L{IHosts.listing}."""
        if not self.isOpen:
            return fail(_closed())
        return self._database.read(hostrows.changes, -1).addCallback(_listed, now)

    def look(self) -> Deferred[None]:
        """Read what others have changed.  @return: L{Deferred}; fails with L{StateError}."""
        return self._database.read(hostrows.changes, self._read).addCallback(self._caughtUp)

    def _caughtUp(self, found: tuple[int, list[tuple[int, HostStatus]]]) -> None:
        last, changes = found
        if last // NUMBERS != self._read // NUMBERS:
            self._renew(changes)  # another file has been begun, or this is the first look
        for number, status in changes:
            self._heard(number, status)
        self._read = last
        if self.isOpen:
            self.share()


def _listed(found: tuple[int, list[tuple[int, HostStatus]]], now: float) -> list[HostStatus]:
    wrong = [status for _, status in found[1] if not status.isFine and not status.isForgotten(now)]
    return sorted(wrong, key=lambda status: status.host)


def _closed() -> StateError:
    return StateError("the state is not open")
