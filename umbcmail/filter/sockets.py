"""Where a filter listens, as operators of Sendmail, Postfix and Twisted write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from umbcmail.options import Kind, hostPort, word

_SENDMAIL = re.compile(r"([0-9]{1,5})(?:@(.+))?")


@dataclass(frozen=True, slots=True)
class Socket:
    """The address of a filter.

    @ivar text: as the operator has written it.
    @ivar path: of a UNIX socket, else C{""}.
    @ivar host: name or address.
    @ivar port: of TCP.
    """

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    def connect(self, reactor: Any, protocol: Protocol, timeout: float) -> Deferred[Any]:
        """Connect a protocol to it.

        @param timeout: seconds that this may take.
        @return: fails when it can't be made; may be cancelled until it is.
        """
        if not self.path and not self._isAddress():
            byName: Deferred[Any] = connectProtocol(HostnameEndpoint(reactor, self.host, self.port, timeout), protocol)
            return byName
        # Without an endpoint, which would write two lines to the program's log.
        factory = _Client(protocol)
        if self.path:
            factory.connector = reactor.connectUNIX(self.path, factory, timeout)
        else:
            factory.connector = reactor.connectTCP(self._address(), self.port, factory, timeout)
        return factory.failed

    def _address(self) -> str:
        return "127.0.0.1" if self.host == "localhost" else self.host

    def _isAddress(self) -> bool:
        return isIPAddress(self._address()) or isIPv6Address(self.host)


class _Plain(unix.Client):
    """Takes no descriptors of a filter, which halves the price of a read."""

    doRead = tcp.Connection.doRead  # type: ignore[assignment]


class _Client(ClientFactory):
    """Makes one connection.

    @ivar failed: fires when it can't be made; may be cancelled.
    @ivar connector: what makes it.
    """

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self.connector: Any = None
        self.failed: Deferred[None] = Deferred(lambda _: self.connector.stopConnecting())
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Protocol:
        """It stands, and says so itself."""
        transport = getattr(self.connector, "transport", None)
        if type(transport) is unix.Client:
            transport.__class__ = _Plain
        return self._protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """It can't be made."""
        if not self.failed.called:
            self.failed.errback(reason)


def socketAddress(value: Any) -> Socket:
    """C{unix:/path} or C{local:/path}; C{inet:port@host} or C{inet6:port@host} as in
    Sendmail; C{inet:host:port} as in Postfix; C{tcp:host:port}.

    @raise ValueError: it is none of these.
    """
    text = word(value)
    kind, colon, rest = text.partition(":")
    if colon and kind in ("unix", "local"):
        if not rest.startswith("/"):
            raise ValueError(f"{kind}: needs an absolute path behind it")
        return Socket(text, path=rest)
    if colon and kind in ("inet", "inet6", "tcp"):
        sendmail = _SENDMAIL.fullmatch(rest)
        if sendmail is not None:
            host = sendmail[2] or "localhost"
            rest = f"[{host}]:{sendmail[1]}" if ":" in host else f"{host}:{sendmail[1]}"
        host, port = hostPort(rest)
        if not port:
            raise ValueError(f"{text[:80]!r} has no port")
        return Socket(text, host=host, port=port)
    raise ValueError(f"{text[:80]!r} is not unix:/path, inet:port@host, inet:host:port or tcp:host:port")


SOCKET = Kind("a socket: unix:/path, inet:port@host, inet:host:port or tcp:host:port", socketAddress)
