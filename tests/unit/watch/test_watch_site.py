"""Tests of `umbcmail.watch.site` and `service`: HTTP with whatever a peer sends."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeLog
from umbcmail.watch.picture import About, Part, Picture
from umbcmail.watch.process import Lag
from umbcmail.watch.service import WatchService
from umbcmail.watch.site import CONNECTIONS, LIFE, StatusSite


class FakeBoard:
    """Gives the picture that a test wants."""

    def __init__(self) -> None:
        self.condition = ""
        self.waits: Deferred[Picture] | None = None
        self.looks = 0

    def picture(self) -> Picture:
        """One part."""
        about = About("mx.y.test", "1.2", ("watch",), 0.0)
        return Picture(about, 1, 100.0, (Part("spool", self.condition, ()),), self.condition)

    def look(self) -> Deferred[Picture]:
        """See L{Board.look}."""
        self.looks += 1
        return self.waits or succeed(self.picture())


class Transport(StringTransport):
    """One that can be cut, and tells the protocol when it ends."""

    isCut = False

    def abortConnection(self) -> None:
        """Cut."""
        self.isCut = True


class SiteCase(SynchronousTestCase):
    """A site, and connections to it."""

    def setUp(self) -> None:
        """All of it in memory."""
        self.reactor = MemoryReactorClock()
        self.board = FakeBoard()
        self.log = FakeLog()
        self.site = StatusSite(self.board, self.log, self.reactor)  # type: ignore[arg-type]

    def connect(self) -> tuple[Any, Transport]:
        """A connection."""
        protocol: Any = self.site.buildProtocol(None)
        transport = Transport()
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, octets: bytes) -> tuple[int, dict[str, str], bytes]:
        """What comes back: code, fields and body."""
        protocol, transport = self.connect()
        protocol.dataReceived(octets)
        answer = transport.value()
        self.assertTrue(transport.disconnecting or transport.isCut, answer)
        protocol.connectionLost(Failure(ConnectionDone()))
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, _, v in (f.partition(": ") for f in fields)}, body

    def get(self, path: str, *fields: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Ask for a page."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *fields, "", ""]
        return self.ask("\r\n".join(lines).encode())


class PagesTests(SiteCase):
    """What is answered."""

    def test_status(self) -> None:
        """JSON."""
        code, fields, body = self.get("/status")
        self.assertEqual((code, fields["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(body)["status"], "ok")
        self.board.condition = "full"
        code, _, body = self.get("/status?x=y")
        self.assertEqual((code, json.loads(body)["status"]), (200, "degraded"))

    def test_people(self) -> None:
        """HTML for browsers, text for others."""
        code, fields, body = self.get("/", "Accept: text/html,*/*;q=0.8")
        self.assertEqual((code, fields["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(body.startswith(b"<!DOCTYPE html>"))
        code, fields, body = self.get("/", "Accept: */*")
        self.assertEqual((code, fields["content-type"]), (200, "text/plain; charset=utf-8"))
        self.assertTrue(body.startswith(b"status: ok\n"))

    def test_metrics(self) -> None:
        """In the format that is wanted, and said so."""
        code, fields, body = self.get("/metrics")
        self.assertEqual((code, fields["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertIn(b"\numbcmail_ready 1.0\n", body)
        code, fields, body = self.get("/metrics", "Accept: application/openmetrics-text;version=1.0.0")
        self.assertEqual(fields["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertEqual(len(list(openMetrics(body.decode()))), 3)

    def test_health(self) -> None:
        """Ready as long as mail can be accepted; alive without a look at anything."""
        for path in ("/health", "/ready"):
            self.assertEqual(self.get(path)[0], 200)
        self.board.condition = "full"
        for path in ("/health", "/ready"):
            code, _, body = self.get(path)
            self.assertEqual((code, body), (503, b"not ready\n"))
        looks, self.board.waits = self.board.looks, Deferred()
        self.assertEqual(self.get("/live")[0], 200)
        self.assertEqual(self.board.looks, looks)

    def test_head(self) -> None:
        """HEAD has the fields of GET, and no body."""
        for path in ("/", "/status", "/metrics", "/health", "/live", "/nothing"):
            code, fields, body = self.get(path)
            self.assertEqual(self.get(path, method="HEAD"), (code, fields, b""))
            self.assertEqual(fields["content-length"], str(len(body)))

    def test_unknown(self) -> None:
        """All else is not there, and nothing is made of names that look like ours."""
        for path in (
            "/x",
            "//",
            "/status/",
            "/Status",
            "/%73tatus",
            "/../status",
            "http://h/status",
            "/metrics/x",
        ):
            self.assertEqual(self.get(path)[0], 404, path)
        self.assertEqual(self.board.looks, 0)

    def test_methods(self) -> None:
        """GET and HEAD only, also for pages that there are not."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "GETS", "get"):
            for path in ("/", "/status", "/x"):
                code, fields, _ = self.get(path, method=method)
                self.assertEqual((code, fields["allow"]), (405, "GET, HEAD"), method)

    def test_fields(self) -> None:
        """Nothing is kept, sniffed, framed or referred to; nothing of the Host field comes back."""
        for path in ("/", "/status", "/nothing"):
            _, fields, body = self.get(path, "X-Forwarded-Host: evil.test", "Cookie: a=b")
            self.assertEqual((fields["connection"], fields["cache-control"]), ("close", "no-store"))
            self.assertEqual((fields["server"], fields["x-content-type-options"]), ("umbcmail", "nosniff"))
            self.assertIn("default-src 'none'", fields["content-security-policy"])
            self.assertNotIn(b"evil", body)
        for host in ("", "evil.test", "[", "a\tb"):
            answer = self.ask(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.assertEqual(answer[0], 200)
        self.assertEqual(self.ask(b"GET /health HTTP/1.0\r\n\r\n")[0], 200)

    def test_bug(self) -> None:
        """A bug is 500, logged, and nothing of it is told."""
        self.board.waits = Deferred()
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        self.board.waits.errback(ValueError("secret"))
        self.assertIn(b" 500 ", transport.value())
        self.assertNotIn(b"secret", transport.value())
        self.assertNotIn(b"Traceback", transport.value())
        self.assertEqual(len(self.log.bugs), 1)


class PeerTests(SiteCase):
    """Peers that are slow, many, or mad."""

    def test_body(self) -> None:
        """A body is not kept, however long it is said to be."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        for _ in range(50):
            protocol.dataReceived(b"x" * 100_000)
        self.assertEqual(protocol.requests[0].content.getvalue(), b"")
        self.reactor.advance(LIFE)
        self.assertTrue(transport.isCut)
        answer = self.ask(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(answer[0], 405)

    def test_header(self) -> None:
        """A header has its limits, in lines and in octets."""
        long = self.ask(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n")
        many = self.ask(b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 101 + b"\r\n")
        self.assertEqual((long[0], many[0], self.board.looks), (400, 400, 0))

    def test_slow(self) -> None:
        """Who sends a field now and then, and who does not read, is cut off all the same."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /status HTTP/1.1\r\n")
        for number in range(int(LIFE)):
            self.assertFalse(transport.isCut)
            protocol.dataReceived(b"X-%d: y\r\n" % number)
            self.reactor.advance(1.0)
        self.assertTrue(transport.isCut)
        silent = self.connect()[1]
        deaf, answered = self.connect()
        deaf.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(answered.value())
        self.reactor.advance(LIFE)
        self.assertTrue(silent.isCut and answered.isCut)

    def test_many(self) -> None:
        """There are only so many connections; one that ends makes room, and leaves nothing behind."""
        before = len(self.reactor.getDelayedCalls())
        protocols = [self.connect()[0] for _ in range(CONNECTIONS)]
        self.assertIsNone(self.site.buildProtocol(None))
        protocols.pop().connectionLost(Failure(ConnectionDone()))
        protocols.append(self.connect()[0])
        self.assertIsNone(self.site.buildProtocol(None))
        for protocol in protocols:
            protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.site.connections, len(self.reactor.getDelayedCalls())), (0, before))

    def test_goneWhileWaiting(self) -> None:
        """Who has gone before the answer is there gets none, and nothing breaks."""
        self.board.waits = Deferred()
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.board.waits.callback(self.board.picture())
        self.assertEqual((transport.value(), self.log.bugs), (b"", []))

    def test_pipelined(self) -> None:
        """One connection, one answer: what comes behind it is not looked at."""
        request = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"
        self.assertEqual(self.ask(request * 3)[2], b"alive\n")

    @settings(max_examples=200)
    @given(
        st.lists(st.sampled_from([b"GET ", b"/status", b" HTTP/1.1", b"\r\n", b"\0", b"Host: x", b":", b"\xff", b"a"]))
    )
    def test_garbage(self, pieces: list[bytes]) -> None:
        """Nothing that a peer sends raises, and the connection ends in time."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"".join(pieces))
        self.reactor.advance(LIFE)
        self.assertTrue(transport.isCut or transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.log.bugs, [])


class Log(FakeLog):
    """One that hears of ports too."""

    def __init__(self) -> None:
        FakeLog.__init__(self)
        self.heard: list[tuple[str, str]] = []

    def listening(self, port: str, address: str) -> None:
        """See L{MailLog.listening}."""
        self.heard.append((port, address))


class ServiceTests(SiteCase):
    """Ports."""

    def service(self, *endpoints: str) -> WatchService:
        """A service that listens there."""
        self.heard = Log()
        return WatchService(endpoints, self.site, Lag(self.reactor), self.heard, self.reactor)  # type: ignore[arg-type]

    def test_life(self) -> None:
        """All endpoints are bound at first, told at the start, and closed at the end."""
        service = self.service("tcp:8025:interface=127.0.0.1", "unix:/run/umbcmail/watch")
        service.privilegedStartService()
        self.assertEqual([server[0] for server in self.reactor.tcpServers], [8025])
        self.assertEqual([server[0] for server in self.reactor.unixServers], ["/run/umbcmail/watch"])
        service.startService()
        # The reactor in memory says so of every TCP port.
        self.assertEqual(
            self.heard.heard,
            [("watch.listen", "0.0.0.0:8025"), ("watch.listen", "unix:/run/umbcmail/watch")],
        )
        self.successResultOf(service.stopService())
        self.assertEqual((service.ports, self.reactor.getDelayedCalls()), ([], []))

    def test_notPrivate(self) -> None:
        """An address that others can reach is told in the log."""
        service = self.service("tcp:8025")
        service.privilegedStartService()
        service.startService()
        ((_, _, text),) = self.heard.troubles
        self.assertEqual(text, "watch.listen at 0.0.0.0: everybody who can reach it can read it")

    def test_neverStarted(self) -> None:
        """It can be stopped when it was only bound, and when it was not even that."""
        service = self.service("tcp:8025:interface=127.0.0.1")
        self.successResultOf(service.stopService())
        service.privilegedStartService()
        self.successResultOf(service.stopService())

    def test_cantBind(self) -> None:
        """What can't be bound is named."""
        why = self.assertRaises(ValueError, self.service("tcp:what").privilegedStartService)
        self.assertIn("watch.listen 'tcp:what': ", str(why))
