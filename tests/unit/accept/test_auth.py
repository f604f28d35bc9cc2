"""L{umbcmail.accept.auth.authentication} and AUTH in the dialogue: whole conversations."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.accept.test_session import SessionCase
from umbcmail import reply
from umbcmail.accept.auth.authentication import Terms, withoutSecrets
from umbcmail.accept.auth.checkers import Checkers, Realm
from umbcmail.accept.auth.guesses import Guesses
from umbcmail.accept.auth.sasl import MECHANISMS, available
from umbcmail.accept.auth.users import UsersFile
from umbcmail.state.memory import MemoryCounters, MemoryState, MemoryStore

SECRET = "s3cret!"
PLAIN = b64encode(b"\0ann\0s3cret!")
WRONG = b64encode(b"\0ann\0wrong")
UNKNOWN = b64encode(b"\0bob\0s3cret!")


def opened(store: MemoryStore) -> MemoryCounters:
    """The counters of another process that shares a store."""
    state = MemoryState(store)
    state.start()
    return state.counters


@implementer(ICredentialsChecker)
class SlowChecker:
    """Answers when a test fires C{waiting}.

    @ivar asked: names, in the order of the questions.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.asked: list[bytes] = []
        self.clients: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See L{ICredentialsChecker}."""
        self.asked.append(credentials.username)
        self.clients.append(credentials.client)
        self.waiting.append(Deferred())
        return self.waiting[-1]


def proof(password: str, first: str, server: str, gs2: str = "n,,") -> tuple[bytes, bytes]:
    """What a client says at the end of SCRAM, and what the server must say then.

    @param first: client-first-message-bare.
    @param server: server-first-message.
    """
    nonce, salt, iterations = (part[2:] for part in server.split(","))
    salted = pbkdf2_hmac("sha256", password.encode(), b64decode(salt), int(iterations))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={b64encode(gs2.encode()).decode()},r={nonce}"
    message = f"{first},{server},{final}".encode()
    signature = hmac.digest(sha256(key).digest(), message, "sha256")
    mine = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    theirs = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    return f"{final},p={b64encode(mine).decode()}".encode(), b"v=" + b64encode(theirs)


class AuthCase(SessionCase):
    """A port with AUTH under TLS."""

    tls = staticmethod(lambda: object())
    mechanisms = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5")
    needed = False
    delay = 0.0
    failureLimit = 5
    loginLimit = 100
    networkLimit = 1000
    counters: Any = None

    def setUp(self) -> None:
        """With a file of users unless a test sets another checker."""
        SessionCase.setUp(self)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(f"ann:{{PLAIN}}{SECRET}\nü:{{PLAIN}}{SECRET}\n")
        self.use(UsersFile(path, maybeDeferred, self.log, b"salts"))

    def use(self, *checkers: Any) -> None:
        """Let these say who may log in."""
        portal = Portal(Realm(), [Checkers(checkers)])
        self.guesses = Guesses(self.clock, self.loginLimit, self.networkLimit, 600.0, self.counters, self.log)
        self.rules = replace(
            self.rules,
            auth=Terms(
                portal,
                available(portal, self.mechanisms),
                self.needed,
                self.delay,
                self.failureLimit,
                self.guesses,
                self.clock,
            ),
        )
        self.factory._rules = self.rules

    def secure(self, host: str = "192.0.2.7", ehlo: bytes = b"EHLO c.test\r\n") -> Any:
        """A session under TLS, after EHLO."""
        session = self.connect(host)
        session.dataReceived(b"EHLO c.test\r\nSTARTTLS\r\n")
        session.handshakeCompleted()
        session.dataReceived(ehlo)
        self.said(session)
        return session

    def ask(self, session: Any, *lines: bytes) -> list[int]:
        """Codes of the answers to lines."""
        for line in lines:
            session.dataReceived(line + b"\r\n")
        return self.codes(session)

    def logged(self) -> str:
        """The log so far."""
        self.log.flush()
        return b"".join(self.lines).decode()


class ConversationTests(AuthCase):
    """What clients say, and what they are told."""

    def test_offer(self) -> None:
        """AUTH is offered under TLS only, and no more after success."""
        session = self.connect()
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertNotIn(b"AUTH", self.said(session))
        session.dataReceived(b"STARTTLS\r\n")
        session.handshakeCompleted()
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertIn(b"\r\n250 AUTH PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5\r\n", self.said(session))
        self.assertEqual([235], self.ask(session, b"AUTH PLAIN " + PLAIN))
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertNotIn(b"AUTH", self.said(session))
        self.assertEqual([503], self.ask(session, b"AUTH PLAIN " + PLAIN))

    def test_order(self) -> None:
        """Not in clear, not before EHLO, not after HELO, not in a transaction."""
        self.assertEqual([250, 538, 538], self.talk(b"EHLO c.test\r\nAUTH PLAIN\r\nAUTH PLAIN " + PLAIN + b"\r\n"))
        self.assertEqual([503], self.talk(b"AUTH PLAIN\r\n"))
        for ehlo in (b"", b"HELO c.test\r\n"):
            self.assertEqual([503], self.ask(self.secure(ehlo=ehlo), b"AUTH PLAIN " + PLAIN))
        session = self.secure()
        self.assertEqual([250, 503], self.ask(session, b"MAIL FROM:<s@z.test>", b"AUTH PLAIN " + PLAIN))
        self.assertEqual([250, 235], self.ask(session, b"RSET", b"AUTH PLAIN " + PLAIN))

    def test_portWithout(self) -> None:
        """A port without AUTH does not know it."""
        self.factory._rules = replace(self.rules, auth=None)
        session = self.secure()
        self.assertEqual([502, 555], self.ask(session, b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<s@z.test> AUTH=<>"))

    def test_plain(self) -> None:
        """With and without initial response, in any case, with the same authzid."""
        same = b64encode(b"ann\0ann\0s3cret!")
        wide = b64encode("\0ü\0s3cret!".encode())
        for lines in (
            [b"AUTH PLAIN " + PLAIN],
            [b"auth plain " + PLAIN + b" "],
            [b"AUTH PLAIN", PLAIN],
            [b"AUTH PLAIN " + same],
            [b"AUTH PLAIN", wide],
        ):
            self.assertEqual([334] * (len(lines) - 1) + [235], self.ask(self.secure(), *lines), lines)

    def test_challengeOfNothing(self) -> None:
        """The 334 to AUTH PLAIN has a blank and nothing behind it (RFC 4954 section 4)."""
        session = self.secure()
        session.dataReceived(b"AUTH PLAIN\r\n")
        self.assertEqual(b"334 \r\n", self.said(session))

    def test_malformed(self) -> None:
        """What makes no sense is answered, and the next line is a command again."""
        for text in (
            b"AUTH",
            b"AUTH PLAIN !!!!",
            b"AUTH PLAIN =",
            b"AUTH PLAIN ==",
            b"AUTH PLAIN AGFubgBzM2NyZXQ",
            b"AUTH PLAIN AGFubg==",
            b"AUTH PLAIN YWJj",
            b"AUTH PLAIN AABhbm4AczNjcmV0IQA=",
            b"AUTH PLAIN AGFubgBz\xc3\xbc",
            b"AUTH PLAIN " + PLAIN + b" " + PLAIN,
            b"AUTH PLAIN " + b64encode(b"\0\xff\0x"),
            b"AUTH PLAIN " + b64encode(b"\0\0x"),
            b"AUTH PLAIN " + b64encode(b"\0ann\0"),
            b"AUTH LOGIN =",
            b"AUTH CRAM-MD5 YW5u",
            b"AUTH CRAM-MD5 =",
            b"AUTH SCRAM-SHA-256 " + b64encode(b"p=tls-unique,,n=ann,r=abc"),
        ):
            session = self.secure()
            self.assertEqual([501, 250, 235], self.ask(session, text, b"RSET", b"AUTH PLAIN " + PLAIN), text)
        self.assertEqual([504, 504], self.ask(self.secure(), b"AUTH GSSAPI", b"AUTH " + b"X" * 99))

    def test_malformedLines(self) -> None:
        """The same of lines that answer a 334; a star cancels, = is no base64 here."""
        for first in (b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH SCRAM-SHA-256", b"AUTH CRAM-MD5", b"AUTH LOGIN YW5u"):
            for line in (b"*", b"", b"=", b"!", b"YQ", b"\xff", b"a\0b", b"YW\rJj", b"AUTH PLAIN"):
                self.assertEqual([334, 501, 250], self.ask(self.secure(), first, line, b"NOOP"), (first, line))

    def test_wordsOfErrors(self) -> None:
        """The enhanced codes of RFC 4954 section 6."""
        session = self.secure()
        for lines, words in (
            ((b"AUTH PLAIN", b"*"), b"501 5.7.0 "),
            ((b"AUTH PLAIN !",), b"501 5.5.2 "),
            ((b"AUTH X",), b"504 5.5.4 "),
            ((b"AUTH PLAIN " + WRONG,), b"535 5.7.8 "),
            ((b"AUTH PLAIN " + PLAIN,), b"235 2.7.0 "),
        ):
            for line in lines:
                session.transport.clear()
                session.dataReceived(line + b"\r\n")
            self.assertTrue(self.said(session).startswith(words), words)

    def test_login(self) -> None:
        """LOGIN, with and without the name in the command."""
        session = self.secure()
        session.dataReceived(b"AUTH LOGIN\r\n")
        self.assertEqual(b"334 VXNlcm5hbWU6\r\n", self.said(session))
        session.dataReceived(b"YW5u\r\n")
        self.assertEqual(b"334 UGFzc3dvcmQ6\r\n", self.said(session))
        self.assertEqual([235], self.ask(session, b"czNjcmV0IQ=="))
        self.assertEqual([334, 235], self.ask(self.secure(), b"AUTH LOGIN YW5u", b"czNjcmV0IQ=="))
        self.assertEqual([334, 535], self.ask(self.secure(), b"AUTH LOGIN YW5u", b"YW5u"))

    def scram(self, name: str, password: str, gs2: str = "n,,") -> tuple[Any, list[int], bytes]:
        """A whole exchange: session, codes, and what was said instead of C{v=…}."""
        session = self.secure()
        first = f"n={name},r=abcdefgh"
        session.dataReceived(b"AUTH SCRAM-SHA-256 " + b64encode((gs2 + first).encode()) + b"\r\n")
        challenge = self.said(session)
        self.assertEqual(b"334 ", challenge[:4])
        final, signature = proof(password, first, b64decode(challenge[4:]).decode(), gs2)
        session.dataReceived(b64encode(final) + b"\r\n")
        said = self.said(session)
        if said == b"334 " + b64encode(signature) + b"\r\n":
            return session, self.ask(session, b""), b""
        return session, [int(said[:3])], said

    def test_scram(self) -> None:
        """The server shows that it knows the password too, and then says 235."""
        for gs2 in ("n,,", "y,,", "n,a=ann,"):
            session, codes, _ = self.scram("ann", SECRET, gs2)
            self.assertEqual([235], codes)
            self.assertEqual("ann", session._dialogue.client.login)
        self.assertEqual([235], self.scram("ü", SECRET)[1])

    def test_scramWrong(self) -> None:
        """A wrong password, an unknown name and another authzid get 535 only at
        the end; the salt of an unknown name stays the same."""
        for name, password, gs2 in (("ann", "x", "n,,"), ("bob", SECRET, "n,,"), ("ann", SECRET, "n,a=ü,")):
            session, codes, _ = self.scram(name, password, gs2)
            self.assertEqual([535], codes)
            self.assertEqual([235], self.ask(session, b"AUTH PLAIN " + PLAIN))
        found = set()
        for _ in range(2):
            session = self.secure()
            session.dataReceived(b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=bob,r=abc") + b"\r\n")
            found.add(b64decode(self.said(session)[4:]).partition(b",")[2])
        self.assertEqual(1, len(found))

    def test_scramNotAcknowledged(self) -> None:
        """Without the client's last line nobody is logged in."""
        for line in (b"*", b"YQ=="):
            session = self.secure()
            session.dataReceived(b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=ann,r=abc") + b"\r\n")
            final, _ = proof(SECRET, "n=ann,r=abc", b64decode(self.said(session)[4:]).decode())
            self.assertEqual([334, 501], self.ask(session, b64encode(final), line))
            self.assertEqual("", session._dialogue.client.login)

    def test_cram(self) -> None:
        """CRAM-MD5 where it is switched on."""
        for password, code in ((SECRET, 235), ("x", 535)):
            session = self.secure()
            session.dataReceived(b"AUTH CRAM-MD5\r\n")
            challenge = b64decode(self.said(session)[4:])
            self.assertRegex(challenge, rb"\A<[0-9a-f]{24}\.[0-9]+@mx\.y\.test>\Z")
            digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
            self.assertEqual([code], self.ask(session, b64encode(f"ann {digest}".encode())))

    def test_wrong(self) -> None:
        """A failure leaves nothing behind; unknown names hear the same words."""
        session = self.secure()
        self.assertEqual([535, 250, 250], self.ask(session, b"AUTH PLAIN " + WRONG, b"MAIL FROM:<s@z.test>", b"RSET"))
        self.assertEqual([235], self.ask(session, b"AUTH PLAIN " + PLAIN))
        words = []
        for text in (WRONG, UNKNOWN, b64encode(b"ann\0bob\0x"), b64encode(b"\0" + b"n" * 300 + b"\0x")):
            session = self.secure()
            session.dataReceived(b"AUTH PLAIN " + text + b"\r\n")
            words.append(self.said(session))
        self.assertEqual({reply.AUTH_FAILED.wire}, set(words))

    def test_nobodyElse(self) -> None:
        """A right password is no permission to act for somebody else."""
        text = b64encode("ü\0ann\0s3cret!".encode())
        self.assertEqual([535], self.ask(self.secure(), b"AUTH PLAIN " + text))

    def test_message(self) -> None:
        """The login is in the envelope and in the Received field, and EHLO or RSET
        do not forget it."""
        session = self.secure()
        session.dataReceived(b"AUTH PLAIN " + PLAIN + b"\r\nEHLO d.test\r\nRSET\r\n")
        session.dataReceived(b"MAIL FROM:<s@z.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n\r\n.\r\n")
        [(envelope, data)] = self.intake.taken
        self.assertEqual("ann", envelope.client.login)
        self.assertIn(b" with ESMTPSA id ", data)
        self.assertIn(" login=ann ", self.logged())

    def test_authParameter(self) -> None:
        """AUTH= of MAIL is taken where AUTH is offered, and must be xtext."""
        session = self.secure()
        for value, code in (
            (b"<>", 250),
            (b"a@b.test", 250),
            (b"e+3Dmc2@b.test", 250),
            (b"", 501),
            (b"a=b", 501),
            (b"e+3d", 501),
            (b"+", 501),
            (b"a" * 501, 501),
        ):
            self.assertEqual([code, 250], self.ask(session, b"MAIL FROM:<s@z.test> AUTH=" + value, b"RSET"), value)
        self.assertEqual([501], self.ask(session, b"MAIL FROM:<s@z.test> AUTH=<> AUTH=<>"))
        self.assertEqual([501], self.ask(session, b"MAIL FROM:<s@z.test> AUTH"))
        self.assertEqual([235, 250], self.ask(session, b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<s@z.test> AUTH=<>"))
        self.assertEqual([250, 555], self.talk(b"EHLO c.test\r\nMAIL FROM:<s@z.test> AUTH=<>\r\n"))

    def test_pipelined(self) -> None:
        """Commands behind the last line of an exchange are answered in order."""
        session = self.secure()
        session.dataReceived(b"AUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<s@z.test>\r\nNOOP\r\n")
        self.assertEqual([235, 250, 250], self.codes(session))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(1, 30), max_size=60))
    def test_cutsDoNotMatter(self, sizes: list[int]) -> None:
        """However the octets are cut, the answers are the same."""
        self.setUp()
        text = b"AUTH LOGIN\r\nYW5u\r\nczNjcmV0IQ==\r\nAUTH PLAIN\r\nNOOP\r\n"
        session = self.secure()
        for size in [*sizes, len(text)]:
            chunk, text = text[:size], text[size:]
            if chunk:
                session.dataReceived(chunk)
        self.assertEqual([334, 334, 235, 503, 250], self.codes(session))

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from([b"PLAIN", b"LOGIN", b"SCRAM-SHA-256", b"CRAM-MD5"]),
        st.lists(
            st.one_of(st.binary(max_size=60), st.sampled_from([b"n,,n=ann,r=abc", b"ann", b"\0ann\0x"])), max_size=5
        ),
        st.booleans(),
    )
    def test_anything(self, name: bytes, responses: list[bytes], encoded: bool) -> None:
        """Whatever a client sends, it gets one reply a line, never a bug, and the
        session goes on, unless it was a command that ends it."""
        self.setUp()
        session = self.secure()
        lines = [b"AUTH " + name]
        lines += [b64encode(r) if encoded else r.replace(b"\n", b"").replace(b"\r", b"") for r in responses]
        for line in lines:
            codes = self.ask(session, line)
            self.assertEqual(1, len(codes), line)
            if session.transport.disconnecting:
                break
        if session._dialogue._exchange is not None:
            self.assertEqual([501], self.ask(session, b"*"))
        self.assertNotIn(" bug ", self.logged())
        if not session.transport.disconnecting:
            self.assertEqual([250], self.ask(session, b"NOOP"))


