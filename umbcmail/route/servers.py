"""Asks name servers, one after the other, over UDP and then TCP.

`resolver` asks through L{Servers}.  A server that does not answer, or answers
SERVFAIL, REFUSED or nonsense, is passed over for the next one, as the C library
does; L{twisted.names.client.Resolver} alone would stop at the first answer of any
kind.  What no server can tell is L{NoAnswer}.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks
from twisted.internet.error import CannotListenError, ConnectError, ConnectionLost
from twisted.names import client, dns

from umbcmail.destination import NoAnswer
from umbcmail.route.answers import isAbout

RESOLV_CONF = "/etc/resolv.conf"
_FRESH = 30.0
"""Seconds after which it is looked whether the file has changed."""
# Each question has a socket of its own, whose beginning and end are no news.
dns.DNSDatagramProtocol.noisy = False
_TROUBLE = (TimeoutError, dns.DNSQueryTimeoutError, ConnectError, ConnectionLost, CannotListenError, OSError)


class Server:
    """One name server."""

    def __init__(self, address: tuple[str, int], timeout: float, reactor: Any) -> None:
        """
        @param address: IP address and port.
        @param timeout: seconds to wait for an answer.
        """
        self._timeout = timeout
        self._reactor = reactor
        self._overTCP = 0
        self._client = client.Resolver(servers=[address], timeout=(timeout,), reactor=reactor)

    @inlineCallbacks
    def ask(self, query: Any) -> Any:
        """@param query: L{dns.Query}.  @return: L{Deferred} of a L{dns.Message}."""
        message = yield self._client.queryUDP([query])
        if message.trunc:
            message = yield self._askTCP(query)
        return message

    @inlineCallbacks
    def _askTCP(self, query: Any) -> Any:
        """Over one connection for all questions of the moment.  It is not kept: one
        that died without a word would be used again and again."""
        self._overTCP += 1
        try:
            message = yield self._client.queryTCP([query], self._timeout).addTimeout(self._timeout, self._reactor)
        finally:
            self._overTCP -= 1
            for connection in [] if self._overTCP else tuple(self._client.connections):
                connection.transport.loseConnection()
        return message


class Servers:
    """All of them, in order."""

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[tuple[str, int]],
        timeout: float,
        attempts: int,
        resolvConf: str = RESOLV_CONF,
    ) -> None:
        """
        @param addresses: IP addresses and ports (0 is 53); with none, the file
            C{resolvConf} has them, and is read again when it changes.
        @param timeout: seconds to wait for one answer.
        @param attempts: how often each is asked.
        """
        self._reactor = reactor
        self._timeout = timeout
        self._attempts = attempts
        self._path = "" if addresses else resolvConf
        self._stamp: object = None
        self._looked = float("-inf")
        self._servers: list[Server] = []
        self._use(addresses)

    def ask(self, name: bytes, kind: int, twice: bool) -> Deferred[Any]:
        """Ask about a name.

        @param twice: "no such name" counts only when it is said a second time,
            by the next server where there is one.
        @return: L{Deferred} of a L{dns.Message} with the code NOERROR or
            NXDOMAIN that is about the question; fails with L{NoAnswer}.
        """
        if self._path:
            self._refresh()
        asked: Deferred[Any] = self._round(self._servers * self._attempts, name, kind, twice)
        return asked

    @inlineCallbacks
    def _round(self, servers: list[Server], name: bytes, kind: int, twice: bool) -> Any:
        denied = not twice
        for server in servers:
            try:
                message = yield server.ask(dns.Query(name, kind, dns.IN))
            except _TROUBLE:
                continue
            if message.trunc or message.rCode not in (dns.OK, dns.ENAME) or not isAbout(message, name, kind):
                continue
            if message.rCode == dns.ENAME and not denied:
                denied = True
                continue
            return message
        raise NoAnswer(name.decode("ascii", "backslashreplace"))

    # Which ones

    def _use(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._servers = [Server((host, port or dns.PORT), self._timeout, self._reactor) for host, port in addresses]

    def _refresh(self) -> None:
        """Read the file when it has changed; one that can't be read counts as no change."""
        now = self._reactor.seconds()
        if 0 <= now - self._looked < _FRESH:
            return
        self._looked = now
        try:
            status = os.stat(self._path)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            with open(self._path, encoding="ascii", errors="replace") as file:
                addresses = nameServers(file.read(1 << 16))
        except OSError:
            addresses, stamp = [], self._stamp  # type: ignore[assignment]
        if addresses or not self._servers:
            self._use([(address, dns.PORT) for address in addresses or ["127.0.0.1"]])
            self._stamp = stamp


def nameServers(text: str) -> list[str]:
    """The name servers of a resolv.conf(5), the first three as in the C library."""
    words = [line.split() for line in text.splitlines()]
    found = [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"]
    return [address for address in found if isIPAddress(address) or isIPv6Address(address)][:3]
