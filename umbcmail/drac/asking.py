"""Talks to rpcbind: by its socket, where it knows who we are, or else by UDP on loopback.

Each L{Asking} is for one visit: some questions, one after the other, and the end.
Whatever goes wrong, no answer in time among it, fails the question with L{AskError}.
"""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Protocol

from umbcmail.drac import rpcbind
from umbcmail.drac.record import Records, mark
from umbcmail.drac.rpc import MessageError, Reply, decodeReply, encodeCall
from umbcmail.drac.rpcbind import Mapping
from umbcmail.drac.xdr import Reader, XDRError

TIMEOUT = 3.0
"""Seconds for an answer."""
AGAIN = 1.0
"""Seconds after which a datagram is sent again."""


class AskError(Exception):
    """There is no rpcbind, or it does not answer, or not as it should."""


class Asking:
    """One visit.

    @ivar isByPort: only ports of IPv4 can be asked for and set, not addresses.
    """

    isByPort = False
    version = rpcbind.RPCBIND_VERSION

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._xid = secrets.randbits(31)
        self._asked: Deferred[Reply] | None = None
        self._timer: Any = None

    def ask(self, procedure: int, arguments: bytes = b"") -> Deferred[Reply]:
        """A question, when the one before has been answered.

        @return: fails with L{AskError}.
        """
        self._xid += 1
        asked: Deferred[Reply] = Deferred()
        self._asked = asked
        self._timer = self._clock.callLater(TIMEOUT, self.failed, "no answer")
        self.send(encodeCall(self._xid, rpcbind.PROGRAM, self.version, procedure, arguments))
        return asked

    def send(self, call: bytes) -> None:
        """Send it on its way."""
        raise NotImplementedError

    def end(self) -> None:
        """The visit is over."""
        raise NotImplementedError

    def got(self, message: bytes) -> None:
        """An answer, maybe to another question."""
        try:
            reply = decodeReply(message)
        except MessageError:
            return
        if reply.xid != self._xid:
            return
        if reply.isSuccess:
            self._done(reply)
        else:
            self.failed(reply.problem)

    def failed(self, why: str) -> None:
        """It won't be answered."""
        self._done(AskError(why))

    def _done(self, result: Any) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        asked, self._asked = self._asked, None
        if asked is None:
            return
        if isinstance(result, AskError):
            asked.errback(result)
        else:
            asked.callback(result)

    # What there is to ask

    def listing(self) -> Deferred[list[Mapping]]:
        """All that is registered."""
        decode = rpcbind.decodePorts if self.isByPort else rpcbind.decodeMappings
        return self.ask(rpcbind.DUMP).addCallback(lambda reply: _decoded(decode, reply.results))

    def set(self, mapping: Mapping) -> Deferred[bool]:
        """Register.  @return: L{Deferred} of whether that was done."""
        return self._change(rpcbind.SET, mapping)

    def unset(self, mapping: Mapping) -> Deferred[bool]:
        """Remove; of an L{Asking} by port all of the version.  The answer means
        nothing: look at the L{listing}."""
        return self._change(rpcbind.UNSET, mapping)

    def _change(self, procedure: int, mapping: Mapping) -> Deferred[bool]:
        arguments = rpcbind.encodePort(mapping) if self.isByPort else rpcbind.encodeMapping(mapping)
        return self.ask(procedure, arguments).addCallback(lambda reply: _decoded(_boolean, reply.results))


def _boolean(octets: bytes) -> bool:
    return Reader(octets).boolean()


def _decoded(decode: Any, octets: bytes) -> Any:
    try:
        return decode(octets)
    except XDRError as why:
        raise AskError(f"a wrong answer: {why}") from None