class LineTests(AuthCase):
    """Lines of AUTH may be longer than others (RFC 4954 section 4)."""

    def test_long(self) -> None:
        """12288 octets are taken, one more is 500 5.5.6; other commands have their
        usual limit.  Cuts change nothing."""
        for size in (0, 1000):
            for text, code in (
                (b"AUTH PLAIN ".ljust(12288, b"A"), 501),
                (b"AUTH PLAIN ".ljust(12289, b"A"), 500),
                (b"auth plain ".ljust(30000, b"A"), 500),
                (b"NOOP ".ljust(2049, b"A"), 500),
                (b"AUTHX ".ljust(3000, b"A"), 500),
            ):
                session = self.secure()
                step = size or len(text)
                for at in range(0, len(text), step):
                    session.dataReceived(text[at : at + step])
                session.dataReceived(b"\r")
                self.assertEqual([code, 250], self.ask(session, b"\nNOOP"), (len(text), size))

    def test_longInExchange(self) -> None:
        """The same of a line that answers a 334; the exchange has ended then."""
        for length, words in ((12288, b"501 5.5.2"), (12289, b"500 5.5.6"), (50000, b"500 5.5.6")):
            session = self.secure()
            self.assertEqual([334], self.ask(session, b"AUTH PLAIN"))
            session.dataReceived(b"A" * length + b"\r\n")
            self.assertTrue(self.said(session).startswith(words), length)
            self.assertEqual([250], self.ask(session, b"NOOP"))

    def test_clear(self) -> None:
        """Where AUTH is not offered its lines are as all others."""
        self.assertEqual([250, 500], self.talk(b"EHLO c.test\r\n" + b"AUTH PLAIN ".ljust(3000, b"A") + b"\r\n"))


