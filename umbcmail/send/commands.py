"""What we say to a next hop, and what it offers in its EHLO reply.  Pure.

Addresses go out verbatim.  One that could end the command early or be read as
more than an address is not sent at all (C{wireAddress} gives L{None}): a parser
that repairs it would send the mail to somebody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail.address import toXtext

_WIDE = "\u00a0-\ud7ff\ue000-\U0010ffff"
_PLAIN = re.compile(f"[!#-;=?-~{_WIDE}]+")
_XTEXT = re.compile("[!-<>-~]+")
_NOTIFY = re.compile("[A-Z]+(?:,[A-Z]+)*")
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
    @ivar dsn: RFC 3461.
    @ivar requireTLS: RFC 8689.
    @ivar deliverBy: RFC 2852.
    @ivar leastBy: seconds that it needs to deliver in mode R, 0 where it does not say.
    @ivar chunking: BDAT, RFC 3030.
    @ivar binaryMime: likewise.
    @ivar actions: XPROGRAM and XFILE, which our local delivery agent has.
    """

    pipelining: bool = False
    size: bool = False
    sizeLimit: int = 0
    eightBit: bool = False
    smtputf8: bool = False
    starttls: bool = False
    dsn: bool = False
    requireTLS: bool = False
    deliverBy: bool = False
    leastBy: int = 0
    chunking: bool = False
    binaryMime: bool = False
    actions: bool = False


def parseExtensions(lines: list[bytes]) -> Extensions:
    """Read an EHLO reply; the first line is the server's name, and lines that
    make no sense are passed over.  Keywords are in any case."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        words = line.split()
        if words:
            found.setdefault(words[0].upper(), words[1:])
    limit = found.get(b"SIZE", [])
    least = b"".join(found.get(b"DELIVERBY", [])[:1]).partition(b",")[0]
    return Extensions(
        pipelining=b"PIPELINING" in found,
        size=b"SIZE" in found,
        sizeLimit=int(limit[0]) if limit and limit[0].isdigit() and len(limit[0]) <= 20 else 0,
        eightBit=b"8BITMIME" in found,
        smtputf8=b"SMTPUTF8" in found,
        starttls=b"STARTTLS" in found,
        dsn=b"DSN" in found,
        requireTLS=b"REQUIRETLS" in found,
        deliverBy=b"DELIVERBY" in found,
        leastBy=int(least) if least.isdigit() and len(least) <= 9 else 0,
        chunking=b"CHUNKING" in found,
        binaryMime=b"BINARYMIME" in found,
        actions=b"XPROGRAM" in found and b"XFILE" in found,
    )


def mailCommand(sender: bytes, size: int, eightBit: bool, wide: bool, offered: Extensions, more: bytes = b"") -> bytes:
    """The MAIL command (RFC 5321 section 4.1.1.2), with the parameters that the
    server knows.

    @param eightBit: declared as 8BITMIME by the client.
    @param wide: SMTPUTF8 is needed; the caller has seen to it that it is offered.
    @param more: further parameters, each with a blank before it.
    """
    command = b"MAIL FROM:<%b>" % sender
    if offered.size:
        command += b" SIZE=%d" % size
    if eightBit and offered.eightBit:
        command += b" BODY=8BITMIME"
    if wide:
        command += b" SMTPUTF8"
    return command + more + b"\r\n"


def rcptCommand(recipient: bytes, more: bytes = b"") -> bytes:
    """The RCPT command (RFC 5321 section 4.1.1.3).

    @param more: parameters, each with a blank before it.
    """
    return b"RCPT TO:<%b>%b\r\n" % (recipient, more)


def dsnOfMail(ret: str, envid: str) -> bytes:
    """The parameters RET and ENVID (RFC 3461 sections 4.3 and 4.4), as far as they
    are given; what could end the command early is left out."""
    parameters = b" RET=" + ret.encode() if ret in ("FULL", "HDRS") else b""
    return parameters + b" ENVID=" + envid.encode() if _XTEXT.fullmatch(envid) else parameters


def dsnOfRecipient(notify: str, orcpt: str) -> bytes:
    """Likewise NOTIFY and ORCPT (RFC 3461 sections 4.1 and 4.2).  An original
    recipient that is not ASCII is written in ASCII (RFC 6533 section 3)."""
    parameters = b" NOTIFY=" + notify.encode() if _NOTIFY.fullmatch(notify) else b""
    if orcpt and not orcpt.isascii():
        orcpt = "".join([c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in orcpt])
    return parameters + b" ORCPT=" + orcpt.encode() if _XTEXT.fullmatch(orcpt) else parameters


def actionOfRecipient(action: str) -> bytes:
    """The parameter for our local delivery agent that says what gets the message in place of
    the mailbox.

    @param action: see L{umbcmail.envelope.Origin}; C{""}: nothing does.
    """
    if not action:
        return b""
    name, text = (b"XPROGRAM", action[1:]) if action[0] == "|" else (b"XFILE", action)
    return b" %b=%b" % (name, toXtext(text).encode())
