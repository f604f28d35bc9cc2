"""One question to a scanner's daemon: a request with a message in it, a reply, the end of the
connection.  Used by `clamav` and `spamassassin`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.examination import ModuleError
from umbcmail.filter.sockets import Socket
from umbcmail.interfaces import IContent, IContentReader

CONNECT = 10.0
"""Seconds to connect."""
REPLY_LIMIT = 64 * 1024
"""Octets of a reply."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class Question(Protocol):
    """The question.

    @ivar reply: L{Deferred} of all that was said until the connection ended; fails with
        L{ModuleError}.
    @ivar connecting: may be cancelled before the connection stands.
    """

    transport: Any

    def __init__(
        self,
        head: bytes,
        content: IContent | None = None,
        tail: bytes = b"",
        wrap: Callable[[bytes], bytes] = bytes,
        halfCloses: bool = False,
    ) -> None:
        """
        @param head: sent before the content.
        @param tail: sent behind it.
        @param wrap: makes of each piece, which is not empty, what is sent.
        @param halfCloses: then say that there is no more.
        """
        self.reply: Deferred[bytes] = Deferred(lambda _: self._end())
        self.connecting: Deferred[Any] | None = None
        self._head = head
        self._content = content
        self._tail = tail
        self._wrap = wrap
        self._halfCloses = halfCloses
        self._reader: IContentReader | None = None
        self._isFull = False
        self._isOver = False
        self._said: list[bytes] = []
        self._size = 0

    # Out

    def connectionMade(self) -> None:
        """Ask."""
        if self._isOver:
            self.transport.abortConnection()
            return
        content = self._content
        data = content.data if content is not None else b""
        if data is not None:
            self.transport.write(self._head + (self._wrap(data) if data else b"") + self._tail)
            self._asked()
            return
        assert content is not None
        self.transport.write(self._head)
        self._reader = content.open()
        self.transport.registerProducer(self, True)
        self._read()

    def _read(self) -> None:
        assert self._reader is not None
        self._reader.read().addCallbacks(self._has, self._hasNot)

    def _has(self, piece: bytes) -> None:
        if self._isOver or self._reader is None:
            return
        if piece:
            self.transport.write(self._wrap(piece))
            if not self._isFull:
                self._read()
            return
        self._shut()
        self.transport.write(self._tail)
        self._asked()

    def _hasNot(self, failure: Failure) -> None:
        if not self._isOver:
            self._finish(ModuleError(f"the message can't be read: {failure.getErrorMessage()}"))

    def _asked(self) -> None:
        if self._halfCloses:
            self.transport.loseWriteConnection()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._isFull = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        if self._isFull and self._reader is not None:
            self._isFull = False
            self._read()

    def stopProducing(self) -> None:
        """See L{IPushProducer}."""

    # In

    def dataReceived(self, data: bytes) -> None:
        """Some of the reply."""
        self._size += len(data)
        if self._size > REPLY_LIMIT:
            self._finish(ModuleError("a reply without end"))
        else:
            self._said.append(data)

    def readConnectionLost(self) -> None:
        """Nothing more is said."""
        self._finish(None)

    def writeConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """That was all, however it ended: who says that a message is too large does not
        read the rest of it, and then the end is a reset."""
        self._finish(None)

    def failed(self, failure: Failure) -> None:
        """The daemon can't be reached."""
        self._finish(ModuleError(f"can't be connected: {failure.getErrorMessage()}"))

    def _finish(self, why: ModuleError | None) -> None:
        if self._isOver:
            return
        self._end()
        if why is None and self._size:
            self.reply.callback(b"".join(self._said))
        else:
            self.reply.errback(why or ModuleError("it has closed the connection"))

    def _end(self) -> None:
        self._isOver = True
        self._shut()
        if self.transport is not None:
            self.transport.abortConnection()
        elif self.connecting is not None:
            self.connecting.cancel()

    def _shut(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self.transport.unregisterProducer()


def ask(reactor: Any, socket: Socket, question: Question) -> Deferred[bytes]:
    """Connect, and ask.  @return: L{Question.reply}, which may be cancelled."""
    question.connecting = socket.connect(reactor, question, CONNECT)
    question.connecting.addErrback(question.failed)
    return question.reply
