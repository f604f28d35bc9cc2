"""L{umbcmail.lda.forwards}: the mail system asks what users have in C{.forward}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.aliases import DontKnow
from umbcmail.interfaces import IForwards
from umbcmail.lda.forwards import IDLE, LINKS, Forwards


class Link:
    """A connection that was asked for, at the side of the agent."""

    def __init__(self, factory: Any) -> None:
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def say(self, *lines: str) -> str:
        """The agent says something.  @return: what is said then."""
        self.transport.clear()
        self.protocol.dataReceived("".join(f"{line}\r\n" for line in lines).encode())
        return self.transport.value().decode()

    def answer(self) -> None:
        """Say that there is no file, to what has been asked last."""
        if "XEXPAND" in self.transport.value().decode():
            self.say("250 NONE")

    def lose(self) -> None:
        """It is gone."""
        self.protocol.connectionLost(Failure(ConnectionRefusedError()))


class ForwardsTests(SynchronousTestCase):
    """Questions and answers."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.reactor = MemoryReactorClock()
        self.forwards = Forwards("/run/lda", 25.0, self.reactor)
        self.forwards.startService()

    def link(self, number: int = 0) -> Link:
        """A connection that was asked for."""
        path, factory, *_ = self.reactor.unixClients[number]
        self.assertEqual("/run/lda", path)
        return Link(factory)

    def unknown(self, asked: Deferred[Any], why: str) -> None:
        """A question can't be answered."""
        self.assertIn(why, str(self.failureResultOf(asked, DontKnow).value))

    def test_answers(self) -> None:
        """A file, none, no such user; by one connection, one after the other."""
        self.assertTrue(verifyObject(IForwards, self.forwards))
        first = self.forwards.forwardOf("ann@y.test")
        link = self.link()
        self.assertEqual("XEXPAND <ann@y.test>\r\n", link.say("220 mx LMTP"))
        self.assertEqual("", link.say("250-FORWARD", "250-YUB6LnRl"))
        second = self.forwards.forwardOf("bob@y.test")
        self.assertEqual("XEXPAND <bob@y.test>\r\n", link.say("250 c3QK"))
        self.assertEqual("a@z.test\n", self.successResultOf(first))
        link.say("250 NONE")
        self.assertIsNone(self.successResultOf(second))
        third = self.forwards.forwardOf("nobody@y.test")
        link.say("550 5.1.1 No")
        self.assertIsNone(self.successResultOf(third))

    def test_unknown(self) -> None:
        """All else is no answer."""
        self.forwards.forwardOf("ann@y.test")
        link = self.link()
        link.say("220 x", "250 NONE")
        for said in ("451 4.2.0 Later", "250 FORWARD x", "250 what", "500 5.5.2 What", "421 4.3.2 Stopping"):
            asked = self.forwards.forwardOf("ann@y.test")
            link.say(said)
            self.unknown(asked, "the local delivery agent says")
        asked = self.forwards.forwardOf("ann@y.test")
        link.say("250-FORWARD", "250 %%%")
        self.unknown(asked, "makes no sense")

    def test_refused(self) -> None:
        """Nobody listens."""
        asked = self.forwards.forwardOf("ann@y.test")
        factory = self.reactor.unixClients[0][1]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.unknown(asked, "the local delivery agent: ")
        self.forwards.forwardOf("ann@y.test")
        self.assertEqual(2, len(self.reactor.unixClients))

    def test_lost(self) -> None:
        """The agent hangs up, or is turned away."""
        for lines in ((), ("421 4.7.1 Access denied",)):
            self.setUp()
            asked = self.forwards.forwardOf("ann@y.test")
            link = self.link()
            link.say(*lines)
            link.lose()
            self.unknown(asked, "has hung up")

    def test_late(self) -> None:
        """No answer in time; an answer that comes later is for nobody, and the next one is right."""
        asked = self.forwards.forwardOf("ann@y.test")
        link = self.link()
        link.say("220 x")
        self.reactor.advance(25)
        self.unknown(asked, "within 25 seconds")
        again = self.forwards.forwardOf("bob@y.test")
        other = self.link(1)
        other.say("220 x")
        link.say("250 NONE")
        self.assertNoResult(again)
        other.say("250-FORWARD", "250 YUB6LnRlc3QK")
        self.assertEqual("a@z.test\n", self.successResultOf(again))

    def test_many(self) -> None:
        """Only so many connections; the rest waits its turn."""
        asked = [self.forwards.forwardOf(f"u{number}@y.test") for number in range(LINKS + 5)]
        links = []
        while len(links) < len(self.reactor.unixClients):
            links.append(self.link(len(links)))
        self.assertEqual(LINKS, len(links))
        for link in links:
            link.say("220 x")
        for _ in range(2):
            for link in links:
                link.answer()
        self.assertEqual([None] * len(asked), [self.successResultOf(each) for each in asked])

    def test_idle(self) -> None:
        """Connections that nobody needs are closed, after a while or at the end."""
        self.forwards.forwardOf("ann@y.test")
        link = self.link()
        link.say("220 x", "250 NONE")
        self.reactor.advance(IDLE)
        self.assertTrue(link.transport.disconnecting)
        link.lose()
        self.reactor.advance(IDLE)
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.forwards.forwardOf("ann@y.test")
        link = self.link(1)
        link.say("220 x", "250 NONE")
        self.forwards.stopService()
        self.assertTrue(link.transport.disconnecting)

    def test_nonsense(self) -> None:
        """Answers without end, and addresses that are none."""
        asked = self.forwards.forwardOf("ann@y.test")
        link = self.link()
        link.say("220 x", *["250-x"] * 200)
        self.assertTrue(link.transport.disconnecting)
        link.lose()
        self.unknown(asked, "hung up")
        self.assertIsNone(self.successResultOf(self.forwards.forwardOf("a\r\nQUIT@y.test")))
