"""XCLIENT: a filter in front of us says whom it speaks for.  Pure.

After Postfix's C{XCLIENT_README}; called by `dialogue` for clients that are listed.
Attributes that are not given stay as they are, so that a filter can spread them
over several commands; but C{ADDR} begins another client, of whom nothing else is
known until it is said.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from umbcmail import reply
from umbcmail.accept.grammar import CommandError
from umbcmail.address import AddressError, checkHelo
from umbcmail.clientaddress import clientAddress
from umbcmail.envelope import Client
from umbcmail.options import domainName

KEYWORD = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN"
"""What EHLO offers."""

_UNKNOWN = frozenset(("[UNAVAILABLE]", "[TEMPUNAVAIL]"))
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+")
_HEX = re.compile(rb"\+([0-9A-Fa-f]{2})")
_UNSAFE = re.compile("[\\x00-\\x20\\x7f-\\xa0\\u2028\\u2029]")


def introduced(client: Client, argument: str) -> Client:
    """The client that is meant.

    @param client: the client so far.
    @param argument: what stands behind the verb.
    @raise CommandError: it makes no sense; nothing of it counts then.
    """
    values: dict[str, Any] = {}
    for word in argument.split():
        name, equals, text = word.partition("=")
        field, parse = _ATTRIBUTES.get(name.upper(), ("", None))
        if parse is None or not equals or field in values or not _XTEXT.fullmatch(text):
            raise CommandError(reply.BAD_SYNTAX, f"XCLIENT {name[:20]}")
        try:
            values[field] = parse(decodeXtext(text))
        except ValueError:
            raise CommandError(reply.BAD_PARAMETER, f"XCLIENT {name}") from None
    if not values:
        raise CommandError(reply.BAD_SYNTAX, "XCLIENT without attributes")
    if "address" in values:
        client = Client(tls=client.tls)
    return replace(client, **values)


def decodeXtext(text: str) -> str:
    """RFC 3461 section 4.

    @raise ValueError: it holds what can't be part of any of the attributes.
    """
    plain = _HEX.sub(lambda found: bytes((int(found[1], 16),)), text.encode()).decode()
    if _UNSAFE.search(plain):
        raise ValueError("blanks or control characters")
    return plain


def _address(text: str) -> str:
    if text in _UNKNOWN:
        return ""
    if text[:5].upper() == "IPV6:":
        return clientAddress(str(ipaddress.IPv6Address(text[5:].partition("%")[0])))
    return str(ipaddress.IPv4Address(text))


def _name(text: str) -> str:
    return "" if text in _UNKNOWN else domainName(text)


def _port(text: str) -> int:
    if text in _UNKNOWN:
        return 0
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError("not a port")
    return int(text)


def _protocol(text: str) -> bool:
    if text.upper() not in ("SMTP", "ESMTP"):
        raise ValueError("not a protocol")
    return text.upper() == "ESMTP"


def _helo(text: str) -> str:
    if text in _UNKNOWN:
        return ""
    try:
        return checkHelo(text)
    except AddressError as why:
        raise ValueError(str(why)) from None


def _login(text: str) -> str:
    if len(text) > 255:
        raise ValueError("too long")
    return "" if text in _UNKNOWN else text


_ATTRIBUTES: dict[str, tuple[str, Callable[[str], object]]] = {
    "ADDR": ("address", _address),
    "NAME": ("name", _name),
    "PORT": ("port", _port),
    "PROTO": ("esmtp", _protocol),
    "HELO": ("helo", _helo),
    "LOGIN": ("login", _login),
}
