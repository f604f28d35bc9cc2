"""A name server on loopback, with records that a test can change at any time.

It speaks the protocol by the codec of L{twisted.names}; unlike a real server it can be
told to be silent, or to fail.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from twisted.names import dns

from tests.system.programs import HOST


class NameServer:
    """Answers over UDP and TCP.

    @ivar records: by name in lower case, payloads such as L{dns.Record_A}.
    @ivar wildcards: by ending of a name, payloads for whatever has none of its own.
    @ivar fails: endings of names that are answered by SERVFAIL.
    @ivar silent: endings of names that are not answered.
    @ivar refuses: endings of names that are answered by REFUSED.
    @ivar large: endings of names whose answers do not fit a datagram.
    @ivar asked: names.
    @ivar overTCP: those that were asked for over TCP.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[Any]] = {}
        self.wildcards: dict[str, list[Any]] = {}
        self.fails: set[str] = set()
        self.silent: set[str] = set()
        self.refuses: set[str] = set()
        self.large: set[str] = set()
        self.asked: list[str] = []
        self.overTCP: list[str] = []
        self._socket, self._listener = _pair()
        self._ended = False
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        threading.Thread(target=self._accept, daemon=True).start()

    def exchanges(self, domain: str, *hosts: str, ttl: int = 0) -> None:
        """A domain has these mail hosts, by preference 10, 20 …; a change is one step."""
        self.records[domain] = [dns.Record_MX(at * 10, host.encode(), ttl=ttl) for at, host in enumerate(hosts, 1)]

    def addresses(self, name: str, *addresses: str) -> None:
        """A name has these IPv4 addresses, or none."""
        self.records[name] = [dns.Record_A(address, ttl=0) for address in addresses]

    def close(self) -> None:
        """No more."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._socket.sendto(b"", (HOST, self.port))
        self._thread.join(5)
        self._socket.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if self._ended:
                return
            with contextlib.suppress(EOFError, ValueError, OSError):
                answer = self._answer(data, self.asked)
                if answer is not None:
                    if any(map(answer.queries[0].name.name.decode().lower().endswith, self.large)):
                        answer.answers, answer.trunc = [], 1
                    self._socket.sendto(answer.toStr(), peer)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(EOFError, ValueError, OSError), connection, connection.makefile("rb") as stream:
            while size := stream.read(2):
                answer = self._answer(stream.read(int.from_bytes(size, "big")), self.overTCP)
                if answer is not None:
                    answer.maxSize = 0
                    octets = answer.toStr()
                    connection.sendall(len(octets).to_bytes(2, "big") + octets)

    def _answer(self, data: bytes, heard: list[str]) -> Any:
        query = dns.Message()
        query.fromStr(data)
        asked = query.queries[0]
        name = asked.name.name.decode().lower()
        heard.append(name)
        if any(map(name.endswith, self.silent)):
            return None
        answer = dns.Message(query.id, answer=1, recDes=query.recDes, recAv=1)
        answer.queries = query.queries
        if any(map(name.endswith, self.fails)):
            answer.rCode = dns.ESERVER
            return answer
        if any(map(name.endswith, self.refuses)):
            answer.rCode = dns.EREFUSED
            return answer
        payloads = self.records.get(name)
        if payloads is None:
            payloads = next((some for end, some in self.wildcards.items() if name.endswith(end)), None)
        if payloads is None:
            answer.rCode = dns.ENAME
        answer.answers = [
            dns.RRHeader(asked.name.name, payload.TYPE, dns.IN, payload.ttl or 0, payload)
            for payload in payloads or ()
            if payload.TYPE in (asked.type, dns.CNAME)
        ]
        return answer


def _pair() -> tuple[socket.socket, socket.socket]:
    """Sockets for UDP and TCP with the same number; the one for TCP is chosen first, since more programs use TCP."""
    while True:
        listener = socket.create_server((HOST, 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind((HOST, listener.getsockname()[1]))
        except OSError:
            datagrams.close()
            listener.close()
        else:
            return datagrams, listener
