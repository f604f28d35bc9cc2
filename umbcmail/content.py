"""The content of a message: header and body, octets, as it goes out.

Small ones are held in memory, larger ones are files that belong to the spool.
Who only wants the octets asks for `data` first, which is the fast way, and
reads by pieces where that is L{None}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from zope.interface import implementer

from umbcmail.interfaces import IContent, IContentReader

PIECE = 256 * 1024
"""Octets read at a time from a file."""
HEADER_LIMIT = 64 * 1024
"""Octets of a large message that are looked at for its header."""

InThread = Callable[..., "Deferred[Any]"]
"""C{deferToThread} or the like: called with a function and its arguments."""


@implementer(IContent)
class MemoryContent:
    """Content held in memory.

    @ivar data: all of it.
    """

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def open(self) -> _MemoryReader:
        """See L{IContent.open}."""
        return _MemoryReader(self.data)


@implementer(IContentReader)
class _MemoryReader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        return succeed(piece)

    def close(self) -> None:
        """Nothing to close."""


@implementer(IContent)
class FileContent:
    """Content in a file that somebody else owns, moves and removes.

    @ivar path: where it is; who moves it sets this before the file leaves its
        old place, so that it can be read on.
    @ivar size: octets.
    """

    __slots__ = ("_inThread", "data", "path", "size")

    def __init__(self, path: str, size: int, inThread: InThread) -> None:
        self.data = None
        self.path = path
        self.size = size
        self._inThread = inThread

    def open(self) -> _FileReader:
        """See L{IContent.open}."""
        return _FileReader(self, self._inThread)


@implementer(IContentReader)
class _FileReader:
    """Reads in a thread, so that a slow disk does not hold up the reactor."""

    def __init__(self, content: FileContent, inThread: InThread) -> None:
        self._content = content
        self._inThread = inThread
        self._fd = -1
        self._busy = False
        self._closed = False

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        self._busy = True
        return self._inThread(self._read).addBoth(self._idle)

    def _read(self) -> bytes:
        if self._fd < 0:
            self._fd = self._opened()
        return os.read(self._fd, PIECE)

    def _opened(self) -> int:
        path = self._content.path
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._content.path == path:
                raise
            return os.open(self._content.path, os.O_RDONLY | os.O_CLOEXEC)  # it was moved just now

    def _idle(self, result: Any) -> Any:
        self._busy = False
        if self._closed:
            self._shut()
        return result

    def close(self) -> None:
        """See L{IContentReader.close}; waits for a read that is under way."""
        self._closed = True
        if not self._busy:
            self._shut()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@implementer(IContent)
class ToppedContent:
    """A content with more fields on top of it."""

    __slots__ = ("_content", "_top", "data", "size")

    def __init__(self, top: bytes, content: IContent) -> None:
        self._top = top
        self._content = content
        self.data = None if content.data is None else top + content.data
        self.size = len(top) + content.size

    def open(self) -> _ToppedReader:
        """See L{IContent.open}."""
        return _ToppedReader(self._top, self._content.open())


@implementer(IContentReader)
class _ToppedReader:
    def __init__(self, top: bytes, reader: IContentReader) -> None:
        self._top = top
        self._reader = reader

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        if not self._top:
            return self._reader.read()
        top, self._top = self._top, b""
        return succeed(top)

    def close(self) -> None:
        """See L{IContentReader.close}."""
        self._reader.close()


def beginningOf(content: IContent, limit: int) -> Deferred[bytes]:
    """The first octets of a content; all of it where it is held in memory.

    @param limit: octets, otherwise.
    @return: L{Deferred}; fails with L{OSError}.
    """
    if content.data is not None:
        return succeed(content.data)
    read: Deferred[bytes] = _begun(content, limit)
    return read


@inlineCallbacks
def _begun(content: IContent, limit: int) -> Any:
    reader = content.open()
    try:
        octets = b""
        while len(octets) < min(limit, content.size) and (piece := (yield reader.read())):
            octets += piece
    finally:
        reader.close()
    return octets[:limit]
