"""Understands answers of name servers; pure.

`resolver` gives a decoded message and the question, and gets what it says: the
records, that there is no such name, or an alias to ask for.  All else is
L{NoAnswer}: a referral, an alias that leads nowhere, another question's answer.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import idna
from twisted.names import dns

from umbcmail.clientaddress import clientAddress
from umbcmail.destination import NoAnswer, NoSuchName

CHAIN = 8
"""Aliases that are followed (RFC 1034 section 3.6.2 asks for some bound)."""
EXCHANGES = 50
ADDRESSES = 20
POINTERS = 50
NEGATIVE = 900.0
"""Seconds that "there is none" is remembered at the most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message says.

    @ivar found: the records, or L{None}: there is no such name.
    @ivar seconds: how long it may be remembered.
    @ivar alias: the name that must be asked for to know more, or C{""}.
    """

    found: tuple[Any, ...] | None
    seconds: float
    alias: str = ""


def wireName(name: str) -> bytes:
    """A name as octets in lower case, for a question.

    @raise NoSuchName: no name in the DNS can look so (RFC 1035 section 2.3.4).
    """
    try:
        wire = (name.encode() if name.isascii() else idna.encode(name, uts46=True)).lower().removesuffix(b".")
    except UnicodeError:
        raise NoSuchName(name) from None
    if len(wire) > 253 or not all(0 < len(label) < 64 for label in wire.split(b".")):
        raise NoSuchName(name)
    return wire


def textName(name: bytes) -> str:
    """A name of an answer: lower case, no dot at the end, ASCII."""
    return name.decode("ascii", "backslashreplace").lower().removesuffix(".")


def isAbout(message: Any, name: bytes, kind: int) -> bool:
    """Whether a message answers this question, and not another one."""
    if not message.answer or len(message.queries) != 1:
        return False
    query = message.queries[0]
    return query.type == kind and query.name.name.lower().removesuffix(b".") == name


def read(message: Any, name: bytes, kind: int) -> Answer:
    """What a message says about a name.

    @param message: L{dns.Message} with the code NOERROR or NXDOMAIN.
    @param kind: L{dns.MX}, L{dns.A}, L{dns.AAAA}, L{dns.PTR} or L{dns.TXT}.
    @raise NoAnswer: nothing that can be understood.
    """
    target, seconds = _followed(message.answers, name)
    if message.rCode == dns.ENAME:  # of the end of the chain, RFC 6604 section 3
        return Answer(None, min(seconds, _negative(message.authority)))
    records = [r for r in message.answers if r.type == kind and _owner(r) == target]
    if records:
        seconds = min([seconds, *(_seconds(record) for record in records)])
        return Answer(tuple(_READERS[kind](records)), seconds)
    kinds = {record.type for record in message.authority}
    if dns.SOA not in kinds:
        if target != name:
            return Answer((), seconds, textName(target))
        if dns.NS in kinds:
            raise NoAnswer("a referral")
    return Answer((), min(seconds, _negative(message.authority)))


def _followed(answers: list[Any], name: bytes) -> tuple[bytes, float]:
    """The end of the aliases in an answer, and how long the way there holds."""
    aliases = {_owner(r): r for r in reversed(answers) if r.type == dns.CNAME}
    seconds = float("inf")
    for _ in range(CHAIN + 1):
        if name not in aliases:
            return name, seconds
        record = aliases[name]
        seconds = min(seconds, _seconds(record))
        name = record.payload.name.name.lower().removesuffix(b".")
    raise NoAnswer("too many aliases, or a loop of them")


def _owner(record: Any) -> bytes:
    owner: bytes = record.name.name.lower().removesuffix(b".")
    return owner


def _seconds(record: Any) -> float:
    """Time to live; with the highest bit set it is 0 (RFC 2181 section 8)."""
    return float(record.ttl) if 0 <= record.ttl < 1 << 31 else 0.0


def _negative(authority: list[Any]) -> float:
    """How long "there is none" holds (RFC 2308 section 5)."""
    for record in authority:
        if record.type == dns.SOA:
            return max(0.0, min(NEGATIVE, _seconds(record), float(record.payload.minimum)))
    return 0.0


# Records


def _exchanges(records: list[Any]) -> list[tuple[int, str]]:
    found = {(int(record.payload.preference), textName(record.payload.name.name)) for record in records}
    return sorted(found)[:EXCHANGES]


def _ipv4(records: list[Any]) -> list[str]:
    return _distinct(socket.inet_ntop(socket.AF_INET, r.payload.address) for r in records)[:ADDRESSES]


def _ipv6(records: list[Any]) -> list[str]:
    return _distinct(clientAddress(str(ipaddress.IPv6Address(record.payload.address))) for record in records)[
        :ADDRESSES
    ]


def _pointers(records: list[Any]) -> list[str]:
    return _distinct(textName(record.payload.name.name) for record in records)[:POINTERS]


def _texts(records: list[Any]) -> list[str]:
    return _distinct(b"".join(r.payload.data).decode("utf-8", "replace") for r in records)[:ADDRESSES]


def _distinct(values: Any) -> list[str]:
    return list(dict.fromkeys(values))


_READERS: dict[int, Callable[[list[Any]], list[Any]]] = {
    dns.MX: _exchanges,
    dns.A: _ipv4,
    dns.AAAA: _ipv6,
    dns.PTR: _pointers,
    dns.TXT: _texts,
}
