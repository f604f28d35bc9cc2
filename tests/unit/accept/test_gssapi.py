"""L{umbcmail.accept.auth.tickets}: GSSAPI in whole conversations."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.unit.accept.test_auth import AuthCase
from umbcmail.accept.auth.checkers import Checkers
from umbcmail.accept.auth.exchange import SASLError
from umbcmail.accept.auth.tickets import NO_LAYER, isInitialToken
from umbcmail.interfaces import IGssapiChecker, IGssapiCredentials

TOKEN = b"\x60\x03abc"
OFFER = b"signed " + NO_LAYER


class FakeAcceptance:
    """As L{IGssapiAcceptance}; what is signed begins so."""

    principal = "ann@Y.TEST"
    login = "ann"

    def __init__(self, reply: bytes = b"", isComplete: bool = True, then: Any = None) -> None:
        self.reply = reply
        self.isComplete = isComplete
        self.then = then
        self.tokens: list[bytes] = []

    def goOn(self, token: bytes) -> Any:
        """See L{IGssapiAcceptance.goOn}."""
        self.tokens.append(token)
        return maybeDeferred(lambda: self.then)

    def wrap(self, octets: bytes) -> bytes:
        """See L{IGssapiAcceptance.wrap}."""
        return b"signed " + octets

    def unwrap(self, token: bytes) -> bytes:
        """See L{IGssapiAcceptance.unwrap}."""
        if not token.startswith(b"signed "):
            raise SASLError("not signed")
        return token.removeprefix(b"signed ")


@implementer(ICredentialsChecker, IGssapiChecker)
class TicketChecker:
    """Takes all tokens in one way.

    @ivar answer: what comes of a token; an exception is raised.
    """

    credentialInterfaces = (IGssapiCredentials,)

    def __init__(self) -> None:
        self.answer: Any = FakeAcceptance()
        self.tokens: list[bytes] = []

    def accept(self, token: bytes) -> Deferred[Any]:
        """See L{IGssapiChecker.accept}."""
        self.tokens.append(token)

        def answer() -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return maybeDeferred(answer)

    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return credentials.username


class GssapiTests(AuthCase):
    """What clients say, and what they are told."""

    mechanisms = ("PLAIN", "GSSAPI")

    def setUp(self) -> None:
        """With a checker that knows tickets."""
        AuthCase.setUp(self)
        self.checker = TicketChecker()
        self.use(self.checker)

    def exchange(self, session: Any, *octets: bytes, initial: bool = True) -> list[int]:
        """Codes of the answers to an exchange."""
        lines = [b64encode(each) for each in octets]
        if initial:
            lines[0] = b"AUTH GSSAPI " + (lines[0] or b"=")
        else:
            lines.insert(0, b"AUTH GSSAPI")
        return self.ask(session, *lines)

    def test_offer(self) -> None:
        """It is on offer where a checker takes tickets, and nowhere else."""
        session = self.connect()
        session.dataReceived(b"EHLO c.test\r\nSTARTTLS\r\n")
        session.handshakeCompleted()
        self.said(session)
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertIn(b"\r\n250 AUTH GSSAPI\r\n", self.said(session))
        self.checker.credentialInterfaces = (IUsernamePassword,)  # type: ignore[assignment]
        self.assertEqual((IUsernamePassword,), Checkers([self.checker]).credentialInterfaces)

    def test_passwordCheckerIsNotAsked(self) -> None:
        """A checker that does not take tickets gets none, whatever else it could do."""
        passwords = TicketChecker()
        passwords.credentialInterfaces = (IUsernamePassword,)  # type: ignore[assignment]
        self.use(passwords, self.checker)
        self.exchange(self.secure(), TOKEN)
        self.assertEqual(([], [TOKEN]), (passwords.tokens, self.checker.tokens))

    def test_success(self) -> None:
        """With and without initial response, as nobody else or as oneself."""
        for initial in (True, False):
            for other in (b"", b"ann", b"ann@Y.TEST"):
                codes = self.exchange(self.secure(), TOKEN, OFFER + other, initial=initial)
                self.assertEqual([334] * (1 if initial else 2) + [235], codes)
        self.assertIn(" login=ann mechanism=GSSAPI", self.logged())

    def test_words(self) -> None:
        """The offer is signed, and has no layer and no buffer."""
        session = self.secure()
        session.dataReceived(b"AUTH GSSAPI " + b64encode(TOKEN) + b"\r\n")
        said = self.said(session)
        self.assertEqual(b"signed \1\0\0\0", b64decode(said.removeprefix(b"334 ")))

    def test_mutual(self) -> None:
        """Where the client wants to know us too it gets a token, and says nothing."""
        self.checker.answer = FakeAcceptance(b"reply")
        session = self.secure()
        session.dataReceived(b"AUTH GSSAPI " + b64encode(TOKEN) + b"\r\n")
        self.assertEqual(b"reply", b64decode(self.said(session).removeprefix(b"334 ")))
        self.assertEqual([334, 235], self.ask(session, b"", b64encode(OFFER)))
        self.assertEqual([334, 501], self.exchange(self.secure(), TOKEN, b"more"))

    def test_rounds(self) -> None:
        """Tokens go on until it is complete, to whom the first went; not for ever."""
        last = FakeAcceptance()
        first = self.checker.answer = FakeAcceptance(b"next", False, last)
        self.assertEqual([334, 334, 235], self.exchange(self.secure(), TOKEN, b"second", OFFER))
        self.assertEqual(([TOKEN], [b"second"]), (self.checker.tokens, first.tokens))
        first.then = first
        self.assertEqual([334] * 5 + [501], self.exchange(self.secure(), TOKEN, *[b"x"] * 5))
        self.checker.answer = FakeAcceptance(b"", False)
        self.assertEqual([501], self.exchange(self.secure(), TOKEN))

    def test_somebodyElse(self) -> None:
        """Nobody acts for somebody else, and a name is text."""
        for other in (b"bob", b"ann@Z.TEST", b"ANN", b"ann\0", b" "):
            self.assertEqual([334, 535], self.exchange(self.secure(), TOKEN, OFFER + other))
        self.assertEqual([334, 501], self.exchange(self.secure(), TOKEN, OFFER + b"\xff"))

    def test_layers(self) -> None:
        """What was not offered is not taken; what a client says of its buffer does not
        matter."""
        self.assertEqual([334, 235], self.exchange(self.secure(), TOKEN, b"signed \1\0\xff\xff"))
        for chosen in (b"\0\0\0\0", b"\2\0\0\0", b"\4\0\0\0", b"\3\0\0\0", b"\1\0\0", b""):
            self.assertEqual([334, 501], self.exchange(self.secure(), TOKEN, b"signed " + chosen))

    def test_notSigned(self) -> None:
        """Whoever shows a ticket and can't sign with its key is not let in."""
        for response in (b"", NO_LAYER, b"signe " + NO_LAYER):
            session = self.secure()
            self.assertEqual([334, 535], self.exchange(session, TOKEN, response))
            self.assertEqual([334, 235], self.exchange(session, TOKEN, OFFER))

    def test_cancelled(self) -> None:
        """A client may give up, and begin again."""
        session = self.secure()
        self.assertEqual([334, 501], self.ask(session, b"AUTH GSSAPI " + b64encode(TOKEN), b"*"))
        self.assertEqual([334, 235], self.exchange(session, TOKEN, OFFER))

    def test_noTokens(self) -> None:
        """What is no token does not come to the checker."""
        for octets in (b"", b"garbage", TOKEN + b"x", TOKEN[:-1], b"\x60", b"\x60\x80"):
            self.assertEqual([501], self.exchange(self.secure(), octets), octets)
        self.assertEqual([], self.checker.tokens)
        self.checker.answer = SASLError("inside of it")
        self.assertEqual([501], self.exchange(self.secure(), TOKEN))

    def test_refused(self) -> None:
        """A ticket that lets nobody in is 535; what can't be told 454, with a line in the
        log and nothing of it for the client."""
        self.checker.answer = UnauthorizedLogin("the ticket has expired")
        self.assertEqual([535], self.exchange(self.secure(), TOKEN))
        self.assertIn("the ticket has expired", self.logged())
        self.checker.answer = OSError("the keytab /k is old")
        session = self.secure()
        session.dataReceived(b"AUTH GSSAPI " + b64encode(TOKEN) + b"\r\n")
        said = self.said(session)
        self.assertTrue(said.startswith(b"454 4.7.0"), said)
        self.assertNotIn(b"/k", said)
        self.assertIn('where=auth why="the keytab /k is old"', self.logged())

    def test_bug(self) -> None:
        """A bug is 454 too."""
        self.checker.answer = KeyError("x")
        self.assertEqual([454], self.exchange(self.secure(), TOKEN))
        self.assertIn(" bug ", self.logged())

    def test_limit(self) -> None:
        """Over the limit of failures the session ends."""
        self.checker.answer = UnauthorizedLogin()
        session = self.secure()
        codes = [code for _ in range(6) for code in self.exchange(session, TOKEN)]
        self.assertEqual([535] * 5 + [421], codes)

    def test_counted(self) -> None:
        """Tickets that are none count for the network, as wrong passwords do; then none is
        looked at there, unless there was a good one before."""
        self.networkLimit = 4
        for hadGood, code in ((False, 454), (True, 334)):
            self.use(self.checker)
            self.checker.answer = FakeAcceptance()
            if hadGood:
                self.assertEqual([334, 235], self.exchange(self.secure(), TOKEN, OFFER))
            self.checker.answer = UnauthorizedLogin()
            self.assertEqual([[535]] * 4, [self.exchange(self.secure(), TOKEN) for _ in range(4)])
            self.checker.tokens.clear()
            self.checker.answer = FakeAcceptance()
            self.assertEqual([code], self.exchange(self.secure(), TOKEN))
            self.assertEqual(hadGood, bool(self.checker.tokens))
            self.assertEqual([334, 235], self.exchange(self.secure("198.51.100.1"), TOKEN, OFFER))

    def test_notCounted(self) -> None:
        """What can't be told, and what is malformed, counts for nobody."""
        self.networkLimit = 4
        self.use(self.checker)
        for answer, code in ((OSError("down"), 454), (SASLError("odd"), 501)):
            self.checker.answer = answer
            self.assertEqual([[code]] * 6, [self.exchange(self.secure(), TOKEN) for _ in range(6)])
        self.checker.answer = FakeAcceptance()
        self.assertEqual([334, 235], self.exchange(self.secure(), TOKEN, OFFER))

    def test_goneMeanwhile(self) -> None:
        """A client that is gone when the checker answers changes nothing."""
        waiting: Deferred[Any] = Deferred()
        self.checker.answer = waiting
        session = self.secure()
        session.dataReceived(b"AUTH GSSAPI " + b64encode(TOKEN) + b"\r\n")
        session.transport.loseConnection()
        session.connectionLost(Failure(ConnectionDone()))
        waiting.callback(FakeAcceptance())
        self.assertNotIn("authenticated", self.logged())

    def test_delay(self) -> None:
        """A failure is answered when it is due."""
        self.delay = 1.0
        self.use(self.checker)
        self.checker.answer = UnauthorizedLogin()
        session = self.secure()
        self.assertEqual([], self.exchange(session, TOKEN))
        self.clock.advance(1.0)
        self.assertEqual([535], self.codes(session))

    @given(st.binary(max_size=300))
    @example(b"\x60\x81\x80" + b"x" * 128)
    @example(b"\x60\x84\xff\xff\xff\xff")
    @example(b"\x60\x85\0\0\0\0\0")
    @example(b"\x60\x83\0")
    def test_framing(self, octets: bytes) -> None:
        """A token is one when its length is right, whatever the form of it."""
        isOne = isInitialToken(octets)
        if isOne:
            self.assertEqual(0x60, octets[0])
            self.assertFalse(isInitialToken(octets + b"x") or isInitialToken(octets[:-1]))
        rest = len(octets)
        short = bytes([0x60, rest]) if rest < 128 else bytes([0x60, 0x82]) + rest.to_bytes(2, "big")
        self.assertTrue(isInitialToken(short + octets))
