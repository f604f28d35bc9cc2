"""Where a program listens: what is asked of a portmapper or rpcbind (RFC 1833).

Pure: arguments and results of procedure 3 (GETPORT of version 2, GETADDR of 3 and 4).
Used by the client where no port is given.  A port that is told need not be right: the
entries of programs that have ended stay.
"""

from __future__ import annotations

from umbcmail.drac.rpc import Reply
from umbcmail.drac.xdr import Reader, XDRError, packString, packUnsigned

PORTMAPPER = 100000
PORTMAPPER_PORT = 111
GET = 3
_PROTOCOLS = {"udp": 17, "tcp": 6}
_UADDR_LIMIT = 128


def lookupVersions(isIPv6: bool) -> tuple[int, ...]:
    """Versions of the portmapper in the order to be tried.  Version 2 is there wherever
    there is any, but knows nothing of IPv6."""
    return (4, 3) if isIPv6 else (2, 4, 3)


def lookupArguments(mapper: int, program: int, version: int, transport: str, isIPv6: bool) -> bytes:
    """The arguments of the question.

    @param mapper: version of the portmapper.
    @param transport: C{"udp"} or C{"tcp"}.
    """
    if mapper == 2:
        return packUnsigned(program, version, _PROTOCOLS[transport], 0)
    netid = transport + ("6" if isIPv6 else "")
    return packUnsigned(program, version) + packString(netid) + packString("") + packString("")


def portIn(mapper: int, reply: Reply) -> int:
    """The port in a reply that is a success; 0 when the program is not registered.

    @raise XDRError: there is none in it.
    """
    reader = Reader(reply.results)
    if mapper == 2:
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
