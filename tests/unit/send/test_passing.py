"""The time that a message should be delivered by (RFC 2852), on its way out."""

from __future__ import annotations

from typing import Any

from fakehop import HOP, HOP2, Link, Outcomes, World
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.deliverby import DeliverBy
from umbcmail.envelope import Recipient
from umbcmail.send.commands import Extensions, parseExtensions
from umbcmail.send.lmtp import LMTPCourier
from umbcmail.send.passing import Passing
from umbcmail.send.smtp import SMTPCourier

TIMED = b"250-mx1\r\n250-DSN\r\n250-DELIVERBY 30\r\n250 PIPELINING\r\n"
PLAIN = b"250-mx1\r\n250-DSN\r\n250 PIPELINING\r\n"
READY = b"250 ok\r\n250 ok\r\n354 go\r\n"


class PassingTests(SynchronousTestCase):
    """What is said, without a conversation."""

    def parameter(self, until: float, now: float, returns: bool, isDelivery: bool = False, **offered: Any) -> Any:
        """The parameter, or the code of the refusal."""
        found = Passing(DeliverBy(until, returns), lambda: now).parameter(Extensions(**offered), isDelivery)
        return found if isinstance(found, bytes) else found.enhanced

    def test_left(self) -> None:
        """What is left, in whole seconds that are over sooner rather than later."""
        for until, wanted in (
            (1100.0, b" BY=100;N"),
            (1099.5, b" BY=99;N"),
            (1000.0, b" BY=0;N"),
            (999.5, b" BY=-1;N"),
        ):
            self.assertEqual(self.parameter(until, 1000.0, False, deliverBy=True), wanted)
        self.assertEqual(self.parameter(1e12, 0.0, False, deliverBy=True), b" BY=999999999;N")
        self.assertEqual(self.parameter(-1e12, 0.0, False, deliverBy=True), b" BY=-999999999;N")

    def test_returns(self) -> None:
        """Mode R is never passed on without time, nor to a hop that needs more."""
        for isDelivery in (True, False):
            for offered in (True, False):
                for until in (1000.0, 1000.9, 900.0):
                    self.assertEqual(self.parameter(until, 1000.0, True, isDelivery, deliverBy=offered), "5.4.7")
        self.assertEqual(self.parameter(1029.9, 1000.0, True, deliverBy=True, leastBy=30), "5.4.7")
        self.assertEqual(self.parameter(1030.0, 1000.0, True, deliverBy=True, leastBy=30), b" BY=30;R")
        self.assertEqual(self.parameter(1029.9, 1000.0, False, deliverBy=True, leastBy=30), b" BY=29;N")

    def test_notOffered(self) -> None:
        """Mode R needs the extension but where it is delivered; mode N does without."""
        self.assertEqual(self.parameter(1100.0, 1000.0, True), "5.3.3")
        self.assertEqual(self.parameter(1100.0, 1000.0, True, True), b"")
        self.assertEqual(self.parameter(1100.0, 1000.0, False), b"")

    def test_offer(self) -> None:
        """The offer with its least time, which may have other options behind it."""
        for line, least in (
            (b"DELIVERBY", 0), (b"deliverby 240", 240), (b"DELIVERBY 240,X=1", 240), (b"DELIVERBY x", 0),
            (b"DELIVERBY ,5", 0), (b"DELIVERBY 12345678901234", 0), (b"DELIVERBY -5", 0), (b"DELIVERBY \xb2", 0),
        ):  # fmt: skip
            offered = parseExtensions([b"mx1", line])
            self.assertEqual((offered.deliverBy, offered.leastBy), (True, least), line)
        self.assertFalse(parseExtensions([b"mx1", b"DSN"]).deliverBy)


class ConversationCase(SynchronousTestCase):
    """One courier that does without TLS."""

    kind: Any = SMTPCourier

    def setUp(self) -> None:
        """Its clock says 1000."""
        self.world = World(self.kind, tls="none")
        self.world.reactor.advance(1000)

    def deliver(self, by: str, *recipients: Any, **more: Any) -> Outcomes:
        """Begin an attempt."""
        return self.world.deliver(*(recipients or ("ann@d",)), deliverBy=by, **more)

    def sent(self, hello: bytes, by: str, *recipients: Any) -> tuple[Outcomes, bytes]:
        """An attempt that succeeds, and what was said first."""
        outcomes = self.deliver(by, *recipients)
        link, said = self.world.opened(hello)
        link.answer(b"250 ok\r\n" * len(recipients[1:]) + READY)
        link.answer(b"250 ok\r\n")
        return outcomes, said


