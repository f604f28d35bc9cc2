"""L{umbcmail.accept.auth.saslauthd}."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.question import CantTell
from umbcmail.accept.auth.saslauthd import Factory, Saslauthd, replyOf, request, verdict


def parts(octets: bytes) -> list[bytes]:
    """The counted strings of a request."""
    found = []
    while octets:
        length = int.from_bytes(octets[:2], "big")
        found.append(octets[2 : 2 + length])
        octets = octets[2 + length :]
    return found


def counted(text: bytes) -> bytes:
    """A reply."""
    return len(text).to_bytes(2, "big") + text


class OctetsTests(SynchronousTestCase):
    """The protocol as octets."""

    def test_verdict(self) -> None:
        """Yes, no, and what it says when it does not know."""
        self.assertTrue(verdict(b"OK"))
        self.assertTrue(verdict(b"OK remote authentication successful"))
        for text in (
            b"NO",
            b"NO authentication failed",
            b"NO Incorrect password",
            b"NO Account expired",
            b"NO PAM auth error",
            b"NO Username lookup failure: No such file or directory",
            b"NO Username lookup failure: No such process",
        ):
            self.assertFalse(verdict(text), text)
        for text in (
            b"NO [ALERT] Couldn't contact remote authentication server",
            b"NO saslauthd internal error",
            b"NO internal mechanism failure",
            b"NO PAM start error",
            b"NO Username lookup failure: Connection refused",
            b"no",
            b"YES",
            b"\xff\xff",
        ):
            self.assertRaises(CantTell, verdict, text)

    @given(st.binary(max_size=60), st.integers(0, 60))
    def test_reply(self, text: bytes, cut: int) -> None:
        """A reply is known when all of it is there, and not before."""
        whole = counted(b"OK" + text)
        self.assertEqual(b"OK" + text, replyOf(whole))
        if cut < len(whole):
            self.assertIsNone(replyOf(whole[:cut]))
        self.assertRaises(CantTell, replyOf, whole + b"x")

    def test_senseless(self) -> None:
        """Lengths that can't be."""
        for octets in (b"\0\0", b"\0\1", b"\x08\x01", b"\xff\xff"):
            self.assertRaises(CantTell, replyOf, octets)

    def test_request(self) -> None:
        """Login, password, service and realm."""
        self.assertEqual(b"\0\3ann\0\1x\0\4smtp\0\0", request(b"ann", b"x", b"smtp", b""))


