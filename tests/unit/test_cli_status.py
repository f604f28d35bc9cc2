"""Tests of `umbcmail.cli.statusparser`: whom it asks, what it makes of the answer, and its exit status."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.cli.command import Refusal
from umbcmail.cli.statusparser import PATIENCE, printStatus
from umbcmail.watch.pages import recordOf
from umbcmail.watch.picture import About, Part, Picture


def record(*parts: tuple[str, str]) -> dict[str, Any]:
    """What the program that runs answers, with these parts."""
    about = About("mx.y.test", "1.2", ("watch",), 0.0)
    return recordOf(Picture(about, 42, 100.0, tuple([Part(*part, ()) for part in parts]), ""))


class Transport(StringTransport):
    """One that can be cut."""

    def abortConnection(self) -> None:
        """Cut."""
        self.loseConnection()


class StatusTests(SynchronousTestCase):
    """The command, with a network in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.out = io.StringIO()

    def ask(self, *endpoints: str, asJSON: bool = False) -> Deferred[None]:
        """Begin to ask."""
        asked: Deferred[None] = printStatus(self.reactor, endpoints, self.out, asJSON)
        return asked

    def refused(self, asked: Deferred[None]) -> tuple[int, str]:
        """How it has ended: status and text."""
        why = self.failureResultOf(asked, Refusal).value
        assert isinstance(why, Refusal)
        return why.status, str(why)

    def answer(self, body: bytes, code: int = 200, at: int = -1) -> bytes:
        """Answer one connection, and close it.  @return: what was asked."""
        protocol: Any = self.reactor.tcpClients[at][2].buildProtocol(None)
        transport = Transport()
        protocol.makeConnection(transport)
        protocol.dataReceived(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body)
        protocol.connectionLost(Failure(ConnectionDone()))
        return transport.value()

    def refuse(self, at: int = -1) -> None:
        """Nobody is there."""
        self.reactor.tcpClients[at][2].clientConnectionFailed(None, Failure(ConnectionRefusedError(111)))

    def test_well(self) -> None:
        """The text, and no error; one GET of /status, without anything of the machine."""
        asked = self.ask("tcp:8025:interface=127.0.0.2")
        self.assertEqual(self.reactor.tcpClients[0][:2], ("127.0.0.2", 8025))
        request = self.answer(json.dumps(record(("spool", ""))).encode())
        self.assertTrue(request.startswith(b"GET /status HTTP/1.1\r\n"), request)
        self.assertIsNone(self.successResultOf(asked))
        self.assertTrue(self.out.getvalue().startswith("status: ok\nhost: mx.y.test\n"))

    def test_json(self) -> None:
        """As it came, in one line."""
        asked = self.ask("tcp:8025", asJSON=True)
        self.answer(json.dumps(record(("spool", ""))).encode())
        self.successResultOf(asked)
        self.assertEqual(json.loads(self.out.getvalue()), record(("spool", "")))
        self.assertEqual(self.out.getvalue().count("\n"), 1)

    def test_degraded(self) -> None:
        """1, after the text; the parts are named."""
        asked = self.ask("tcp:8025")
        self.answer(json.dumps(record(("spool", "full"), ("log", ""), ("dns", "away"))).encode())
        self.assertEqual(self.refused(asked), (1, "degraded: spool, dns"))
        self.assertTrue(self.out.getvalue().startswith("status: degraded\n"))

    def test_nextPlace(self) -> None:
        """Where nobody answers, or somebody else does, the next endpoint is asked; the last error names all."""
        asked = self.ask("tcp:1", "tcp:2", "systemd:domain=INET:index=0", "tcp:3")
        self.refuse()
        self.answer(b"{}")
        self.answer(json.dumps(record()).encode())
        self.successResultOf(asked)
        self.assertEqual([client[1] for client in self.reactor.tcpClients], [1, 2, 3])
        asked = self.ask("tcp:1", "tcp:2", "tcp:3")
        self.refuse()
        self.answer(b"nothing", 404)
        self.answer(b"{}")
        text = (
            "not running: 127.0.0.1:1: Connection refused; 127.0.0.1:2: the answer is 404; "
            "127.0.0.1:3: this is not umbcmail"
        )
        self.assertEqual(self.refused(asked), (75, text))

    def test_nonsense(self) -> None:
        """What is no record of ours is not printed."""
        deep = b"[" * 100_000
        for body in (b"", b"null", b"[]", b"{", b"\xff", deep, json.dumps({**record(), "parts": [7]}).encode()):
            asked = self.ask("tcp:8025")
            self.answer(body)
            self.assertEqual(self.refused(asked), (75, "not running: 127.0.0.1:8025: this is not umbcmail"))
        self.assertEqual(self.out.getvalue(), "")

    def test_noHTTP(self) -> None:
        """Somebody who speaks something else."""
        asked = self.ask("tcp:25")
        protocol: Any = self.reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(Transport())
        protocol.dataReceived(b"220 mx.y.test ESMTP\r\n")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.refused(asked), (75, "not running: 127.0.0.1:25: no answer that makes sense"))

    def test_silent(self) -> None:
        """Who says nothing, and who stops in the middle, is waited for only so long."""
        for octets in (b"", b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{"):
            asked = self.ask("tcp:8025")
            protocol: Any = self.reactor.tcpClients[-1][2].buildProtocol(None)
            protocol.makeConnection(Transport())
            if octets:
                protocol.dataReceived(octets)
            self.assertNoResult(asked)
            self.reactor.advance(PATIENCE)
            self.assertEqual(self.refused(asked), (75, "not running: 127.0.0.1:8025: no answer in time"))

    def test_noWay(self) -> None:
        """78: nothing is configured, or nothing that says where it is."""
        self.assertEqual(self.refused(self.ask()), (78, "watch.listen is not set, so nobody can be asked"))
        found = self.refused(self.ask("systemd:domain=INET:index=0"))
        self.assertEqual(found, (78, "watch.listen: no way is known to systemd:domain=INET:index=0"))
