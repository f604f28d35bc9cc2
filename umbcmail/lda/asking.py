"""How the local delivery agent is, for the status page of another process: asked by its
socket.  That it does not answer is a condition of its own: local mail waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed
from umbcmail.lda import figures

PATIENCE = 1.5
"""Seconds to wait for it."""


class _Question(LineOnlyReceiver):
    """A session that asks one thing.

    @ivar told: L{Deferred} of the text of the last reply.
    """

    MAX_LENGTH = 65536

    def __init__(self) -> None:
        self.told: Deferred[str] = Deferred(lambda _: self._close())
        self._isGreeted = False

    def lineReceived(self, line: bytes) -> None:
        """See L{LineOnlyReceiver}."""
        if not self._isGreeted and line.startswith(b"220"):
            self._isGreeted = True
            self.sendLine(b"XSTATUS")
            return
        code, _, text = line.decode("utf-8", "replace").partition(" ")
        if not self.told.called:
            self.told.callback(text if code == "250" else Failure(ConnectionError(f"it says {code} {text}"[:200])))
        self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{LineOnlyReceiver}."""
        if not self.told.called:
            self.told.errback(ConnectionError("it has hung up"))

    def _close(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


@implementer(IRefreshed)
class AskedAgent:
    """The agent as this process sees it."""

    name = "lda"

    def __init__(self, path: str, reactor: Any) -> None:
        """
        @param path: of its socket.
        """
        self._path = path
        self._reactor = reactor
        self._condition = ""
        self._figures: list[Figure] = []

    def refresh(self) -> Deferred[None]:
        """See L{IRefreshed.refresh}."""
        question = _Question()
        endpoint = UNIXClientEndpoint(self._reactor, self._path, timeout=PATIENCE)
        asked: Deferred[Any] = connectProtocol(endpoint, question)
        asked.addCallback(lambda _: question.told).addTimeout(PATIENCE, self._reactor)
        return asked.addCallback(self._told).addErrback(self._failed)

    def _told(self, text: str) -> None:
        self._condition, self._figures = figures.read(text)

    def _failed(self, failure: Failure) -> None:
        self._figures = []
        self._condition = f"{self._path} does not answer ({failure.getErrorMessage()[:200]}): local mail waits"

    def condition(self) -> str:
        """See L{IRefreshed.condition}."""
        return self._condition

    def figures(self) -> Iterable[Figure]:
        """See L{IRefreshed.figures}."""
        return self._figures