class SaslauthdTests(SynchronousTestCase):
    """The checker, with a saslauthd that a test plays."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.reactor = MemoryReactorClock()
        self.checker = self.make("/run/mux")

    def make(self, argument: str) -> Saslauthd:
        """A checker."""
        settings = {"timeout": 30.0}
        return Factory(Surroundings(self.reactor, FakeLog(), maybeDeferred, settings=settings)).generateChecker(
            argument
        )

    def ask(self, login: bytes = b"ann", password: bytes = b"s3cret!") -> Deferred[Any]:
        """Begin a question."""
        return maybeDeferred(self.checker.requestAvatarId, UsernamePassword(login, password))

    def accept(self, number: int = -1) -> tuple[Any, StringTransport]:
        """It takes a connection."""
        path, factory, *_ = self.reactor.unixClients[number]
        self.assertEqual("/run/mux", path)
        protocol, pipe = factory.buildProtocol(None), StringTransport()
        protocol.makeConnection(pipe)
        return protocol, pipe

    def test_interfaces(self) -> None:
        """It is what it says."""
        verifyObject(ICredentialsChecker, self.checker)
        verifyObject(ICheckerFactory, Factory())

    def test_answers(self) -> None:
        """A connection for each question, closed behind the answer, however it is cut."""
        for text, right in ((b"OK", True), (b"NO Incorrect password", False)):
            found = self.ask()
            protocol, pipe = self.accept()
            self.assertEqual([b"ann", b"s3cret!", b"smtp", b""], parts(pipe.value()))
            for n in counted(text):
                self.assertNoResult(found)
                protocol.dataReceived(bytes([n]))
            if right:
                self.assertEqual(b"ann", self.successResultOf(found))
            else:
                self.failureResultOf(found, UnauthorizedLogin)
            self.assertTrue(pipe.disconnected)
            protocol.connectionLost(Failure(ConnectionDone()))

    def test_trouble(self) -> None:
        """It does not know, talks nonsense, or is gone: "can't tell"."""
        for said in (counted(b"NO [ALERT] x"), b"\0\0", b"\xff\xff\xff", counted(b"OK") + b"x", b"", b"\0", b"\0\2O"):
            found = self.ask()
            protocol, _ = self.accept()
            protocol.dataReceived(said)
            protocol.connectionLost(Failure(ConnectionDone()))
            self.failureResultOf(found, CantTell)
        found = self.ask()
        self.reactor.unixClients[-1][1].clientConnectionFailed(None, Failure(ConnectError(None, "no such file")))
        self.assertIn("/run/mux", str(self.failureResultOf(found, CantTell).value))

    def test_silent(self) -> None:
        """No answer in time: "can't tell"; one that comes later is nobody's."""
        found = self.ask()
        protocol, pipe = self.accept()
        self.reactor.advance(30.1)
        self.failureResultOf(found, CantTell)
        self.assertTrue(pipe.disconnected)
        protocol.dataReceived(counted(b"OK"))
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_fewAtATime(self) -> None:
        """More than some wait for their turn, and no longer than others."""
        found = [self.ask() for _ in range(25)]
        self.assertEqual(20, len(self.reactor.unixClients))
        self.accept(0)[0].dataReceived(counted(b"OK"))
        self.assertEqual(b"ann", self.successResultOf(found[0]))
        self.assertEqual(21, len(self.reactor.unixClients))
        self.reactor.advance(30.1)
        for late in found[1:]:
            self.failureResultOf(late, CantTell)

    def test_impossible(self) -> None:
        """Separators and NUL never get there."""
        for login, password in ((b"a\0b", b"x"), (b"ann", b"x\0y"), (b"a\nb", b"x"), (b"ann", b"")):
            self.failureResultOf(self.ask(login, password), UnauthorizedLogin)
        self.assertEqual([], self.reactor.unixClients)

    def test_realm(self) -> None:
        """The realm comes from the login, or is the configured one; the login stays
        what the client has said."""
        for argument, login, expected in (
            ("/run/mux", b"ann@x.test", [b"ann@x.test", b"smtp", b""]),
            ("/run/mux:split", b"ann@x.test", [b"ann", b"smtp", b"x.test"]),
            ("/run/mux:split", b"ann", [b"ann", b"smtp", b""]),
            ("/run/mux:split", b"ann@", [b"ann@", b"smtp", b""]),
            ("/run/mux:split", b"@", [b"@", b"smtp", b""]),
            ("/run/mux:realm=y.test", b"ann@x.test", [b"ann@x.test", b"smtp", b"y.test"]),
            ("/run/mux:split:realm=y.test", b"ann", [b"ann", b"smtp", b"y.test"]),
            ("/run/mux:split:realm=y.test:service=mail", b"a@b@x.test", [b"a@b", b"mail", b"x.test"]),
        ):
            self.checker = self.make(argument)
            found = self.ask(login)
            protocol, pipe = self.accept()
            user, _, *rest = parts(pipe.value())
            self.assertEqual(expected, [user, *rest])
            protocol.dataReceived(counted(b"OK"))
            self.assertEqual(login, self.successResultOf(found))

    def test_arguments(self) -> None:
        """What it does not know is a mistake."""
        for argument in (
            "",
            "mux",
            "/run/mux:",
            "/run/mux:realm",
            "/run/mux:realm=",
            "/run/mux:split=1",
            "/run/mux:x=y",
        ):
            self.assertRaises(ValueError, self.make, argument)
