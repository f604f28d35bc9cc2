"""The DATA stream of a client: where it ends and what is in it.  Pure.

Chunks go in as they come from the network; octets of the message come out, with
the stuffed dots taken away once.  Only CRLF.CRLF ends the data (RFC 5321 section
4.1.1.4), wherever the chunks are cut.  Nothing is done line by line: the end is
searched in whole chunks, and a few octets are held back where a chunk stops in
the middle of something that may become the end.
"""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_OPEN = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""Beginnings of the end, the longest first."""

_ANY_LINE_END = re.compile(rb"(?:\r\n|\r|\n)(?:\.(?![\r\n]))?")
_OPEN_LINE_END = re.compile(rb"(?:\r\n|\r|\n)\.?\r?\Z")


class DataDecoder:
    """Decodes one message.

    @ivar finished: the end has come; C{rest} holds what follows it.
    @ivar bare: a CR or LF that is not part of a CRLF has been seen.
    @ivar rest: octets behind the end of the data.
    """

    __slots__ = ("_held", "_normalise", "_start", "bare", "finished", "rest")

    def __init__(self, normalise: bool = False) -> None:
        """
        @param normalise: turn bare CR and LF into CRLF (they still don't end the
            data); otherwise they are left as they are and only C{bare} tells.
        """
        self._held = b"\r\n"  # the end of the DATA line: a dot may follow at once
        self._start = True
        self._normalise = normalise
        self.bare = False
        self.finished = False
        self.rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give what is certain of the message."""
        data = self._held + chunk
        end = data.find(_END)
        if end >= 0:
            self.finished = True
            self._held = b""
            self.rest = data[end + 5 :]
            data = data[: end + 2]
        else:
            self._held = b""
            for tail in _OPEN:
                if data.endswith(tail):
                    self._held = tail
                    data = data[: -len(tail)]
                    break
        return self._decoded(data) if data else data

    def _decoded(self, data: bytes) -> bytes:
        """Unstuff, and look for bare line ends.  A CRLF is never cut in two here,
        since a CR at the end of a chunk is held back."""
        pairs = data.count(b"\r\n")
        bare = pairs != data.count(b"\n") or pairs != data.count(b"\r")
        if bare:
            self.bare = True
        if self._normalise:
            data = self._normalised(data)
        elif b"\r\n." in data:
            data = data.replace(b"\r\n.", b"\r\n")
        if self._start and data:
            # The CRLF of the DATA line itself is not part of the message.
            self._start = False
            return data[2:]
        return data

    def _normalised(self, data: bytes) -> bytes:
        """The same, with any line end made a CRLF.  A dot that follows a bare
        line end at the end of the chunk can't be judged yet, so it is held."""
        if self.finished:
            return _ANY_LINE_END.sub(b"\r\n", data)
        tail = _OPEN_LINE_END.search(data)
        if tail is None:
            return _ANY_LINE_END.sub(b"\r\n", data)
        self._held = tail[0] + self._held
        data = data[: tail.start()]
        if data[-1:] == b"." and data[-2:-1] in (b"\r", b"\n"):
            # A dot alone on its line: what ends the line has been held.
            return _ANY_LINE_END.sub(b"\r\n", data[:-1]) + b"."
        return _ANY_LINE_END.sub(b"\r\n", data)
