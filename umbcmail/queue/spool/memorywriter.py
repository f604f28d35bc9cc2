"""Takes large content for the spool in memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from umbcmail.content import MemoryContent
from umbcmail.entry import SpoolError
from umbcmail.interfaces import IContent, IContentWriter
from umbcmail.queue.spool.records import checkId


@implementer(IContentWriter)
class MemoryWriter:
    """Large content in memory all the same."""

    def __init__(self, messageId: str, isOpen: bool) -> None:
        self._pieces: list[bytes] = []
        self._problem: SpoolError | None = None if isOpen else SpoolError("the spool is not open")
        try:
            checkId(messageId)
        except SpoolError as why:
            self._problem = why

    def write(self, data: bytes) -> Deferred[None]:
        """See L{IContentWriter.write}."""
        if self._problem is not None:
            return fail(self._problem)
        self._pieces.append(data)
        return succeed(None)

    def finish(self) -> Deferred[IContent]:
        """See L{IContentWriter.finish}."""
        if self._problem is not None:
            return fail(self._problem)
        self._problem = SpoolError("written after the end")
        return succeed(MemoryContent(b"".join(self._pieces)))

    def abort(self) -> None:
        """See L{IContentWriter.abort}."""
        self._problem = SpoolError("aborted")
        self._pieces = []
