"""One message is shown to one filter: header, body, the end; and what comes back.

Made by `milter` when a message is complete.  Fields and pieces go out one after the other
where the filter answers each of them, and in one stream where it does not, or where its
answers are not waited for (pipelining); a file is read
only as fast as the filter takes it.  Edits are gathered and handed over with the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twisted.python.failure import Failure

from umbcmail.filter import commands
from umbcmail.filter.answers import Answer, Disposition, Quarantine
from umbcmail.filter.codec import DATA_LIMIT
from umbcmail.filter.connection import Final, MilterConnection
from umbcmail.filter.edits import Edits
from umbcmail.filter.message import Message
from umbcmail.filter.negotiation import HDR_LEADSPC, NR_HDR
from umbcmail.interfaces import IContentReader


class Exchange:
    """The exchange.

    @ivar edits: what the filter wants to have changed; L{None}: nothing so far.
    @ivar isComplete: the end of the body has been answered.
    """

    def __init__(
        self,
        connection: MilterConnection,
        message: Message,
        macros: Callable[[bytes], bytes],
        newEdits: Callable[[], Edits],
        isPipelined: bool,
        over: Callable[[Final], None],
        unreadable: Callable[[Failure], None],
    ) -> None:
        """
        @param macros: the packet of a command's macros, by its letter.
        @param isPipelined: answers are not waited for, and DATA comes first; then one that ends it too
            early leaves a connection that is of no use any more.
        @param over: called with the answer that ends it.
        @param unreadable: called instead when the message can't be read.
        """
        self.edits: Edits | None = None
        self.isComplete = False
        self._connection = connection
        self._message = message
        self._macros = macros
        self._newEdits = newEdits
        self._isPipelined = isPipelined
        self._sent: deque[bytes] = deque()
        self._over = over
        self._unreadable = unreadable
        self._packets: Iterator[tuple[bytes, bytes]] = self._all()
        self._skipped = b""
        self._letter = b""
        self._isGoing = False
        self._isOver = False
        self._reader: IContentReader | None = None
        self._piece = b""
        self._at = 0

    def begin(self) -> None:
        """Go."""
        self._go()

    # Out

    def _all(self) -> Iterator[tuple[bytes, bytes]]:
        """Letters and packets, in order; nothing (C{b""}) where a piece must be read first."""
        unwanted, terms = self._connection.unwanted, self._connection.terms
        assert terms is not None
        whole = self._message.whole() if self._connection.takesWhole else None
        if whole is not None and len(whole) <= commands.WHOLE_LIMIT:
            yield commands.END_OF_BODY, self._macros(commands.END_OF_BODY) + commands.whole(whole)
            return
        if self._isPipelined and commands.DATA not in unwanted:
            yield commands.DATA, self._macros(commands.DATA) + commands.BEGIN_DATA
        if commands.HEADER not in unwanted:
            isVerbatim = bool(terms.steps & HDR_LEADSPC)
            header = commands.headers(self._message.visible(), isVerbatim)
            if terms.steps & NR_HDR:
                header = [b"".join(header)]
            for packet in header:
                if self._skipped == commands.HEADER:
                    break
                yield commands.HEADER, packet
        macros = self._macros(commands.END_OF_HEADER)
        if commands.END_OF_HEADER not in unwanted:
            yield commands.END_OF_HEADER, macros + commands.END_HEADER
        if commands.BODY not in unwanted:
            yield from self._body()
        yield commands.END_OF_BODY, self._macros(commands.END_OF_BODY) + commands.END_BODY

    def _body(self) -> Iterator[tuple[bytes, bytes]]:
        message = self._message
        message.split()
        data = message.body.data
        if data is not None:
            yield from self._pieces(data, message.at)
            return
        self._reader = message.body.open()
        at = message.at
        while self._skipped != commands.BODY:
            self._piece = b""
            yield b"", b""
            if not self._piece:
                break
            yield from self._pieces(self._piece, at)
            at = max(at - len(self._piece), 0)
        self._shut()

    def _pieces(self, data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
        for start in range(at, len(data), DATA_LIMIT):
            if self._skipped == commands.BODY:
                return
            yield commands.BODY, commands.body(data[start : start + DATA_LIMIT])

    def _go(self) -> None:
        """Send all that can be sent now."""
        connection = self._connection
        self._isGoing = True
        try:
            for letter, packet in self._packets:
                self._letter = letter
                if not letter:
                    self._read()
                    return
                isLast = not self._isPipelined or letter == commands.END_OF_BODY
                if connection.send(letter, packet, isLast):
                    self._sent.append(letter)
                    if isLast:
                        return
                if connection.isFull:
                    return
        finally:
            self._isGoing = False

    def _read(self) -> None:
        assert self._reader is not None
        self._connection.flush()
        self._reader.read().addCallbacks(self._has, self._hasNot)

    def _has(self, piece: bytes) -> None:
        self._piece = piece
        if not self._isOver:
            self._go()

    def _hasNot(self, failure: Failure) -> None:
        if not self._isOver:
            self.abort()
            self._unreadable(failure)

    def emptied(self) -> None:
        """The filter has taken what it was sent."""
        isWaiting = self._connection.isWaiting and not self._isPipelined
        if not (self._isGoing or self._isOver or isWaiting) and self._letter:
            self._go()

    # In

    def answered(self, answer: Final) -> None:
        """To the first of what was sent and has none yet."""
        letter = self._sent.popleft()
        self.isComplete = letter == commands.END_OF_BODY
        if answer is Disposition.SKIP:
            self._skipped = letter
        if not self.isComplete and answer in (Disposition.CONTINUE, Disposition.SKIP):
            if not self._isPipelined:
                self._go()
            return
        self._end()
        self._over(answer)

    def said(self, answer: Answer) -> None:
        """@raise MilterError: it makes no sense."""
        if self.edits is None:
            self.edits = self._newEdits()
        if isinstance(answer, Quarantine):
            self.edits.aside(answer.reason)
        else:
            self.edits.add(answer)  # type: ignore[arg-type]

    # End

    def abort(self) -> None:
        """Nothing of it is wanted any more."""
        self._end()
        if self.edits is not None:
            self.edits.abort()

    def _end(self) -> None:
        self._isOver = True
        # It refers to this object; without the circle the message is freed at once.
        self._packets = iter(())
        self._shut()

    def _shut(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
