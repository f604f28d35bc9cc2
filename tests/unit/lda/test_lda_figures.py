"""L{umbcmail.lda.figures} and C{asking}: how the agent is, for another process."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed
from umbcmail.lda import figures
from umbcmail.lda.asking import AskedAgent

FIGURES = [Figure("a_total", 3, "A.", (("result", "x"),), True), Figure("b", 1.5, "B.")]


class FigureTests(SynchronousTestCase):
    """The line that goes from one process to the other."""

    def test_roundTrip(self) -> None:
        """What is read is what was written, in one line of ASCII."""
        text = figures.write("not well: \u2026", FIGURES)
        self.assertTrue(text.isascii() and text.isprintable())
        self.assertEqual(("not well: \u2026", FIGURES), figures.read(text))

    def test_nonsense(self) -> None:
        """Anything else is told."""
        for text in ("", "x", "1", "[]", "{}", '{"figures": 1}', '{"figures": [[1]]}', '{"figures": [], "x": 1}'):
            self.assertRaises(ValueError, figures.read, text)


class AskTests(SynchronousTestCase):
    """Asked by its socket."""

    def setUp(self) -> None:
        """An agent that has been asked."""
        self.reactor = MemoryReactorClock()
        self.agent = AskedAgent("/run/lda", self.reactor)
        self.done = self.agent.refresh()

    def connect(self, *lines: str) -> bytes:
        """It answers.  @return: what it was asked."""
        path, factory, _, _ = self.reactor.unixClients[-1]
        self.assertEqual("/run/lda", path)
        protocol, transport = factory.buildProtocol(None), StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived("".join(f"{line}\r\n" for line in lines).encode())
        return transport.value()

    def test_well(self) -> None:
        """Its figures are those that it tells."""
        verifyObject(IRefreshed, self.agent)
        asked = self.connect("220 x LMTP", "250 " + figures.write("", FIGURES))
        self.successResultOf(self.done)
        self.assertEqual(b"XSTATUS\r\n", asked)
        self.assertEqual(("", FIGURES), (self.agent.condition(), list(self.agent.figures())))

    def test_refused(self) -> None:
        """Whatever else it says is no answer."""
        for lines in (["421 no"], ["220 x", "500 no"], ["220 x", "250 what"], ["220 x", "250 OK", "250 OK"]):
            done = self.agent.refresh()
            self.connect(*lines)
            self.successResultOf(done)
            self.assertIn("does not answer", self.agent.condition(), lines)
            self.assertEqual([], list(self.agent.figures()))

    def test_silent(self) -> None:
        """It is not waited for for long."""
        self.connect("220 x LMTP")
        self.assertNoResult(self.done)
        self.reactor.advance(2)
        self.successResultOf(self.done)
        self.assertIn("local mail waits", self.agent.condition())
