"""A message while it comes in by LMTP: the end is found, dots are unstuffed, lines end with
LF from then on; in memory, past a limit in a file without a name.

Made by `session` for each DATA.  Files are written in threads; the session stops reading
meanwhile.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, Any

from twisted.internet.defer import Deferred, maybeDeferred

InThread = Callable[..., Deferred[Any]]
"""C{deferToThread} or the like."""
BEGINNING = 64 * 1024
"""Octets that are kept for looks at the header."""
_PREFIXES = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""Beginnings of what may become the end or a stuffed dot."""


class Decoder:
    """From what a client sends behind DATA (RFC 5321 section 4.5.2) to lines that end
    with LF."""

    def __init__(self) -> None:
        self._held = b"\r\n"  # the line end before the first line
        self._isFirst = True

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Some more octets.

        @return: content, and what stands behind the end, or L{None} before it.
        """
        data = self._held + data
        end = data.find(b"\r\n.\r\n")
        rest = None
        if end >= 0:
            data, rest = data[: end + 2], data[end + 5 :]
        else:
            held = next((prefix for prefix in _PREFIXES if data.endswith(prefix)), b"")
            self._held = held
            data = data[: len(data) - len(held)]
        content = data.replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n")
        if self._isFirst and content:
            self._isFirst = False
            content = content[1:]
        return content, rest


class Letter:
    """The message.

    @ivar sender: reverse-path.
    @ivar size: octets with LF, kept or not.
    @ivar isTooBig: more has come than may.
    @ivar trouble: why it can't be kept, or L{None}.
    @ivar data: all of it, when it is in memory.
    @ivar file: descriptor that can only be read, when it is not, or -1.
    """

    def __init__(self, sender: str, memory: int, limit: int, folder: str, inThread: InThread) -> None:
        """
        @param memory: octets that are kept in memory.
        @param limit: octets that it may have.
        @param folder: for the file.
        """
        self.sender = sender
        self.size = 0
        self.data = b""
        self.file = -1
        self.trouble: OSError | None = None
        self._pieces: list[bytes] = []
        self._memory = memory
        self._limit = limit
        self._folder = folder
        self._inThread = inThread
        self._written: IO[bytes] | None = None
        self._beginning = b""

    @property
    def isTooBig(self) -> bool:
        """See above."""
        return self.size > self._limit

    @property
    def beginning(self) -> bytes:
        """The beginning, with the header."""
        return self._beginning or self.data[:BEGINNING]

    def add(self, content: bytes) -> Deferred[None] | None:
        """Some more of it.

        @return: a L{Deferred} when the caller has to wait until it is written.
        """
        self.size += len(content)
        if self.isTooBig or self.trouble is not None:
            self._pieces = []
            return None
        self._pieces.append(content)
        if self._written is None and self.size <= self._memory:
            return None
        data, self._pieces = b"".join(self._pieces), []
        self._beginning += data[: BEGINNING - len(self._beginning)]
        return maybeDeferred(self._inThread, self._write, data).addErrback(self._failed)

    def _write(self, data: bytes) -> None:
        """In a thread."""
        if self._written is None:
            self._written = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - until C{close}
        view = memoryview(data)
        while view:
            view = view[self._written.write(view) :]

    def _failed(self, failure: Any) -> None:
        failure.trap(OSError)
        self.trouble = failure.value

    def finish(self) -> None:
        """All has come.  @raise OSError: it could not be kept."""
        if self.trouble is not None:
            raise self.trouble
        if self._written is None:
            self.data, self._pieces = b"".join(self._pieces), []
        else:
            # Another description of the file: who gets this one can't write.
            self.file = os.open(f"/proc/self/fd/{self._written.fileno()}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Nobody needs it any more."""
        self._pieces = []
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        if self._written is not None:
            self._written.close()
            self._written = None
