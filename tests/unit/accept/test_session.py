"""L{umbcmail.accept.session} and L{umbcmail.accept.dialogue}: whole conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from umbcmail import reply
from umbcmail.accept.body import MEMORY_LIMIT
from umbcmail.accept.factory import DeliveryFactory
from umbcmail.accept.handover import Rules
from umbcmail.content import MemoryContent
from umbcmail.entry import SpoolFull
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.interfaces import IContent, IContentWriter, IIntake, IRelayPolicy
from umbcmail.maillog import MailLog
from umbcmail.verdict import Verdict, permit, refuse

GREETING = b"220 mx.y.test ESMTP umbcmail\r\n"
BEGIN = b"EHLO c.test\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n"


@implementer(IIntake)
class FakeIntake:
    """Keeps what it is given.

    @ivar taken: pairs of envelope and content.
    @ivar answer: what is said, L{None}: a Deferred that a test fires.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, bytes]] = []
        self.waiting: list[Deferred[reply.Reply]] = []
        self.answer: Any = reply.queued("id")

    def accept(self, envelope: Envelope, content: IContent) -> Any:
        """See L{IIntake}."""
        self.taken.append((envelope, getattr(content, "data", b"")))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return self.answer


@implementer(IRelayPolicy)
class FakePolicy:
    """Permits C{y.test}; C{slow.test} is answered when a test fires C{waiting}."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Verdict]] = []

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Any:
        """See L{IRelayPolicy}."""
        if recipient.domain == "slow.test":
            self.waiting.append(Deferred())
            return self.waiting[-1]
        if recipient.domain == "bug.test":
            raise RuntimeError("a bug")
        return permit("ours") if recipient.domain in ("y.test", "") else refuse(reply.RELAYING_DENIED, "not ours")


@implementer(IContentWriter)
class FakeWriter:
    """Writes to memory; C{pending} holds the Deferreds of writes when C{slow}."""

    def __init__(self, slow: bool = False, failure: Exception | None = None) -> None:
        self.data = b""
        self.aborted = False
        self.slow = slow
        self.failure = failure
        self.pending: list[Deferred[None]] = []

    def write(self, data: bytes) -> Deferred[None]:
        """See L{IContentWriter}."""
        if self.failure is not None:
            return fail(self.failure)
        self.data += data
        if not self.slow:
            return succeed(None)
        self.pending.append(Deferred())
        return self.pending[-1]

    def finish(self) -> Deferred[IContent]:
        """See L{IContentWriter}."""
        return succeed(MemoryContent(self.data))

    def abort(self) -> None:
        """See L{IContentWriter}."""
        self.aborted = True


class Transport(StringTransport):
    """A transport that can start TLS, and counts writes."""

    context: Any = None
    writes = 0
    aborted = False

    def write(self, data: bytes) -> None:
        """Count it."""
        self.writes += 1
        StringTransport.write(self, data)

    def startTLS(self, context: Any, normal: bool = True) -> None:
        """Note it."""
        self.context = context

    def getHandle(self) -> Any:
        """What an OpenSSL connection tells."""

        class Handle:
            get_protocol_version_name = staticmethod(lambda: "TLSv1.3")
            get_cipher_name = staticmethod(lambda: "TLS_AES")

        return Handle

    def setTcpNoDelay(self, on: bool) -> None:
        """As TCP has it."""

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


class SessionCase(SynchronousTestCase):
    """A factory, and what it needs."""

    limits: dict[str, Any] = {}
    normalises = False
    most = (100, 100)
    tls: Any = None

    def setUp(self) -> None:
        """Everything in memory."""
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.intake = FakeIntake()
        self.policy = FakePolicy()
        self.writers: list[FakeWriter] = []
        self.writer: Any = FakeWriter
        self.discarded: list[IContent] = []
        self.rules = Rules(
            hostName="mx.y.test",
            agent="delivery",
            port="mx",
            sizeLimit=1_000_000,
            recipientLimit=100,
            hopLimit=100,
            errorLimit=10,
            commandLimit=50,
            tlsNeeded=False,
            policy=self.policy,
            intake=self.intake,
            newContent=self.newContent,
            normalises=lambda address: self.normalises,
            now=self.clock.seconds,
            discard=self.discarded.append,
        )
        self.rules = replace(self.rules, **self.limits)
        ids = iter(f"c{n}" for n in range(10_000))
        self.factory = DeliveryFactory(self.rules, self.clock, self.log, lambda: next(ids), 300.0, *self.most, self.tls)

    def newContent(self, id: str, size: int = 0) -> FakeWriter:
        """Make a writer, and keep it."""
        self.writers.append(self.writer())
        return self.writers[-1]

    def connect(self, host: str = "192.0.2.7") -> Any:
        """A session on a transport, after the greeting."""
        transport = Transport()
        session: Any = self.factory.buildProtocol(transport.getPeer().__class__("TCP", host, 1000))
        session.makeConnection(transport)
        return session

    def said(self, session: Any) -> bytes:
        """What the session has said since the last look."""
        found: bytes = session.transport.value()
        session.transport.clear()
        return found

    def codes(self, session: Any) -> list[int]:
        """The codes of the last lines of all replies since the last look."""
        return [int(line[:3]) for line in self.said(session).split(b"\r\n") if line[3:4] == b" "]

    def talk(self, text: bytes, host: str = "192.0.2.7") -> list[int]:
        """The codes of the answers to a whole text in one chunk, greeting aside."""
        session = self.connect(host)
        self.said(session)
        session.dataReceived(text)
        return self.codes(session)


class ConversationTests(SessionCase):
    """Conversations without anything to wait for."""

    def test_interfaces(self) -> None:
        """The fakes are what they stand for."""
        verifyObject(IIntake, self.intake)
        verifyObject(IRelayPolicy, self.policy)
        verifyObject(IContentWriter, FakeWriter())

    def test_message(self) -> None:
        """A message goes to the intake with our trace field on top."""
        session = self.connect()
        self.assertEqual(self.said(session), GREETING)
        session.dataReceived(BEGIN)
        self.assertEqual(self.codes(session), [250, 250, 250, 354])
        session.dataReceived(b"Subject: s\r\n\r\n..b\r\n.\r\n")
        self.assertEqual(self.said(session), reply.queued("id").wire)
        [(envelope, data)] = self.intake.taken
        self.assertEqual(envelope.sender, "s@z.test")
        self.assertEqual(envelope.recipients, (Recipient("x@y.test"),))
        self.assertEqual(envelope.client.address, "192.0.2.7")
        self.assertEqual((envelope.id, envelope.size, envelope.agent), ("c0-1", len(data), "delivery"))
        trace, _, rest = data.partition(b"Subject: ")
        self.assertTrue(trace.startswith(b"Received: from c.test ([192.0.2.7])\r\n\tby mx.y.test with ESMTP id c0-1"))
        self.assertEqual(rest, b"s\r\n\r\n.b\r\n")
        self.log.flush()
        self.assertIn(f" size={len(data)} ".encode(), b"".join(self.lines), "the line that says it is accepted")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 40), max_size=80))
    def test_cutsDoNotMatter(self, sizes: list[int]) -> None:
        """However the client's octets are cut, answers and message are the same."""
        text = BEGIN + b"Subject: s\r\n\r\n..\r\nb\r\n.\r\nNOOP\r\nBAD\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\nNOOP\r\n"
        self.setUp()
        session = self.connect()
        self.said(session)
        for size in [*sizes, len(text)]:
            chunk, text = text[:size], text[size:]
            if chunk:
                session.dataReceived(chunk)
        self.assertEqual(self.codes(session), [250, 250, 250, 354, 250, 250, 500, 250, 250, 221])
        self.assertTrue(self.intake.taken[0][1].endswith(b"Subject: s\r\n\r\n.\r\nb\r\n"))
        self.assertTrue(session.transport.disconnecting)

    def test_oneWriteForAGroup(self) -> None:
        """Replies to commands that came together go out together (RFC 2920)."""
        session = self.connect()
        session.transport.writes = 0
        session.dataReceived(BEGIN)
        self.assertEqual(session.transport.writes, 1)

    def test_ehlo(self) -> None:
        """EHLO offers what there is, and no more."""
        session = self.connect()
        self.said(session)
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertEqual(
            self.said(session),
            b"250-mx.y.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
            b"250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 LIMITS RCPTMAX=100\r\n",
        )

    def test_order(self) -> None:
        """Commands out of order are refused and change nothing."""
        self.assertEqual(self.talk(b"MAIL FROM:<s@z.test>\r\n"), [503])
        self.assertEqual(self.talk(b"HELO c\r\nRCPT TO:<x@y.test>\r\nDATA\r\n"), [250, 503, 503])
        text = b"HELO c\r\nMAIL FROM:<s@z.test>\r\nMAIL FROM:<o@z.test>\r\nDATA\r\nRCPT TO:<x@y.test>\r\nDATA\r\n"
        self.assertEqual(self.talk(text + b".\r\n"), [250, 250, 503, 503, 250, 354, 250])
        self.assertEqual(self.intake.taken[0][0].sender, "s@z.test")

    def test_eachHeloForgets(self) -> None:
        """EHLO, HELO and RSET end the transaction."""
        for verb in (b"EHLO d.test", b"HELO d.test", b"RSET"):
            session = self.connect("192.0.2.8")
            session.dataReceived(BEGIN.replace(b"DATA\r\n", verb + b"\r\nDATA\r\n"))
            self.assertEqual(self.codes(session)[-2:], [250, 503])
            session.connectionLost(Failure(ConnectionDone()))

    def test_relayingIsDenied(self) -> None:
        """A foreign recipient is refused, the others stay."""
        text = b"EHLO c\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<x@w.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n.\r\n"
        self.assertEqual(self.talk(text), [250, 250, 550, 250, 354, 250])
        self.assertEqual(self.intake.taken[0][0].recipients, (Recipient("x@y.test"),))

    def test_bugsAreTemporary(self) -> None:
        """An exception below answers 451, says nothing of itself, and is logged."""
        session = self.connect()
        session.dataReceived(b"EHLO c\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<x@bug.test>\r\n")
        self.assertTrue(self.said(session).endswith(reply.LOCAL_ERROR.wire))
        self.intake.answer = RuntimeError("another bug")
        session.dataReceived(b"RCPT TO:<x@y.test>\r\nDATA\r\n.\r\n")
        self.assertEqual(self.codes(session), [250, 354, 451])
        self.log.flush()
        self.assertEqual(b"".join(self.lines).count(b" bug id=c0"), 2)

    def test_vrfyAndOthers(self) -> None:
        """The small commands, known ones that are not done, and unknown ones."""
        text = b"VRFY x\r\nHELP\r\nNOOP a\r\nEXPN x\r\nXYZ\r\n\r\n  NOOP\r\n\xff\xfe\r\n"
        self.assertEqual(self.talk(text), [252, 214, 250, 502, 500, 500, 500, 500])

    def test_nothingAfterQuit(self) -> None:
        """What follows QUIT is not answered."""
        self.assertEqual(self.talk(b"QUIT\r\nNOOP\r\nQUIT\r\n"), [221])


