"""Transparency of RFC 5321 section 4.5.2: a dot at the start of a line is doubled.

Content goes out octet for octet.  Should a bare CR or LF be in it in spite of
all that watches over it, it becomes CRLF first: servers that read C{\\n.\\r\\n}
as the end of data would otherwise take the rest for commands.
C{stuffed} does a whole message in memory, L{Stuffing} one that comes in pieces,
wherever they are cut.  Pure.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


def normalised(data: bytes) -> bytes:
    """With CRLF for each CR, LF or CRLF."""
    ends = data.count(b"\r\n")
    if data.count(b"\n") == ends and data.count(b"\r") == ends:
        return data
    return _LINE_END.sub(b"\r\n", data)


def stuffed(data: bytes) -> bytes:
    """A whole message as it goes over the wire, with the final dot."""
    data = normalised(data)
    if b"\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    if data[:1] == b".":
        data = b"." + data
    if data and data[-2:] != b"\r\n":
        return data + b"\r\n.\r\n"
    return data + b".\r\n"


class LineEnds:
    """The line ends of a message in pieces, made CRLF wherever those are cut."""

    def __init__(self) -> None:
        self._atLineStart = True
        self._heldCR = False

    def feed(self, piece: bytes) -> bytes:
        """The octets to send for a piece.  A CR at its end waits for the next."""
        if self._heldCR:
            piece = b"\r" + piece
        self._heldCR = piece[-1:] == b"\r"
        if self._heldCR:
            piece = piece[:-1]
        if piece:
            piece = normalised(piece)
            self._atLineStart = piece[-2:] == b"\r\n"
        return piece

    def finish(self) -> bytes:
        """What ends the last line."""
        return b"" if self._atLineStart and not self._heldCR else b"\r\n"


class Stuffing(LineEnds):
    """The same, and transparent."""

    def feed(self, piece: bytes) -> bytes:
        """See L{LineEnds.feed}."""
        isLineStart = self._atLineStart
        piece = super().feed(piece).replace(b"\r\n.", b"\r\n..")
        return b"." + piece if isLineStart and piece[:1] == b"." else piece

    def finish(self) -> bytes:
        """What ends the message."""
        return super().finish() + b".\r\n"
