"""A dracd, a portmapper and what a test wants to go wrong with them, on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.system.programs import HOST, freePort
from umbcmail.drac import rpc
from umbcmail.drac.program import PROGRAM, VERSIONS, decodeAddress
from umbcmail.drac.record import Records, mark
from umbcmail.drac.rpcbind import PROGRAM as PORTMAPPER
from umbcmail.drac.xdr import packString, packUnsigned

Reply = Callable[[rpc.Call], bytes]


def _bound(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port.

    @param port: 0: any that is free for both.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for last in [False] * (0 if port else 20) + [True]:
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        try:
            datagrams.bind((host, port or freePort()))
            return datagrams, socket.create_server(datagrams.getsockname()[:2], family=family)
        except OSError:
            datagrams.close()
            if last:
                raise
    raise AssertionError("not reached")


class Server:
    """Answers calls by UDP and by TCP, at the same port.

    @ivar calls: all that have come, repeated ones too.
    @ivar lost: so many datagrams that are to come yet get lost.
    @ivar stray: what is sent before each reply by UDP.
    """

    def __init__(self, host: str = HOST, port: int = 0) -> None:
        self.calls: list[rpc.Call] = []
        self.lost = 0
        self.stray: list[bytes] = []
        self._udp, self._tcp = _bound(host, port)
        self.port = int(self._udp.getsockname()[1])
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._datagrams, self._streams)]
        for thread in self._threads:
            thread.start()

    def answer(self, call: rpc.Call) -> bytes:
        """The reply to a call."""
        raise NotImplementedError

    def close(self) -> None:
        """No more."""
        for each in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        # A socket that a thread waits at takes what comes, until the thread has seen that it is closed.
        for thread in self._threads:
            thread.join(10)

    def _datagrams(self) -> None:
        while True:
            try:
                octets, peer = self._udp.recvfrom(9000)
            except OSError:
                return
            if not octets:
                return  # closed
            call = rpc.decodeCall(octets)
            self.calls.append(call)
            if self.lost:
                self.lost -= 1
                continue
            with contextlib.suppress(OSError):
                for each in (*self.stray, self.answer(call)):
                    self._udp.sendto(each, peer)

    def _streams(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(connection,), daemon=True).start()

    def _stream(self, connection: socket.socket) -> None:
        records = Records()
        with connection, contextlib.suppress(OSError):
            while octets := connection.recv(9000):
                for message in records.feed(octets):
                    call = rpc.decodeCall(message)
                    self.calls.append(call)
                    connection.sendall(mark(self.answer(call)))


class Dracd(Server):
    """A dracd.

    @ivar status: what it answers to ADD.
    @ivar versions: of the program that it knows.
    """

    def __init__(self, host: str = HOST, port: int = 0) -> None:
        self.status = 0
        self.versions: tuple[int, ...] = VERSIONS
        super().__init__(host, port)

    def answer(self, call: rpc.Call) -> bytes:
        """See L{Server.answer}."""
        if call.program != PROGRAM:
            return rpc.failure(call.xid, rpc.PROG_UNAVAIL)
        if call.version not in self.versions:
            return rpc.programMismatch(call.xid, self.versions[0], self.versions[-1])
        return rpc.success(call.xid, packUnsigned(self.status))

    @property
    def added(self) -> list[str]:
        """The addresses that it was told, in order."""
        return [decodeAddress(call.version, call.arguments) for call in self.calls if call.version in self.versions]


class Portmapper(Server):
    """A portmapper that knows one port.

    @ivar versions: that it knows.
    """

    def __init__(self, known: int, host: str = HOST, versions: tuple[int, ...] = (2, 3, 4)) -> None:
        self._known = known
        self.versions = versions
        super().__init__(host)

    def answer(self, call: rpc.Call) -> bytes:
        """See L{Server.answer}."""
        if call.program != PORTMAPPER or call.version not in self.versions:
            return rpc.programMismatch(call.xid, self.versions[0], self.versions[-1])
        if call.version == 2:
            return rpc.success(call.xid, packUnsigned(self._known))
        address = f"0.0.0.0.{self._known >> 8}.{self._known & 255}" if self._known else ""
        return rpc.success(call.xid, packString(address))
