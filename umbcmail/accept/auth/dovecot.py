"""Asks Dovecot whether a password is right: C{dovecot:SOCKET}.

The socket is a C{unix_listener} of Dovecot's C{service auth}, of the kind that
clients use (C{auth-client}).  One connection carries all questions, many at a time;
it is made when the first is asked, and again when it was lost: at once, and after
failures at growing intervals, in which the answer is "can't tell".  Dovecot hears
the client's address, so that its own log and its penalty for guessing are right.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.accept.auth import dovecotline
from umbcmail.accept.auth.dovecotline import Answer
from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.question import CantTell, Question, Turns, question

AT_ONCE = 1000
"""Questions that are open at the same time; those with a wrong password for up to 17
seconds, so that guessing must not take all places."""
HANDSHAKE = 10.0
"""Seconds for a new connection, until Dovecot has said all."""
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Seconds after a failure to connect in which it is not tried again; the last repeats."""


class DovecotProtocol(LineOnlyReceiver):
    """A connection to Dovecot.

    @ivar ready: fires with the protocol when questions may be asked, or fails.
    @ivar isLost: there is no connection any more.
    """

    delimiter = b"\n"
    MAX_LENGTH = 65536

    def __init__(self) -> None:
        self.ready: Deferred[DovecotProtocol] = Deferred(self._cancelled)
        self.isLost = False
        self._isReady = False
        self._mechanisms: set[str] = set()
        self._open: dict[int, Deferred[Answer]] = {}
        self._number = 0
        self._heard = 0

    def _cancelled(self, ready: Deferred[DovecotProtocol]) -> None:
        self._isReady = True
        self._abort()

    def connectionMade(self) -> None:
        """Introduce oneself."""
        self.transport.write(dovecotline.hello(os.getpid()))  # type: ignore[union-attr]

    def ask(self, asked: Question) -> Deferred[Answer]:
        """Ask.  When it is cancelled and nothing at all has come since it was
        asked, the connection is taken for dead."""
        if self.isLost:
            return fail(CantTell("dovecot: the connection was lost"))
        self._number = self._number % dovecotline.NUMBERS + 1
        number, heard = self._number, self._heard

        def cancelled(deferred: Deferred[Answer]) -> None:
            self._open.pop(number, None)
            if self._heard == heard:
                self._abort()
            elif not self.isLost:
                self.transport.write(dovecotline.cancellation(number))  # type: ignore[union-attr]

        found: Deferred[Answer] = Deferred(cancelled)
        self._open[number] = found
        self.transport.write(dovecotline.request(number, asked))  # type: ignore[union-attr]
        return found

    def lineReceived(self, line: bytes) -> None:
        """A line of Dovecot's."""
        self._heard += 1
        if self.isLost:
            return
        try:
            self._understand(dovecotline.fieldsOf(line))
        except CantTell as why:
            self._fail(why)

    def _understand(self, fields: list[str]) -> None:
        if fields[0] == "VERSION":
            dovecotline.version(fields)
        elif fields[0] == "MECH" and len(fields) > 1 and len(self._mechanisms) < 100:
            self._mechanisms.add(fields[1].upper())
        elif fields[0] == "DONE" and not self._isReady:
            if "PLAIN" not in self._mechanisms:
                raise CantTell("dovecot: it does not offer PLAIN (auth_mechanisms)")
            self._isReady = True
            self.ready.callback(self)
        else:
            found = dovecotline.answer(fields)
            if found is not None and found.number in self._open:
                self._open.pop(found.number).callback(found)

    def _fail(self, why: Exception) -> None:
        """End the connection, and whatever waits for it."""
        self._abort()
        waiting, self._open = self._open, {}
        if not self._isReady:
            self._isReady = True
            self.ready.errback(why)
        for each in waiting.values():
            each.errback(why)

    def _abort(self) -> None:
        self.isLost = True
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Nothing that Dovecot says is so long."""
        self._fail(CantTell("dovecot: a line without end"))

    def connectionLost(self, reason: Any = None) -> None:
        """Dovecot has gone."""
        self.isLost = True
        self._fail(CantTell("dovecot: the connection was lost"))


class Link:
    """Keeps one connection for all who ask."""

    def __init__(self, reactor: Any, path: str, seconds: float) -> None:
        """
        @param seconds: that a connection may take until it is ready.
        """
        self._clock = reactor
        self._seconds = seconds
        self._endpoint = UNIXClientEndpoint(reactor, path, seconds)
        self._protocol: DovecotProtocol | None = None
        self._waiting: list[Deferred[DovecotProtocol]] = []
        self._isConnecting = False
        self._failures = 0
        self._notBefore = 0.0
        self._why = ""

    def get(self) -> Deferred[DovecotProtocol]:
        """A connection that is ready; fails with L{CantTell}."""
        if self._protocol is not None and not self._protocol.isLost:
            return succeed(self._protocol)
        self._protocol = None
        if not self._isConnecting and self._clock.seconds() < self._notBefore:
            return fail(CantTell(self._why))
        found: Deferred[DovecotProtocol] = Deferred(self._waiting.remove)
        self._waiting.append(found)
        if not self._isConnecting:
            self._isConnecting = True
            self._connect()
        return found

    def _connect(self) -> None:
        connecting: Deferred[Any] = self._endpoint.connect(ProtocolFactory.forProtocol(DovecotProtocol))
        connecting.addCallback(lambda protocol: protocol.ready)
        connecting.addTimeout(self._seconds, self._clock, self._late)
        connecting.addCallbacks(self._connected, self._failed)

    def _late(self, result: Any, seconds: float) -> Any:
        raise CantTell(f"a new connection was not ready within {seconds:g} seconds")

    def _connected(self, protocol: DovecotProtocol) -> None:
        self._isConnecting = False
        self._protocol = protocol
        self._failures = 0
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(protocol)

    def _failed(self, failure: Failure) -> None:
        self._isConnecting = False
        self._why = failure.getErrorMessage()
        self._notBefore = self._clock.seconds() + PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(CantTell(self._why))


@implementer(ICredentialsChecker)
class Dovecot:
    """Checks passwords by Dovecot."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, reactor: Any, path: str, seconds: float) -> None:
        """
        @param path: of its socket.
        @param seconds: that an answer may take.
        """
        self._link = Link(reactor, path, min(seconds, HANDSHAKE))
        self._turns = Turns(reactor, seconds, AT_ONCE)
        self._path = path

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        asked = question(credentials)
        found: Deferred[Any] = self._turns.run(
            lambda: self._link.get().addCallback(lambda protocol: protocol.ask(asked)), f"dovecot at {self._path}"
        )
        found.addCallback(self._answered, asked)
        return found.addErrback(self._told)

    def _answered(self, answer: Answer, asked: Question) -> bytes | tuple[()]:
        if not answer.isKnown:
            raise CantTell(f"it says {answer.why[:80]}")
        if not answer.right:
            raise UnauthorizedLogin
        # Dovecot may write a login in its own way, with a domain or in lower case.
        login = answer.login if 0 < len(answer.login) <= 255 and answer.login.isprintable() else asked.login
        return login.encode()

    def _told(self, failure: Failure) -> Failure:
        """The log is told which Dovecot it is."""
        if failure.check(OSError) and self._path not in failure.getErrorMessage():
            return Failure(CantTell(f"dovecot at {self._path}: " + failure.getErrorMessage().removeprefix("dovecot: ")))
        return failure


@implementer(ICheckerFactory)
class Factory:
    """C{dovecot:SOCKET}."""

    authType = "dovecot"
    argStringFormat = "path of a socket of Dovecot's service auth"
    authHelp = "Asks Dovecot by its authentication protocol, for example at /run/dovecot/auth-client."
    credentialInterfaces = Dovecot.credentialInterfaces

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings

    def generateChecker(self, argstring: str) -> Dovecot:
        """See L{ICheckerFactory.generateChecker}."""
        if not argstring.startswith("/"):
            raise ValueError("dovecot: needs the absolute path of a socket behind it")
        assert self._surroundings is not None
        return Dovecot(self._surroundings.reactor, argstring, self._surroundings.settings["timeout"])
