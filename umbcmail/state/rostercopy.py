"""A copy of the roster, made of what is published about it: pure.

News are lists such as C{["add", address, expires, reporter]} and C{["remove", address]}.
"""

from __future__ import annotations

from collections.abc import Iterable

from umbcmail.sighting import Sighting


class Copy:
    """What a process knows of the roster.

    @ivar entries: by address, some of which may have expired.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Sighting] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, address: str, now: float) -> Sighting | None:
        """An entry that has not expired."""
        known = self.entries.get(address)
        return known if known is not None and known.expires > now else None

    def add(self, sighting: Sighting) -> None:
        """Never shorter than it was."""
        known = self.entries.get(sighting.address)
        if known is not None and known.expires > sighting.expires:
            sighting = Sighting(sighting.address, known.expires, sighting.reporter)
        self.entries[sighting.address] = sighting

    def hear(self, news: Iterable[list[str]]) -> None:
        """Do what Redis has done."""
        for kind, address, *rest in news:
            if kind == "add":
                self.add(Sighting(address, float(rest[0]), rest[1]))
            else:
                self.entries.pop(address, None)

    def beyond(self, other: Copy, now: float, among: Iterable[str] | None = None) -> list[Sighting]:
        """What the other one does not have, or not for as long.

        @param among: addresses that are looked at; not given: all.
        """
        known, entries = other.entries, self.entries
        return [
            each
            for each in (entries.values() if among is None else [entries[a] for a in among if a in entries])
            if each.expires > now and (each.address not in known or known[each.address].expires < each.expires)
        ]

    def purge(self, now: float) -> None:
        """Let go of what has expired."""
        gone = [address for address, each in self.entries.items() if each.expires <= now]
        for address in gone:
            del self.entries[address]
