"""Sends content that is not in memory: a piece is read when the transport has
sent most of those before, so that little of it is held.

Made by L{Client<umbcmail.send.client.Client>} for one transaction.  It calls
C{onDot} right before the final dot is handed to the transport, C{onTrouble} when
the content can't be read, and C{onProgress} whenever something moved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.interfaces import IContent
from umbcmail.send.stuffing import Stuffing


@implementer(IPushProducer)
class Pouring:
    """The way of one content into one transport."""

    def __init__(
        self,
        transport: Any,
        content: IContent,
        onProgress: Callable[[], None],
        onDot: Callable[[], None],
        onTrouble: Callable[[Failure], None],
    ) -> None:
        self._transport = transport
        self._reader = content.open()
        self._stuffing = Stuffing()
        self._onProgress = onProgress
        self._onDot = onDot
        self._onTrouble = onTrouble
        self._paused = False
        self._reading = False
        self._over = False

    def start(self) -> None:
        """Begin."""
        self._transport.registerProducer(self, True)
        self._next()

    def _next(self) -> None:
        if not (self._paused or self._reading or self._over):
            self._reading = True
            self._reader.read().addCallback(self._piece).addErrback(self._failed)

    def _piece(self, piece: bytes) -> None:
        self._reading = False
        if self._over:
            return
        self._onProgress()
        if piece:
            self._transport.write(self._stuffing.feed(piece))
            self._next()
            return
        self._end()
        self._onDot()
        self._transport.write(self._stuffing.finish())

    def _failed(self, failure: Failure) -> None:
        if not self._over:
            self._end()
            self._onTrouble(failure)

    def _end(self) -> None:
        self._over = True
        self._reader.close()
        self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = False
        self._onProgress()
        self._next()

    def stopProducing(self) -> None:
        """The connection is gone, or the transaction over: no more is sent."""
        if not self._over:
            self._end()
