"""Asks the local delivery agent what users have in C{.forward}; for the mail system.

By a few connections, each with one question at a time, so that a home on a server that is
away holds up only some.  What is not answered in time is not known.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import deque
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.aliases import DontKnow
from umbcmail.interfaces import IForwards
from umbcmail.localaddress import isPrintable

LINKS = 10
"""Connections, at most."""
WAITING = 10_000
"""Questions that may wait for one."""
IDLE = 30.0
"""Seconds after which a connection that nobody needs is closed."""
LINES = 100
"""Lines of an answer."""


class _Question:
    """What is asked, and who waits for the answer."""

    __slots__ = ("address", "answer")

    def __init__(self, address: str) -> None:
        self.address = address
        self.answer: Deferred[str | None] = Deferred()


class _Link(LineOnlyReceiver):
    """A connection."""

    MAX_LENGTH = 4096

    def __init__(self, owner: Forwards) -> None:
        self.question: _Question | None = None
        self.since = 0.0
        self._owner = owner
        self._isGreeted = False
        self._lines: list[str] = []

    def ask(self, question: _Question) -> None:
        """Ask something; it must not be asked anything else before that is answered."""
        self.question = question
        if self._isGreeted:
            self.sendLine(f"XEXPAND <{question.address}>".encode())

    def lineReceived(self, line: bytes) -> None:
        """See L{LineOnlyReceiver}."""
        code, mark, text = line[:3], line[3:4], line[4:].decode("ascii", "replace")
        if not self._isGreeted and code == b"220":
            self._isGreeted = True
            if self.question is not None:
                self.ask(self.question)
            return
        self._lines.append(text)
        if mark == b"-" and len(self._lines) < LINES:
            return
        lines, self._lines = self._lines, []
        question, self.question = self.question, None
        if question is None or not self._isGreeted or mark == b"-":
            self.question = question
            self.close()
            return
        self._owner.answered(self, question, code, lines)

    def lineLengthExceeded(self, line: bytes) -> Any:
        """See L{LineOnlyReceiver}."""
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{LineOnlyReceiver}."""
        self._owner.lost(self)

    def close(self) -> None:
        """It is not needed, or no good."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()


@implementer(IForwards)
class Forwards(Service):
    """See the module."""

    def __init__(self, path: str, limit: float, reactor: Any) -> None:
        """
        @param path: of the agent's socket.
        @param limit: seconds to wait for an answer.
        """
        self._path = path
        self._limit = limit
        self._reactor = reactor
        self._links: dict[_Link, None] = {}
        self._connecting = 0
        self._waiting: deque[_Question] = deque()
        self._tick: Any = None

    def forwardOf(self, address: str) -> Deferred[str | None]:
        """See L{IForwards.forwardOf}."""
        if not isPrintable(address) or len(address) > 1000:
            return succeed(None)
        if len(self._waiting) >= WAITING:
            return fail(DontKnow("the local delivery agent has too many questions to answer"))
        question = _Question(address)
        answer = question.answer
        answer.addTimeout(self._limit, self._reactor, lambda result, seconds: _late(seconds))
        self._waiting.append(question)
        self._go()
        return answer

    def stopService(self) -> None:
        """Close the connections; what is being asked is still answered."""
        Service.stopService(self)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for link in [link for link in self._links if link.question is None]:
            link.close()

    def _go(self) -> None:
        """Ask what waits."""
        free = [link for link in self._links if link.question is None]
        while self._waiting and free:
            question = self._waiting.popleft()
            if not question.answer.called:
                free.pop().ask(question)
        if self._waiting and len(self._links) + self._connecting < min(LINKS, len(self._links) + len(self._waiting)):
            self._connecting += 1
            endpoint = UNIXClientEndpoint(self._reactor, self._path, timeout=self._limit)
            made: Deferred[Any] = connectProtocol(endpoint, _Link(self))
            made.addCallbacks(self._connected, self._refused)

    def _connected(self, link: _Link) -> None:
        self._connecting -= 1
        link.since = self._reactor.seconds()
        self._links[link] = None
        if self._tick is None:
            self._tick = self._reactor.callLater(IDLE, self._check)
        self._go()

    def _refused(self, failure: Failure) -> None:
        """Nobody can be asked now."""
        self._connecting -= 1
        if self._links:
            return
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            _tell(question, Failure(DontKnow(f"the local delivery agent: {failure.getErrorMessage()[:200]}")))

    def answered(self, link: _Link, question: _Question, code: bytes, lines: list[str]) -> None:
        """An answer has come."""
        link.since = self._reactor.seconds()
        _tell(question, _meaning(code, lines))
        if not self.running and not self._waiting:
            link.close()
        self._go()

    def lost(self, link: _Link) -> None:
        """A connection has ended."""
        self._links.pop(link, None)
        question, link.question = link.question, None
        if question is not None:
            _tell(question, Failure(DontKnow("the local delivery agent has hung up")))
        self._go()

    def _check(self) -> None:
        """Close what is not used."""
        self._tick = None
        until = self._reactor.seconds() - IDLE
        for link in [link for link in self._links if link.question is None and link.since <= until]:
            link.close()
        if self._links:
            self._tick = self._reactor.callLater(IDLE, self._check)


def _tell(question: _Question, answer: Any) -> None:
    if not question.answer.called:
        question.answer.callback(answer)


def _meaning(code: bytes, lines: list[str]) -> str | Failure | None:
    """What an answer of the agent means.  Only that it has no such user is no answer about a file."""
    if code == b"250" and lines[0] == "FORWARD":
        try:
            return b64decode("".join(lines[1:]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return Failure(DontKnow("the local delivery agent's answer makes no sense"))
    if (code == b"250" and lines[0] == "NONE") or code == b"550":
        return None
    return Failure(DontKnow(f"the local delivery agent says {code.decode('ascii', 'replace')} {lines[0][:200]}"))


def _late(seconds: float) -> Any:
    raise DontKnow(f"the local delivery agent has not answered within {seconds:g} seconds")
