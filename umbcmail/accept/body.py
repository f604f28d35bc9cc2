"""Collects a message while it comes in: in memory, past a limit in a file.

Made by `dialogue` for each DATA, fed by `session` with decoded octets.  Over the
size limit nothing more is kept; the client is told once, after the dot.  When the
disk is slower than the client, the session is asked to stop reading.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from umbcmail.accept.fixups import headerEnd
from umbcmail.content import MemoryContent
from umbcmail.interfaces import IContent, IContentWriter

MEMORY_LIMIT = 256 * 1024
"""Octets kept in memory; larger messages become files."""
PIECES = 1000
"""Pieces in memory after which they are joined: many tiny ones cost much more than
their octets."""
UNWRITTEN_LIMIT = 1024 * 1024
"""Octets that may wait for the disk before the client is held up."""


class Body:
    """The content of one message in the making.

    @ivar size: octets that came, kept or not, without our trace field.
    @ivar beginning: the first octets, for looks at the header (at most about
        L{MEMORY_LIMIT} and one chunk).
    @ivar isHeaderTooLarge: the header was to be mended, and does not end in there.
    """

    def __init__(
        self,
        trace: bytes,
        limit: int,
        newWriter: Callable[[], IContentWriter],
        hold: Callable[[bool], None],
        mend: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """
        @param trace: what we put on top.
        @param limit: octets allowed.
        @param newWriter: makes a place for large content.
        @param hold: called with True when the client shall wait, then with False.
        @param mend: makes of a header what shall stand in its place.
        """
        self.size = 0
        self.beginning = b""
        self._chunks = [trace]
        self._traceSize = len(trace)
        self._limit = limit
        self._newWriter = newWriter
        self._hold = hold
        self._writer: IContentWriter | None = None
        self._unwritten = 0
        self._failure: Failure | None = None
        self._mend = mend
        self.isHeaderTooLarge = False

    @property
    def contentSize(self) -> int:
        """Octets of the content, with our trace field."""
        return self._traceSize + self.size

    @property
    def isTooBig(self) -> bool:
        """More has come than is allowed."""
        return self.size > self._limit

    def add(self, data: bytes) -> None:
        """Some more octets."""
        self.size += len(data)
        if self.size > self._limit:
            self.abort()
            return
        if self._writer is not None:
            self._write(data)
            return
        self._chunks.append(data)
        if self.size > MEMORY_LIMIT:
            if self._mend is not None:
                self.mend(False)
            whole = b"".join(self._chunks)
            self.beginning = whole[len(self._chunks[0]) :]
            self._chunks = []
            self._writer = self._newWriter()
            self._write(whole)
        elif len(self._chunks) > PIECES:
            self._chunks[1:] = [b"".join(self._chunks[1:])]

    def mend(self, isWhole: bool = True) -> None:
        """Mend the header, once, if that is wanted; to be called at the end.

        @param isWhole: nothing more comes, so all may be header.
        """
        mend, self._mend = self._mend, None
        if mend is None or not self._chunks:
            return
        data = b"".join(self._chunks[1:])
        end = headerEnd(data)
        if end < 0:
            if not isWhole:
                self.isHeaderTooLarge = True
                return
            end = len(data)
        header = mend(data[:end])
        self._traceSize += len(header) - end
        self._chunks[1:] = [header + data[end:]]

    def _write(self, data: bytes) -> None:
        if self._failure is not None or self._writer is None:
            return
        size = len(data)
        self._unwritten += size
        self._writer.write(data).addCallbacks(self._written, self._failed, callbackArgs=(size,))
        if self._unwritten > UNWRITTEN_LIMIT:
            self._hold(True)

    def _written(self, _: None, size: int) -> None:
        before = self._unwritten
        self._unwritten -= size
        if before > UNWRITTEN_LIMIT >= self._unwritten:
            self._hold(False)

    def _failed(self, failure: Failure) -> None:
        """The rest is thrown away; L{finish} tells."""
        if self._failure is None:
            self._failure = failure
            self._unwritten = 0
            self._hold(False)

    def finish(self) -> IContent | Deferred[IContent]:
        """All has come.

        @return: L{IContent}, or a L{Deferred} of it for large ones; fails with
            C{SpoolError}.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self.abort()
            return fail(failure)
        if self._writer is None:
            chunks, self._chunks = self._chunks, []
            self.beginning = chunks[1] if len(chunks) == 2 else b"".join(chunks[1:])
            return MemoryContent(b"".join(chunks))
        writer, self._writer = self._writer, None
        return writer.finish()

    def abort(self) -> None:
        """Nothing of it is wanted any more."""
        self._chunks = []
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.abort()
        if self._unwritten > UNWRITTEN_LIMIT:
            self._hold(False)
        self._unwritten = 0
