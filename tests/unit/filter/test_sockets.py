"""Tests of L{umbcmail.filter.sockets} and L{umbcmail.filter.settings}."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.chains import makeFilters
from umbcmail.config import ConfigError, load
from umbcmail.filter.settings import FilterTerms, filterTerms
from umbcmail.filter.sockets import Socket, socketAddress
from umbcmail.findings import Findings
from umbcmail.sections import sections

GOOD = {
    "unix:/run/x.sock": ("/run/x.sock", "", 0),
    "local:/run/x": ("/run/x", "", 0),
    "inet:8891@localhost": ("", "localhost", 8891),
    "inet:8891@192.0.2.1": ("", "192.0.2.1", 8891),
    "inet6:8891@2001:db8::1": ("", "2001:db8::1", 8891),
    "inet:8891": ("", "localhost", 8891),
    "inet:filter.y.test:8891": ("", "filter.y.test", 8891),
    "inet:[2001:db8::1]:8891": ("", "2001:db8::1", 8891),
    "tcp:127.0.0.1:8891": ("", "127.0.0.1", 8891),
}
BAD = (
    "",
    "x",
    "unix:x",
    "unix:",
    "/run/x",
    "inet:",
    "inet:localhost",
    "inet:70000@localhost",
    "inet:1@",
    "tcp:a b:1",
    "udp:h:1",
    7,
)


class SocketTests(SynchronousTestCase):
    """Where filters listen."""

    def test_spellings(self) -> None:
        """Those of Sendmail, Postfix and Twisted."""
        for text, (path, host, port) in GOOD.items():
            self.assertEqual(socketAddress(text), Socket(text, path, host, port))
        for wrong in BAD:
            self.assertRaises(ValueError, socketAddress, wrong)

    def test_connect(self) -> None:
        """To each kind; what fails, or is given up, is told."""
        reactor: Any = MemoryReactorClock()
        socketAddress("unix:/x").connect(reactor, Protocol(), 7)
        self.assertEqual(reactor.unixClients[0][0], "/x")
        failed = socketAddress("inet:25@localhost").connect(reactor, Protocol(), 7)
        host, port, factory, timeout, _ = reactor.tcpClients[0]
        self.assertEqual((host, port, timeout), ("127.0.0.1", 25, 7))
        factory.clientConnectionFailed(reactor.connectors[1], _failure())
        self.failureResultOf(failed, OSError)
        given = socketAddress("inet6:25@2001:db8::1").connect(reactor, Protocol(), 7)
        given.cancel()
        self.assertTrue(reactor.connectors[2].stoppedConnecting)
        self.failureResultOf(given)


def _failure() -> Any:
    from twisted.python.failure import Failure

    return Failure(OSError("no"))


class SettingsTests(SynchronousTestCase):
    """What holds for the filters of an agent."""

    def terms(self, word: str, *sets: str) -> FilterTerms:
        """Of a filter of the delivery agent."""
        config = load(sections(), None, sets)
        return filterTerms(word, config.section, config.section("agent.delivery"), config.names("milter.*"))

    def test_defaults(self) -> None:
        """A bare socket has the defaults, and the policies of its agent."""
        terms = self.terms("unix:/x")
        self.assertEqual((terms.down, terms.slow, terms.broken), ("delay", "delay", "delay"))
        self.assertEqual((terms.connect, terms.command, terms.content, terms.message), (30, 30, 300, 540))
        terms = self.terms("unix:/x", "agent.delivery.filter-down=accept", "agent.delivery.filter-broken=refuse")
        self.assertEqual((terms.down, terms.slow, terms.broken), ("accept", "accept", "refuse"))
        relay = load(sections(), None, ()).section("agent.relay")
        self.assertEqual((relay["filter-down"], relay["filter-slow"]), ("accept", None))

    def test_section(self) -> None:
        """A name has its own settings before those of the agent."""
        sets = (
            "milter.av.socket=unix:/y",
            "milter.av.slow=quarantine",
            "milter.av.content-timeout=7s",
            "agent.delivery.filter-slow=accept",
        )
        terms = self.terms("av", *sets)
        self.assertEqual((terms.name, terms.socket.path, terms.content), ("av", "/y", 7))
        self.assertEqual((terms.down, terms.slow, terms.broken), ("delay", "quarantine", "delay"))

    def test_mistakes(self) -> None:
        """A name without a section, and a socket that is none, are told all at once, with the
        key; a section needs a socket."""
        sets = ('agent.delivery.filters=["avv", "unix:x", "av"]', "milter.av.socket=unix:/y")
        findings = Findings(load(sections(), None, sets))
        self.assertIsNone(makeFilters(findings, None, "delivery", None))
        texts = [str(problem) for problem in findings.problems]
        self.assertEqual(len(texts), 2, texts)
        self.assertTrue(all("agent.delivery.filters" in text for text in texts))
        self.assertIn("av", texts[0])
        self.assertRaises(ConfigError, load, sections(), None, ("milter.av.down=delay",))
