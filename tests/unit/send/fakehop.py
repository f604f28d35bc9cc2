"""A next hop for tests: what the courier connects to, without network or time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from umbcmail.content import MemoryContent
from umbcmail.destination import Hop
from umbcmail.envelope import Envelope, Recipient
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.send.courier import Courier

HOP = Hop("mx1.example.net", "192.0.2.1", 25)
HOP2 = Hop("mx2.example.net", "192.0.2.2", 25)
BODY = b"Subject: s\r\n\r\n.b\r\n"
EXTENDED = b"250-mx1\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"


class Transport(StringTransport):
    """Can be aborted, and takes note of TLS."""

    tlsWith: Any = None

    def startTLS(self, factory: Any, normal: bool = True) -> None:
        self.tlsWith = factory


class Link:
    """The server's end of one connection that the courier has made."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.client = factory.buildProtocol(None)
        self.client.makeConnection(self.transport)

    def said(self) -> bytes:
        """What the client has sent since the last question."""
        said = self.transport.value()
        self.transport.clear()
        return said

    def answer(self, octets: bytes) -> bytes:
        """Send to the client; what it says to that."""
        self.client.dataReceived(octets)
        return self.said()

    def lose(self) -> None:
        """The connection ends."""
        self.client.connectionLost(Failure(ConnectionDone()))

    def isClosed(self) -> bool:
        """The client has closed it."""
        return bool(self.transport.disconnecting)

    def greet(self, hello: bytes = EXTENDED) -> bytes:
        """Greeting and EHLO; what the client says first after them."""
        self.answer(b"220 mx1 ESMTP\r\n")
        return self.answer(hello)


class World:
    """A courier and the next hops around it.

    @param kind: class of the courier.
    @param policy: of L{ITLSPolicy}.
    @param hosts: of L{IHosts}.
    """

    def __init__(self, kind: type[Courier], policy: Any = None, hosts: Any = None, **settings: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.reactor)
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        self.courier = kind(self.reactor, self.log, "us.example.org", named, policy=policy, hosts=hosts)
        self._seen = 0

    def logged(self) -> bytes:
        """The log."""
        self.log.flush()
        return b"".join(self.lines)

    def deliver(
        self, *addresses: str | Recipient, hops: tuple[Hop, ...] = (HOP,), content: Any = None, **envelope: Any
    ) -> Outcomes:
        """Begin an attempt."""
        given_ = addresses or ("ann@example.net",)
        recipients = [each if isinstance(each, Recipient) else Recipient(each) for each in given_]
        given: dict[str, Any] = {"sender": "me@example.org", "arrived": 0.0, **envelope}
        whole = Envelope(id="m1", recipients=tuple(recipients), **given)
        return Outcomes(self.courier.deliver(whole, content or MemoryContent(BODY), recipients, hops))

    def tries(self) -> list[tuple[str, int]]:
        """Where connections have been asked for, all in all."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def link(self) -> Link:
        """The next connection that has been asked for is made."""
        factory = self.reactor.tcpClients[self._seen][2]
        self._seen += 1
        return Link(factory)

    def refuse(self) -> None:
        """The next connection that has been asked for is refused."""
        factory = self.reactor.tcpClients[self._seen][2]
        self._seen += 1
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def opened(self, hello: bytes = EXTENDED) -> tuple[Link, bytes]:
        """The next connection, greeted; and what the client says then."""
        link = self.link()
        return link, link.greet(hello)


class Outcomes:
    """The result of an attempt."""

    def __init__(self, deferred: Deferred[list[Outcome]]) -> None:
        self.got: list[Outcome] | None = None
        deferred.addCallback(self._keep)

    def _keep(self, outcomes: list[Outcome]) -> None:
        assert self.got is None
        self.got = outcomes

    def __iter__(self) -> Any:
        assert self.got is not None, "not delivered yet"
        return iter(self.got)

    @property
    def codes(self) -> list[int]:
        """The codes of the replies."""
        return [outcome.reply.code for outcome in self]

    @property
    def one(self) -> Outcome:
        """The only outcome."""
        (outcome,) = self
        return outcome
