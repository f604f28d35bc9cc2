"""The pages over HTTP: by C{twisted.web}, with little left of what it can do.

GET and HEAD only; a body is thrown away unread.  Each connection brings one
answer, lives for some seconds at the most, and there are only so many at a time,
so that slow and silent peers hold nothing.  No answer depends on the Host field,
none tells of exceptions; those are logged.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from umbcmail.maillog import MailLog
from umbcmail.watch.board import Board
from umbcmail.watch.exposition import OPENMETRICS, PLAIN, exposition, wantsOpenMetrics
from umbcmail.watch.pages import htmlOf, recordOf, textOf
from umbcmail.watch.picture import Picture

LIFE = 20.0
"""Seconds that a connection may live."""
CONNECTIONS = 64
"""Connections at the same time."""

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"

_HEADERS = {
    b"Server": b"umbcmail",
    b"Cache-Control": b"no-store",
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"Content-Security-Policy": b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}

Answer = tuple[int, str, bytes]
"""Code, type and octets."""


class _Request(Request):
    """Never keeps the body of a request."""

    def gotLength(self, length: int | None) -> None:
        """See L{Request}."""
        self.content = io.BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """See L{Request}."""


class _Channel(HTTPChannel):
    """One request; see the module."""

    requestFactory = _Request
    totalHeadersSize = 8192
    maxHeaders = 100
    gone: Callable[[], None]
    _end: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Its time begins."""
        transport: Any = self.transport
        self._end = self.callLater(LIFE, transport.abortConnection)
        HTTPChannel.connectionMade(self)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """See L{HTTPChannel}: one answer is all."""
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """It is over."""
        if self._end is not None and self._end.active():
            self._end.cancel()
        self.gone()
        HTTPChannel.connectionLost(self, reason)


class StatusSite(Site):
    """Takes the connections.

    @ivar connections: how many there are.
    """

    displayTracebacks = False
    noisy = False
    protocol = _Channel  # type: ignore[assignment]

    def __init__(self, board: Board, log: MailLog, reactor: Any) -> None:
        Site.__init__(self, Pages(board, log), _Request, reactor=reactor)
        self.timeOut = None  # a connection that lives on by a word now and then is no better
        self.connections = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # type: ignore[override]
        """See L{Site}; nothing is said to whoever is too many."""
        if self.connections >= CONNECTIONS:
            return None
        channel: Any = Site.buildProtocol(self, addr)
        channel.gone = self._gone
        self.connections += 1
        made: Protocol = channel
        return made

    def _gone(self) -> None:
        self.connections -= 1

    def log(self, request: Any) -> None:
        """Who looks is not worth a line."""


class Pages(Resource):
    """All pages."""

    isLeaf = True

    def __init__(self, board: Board, log: MailLog) -> None:
        Resource.__init__(self)
        self._board = board
        self._log = log

    def render(self, request: Any) -> Any:
        """See L{Resource}."""
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        make = _PAGES.get(request.path)
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD")
            return self._say(request, (405, TEXT, b"only GET and HEAD\n"))
        if request.path == b"/live":
            return self._say(request, (200, TEXT, b"alive\n"))
        if make is None:
            return self._say(request, (404, TEXT, b"no such page\n"))
        accept = request.getHeader("accept") or ""
        looked: Deferred[Any] = self._board.look()
        looked.addCallback(make, accept)
        looked.addErrback(self._broken)
        isGone: list[object] = []
        request.notifyFinish().addErrback(isGone.append)
        looked.addCallback(self._answer, request, isGone)
        return NOT_DONE_YET

    def _answer(self, answer: Answer, request: Any, isGone: list[object]) -> None:
        if not isGone:
            request.write(self._say(request, answer))
            request.finish()

    def _broken(self, failure: Failure) -> Answer:
        self._log.bug("-", "watch", failure)
        return 500, TEXT, b"broken, see the log\n"

    @staticmethod
    def _say(request: Any, answer: Answer) -> bytes:
        code, kind, body = answer
        request.setResponseCode(code)
        request.setHeader(b"Content-Type", kind.encode())
        request.setHeader(b"Content-Length", str(len(body)).encode())
        return body


def _status(picture: Picture, accept: str) -> Answer:
    return 200, JSON, (json.dumps(recordOf(picture), allow_nan=False) + "\n").encode()


def _root(picture: Picture, accept: str) -> Answer:
    record = recordOf(picture)
    if "text/html" in accept.lower():
        return 200, HTML, htmlOf(record).encode()
    return 200, TEXT, textOf(record).encode()


def _metrics(picture: Picture, accept: str) -> Answer:
    isOpen = wantsOpenMetrics(accept)
    return 200, OPENMETRICS if isOpen else PLAIN, exposition(picture.figures(), isOpen)


def _ready(picture: Picture, accept: str) -> Answer:
    if picture.notReady:
        return 503, TEXT, b"not ready\n"
    return 200, TEXT, b"ready\n"


_PAGES: dict[bytes, Callable[[Picture, str], Answer]] = {
    b"/": _root,
    b"/status": _status,
    b"/metrics": _metrics,
    b"/health": _ready,
    b"/ready": _ready,
}
