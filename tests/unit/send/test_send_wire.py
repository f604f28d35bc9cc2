"""Tests of L{umbcmail.wire} and L{umbcmail.send.pouring}."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer, ISystemHandle
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from umbcmail.send.pouring import Pouring
from umbcmail.wire import Wire


class Socket(socket.socket):
    """Takes so many octets, then is full; it has no descriptor."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.got += taken
        return len(taken)


@implementer(ISystemHandle)
class Buffered(StringTransport):
    """A transport over such a socket."""

    def __init__(self, taker: Socket) -> None:
        super().__init__()
        self.taker = taker

    def getHandle(self) -> Socket:
        return self.taker


class WireTests(SynchronousTestCase):
    """Octets go out in order, directly or not."""

    def test_direct(self) -> None:
        """What the socket takes does not go by the transport."""
        taker = Socket(100)
        transport = Buffered(taker)
        Wire(transport).write(b"hello")
        self.assertEqual((taker.got, transport.value()), (b"hello", b""))

    def test_full(self) -> None:
        """What it does not take goes by the transport, and so does all that follows
        until that is empty."""
        taker = Socket(3)
        transport = Buffered(taker)
        wire = Wire(transport)
        verifyObject(IPullProducer, wire)
        wire.write(b"hello")
        wire.resumeProducing()  # as a transport does on registration
        taker.room = 100
        wire.write(b", you")
        self.assertEqual((taker.got, transport.value()), (b"hel", b"lo, you"))
        wire.resumeProducing()
        self.assertIsNone(transport.producer)
        wire.write(b"!")
        self.assertEqual(taker.got, b"hel!")

    def test_buffered(self) -> None:
        """Who takes the transport has it for himself, with nothing lost."""
        taker = Socket(0)
        transport = Buffered(taker)
        wire = Wire(transport)
        wire.write(b"a")
        wire.resumeProducing()
        self.assertIs(wire.buffered(), transport)
        self.assertIsNone(transport.producer)
        taker.room = 100
        wire.write(b"b")
        self.assertEqual((taker.got, transport.value()), (b"", b"ab"))

    def test_plain(self) -> None:
        """A transport without a system handle is used as ever."""
        transport = StringTransport()
        Wire(transport).write(b"a")
        self.assertEqual(transport.value(), b"a")


class Slow:
    """Content whose pieces come when the test wants it."""

    data = None
    size = 10

    def __init__(self) -> None:
        self.reads: list[Deferred[bytes]] = []
        self.closed = 0

    def open(self) -> Slow:
        return self

    def read(self) -> Deferred[bytes]:
        self.reads.append(Deferred())
        return self.reads[-1]

    def close(self) -> None:
        self.closed += 1


class PouringTests(SynchronousTestCase):
    """Content is sent as fast as the transport takes it."""

    def setUp(self) -> None:
        """One content, one transport."""
        self.content = Slow()
        self.transport = StringTransport()
        self.events: list[Any] = []
        self.pouring = Pouring(
            self.transport,
            self.content,
            lambda: None,
            lambda: self.events.append(self.transport.value()),
            lambda failure: self.events.append(failure),
        )
        verifyObject(IPushProducer, self.pouring)
        self.pouring.start()

    def test_whole(self) -> None:
        """All pieces, stuffed, and the dot, which is announced before it is sent."""
        self.content.reads[0].callback(b"a\r\n")
        self.content.reads[1].callback(b".b\r\n")
        self.assertEqual(self.events, [])
        self.content.reads[2].callback(b"")
        self.assertEqual(self.events, [b"a\r\n..b\r\n"])
        self.assertEqual(self.transport.value(), b"a\r\n..b\r\n.\r\n")
        self.assertEqual((self.content.closed, self.transport.producer), (1, None))

    def test_pause(self) -> None:
        """While the transport is full nothing is read."""
        self.pouring.pauseProducing()
        self.content.reads[0].callback(b"a")
        self.assertEqual(len(self.content.reads), 1)
        self.pouring.resumeProducing()
        self.assertEqual(len(self.content.reads), 2)
        self.pouring.resumeProducing()
        self.assertEqual(len(self.content.reads), 2)

    def test_stop(self) -> None:
        """When the connection is gone the file is closed, and what is still read
        is dropped."""
        self.pouring.stopProducing()
        self.pouring.stopProducing()
        self.content.reads[0].callback(b"a")
        self.assertEqual((self.content.closed, self.transport.value(), self.events), (1, b"", []))

    def test_unreadable(self) -> None:
        """An error while reading is told, and no dot is sent."""
        self.content.reads[0].errback(OSError("gone"))
        self.assertEqual(len(self.events), 1)
        self.assertEqual((self.content.closed, self.transport.value()), (1, b""))
