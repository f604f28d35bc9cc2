"""Who comes in: balancers, filters, crowds, and clients that take too long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.accept.test_session import BEGIN, GREETING, FakeWriter, SessionCase, Transport
from umbcmail import reply
from umbcmail.accept.arrival import Arrival
from umbcmail.accept.factory import DeliveryFactory
from umbcmail.accept.fixups import ownsSender
from umbcmail.accept.limits import GOODBYE, Crowd, Limits
from umbcmail.clientaddress import networkOf

BALANCER = "192.0.2.250"
HEADER = b"PROXY TCP4 198.51.100.7 192.0.2.99 4711 25\r\n"


class DoorCase(SessionCase):
    """A factory that knows a balancer."""

    bounds = Limits()
    first = False

    def setUp(self) -> None:
        """As there, with limits and a balancer."""
        super().setUp()
        ids = iter(f"c{n}" for n in range(10_000))
        self.factory = DeliveryFactory(
            self.rules,
            self.clock,
            self.log,
            lambda: next(ids),
            300.0,
            *self.most,
            self.tls,
            self.first,
            limits=self.bounds,
            isBalancer=lambda address: address == BALANCER,
        )

    def arrive(self, host: str = BALANCER) -> Transport:
        """A transport with what the factory makes for it."""
        transport = Transport()
        protocol: Any = self.factory.buildProtocol(IPv4Address("TCP", host, 1000))
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def logged(self) -> str:
        """The log so far."""
        self.log.flush()
        return b"".join(self.lines).decode()

    def pass_(self, seconds: float, step: float = 5.0) -> None:
        """Let time pass."""
        self.clock.pump([step] * int(seconds / step))


class BalancerTests(DoorCase):
    """PROXY headers at the door."""

    def test_client(self) -> None:
        """Nothing is said before the header; then it is the client whose address
        counts in greeting, rules, log and trace field."""
        link = self.arrive()
        link.protocol.dataReceived(HEADER[:20])
        self.assertEqual(link.value(), b"")
        link.protocol.dataReceived(HEADER[20:] + BEGIN + b".\r\n")
        self.assertTrue(link.value().startswith(GREETING))
        [(envelope, data)] = self.intake.taken
        self.assertEqual((envelope.client.address, envelope.client.port), ("198.51.100.7", 4711))
        self.assertIn(b"([198.51.100.7])", data)
        self.assertIn(f"client=198.51.100.7 client_port=4711 port=mx balancer={BALANCER}", self.logged())

    def test_local(self) -> None:
        """A health check keeps the connection's address."""
        link = self.arrive()
        link.protocol.dataReceived(b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
        self.assertEqual(link.value(), GREETING)
        self.assertIn(f"client={BALANCER} ", self.logged())

    def test_refused(self) -> None:
        """No header, or not in time: the connection ends without a word."""
        link, slow = self.arrive(), self.arrive()
        link.protocol.dataReceived(b"EHLO c.test\r\n")
        slow.protocol.dataReceived(HEADER[:-1])
        self.assertTrue(link.aborted)
        self.pass_(59, 1)
        self.assertFalse(slow.aborted)
        self.pass_(2, 1)
        self.assertTrue(slow.aborted)
        slow.protocol.dataReceived(HEADER[-1:])
        self.assertEqual(link.value() + slow.value(), b"")
        self.assertEqual(self.logged().count(" unproxied "), 2)

    def test_others(self) -> None:
        """Of others no header is taken."""
        link = self.arrive("192.0.2.7")
        link.protocol.dataReceived(HEADER)
        self.assertEqual(link.value(), GREETING + reply.UNKNOWN_COMMAND.wire)

    def test_drain(self) -> None:
        """A connection without a header is not waited for."""
        link = self.arrive()
        self.successResultOf(self.factory.drain(20))
        self.assertTrue(link.aborted)
        link.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIsInstance(link.protocol, Arrival)


class BalancedCrowdTests(DoorCase):
    """Counting behind a balancer."""

    most = (3, 1)

    def test_counts(self) -> None:
        """Clients are counted, not the balancer; in all, connections are, whether
        their header has come or not; who goes makes room."""
        first, second = self.arrive(), self.arrive()
        for link in (first, second):
            link.protocol.dataReceived(HEADER)
        self.assertEqual(first.value(), GREETING)
        self.assertEqual(second.value(), reply.TOO_MANY_CONNECTIONS.wire)
        links = [self.arrive() for _ in range(3)]
        self.assertEqual([link.value() for link in links], [b"", b"", reply.TOO_MANY_CONNECTIONS.wire])
        first.protocol.connectionLost(Failure(ConnectionDone()))
        links[0].protocol.connectionLost(Failure(ConnectionDone()))
        links[1].protocol.dataReceived(HEADER)
        self.assertEqual(links[1].value(), GREETING)


class TLSFirstTests(DoorCase):
    """TLS before the greeting."""

    tls = staticmethod(lambda: "a context")
    first = True

    def test_order(self) -> None:
        """PROXY header, TLS, greeting; what follows the header is TLS's."""
        link = self.arrive()
        told: list[bytes] = []

        def startTLS(context: Any, normal: bool = True) -> None:
            class Tunnel:
                dataReceived = staticmethod(told.append)

            link.context, link.session, link.protocol = context, link.protocol, Tunnel()

        link.startTLS = startTLS
        link.protocol.dataReceived(HEADER + b"\x16hello")
        self.assertEqual((link.context, told, link.value()), ("a context", [b"\x16hello"], b""))
        link.session.handshakeCompleted()
        self.assertEqual(link.value(), GREETING)
        link.session.dataReceived(BEGIN + b".\r\n")
        self.assertIn(b"with ESMTPS ", self.intake.taken[0][1])
        self.assertNotIn(b"STARTTLS", link.value())

    def test_handshakeMayNotLast(self) -> None:
        """It has its own time, and ends without a word."""
        link = self.arrive("192.0.2.7")
        self.pass_(55)
        self.assertFalse(link.disconnecting)
        self.pass_(20)
        self.assertTrue(link.disconnecting)
        self.assertEqual(link.value(), b"")

    def test_drain(self) -> None:
        """A handshake is not waited for."""
        link = self.arrive("192.0.2.7")
        self.factory.drain(20)
        self.assertTrue(link.disconnecting)


class FilterTests(DoorCase):
    """XCLIENT."""

    limits = {"isFilter": lambda address: address == "192.0.2.7"}

    def test_offered(self) -> None:
        """Filters are offered it, others are not, and may not say it."""
        session = self.connect()
        session.dataReceived(b"EHLO f.test\r\n")
        self.assertIn(b"250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN\r\n", self.said(session))
        other = self.connect("192.0.2.8")
        other.dataReceived(b"EHLO f.test\r\nXCLIENT ADDR=192.0.2.7\r\n")
        said = self.said(other)
        self.assertNotIn(b"XCLIENT NAME", said)
        self.assertTrue(said.endswith(reply.NOT_A_FILTER.wire))

    def test_session(self) -> None:
        """It greets again, nothing said before counts, the client is the other one;
        the filter may go on with another."""
        session = self.connect()
        session.dataReceived(b"EHLO f.test\r\nXCLIENT NAME=c.test ADDR=198.51.100.7 LOGIN=ann\r\n")
        self.assertTrue(self.said(session).endswith(GREETING))
        session.dataReceived(b"MAIL FROM:<s@z.test>\r\n")
        self.assertEqual(self.codes(session), [503])
        session.dataReceived(BEGIN + b".\r\n")
        self.assertEqual(self.codes(session), [250, 250, 250, 354, 250])
        envelope, data = self.intake.taken[0]
        self.assertEqual(envelope.client.login, "ann")
        self.assertIn(b"from c.test (c.test [198.51.100.7])\r\n\tby mx.y.test with ESMTPA ", data)
        session.dataReceived(b"XCLIENT ADDR=198.51.100.8\r\n" + BEGIN + b".\r\n")
        self.assertEqual(self.codes(session), [220, 250, 250, 250, 354, 250])
        client = self.intake.taken[1][0].client
        self.assertEqual((client.address, client.name, client.login), ("198.51.100.8", "", ""))
        self.assertEqual(self.logged().count(" introduced id=c0 "), 2)

    def test_helo(self) -> None:
        """HELO and PROTO stand for the command."""
        self.assertEqual(
            self.talk(b"XCLIENT ADDR=[UNAVAILABLE] HELO=c.test PROTO=SMTP\r\n" + BEGIN[13:] + b".\r\n"),
            [220, 250, 250, 354, 250],
        )
        self.assertIn(b"from c.test ([unknown])\r\n\tby mx.y.test with SMTP ", self.intake.taken[0][1])

    def test_refused(self) -> None:
        """Not in a transaction, and not without sense; then nothing has changed."""
        codes = self.talk(
            b"EHLO f\r\nXCLIENT ADDR=x\r\nXCLIENT\r\nMAIL FROM:<>\r\nXCLIENT ADDR=192.0.2.9\r\nRCPT TO:<x@y.test>\r\n"
        )
        self.assertEqual(codes, [250, 501, 501, 250, 503, 250])

    def test_lineEnds(self) -> None:
        """Bare line ends are mended for the client's network, not for the filter's."""
        self.limits = {**self.limits, "normalises": lambda address: address == "198.51.100.7"}
        self.setUp()
        session = self.connect()
        session.dataReceived(BEGIN + b"a\nb\r\n.\r\nXCLIENT ADDR=198.51.100.7\r\n" + BEGIN + b"a\nb\r\n.\r\n")
        self.assertEqual(self.codes(session)[5:], [550, 220, 250, 250, 250, 354, 250])


class SubmissionTests(DoorCase):
    """Ports for mail programs."""

    limits = {
        "isSubmission": True,
        "ownsSender": ownsSender(lambda domain: domain == "z.test"),
        "isFilter": lambda address: True,
    }

    def test_fixed(self) -> None:
        """The header is mended, and the size is that of what is handed on."""
        self.talk(b"XCLIENT LOGIN=s\r\n" + BEGIN + b"Bcc: a@b\r\nSubject: s\r\n\r\nBcc: c\r\n.\r\n")
        [(envelope, data)] = self.intake.taken
        trace, _, rest = data.partition(b"Date: ")
        self.assertEqual(
            rest, b"Thu, 01 Jan 1970 00:00:00 +0000\r\nMessage-ID: <c0-1@mx.y.test>\r\nSubject: s\r\n\r\nBcc: c\r\n"
        )
        self.assertTrue(trace.startswith(b"Received:"))
        self.assertEqual(envelope.size, len(data))

    def test_headerTooLarge(self) -> None:
        """A header that can't be looked through is refused, for a Bcc may be in it."""
        session = self.connect()
        session.dataReceived(b"XCLIENT LOGIN=s\r\n" + BEGIN)
        for _ in range(60):
            session.dataReceived(b"To: a@b\r\n" * 1000)
        session.dataReceived(b"Bcc: c\r\n\r\n.\r\n")
        self.assertEqual(self.codes(session)[-1], 552)
        self.assertTrue(self.writers[0].aborted)
        self.assertEqual(self.intake.taken, [])

    def test_sender(self) -> None:
        """Only who has logged in may send, and only as itself, or as nobody."""
        self.assertEqual(
            self.talk(
                b"EHLO c\r\nMAIL FROM:<s@z.test>\r\nXCLIENT LOGIN=s HELO=c\r\nMAIL FROM:<t@z.test>\r\n"
                b"MAIL FROM:<s@y.test>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<S@z.test>\r\n"
            ),
            [250, 530, 220, 553, 553, 250, 250, 250],
        )


class PlainPortTests(DoorCase):
    """Ports for other hosts."""

    def test_untouched(self) -> None:
        """Nothing is mended there."""
        self.talk(BEGIN + b"Bcc: a@b\r\n\r\n.\r\n")
        self.assertTrue(self.intake.taken[0][1].endswith(b" +0000\r\nBcc: a@b\r\n\r\n"))


class SlowClientTests(DoorCase):
    """Clients that never come to an end, in every state."""

    bounds = Limits(handshake=60, commandTime=120, dataRate=100, transactionTime=1800)
    limits = {"commandLimit": 100_000, "sizeLimit": 100_000_000}

    def drip(self, session: Any, data: bytes, step: float, seconds: float) -> float:
        """Send something each C{step} seconds.

        @return: when the client was sent away, infinity when it was not.
        """
        for n in range(int(seconds / step)):
            session.dataReceived(data)
            self.clock.advance(step)
            if session.transport.disconnecting:
                return (n + 1) * step
        return float("inf")

    def test_command(self) -> None:
        """An octet now and then does not keep a command line open, at the beginning,
        later, or when it is too long anyway."""
        for text in (b"", b"EHLO c.test\r\n", b"A" * 5000):
            session = self.connect()
            session.dataReceived(text)
            self.said(session)
            self.assertTrue(120 <= self.drip(session, b"N", 3, 200) <= 150)
            self.assertTrue(self.said(session).endswith(reply.TOO_SLOW.wire))

    def test_cutCommands(self) -> None:
        """Lines that are cut, but come to their end, are no trouble."""
        session = self.connect()
        session.dataReceived(b"NO")
        self.assertEqual(self.drip(session, b"OP\r\nNO", 20, 1000), float("inf"))

    def test_data(self) -> None:
        """A message that trickles ends with 421, one that is slow but not so slow
        does not."""
        session = self.connect()
        session.dataReceived(BEGIN)
        self.said(session)
        self.assertTrue(60 <= self.drip(session, b"a", 3, 200) <= 95)
        self.assertEqual(self.said(session), reply.TOO_SLOW.wire)
        session = self.connect()
        session.dataReceived(BEGIN)
        self.assertEqual(self.drip(session, b"a" * 600, 5, 1500), float("inf"))

    def test_fastBeginning(self) -> None:
        """What came fast before counts in the average, so a pause is no harm."""
        session = self.connect()
        session.dataReceived(BEGIN)
        self.drip(session, b"a" * 10_000, 5, 30)
        self.assertEqual(self.drip(session, b"a", 5, 250), float("inf"))

    def test_heldClient(self) -> None:
        """While it is our disk that does not follow, the client is not slow."""
        self.writer = lambda: FakeWriter(slow=True)
        session = self.connect()
        session.dataReceived(BEGIN)
        for _ in range(25):
            session.dataReceived(b"x" * 59_998 + b"\r\n")
        self.assertEqual(session.transport.producerState, "paused")
        self.pass_(1000)
        self.assertFalse(session.transport.disconnecting)

    def test_transaction(self) -> None:
        """A transaction ends some time, whatever the client does in it; others
        after it have their own time."""
        session = self.connect()
        session.dataReceived(BEGIN[:-6])
        self.assertTrue(1800 <= self.drip(session, b"NOOP\r\n", 100, 3000) <= 1900)
        self.assertTrue(self.said(session).endswith(reply.TRANSACTION_TOO_LONG.wire))
        session = self.connect()
        again = BEGIN[13:-6] + b"RSET\r\n" + BEGIN[13:-6]
        session.dataReceived(BEGIN[:-6])
        self.assertEqual(self.drip(session, b"RSET\r\n" + again, 100, 5000), float("inf"))

    def test_goodbye(self) -> None:
        """Who does not take the last reply is cut off."""
        session = self.connect()
        session.dataReceived(b"QUIT\r\n")
        self.assertTrue(session.transport.disconnecting)
        self.pass_(GOODBYE - 5)
        self.assertFalse(session.transport.aborted)
        self.pass_(10)
        self.assertTrue(session.transport.aborted)

    def test_noTimersLeft(self) -> None:
        """After the end nothing is left to happen."""
        for text in (b"", b"QUIT\r\n", b"EHLO c\r\nMAIL"):
            session = self.connect()
            session.dataReceived(text)
            session.connectionLost(Failure(ConnectionDone()))
        self.log.flush()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deafClient(self) -> None:
        """A client that does not take our replies is not read from, and sent away
        when it stays so."""
        session = self.connect()
        session._wire.watch()
        session._wire.pauseProducing()
        session.dataReceived(b"NOOP\r\n")
        self.assertEqual(session.transport.producerState, "paused")
        session._wire.resumeProducing()
        self.assertEqual(session.transport.producerState, "producing")
        session._wire.pauseProducing()
        session.dataReceived(b"NOOP\r\n")
        self.pass_(300)
        self.assertTrue(session.transport.disconnecting)
        self.pass_(60)
        self.assertTrue(session.transport.aborted)


class CrowdTests(SynchronousTestCase):
    """Counting."""

    def crowd(self, limits: Limits, total: int = 100, perClient: int = 100) -> Crowd:
        """One."""
        self.clock = Clock()
        return Crowd(self.clock, limits, total, perClient)

    def test_networks(self) -> None:
        """Neighbours are one network, in both families."""
        self.assertEqual(networkOf("192.0.2.7"), networkOf("192.0.2.200"))
        self.assertNotEqual(networkOf("192.0.2.7"), networkOf("192.0.3.7"))
        self.assertEqual(networkOf("2001:db8::1"), networkOf("2001:db8::ffff:1"))
        self.assertNotEqual(networkOf("2001:db8::1"), networkOf("2001:db8:0:1::1"))
        self.assertEqual(networkOf("/run/x"), "/run/x")

    def test_perNetwork(self) -> None:
        """No more than so many of one network; who goes makes room; other networks
        and this host don't matter."""
        crowd = self.crowd(replace(Limits(), connectionsPerNetwork=2))
        self.assertEqual([crowd.admit(f"192.0.2.{n}") for n in range(3)], [None, None, reply.TOO_MANY_CONNECTIONS])
        self.assertIsNone(crowd.admit("198.51.100.1"))
        crowd.release("192.0.2.1")
        self.assertIsNone(crowd.admit("192.0.2.9"))
        self.assertEqual([crowd.admit("127.0.0.1") for _ in range(9)], [None] * 9)

    def test_rate(self) -> None:
        """No more than so many in a minute of one client; then again."""
        crowd = self.crowd(replace(Limits(), connectionRate=2))

        def comeAndGo(address: str) -> object:
            answer = crowd.admit(address)
            if answer is None:
                crowd.release(address)
            return answer

        self.clock.advance(100)
        self.assertEqual([comeAndGo("192.0.2.1") for _ in range(3)], [None, None, reply.TOO_FAST])
        self.assertIsNone(comeAndGo("192.0.2.2"))
        self.clock.advance(61)
        self.assertIsNone(comeAndGo("192.0.2.1"))
        self.assertEqual([comeAndGo("::1") for _ in range(9)], [None] * 9)

    def test_nothingIsKept(self) -> None:
        """Of clients that are gone, or were refused, nothing is remembered."""
        crowd = self.crowd(Limits(), 2, 1)
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
            crowd.admit(address)
        for address in ("192.0.2.1", "192.0.2.2"):
            crowd.release(address)
        self.assertEqual((crowd._clients, crowd._networks, crowd._count), ({}, {}, 0))
