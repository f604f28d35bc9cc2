"""Record marking: how RPC messages stand in a stream (RFC 5531 section 11).

A record is one or more fragments, each behind four octets: a bit that says whether it
is the last one, and its length.  Used on TCP and on the socket of rpcbind, by servers
and clients; a record that gets too large spoils its stream for good.
"""

from __future__ import annotations

from umbcmail.drac.rpc import LARGEST_CALL

_LAST = 0x8000_0000


def mark(message: bytes) -> bytes:
    """A message as a record of one fragment."""
    return (_LAST | len(message)).to_bytes(4, "big") + message


class Records:
    """Finds the records in a stream, however it is cut.

    An empty fragment may only be the last of its record: a header of four zero octets
    ends the stream, as it does with other servers, since a record could be made of
    them for ever.  Memory: the limit, and what L{feed} is given.

    @ivar problem: why the stream can't be gone on with, or C{""}.
    """

    def __init__(self, limit: int = LARGEST_CALL) -> None:
        """
        @param limit: octets that a record may have.
        """
        self.problem = ""
        self._limit = limit
        self._waiting = b""
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def isInside(self) -> bool:
        """A record has begun and not ended."""
        return bool(self._waiting or self._parts)

    def feed(self, octets: bytes) -> list[bytes]:
        """Octets have arrived.

        @return: the messages that are complete now; none once there is a problem:
            a fragment that makes its record too large, or is empty and not the last.
        """
        if self.problem:
            return []
        data = self._waiting + octets if self._waiting else octets
        found: list[bytes] = []
        at = 0
        while len(data) - at >= 4:
            header = int.from_bytes(data[at : at + 4], "big")
            length = header & ~_LAST
            if not header or self._size + length > self._limit:
                self.problem = f"a record of more than {self._limit} octets" if header else "an empty fragment"
                self._waiting = b""
                self._parts.clear()
                return found
            end = at + 4 + length
            if end > len(data):
                break
            part = data[at + 4 : end]
            at = end
            if not header & _LAST:
                self._parts.append(part)
                self._size += length
            elif self._parts:
                found.append(b"".join(self._parts) + part)
                self._parts.clear()
                self._size = 0
            else:
                found.append(part)
        self._waiting = data[at:]
        return found