class LimitTests(SessionCase):
    """What is too much."""

    limits = {"sizeLimit": 500_000, "recipientLimit": 2}
    most = (3, 2)

    def test_longLines(self) -> None:
        """A line that is too long gets one error, wherever it is cut, and the
        session is in step after it."""
        for sizes in ([20_000], [3_000, 10, 2_000], [20_000, 1]):
            session = self.connect()
            self.said(session)
            text = b"A" * 16_384 + b"\r\nNOOP\r\n"
            for size in [*sizes, len(text)]:
                chunk, text = text[:size], text[size:]
                if chunk:
                    session.dataReceived(chunk)
            self.assertEqual(self.codes(session), [500, 250], sizes)
            self.assertEqual(len(session._buffer), 0)
            session.connectionLost(Failure(ConnectionDone()))

    def test_longLineInDataIsText(self) -> None:
        """In DATA a long line is just text, and what follows is no command."""
        session = self.connect()
        session.dataReceived(BEGIN)
        self.said(session)
        session.dataReceived(b"A" * 70_000 + b"\r\nMAIL FROM:<evil@e.test>\r\n")
        self.assertEqual(self.said(session), b"")
        session.dataReceived(b".\r\n")
        self.assertEqual(self.codes(session), [250])

    def test_sizeIsToldOnce(self) -> None:
        """Over the limit there is one 552 after the dot, nothing is kept, and the
        session goes on."""
        session = self.connect()
        session.dataReceived(BEGIN)
        self.said(session)
        for _ in range(10):
            session.dataReceived(b"0123456789" * 9_999 + b"\r\n")
        self.assertEqual(self.said(session), b"")
        session.dataReceived(b".\r\nDATA\r\nMAIL FROM:<s@z.test>\r\n")
        self.assertEqual(self.codes(session), [552, 503, 250])
        self.assertEqual(self.intake.taken, [])
        self.assertTrue(all(writer.aborted for writer in self.writers))

    def test_sizeInMail(self) -> None:
        """SIZE over the limit is refused at MAIL, at the limit it is taken."""
        session = self.connect()
        session.dataReceived(b"EHLO c\r\nMAIL FROM:<s@z.test> SIZE=500001\r\nMAIL FROM:<s@z.test> SIZE=500000\r\n")
        self.assertEqual(self.codes(session)[-2:], [552, 250])

    def test_recipients(self) -> None:
        """452 beyond the limit; the earlier ones stay valid."""
        rcpts = b"".join(b"RCPT TO:<u%d@y.test>\r\n" % n for n in range(4))
        self.assertEqual(
            self.talk(b"HELO c\r\nMAIL FROM:<>\r\n" + rcpts + b"DATA\r\n.\r\n"),
            [250, 250, 250, 250, 452, 452, 354, 250],
        )
        self.assertEqual(len(self.intake.taken[0][0].recipients), 2)

    def test_errors(self) -> None:
        """A client that only makes errors is sent away."""
        codes = self.talk(b"BAD\r\n" * 30)
        self.assertEqual(codes, [500] * 10 + [421])

    def test_fruitlessCommands(self) -> None:
        """A client that never sends a message is sent away."""
        self.assertEqual(self.talk(b"NOOP\r\n" * 100), [250] * 50 + [421])

    def test_connections(self) -> None:
        """Too many connections, of one client or in all, are told 421; one that
        ends makes room."""
        first, second = self.connect(), self.connect()
        third = self.connect()
        self.assertEqual(self.said(third), reply.TOO_MANY_CONNECTIONS.wire)
        self.assertTrue(third.transport.disconnecting)
        self.connect("192.0.2.9")
        self.assertEqual(self.said(self.connect("192.0.2.10")), reply.TOO_MANY_CONNECTIONS.wire)
        first.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.said(self.connect("192.0.2.10")), GREETING)
        self.assertEqual(self.said(second), GREETING)

    def test_idle(self) -> None:
        """A client that is silent is told 421 after the time, not before; each sign
        of life counts."""
        session = self.connect()
        self.said(session)
        self.clock.pump([299] * 1)
        session.dataReceived(b"NOOP\r\n")
        self.clock.pump([299])
        self.assertEqual(self.codes(session), [250])
        self.clock.pump([2])
        self.assertEqual(self.said(session), reply.TIMEOUT.wire)
        self.assertTrue(session.transport.disconnecting)

    def test_loop(self) -> None:
        """A message with too many Received fields is refused and given up."""
        session = self.connect()
        session.dataReceived(BEGIN + b"Received: x\r\n" * 101 + b"\r\n.\r\n")
        self.assertEqual(self.codes(session)[-1], 554)
        self.assertEqual((len(self.discarded), self.intake.taken), (1, []))