class LogTests(AuthCase):
    """What the log says, and what it must not say."""

    def test_events(self) -> None:
        """Who, how, from where."""
        self.ask(self.secure(), b"AUTH PLAIN " + WRONG, b"AUTH PLAIN " + PLAIN)
        log = self.logged()
        self.assertIn(" authenticated id=c0 client=192.0.2.7 login=ann mechanism=PLAIN\n", log)
        self.assertRegex(log, " auth-failed id=c0 client=192.0.2.7 login=ann mechanism=PLAIN reply=.535 5.7.8")

    def test_noSecrets(self) -> None:
        """No line of any exchange is in the log, nor what comes behind a refused one."""
        secret = b64encode(b"\0ann\0tiger")
        for start in (self.secure, self.connect):
            for lines in (
                [b"AUTH PLAIN " + secret],
                [b"AUTH PLAIN", secret],
                [b"AUTH PLAIN", secret + b"!"],
                [b"AUTH NONE " + secret],
                [b"AUTH NONE", secret],
                [b"AUTH\tPLAIN " + secret, secret],
                [b" AUTH PLAIN " + secret],
                [b"AUTH " + secret],
                [b"NOOP\nAUTH PLAIN " + secret],
                [b"\nauth plain\n" + secret],
                [b"AUTH LOGIN", b"!", secret],
                [b"AUTH LOGIN", secret, secret, secret],
                [b"AUTH PLAIN " + secret + b"A" * 20000],
                [b"AUTH PLAIN", secret + b"A" * 20000],
                [b"AUTH PLAIN " + secret + b" x", b"\0ann\0tiger"],
                [b"EHLO c.test", b"AUTH PLAIN " + secret, secret],
            ):
                session = start()
                self.ask(session, *lines)
                log = self.logged()
                for word in (secret.decode(), secret.decode()[:12], "tiger"):
                    self.assertNotIn(word, log, lines)

    def test_othersAreShown(self) -> None:
        """Lines without AUTH are logged as they were."""
        for line in (b"FOO", b"MAIL FROM:<auth@x> AUTH=<>", b"EHLO author", b"EHLO auth.x"):
            self.assertEqual(line, withoutSecrets(line))
        self.assertEqual(b"AUTH PLAIN", withoutSecrets(b"AUTH PLAIN eHh4"))


