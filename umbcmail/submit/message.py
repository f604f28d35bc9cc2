"""What a program has written becomes a message.  Pure.

Line ends become CRLF, whatever they were; a dot on a line of its own ends the message unless the
program has said C{-i}; what is no header is body.  Recipients are read out of the header, and a
C{From} is added where there is none.  C{Date}, C{Message-ID} and C{Bcc} are the business of the
port (L{umbcmail.accept.fixups}), which sees also what comes by other programs.
"""

from __future__ import annotations

import re

from umbcmail.address import AddressError
from umbcmail.submit.addresslist import addresses

_LINE_END = re.compile(rb"\r*\n|\r")
"""Programs in C and PHP write CR CR LF where something has made CRLF of CRLF again."""
_DOT = re.compile(rb"(?:\A|(?<=\n))\.\r?(?:\n|\Z)")
_FROM_LINE = re.compile(rb"\A>?From [^\n]*\n")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_TO = (b"to", b"cc", b"bcc")
_ATEXT_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_WORD = 39
"""Octets in an encoded word: with them a line stays under 76 characters (RFC 2047 section 2)."""


def taken(data: bytes, dotEnds: bool) -> bytes:
    """The message, with CRLF line ends and one behind its last line.

    @param data: what the program has written.
    @param dotEnds: a dot on a line of its own ends it.
    """
    if dotEnds and (dot := _DOT.search(data)) is not None:
        data = data[: dot.start()]
    data = _FROM_LINE.sub(b"", data, count=1)
    data = _LINE_END.sub(b"\r\n", data)
    if data and not data.endswith(b"\r\n"):
        data += b"\r\n"
    return separated(data)


def separated(data: bytes) -> bytes:
    """The message with an empty line behind its header, which ends where something is
    that is no field."""
    at = 0
    isFirst = True
    while at < len(data):
        if data.startswith(b"\r\n", at):
            return data
        isFolded = data[at : at + 1] in (b" ", b"\t") and not isFirst
        if not isFolded and _FIELD.match(data, at) is None:
            return data[:at] + b"\r\n" + data[at:]
        isFirst = False
        at = data.index(b"\n", at) + 1
    return data + b"\r\n"


def fields(data: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of the header: name in lower case, and unfolded value.

    @param data: as L{taken} makes it.
    """
    found: list[tuple[bytes, bytes]] = []
    header = data[: data.find(b"\r\n\r\n") + 2] if not data.startswith(b"\r\n") else b""
    for line in re.sub(rb"\r\n(?=[ \t])", b"", header).split(b"\r\n"):
        name = _FIELD.match(line)
        if name is not None:
            found.append((name[1].lower(), line[name.end() :].strip()))
    return found


def recipientsOf(data: bytes, domain: str) -> list[str]:
    """To whom a message says that it is; a message that is sent again (C{Resent-To}) says
    so anew (RFC 5322 section 3.6.6).

    @param domain: of addresses that have none.
    @raise AddressError: a field is not right.
    """
    header = fields(data)
    resent = [b"resent-" + name for name in _TO]
    wanted = resent if any(name in resent for name, _ in header) else _TO
    found: list[str] = []
    for name, value in header:
        if name in wanted:
            try:
                found += addresses(value.decode("utf-8"), domain)
            except (UnicodeDecodeError, AddressError) as why:
                raise AddressError(f"{name.decode().title()}: {why}") from None
    return list(dict.fromkeys(found))


def withFrom(data: bytes, sender: str, fullName: str) -> bytes:
    """The message, with a C{From} if it has none.

    @param sender: address, not empty.
    @param fullName: of the sender, or C{""}.
    """
    if any(name == b"from" for name, _ in fields(data)):
        return data
    phrase = f"{_phrase(fullName)} <{sender}>" if fullName else sender
    return b"From: " + phrase.encode() + b"\r\n" + data


def _phrase(name: str) -> str:
    """A name as it may stand before an address (RFC 5322 section 3.2.5, RFC 2047)."""
    name = " ".join(name.split())
    if _ATEXT_PHRASE.fullmatch(name):
        return name
    if name.isascii() and name.isprintable():
        return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    import binascii

    words, word = [], b""
    for character in name:
        octets = character.encode("utf-8", "replace")
        if len(word) + len(octets) > _WORD:
            words.append(word)
            word = b""
        word += octets
    return "\r\n ".join(f"=?utf-8?b?{binascii.b2a_base64(each, newline=False).decode()}?=" for each in [*words, word])
