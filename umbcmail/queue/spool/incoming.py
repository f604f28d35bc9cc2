"""Receives large content into a file, in a thread.

Made by C{newContent} for a message over the size that is held in memory.  Small
writes are gathered; one job at a time writes what has come in by then, so that
octets stay in order.  After an error all calls fail, and nothing stays behind.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.content import FileContent, InThread
from umbcmail.entry import SpoolError, SpoolFull
from umbcmail.interfaces import IContent, IContentWriter
from umbcmail.queue.spool.errors import spoolError
from umbcmail.queue.spool.files import removeFile
from umbcmail.queue.spool.room import Room

GATHER = 64 * 1024
"""Octets that may wait in memory for more."""


@implementer(IContentWriter)
class IncomingContent:
    """A file that is being written.

    @param path: where; must not be there yet.
    @param inThread: runs a function in a thread.
    @param problem: it can't be written at all, every call fails with this.
    @param room: the rest of the disk, which is asked before anything is written.
    @param size: octets that are expected; kept for it in C{Room.promised}.
    """

    def __init__(
        self,
        path: str,
        inThread: InThread,
        problem: SpoolError | None = None,
        room: Room | None = None,
        size: int = 0,
    ) -> None:
        self._path = path
        self._inThread = inThread
        self._problem = problem
        self._fd = -1
        self._made = False
        self._size = 0
        self._gathered: list[bytes] = []
        self._waiting = 0
        self._callers: list[Deferred[None]] = []
        self._finished: Deferred[IContent] | None = None
        self._busy = False
        self._aborted = False
        self._room = room
        self._promised = 0
        if room is not None and problem is None:
            if room.isFull(size):
                self._problem = SpoolFull("the disk has no room for a message of this size")
            else:
                self._promised = size
                room.promised += size

    def _kept(self, octets: int) -> None:
        """So many octets are not expected any more."""
        if self._room is not None:
            octets = min(octets, self._promised)
            self._promised -= octets
            self._room.promised -= octets

    def write(self, data: bytes) -> Deferred[None]:
        """See L{IContentWriter.write}."""
        if self._problem is not None:
            return fail(self._problem)
        if self._finished is not None or self._aborted:
            return fail(SpoolError("written after the end"))
        self._gathered.append(data)
        self._waiting += len(data)
        self._size += len(data)
        if self._waiting < GATHER:
            return succeed(None)
        written: Deferred[None] = Deferred()
        self._callers.append(written)
        if not self._busy:
            self._start()
        return written

    def finish(self) -> Deferred[IContent]:
        """See L{IContentWriter.finish}."""
        if self._problem is not None:
            return fail(self._problem)
        if self._finished is not None or self._aborted:
            return fail(SpoolError("finished after the end"))
        finished: Deferred[IContent] = Deferred()
        self._finished = finished
        if not self._busy:
            self._start()
        return finished

    def abort(self) -> None:
        """See L{IContentWriter.abort}."""
        if self._aborted or (self._finished is not None and not self._busy):
            return
        self._aborted = True
        self._gathered = []
        if not self._busy:
            self._drop()

    def _start(self) -> None:
        """Write what has been gathered, in a thread."""
        gathered, self._gathered, self._waiting = self._gathered, [], 0
        callers, self._callers = self._callers, []
        self._busy = True
        last = self._finished is not None
        self._kept(self._promised if last else sum(map(len, gathered)))
        self._inThread(self._put, gathered, last).addBoth(self._wrote, callers, last)

    def _put(self, gathered: list[bytes], last: bool) -> None:
        if self._room is not None:
            self._room.check()
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._made = True
        data = memoryview(b"".join(gathered))
        while data:
            data = data[os.write(self._fd, data) :]
        if last:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _wrote(self, result: Any, callers: list[Deferred[None]], last: bool) -> None:
        self._busy = False
        if isinstance(result, Failure):
            self._problem = spoolError(result.value)  # type: ignore[arg-type]
        elif self._aborted:
            self._problem = SpoolError("aborted")
        if self._problem is not None:
            self._giveUp(self._problem, callers)
            return
        finished = self._finished
        if not last and (self._callers or finished is not None):
            self._start()
        for caller in callers:
            caller.callback(None)
        if last and finished is not None:
            finished.callback(FileContent(self._path, self._size, self._inThread))

    def _giveUp(self, problem: SpoolError, callers: list[Deferred[None]]) -> None:
        self._drop()
        callers, self._callers, self._gathered = callers + self._callers, [], []
        for caller in callers:
            caller.errback(problem)
        if self._finished is not None:
            self._finished.errback(problem)

    def _drop(self) -> None:
        """Remove the file, in a thread."""
        self._kept(self._promised)
        self._problem = self._problem or SpoolError("aborted")
        self._inThread(self._remove).addErrback(lambda why: None)

    def _remove(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if self._made:  # else it is somebody else's
            removeFile(self._path)
