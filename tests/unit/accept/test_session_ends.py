"""L{umbcmail.accept.session}: clients that don't read, don't go, or come too many."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, ISystemHandle
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.accept.test_session import BEGIN, GREETING, FakeWriter, SessionCase, Transport
from umbcmail import reply


class Socket(socket.socket):
    """Takes all, or nothing when it is C{full}; it has no descriptor."""

    def __init__(self) -> None:
        self.full = False
        self.got = b""

    def send(self, data: Any, flags: int = 0) -> int:
        """Take it."""
        if self.full:
            raise BlockingIOError
        self.got += data
        return len(data)


@implementer(ISystemHandle)
class SocketTransport(Transport):
    """A transport over such a socket, that asks its pull producer as TCP does."""

    def __init__(self) -> None:
        super().__init__()
        self.taker = Socket()

    def getHandle(self) -> Any:
        """The socket."""
        return self.taker

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Ask it at once."""
        super().registerProducer(producer, streaming)
        if not streaming:
            producer.resumeProducing()


class EndCase(SessionCase):
    """Sessions on several kinds of transports."""

    def on(self, transport: Any) -> Any:
        """A session on a transport."""
        session: Any = self.factory.buildProtocol(transport.getPeer().__class__("TCP", "192.0.2.7", 1000))
        session.makeConnection(transport)
        return session


class LingeringTests(EndCase):
    """Clients that have been sent away."""

    def assertCut(self, session: Any) -> None:
        """It is not there for long, and leaves no timer."""
        self.assertTrue(session.transport.disconnecting)
        self.assertFalse(session.transport.aborted)
        session.dataReceived(b"NOOP\r\n")
        self.clock.pump([1.0] * 31)
        self.assertTrue(session.transport.aborted)
        session.connectionLost(Failure(ConnectionDone()))
        self.log.flush()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_afterQuit(self) -> None:
        """Who does not read the last reply, or does not end TLS, is cut off: a
        connection that never ends would use up the places of others."""
        session = self.connect()
        session.dataReceived(b"QUIT\r\n")
        self.assertCut(session)

    def test_afterIdleness(self) -> None:
        """The same after a 421."""
        session = self.connect()
        self.clock.pump([301.0])
        self.assertCut(session)

    def test_gone(self) -> None:
        """Of a client that goes in time nothing is left."""
        session = self.connect()
        session.dataReceived(b"QUIT\r\n")
        session.connectionLost(Failure(ConnectionDone()))
        self.log.flush()
        self.clock.advance(1)
        self.assertEqual((self.clock.getDelayedCalls(), session.transport.aborted), ([], False))


class TooManyTests(EndCase):
    """TLS from the first octet, and no place left."""

    most = (1, 1)

    def test_abortedWithoutHandshake(self) -> None:
        """There is nobody to be told before the handshake, and who never begins one
        must not stay."""
        self.factory._tlsFirst, self.factory._tls = True, lambda: "context"
        self.connect()
        transport = Transport()
        refused: Any = self.on(transport)
        self.assertTrue(transport.aborted)
        self.assertEqual(transport.value(), b"")
        refused.connectionLost(Failure(ConnectionDone()))


class SlowReaderTests(EndCase):
    """Clients that send and don't read."""

    def test_plain(self) -> None:
        """While the client does not take its replies no more commands are read;
        when it does, it gets all of them in order."""
        transport = SocketTransport()
        session = self.on(transport)
        transport.taker.full = True
        session.dataReceived(b"NOOP\r\n")
        self.assertEqual(transport.value(), reply.OK.wire)
        session.dataReceived(b"RSET\r\nVRFY x\r\n")
        self.assertEqual((transport.value(), transport.producerState), (reply.OK.wire, "paused"))
        transport.taker.full = False
        transport.producer.resumeProducing()
        self.assertEqual(transport.taker.got, GREETING + reply.OK.wire + reply.VRFY.wire)
        self.assertEqual((transport.producer, transport.producerState), (None, "producing"))

    def test_afterAnAnswer(self) -> None:
        """The same when the answer had to be waited for."""
        self.intake.answer = None
        transport = SocketTransport()
        session = self.on(transport)
        session.dataReceived(BEGIN + b".\r\n")
        transport.taker.full = True
        session.dataReceived(b"NOOP\r\n")
        self.intake.waiting[0].callback(reply.queued("id"))
        session.dataReceived(b"VRFY x\r\n")
        said = reply.queued("id").wire + reply.OK.wire
        self.assertEqual((transport.value(), transport.producerState), (said, "paused"))
        transport.taker.full = False
        transport.producer.resumeProducing()
        self.assertTrue(transport.taker.got.endswith(reply.VRFY.wire))
        self.assertEqual(transport.producerState, "producing")

    def test_tls(self) -> None:
        """The same in TLS, where the transport tells when it is full."""
        self.factory._tls = lambda: "a context"
        session = self.connect()
        session.dataReceived(b"EHLO c\r\nSTARTTLS\r\n")
        session.handshakeCompleted()
        self.said(session)
        session.transport.producer.pauseProducing()
        session.dataReceived(b"NOOP\r\n")
        self.assertEqual((self.said(session), session.transport.producerState), (b"", "paused"))
        session.transport.producer.resumeProducing()
        self.assertEqual((self.codes(session), session.transport.producerState), ([250], "producing"))
        session.dataReceived(b"QUIT\r\n")
        self.assertIsNone(session.transport.producer, "or the connection would not be closed")
        self.assertTrue(session.transport.disconnecting)

    def test_neverReads(self) -> None:
        """Who does not read at all is idle, and then cut off."""
        transport = SocketTransport()
        session = self.on(transport)
        transport.taker.full = True
        session.dataReceived(b"NOOP\r\n")
        session.dataReceived(b"NOOP\r\n")
        self.clock.pump([301.0, 31.0])
        self.assertTrue(transport.aborted)

    def test_goneWhileFull(self) -> None:
        """Nothing happens when the connection is lost in between."""
        transport = SocketTransport()
        session = self.on(transport)
        transport.taker.full = True
        session.dataReceived(b"NOOP\r\n")
        session.dataReceived(b"NOOP\r\n")
        producer = transport.producer
        session.connectionLost(Failure(ConnectionDone()))
        producer.stopProducing()
        self.assertEqual(transport.value(), reply.OK.wire)


