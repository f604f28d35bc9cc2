"""A connection from a load balancer, until its PROXY header has come.

Made by `factory` for peers that are listed as balancers: these must say whom they
speak for before anything else, TLS included.  Then the session takes its place at
the transport.  What is no header, or does not come in time, ends the connection
without a word, as the protocol asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from umbcmail.accept.proxy import ProxyError, ProxyHeader, parseProxy
from umbcmail.maillog import MailLog


class Arrival(Protocol):
    """Reads the header.

    @ivar balancer: address of the peer.
    """

    transport: Any

    def __init__(
        self,
        balancer: str,
        clock: IReactorTime,
        log: MailLog,
        patience: float,
        admit: Callable[[Arrival, ProxyHeader], Protocol],
        ended: Callable[[Arrival], None],
    ) -> None:
        """
        @param patience: seconds that the header may take.
        @param admit: makes the protocol that goes on, when the header is there;
            the arrival counts no more.
        @param ended: called instead of C{admit} when there is none.
        """
        self.balancer = balancer
        self._clock = clock
        self._log = log
        self._patience = patience
        self._admit = admit
        self._ended = ended
        self._data = b""
        self._isOver = False
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """The header is due from now on."""
        self._timer = self._clock.callLater(self._patience, self._refuse, "no PROXY header in time")

    def dataReceived(self, data: bytes) -> None:
        """Some octets; those behind the header are the client's."""
        if self._isOver:
            return
        self._data += data
        try:
            header = parseProxy(self._data)
        except ProxyError as why:
            self._refuse(str(why))
            return
        if header is None:
            return
        self._finish()
        rest, self._data = self._data[header.length :], b""
        protocol = self._admit(self, header)
        transport = self.transport
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest:
            # Where TLS comes first it has put itself in between by now.
            transport.protocol.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The balancer has gone before it has said anything (some check health so)."""
        if not self._isOver:
            self._finish()
            self._ended(self)

    def _refuse(self, why: str) -> None:
        self._log.unproxied(self.balancer, why)
        self._finish()
        self._ended(self)
        self.transport.abortConnection()

    def _finish(self) -> None:
        self._isOver = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def cut(self) -> None:
        """The service is being stopped."""
        if not self._isOver:
            self._finish()
            self._ended(self)
            self.transport.abortConnection()
