"""What we say to a next hop, and what it offers in its EHLO reply.  Pure.

Addresses go out verbatim.  One that could end the command early or be read as
more than an address is not sent at all (C{wireAddress} gives L{None}): a parser
that repairs it would send the mail to somebody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WIDE = "\u00a0-\ud7ff\ue000-\U0010ffff"
_PLAIN = re.compile(f"[!#-;=?-~{_WIDE}]+")
_QUOTED = re.compile(rf'"(?:[ !#-\[\]-~{_WIDE}]|\\[ -~])*"@[!#-;=?-~{_WIDE}]+')


def wireAddress(address: str) -> bytes | None:
    """An address as it goes between angle brackets.

    @param address: without brackets.
    @return: its octets; L{None} if it has control characters, blanks outside of
        quotes, or angle brackets or quotes where they can't be.
    """
    if _PLAIN.fullmatch(address) or _QUOTED.fullmatch(address):
        return address.encode()
    return None


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the server offers (RFC 5321 section 4.1.1.1).

    @ivar pipelining: RFC 2920.
    @ivar size: SIZE, RFC 1870.
    @ivar sizeLimit: octets, 0 for no known limit.
    @ivar eightBit: 8BITMIME, RFC 6152.
    @ivar smtputf8: RFC 6531.
    @ivar starttls: RFC 3207.
    """

    pipelining: bool = False
    size: bool = False
    sizeLimit: int = 0
    eightBit: bool = False
    smtputf8: bool = False
    starttls: bool = False


def parseExtensions(lines: list[bytes]) -> Extensions:
    """Read an EHLO reply; the first line is the server's name, and lines that
    make no sense are passed over.  Keywords are in any case."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        words = line.split()
        if words:
            found.setdefault(words[0].upper(), words[1:])
    limit = found.get(b"SIZE", [])
    return Extensions(
        pipelining=b"PIPELINING" in found,
        size=b"SIZE" in found,
        sizeLimit=int(limit[0]) if limit and limit[0].isdigit() and len(limit[0]) <= 20 else 0,
        eightBit=b"8BITMIME" in found,
        smtputf8=b"SMTPUTF8" in found,
        starttls=b"STARTTLS" in found,
    )


def mailCommand(sender: bytes, size: int, eightBit: bool, wide: bool, offered: Extensions) -> bytes:
    """The MAIL command (RFC 5321 section 4.1.1.2), with the parameters that the
    server knows.  8-bit content goes without C{BODY=8BITMIME} to a server that
    does not offer it: converting it is not done here.

    @param eightBit: declared as 8BITMIME by the client.
    @param wide: SMTPUTF8 is needed; the caller has seen to it that it is offered.
    """
    command = b"MAIL FROM:<%b>" % sender
    if offered.size:
        command += b" SIZE=%d" % size
    if eightBit and offered.eightBit:
        command += b" BODY=8BITMIME"
    if wide:
        command += b" SMTPUTF8"
    return command + b"\r\n"


def rcptCommand(recipient: bytes) -> bytes:
    """The RCPT command (RFC 5321 section 4.1.1.3)."""
    return b"RCPT TO:<%b>\r\n" % recipient