class ManyRecipientsTests(SessionCase):
    """Of a client with more recipients than it may have commands without mail."""

    limits = {"commandLimit": 10, "recipientLimit": 30}

    def test_recipientsAreNotFruitless(self) -> None:
        """As many recipients as are allowed are no sign of a bad client."""
        rcpts = b"RCPT TO:<b@y.test>\r\n" * 30
        codes = self.talk(b"HELO c\r\nMAIL FROM:<>\r\n" + rcpts + b"DATA\r\n.\r\n")
        self.assertEqual(codes, [250, 250, *[250] * 30, 354, 250])


class WaitingTests(SessionCase):
    """Answers that are not known at once."""

    def test_order(self) -> None:
        """Whatever waits, replies come in the order of the commands."""
        session = self.connect()
        self.said(session)
        session.dataReceived(
            b"EHLO c\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<a@slow.test>\r\nRCPT TO:<b@w.test>\r\n"
            b"RCPT TO:<c@slow.test>\r\nDATA\r\n"
        )
        self.assertEqual(self.codes(session), [250, 250])
        self.policy.waiting[0].callback(permit("in time"))
        self.assertEqual(self.codes(session), [250, 550])
        self.assertEqual(len(self.policy.waiting), 2)
        self.policy.waiting[1].errback(Failure(RuntimeError("no answer")))
        self.assertEqual(self.codes(session), [451, 354])

    def test_readingStops(self) -> None:
        """While something is waited for, at most one more chunk is taken."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b".\r\n")
        self.assertEqual(session.transport.producerState, "producing")
        session.dataReceived(b"MAIL FROM:<n@z.test>\r\n")
        self.assertEqual(session.transport.producerState, "paused")
        self.said(session)
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.codes(session), [250, 250])
        self.assertEqual(session.transport.producerState, "producing")

    def test_goneWhileWaiting(self) -> None:
        """The client may go; the answer then goes nowhere."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b".\r\n")
        self.said(session)
        session.connectionLost(Failure(ConnectionDone()))
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.said(session), b"")

    def test_notIdleWhileWaiting(self) -> None:
        """A client that waits for us is not idle."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b".\r\n")
        self.clock.pump([301, 301])
        self.assertFalse(session.transport.disconnecting)

    def test_drain(self) -> None:
        """At the end of the service an idle client is told 421, one that waits gets
        its answer first, and one that does not come to its end is cut off."""
        self.intake.answer = None
        idle, waiting, sending = self.connect("192.0.2.1"), self.connect("192.0.2.2"), self.connect("192.0.2.3")
        waiting.dataReceived(BEGIN + b".\r\n")
        sending.dataReceived(BEGIN)
        for session in (idle, waiting, sending):
            self.said(session)
        done = self.factory.drain(20)
        self.assertEqual((self.codes(idle), self.codes(waiting)), ([421], []))
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.codes(waiting), [250, 421])
        self.clock.pump([21])
        self.assertTrue(sending.transport.aborted)
        self.assertNoResult(done)
        for session in (idle, waiting, sending):
            session.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(done)


class LineEndTests(SessionCase):
    """Bare CR and LF in messages."""

    def test_refused(self) -> None:
        """By default a message with one is refused after the dot, and nothing of it
        is taken for a command."""
        for text in (b"a\nb", b"a\n.\nMAIL FROM:<e@e.test>", b"a\r.\r\nRSET"):
            self.assertEqual(self.talk(BEGIN + text + b"\r\n.\r\n")[4:], [550], text)
        self.assertEqual(self.intake.taken, [])

    def test_normalised(self) -> None:
        """For listed networks each becomes a CRLF."""
        self.normalises = True
        self.assertEqual(self.talk(BEGIN + b"a\n.\nRSET\rb\r\n.\r\n")[4:], [250])
        self.assertTrue(self.intake.taken[0][1].endswith(b"a\r\n.\r\nRSET\r\nb\r\n"))


class LargeContentTests(SessionCase):
    """Messages that do not fit in memory."""

    limits = {"sizeLimit": 100_000_000}

    def test_file(self) -> None:
        """Past the limit the message goes to the spool's folder, whole."""
        piece = b"x" * 998 + b"\r\n"
        session = self.connect()
        session.dataReceived(BEGIN)
        for _ in range(MEMORY_LIMIT // 1000 + 10):
            session.dataReceived(piece)
        session.dataReceived(b".\r\n")
        [(envelope, data)] = self.intake.taken
        self.assertTrue(data.startswith(b"Received: from c.test"))
        self.assertTrue(data.endswith(b" +0000\r\n" + piece * (MEMORY_LIMIT // 1000 + 10)))
        self.assertEqual(envelope.size, len(data))

    def test_slowDisk(self) -> None:
        """A client that is faster than the disk is held up, and goes on later."""
        self.writer = lambda: FakeWriter(slow=True)
        session = self.connect()
        session.dataReceived(BEGIN)
        for _ in range(25):
            session.dataReceived(b"x" * 59_998 + b"\r\n")
        self.assertEqual(session.transport.producerState, "paused")
        for written in self.writers[0].pending:
            written.callback(None)
        self.assertEqual(session.transport.producerState, "producing")

    def test_fullDisk(self) -> None:
        """No room is 452, after the dot."""
        self.writer = lambda: FakeWriter(failure=SpoolFull("full"))
        session = self.connect()
        session.dataReceived(BEGIN)
        for _ in range(25):
            session.dataReceived(b"x" * 59_998 + b"\r\n")
        self.said(session)
        session.dataReceived(b".\r\n")
        self.assertEqual(self.said(session), reply.NO_STORAGE.wire)
        self.assertEqual(self.intake.taken, [])

    def test_lostInData(self) -> None:
        """A connection that is lost before the dot leaves nothing behind."""
        session = self.connect()
        session.dataReceived(BEGIN + b"x" * 300_000)
        session.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.writers[0].aborted)
        self.assertEqual(self.intake.taken, [])


class TLSTests(SessionCase):
    """STARTTLS."""

    tls = staticmethod(lambda: "a context")

    def test_startTLS(self) -> None:
        """It is offered; what was said before and sent in clear behind it is
        forgotten; it is not offered again; the trace field tells of it."""
        session = self.connect()
        session.dataReceived(b"EHLO c.test\r\n")
        self.assertIn(b"250 STARTTLS\r\n", self.said(session))
        session.dataReceived(b"MAIL FROM:<s@z.test>\r\nSTARTTLS\r\nRCPT TO:<x@y.test>\r\nNOOP\r\n")
        self.assertEqual(self.codes(session), [250, 220])
        self.assertEqual(session.transport.context, "a context")
        session.handshakeCompleted()
        self.assertEqual(self.said(session), b"")
        session.dataReceived(b"MAIL FROM:<s@z.test>\r\n")
        self.assertEqual(self.codes(session), [503])
        session.dataReceived(b"EHLO c.test\r\nSTARTTLS\r\n" + BEGIN + b".\r\n")
        said = self.said(session)
        self.assertNotIn(b"STARTTLS\r\n", said)
        self.assertIn(b"\r\n503 5.5.1", said)
        self.assertIn(b"with ESMTPS id c0-1\r\n\t(TLSv1.3 TLS_AES)", self.intake.taken[0][1])

    def test_handshakeMayNotLast(self) -> None:
        """A handshake that does not come to its end is idleness."""
        session = self.connect()
        session.dataReceived(b"EHLO c\r\nSTARTTLS\r\n")
        self.clock.pump([301])
        self.assertTrue(session.transport.disconnecting)

    def test_needed(self) -> None:
        """Where TLS is required nothing else goes before it."""
        self.limits = {"tlsNeeded": True}
        self.setUp()
        self.assertEqual(self.talk(b"EHLO c\r\nMAIL FROM:<s@z.test>\r\nVRFY x\r\nNOOP\r\n"), [250, 530, 530, 250])


class NoTLSTests(SessionCase):
    """Without a certificate."""

    def test_notOffered(self) -> None:
        """STARTTLS is not offered, and not taken."""
        self.assertEqual(self.talk(b"EHLO c\r\nSTARTTLS\r\n"), [250, 502])
