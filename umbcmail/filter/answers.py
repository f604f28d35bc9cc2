"""What a filter says to an MTA: its answers and edits from values, and back.  Pure.

Constants and functions with lower case names make packets, for the filter's side;
L{readAnswer} makes values of the same packets, for the MTA's side.  Exactly one
L{Disposition} or L{ReplyCode} answers a command; L{Progress} and L{Quarantine} do not.
All other values are edits, and come only between the end of the body and its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from umbcmail.filter.codec import DATA_LIMIT, MilterError, packet, packStrings, readNumber, readStrings
from umbcmail.filter.negotiation import Negotiation


class Disposition(Enum):
    """What becomes of a message, a recipient or a connection, by the letter that says it.

    C{CONTINUE}: go on; at the end of the body: accept.  C{ACCEPT}: this filter wants to
    see nothing more of it.  C{SKIP}: nothing more of this kind.  C{SHUTDOWN}: close the
    session with 421.
    """

    CONTINUE = b"c"
    ACCEPT = b"a"
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    SKIP = b"s"
    SHUTDOWN = b"4"


CONTINUE = packet(b"c")
ACCEPT = packet(b"a")
REJECT = packet(b"r")
TEMPFAIL = packet(b"t")
DISCARD = packet(b"d")
SKIP = packet(b"s")
PROGRESS = packet(b"p")


def replyCode(text: bytes) -> bytes:
    """Refuse with a reply of one's own: C{550 5.7.1 text}, lines with CRLF between them.
    Who writes it doubles each C{%}."""
    return packet(b"y", packStrings([text]))


def addHeader(name: bytes, value: bytes) -> bytes:
    """Add a field at the end of the header."""
    return packet(b"h", packStrings([name, value]))


def insertHeader(index: int, name: bytes, value: bytes) -> bytes:
    """Insert a field.  @param index: 0 is above all, 1 below the MTA's Received."""
    return packet(b"i", index.to_bytes(4, "big") + packStrings([name, value]))


def changeHeader(index: int, name: bytes, value: bytes) -> bytes:
    """Change a field, or remove it.

    @param index: among those of the name, from 1.
    @param value: C{b""}: remove it.
    """
    return packet(b"m", index.to_bytes(4, "big") + packStrings([name, value]))


def changeSender(sender: bytes, parameters: bytes = b"") -> bytes:
    """Another sender.  @param parameters: of MAIL, with blanks between them."""
    return packet(b"e", packStrings([sender, parameters] if parameters else [sender]))


def addRecipient(recipient: bytes, parameters: bytes = b"") -> bytes:
    """One more recipient.  @param parameters: of RCPT, with blanks between them."""
    return packet(b"2", packStrings([recipient, parameters])) if parameters else packet(b"+", packStrings([recipient]))


def deleteRecipient(recipient: bytes) -> bytes:
    """One recipient less."""
    return packet(b"-", packStrings([recipient]))


def replaceBody(octets: bytes) -> bytes:
    """Another body, in as many packets as are needed; nothing is an empty one."""
    parts = [octets[at : at + DATA_LIMIT] for at in range(0, len(octets), DATA_LIMIT)] or [b""]
    return b"".join([packet(b"b", part) for part in parts])


def quarantine(reason: bytes) -> bytes:
    """Put the message aside, if it is accepted in the end."""
    return packet(b"q", packStrings([reason]))


# The MTA's side


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """C{y}, see L{replyCode}.  @ivar text: as it was sent."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """C{p}: the filter is at work."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """C{q}."""

    reason: bytes


@dataclass(frozen=True, slots=True)
class AddHeader:
    """C{h}."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """C{i}."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """C{m}."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """C{e}."""

    sender: bytes
    parameters: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """C{+}, and C{2} with parameters."""

    recipient: bytes
    parameters: bytes


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """C{-}."""

    recipient: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """C{b}: the next octets of the new body."""

    octets: bytes


Edit = AddHeader | InsertHeader | ChangeHeader | ChangeSender | AddRecipient | DeleteRecipient | ReplaceBody
Answer = Negotiation | Disposition | ReplyCode | Progress | Quarantine | Edit


def readAnswer(letter: bytes, data: bytes) -> Answer:
    """An answer, of a packet's letter and data.

    @raise MilterError: it is none.
    """
    if not data:
        bare = _BARE.get(letter)
        if bare is not None:
            return bare
    read = _READERS.get(letter)
    if read is None:
        raise MilterError(f"there is no answer {letter!r}" + (" with data" if letter in _BARE else ""))
    return read(data)


def _strings(data: bytes, least: int, most: int) -> list[bytes]:
    strings = readStrings(data)
    if not least <= len(strings) <= most:
        raise MilterError(f"{len(strings)} strings where {least} are needed")
    return strings


def _readHeader(data: bytes) -> tuple[int, bytes, bytes]:
    index, rest = readNumber(data)
    name, value = _strings(rest, 2, 2)
    return index, name, value


def _readPath(data: bytes) -> tuple[bytes, bytes]:
    """An address, and maybe its parameters."""
    strings = _strings(data, 1, 2)
    return strings[0], strings[1] if len(strings) > 1 else b""


_BARE: Mapping[bytes, Answer] = {**{each.value: each for each in Disposition}, b"p": Progress()}
_READERS: dict[bytes, Callable[[bytes], Answer]] = {
    b"O": Negotiation.read,
    b"y": lambda data: ReplyCode(*_strings(data, 1, 1)),
    b"q": lambda data: Quarantine(*_strings(data, 1, 1)),
    b"h": lambda data: AddHeader(*_strings(data, 2, 2)),
    b"i": lambda data: InsertHeader(*_readHeader(data)),
    b"m": lambda data: ChangeHeader(*_readHeader(data)),
    b"e": lambda data: ChangeSender(*_readPath(data)),
    b"+": lambda data: AddRecipient(_strings(data, 1, 1)[0], b""),
    b"2": lambda data: AddRecipient(*_readPath(data)),
    b"-": lambda data: DeleteRecipient(*_strings(data, 1, 1)),
    b"b": ReplaceBody,
}
