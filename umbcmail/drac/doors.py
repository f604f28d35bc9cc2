"""Where calls of DRAC come in: UDP, and TCP with record marking.

They move octets between sockets and L{Reception}, which decides.  A datagram gets one
reply or none.  On a stream calls may follow each other without waiting; who does not
read its replies is not read from, who says nothing for too long is sent away.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer, ISystemHandle
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from umbcmail.clientaddress import clientAddress
from umbcmail.drac.reception import Reception
from umbcmail.drac.record import Records, mark

AHEAD = 64
"""Calls of one connection that may wait for the roster; then it is not read from."""


class DatagramDoor(DatagramProtocol):
    """A UDP socket.

    @ivar unsent: replies that the system has not taken.
    """

    noisy = False

    def __init__(self, reception: Reception, ignoresUnlisted: bool = False) -> None:
        """
        @param ignoresUnlisted: clients that may not add get no answer to anything.
        """
        self.unsent = 0
        self._reception = reception
        self._ignoresUnlisted = ignoresUnlisted
        self._send: Any = None

    def startProtocol(self) -> None:
        """Replies go straight to the socket: C{transport.write} looks at the address
        anew for each of them, though it comes from the socket itself."""
        transport: Any = self.transport
        self._send = transport.write
        if ISystemHandle.providedBy(transport):
            socket: Any = transport.getHandle()
            self._send = socket.sendto

    def datagramReceived(self, octets: bytes, peer: Any) -> None:
        """A call, maybe."""
        client = clientAddress(peer[0])
        if self._ignoresUnlisted and not self._reception.mayAdd(client):
            self._reception.ignore()
        else:
            self._reception.take(octets, client, peer[1], peer, partial(self._answer, peer), True)

    def _answer(self, peer: Any, reply: bytes) -> None:
        try:
            self._send(reply, peer)
        except OSError:
            # The peer may be a forgery that can't be sent to; who has really called calls again.
            self.unsent += 1


@implementer(IPushProducer, IHalfCloseableProtocol)
class Stream(Protocol, TimeoutMixin):
    """A TCP connection."""

    def __init__(self, door: StreamDoor, client: str, port: int) -> None:
        self._door = door
        self._client = client
        self._port = port
        self._records = Records()
        self._open = 0
        self._isEnding = False
        self._isFull = False
        self._isPaused = False
        self._replies: list[bytes] | None = None

    def callLater(self, period: float, func: Any) -> Any:
        """See L{TimeoutMixin.callLater}."""
        return self._door.clock.callLater(period, func)

    def connectionMade(self) -> None:
        """Wait for calls."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.setTimeout(self._door.idle)

    def dataReceived(self, octets: bytes) -> None:
        """Calls, or parts of them."""
        if self._isEnding:
            return
        self._replies = []
        for message in self._records.feed(octets):
            self.resetTimeout()
            self._open += 1
            if not self._door.reception.take(message, self._client, self._port, object(), self._answer):
                self._open -= 1
                self._isEnding = True
                break
        replies, self._replies = self._replies, None
        if replies:
            self._write(b"".join(replies))
        if self._records.problem:
            self._isEnding = True
        self._goOn()

    def _answer(self, reply: bytes) -> None:
        self._open -= 1
        if self._replies is not None:
            self._replies.append(mark(reply))
        else:
            self._write(mark(reply))
            self._goOn()

    def _write(self, octets: bytes) -> None:
        transport: Any = self.transport
        transport.write(octets)

    def _goOn(self) -> None:
        """Read on, or not, or end it."""
        transport: Any = self.transport
        if self._isEnding and not self._open:
            transport.unregisterProducer()
            transport.loseConnection()
        elif (self._isEnding or self._isFull or self._open >= AHEAD) != self._isPaused:
            self._isPaused = not self._isPaused
            if self._isPaused:
                transport.pauseProducing()
            else:
                transport.resumeProducing()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}: the client does not read."""
        self._isFull = True
        self._goOn()

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._isFull = False
        self._goOn()

    def stopProducing(self) -> None:
        """See L{IPushProducer}: the connection is gone."""

    def readConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}: there are no more calls."""
        self._isEnding = True
        self._goOn()

    def writeConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}."""

    def timeoutConnection(self) -> None:
        """It has been silent for too long, or does not read."""
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """It is gone; what it still waits for goes nowhere."""
        self.setTimeout(None)
        self._isEnding = True
        self._door.left(self)

    def end(self) -> None:
        """The server ends."""
        self._isEnding = True
        self._goOn()

    @property
    def client(self) -> str:
        """Its address."""
        return self._client


class StreamDoor(Factory):
    """A TCP port.

    @ivar reception: L{Reception}.
    @ivar clock: L{twisted.internet.interfaces.IReactorTime}.
    @ivar idle: seconds that a connection may say nothing.
    @ivar refused: connections that there was no room for.
    """

    noisy = False

    def __init__(
        self, reception: Reception, clock: Any, idle: float, connections: int, ignoresUnlisted: bool = False
    ) -> None:
        """
        @param connections: the most at the same time; clients that may not add get
            half of them at most, and one client half of those that it might get.
        """
        self.reception = reception
        self.clock = clock
        self.idle = idle
        self.refused = 0
        self._connections = connections
        self._ignoresUnlisted = ignoresUnlisted
        self._streams: dict[Stream, None] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """A connection, if there is room."""
        client = clientAddress(getattr(addr, "host", ""))
        isListed = self.reception.mayAdd(client)
        if not isListed and self._ignoresUnlisted:
            self.reception.ignore()
            return None
        room = self._connections if isListed else self._connections // 2
        own = sum(stream.client == client for stream in self._streams)
        if len(self._streams) >= room or own >= max(1, room // 2):
            self.refused += 1
            return None
        stream = Stream(self, client, getattr(addr, "port", 0))
        self._streams[stream] = None
        return stream

    def left(self, stream: Stream) -> None:
        """A connection is gone."""
        self._streams.pop(stream, None)

    def end(self) -> None:
        """End all connections, those with calls under way when they are answered."""
        for stream in list(self._streams):
            stream.end()
