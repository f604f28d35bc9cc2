"""L{umbcmail.accept.auth.dovecot}, L{umbcmail.accept.auth.dovecotline} and
L{umbcmail.accept.auth.question}."""

from __future__ import annotations

import os
from base64 import b64decode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.accept.auth import dovecotline
from umbcmail.accept.auth.dovecot import Dovecot, Factory
from umbcmail.accept.auth.dovecotline import Answer
from umbcmail.accept.auth.question import CantTell, Question, Turns, question
from umbcmail.envelope import Client

HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t7\nCUID\t8\nCOOKIE\tabc\nDONE\n"
CLIENT = Client("192.0.2.7", 4321, tls="TLSv1.3 X")


class Pipe(StringTransport):
    """A transport that tells its protocol when it is cut."""

    def abortConnection(self) -> None:
        """See L{ITCPTransport}."""
        StringTransport.abortConnection(self)
        self.disconnecting = True


def credentials(login: bytes = b"ann", password: bytes = b"s3cret!", client: Client | None = CLIENT) -> Any:
    """As `authentication` has them."""
    found: Any = UsernamePassword(login, password)
    if client is not None:
        found.client = client
    return found


class QuestionTests(SynchronousTestCase):
    """What may be asked at all, and for how long."""

    def test_question(self) -> None:
        """Names are prepared; the client may be unknown; the password does not show."""
        asked = question(credentials("\uff41nn".encode()))
        self.assertEqual(Question("ann", b"s3cret!", CLIENT), asked)
        self.assertNotIn("s3cret", repr(asked))
        self.assertEqual(Client(), question(credentials(client=None)).client)

    def test_impossible(self) -> None:
        """What could be read as something else is nobody's login or password."""
        for login, password in (
            (b"", b"x"),
            (b"ann", b""),
            (b"ann\0", b"x"),
            (b"a\tb", b"x"),
            (b"a\nb", b"x"),
            (b"a\rb", b"x"),
            (b"a\x01b", b"x"),
            (b"a\x7fb", b"x"),
            ("a\u2028b".encode(), b"x"),
            (b"\xff", b"x"),
            (b"\xed\xa0\x80", b"x"),
            (b"x" * 256, b"x"),
            (b"ann", b"x\0y"),
            (b"ann", b"x" * 1001),
        ):
            self.assertRaises(UnauthorizedLogin, question, credentials(login, password))

    @given(st.binary(max_size=30), st.binary(max_size=30))
    def test_anything(self, login: bytes, password: bytes) -> None:
        """All that is asked is one line of fields that say what was meant."""
        try:
            asked = question(credentials(login, password))
        except UnauthorizedLogin:
            return
        line = dovecotline.request(5, asked)
        self.assertEqual((1, 1), (line.count(b"\n"), line.count(b"resp=")))
        *fields, last = line[:-1].split(b"\t")
        self.assertEqual([b"AUTH", b"5", b"PLAIN", b"service=smtp", b"nologin", b"secured=tls"], fields[:6])
        self.assertEqual([b"", asked.login.encode(), asked.password], b64decode(last[5:]).split(b"\0"))

    def test_turns(self) -> None:
        """So many at a time; the deadline counts for those that wait too, and whose
        turn it is is cancelled then."""
        clock, asked = Clock(), []
        turns = Turns(clock, 10.0, 2)

        def ask() -> Deferred[str]:
            asked.append(Deferred(lambda d: cancelled.append(d)))
            return asked[-1]

        cancelled: list[Any] = []
        first, second, third = (turns.run(ask, "it") for _ in range(3))
        self.assertEqual(2, len(asked))
        asked[0].callback("yes")
        self.assertEqual("yes", self.successResultOf(first))
        self.assertEqual(3, len(asked))
        fourth = turns.run(ask, "it")
        clock.advance(10.0)
        for late in (second, third, fourth):
            self.assertIn("it: no answer within 10 seconds", str(self.failureResultOf(late, CantTell).value))
        self.assertEqual(asked[1:3], cancelled[:2])
        self.successResultOf(turns.run(lambda: maybeDeferred(int), "it"))

    def test_crowd(self) -> None:
        """The queue is bounded."""
        turns = Turns(Clock(), 10.0, 1)
        for _ in range(1001):
            self.assertNoResult(turns.run(Deferred, "it"))
        self.failureResultOf(turns.run(Deferred, "it"), CantTell)


