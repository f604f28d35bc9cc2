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
    """Answers over UDP.

    @ivar records: by name in lower case, payloads such as L{dns.Record_A}.
    @ivar wildcards: by ending of a name, payloads for whatever has none of its own.
    @ivar fails: endings of names that are answered by SERVFAIL.
    @ivar silent: endings of names that are not answered.
    @ivar asked: names.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[Any]] = {}
        self.wildcards: dict[str, list[Any]] = {}
        self.fails: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._ended = False
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

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

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if self._ended:
                return
            with contextlib.suppress(EOFError, ValueError, OSError):
                query = dns.Message()
                query.fromStr(data)
                answer = self._answer(query)
                if answer is not None:
                    self._socket.sendto(answer.toStr(), peer)

    def _answer(self, query: Any) -> Any:
        asked = query.queries[0]
        name = asked.name.name.decode().lower()
        self.asked.append(name)
        if any(map(name.endswith, self.silent)):
            return None
        answer = dns.Message(query.id, answer=1, recDes=query.recDes, recAv=1)
        answer.queries = query.queries
        if any(map(name.endswith, self.fails)):
            answer.rCode = dns.ESERVER
            return answer
        payloads = self.records.get(name)
        if payloads is None:
            payloads = next((some for end, some in self.wildcards.items() if name.endswith(end)), None)
        if payloads is None:
            answer.rCode = dns.ENAME
        answer.answers = [
            dns.RRHeader(asked.name.name, payload.TYPE, dns.IN, 0, payload)
            for payload in payloads or ()
            if asked.type == payload.TYPE
        ]
        return answer