class CheckerTests(AuthCase):
    """Checkers that are slow, down, or broken."""

    def test_slow(self) -> None:
        """What follows waits for the checker."""
        checker = SlowChecker()
        verifyObject(ICredentialsChecker, checker)
        self.use(checker)
        session = self.secure()
        self.assertEqual([], self.ask(session, b"AUTH PLAIN " + PLAIN, b"NOOP"))
        [client] = checker.clients
        self.assertEqual(("192.0.2.7", True), (client.address, bool(client.tls)), "it knows who asks")
        checker.waiting[0].callback(b"ann")
        self.assertEqual([235, 250], self.codes(session))

    def test_only(self) -> None:
        """Only mechanisms that a checker knows are on offer."""
        self.use(SlowChecker())
        session = self.secure()
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertIn(b"250 AUTH PLAIN LOGIN\r\n", self.said(session))
        self.assertEqual([504], self.ask(session, b"AUTH CRAM-MD5"))
        self.use(InMemoryUsernamePasswordDatabaseDontUse(ann=b"s3cret!"))
        session = self.secure()
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertIn(b"250 AUTH PLAIN LOGIN CRAM-MD5\r\n", self.said(session))
        self.assertEqual([235], self.ask(session, b"AUTH PLAIN " + PLAIN))

    def test_down(self) -> None:
        """A checker that can't tell is no "no": 454; it is in the log, and no failure."""
        for error in (OSError("no route"), RuntimeError("a bug")):
            checker = SlowChecker()
            self.use(checker)
            session = self.secure()
            for _ in range(10):
                self.ask(session, b"AUTH PLAIN " + PLAIN)
                checker.waiting[-1].errback(error)
                self.assertEqual([454], self.codes(session))
            self.assertFalse(session.transport.disconnecting)
        self.assertIn(" trouble ", self.logged())
        self.assertIn(" bug ", self.logged())

    def test_keysDown(self) -> None:
        """So it is when the keys of SCRAM can't be had."""
        users: Any = self.rules.auth.portal.checkers[IUsernamePassword]  # type: ignore[union-attr]
        self.patch(users._checkers[0], "scramKeys", lambda login: fail(OSError("gone")))
        session = self.secure()
        first = b64encode(b"n,,n=ann,r=abc")
        self.assertEqual([454, 250], self.ask(session, b"AUTH SCRAM-SHA-256 " + first, b"NOOP"))

    def test_nobody(self) -> None:
        """An avatar without a name is nobody."""
        checker = SlowChecker()
        self.use(checker)
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + PLAIN)
        checker.waiting[0].callback(())
        self.assertEqual([535], self.codes(session))

    def test_lost(self) -> None:
        """A client that has gone is not logged in, and is logged out."""
        checker = SlowChecker()
        self.use(checker)
        out = []
        realm: Any = self.rules.auth.portal.realm  # type: ignore[union-attr]
        request = realm.requestAvatar
        self.patch(realm, "requestAvatar", lambda *a: (*request(*a)[:2], lambda: out.append(1)))
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + PLAIN)
        session.connectionLost(Failure(ConnectionDone()))
        checker.waiting[0].callback(b"ann")
        self.assertEqual([1], out)
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + PLAIN)
        checker.waiting[1].callback(b"ann")
        self.assertEqual([235], self.codes(session))
        self.assertEqual([1], out)
        session.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([1, 1], out)