class WaitedTests(EndCase):
    """Time that the client has spent waiting for us."""

    def test_notIdle(self) -> None:
        """Idleness counts from the answer, not from the command."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b".\r\n")
        self.clock.pump([290.0])
        self.intake.waiting[0].callback(reply.queued("id"))
        self.clock.pump([20.0])
        self.assertFalse(session.transport.disconnecting)
        self.clock.pump([281.0])
        self.assertTrue(session.transport.disconnecting)


class BugTests(EndCase):
    """What nobody expected while a message comes in."""

    def test_inData(self) -> None:
        """The client is told 451 at the end, and the session goes on."""

        class Broken(FakeWriter):
            def write(self, data: bytes) -> Deferred[None]:
                raise RuntimeError("a bug")

        self.writer = Broken
        session = self.connect()
        session.dataReceived(BEGIN + b"x" * 300_000)
        session.dataReceived(b"x" * 300_000 + b"\r\n.\r\nNOOP\r\n")
        self.assertEqual(self.codes(session)[-2:], [451, 250])
        self.assertEqual(self.intake.taken, [])
        self.assertTrue(self.writers[0].aborted)
        self.log.flush()
        self.assertEqual(b"".join(self.lines).count(b" bug id=c0"), 1)


class HalfClosedTests(EndCase):
    """Clients that send nothing more and wait for replies."""

    def test_interface(self) -> None:
        """The transport knows."""
        verifyObject(IHalfCloseableProtocol, self.connect())

    def test_answered(self) -> None:
        """All that was sent is answered, whenever the answers come, and then it is closed."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b"text\r\n.\r\nNOOP\r\nQUIT\r\n")
        session.readConnectionLost()
        session.writeConnectionLost()
        self.assertFalse(session.transport.disconnecting)
        self.said(session)
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.said(session), reply.queued("id").wire + reply.OK.wire + reply.QUIT.wire)
        self.assertTrue(session.transport.disconnecting)

    def test_withoutQuit(self) -> None:
        """The same without QUIT; half a command behind is not answered."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b"text\r\n.\r\nNOOP\r\nRSE")
        session.readConnectionLost()
        self.said(session)
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(self.said(session), reply.queued("id").wire + reply.OK.wire)
        self.assertTrue(session.transport.disconnecting)
        session.connectionLost(Failure(ConnectionDone()))
        self.log.flush()
        self.clock.advance(1)
        self.assertIn(b'why="closed by client"', b"".join(self.lines))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothingToWaitFor(self) -> None:
        """Between commands, and in the middle of one, it is closed at once and nothing is said."""
        for text in (b"", b"NOOP\r\n", b"NOO", b"NOOP\r"):
            session = self.connect()
            session.dataReceived(text)
            self.said(session)
            session.readConnectionLost()
            self.assertEqual((self.said(session), session.transport.disconnecting), (b"", True), text)

    def test_halfAMessage(self) -> None:
        """What has come of a message is thrown away, of DATA and of BDAT."""
        for text in (BEGIN + b"text\r\n.\r", BEGIN[:-6] + b"BDAT 9 LAST\r\ntext\r\n"):
            session = self.connect()
            session.dataReceived(text)
            session.readConnectionLost()
            self.assertTrue(session.transport.disconnecting, text)
            session.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.intake.taken, [])

    def test_notReadAgain(self) -> None:
        """Nothing is to be read any more, so reading does not begin again."""
        self.intake.answer = None
        session = self.connect()
        session.dataReceived(BEGIN + b".\r\n")
        session.dataReceived(BEGIN + b".\r\n")
        self.assertEqual(session.transport.producerState, "paused")
        session.readConnectionLost()
        self.intake.waiting[0].callback(reply.queued("id"))
        self.assertEqual(session.transport.producerState, "paused")
        self.intake.waiting[1].callback(reply.queued("id"))
        self.assertEqual((session.transport.producerState, session.transport.disconnecting), ("paused", True))

    def test_slowReader(self) -> None:
        """Replies that wait for the client to read still come, and later commands with them."""
        transport = SocketTransport()
        session = self.on(transport)
        transport.taker.full = True
        session.dataReceived(b"NOOP\r\n")
        session.dataReceived(b"RSET\r\nVRFY x\r\n")
        session.readConnectionLost()
        self.assertFalse(transport.disconnecting)
        transport.taker.full = False
        transport.producer.resumeProducing()
        self.assertEqual(transport.taker.got, GREETING + reply.OK.wire + reply.VRFY.wire)
        self.assertTrue(transport.disconnecting)
