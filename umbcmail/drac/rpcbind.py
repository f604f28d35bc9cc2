"""The messages of rpcbind and the portmapper (RFC 1833), as a client needs them.

Version 4 of rpcbind names transports by a netid and addresses by a text (C{udp},
C{192.0.2.1.78.133}: the last two numbers are the port); version 2, the portmapper, knows
port numbers of IPv4 only.  Pure functions; L{umbcmail.drac.registration} talks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail.drac.xdr import Reader, packOpaque, packString, packUnsigned

PROGRAM = 100000
RPCBIND_VERSION = 4
PORTMAP_VERSION = 2
PORT = 111
SOCKET = "/run/rpcbind.sock"
SET = 1
UNSET = 2
GETPORT = 3
DUMP = 4
CALLIT = 5
LIMIT = 256 * 1024
"""Octets that a listing may have."""

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
    """The arguments of SET and UNSET, version 4."""
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
