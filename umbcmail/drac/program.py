"""DRAC's program in ONC RPC: its numbers, and the arguments of its only procedure.

Version 1 takes an IPv4 address, version 2 (of Debian) an IPv6 address.  The interface
says C{char[16]} there, of which rpcgen makes a vector of integers: each octet takes
four, and where C{char} is signed, those over 0x7f are sign-extended.
"""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from umbcmail.clientaddress import clientAddress
from umbcmail.drac.xdr import XDRError

PROGRAM = 900101
VERSIONS = (1, 2)
NULL = 0
ADD = 1

# The answers of ADD
ADDED = 0
DENIED = 1
SYSTEM_ERROR = 2
UNKNOWN_ERROR = 3

STATUS = ("add succeeded", "permission denied", "system error", "unknown error")
"""What the answers mean."""

_SIXTEEN = struct.Struct(">16i")
_WORDS = struct.Struct(">16I")


def encodeAddress(address: str) -> tuple[int, bytes]:
    """The arguments of ADD for an address.

    @param address: IPv4 or IPv6, in any form; an IPv4-mapped one counts as IPv4.
    @return: version of the program, and the arguments as a genuine client writes
        them.
    @raise ValueError: it is none.
    """
    text = clientAddress(address)
    try:
        if ":" not in text:
            return 1, inet_pton(AF_INET, text)
        return 2, _SIXTEEN.pack(*[octet - 256 if octet > 127 else octet for octet in inet_pton(AF_INET6, text)])
    except OSError:
        raise ValueError(f"{address[:80]!r} is not an IP address") from None


def decodeAddress(version: int, arguments: bytes) -> str:
    """The address in the arguments of ADD; what stands behind it is ignored, as the
    genuine server does.

    @return: as L{clientAddress} writes it: an IPv4-mapped one becomes IPv4.
    @raise XDRError: they are too short.
    """
    if version == 1:
        if len(arguments) < 4:
            raise XDRError("no whole address")
        return "%d.%d.%d.%d" % (arguments[0], arguments[1], arguments[2], arguments[3])  # noqa: UP031 - the quickest way
    if len(arguments) < 64:
        raise XDRError("no whole address")
    octets = bytes(word & 0xFF for word in _WORDS.unpack_from(arguments))
    return clientAddress(inet_ntop(AF_INET6, octets))
