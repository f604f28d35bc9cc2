"""What a process knows of the roster, so that it need not ask the file each time.

An entry comes in when this process has added it, or has found it in the file.  It holds
until it expires, or until its removal is seen: one of this process at once, one of
another when the removals are read the next time.  What is not here is not known, so it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from umbcmail.sighting import Sighting
from umbcmail.state.rows import KEPT


class Known:
    """The entries.

    @ivar read: number of the last removal of those that have been read in order.
    """

    def __init__(self) -> None:
        self.read = 0
        self._last = 0  # the last removal that has been heard of
        self._readAt = 0.0
        self._entries: dict[str, Sighting] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, removal: int, now: float) -> None:
        """Nothing is known, so earlier removals than this one do not matter."""
        self.read = self._last = removal
        self._readAt = now

    def get(self, address: str, now: float) -> Sighting | None:
        """An entry that has not expired."""
        known = self._entries.get(address)
        return known if known is not None and known.expires > now else None

    def put(self, sighting: Sighting, removal: int) -> None:
        """What is in the file.  It may have been removed while this was on its way.

        @param removal: number of the last one before it was so.
        """
        known = self._entries.get(sighting.address)
        if removal >= self._last and (known is None or known.expires <= sighting.expires):
            self._entries[sighting.address] = sighting

    def removed(self, address: str, removal: int) -> None:
        """This process has removed an address."""
        self._last = max(self._last, removal)
        self._entries.pop(address, None)

    def catchUp(self, removals: Iterable[tuple[int, str]], now: float) -> None:
        """The removals behind L{read}, by all processes."""
        if now - self._readAt > KEPT / 2:
            self._entries.clear()  # this process has slept, and may have missed some
        self._readAt = now
        for number, address in removals:
            self.read = number
            self.removed(address, number)

    def sweep(self, now: float) -> None:
        """Forget what has expired."""
        for address in [each.address for each in self._entries.values() if each.expires <= now]:
            del self._entries[address]
