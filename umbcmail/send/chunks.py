"""Content in chunks (BDAT, RFC 3030): nothing is searched for dots, and the octets of
a chunk go out as they are.

L{ChunkPouring} is for content that is not in memory, C{oneChunk} for the rest; L{Tally}
counts what has been answered.  A chunk is written whole, so that wherever the sending
stops, the next hop is between two commands.  Line ends are made CRLF as for DATA, since
the next hop may have to go on by DATA; but not those of BINARYMIME.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from umbcmail.interfaces import IContent
from umbcmail.send.pouring import Pouring
from umbcmail.send.stuffing import LineEnds, normalised

LARGE = 64 * 1024
"""Content in memory of up to this many octets goes by DATA, unless there is a need for
chunks: one write, and nothing to win."""
NEVER = 1 << 62
"""Octets that no content has."""
AHEAD = 8
"""Chunks that may be sent before the reply to the first of them has come."""
UNKNOWN = (500, 502, 503)
"""Replies to a first chunk that say that there is no BDAT, whatever was offered."""


def oneChunk(data: bytes, binary: bool) -> bytes:
    """A whole message as it goes over the wire.

    @param binary: declared as BINARYMIME: octets are left alone.
    """
    if not binary:
        data = normalised(data)
        if data and data[-2:] != b"\r\n":
            data += b"\r\n"
    return b"BDAT %d LAST\r\n%b" % (len(data), data)


class Tally:
    """The chunks of one transaction.

    @ivar answered: those with a reply.
    @ivar sent: those that the transport has been given, the last one too.
    """

    __slots__ = ("answered", "sent")

    def __init__(self) -> None:
        self.answered = 0
        self.sent = 0

    @property
    def due(self) -> int:
        """Replies that are to come."""
        return self.sent - self.answered


class ChunkPouring(Pouring):
    """The way of one content into one transport; a piece as it is read (not more than
    256 KiB, see L{umbcmail.content.PIECE}) is a chunk.

    The piece read last is kept back until it is known whether another one follows:
    some servers do not like an empty last chunk.
    """

    def __init__(
        self,
        transport: Any,
        content: IContent,
        onProgress: Callable[[], None],
        onChunk: Callable[[bool], None],
        onTrouble: Callable[[Failure], None],
        tally: Tally,
        ahead: int,
        binary: bool,
    ) -> None:
        """
        @param onChunk: called right before a chunk is handed to the transport,
            with whether it is the last one.
        @param ahead: chunks that may be sent before the first of them is answered.
        @param binary: octets are left alone.
        """
        super().__init__(transport, content, onProgress, lambda: onChunk(True), onTrouble)
        self._onChunk = onChunk
        self._tally = tally
        self._ahead = ahead
        self._lineEnds = None if binary else LineEnds()
        self._kept = b""

    def _next(self) -> None:
        if self._tally.due < self._ahead:
            super()._next()

    def answered(self) -> None:
        """A chunk has been; go on if that was what was waited for."""
        self._next()

    def _piece(self, piece: bytes) -> None:
        self._reading = False
        if self._over:
            return
        self._onProgress()
        lineEnds = self._lineEnds
        if not piece:
            if lineEnds is not None:
                self._kept += lineEnds.finish()
            self._sendLast()
            return
        if lineEnds is not None:
            piece = lineEnds.feed(piece)
        if piece:
            self._sendKept()
            self._kept = piece
        self._next()

    def _sendKept(self) -> None:
        """What is kept; another one follows it."""
        kept = self._kept
        if kept:
            self._onChunk(False)
            self._transport.writeSequence((b"BDAT %d\r\n" % len(kept), kept))

    def _sendLast(self) -> None:
        kept, self._kept = self._kept, b""
        self._end()
        self._onDot()
        self._transport.writeSequence((b"BDAT %d LAST\r\n" % len(kept), kept))
