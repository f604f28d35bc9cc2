"""Options: declared once, typed, next to the part that they tune.

A part has a L{Section} of L{Option}s; `config.py` collects the sections, reads
the files and checks every value by its L{Kind}.  The sample file and the manual
are checked against the declarations by tests.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_UNITS_OF_TIME = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS_OF_SIZE = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
"""What becomes of octets in an argument (C{--set}) that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value.

    @ivar name: for people, with unit and bounds (C{"a time such as 90s or 5m"}).
    @ivar parse: from the TOML value to ours; C{ValueError} says what is wrong.
    @ivar words: all words that a value (or a member of a list) may be, for
        suggestions; empty where they are not known.
    """

    name: str
    parse: Callable[[Any], Any]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    @ivar name: lower case with hyphens (an underscore means the same in files).
    @ivar kind: type, unit and bounds.
    @ivar default: as it would stand in the file; L{None} is "not set".
    @ivar doc: one sentence.
    @ivar required: it must be given; the default is L{None} then.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """The settings of one part.

    @ivar name: C{"spool"}; a C{*} stands for a name that the operator chooses
        (C{"queue.*"}); C{[[route]]} (an array of tables) is written C{"route[]"}.
    @ivar doc: one sentence.
    @ivar options: its options.
    @ivar names: the names for C{*} that exist without being configured.
    @ivar defaults: name for C{*} to option name to a default of its own.
    @ivar kindOf: says which entry of C{defaults} is meant, by the name and the values
        that are given for it; L{None}: that of the name.
    """

    name: str
    doc: str
    options: tuple[Option, ...]
    names: tuple[str, ...] = ()
    defaults: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    kindOf: Callable[[str, Mapping[str, Any]], str] | None = None

    def defaultsFor(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults that differ from those of the options, by option name.

        @param name: what stands for C{*}.
        @param given: values by option name, as far as the operator has said them.
        """
        kind = self.kindOf(name, given) if self.kindOf is not None else name
        return dict(dict(self.defaults).get(kind, ()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text in quotes is needed")
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed")
    if not value.isascii() and _SURROGATE.search(value):
        raise ValueError("the text is not UTF-8")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is needed")
    return value


def _bounded(value: float, low: float | None, high: float | None, show: Callable[[float], str]) -> None:
    if low is not None and value < low:
        raise ValueError(f"must be at least {show(low)}")
    if high is not None and value > high:
        raise ValueError(f"must be at most {show(high)}")


TEXT = Kind("a text", _text)
BOOLEAN = Kind("true or false", _boolean)


def word(value: Any) -> str:
    """A text that is not empty."""
    if not _text(value):
        raise ValueError("must not be empty")
    return str(value)


WORD = Kind("a text that is not empty", word)


def _character(value: Any) -> str:
    text = _text(value)
    if len(text) > 1:
        raise ValueError("one character is needed, or none")
    return text


CHARACTER = Kind("a character", _character)


def integer(low: int | None = None, high: int | None = None) -> Kind:
    """A whole number within bounds."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("a whole number is needed")
        _bounded(value, low, high, lambda n: str(int(n)))
        return value

    return Kind("a whole number" + _bounds(low, high, str), parse)


def number(low: float | None = None, high: float | None = None) -> Kind:
    """A number within bounds, whole or not; a float."""

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("a number is needed")
        if not -1e300 < value < 1e300:
            raise ValueError("a number is needed that is not infinite")
        _bounded(value, low, high, lambda n: f"{n:g}")
        return float(value)

    return Kind("a number" + _bounds(low, high, lambda n: f"{n:g}"), parse)


def _bounds(low: Any, high: Any, show: Callable[[Any], str]) -> str:
    if low is not None and high is not None:
        return f" from {show(low)} to {show(high)}"
    if low is not None:
        return f" of at least {show(low)}"
    return f" of at most {show(high)}" if high is not None else ""


def durationText(seconds: float) -> str:
    """Seconds as they are written in the file: C{"90s"}, C{"5m"}, C{"4h"};
    L{duration} makes the same number of it again."""
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _UNITS_OF_TIME[unit] == 0:
            return f"{int(seconds // _UNITS_OF_TIME[unit])}{unit}"
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    return f"{Decimal(repr(seconds)):f}s"


def duration(low: float | None = None, high: float | None = None) -> Kind:
    """A time: a number and s, m, h, d or w; the value is in seconds, a float."""

    def parse(value: Any) -> float:
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?) *([smhdw])", value) if isinstance(value, str) else None
        if found is None:
            raise ValueError('a time such as "90s", "5m", "4h" or "5d" is needed')
        seconds = float(found[1]) * _UNITS_OF_TIME[found[2]]
        if seconds >= 1e15:
            raise ValueError("the time is too long")
        _bounded(seconds, low, high, durationText)
        return seconds

    return Kind("a time" + _bounds(low, high, durationText), parse)


def sizeText(octets: float) -> str:
    """Octets as they are written in the file: C{"25MiB"}; L{size} makes the
    same number of it again."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _UNITS_OF_SIZE[unit] == 0:
            return f"{int(octets // _UNITS_OF_SIZE[unit])}{unit}"
    return f"{int(octets)}B"


def size(low: int = 0, high: int | None = None) -> Kind:
    """A number of octets: a number and nothing, B, KiB, MiB or GiB; an int."""

    def parse(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            octets = value
        else:
            found = re.fullmatch(r"([0-9]{1,19}) *(B|KiB|MiB|GiB|)", value) if isinstance(value, str) else None
            if found is None:
                raise ValueError('a size such as 1000, "256KiB" or "25MiB" is needed')
            octets = int(found[1]) * _UNITS_OF_SIZE[found[2]]
        if octets >= 1 << 63:
            raise ValueError("the size is too large")
        _bounded(octets, low, high, sizeText)
        return octets

    return Kind("a size" + _bounds(low, high, sizeText), parse)


def choice(*words: str) -> Kind:
    """One of some words."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return str(value)

    return Kind("one of " + ", ".join(words), parse, words)


def listOf(kind: Kind, least: int = 0) -> Kind:
    """A list; the value is a tuple."""

    def parse(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise ValueError("a list in square brackets is needed")
        if len(value) < least:
            raise ValueError(f"must have at least {least} member{'s' if least > 1 else ''}")
        return tuple(member(n, v) for n, v in enumerate(value, 1))

    def member(number: int, value: Any) -> Any:
        try:
            return kind.parse(value)
        except ValueError as why:
            raise ValueError(f"member {number}: {why}") from None

    return Kind(f"a list, each {kind.name}", parse, kind.words)


_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def domainName(value: Any) -> str:
    """A domain name in ASCII, returned in lower case and without a dot at the
    end; labels of up to 63 octets, 253 in all (RFC 1035 section 2.3.4)."""
    text = _text(value)
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not text.isascii() or not _DOMAIN.fullmatch(name):
        raise ValueError(f"{text[:80]!r} is not a domain name")
    return name


def domainPattern(value: Any) -> str:
    """A domain, C{*.domain} for all below it, or C{*} for all."""
    text = _text(value).lower()
    if text == "*":
        return text
    return "*." + domainName(text[2:]) if text.startswith("*.") else domainName(text)


DOMAIN = Kind("a domain name", domainName)
DOMAIN_PATTERN = Kind("a domain, *.domain for all below it, or *", domainPattern)


def networkOrDomain(value: Any) -> Any:
    """An IP address or network (C{ipaddress} object), else a domain (str)."""
    text = _text(value)
    if re.fullmatch(r"[0-9.]+(/[0-9.]+)?", text) or ":" in text:
        return network(text)
    return domainName(text)


NETWORK_OR_DOMAIN = Kind("an address, a network such as 192.0.2.0/24, or a domain", networkOrDomain)


def network(value: Any) -> Any:
    """An IP address or network, as an C{ipaddress} object.  IPv4-mapped ones
    become IPv4, as the addresses of clients do (L{umbcmail.envelope.Client})."""
    text = _text(value)
    if "%" in text:
        raise ValueError("an address with a zone (%) is not allowed here")
    found = ipaddress.ip_network(text)
    mapped = found.network_address.ipv4_mapped if found.version == 6 else None
    if mapped is not None and found.prefixlen >= 96:
        return ipaddress.ip_network((mapped, found.prefixlen - 96))
    return found


def address(value: Any) -> str:
    """An IP address, in its shortest form."""
    return str(ipaddress.ip_address(_text(value)))


ADDRESS = Kind("an IP address", address)
NETWORK = Kind("an address, or a network such as 192.0.2.0/24", network)


def hostPort(value: Any) -> tuple[str, int]:
    """C{host}, C{host:port}, C{[v6 address]:port} or C{unix:/path}: a pair of
    host (or C{unix:/path}) and port, 0 where none was given."""
    text = word(value)
    if text.startswith("unix:"):
        if not text.startswith("unix:/"):
            raise ValueError("unix: needs an absolute path behind it")
        return text, 0
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:\s]+))(?::([0-9]{1,5}))?", text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not host:port, [address]:port or unix:/path")
    port = int(found[3] or 0)
    if found[3] and not 0 < port < 65536:
        raise ValueError(f"{port} is not a port number")
    if found[1] or re.fullmatch(r"[0-9.]+", found[2]):
        return str(ipaddress.ip_address(found[1] or found[2])), port
    return domainName(found[2]), port


HOST_PORT = Kind("host:port, [v6 address]:port or unix:/path", hostPort)


def path(value: Any) -> str:
    """An absolute path."""
    text = word(value)
    if not text.startswith("/"):
        raise ValueError("an absolute path is needed")
    return text


PATH = Kind("an absolute path", path)
