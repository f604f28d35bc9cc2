"""Asks saslauthd, the daemon of Cyrus SASL, whether a password is right:
C{saslauthd:SOCKET}.

A connection for each question, as its own library does it: login, password,
service and realm go over as counted octets, a counted text comes back that begins
with OK or NO.  It says NO too when it could not find out; what its texts tell about
that is L{verdict}'s.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.question import CantTell, Question, Turns, question

AT_ONCE = 20
"""Connections at the same time; it has five processes unless told otherwise."""
REPLY_LIMIT = 2048
"""Octets of a reply."""

_TROUBLE = re.compile(
    rb"\[ALERT\]|internal|start error|lookup failure: (?!No such )|name error|NULL password|Insufficient permission",
)
"""What it says behind NO when the fault is its own (C{No such file} is how the C
library tells that there is no such user)."""


def request(login: bytes, password: bytes, service: bytes, realm: bytes) -> bytes:
    """The octets of a question."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in (login, password, service, realm))


def replyOf(octets: bytes) -> bytes | None:
    """The text of a reply, L{None} while there is more to come.

    @raise CantTell: it is none.
    """
    if len(octets) < 2:
        return None
    length = int.from_bytes(octets[:2], "big")
    if not 2 <= length <= REPLY_LIMIT or len(octets) > length + 2:
        raise CantTell("saslauthd: a reply that makes no sense")
    return octets[2:] if len(octets) == length + 2 else None


def verdict(text: bytes) -> bool:
    """What a reply means.

    @raise CantTell: it does not know.
    """
    if text[:2] == b"OK":
        return True
    if text[:2] == b"NO" and not _TROUBLE.search(text):
        return False
    raise CantTell("saslauthd: " + text[:200].decode("ascii", "replace"))


class SaslauthdProtocol(Protocol):
    """One question.

    @ivar answer: fires with the text of the reply.
    """

    def __init__(self, octets: bytes) -> None:
        self.answer: Deferred[bytes] = Deferred(lambda _: self.close())
        self._octets = octets
        self._reply = b""
        self._done = False

    def connectionMade(self) -> None:
        """Ask."""
        self.transport.write(self._octets)  # type: ignore[union-attr]
        self._octets = b""

    def close(self) -> None:
        """End the connection."""
        self._done = True
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        """Some of the reply."""
        if self._done:
            return
        self._reply += data
        try:
            text = replyOf(self._reply)
        except CantTell:
            self._end(Failure())
        else:
            if text is not None:
                self._end(text)

    def connectionLost(self, reason: Any = None) -> None:
        """It has ended the connection."""
        if not self._done:
            self._end(Failure(CantTell("saslauthd: the connection ended before the reply")))

    def _end(self, result: Any) -> None:
        self.close()
        self.answer.callback(result)


@implementer(ICredentialsChecker)
class Saslauthd:
    """Checks passwords by saslauthd."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self, reactor: Any, path: str, seconds: float, service: str = "smtp", realm: str = "", splits: bool = False
    ) -> None:
        """
        @param path: of its socket.
        @param seconds: that an answer may take.
        @param realm: of logins that have none.
        @param splits: C{user@realm} goes over in two parts.
        """
        self._endpoint = UNIXClientEndpoint(reactor, path, seconds)
        self._turns = Turns(reactor, seconds, AT_ONCE)
        self._path = path
        self._service = service.encode()
        self._realm = realm
        self._splits = splits

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""

        def answered(text: bytes) -> bytes | tuple[()]:
            if not verdict(text):
                raise UnauthorizedLogin
            return asked.login.encode()

        asked = question(credentials)
        found: Deferred[bytes] = self._turns.run(lambda: self._ask(asked), f"saslauthd at {self._path}")
        return found.addCallback(answered)

    def _ask(self, asked: Question) -> Deferred[bytes]:
        user, realm = asked.login, self._realm
        if self._splits and "@" in user.strip("@"):
            user, _, realm = user.rpartition("@")
        octets = request(user.encode(), asked.password, self._service, realm.encode())
        protocol = SaslauthdProtocol(octets)
        connecting: Deferred[Any] = self._endpoint.connect(ProtocolFactory.forProtocol(lambda: protocol))
        connecting.addErrback(self._away)
        return connecting.addCallback(lambda _: protocol.answer)

    def _away(self, failure: Failure) -> None:
        raise CantTell(f"saslauthd at {self._path}: {failure.getErrorMessage()}")


@implementer(ICheckerFactory)
class Factory:
    """C{saslauthd:SOCKET}."""

    authType = "saslauthd"
    argStringFormat = "path of saslauthd's socket[:split][:realm=REALM][:service=NAME]"
    authHelp = (
        "Asks saslauthd, for example at /run/saslauthd/mux. split: user@realm goes over as user and realm;\n"
        "realm: that of logins without one; service: smtp unless said otherwise."
    )
    credentialInterfaces = Saslauthd.credentialInterfaces

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings

    def generateChecker(self, argstring: str) -> Saslauthd:
        """See L{ICheckerFactory.generateChecker}."""
        path, *words = argstring.split(":")
        if not path.startswith("/"):
            raise ValueError("saslauthd: needs the absolute path of a socket behind it")
        named: dict[str, Any] = {}
        for word in words:
            name, _, value = word.partition("=")
            if word == "split":
                named["splits"] = True
            elif name in ("realm", "service") and value and len(value) <= 255 and value.isprintable():
                named[name] = value
            else:
                raise ValueError(f"saslauthd: {word!r} is none of split, realm=REALM, service=NAME")
        assert self._surroundings is not None
        return Saslauthd(self._surroundings.reactor, path, self._surroundings.settings["timeout"], **named)
