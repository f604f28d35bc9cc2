"""L{umbcmail.send.callahead} and L{umbcmail.send.question}: the next hop is asked first."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.send.fakehop import EXTENDED, HOP, HOP2, Link, World
from umbcmail.destination import Route
from umbcmail.envelope import Recipient
from umbcmail.interfaces import IAsker, IRecipientCheck, IRouter, IWatched
from umbcmail.reply import NO_ROUTE_YET, RECIPIENT_YET, Reply
from umbcmail.send.callahead import CALL_AHEAD, CallAhead
from umbcmail.send.courier import Courier
from umbcmail.send.lmtp import LMTPCourier
from umbcmail.send.smtp import SMTPCourier

ANN = Recipient("Ann@y.test", "NEVER", "rfc822;x@y.test")
PLAIN = b"250 mx1\r\n"


@implementer(IRouter)
class OneWay:
    """All mail goes one way."""

    def __init__(self, route: Any) -> None:
        self._route = route

    def classify(self, domain: str) -> str:
        """See L{IRouter}."""
        return "internal"

    def route(self, domain: str, queue: str) -> Any:
        """See L{IRouter}."""
        return self._route


class CallAheadCase(SynchronousTestCase):
    """A next hop that is asked."""

    def make(self, kind: type[Courier] = SMTPCourier, route: Any = None, **values: Any) -> CallAhead:
        """What asks."""
        self.world = World(kind)
        settings = {o.name: o.kind.parse(o.default) for o in CALL_AHEAD.options}
        settings.update(values)
        way = route if route is not None else Route("smtp", (HOP, HOP2))
        self.ahead = CallAhead(
            settings,
            {"y.test": True}.get,
            OneWay(way),
            {"smtp": self.world.courier},
            self.world.log,
            self.world.reactor,
        )
        return self.ahead

    def ask(self, recipient: Recipient = ANN, sender: str = "s@z.test") -> list[Reply | None]:
        """What is answered; empty as long as that is not known."""
        found: list[Reply | None] = []
        said = self.ahead.check(sender, recipient)
        if isinstance(said, Deferred):
            said.addCallback(found.append)
        else:
            found.append(said)
        return found

    def counts(self) -> dict[str, float]:
        """What has been counted."""
        return {dict(f.labels)["answer"]: f.value for f in self.ahead.figures() if f.name == "call_ahead_total"}


class QuestionTests(CallAheadCase):
    """What is said to the next hop."""

    def test_interfaces(self) -> None:
        """A check that tells how it is; couriers that can ask."""
        verifyObject(IRecipientCheck, self.make())
        verifyObject(IWatched, self.ahead)
        verifyObject(IAsker, self.world.courier)

    def test_pipelined(self) -> None:
        """MAIL from the null sender and RCPT in one write, no DATA, no parameters; then
        RSET, and the connection carries the next message."""
        self.make()
        found = self.ask()
        link, said = self.world.opened()
        self.assertEqual(said, b"MAIL FROM:<>\r\nRCPT TO:<Ann@y.test>\r\n")
        self.assertEqual(link.answer(b"250 ok\r\n250 2.1.5 ok\r\n"), b"RSET\r\n")
        self.assertEqual(found, [None])
        self.assertEqual(link.answer(b"250 ok\r\n"), b"")
        self.world.deliver("bob@y.test")
        self.assertTrue(link.said().startswith(b"MAIL FROM:<me@example.org> SIZE="))

    def test_oneByOne(self) -> None:
        """Without PIPELINING, and without 8BITMIME."""
        self.make()
        found = self.ask()
        link, said = self.world.opened(PLAIN)
        self.assertEqual(said, b"MAIL FROM:<>\r\n")
        self.assertEqual(link.answer(b"250 ok\r\n"), b"RCPT TO:<Ann@y.test>\r\n")
        self.assertEqual(link.answer(b"550 5.1.1 Nobody\r\n"), b"RSET\r\n")
        self.assertEqual(found, [Reply(550, "5.1.1", ("Nobody",))])

    def test_lmtp(self) -> None:
        """By LMTP there is no other end to wait for."""
        self.make(LMTPCourier)
        found = self.ask()
        link, said = self.world.opened()
        self.assertEqual(said, b"MAIL FROM:<>\r\nRCPT TO:<Ann@y.test>\r\n")
        self.assertEqual(link.answer(b"250 ok\r\n550 5.1.1 Nobody\r\n"), b"RSET\r\n")
        self.assertEqual([reply.code for reply in found if reply is not None], [550])

    def test_mailRefused(self) -> None:
        """A host that does not want the null sender has said nothing of the recipient."""
        self.make()
        found = self.ask()
        link, _ = self.world.opened()
        link.answer(b"550 5.7.1 No bounces\r\n503 5.5.1 no\r\n")
        self.assertEqual((found, self.counts()["none"]), ([None], 1))
        self.assertEqual(self.world.tries(), [(HOP.address, 25)])

    def test_nextHop(self) -> None:
        """A hop that is down is passed over."""
        self.make()
        found = self.ask()
        self.world.refuse()
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n551 5.1.6 Gone\r\n")
        self.assertEqual(found, [Reply(551, "5.1.6", ("Gone",))])


class MemoryTests(CallAheadCase):
    """Answers are remembered."""

    def answer(self, reply: bytes) -> None:
        """The next connection says this to RCPT, and is closed."""
        link: Link
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n" + reply)
        link.lose()

    def test_both(self) -> None:
        """A yes for an hour, a no for ten minutes, whoever asks; the local part is taken
        as it is."""
        self.make()
        for reply, code, seconds in ((b"250 ok\r\n", None, 3600), (b"550 5.1.1 no\r\n", 550, 600)):
            self.ask()
            self.answer(reply)
            self.world.reactor.advance(seconds - 5)
            for sender in ("s@z.test", ""):
                [said] = self.ask(Recipient("Ann@Y.test"), sender)
                self.assertEqual(said.code if said is not None else None, code)
            self.assertEqual(self.ask(Recipient(f"ann{code}@y.test")), [])
            self.answer(b"250 ok\r\n")
            self.world.reactor.advance(10)
        self.assertEqual(self.ask(), [])
        self.assertEqual(self.counts(), {"yes": 3, "no": 1, "none": 0, "remembered": 4})

    def test_doubt(self) -> None:
        """ "Later" is no answer, and is asked again."""
        for doubt, said in (("accept", None), ("delay", RECIPIENT_YET)):
            self.make(doubt=doubt, route=Route("smtp", (HOP,)))
            for _ in range(2):
                found = self.ask()
                self.answer(b"450 4.2.0 Greylisted\r\n")
                self.assertEqual(found, [said])
            self.assertEqual(self.counts()["none"], 2)
            self.assertIn(b" call-ahead id=- recipient=<Ann@y.test> why=", self.world.logged())

    def test_bounded(self) -> None:
        """So many answers are remembered, and with none nothing is."""
        self.make(remembered=2)
        for name in "abc":
            self.ask(Recipient(f"{name}@y.test"))
            self.answer(b"250 ok\r\n")
        self.assertEqual([self.ask(Recipient(f"{name}@y.test")) for name in "abc"], [[], [None], [None]])
        self.make(known=0.0)
        self.ask()
        self.answer(b"250 ok\r\n")
        self.assertEqual(self.ask(), [])

    def test_together(self) -> None:
        """Who asks the same at the same time waits for the same answer."""
        self.make()
        found = [self.ask(), self.ask(), self.ask(Recipient("Ann@Y.TEST"))]
        self.assertEqual(len(self.world.tries()), 1)
        self.answer(b"550 5.1.1 no\r\n")
        self.assertEqual({reply for replies in found for reply in replies}, {Reply(550, "5.1.1", ("no",))})


class LimitTests(CallAheadCase):
    """It does not hold up the mail."""

    def test_others(self) -> None:
        """Nobody is asked about other domains, or by the null sender."""
        self.make()
        self.assertEqual(self.ask(Recipient("a@z.test")), [None])
        self.assertEqual(self.ask(sender=""), [None])
        self.assertEqual(self.world.tries(), [])

    def test_timeout(self) -> None:
        """A hop that is silent is not waited for, at whatever point, and its connection
        is closed."""
        for steps in range(4):
            self.make(doubt="delay")
            found = self.ask()
            if steps:
                link = self.world.link()
            if steps > 1:
                link.answer(b"220 mx1\r\n")
            if steps > 2:
                link.answer(EXTENDED)
            self.world.reactor.advance(9.5)
            self.assertEqual(found, [])
            self.world.reactor.advance(1)
            self.assertEqual(found, [RECIPIENT_YET])
            if steps > 2:
                self.assertTrue(link.isClosed())
            self.assertEqual(self.ask(), [])
            self.assertNotIn(b" bug ", self.world.logged())

    def test_silentRouter(self) -> None:
        """Likewise where the way can't be found; who else asks for it still gets it."""
        way: Deferred[Route] = Deferred()
        self.make(route=way)
        found = self.ask()
        self.world.reactor.advance(11)
        self.assertEqual(found, [None])
        way.callback(Route("smtp", (HOP,)))
        self.assertEqual((self.world.tries(), self.counts()["none"]), ([], 1))
        self.assertNotIn(b" bug ", self.world.logged())

    def test_noWay(self) -> None:
        """Where nobody can be asked the recipient is taken: whatever is wrong is told
        when it is tried."""
        for route in (Route("smtp", (), NO_ROUTE_YET), Route("smtp"), Route("maildir", (HOP,))):
            self.make(route=route)
            self.assertEqual(self.ask(), [None])
            self.assertEqual(self.counts()["none"], 1)

    def test_many(self) -> None:
        """So many questions at the same time; others get no answer at once."""
        self.make(questions=2, doubt="delay")
        self.assertEqual([self.ask(Recipient(f"{n}@y.test")) for n in range(3)], [[], [], [RECIPIENT_YET]])

    def test_bug(self) -> None:
        """A bug is no answer either."""
        self.make()
        self.patch(self.world.courier, "ask", lambda *args: fail(ZeroDivisionError("bug")))
        self.assertEqual(self.ask(), [None])
        self.assertIn(b" bug id=- where=call-ahead why=bug", self.world.logged())
        self.assertEqual([f.value for f in self.ahead.figures() if f.name == "call_ahead_waiting"], [0])

    def test_stopping(self) -> None:
        """While the courier stops there is no answer."""
        self.make()
        self.world.courier.stop()
        self.assertEqual(self.ask(), [None])
