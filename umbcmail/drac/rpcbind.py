"""The messages of rpcbind and the portmapper (RFC 1833), as a client needs them.

Version 4 of rpcbind names transports by a netid and addresses by a text (C{udp},
C{192.0.2.1.78.133}: the last two numbers are the port); version 2, the portmapper, knows
port numbers of IPv4 only.  Pure functions; L{umbcmail.drac.registration} talks, and
L{umbcmail.drac.client} asks where a program listens (a port that is told need not be
right: the entries of programs that have ended stay).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail.drac.rpc import Reply
from umbcmail.drac.xdr import Reader, XDRError, packOpaque, packString, packUnsigned

PROGRAM = 100000
RPCBIND_VERSION = 4
PORTMAP_VERSION = 2
PORT = 111
SOCKET = "/run/rpcbind.sock"
SET = 1
UNSET = 2
GETPORT = 3
"""GETADDR of versions 3 and 4."""
DUMP = 4
CALLIT = 5
LIMIT = 256 * 1024
"""Octets that a listing may have."""
_UADDR_LIMIT = 128

_PROTOCOLS = {"tcp": 6, "udp": 17}
_NETIDS = {number: netid for netid, number in _PROTOCOLS.items()}
_PORTS = re.compile(r"(.*)\.([0-9]{1,3})\.([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a version of a program is to be found.

    @ivar netid: C{udp}, C{tcp}, C{udp6}, C{tcp6} and others.
    @ivar address: universal address.
    @ivar owner: who may remove it; of no use in questions.
    """

    program: int
    version: int
    netid: str
    address: str
    owner: str = ""

    @property
    def port(self) -> int:
        """The port, or 0 where there is none."""
        found = _PORTS.fullmatch(self.address)
        return int(found[2]) * 256 + int(found[3]) if found else 0


def universal(host: str, port: int) -> str:
    """A universal address (RFC 5665 section 5.2.3)."""
    return f"{host}.{port >> 8}.{port & 255}"


def encodeMapping(mapping: Mapping) -> bytes:
    """The arguments of SET, UNSET and GETADDR, version 4; of GETADDR also 3."""
    texts = (mapping.netid, mapping.address, mapping.owner)
    return packUnsigned(mapping.program, mapping.version) + b"".join(map(packString, texts))


def encodePort(mapping: Mapping) -> bytes:
    """The arguments of SET, UNSET and GETPORT, version 2."""
    return packUnsigned(mapping.program, mapping.version, _PROTOCOLS[mapping.netid], mapping.port)


def decodeMappings(octets: bytes) -> list[Mapping]:
    """The results of DUMP, version 4.

    @raise XDRError: they are none.
    """
    reader, found = Reader(octets), []
    while reader.boolean():
        numbers = reader.unsigned(), reader.unsigned()
        found.append(Mapping(*numbers, reader.string(255), reader.string(1024), reader.string(255)))
    return found


def decodePorts(octets: bytes) -> list[Mapping]:
    """The results of DUMP, version 2.

    @raise XDRError: they are none.
    """
    reader, found = Reader(octets), []
    while reader.boolean():
        program, version, protocol, port = (reader.unsigned() for _ in range(4))
        netid = _NETIDS.get(protocol, str(protocol))
        found.append(Mapping(program, version, netid, universal("0.0.0.0", port & 0xFFFF), "unknown"))
    return found


def encodeIndirect(program: int, version: int, procedure: int, arguments: bytes = b"") -> bytes:
    """The arguments of CALLIT, version 2: a call to be handed on."""
    return packUnsigned(program, version, procedure) + packOpaque(arguments)


# Where a program listens


def lookupVersions(isIPv6: bool) -> tuple[int, ...]:
    """Versions of the portmapper in the order to be tried.  Version 2 is there wherever
    there is any, but knows nothing of IPv6."""
    return (4, 3) if isIPv6 else (2, 4, 3)


def lookupArguments(mapper: int, program: int, version: int, transport: str, isIPv6: bool) -> bytes:
    """The arguments of the question.

    @param mapper: version of the portmapper.
    @param transport: C{"udp"} or C{"tcp"}.
    """
    if mapper == PORTMAP_VERSION:
        return encodePort(Mapping(program, version, transport, ""))
    return encodeMapping(Mapping(program, version, transport + ("6" if isIPv6 else ""), ""))


def portIn(mapper: int, reply: Reply) -> int:
    """The port in a reply that is a success; 0 when the program is not registered.

    @raise XDRError: there is none in it.
    """
    reader = Reader(reply.results)
    if mapper == PORTMAP_VERSION:
        port = reader.unsigned()
        if port > 65535:
            raise XDRError("not a port")
        return port
    address = reader.string(_UADDR_LIMIT)
    if not address:
        return 0
    try:
        high, low = address.split(".")[-2:]
        if not (high + low).isascii() or not high.isdigit() or not low.isdigit() or int(high) > 255 or int(low) > 255:
            raise ValueError
    except ValueError:
        raise XDRError("not a universal address") from None
    return int(high) * 256 + int(low)