class LineTests(SynchronousTestCase):
    """The protocol as text."""

    def test_request(self) -> None:
        """Dovecot hears where the client is, and that nobody could listen."""
        line = dovecotline.request(3, Question("ann", b"x", CLIENT))
        self.assertEqual(
            b"AUTH\t3\tPLAIN\tservice=smtp\tnologin\tsecured=tls\trip=192.0.2.7\trport=4321\tresp=AGFubgB4\n", line
        )
        line = dovecotline.request(1, Question("ann", b"x", Client("2001:db8::1")))
        self.assertIn(b"\tnologin\trip=2001:db8::1\tresp=", line)
        for address in ("", "/run/socket", "fe80::1%e\tth0", "x"):
            self.assertIn(b"\tnologin\tresp=", dovecotline.request(1, Question("ann", b"x", Client(address))))

    def test_answers(self) -> None:
        """All versions' ways to say yes, no, and "can't tell"."""
        for line, right, known, login, why in (
            (b"OK\t1\tuser=ann@y.test", True, True, "ann@y.test", ""),
            (b"OK\t1", True, True, "", ""),
            (b"OK\t1\tuser=a\x01tb", True, True, "a\tb", ""),
            (b"OK\t1\tuser=ann\tnologin\treason=no", False, True, "ann", "nologin"),
            (b"OK\t1\tuser=ann\tnologin\thost=b", True, True, "ann", ""),
            (b"FAIL\t1\tuser=ann", False, True, "ann", ""),
            (b"FAIL\t1", False, True, "", ""),
            (b"FAIL\t1\tuser=ann\ttemp", False, False, "ann", "temp_fail"),
            (b"FAIL\t1\tuser=ann\tcode=temp_fail", False, False, "ann", "temp_fail"),
            (b"FAIL\t1\tauthz", False, True, "", "authz_fail"),
            (b"FAIL\t1\tcode=authz_fail", False, True, "", "authz_fail"),
            (b"FAIL\t1\tuser_disabled\ttemp", False, False, "", "temp_fail"),
            (b"FAIL\t1\tuser_disabled", False, True, "", "user_disabled"),
            (b"FAIL\t1\tcode=pass_expired", False, True, "", "pass_expired"),
            (b"FAIL\t1\treason=x\x01ttemp", False, True, "", ""),
            (b"FAIL\t1\tcode=auth_mech_ssl_required", False, False, "", "auth_mech_ssl_required"),
            (b"FAIL\t1\tcode=something_new", False, False, "", "something_new"),
            (b"CONT\t1\t", False, False, "", "temp_fail"),
        ):
            found = dovecotline.answer(dovecotline.fieldsOf(line))
            self.assertEqual(Answer(1, right, login, why), found, line)
            assert found is not None
            self.assertEqual(known, found.isKnown, line)
        self.assertIsNone(dovecotline.answer(["SPID", "1"]))
        for line in (b"OK", b"FAIL\tx", b"OK\t-1", b"OK\t99999999999", "FAIL\t\u0661".encode()):
            self.assertRaises(CantTell, dovecotline.answer, dovecotline.fieldsOf(line))


