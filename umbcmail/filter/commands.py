"""What an MTA says to a filter: commands from values, and back.  Pure.

The functions with lower case names make packets, for the MTA's side; L{readCommand} makes
values of the same packets, for the filter's side.  Addresses are as in the SMTP command,
in angle brackets: the null sender is C{<>}.  A folded header has bare LFs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from umbcmail.filter.codec import DATA_LIMIT, PACKET_LIMIT, MilterError, packet, packStrings, readStrings
from umbcmail.filter.negotiation import Negotiation, plainName

CONNECT = b"C"
HELO = b"H"
MAIL = b"M"
RCPT = b"R"
DATA = b"T"
HEADER = b"L"
END_OF_HEADER = b"N"
BODY = b"B"
END_OF_BODY = b"E"
UNKNOWN = b"U"
CONTENT = b"W"
"""Letters of commands, see also L{Bare}."""

WHOLE_LIMIT = PACKET_LIMIT - 1
"""Octets of a message that goes in one piece."""

IPV4 = b"4"
IPV6 = b"6"
UNIX = b"L"
NO_FAMILY = b"U"
"""Families of a client's address."""

_LENGTH = Struct(">I").pack


def macros(letter: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """Macros for the command with a letter, which follows; C{b""} where there are none,
    since libmilter would keep older ones.

    @param values: by name without braces, which those of a single letter never have.
    """
    if not values:
        return b""
    parts = [b"%b\0%b\0" % (_braced(name), value.replace(b"\0", b"")) for name, value in values.items()]
    return packet(b"D", letter + b"".join(parts))


@lru_cache(500)
def _braced(name: bytes) -> bytes:
    return b"{" + name + b"}" if len(name) > 1 else name


def connect(hostName: bytes, family: bytes, port: int = 0, address: bytes = b"") -> bytes:
    """A client has connected.

    @param hostName: its name, or the address in square brackets.
    @param address: without the word C{IPv6:}; for L{UNIX} a path.
    """
    data = packStrings([hostName]) + family
    if family != NO_FAMILY:
        data += port.to_bytes(2, "big") + packStrings([address])
    return packet(CONNECT, data)


def helo(name: bytes) -> bytes:
    """The client has said HELO or EHLO."""
    return packet(HELO, packStrings([name]))


def mail(sender: bytes, parameters: Iterable[bytes] = ()) -> bytes:
    """A transaction begins.  @param parameters: C{SIZE=123} and the like."""
    return packet(MAIL, packStrings([sender, *parameters]))


def rcpt(recipient: bytes, parameters: Iterable[bytes] = ()) -> bytes:
    """A recipient."""
    return packet(RCPT, packStrings([recipient, *parameters]))


def header(name: bytes, value: bytes) -> bytes:
    """A header field; what can't be shown to libmilter is no packet.

    @raise MilterError: it is too long, or has a NUL.
    """
    length = len(name) + len(value) + 3
    if length > DATA_LIMIT + 1:
        raise MilterError("a header field that is too long for the protocol")
    if b"\0" in name or b"\0" in value:
        raise MilterError("a string with a NUL")
    return b"%bL%b\0%b\0" % (_LENGTH(length), name, value)


def headers(fields: Sequence[tuple[bytes, bytes]], isVerbatim: bool) -> list[bytes]:
    """Header fields as filters see them: folds are bare LFs, a NUL can't be shown.

    @param fields: names and what stands behind the colon, with CRLF in folds.
    @param isVerbatim: with the blank behind the colon (C{HDR_LEADSPC}); else one blank less,
        if there is any.
    @raise MilterError: one is too long.
    """
    names, values = b"|".join([name for name, _ in fields]), b"".join([value for _, value in fields])
    # Most have nothing of all this, which is found sooner in one look at all.
    if b"\r" in values or b"\0" in values or b" " in names or b"\t" in names:
        fields = [(name.rstrip(), value.replace(b"\r\n", b"\n").replace(b"\0", b"")) for name, value in fields]
    if not isVerbatim:
        fields = [(name, value[1:] if value[:1] == b" " else value) for name, value in fields]
    if len(values) > DATA_LIMIT // 2 and any(len(name) + len(value) + 2 > DATA_LIMIT for name, value in fields):
        raise MilterError("a header field that is too long for the protocol")
    return [b"%bL%b\0%b\0" % (_LENGTH(len(name) + len(value) + 3), name, value) for name, value in fields]


def body(octets: bytes) -> bytes:
    """Some of the body, L{DATA_LIMIT} octets at the most, not empty."""
    return packet(BODY, octets)


def whole(octets: bytes) -> bytes:
    """Header and body as they are, L{WHOLE_LIMIT} octets at the most, and the end of the body: in
    place of all these commands, for our own multiplexer.  The macros are those of the end."""
    return packet(CONTENT, octets)


def unknown(line: bytes) -> bytes:
    """A command line that is no command of SMTP, or none of ours."""
    return packet(UNKNOWN, packStrings([line.replace(b"\0", b"")]))


BEGIN_DATA = packet(DATA)
END_HEADER = packet(END_OF_HEADER)
END_BODY = packet(END_OF_BODY)
ABORT = packet(b"A")
QUIT = packet(b"Q")
QUIT_NEW_CONNECTION = packet(b"K")
"""For filters that are known to go on: libmilter does not answer the CONNECT that follows."""


# The filter's side


@dataclass(frozen=True, slots=True)
class Macros:
    """Macros for the command that follows (C{D}).

    @ivar letter: of the command.
    @ivar values: by name without braces.
    """

    letter: bytes
    values: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Connect:
    """C{C}; see L{connect}.  Without family there is neither port nor address."""

    hostName: bytes
    family: bytes
    port: int
    address: bytes


@dataclass(frozen=True, slots=True)
class Helo:
    """C{H}."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """C{M}."""

    sender: bytes
    parameters: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Rcpt:
    """C{R}."""

    recipient: bytes
    parameters: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """C{L}.

    @ivar value: without the space behind the colon, unless C{HDR_LEADSPC} was agreed on.
    """

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """C{B}."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class EndOfBody:
    """C{E}.  @ivar octets: the last of the body, where an MTA sends them here."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """C{W}: header, body and the end, see L{whole}."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """C{U}."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Bare:
    """A command that is a letter and nothing else: C{T} (DATA), C{N} (end of the header),
    C{A} (abort the message), C{Q} (quit), C{K} (quit, and begin anew here)."""

    letter: bytes


Command = Negotiation | Macros | Connect | Helo | Mail | Rcpt | Header | Body | EndOfBody | Content | Unknown | Bare


def readCommand(letter: bytes, data: bytes) -> Command:
    """A command, of a packet's letter and data.

    @raise MilterError: it is none.
    """
    read = _READERS.get(letter)
    if read is None:
        raise MilterError(f"there is no command {letter!r}")
    return read(data)


def _readMacros(data: bytes) -> Macros:
    strings = readStrings(data[1:])
    if not data or len(strings) % 2:
        raise MilterError("macros that are not pairs")
    pairs = zip(map(plainName, strings[::2]), strings[1::2], strict=True)
    return Macros(data[:1], dict(pairs))


def _readConnect(data: bytes) -> Connect:
    hostName, nul, rest = data.partition(b"\0")
    family = rest[:1]
    if not nul or not family:
        raise MilterError("a connection without family")
    if family == NO_FAMILY:
        return Connect(hostName, family, 0, b"")
    address = readStrings(rest[3:])
    if len(address) != 1:
        raise MilterError("a connection without address")
    # Sendmail writes the word of an address literal, Postfix does not.
    plain = address[0][5:] if family == IPV6 and address[0][:5].lower() == b"ipv6:" else address[0]
    return Connect(hostName, family, int.from_bytes(rest[1:3], "big"), plain)


def _readOne(data: bytes) -> bytes:
    """The only string."""
    strings = readStrings(data)
    if len(strings) != 1:
        raise MilterError("one string is needed")
    return strings[0]


def _readPath(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """An address, and parameters behind it."""
    strings = readStrings(data)
    if not strings:
        raise MilterError("an address is needed")
    return strings[0], tuple(strings[1:])


def _readHeader(data: bytes) -> Header:
    strings = readStrings(data)
    if len(strings) != 2:
        raise MilterError("a header field is two strings")
    return Header(*strings)


def _bare(letter: bytes) -> Callable[[bytes], Command]:
    value = Bare(letter)
    return lambda data: value


_READERS: dict[bytes, Callable[[bytes], Command]] = {
    b"O": Negotiation.read,
    b"D": _readMacros,
    CONNECT: _readConnect,
    HELO: lambda data: Helo(_readOne(data)),
    MAIL: lambda data: Mail(*_readPath(data)),
    RCPT: lambda data: Rcpt(*_readPath(data)),
    HEADER: _readHeader,
    BODY: Body,
    END_OF_BODY: EndOfBody,
    CONTENT: Content,
    UNKNOWN: lambda data: Unknown(_readOne(data)),
    **{letter: _bare(letter) for letter in (DATA, END_OF_HEADER, b"A", b"Q", b"K")},
}
