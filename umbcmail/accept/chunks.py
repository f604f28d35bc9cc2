"""BDAT (RFC 3030): its command, its chunks, and the line ends over all of them.

Pure.  `session` reads the octets of a chunk by their number and never looks into
them for an end; `transaction` looks at line ends, which chunks may cut in two.
A BDAT whose size can't be read makes what follows it unreadable too: nobody knows
where the next command begins, so the connection has to end there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail import reply
from umbcmail.accept.grammar import CommandError
from umbcmail.reply import Reply

SWALLOWED = 10
"""How many times the size limit a refused chunk may have for its octets to be read
and thrown away; a larger one ends the connection."""

READ_CHUNK = Reply(0, "", ())
"""In place of a reply: the octets of the chunk come first."""

_BDAT = re.compile(rb"[ \t]*BDAT(?![A-Za-z0-9])", re.IGNORECASE)
_ARGUMENT = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE | re.ASCII)
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a BDAT announces.

    @ivar size: octets that follow.
    @ivar last: the message ends with it.
    @ivar refusal: it is read only to be thrown away, and this is said then.
    @ivar line: the command, for the log.
    """

    size: int
    last: bool = False
    refusal: Reply | None = None
    line: bytes = b""


def isChunk(line: bytes) -> bool:
    """Whether a line is a BDAT, however wrong: octets may follow it."""
    return _BDAT.match(line) is not None


def parseChunk(argument: str) -> Chunk:
    """The argument of BDAT.

    @raise CommandError: with C{reply.BAD_CHUNK}.
    """
    found = _ARGUMENT.fullmatch(argument)
    if found is None:
        raise CommandError(reply.BAD_CHUNK)
    return Chunk(int(found[1]), found[2] is not None, None, b"BDAT " + argument.encode())


def refusedChunk(line: bytes, answer: Reply, sizeLimit: int) -> Chunk | Reply:
    """What becomes of a BDAT that is refused.

    @param line: the command.
    @param sizeLimit: octets that a message may have.
    @return: the chunk to be read (RFC 3030 section 2: "MUST accept and discard"),
        or a reply after which the connection must end.
    """
    try:
        chunk = parseChunk(line.decode("latin-1").strip(" \t")[4:].strip(" "))
    except CommandError as why:
        return why.reply
    if chunk.size > sizeLimit * SWALLOWED:
        return reply.CHUNK_TOO_BIG
    return Chunk(chunk.size, chunk.last, answer, line)


class ChunkReader:
    """Counts the octets of a chunk; stands where C{DataDecoder} stands for DATA.

    @ivar finished: all have come; C{rest} holds what follows them.
    @ivar rest: octets behind the chunk.
    @ivar bare: always false: L{LineEnds} tells, for all chunks together.
    """

    __slots__ = ("_left", "finished", "rest")
    bare = False

    def __init__(self, size: int) -> None:
        self._left = size
        self.finished = size == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take octets, give those of the chunk."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self.finished = True
        if left == 0:
            return data
        self.rest = data[left:]
        return data[:left]


class LineEnds:
    """Watches over the line ends of a message that comes in chunks.

    @ivar bare: a CR or LF that is not part of a CRLF has been seen, and has not
        been mended.
    """

    __slots__ = ("_atLineStart", "_held", "_normalise", "bare")

    def __init__(self, normalise: bool) -> None:
        """
        @param normalise: make each of them a CRLF; otherwise C{bare} tells.
        """
        self._normalise = normalise
        self._held = b""
        self._atLineStart = True
        self.bare = False

    def feed(self, data: bytes) -> bytes:
        """Take some octets, give what is certain.  A CR at the end is held back:
        an LF may follow in the next chunk."""
        data = self._held + data if self._held else data
        if data[-1:] == b"\r":
            self._held = b"\r"
            data = data[:-1]
        else:
            self._held = b""
        if data:
            data = self._judged(data)
            self._atLineStart = data[-2:] == b"\r\n"
        return data

    def _judged(self, data: bytes) -> bytes:
        pairs = data.count(b"\r\n")
        if pairs == data.count(b"\n") and pairs == data.count(b"\r"):
            return data
        if self._normalise:
            return _LINE_END.sub(b"\r\n", data)
        self.bare = True
        return data

    def finish(self) -> bytes:
        """The message has come to its end.  @return: what ends its last line, when
        that has no end: neither DATA nor a mailbox could carry it so."""
        if self._held:
            self._held = b""
            self.bare = not self._normalise or self.bare
            return b"\r\n"
        return b"" if self._atLineStart else b"\r\n"
