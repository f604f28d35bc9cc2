"""Reads from a ticket cache when the ticket for the KDC ends.

The format is that of MIT Kerberos, version 4, which Heimdal writes too (MIT Kerberos
documentation, "Credential cache file format").  Pure but for L{ticketIn}.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

VERSION = b"\x05\x04"
LIMIT = 1 << 20
"""Octets of a file."""


class BadCache(Exception):
    """It is none that we can read; says why."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket for the KDC.

    @ivar principal: whose it is, with the realm.
    @ivar begins: when it was given, by the clock of the KDC; seconds since 1970.
    @ivar ends: when it ends.
    """

    principal: str
    begins: float
    ends: float


class _Reader:
    """Takes values off some octets."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Some octets.  @raise BadCache: there are not so many."""
        end = self._at + size
        if end > len(self._data):
            raise BadCache("it ends too early")
        found, self._at = self._data[self._at : end], end
        return found

    def number(self, form: str = ">I") -> int:
        """A number."""
        (found,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(found)

    def text(self) -> str:
        """Octets with their number before them."""
        return self.take(self.number()).decode("utf-8", "replace")

    def principal(self) -> str:
        """A principal as one writes it."""
        self.number()
        count = self.number()
        realm = self.text()
        return "/".join([self.text() for _ in range(count)]) + f"@{realm}"

    def skipPairs(self) -> None:
        """Addresses, or data of authorization."""
        for _ in range(self.number()):
            self.number(">H")
            self.text()

    @property
    def isAtEnd(self) -> bool:
        """There is no more."""
        return self._at == len(self._data)


def parse(data: bytes) -> Ticket:
    """The ticket for the KDC of the cache's owner, that which ends last.

    @raise BadCache: there is none, or this is no cache.
    """
    reader = _Reader(data)
    if reader.take(2) != VERSION:
        raise BadCache("it is no ticket cache of version 4")
    reader.take(reader.number(">H"))
    owner = reader.principal()
    realm = owner.rpartition("@")[2]
    found: Ticket | None = None
    while not reader.isAtEnd:
        reader.principal()
        server = reader.principal()
        reader.number(">H")
        reader.text()
        given, begins, ends, _ = [reader.number() for _ in range(4)]
        reader.take(5)
        reader.skipPairs()
        reader.skipPairs()
        reader.text()
        reader.text()
        if server == f"krbtgt/{realm}@{realm}" and (found is None or ends > found.ends):
            found = Ticket(owner, float(begins or given), float(ends))
    if found is None:
        raise BadCache("there is no ticket for the KDC in it")
    return found


def ticketIn(path: str) -> Ticket:
    """The ticket in a file.

    @raise BadCache: there is none, or it can't be read.
    """
    try:
        with open(path, "rb") as file:
            return parse(file.read(LIMIT))
    except OSError as why:
        raise BadCache(str(why.strerror)) from None
