"""Packets of the milter protocol: what both sides of it share.  Pure.

There is no RFC; Sendmail's C{include/libmilter/mfdef.h} is the specification.  A packet
is its length (32 bits, most significant octet first), a letter, and data.  L{Packets}
cuts what arrives into them; `negotiation`, `commands` and `answers` make data of values
and back.  All is bytes: nothing here believes that headers or addresses are text.
"""

from __future__ import annotations

from collections.abc import Sequence

PACKET_LIMIT = 1024 * 1024
"""Octets of a packet that is received: libmilter sends 65,535 at the most, others more."""
DATA_LIMIT = 65535
"""Octets of data that libmilter reads; it closes the connection on more, so that no
more may be sent to a filter."""


class MilterError(ValueError):
    """The octets are not what the protocol allows; the connection is of no use any more."""


def packet(letter: bytes, data: bytes = b"") -> bytes:
    """A packet, ready to be sent."""
    return (len(data) + 1).to_bytes(4, "big") + letter + data


class Packets:
    """Cuts a stream into packets.

    @ivar isEmpty: nothing is left of a packet that has only begun.
    """

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = PACKET_LIMIT) -> None:
        """
        @param limit: octets that a packet may have, the letter and its data.
        """
        self._limit = limit
        self._rest = b""

    @property
    def isEmpty(self) -> bool:
        """See above."""
        return not self._rest

    def feed(self, octets: bytes) -> list[tuple[bytes, bytes]]:
        """Take what has arrived.

        @return: letter and data of each packet that is complete.
        @raise MilterError: a length is 0 or over the limit.  Packets before it are
            lost, and nothing may be fed any more.
        """
        stream = self._rest + octets if self._rest else octets
        found = []
        at, end = 0, len(stream)
        while end - at >= 4:
            length = int.from_bytes(stream[at : at + 4], "big")
            if not 0 < length <= self._limit:
                raise MilterError(f"a packet with a length of {length}")
            if end - at - 4 < length:
                break
            found.append((stream[at + 4 : at + 5], stream[at + 5 : at + 4 + length]))
            at += 4 + length
        self._rest = stream[at:] if at else stream
        return found


def packStrings(strings: Sequence[bytes]) -> bytes:
    """Strings, one at least, each with a NUL behind it.

    @raise MilterError: there is a NUL in one.
    """
    data = b"\0".join(strings) + b"\0"
    if data.count(b"\0") != len(strings):
        raise MilterError("a string with a NUL")
    return data


def readStrings(data: bytes) -> list[bytes]:
    """All strings in some data.

    @raise MilterError: the last has no NUL behind it.
    """
    if not data:
        return []
    if data[-1]:
        raise MilterError("a string without its NUL")
    return data[:-1].split(b"\0")


def readNumber(data: bytes) -> tuple[int, bytes]:
    """A number of 32 bits, and what stands behind it.

    @raise MilterError: there are no four octets.
    """
    if len(data) < 4:
        raise MilterError("the data ends too soon")
    return int.from_bytes(data[:4], "big"), data[4:]