class SMTPTests(ConversationCase):
    """Passed on."""

    def test_counted(self) -> None:
        """What is left is said when MAIL is said, not when the attempt began."""
        outcomes = self.deliver("1100.0;R")
        self.world.reactor.advance(20)
        link, said = self.world.opened(TIMED)
        self.assertTrue(said.startswith(b"MAIL FROM:<me@example.org> BY=80;R\r\nRCPT"), said)
        link.answer(READY)
        link.answer(b"250 ok\r\n")
        self.assertFalse(outcomes.one.relayed)
        self.assertTrue(outcomes.one.isSent)

    def test_over(self) -> None:
        """Time was over before the connection was there: nothing is said of the message,
        and no other hop is tried; the connection stays."""
        outcomes = self.deliver("1010.0;R", hops=(HOP, HOP2))
        self.world.reactor.advance(20)
        link, said = self.world.opened(TIMED)
        self.assertEqual(said, b"")
        self.assertEqual((outcomes.one.reply.code, outcomes.one.reply.enhanced), (554, "5.4.7"))
        self.assertFalse(link.isClosed())
        self.assertEqual(len(self.world.tries()), 1)

    def test_nextHop(self) -> None:
        """Mode R: a hop without the extension, or that needs more time, is left out; the
        next may do."""
        for hello in (PLAIN, TIMED.replace(b" 30", b" 300")):
            self.setUp()
            outcomes = self.deliver("1100.0;R", hops=(HOP, HOP2))
            _, said = self.world.opened(hello)
            self.assertEqual(said, b"")
            link, said = self.world.opened(TIMED)
            self.assertIn(b" BY=100;R\r\n", said)
            link.answer(READY)
            link.answer(b"250 ok\r\n")
            self.assertTrue(outcomes.one.isSent)

    def test_noHop(self) -> None:
        """No hop knows it: the message comes back with 5.3.3."""
        outcomes = self.deliver("1100.0;R", hops=(HOP, HOP2))
        self.world.opened(PLAIN)
        self.world.opened(PLAIN)
        self.assertEqual((outcomes.one.reply.code, outcomes.one.reply.enhanced), (554, "5.3.3"))

    def test_helo(self) -> None:
        """A server that knows only HELO offers nothing."""
        outcomes = self.deliver("1100.0;R")
        link: Link = self.world.link()
        link.answer(b"220 mx1\r\n")
        self.assertIn(b"HELO", link.answer(b"500 what\r\n"))
        self.assertNotIn(b"MAIL", link.answer(b"250 mx1\r\n"))
        self.assertEqual(outcomes.one.reply.enhanced, "5.3.3")

    def test_notify(self) -> None:
        """Mode N goes on without the extension, and the sender is to hear of it, also if
        the server offers DSN; with the extension it is the server's task."""
        outcomes, said = self.sent(PLAIN, "1100.0;N", "ann@d", Recipient("bob@d", "NEVER"))
        self.assertNotIn(b"BY=", said)
        self.assertEqual([outcome.relayed for outcome in outcomes], [True, True])
        self.setUp()
        outcomes, said = self.sent(TIMED, "900.0;N")
        self.assertIn(b" BY=-100;N\r\n", said)
        self.assertFalse(outcomes.one.relayed)

    def test_trace(self) -> None:
        """T goes along, and is told of at each hop."""
        for mode in (b"RT", b"NT"):
            self.setUp()
            outcomes, said = self.sent(TIMED, f"1100.0;{mode.decode()}")
            self.assertIn(b" BY=100;" + mode + b"\r\n", said)
            self.assertTrue(outcomes.one.relayed)

    def test_refusedIsNotRelayed(self) -> None:
        """Who is refused is not told of as passed on."""
        outcomes = self.deliver("1100.0;NT", "ann@d", "bob@d")
        link, _ = self.world.opened(TIMED)
        link.answer(b"250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual([outcome.relayed for outcome in outcomes], [False, True])

    def test_withoutTime(self) -> None:
        """All other mail is sent as ever."""
        outcomes, said = self.sent(TIMED, "")
        self.assertTrue(said.startswith(b"MAIL FROM:<me@example.org>\r\n"), said)
        self.assertFalse(outcomes.one.relayed)


class LMTPTests(ConversationCase):
    """Delivered."""

    kind = LMTPCourier

    def test_delivered(self) -> None:
        """By LMTP it needs no extension, and nothing is told of."""
        for mode in ("R", "N", "RT", "NT"):
            self.setUp()
            outcomes, said = self.sent(PLAIN, f"1100.0;{mode}")
            self.assertNotIn(b"BY=", said)
            self.assertTrue(outcomes.one.isSent)
            self.assertFalse(outcomes.one.relayed or outcomes.one.delivered)

    def test_offered(self) -> None:
        """Where it is offered it is used."""
        _, said = self.sent(TIMED, "1100.0;R")
        self.assertIn(b" BY=100;R\r\n", said)
