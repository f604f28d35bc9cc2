"""XDR, the external data representation (RFC 4506): octets from values and back.

Only the few types that ONC RPC, DRAC and rpcbind need.  Packing gives C{bytes} to be
joined; reading is done by a L{Reader}, which never reads beyond its octets and raises
L{XDRError}, whatever it is given.
"""

from __future__ import annotations

import struct


class XDRError(ValueError):
    """The octets are not what was to be read."""


def packUnsigned(*numbers: int) -> bytes:
    """Unsigned integers of 32 bits, which enumerations are too (section 4.2)."""
    return struct.pack(f">{len(numbers)}I", *numbers)


def packBoolean(value: bool) -> bytes:
    """A boolean (section 4.4)."""
    return b"\0\0\0\1" if value else b"\0\0\0\0"


def packOpaque(octets: bytes) -> bytes:
    """Opaque data of variable length (section 4.10)."""
    return len(octets).to_bytes(4, "big") + octets + bytes(-len(octets) % 4)


def packString(text: str) -> bytes:
    """A string (section 4.11)."""
    return packOpaque(text.encode("utf-8", "surrogateescape"))


class Reader:
    """Reads one value after the other.

    @ivar at: octets that have been read.
    """

    def __init__(self, octets: bytes, at: int = 0) -> None:
        self._octets = octets
        self.at = at

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._octets):
            raise XDRError("the octets end too soon")
        taken = self._octets[self.at : end]
        self.at = end
        return taken

    def unsigned(self) -> int:
        """An unsigned integer, or an enumeration."""
        return int.from_bytes(self._take(4), "big")

    def boolean(self) -> bool:
        """A boolean; no other number than 0 and 1 is one."""
        number = self.unsigned()
        if number > 1:
            raise XDRError("not a boolean")
        return number == 1

    def opaque(self, limit: int) -> bytes:
        """Opaque data of variable length; what it is padded with does not matter.

        @param limit: octets that it may have.
        """
        length = self.unsigned()
        if length > limit:
            raise XDRError(f"more than {limit} octets")
        return self._take(length + -length % 4)[:length]

    def string(self, limit: int) -> str:
        """A string; octets that are not UTF-8 stay as surrogates.

        @param limit: octets that it may have.
        """
        return self.opaque(limit).decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        """All that has not been read."""
        return self._take(len(self._octets) - self.at)
