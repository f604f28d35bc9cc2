"""The content of one message in the forms that next hops can take.

Made by an L{Attempt<umbcmail.send.attempt.Attempt>}, asked by its transactions when
a hop offers less than the message was sent with.  Large content is converted in a
thread and in memory: up to L{LARGEST} octets each, and within what all messages of a
courier may use together (L{Room}).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from umbcmail.content import InThread, MemoryContent
from umbcmail.interfaces import IContent
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, Reply
from umbcmail.send.problems import BUSY_CONVERTING, NEEDS_8BITMIME, TOO_BIG_TO_CONVERT, UNREADABLE, WIDE_HEADER
from umbcmail.send.sevenbit import CannotConvert, isPlain, sevenBit

AT_ONCE = 64 * 1024
"""Octets that are converted without a thread."""
LARGEST = 32 * 1024 * 1024
"""The most octets that are converted."""


class Room:
    """Memory for conversions.

    @ivar left: octets.
    """

    def __init__(self, octets: int = 4 * LARGEST) -> None:
        self.left = octets


class Fitting:
    """The forms of one content."""

    def __init__(self, id: str, content: IContent, binary: bool, room: Room, inThread: InThread, log: MailLog) -> None:
        """
        @param id: of the message.
        @param binary: declared as BINARYMIME (RFC 3030).
        """
        self._id = id
        self._content = content
        self._binary = binary
        self._room = room
        self._inThread = inThread
        self._log = log
        self._made: dict[tuple[bool, bool], IContent | Reply] = {}
        self._taken = 0
        self._working = False
        self._over = False

    def made(self, narrow: bool, seven: bool) -> IContent | Reply | Deferred[IContent | Reply]:
        """The content in a form that fits.  Not to be asked again before it has answered.

        @param narrow: the header must be ASCII (RFC 6531 section 3.6).
        @param seven: all of it must be.
        @return: it, or why it can't be; the L{Deferred} never fails.
        """
        found = self._made.get((narrow, seven))
        if found is not None:
            return found
        data = self._content.data
        if data is not None and len(data) <= AT_ONCE:
            return self._keep(self._fit(data, narrow, seven), narrow, seven)
        self._working = True
        reading: Deferred[IContent | Reply] = self._large(narrow, seven)
        return reading.addErrback(self._bug).addBoth(self._worked).addCallback(self._keep, narrow, seven)

    def release(self) -> None:
        """Nothing more is asked for."""
        self._over = True
        self._made.clear()
        if not self._working:
            self._room.left += self._taken
            self._taken = 0

    def _worked(self, result: IContent | Reply) -> IContent | Reply:
        self._working = False
        if self._over:
            self.release()
        return result

    def _keep(self, result: IContent | Reply, narrow: bool, seven: bool) -> IContent | Reply:
        if not isinstance(result, Reply) or result.isPermanent:
            self._made[narrow, seven] = result
        return result

    def _bug(self, failure: Failure) -> Reply:
        if failure.check(OSError):
            self._log.trouble(self._id, "content", failure.getErrorMessage())
            return UNREADABLE
        self._log.bug(self._id, "send", failure)
        return LOCAL_ERROR

    def _fit(self, data: bytes, narrow: bool, seven: bool) -> IContent | Reply:
        if narrow and _hasWideHeader(data):
            return WIDE_HEADER
        if not seven or (isPlain(data) if self._binary else data.isascii()):
            return self._content
        try:
            return MemoryContent(sevenBit(data))
        except CannotConvert as why:
            self._log.trouble(self._id, "8-bit content", str(why))
            return NEEDS_8BITMIME

    @inlineCallbacks
    def _large(self, narrow: bool, seven: bool) -> Any:
        """The same for content that is large, or not in memory."""
        size = self._content.size
        if not seven or size > LARGEST:
            result = yield self._looked(narrow, seven)
            return result
        if not self._taken:
            if self._room.left < size:
                return BUSY_CONVERTING
            self._room.left -= size
            self._taken = size
        data = self._content.data
        if data is None:
            data = yield self._read()
        result = yield self._inThread(self._fit, data, narrow, seven)
        return result

    @inlineCallbacks
    def _read(self) -> Any:
        reader = self._content.open()
        pieces: list[bytes] = []
        try:
            while piece := (yield reader.read()):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            reader.close()

    @inlineCallbacks
    def _looked(self, narrow: bool, seven: bool) -> Any:
        """Whether it can go as it is; the header is in the first piece."""
        reader = self._content.open()
        isFirst = True
        try:
            while piece := (yield reader.read()):
                if isFirst and narrow and _hasWideHeader(piece):
                    return WIDE_HEADER
                if seven and (self._binary or not piece.isascii()):
                    return TOO_BIG_TO_CONVERT
                if not seven:
                    break
                isFirst = False
            return self._content
        finally:
            reader.close()


def _hasWideHeader(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    return not (data[:end] if end >= 0 else data).isascii()
