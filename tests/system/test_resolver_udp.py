"""L{umbcmail.route.resolver} against a real name server on loopback."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import fail, inlineCallbacks
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.names import authority, common, dns, server
from twisted.names.error import DomainError
from twisted.trial.unittest import TestCase

from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.route.resolver import DNSResolver

assert IReactorTime.providedBy(reactor)

SOA = dns.Record_SOA(b"ns.y.test", b"admin.y.test", 1, 60, 60, 60, minimum=60, ttl=60)


class Zone(authority.FileAuthority):
    """C{y.test}, as records and not as a file."""

    def loadFile(self, filename: Any) -> None:
        """The records."""
        self.soa = (b"y.test", SOA)
        self.records = {
            b"y.test": [SOA, dns.Record_MX(20, b"b.y.test", ttl=60), dns.Record_MX(10, b"A.y.test", ttl=60)],
            b"a.y.test": [dns.Record_A("192.0.2.1", ttl=60), dns.Record_AAAA("2001:db8::1", ttl=60)],
            b"b.y.test": [dns.Record_CNAME(b"a.y.test", ttl=60)],
            b"null.y.test": [dns.Record_MX(0, b"", ttl=60)],
            b"big.y.test": [dns.Record_MX(n, f"host-{n}.big.y.test".encode(), ttl=60) for n in range(200)],
        }
        self.records[b"large.y.test"] = self.records[b"big.y.test"]


class Broken(common.ResolverBase):
    """Can't answer."""

    def query(self, query: Any, timeout: Any = None) -> Any:
        """A fault, but for C{y.test}."""
        if query.name.name.lower().endswith(b"y.test"):
            return fail(DomainError())
        return fail(ZeroDivisionError())


class ResolverUDPTests(TestCase):
    """Questions over real sockets."""

    timeout = 20

    def setUp(self) -> None:
        factory = server.DNSServerFactory(authorities=[Broken(), Zone("y.test")])
        factory.noisy = False
        self.protocol = dns.DNSDatagramProtocol(factory)
        # The same number must be free for both; the one for TCP is chosen first, since more programs use TCP.
        for _ in range(50):
            self.tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
            port = self.tcp.getHost().port
            try:
                self.udp = reactor.listenUDP(port, self.protocol, interface="127.0.0.1", maxPacketSize=65535)  # type: ignore[attr-defined]
                break
            except CannotListenError:
                self.tcp.stopListening()
        self.factory = factory
        self.addCleanup(self.udp.stopListening)
        self.addCleanup(self.tcp.stopListening)
        self.resolver = DNSResolver(reactor, [("127.0.0.1", port)], timeout=0.3)

    @inlineCallbacks
    def test_answers(self) -> Any:
        """All kinds of answers, from a server that is not ours."""
        ask = self.resolver
        self.assertEqual([(10, "a.y.test"), (20, "b.y.test")], (yield ask.mailExchanges("y.test")))
        self.assertEqual(["192.0.2.1", "2001:db8::1"], (yield ask.addresses("a.y.test")))
        self.assertEqual(["192.0.2.1", "2001:db8::1"], (yield ask.addresses("b.y.test")))
        self.assertEqual([(0, "")], (yield ask.mailExchanges("null.y.test")))
        self.assertEqual([], (yield ask.mailExchanges("a.y.test")))
        yield self.assertFailure(ask.mailExchanges("gone.y.test"), NoSuchName)
        yield self.assertFailure(ask.addresses("gone.y.test"), NoSuchName)

    @inlineCallbacks
    def test_truncated(self) -> Any:
        """200 mail hosts come over TCP, several questions by one connection, which
        is closed again."""
        several = [self.resolver.mailExchanges(name) for name in ("big.y.test", "large.y.test")]
        for each in several:
            found = yield each
            self.assertEqual([(n, f"host-{n}.big.y.test") for n in range(50)], found)
        yield deferLater(reactor, 0.1)
        self.assertEqual([], self.factory.connections)

    @inlineCallbacks
    def test_serverError(self) -> Any:
        """A server with a fault of its own (SERVFAIL) does not know."""
        yield self.assertFailure(self.resolver.mailExchanges("broken.test"), NoAnswer)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    @inlineCallbacks
    def test_silence(self) -> Any:
        """A server that does not answer does not know, in the time that was set."""
        deaf = reactor.listenUDP(0, dns.protocol.DatagramProtocol(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(deaf.stopListening)
        started = reactor.seconds()  # type: ignore[attr-defined]
        asked = DNSResolver(reactor, [("127.0.0.1", deaf.getHost().port)], timeout=0.1)
        yield self.assertFailure(asked.mailExchanges("y.test"), NoAnswer)
        self.assertLess(reactor.seconds() - started, 5)  # type: ignore[attr-defined]

    @inlineCallbacks
    def test_secondServer(self) -> Any:
        """When the first server is silent the second one is asked."""
        deaf = reactor.listenUDP(0, dns.protocol.DatagramProtocol(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(deaf.stopListening)
        servers = [("127.0.0.1", deaf.getHost().port), ("127.0.0.1", self.udp.getHost().port)]
        found = yield DNSResolver(reactor, servers, timeout=0.1).mailExchanges("y.test")
        self.assertEqual(2, len(found))
