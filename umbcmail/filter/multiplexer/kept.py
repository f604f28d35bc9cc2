"""The octets of a message while an MTA shows it: in memory, past a limit in a file without
a name.

Made by `hearing` for each message.  Files are written and read in threads; who shows the
message is held up while they are not fast enough.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import IO, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.content import PIECE, InThread, MemoryContent
from umbcmail.interfaces import IContent, IContentReader

UNWRITTEN = 1024 * 1024
"""Octets that may wait for the disk."""


class Kept:
    """The octets.

    @ivar size: of all of it, kept or not.
    @ivar isTooLarge: it is more than may come; the octets are gone.
    """

    def __init__(self, memory: int, limit: int, folder: str, inThread: InThread, hold: Callable[[bool], None]) -> None:
        """
        @param memory: octets that are kept in memory.
        @param limit: octets that there may be.
        @param folder: for the file.
        @param hold: called with True when nothing more can be taken, then with False.
        """
        self.size = 0
        self._memory = memory
        self._limit = limit
        self._folder = folder
        self._inThread = inThread
        self._hold = hold
        self._parts: list[bytes] = []
        self._waiting = 0
        self._isHeld = False
        self._file: IO[bytes] | None = None
        self._writing: Deferred[Any] | None = None
        self._finished: Deferred[None] | None = None
        self._trouble: OSError | None = None
        self._isClosed = False

    @property
    def isTooLarge(self) -> bool:
        """See above."""
        return self.size > self._limit

    def add(self, octets: bytes) -> None:
        """Some more."""
        self.size += len(octets)
        if self.isTooLarge or self._trouble is not None or self._isClosed:
            self._parts = []
            return
        self._parts.append(octets)
        if self.size <= self._memory:
            if len(self._parts) > 1000:
                self._parts = [b"".join(self._parts)]
            return
        self._waiting += len(octets)
        self._write()
        if self._waiting > UNWRITTEN and not self._isHeld:
            self._isHeld = True
            self._hold(True)

    def _write(self) -> None:
        """Give the disk what waits, if it has nothing to do."""
        if self._writing is None and self._parts:
            data, self._parts = b"".join(self._parts), []
            self._waiting = 0
            self._writing = self._inThread(self._put, data)
            self._writing.addErrback(self._failed).addCallback(self._written)

    def _put(self, data: bytes) -> None:
        """In a thread."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - until C{close}
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _failed(self, failure: Failure) -> None:
        failure.trap(OSError)
        assert isinstance(failure.value, OSError)
        self._trouble = failure.value
        self._parts = []

    def _written(self, _: Any) -> None:
        self._writing = None
        if self._isClosed:
            self._shut()
            return
        self._write()
        if self._isHeld and self._waiting <= UNWRITTEN:
            self._isHeld = False
            self._hold(False)
        if self._writing is None and self._finished is not None:
            finished, self._finished = self._finished, None
            finished.callback(None)

    def finish(self) -> Deferred[IContent]:
        """All has come.  @return: fails with L{OSError}."""
        if self._writing is not None:
            self._finished = Deferred()
            return self._finished.addCallback(lambda _: self.finish())
        if self._trouble is not None:
            return fail(self._trouble)
        if self._file is None:
            data, self._parts = b"".join(self._parts), []
            return succeed(MemoryContent(data))
        return succeed(_NamelessContent(self._file, self.size, self._inThread))

    def close(self) -> None:
        """Nobody needs it any more; who reads it may go on."""
        self._isClosed = True
        self._parts = []
        if self._writing is None:
            self._shut()

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@implementer(IContent)
class _NamelessContent:
    """In a file that has no name."""

    data = None

    def __init__(self, file: IO[bytes], size: int, inThread: InThread) -> None:
        self.size = size
        self._file = file
        self._inThread = inThread

    def open(self) -> _Reader:
        """See L{IContent.open}.  @raise ValueError: the message is over."""
        return _Reader(os.dup(self._file.fileno()), self._inThread)


@implementer(IContentReader)
class _Reader:
    """Has a descriptor of its own, so that it can't read what another file has become."""

    def __init__(self, fd: int, inThread: InThread) -> None:
        self._fd = fd
        self._inThread = inThread
        self._at = 0
        self._isBusy = False
        self._isClosed = False

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        self._isBusy = True
        return self._inThread(os.pread, self._fd, PIECE, self._at).addBoth(self._has)

    def _has(self, result: Any) -> Any:
        self._isBusy = False
        if self._isClosed:
            self._shut()
        if isinstance(result, bytes):
            self._at += len(result)
        return result

    def close(self) -> None:
        """See L{IContentReader.close}; waits for a read that is under way."""
        self._isClosed = True
        if not self._isBusy:
            self._shut()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