class DovecotTests(SynchronousTestCase):
    """The checker, with a Dovecot that a test plays."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.reactor = MemoryReactorClock()
        self.checker = Dovecot(self.reactor, "/run/auth", 30.0)

    def ask(self, *args: Any) -> Deferred[Any]:
        """Begin a question."""
        return maybeDeferred(self.checker.requestAvatarId, credentials(*args))

    def accept(self, hello: bytes = HELLO) -> tuple[Any, Pipe]:
        """Dovecot takes the newest connection and introduces itself."""
        path, factory, *_ = self.reactor.unixClients[-1]
        self.assertEqual("/run/auth", path)
        protocol, pipe = factory.buildProtocol(None), Pipe()
        protocol.makeConnection(pipe)
        self.assertEqual(b"VERSION\t1\t1\nCPID\t%d\n" % os.getpid(), pipe.value())
        pipe.clear()
        protocol.dataReceived(hello)
        return protocol, pipe

    def refuse(self) -> None:
        """Nobody listens."""
        self.reactor.unixClients[-1][1].clientConnectionFailed(None, Failure(ConnectError(None, "no such file")))

    def numbers(self, pipe: Pipe) -> list[int]:
        """Of the questions that have come."""
        found = [int(line.split(b"\t")[1]) for line in pipe.value().splitlines() if line.startswith(b"AUTH")]
        pipe.clear()
        return found

    def test_interfaces(self) -> None:
        """It is what it says."""
        verifyObject(ICredentialsChecker, self.checker)
        verifyObject(ICheckerFactory, Factory())
        self.assertRaises(ValueError, Factory().generateChecker, "auth-client")

    def test_oneConnection(self) -> None:
        """Made at the first question, used for all, answered in any order; Dovecot's
        way to write a login counts."""
        self.assertEqual([], self.reactor.unixClients)
        first, second = self.ask(), self.ask(b"ben")
        protocol, pipe = self.accept()
        third = self.ask(b"cid")
        self.assertEqual([1, 2, 3], self.numbers(pipe))
        protocol.dataReceived(b"FAIL\t3\tuser=cid\nOK\t2\tuser=ben@y.test\nOK\t")
        self.failureResultOf(third, UnauthorizedLogin)
        self.assertEqual(b"ben@y.test", self.successResultOf(second))
        self.assertNoResult(first)
        protocol.dataReceived(b"1\n")
        self.assertEqual(b"ann", self.successResultOf(first))
        self.assertEqual(1, len(self.reactor.unixClients))

    def test_oddNames(self) -> None:
        """A name that can't be one is not taken over."""
        for name in (b"", b"x" * 256, b"a\x01tb"):
            found = self.ask()
            protocol, pipe = self.accept()
            [number] = self.numbers(pipe)
            protocol.dataReceived(b"OK\t%d\tuser=%s\n" % (number, name))
            self.assertEqual(b"ann", self.successResultOf(found))
            protocol.connectionLost(Failure(ConnectionDone()))

    def test_injection(self) -> None:
        """Names with separators never get there."""
        self.failureResultOf(self.ask(b"ann\tuser=root"), UnauthorizedLogin)
        self.failureResultOf(self.ask(b"ann\nAUTH\t9"), UnauthorizedLogin)
        self.failureResultOf(self.ask(b"ann", b"x\0y"), UnauthorizedLogin)
        self.assertEqual([], self.reactor.unixClients)

    def test_temporary(self) -> None:
        """Dovecot can't tell: nor can we."""
        found = self.ask()
        protocol, _ = self.accept()
        protocol.dataReceived(b"FAIL\t1\tuser=ann\tcode=temp_fail\n")
        self.assertIn("/run/auth: it says temp_fail", str(self.failureResultOf(found, CantTell).value))

    def test_away(self) -> None:
        """Nobody listens: "can't tell" at once, also for those who ask soon; then it
        is tried again, at growing intervals, until it works."""
        found = self.ask()
        self.refuse()
        self.assertIn("/run/auth", str(self.failureResultOf(found, CantTell).value))
        found = self.ask()
        self.refuse()
        self.failureResultOf(found, CantTell)
        for pause in (0.5, 1.0, 2.0, 5.0, 5.0):
            before = len(self.reactor.unixClients)
            self.failureResultOf(self.ask(), CantTell)
            self.assertEqual(before, len(self.reactor.unixClients))
            self.reactor.advance(pause)
            found = self.ask()
            self.assertEqual(before + 1, len(self.reactor.unixClients))
            self.refuse()
            self.failureResultOf(found, CantTell)
        self.reactor.advance(5.0)
        found = self.ask()
        self.accept()[0].dataReceived(b"OK\t1\n")
        self.assertEqual(b"ann", self.successResultOf(found))

    def test_lost(self) -> None:
        """Killed in the middle: "can't tell", and the next question makes a new
        connection."""
        found = self.ask()
        protocol, _ = self.accept()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(found, CantTell)
        found = self.ask()
        self.accept()[0].dataReceived(b"OK\t1\n")
        self.assertEqual(b"ann", self.successResultOf(found))

    def test_lostAtOnce(self) -> None:
        """Killed before it has said what it can."""
        found = self.ask()
        protocol, _ = self.accept(b"VERSION\t1\t1\n")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(found, CantTell)

    def test_silent(self) -> None:
        """A Dovecot that hangs: "can't tell" when the time is over, and its connection
        is given up."""
        found = self.ask()
        protocol, pipe = self.accept()
        self.reactor.advance(29.9)
        self.assertNoResult(found)
        self.reactor.advance(0.2)
        self.failureResultOf(found, CantTell)
        self.assertTrue(pipe.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        found = self.ask()
        self.assertEqual(2, len(self.reactor.unixClients))
        _, pipe = self.accept(b"")
        self.reactor.advance(10.1)
        self.assertIn("not ready", str(self.failureResultOf(found, CantTell).value))
        self.assertTrue(pipe.disconnecting)

    def test_slow(self) -> None:
        """One answer that takes too long costs nobody else the connection; when it
        comes at last it is nobody's."""
        slow = self.ask()
        protocol, pipe = self.accept()
        self.reactor.advance(20.0)
        quick = self.ask(b"ben")
        protocol.dataReceived(b"OK\t2\n")
        self.successResultOf(quick)
        pipe.clear()
        self.reactor.advance(10.1)
        self.failureResultOf(slow, CantTell)
        self.assertEqual(b"CANCEL\t1\n", pipe.value())
        self.assertFalse(pipe.disconnecting)
        other = self.ask(b"cid")
        protocol.dataReceived(b"OK\t1\tuser=ann\n")
        self.assertNoResult(other)
        protocol.dataReceived(b"FAIL\t3\n")
        self.failureResultOf(other, UnauthorizedLogin)

    def test_senseless(self) -> None:
        """What is not the protocol ends the connection."""
        for hello in (
            b"VERSION\t2\t0\n" + HELLO,
            b"VERSION\n",
            HELLO.replace(b"MECH\tPLAIN\tplaintext\n", b""),
            HELLO + b"OK\tx\n",
            b"x" * 70000,
        ):
            found = self.ask()
            _, pipe = self.accept(hello)
            self.failureResultOf(found, CantTell)
            self.assertTrue(pipe.disconnecting, hello[:20])
            self.reactor.advance(5.0)

    def test_waitingIsCut(self) -> None:
        """Who has waited too long for a connection is forgotten, and one that comes
        later serves the next."""
        self.checker = Dovecot(self.reactor, "/run/auth", 5.0)
        found = self.ask()
        self.reactor.advance(5.1)
        self.failureResultOf(found, CantTell)
        found = self.ask()
        self.reactor.advance(0.1)
        self.assertLessEqual(len(self.reactor.unixClients), 2)
        self.accept()[0].dataReceived(b"OK\t1\n")
        self.assertEqual(b"ann", self.successResultOf(found))
