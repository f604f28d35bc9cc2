"""The PROXY protocol, versions 1 and 2: whom a load balancer speaks for.  Pure.

Written after HAProxy's C{proxy-protocol.txt}.  `arrival` gives it what has come
on a new connection until it has a header or an error.  A header that can't become
one any more is an error at once, however short what has come is, so that nobody
waits for the rest of a line that is none.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from umbcmail.clientaddress import clientAddress

LINE_LIMIT = 107
"""Octets of a header of version 1, with its CRLF (section 2.1)."""
BLOCK_LIMIT = 8192
"""Octets behind the fixed part of a header of version 2 that we take: addresses
and what a balancer may add about TLS."""

_START = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = 16
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_SIZES = {0x11: 12, 0x21: 36, 0x31: 216, 0x32: 216, 0x12: 12, 0x22: 36}
"""Octets of the addresses, by family and protocol (section 2.2)."""


class ProxyError(ValueError):
    """This is no PROXY header; C{str(error)} says why, for the log."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header.

    @ivar address: of the client (see L{clientAddress}); C{""} when the connection is the
        balancer's own (a health check), or it can't tell.
    @ivar port: of the client.
    @ivar length: octets of the header; what follows is the client's.
    """

    address: str
    port: int
    length: int


def parseProxy(data: bytes) -> ProxyHeader | None:
    """Look for a header at the beginning of a connection.

    @param data: all that has come so far.
    @return: L{None} when more is needed.
    @raise ProxyError: there is no header, and there will be none.
    """
    if data[:1] == _START[:1]:
        return _parseLine(data)
    if data[: len(_SIGNATURE)] != _SIGNATURE[: len(data)]:
        raise ProxyError("no PROXY header")
    return _parseBlock(data)


def _parseLine(data: bytes) -> ProxyHeader | None:
    """Version 1 (section 2.1)."""
    if data[: len(_START)] != _START[: len(data)]:
        raise ProxyError("no PROXY header")
    end = data.find(b"\r\n", 0, LINE_LIMIT)
    if end < 0:
        if len(data) >= LINE_LIMIT:
            raise ProxyError("the line is too long")
        if b"\n" in data or b"\r" in data[:-1]:
            raise ProxyError("the line does not end with CRLF")
        return None
    if b"\n" in data[:end] or b"\r" in data[:end]:
        raise ProxyError("the line does not end with CRLF")
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyError("the line is not ASCII") from None
    if words[1] == "UNKNOWN":  # what follows is to be ignored
        return ProxyHeader("", 0, end + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("not the words of a PROXY line")
    source, _ = (_address(words[1], word) for word in words[2:4])
    port, _ = (_port(word) for word in words[4:6])
    return ProxyHeader(source, port, end + 2)


def _address(family: str, text: str) -> str:
    try:
        if family == "TCP4":
            return str(ipaddress.IPv4Address(text))
        if "%" not in text:
            return clientAddress(str(ipaddress.IPv6Address(text)))
    except ValueError:
        pass
    raise ProxyError("not an address of its family")


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ProxyError("not a port")
    return int(text)


def _parseBlock(data: bytes) -> ProxyHeader | None:
    """Version 2 (section 2.2); what stands behind the addresses is skipped."""
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise ProxyError("not a version and command that are known")
    isLocal = data[12:13] == b"\x20"
    if len(data) > 13 and not isLocal and data[13] != 0 and data[13] not in _SIZES:
        raise ProxyError("not a family and protocol that are known")
    if len(data) < _FIXED:
        return None
    size = int.from_bytes(data[14:16])
    if size > BLOCK_LIMIT:
        raise ProxyError("the block is too long")
    family = 0 if isLocal else data[13]
    if size < _SIZES.get(family, 0):
        raise ProxyError("the block is too short for its addresses")
    if family & 0x0F == 2:
        raise ProxyError("not a stream")
    length = _FIXED + size
    if len(data) < length:
        return None
    if family == 0x11:
        return ProxyHeader(str(ipaddress.IPv4Address(data[16:20])), int.from_bytes(data[24:26]), length)
    if family == 0x21:
        return ProxyHeader(clientAddress(str(ipaddress.IPv6Address(data[16:32]))), int.from_bytes(data[48:50]), length)
    return ProxyHeader("", 0, length)
