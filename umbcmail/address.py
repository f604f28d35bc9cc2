"""Mail addresses: the grammar of RFC 5321 section 4.1.2 (and RFC 6531), pure.

Used where a peer or an operator gives us an address.  A wrong one raises
L{AddressError} and nothing else.  The result is verbatim but for two things:
source routes are dropped (RFC 5321 appendix C) and quotes that are not needed
are taken away, since C{"x"@y} and C{x@y} are one mailbox.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

LOCAL_LIMIT = 64
"""Octets of a local part (RFC 5321 section 4.5.3.1.1)."""
DOMAIN_LIMIT = 255
"""Octets of a domain (RFC 5321 section 4.5.3.1.2)."""
PATH_LIMIT = 256
"""Octets of a path with its brackets (RFC 5321 section 4.5.3.1.3)."""

_WIDE = "\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010fffd"


class _Grammar:
    """The grammar, with or without letters beyond ASCII: with them it takes a twentieth of a
    second to be compiled, which a command that sends one message does not need to wait for.

    @ivar plain: a path of the usual form: local part and domain.
    @ivar path: any path, with a source route before it, which does not count.
    @ivar dots: a local part without quotes.
    """

    def __init__(self, wide: str = "") -> None:
        atext = f"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{wide}-]+"
        dots = rf"{atext}(?:\.{atext})*"
        quoted = rf'"(?:[ !#-\[\]-~{wide}]|\\[ -~])*"'
        label = f"[A-Za-z0-9_{wide}](?:[A-Za-z0-9_{wide}-]{{0,61}}[A-Za-z0-9_{wide}])?"
        name = rf"{label}(?:\.{label})*"
        literal = r"\[[0-9A-Za-z:.]+\]"
        self.plain = re.compile(rf"<({dots})@({name})>")
        self.path = re.compile(rf"<(?:@{name}(?:,@{name})*:)?((?:{dots})|(?:{quoted}))@((?:{name})|(?:{literal}))>")
        self.dots = re.compile(dots)


_ASCII = _Grammar()


@lru_cache(maxsize=1)
def wideGrammar() -> _Grammar:
    """That with letters beyond ASCII (RFC 6531).  Servers call it before they have clients."""
    return _Grammar(_WIDE)


_UNSPOKEN = re.compile(rb"[^\x21-\x7e]|[+=]")
"""Octets that can't stand for themselves in xtext."""
_POSTMASTER = re.compile(r"<(postmaster)>", re.IGNORECASE)
_PAIR = re.compile(r"\\(.)")


class AddressError(ValueError):
    """The text is no address; C{str(error)} says why, for the log."""


def parsePath(text: str, at: int = 0) -> tuple[str, int]:
    """Read a path C{<local-part@domain>} that begins at a position of a text.

    @return: the address without brackets (C{""} for C{<>}), and the position
        behind the closing bracket.
    @raise AddressError: there is no proper path, or a part of it is too long.
    """
    found = _ASCII.plain.match(text, at)
    if found is not None:
        address = text[at + 1 : found.end() - 1]
        if len(address) <= LOCAL_LIMIT:
            return address, found.end()
        return _checked(found[1], found[2]), found.end()
    if text.startswith("<>", at):
        return "", at + 2
    grammar = _ASCII if text.isascii() else wideGrammar()
    found = grammar.path.match(text, at)
    if found is not None:
        local, domain = found[1], found[2]
        if local[0] == '"':
            local = _unquoted(local, grammar)
        if domain[0] == "[":
            checkLiteral(domain)
        return _checked(local, domain), found.end()
    found = _POSTMASTER.match(text, at)
    if found is not None:
        return found[1], found.end()
    raise AddressError("not a path")


def _unquoted(local: str, grammar: _Grammar) -> str:
    """Without the quotes where they are not needed."""
    inner = _PAIR.sub(r"\1", local[1:-1])
    return inner if grammar.dots.fullmatch(inner) else local


def _checked(local: str, domain: str) -> str:
    if len(local.encode()) > LOCAL_LIMIT:
        raise AddressError("local part is too long")
    if len(domain.encode()) > DOMAIN_LIMIT:
        raise AddressError("domain is too long")
    address = f"{local}@{domain}"
    if len(address.encode()) + 2 > PATH_LIMIT:
        raise AddressError("path is too long")
    return address


def checkLiteral(literal: str) -> str:
    """Check an address literal (RFC 5321 section 4.1.3).

    @param literal: with its brackets: C{[192.0.2.1]}, C{[IPv6:2001:db8::1]}.
    @return: the IP address as text.
    @raise AddressError: it is none.
    """
    inner = literal[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return str(ipaddress.IPv6Address(inner[5:]))
        return str(ipaddress.IPv4Address(inner))
    except ValueError:
        raise AddressError("not an address literal") from None


def parseAddress(text: str) -> str:
    """A whole text as an address without brackets, as an operator writes it.

    @raise AddressError: it is none.
    """
    address, end = parsePath(f"<{text}>")
    if not address or end != len(text) + 2:
        raise AddressError("not an address")
    return address


def domainOf(address: str) -> str:
    """The domain in lower case, C{""} for the null sender and the bare postmaster."""
    return address.rpartition("@")[2].lower() if "@" in address else ""


_HELO = re.compile(r"[A-Za-z0-9_.:-]{1,255}|\[[0-9A-Za-z:.]{1,250}\]")


def addressMatches(pattern: str, address: str) -> bool:
    """Whether an address is what C{umbcmail.selection.Selection} asks for."""
    if pattern.startswith("*@"):
        return bool(address) and domainOf(address).lower() == pattern[2:].lower()
    return address.lower() == ("" if pattern == "<>" else pattern.lower())


def checkHelo(name: str) -> str:
    """The argument of HELO or EHLO.  Odd but harmless names pass (real clients
    send C{MY_PC}, C{pc.test.}): what is checked is that it can stand in a
    Received field.

    @raise AddressError: it can't.
    """
    if not _HELO.fullmatch(name):
        raise AddressError("not a domain name or address literal")
    if name[0] == "[" and "." not in name and ":" not in name:
        raise AddressError("not an address literal")
    return name


def toXtext(text: str) -> str:
    """A text as a value of a parameter (RFC 3461 section 4)."""
    octets = _UNSPOKEN.sub(lambda found: b"+%02X" % found[0][0], text.encode("utf-8", "replace"))
    return octets.decode()


def fromXtext(xtext: str) -> str:
    """The inverse of L{toXtext}."""
    octets = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), xtext.encode())
    return octets.decode("utf-8", "replace")