class FailureTests(AuthCase):
    """Guessing is slow, is stopped, and locks nobody out."""

    delay = 1.0
    failureLimit = 3
    loginLimit = 4
    networkLimit = 8

    def attempt(self, text: bytes = WRONG, host: str = "192.0.2.7") -> list[int]:
        """One attempt in a session of its own."""
        session = self.secure(host)
        session.dataReceived(b"AUTH PLAIN " + text + b"\r\n")
        self.clock.advance(1.01)
        return self.codes(session)

    def test_delay(self) -> None:
        """Failures come after the common time, success at once."""
        for text in (WRONG, UNKNOWN):
            session = self.secure()
            self.assertEqual([], self.ask(session, b"AUTH PLAIN " + text))
            self.clock.advance(0.98)
            self.assertEqual([], self.codes(session))
            self.clock.advance(0.03)
            self.assertEqual([535], self.codes(session))
        self.assertEqual([235], self.ask(self.secure(), b"AUTH PLAIN " + PLAIN))

    def test_delayOfSlowChecker(self) -> None:
        """A checker that takes longer only moves the answer to the next multiple."""
        checker = SlowChecker()
        self.use(checker)
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + WRONG)
        self.clock.advance(1.3)
        checker.waiting[0].errback(UnauthorizedLogin())
        self.clock.advance(0.6)
        self.assertEqual([], self.codes(session))
        self.clock.advance(0.2)
        self.assertEqual([535], self.codes(session))

    def test_lostInDelay(self) -> None:
        """Nothing is left of a session that ends meanwhile."""
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + WRONG)
        session.connectionLost(Failure(ConnectionDone()))
        self.log.flush()
        self.clock.advance(1)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_connection(self) -> None:
        """After some failures the session ends."""
        session = self.secure()
        for n in range(4):
            session.dataReceived(b"AUTH PLAIN " + b64encode(b"\0u%d\0x" % n) + b"\r\n")
            self.clock.advance(1.01)
        self.assertEqual([535, 535, 535, 421], self.codes(session))
        self.assertTrue(session.transport.disconnecting)

    def test_login(self) -> None:
        """After some failures for a login from a network nobody asks the checker
        for it there, not even with the right password; elsewhere it gets in."""
        self.assertEqual([[535]] * 4, [self.attempt(host=f"192.0.2.{n}") for n in range(4)])
        self.assertEqual([454], self.attempt(PLAIN))
        self.assertEqual([454], self.attempt(b64encode(b"\0ANN\0s3cret!")))
        self.assertEqual([235], self.attempt(PLAIN, "198.51.100.1"))
        self.assertEqual([235], self.attempt(PLAIN, "2001:db8::1"))
        self.clock.advance(600)
        self.assertEqual([235], self.attempt(PLAIN))

    def test_scramIsHeldBackToo(self) -> None:
        """The counts are the same for all mechanisms."""
        for _ in range(4):
            self.attempt()
        session = self.secure()
        self.ask(session, b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=ann,r=abc"))
        self.clock.advance(1.01)
        self.assertEqual([454], self.codes(session))

    def test_network(self) -> None:
        """After failures for many logins of one network all of it has to wait, but
        for logins that were right from there before."""
        self.assertEqual([235], self.attempt(PLAIN))
        for n in range(8):
            self.assertEqual([535], self.attempt(b64encode(b"\0u%d\0x" % n)))
        self.assertEqual([454], self.attempt(b64encode("\0ü\0s3cret!".encode()), "192.0.2.200"))
        self.assertEqual([235], self.attempt(b64encode("\0ü\0s3cret!".encode()), "192.0.3.1"))
        self.assertEqual([235], self.attempt(PLAIN, "192.0.2.9"))

    def test_sameTime(self) -> None:
        """Many attempts at the same time are no way around."""
        checker = SlowChecker()
        self.use(checker)
        sessions = [self.secure(f"192.0.2.{n}") for n in range(10)]
        for session in sessions:
            self.ask(session, b"AUTH PLAIN " + WRONG)
        self.assertEqual(4, len(checker.asked))
        self.clock.advance(1.01)
        self.assertEqual([454], self.codes(sessions[9]))


class SharedFailureTests(FailureTests):
    """The same where failures are counted for all processes; and what others know."""

    def setUp(self) -> None:
        """With a store that two processes share."""
        self.store = MemoryStore()
        self.counters = opened(self.store)
        FailureTests.setUp(self)

    def elsewhere(self) -> None:
        """From now on the sessions are those of another process."""
        self.counters = opened(self.store)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write(f"ann:{{PLAIN}}{SECRET}\nü:{{PLAIN}}{SECRET}\n")
        self.use(UsersFile(path, maybeDeferred, self.log, b"salts"))

    def test_otherProcess(self) -> None:
        """Guesses at one stop at the other."""
        self.assertEqual([[535]] * 4, [self.attempt() for _ in range(4)])
        self.elsewhere()
        self.assertEqual([454], self.attempt(PLAIN))
        self.assertEqual([235], self.attempt(PLAIN, "198.51.100.1"))
        self.clock.advance(600)
        self.assertEqual([235], self.attempt(PLAIN))

    def test_otherNetwork(self) -> None:
        """So they do for a network, but for logins that were right at either."""
        self.assertEqual([235], self.attempt(PLAIN))
        for n in range(8):
            self.attempt(b64encode(b"\0u%d\0x" % n))
        self.elsewhere()
        self.assertEqual([454], self.attempt(b64encode("\0ü\0s3cret!".encode())))
        self.assertEqual([235], self.attempt(PLAIN))

    def test_forgiven(self) -> None:
        """Who is right at one begins anew at both."""
        for _ in range(3):
            self.attempt()
        here = self.rules
        self.elsewhere()
        self.assertEqual([235], self.attempt(PLAIN))
        self.factory._rules = here
        self.assertEqual([[535]] * 4 + [[454]], [self.attempt() for _ in range(5)])

    def test_slowState(self) -> None:
        """A state that does not answer holds an attempt up for half a second, and
        others not at all."""
        self.patch(self.counters, "add", lambda *arguments: Deferred())
        session, other = self.secure(), self.secure()
        self.assertEqual([], self.ask(session, b"AUTH PLAIN " + PLAIN))
        self.clock.advance(0.49)
        self.assertEqual([], self.codes(session))
        self.clock.advance(0.02)
        self.assertEqual([235], self.codes(session))
        self.assertEqual([235], self.ask(other, b"AUTH PLAIN " + PLAIN))

    def test_goneMeanwhile(self) -> None:
        """The checker is not asked for a client that has left while the state was slow."""
        checker = SlowChecker()
        self.use(checker)
        self.patch(self.counters, "add", lambda *arguments: Deferred())
        session = self.secure()
        self.ask(session, b"AUTH PLAIN " + PLAIN)
        session.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(1)
        self.assertEqual([], checker.asked)


class NeededTests(AuthCase):
    """A port that takes no mail without AUTH."""

    needed = True

    def test_order(self) -> None:
        """530 5.7.0 for all but what leads to AUTH (RFC 4954 section 6), also in clear."""
        for session in (self.secure(), self.connect()):
            self.ask(session, b"EHLO c.test")
            lines = [b"MAIL FROM:<s@z.test>", b"RCPT TO:<x@y.test>", b"DATA", b"VRFY x"]
            self.assertEqual([530] * 4, self.ask(session, *lines))
            self.assertEqual([250, 250, 214, 250], self.ask(session, b"NOOP", b"RSET", b"HELP", b"EHLO c.test"))
        session = self.secure()
        self.assertEqual(
            [235, 250, 250], self.ask(session, b"AUTH PLAIN " + PLAIN, b"MAIL FROM:<>", b"RCPT TO:<x@y.test>")
        )


class RegistryTests(AuthCase):
    """The registry of mechanisms."""

    def test_default(self) -> None:
        """All have a name that RFC 4422 allows."""
        for name, mechanism in MECHANISMS.items():
            self.assertEqual(name, mechanism.name)
            self.assertRegex(name, r"\A[A-Z0-9_-]{1,20}\Z")