class SocketAsking(Asking, Protocol):
    """By the socket, version 4."""

    def __init__(self, clock: Any) -> None:
        Asking.__init__(self, clock)
        self._records = Records(rpcbind.LIMIT)

    def send(self, call: bytes) -> None:
        """See L{Asking}."""
        transport: Any = self.transport
        transport.write(mark(call))

    def end(self) -> None:
        """See L{Asking}."""
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Answers, or parts of them."""
        for message in self._records.feed(data):
            self.got(message)
        if self._records.problem:
            self.failed(self._records.problem)

    def connectionLost(self, reason: Any = None) -> None:
        """It has gone away."""
        self.failed("the connection was closed")


class PortAsking(Asking, DatagramProtocol):
    """By UDP on loopback, version 2; each question is sent again until it is answered."""

    isByPort = True
    version = rpcbind.PORTMAP_VERSION
    noisy = False
    _again: Any = None

    def __init__(self, clock: Any, host: str = "127.0.0.1") -> None:
        """
        @param host: whose portmapper.
        """
        Asking.__init__(self, clock)
        self._host = host
        self._again = None

    def startProtocol(self) -> None:
        """Hear of a port that is closed."""
        transport: Any = self.transport
        transport.connect(self._host, rpcbind.PORT)

    def send(self, call: bytes) -> None:
        """See L{Asking}."""
        self._stopAgain()
        if self._asked is None:
            return
        self._again = self._clock.callLater(AGAIN, self.send, call)
        try:
            self._write(call)
        except OSError as why:
            self._clock.callLater(0, self.failed, str(why.strerror))

    def _write(self, call: bytes) -> None:
        transport: Any = self.transport
        transport.write(call)

    def _stopAgain(self) -> None:
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None

    def end(self) -> None:
        """See L{Asking}."""
        self._stopAgain()
        if self.transport is not None:
            self.transport.stopListening()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """An answer."""
        self.got(datagram)

    def connectionRefused(self) -> None:
        """Nobody is there."""
        self.failed("connection refused")

    def stopProtocol(self) -> None:
        """The port is closed: by L{end}, or because nobody is there (epoll tells of
        an error on the socket, and the reactor closes it)."""
        self._stopAgain()
        self.failed("connection refused")

    def port(self, program: int, version: int, netid: str) -> Deferred[int]:
        """Where a program is to be found.  @return: 0: it is not registered."""
        asked = self.ask(rpcbind.GETPORT, rpcbind.lookupArguments(self.version, program, version, netid, False))
        return asked.addCallback(lambda reply: _decoded(lambda octets: Reader(octets).unsigned(), reply.results))


class IndirectAsking(PortAsking):
    """Has calls handed on: what they are answered comes from another port of rpcbind,
    so the socket is open for all of them, and does not hear of a port that is closed."""

    def startProtocol(self) -> None:
        """See L{PortAsking}."""

    def _write(self, call: bytes) -> None:
        transport: Any = self.transport
        transport.write(call, (self._host, rpcbind.PORT))


class _Opening(ClientFactory):
    noisy = False

    def __init__(self, clock: Any) -> None:
        self.opened: Deferred[Asking] = Deferred()
        self._clock = clock

    def buildProtocol(self, addr: Any) -> Protocol:
        protocol = SocketAsking(self._clock)
        # When the connection is there, which it is right after this.
        self._clock.callLater(0, self.opened.callback, protocol)
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.opened.errback(AskError(reason.getErrorMessage()))


def visitBySocket(reactor: Any, path: str = rpcbind.SOCKET) -> Deferred[Asking]:
    """@return: fails with L{AskError} when nobody is there."""
    opening = _Opening(reactor)
    reactor.connectUNIX(path, opening, timeout=TIMEOUT)
    return opening.opened


def visitByPort(reactor: Any, host: str = "127.0.0.1") -> PortAsking:
    """Whether somebody is there is seen with the first question."""
    asking = PortAsking(reactor, host)
    reactor.listenUDP(0, asking, interface="127.0.0.1" if host == "127.0.0.1" else "")
    return asking


def visitForIndirect(reactor: Any) -> PortAsking:
    """To have a call handed on here."""
    asking = IndirectAsking(reactor)
    reactor.listenUDP(0, asking, interface="127.0.0.1")
    return asking
