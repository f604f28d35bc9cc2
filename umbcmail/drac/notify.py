"""Tells other servers of DRAC of each add: plain C{rpc.dracd}s that share no state with us.

Each is called by UDP as a patient client does it: again every five seconds, and given
up after 25.  What waits for a server is bounded, and an address waits only once.  What
came from one of them is never told, or two servers would tell each other for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from umbcmail.clientaddress import clientAddress
from umbcmail.drac.asking import AskError, PortAsking, visitByPort
from umbcmail.drac.program import ADD, ADDED, PROGRAM, STATUS, encodeAddress
from umbcmail.drac.rpc import MessageError, decodeReply, encodeCall
from umbcmail.drac.xdr import Reader, XDRError
from umbcmail.maillog import MailLog

INTERVAL = 5.0
"""Seconds after which a call is sent again."""
SENDS = 5
"""How often a call is sent; one interval after the last it is given up."""
AHEAD = 100
"""Calls to a server that are under way."""
QUEUE = 10_000
"""Addresses that wait for a server; over that the oldest is lost."""


@dataclass(slots=True, eq=False)
class _Told:
    """A call under way."""

    address: str
    call: bytes
    sends: int = 0
    timer: Any = None


class Peer:
    """One server.

    @ivar told: addresses that it has taken.
    @ivar failed: those that it has not.
    @ivar lost: those that it was never told of, since too many waited.
    @ivar trouble: why the last one was not taken, or C{""}.
    """

    def __init__(
        self,
        host: str,
        port: int,
        send: Callable[[bytes, tuple[str, int]], None],
        reactor: Any,
        log: MailLog,
        visit: Callable[[Any, str], PortAsking] = visitByPort,
    ) -> None:
        """
        @param port: 0: ask the portmapper of the host.
        """
        self.told = self.failed = self.lost = 0
        self.trouble = ""
        self.host = host
        self._mustAsk = not port
        self._port = port
        self._send = send
        self._reactor = reactor
        self._log = log
        self._visit = visit
        self._xid = secrets.randbits(32)
        self._queue: dict[str, None] = {}
        self._open: dict[int, _Told] = {}
        self._asking: PortAsking | None = None

    @property
    def waiting(self) -> int:
        """Addresses that it has not been told of yet."""
        return len(self._queue) + len(self._open)

    def tell(self, address: str) -> None:
        """An address has been added."""
        if address in self._queue:
            return
        if len(self._queue) >= QUEUE:
            del self._queue[next(iter(self._queue))]
            self.lost += 1
        self._queue[address] = None
        self._goOn()

    def _goOn(self) -> None:
        if not self._port:
            self._ask()
            return
        while self._queue and len(self._open) < AHEAD:
            address = next(iter(self._queue))
            del self._queue[address]
            version, arguments = encodeAddress(address)
            self._xid = (self._xid + 1) & 0xFFFFFFFF
            call = encodeCall(self._xid, PROGRAM, version, ADD, arguments)
            self._open[self._xid] = told = _Told(address, call)
            self._call(self._xid, told)

    def _call(self, xid: int, told: _Told) -> None:
        if told.sends >= SENDS:
            del self._open[xid]
            self._failed("no answer")
            if self._mustAsk:
                self._port = 0  # it may have another one by now
            self._goOn()
            return
        told.sends += 1
        told.timer = self._reactor.callLater(INTERVAL, self._call, xid, told)
        self._send(told.call, (self.host, self._port))

    def got(self, message: bytes) -> bool:
        """A reply, maybe for one of ours.  @return: whether it was.  As the genuine
        clients we don't look where it comes from: a host may have several addresses."""
        try:
            reply = decodeReply(message)
        except MessageError:
            return False
        told = self._open.pop(reply.xid, None)
        if told is None:
            return False
        told.timer.cancel()
        problem = reply.problem
        if not problem:
            try:
                status = Reader(reply.results).unsigned()
                problem = "" if status == ADDED else STATUS[min(status, len(STATUS) - 1)]
            except XDRError:
                problem = "no whole reply"
        if problem:
            self._failed(problem)
        else:
            self.told += 1
            self.trouble = ""
        self._goOn()
        return True

    def _failed(self, why: str) -> None:
        self.failed += 1
        if why != self.trouble:
            self.trouble = why
            self._log.trouble("-", "drac.notify", f"{self.host}: {why}")

    # Its port

    def _ask(self) -> None:
        if self._asking is not None:
            return
        self._asking = self._visit(self._reactor, self.host)
        asked = self._asking.port(PROGRAM, 1, "udp")
        asked.addCallbacks(self._found, self._unfound).addErrback(lambda failure: self._log.bug("-", "drac", failure))

    def _asked(self) -> None:
        if self._asking is not None:
            self._asking.end()
            self._asking = None

    def _found(self, port: int) -> None:
        self._asked()
        if 0 < port < 65536:
            self._port = port
            self._goOn()
        else:
            self._givenUp("is not registered with its portmapper")

    def _unfound(self, failure: Failure) -> None:
        failure.trap(AskError)
        self._asked()
        self._givenUp(f"portmapper: {failure.getErrorMessage()}")

    def _givenUp(self, why: str) -> None:
        """Those who wait for a port are not taken; the next one asks again."""
        count = len(self._queue)
        self._queue.clear()
        for _ in range(count):
            self._failed(why)

    def stop(self) -> None:
        """No more."""
        for told in self._open.values():
            told.timer.cancel()
        self._open.clear()
        self._queue.clear()
        self._asked()


class Notifier:
    """All of them, by one socket for each family.

    @ivar peers: L{Peer}s.
    """

    def __init__(self, places: Iterable[tuple[str, int]], reactor: Any, log: MailLog) -> None:
        """
        @param places: addresses and ports.
        """
        self._reactor = reactor
        self._sockets: dict[bool, Any] = {}
        self.peers = [Peer(host, port, self._send, reactor, log) for host, port in places]
        self._hosts = {clientAddress(peer.host) for peer in self.peers}

    def start(self) -> None:
        """Open the sockets."""
        for isIPv6 in {":" in host for host in self._hosts}:
            answers = _Answers(self.peers)
            self._sockets[isIPv6] = self._reactor.listenUDP(0, answers, interface="::" if isIPv6 else "")

    def stop(self) -> None:
        """Close them; what waits is lost."""
        for peer in self.peers:
            peer.stop()
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            socket.stopListening()

    def added(self, address: str, client: str) -> None:
        """A client has added an address."""
        if client not in self._hosts:
            for peer in self.peers:
                peer.tell(address)

    def _send(self, call: bytes, to: tuple[str, int]) -> None:
        socket = self._sockets.get(":" in to[0])
        try:
            if socket is not None:
                socket.write(call, to)
        except OSError:
            pass  # no way to it now; it is sent again


class _Answers(DatagramProtocol):
    noisy = False

    def __init__(self, peers: list[Peer]) -> None:
        self._peers = peers

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A reply, maybe."""
        for peer in self._peers:
            if peer.got(datagram):
                break
