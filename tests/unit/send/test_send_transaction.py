"""What is said in one session, and what comes of it: L{umbcmail.send.transaction}
and L{umbcmail.send.opening}, through the SMTP courier."""

from __future__ import annotations

from fakehop import EXTENDED, HOP, HOP2, Link, Outcomes, World
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.content import MemoryContent
from umbcmail.send.smtp import SMTPCourier

PLAIN = b"250 mx1\r\n"
WIRE = b"Subject: s\r\n\r\n..b\r\n.\r\n"
ONE = b"MAIL FROM:<me@example.org> SIZE=18\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"


class PipeliningTests(SynchronousTestCase):
    """With a server that offers PIPELINING."""

    def setUp(self) -> None:
        """One courier."""
        self.world = World(SMTPCourier)

    def begin(self, *addresses: str, **more: object) -> tuple[Outcomes, Link, bytes]:
        """An attempt up to its first commands."""
        outcomes = self.world.deliver(*addresses, **more)
        return outcomes, *self.world.opened()

    def test_delivered(self) -> None:
        """All commands in one write, the content in one, and the reply is the outcome."""
        outcomes = self.world.deliver()
        link = self.world.link()
        self.assertEqual(link.said(), b"")
        self.assertEqual(link.answer(b"220 mx1\r\n"), b"EHLO us.example.org\r\n")
        self.assertEqual(link.answer(EXTENDED), ONE)
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n"), WIRE)
        self.assertIsNone(outcomes.got)
        link.answer(b"250 2.0.0 taken as 7\r\n")
        outcome = outcomes.one
        self.assertTrue(outcome.isSent and outcome.remote)
        self.assertEqual(str(outcome.reply), "250 2.0.0 taken as 7")
        self.assertEqual((outcome.host, outcome.command), ("mx1.example.net[192.0.2.1]:25", "end of DATA"))

    @given(st.lists(st.integers(1, 20), min_size=40, max_size=40))
    @settings(max_examples=30, deadline=None)
    def test_segmentation(self, sizes: list[int]) -> None:
        """However the server's octets are cut, the dialogue is the same."""
        world = World(SMTPCourier)
        outcomes = world.deliver("a@d", "b@d", "c@d")
        link = world.link()
        said = []
        cuts = iter(sizes * 10)
        for octets in (
            b"220-x\r\n220 mx1\r\n",
            EXTENDED,
            b"250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 body\r\n251 ok\r\n354 go\r\n",
            b"250-2.0.0 a\r\n250 2.0.0 b\r\n",
        ):
            answer = b""
            while octets:
                size = next(cuts)
                answer += link.answer(octets[:size])
                octets = octets[size:]
            said.append(answer)
        self.assertEqual(said[2:], [WIRE, b""])
        self.assertEqual(outcomes.codes, [250, 550, 250])
        self.assertEqual(outcomes.got[1].reply.lines, ("no", "body"))

    def test_someRefused(self) -> None:
        """Each recipient has its own outcome."""
        outcomes, link, _ = self.begin("a@d", "b@d", "c@d")
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n550 5.1.1 nobody\r\n450 4.2.1 later\r\n354 go\r\n"), WIRE)
        link.answer(b"250 ok\r\n")
        self.assertEqual(outcomes.codes, [250, 550, 450])
        self.assertEqual([o.command for o in outcomes], ["end of DATA", "RCPT TO", "RCPT TO"])

    def test_allRefused(self) -> None:
        """All are refused but DATA is answered by 354: the lone dot, no octet of the
        message, and then RSET (RFC 2920 section 3.1)."""
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n"), b".\r\n")
        self.assertEqual(link.answer(b"250 taken\r\n"), b"RSET\r\n")
        self.assertEqual(outcomes.codes, [550])

    def test_allRefusedWithData(self) -> None:
        """DATA refused too: nothing but RSET, and the next message uses the session."""
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"250 ok\r\n550 5.1.1 nobody\r\n503 no\r\n"), b"RSET\r\n")
        self.assertEqual(outcomes.codes, [550])
        link.answer(b"250 ok\r\n")
        self.world.deliver()
        self.assertEqual(link.said(), ONE)

    def test_leftAfterLater(self) -> None:
        """A server that says "later" to somebody is left, since some go on with it for
        as long as the session lasts; the next attempt is by a new one."""
        for replies, content in (
            (b"250 ok\r\n450 4.2.0 later\r\n250 ok\r\n354 go\r\n", True),
            (b"250 ok\r\n450 a\r\n550 b\r\n503 c\r\n", False),
        ):
            outcomes, link, _ = self.begin("a@d", "b@d")
            said = link.answer(replies)
            self.assertEqual(link.answer(b"250 ok\r\n") if content else said, b"QUIT\r\n")
            self.assertEqual(outcomes.codes[0], 450)

    def test_mailRefused(self) -> None:
        """5xx to MAIL is for all recipients, whatever the next replies are."""
        outcomes, link, _ = self.begin("a@d", "b@d", hops=(HOP, HOP2))
        said = link.answer(b"552 5.3.4 too big\r\n503 a\r\n503 b\r\n354 go\r\n")
        self.assertEqual(said, b".\r\n")
        link.answer(b"554 no\r\n")
        self.assertEqual((outcomes.codes, [o.command for o in outcomes]), ([552, 552], ["MAIL FROM"] * 2))

    def test_refusedAtTheEnd(self) -> None:
        """5xx after the dot is final: no other hop is tried."""
        outcomes, link, _ = self.begin("a@d", "b@d", hops=(HOP, HOP2))
        link.answer(b"250 ok\r\n" * 3 + b"354 go\r\n")
        link.answer(b"550-5.7.1 first\r\n550 5.7.1 second\r\n")
        self.assertEqual(outcomes.codes, [550, 550])
        self.assertEqual(outcomes.got[0].reply.lines, ("first", "second"))
        self.assertEqual(len(self.world.tries()), 1)

    def test_tooMany(self) -> None:
        """452 after some were accepted: the rest follows at once, and nobody gets it
        twice (RFC 5321 section 4.5.3.1.10)."""
        outcomes, link, _ = self.begin("a@d", "b@d", "c@d", "d@d")
        link.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n452 4.5.3 too many\r\n552 too many\r\n354 go\r\n")
        said = link.answer(b"250 2.0.0 first\r\n")
        self.assertEqual(said, b"MAIL FROM:<me@example.org> SIZE=18\r\nRCPT TO:<c@d>\r\nRCPT TO:<d@d>\r\nDATA\r\n")
        link.answer(b"250 ok\r\n250 ok\r\n452 4.5.3 one at a time\r\n354 go\r\n")
        link.answer(b"250 2.0.0 second\r\n")
        link.answer(b"250 ok\r\n452 4.5.3 none at all\r\n503 no\r\n")
        self.assertEqual([o.reply.text for o in outcomes], ["first", "first", "second", "none at all"])

    def test_fullMailbox(self) -> None:
        """452 and 552 that speak of the mailbox are not about the number."""
        outcomes, link, _ = self.begin("a@d", "b@d", "c@d")
        link.answer(b"250 ok\r\n250 ok\r\n452 4.2.2 full\r\n552 5.2.2 full\r\n354 go\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual(outcomes.codes, [250, 452, 552])

    def test_batches(self) -> None:
        """More recipients than fit in a transaction follow at once by the same session."""
        self.world = World(SMTPCourier, recipients=2)
        outcomes, link, said = self.begin("a@d", "b@d", "c@d")
        self.assertEqual(said.count(b"RCPT"), 2)
        link.answer(b"250 ok\r\n" * 3 + b"354 go\r\n")
        self.assertIn(b"RCPT TO:<c@d>", link.answer(b"250 one\r\n"))
        link.answer(b"250 ok\r\n" * 2 + b"354 go\r\n")
        link.answer(b"250 two\r\n")
        self.assertEqual([o.reply.text for o in outcomes], ["one", "one", "two"])

    def test_dataAccepted(self) -> None:
        """250 to DATA: no content is sent, which would be read as commands."""
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n250 what\r\n"), b"")
        self.assertEqual((str(outcomes.one.reply)[:9], link.isClosed()), ("451 4.5.0", True))
        self.assertFalse(outcomes.one.uncertain)

    def test_nonsense(self) -> None:
        """A reply that is none: kept for later, and the session is over."""
        for octets in (b"2_5 ok\r\n", b"250-a\r\n251 b\r\n", b"354 go\r\n", b"250 ok\r\nwhat\r\n"):
            self.world = World(SMTPCourier)
            outcomes, link, _ = self.begin()
            link.answer(octets)
            self.assertEqual((str(outcomes.one.reply)[:9], link.isClosed()), ("451 4.5.0", True), octets)

    def test_closing(self) -> None:
        """421 ends the session; whoever was refused for good stays refused."""
        outcomes, link, _ = self.begin("a@d", "b@d", "c@d")
        self.assertEqual(link.answer(b"250 ok\r\n550 5.1.1 no\r\n421 4.3.2 bye\r\n"), b"")
        self.assertEqual((outcomes.codes, link.isClosed()), ([550, 421, 421], True))

    def test_ahead(self) -> None:
        """A reply that comes before its question is not taken for an answer: neither
        to the content, nor to the next message."""
        outcomes, link, _ = self.begin()
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"), b"")
        self.assertEqual(outcomes.codes, [451])
        self.assertTrue(link.isClosed())
        for octets in (b"354 go\r\n25", b"354 go\r\nwhat\r\n"):
            outcomes, link, _ = self.begin()
            self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n" + octets), b"")
        outcomes, link, _ = self.begin()
        following = self.world.deliver()
        self.world.link()
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        self.assertEqual(link.answer(b"250 taken\r\n550 5.7.1 for whom?\r\n"), b"")
        self.assertEqual((outcomes.codes, following.got, link.isClosed()), ([250], None, True))

    def test_lost(self) -> None:
        """Before the dot nothing is uncertain, after it all is."""
        outcomes, link, _ = self.begin()
        link.answer(b"250 ok\r\n")
        link.lose()
        self.assertEqual((outcomes.one.command, outcomes.one.uncertain), ("RCPT TO", False))
        self.assertEqual(outcomes.one.reply.text, "Connection lost while waiting for the reply to RCPT TO")
        outcomes, link, _ = self.begin(hops=(HOP, HOP2))
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        link.lose()
        self.assertEqual((outcomes.one.command, outcomes.one.uncertain), ("end of DATA", True))
        self.assertEqual(str(outcomes.one.reply)[:9], "451 4.4.2")

    def test_nonsenseAfterTheDot(self) -> None:
        """After the dot nonsense leaves it uncertain too."""
        outcomes, link, _ = self.begin(hops=(HOP, HOP2))
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        link.answer(b"hello\r\n")
        self.assertEqual((outcomes.codes, outcomes.one.uncertain), ([451], True))

    def test_tooBig(self) -> None:
        """Larger than the server's SIZE: not even tried, and the session lives."""
        outcomes = self.world.deliver(content=MemoryContent(b"x" * 2000))
        link, said = self.world.opened(b"250-mx1\r\n250 SIZE 1000\r\n")
        self.assertEqual((said, str(outcomes.one.reply)[:9]), (b"", "552 5.3.4"))
        self.assertEqual(outcomes.one.host, "mx1.example.net[192.0.2.1]:25")
        self.world.reactor.advance(0)
        self.world.deliver()
        self.assertEqual(link.said()[:5], b"MAIL ")

    def test_eightBit(self) -> None:
        """BODY=8BITMIME is passed on where it is offered."""
        self.assertIn(b" BODY=8BITMIME\r\n", self.begin(body="8BITMIME")[2])
        self.world = World(SMTPCourier)
        self.world.deliver(body="8BITMIME")
        self.assertNotIn(b"BODY", self.world.opened(PLAIN)[1])

    def test_smtputf8(self) -> None:
        """Addresses that are not ASCII go only to who takes them."""
        outcomes, link, said = self.begin("ann@example.net", "änn@example.net", smtputf8=True)
        self.assertEqual((said.count(b"RCPT"), b"SMTPUTF8" in said), (1, False))
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual([str(o.reply)[:9] for o in outcomes], ["250 2.0.0", "553 5.6.7"])
        self.world = World(SMTPCourier)
        outcomes, link, said = self.begin(sender="mé@example.org")
        self.assertEqual((said, outcomes.codes), (b"", [553]))
        self.world = World(SMTPCourier)
        self.world.deliver("änn@example.net")
        said = self.world.opened(b"250-a\r\n250 SMTPUTF8\r\n")[1]
        self.assertEqual(said, b"MAIL FROM:<me@example.org> SMTPUTF8\r\n")


class StepByStepTests(SynchronousTestCase):
    """With a server that does not offer PIPELINING."""

    def setUp(self) -> None:
        """One courier, one attempt for two."""
        self.world = World(SMTPCourier)
        self.outcomes = self.world.deliver("a@d", "b@d")
        self.link, self.first = self.world.opened(PLAIN)

    def test_delivered(self) -> None:
        """One command after the other."""
        self.assertEqual(self.first, b"MAIL FROM:<me@example.org>\r\n")
        self.assertEqual(self.link.answer(b"250\r\n"), b"RCPT TO:<a@d>\r\n")
        self.assertEqual(self.link.answer(b"550 no\r\n"), b"RCPT TO:<b@d>\r\n")
        self.assertEqual(self.link.answer(b"250\r\n"), b"DATA\r\n")
        self.assertEqual(self.link.answer(b"354\r\n"), WIRE)
        self.assertEqual(self.link.answer(b"250\r\n"), b"")
        self.assertEqual(self.outcomes.codes, [550, 250])

    def test_noDataForNobody(self) -> None:
        """DATA is not said when nobody was accepted."""
        for octets in (b"250 ok\r\n", b"550 no\r\n"):
            self.link.answer(octets)
        self.assertEqual(self.link.answer(b"550 no\r\n"), b"RSET\r\n")
        self.assertEqual(self.outcomes.codes, [550, 550])

    def test_mailRefused(self) -> None:
        """Nothing more is said after a refused MAIL."""
        self.assertEqual(self.link.answer(b"550 no\r\n"), b"RSET\r\n")
        self.assertEqual(self.outcomes.codes, [550, 550])

    def test_resetRefused(self) -> None:
        """A session in doubt is not used for the next message."""
        self.link.answer(b"550 no\r\n")
        self.link.answer(b"500 what\r\n")
        self.assertTrue(self.link.isClosed())


class ByPieces:
    """Content that is not in memory, for those who ask."""

    data = None

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self.open = MemoryContent(data).open


class LargeContentTests(SynchronousTestCase):
    """Content that is not in memory."""

    def setUp(self) -> None:
        """An attempt up to the content."""
        self.world = World(SMTPCourier)
        self.content: object = ByPieces(b"x" * 600_000 + b"\r\n.y\r\n")

    def begin(self, **more: object) -> tuple[Outcomes, Link]:
        """An attempt up to the content."""
        outcomes = self.world.deliver(content=self.content, **more)
        return outcomes, self.world.opened()[0]

    def test_delivered(self) -> None:
        """It arrives whole."""
        outcomes, link = self.begin()
        said = link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        self.assertEqual(said, b"x" * 600_000 + b"\r\n..y\r\n.\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual(outcomes.codes, [250])

    def test_ahead(self) -> None:
        """A reply that comes before the content is not the answer to it."""
        outcomes, link = self.begin()
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"), b"")
        self.assertEqual((outcomes.codes, outcomes.one.uncertain), ([451], False))

    def test_refusedEarly(self) -> None:
        """A refusal in the middle counts, and no dot goes out behind it."""
        outcomes, link = self.begin()
        link.transport.registerProducer = lambda producer, streaming: producer.pauseProducing()
        link.transport.unregisterProducer = lambda: None
        self.assertNotIn(b"\r\n.\r\n", link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n"))
        self.assertEqual(link.answer(b"552 5.2.3 too much\r\n"), b"")
        self.assertEqual((outcomes.codes, link.isClosed()), ([552], True))

    def test_lostInTheMiddle(self) -> None:
        """The link is lost before the dot: the next hop is tried."""
        outcomes, link = self.begin(hops=(HOP, HOP2))
        link.transport.registerProducer = lambda producer, streaming: producer.pauseProducing()
        link.transport.unregisterProducer = lambda: None
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        link.lose()
        self.assertEqual(self.world.tries()[1], ("192.0.2.2", 25))
        self.assertIsNone(outcomes.got)

    def test_unreadable(self) -> None:
        """Content that can't be read: later, the session closed without a dot, and
        what the system said is in the log only."""

        class Reader:
            def read(self) -> object:
                return fail(OSError("/secret/path"))

            def close(self) -> None:
                pass

        class Content:
            data = None
            size = 5

            def open(self) -> Reader:
                return Reader()

        self.content = Content()
        outcomes, link = self.begin(hops=(HOP, HOP2))
        self.assertEqual(link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n"), b"")
        self.assertEqual((str(outcomes.one.reply)[:9], link.isClosed()), ("451 4.3.0", True))
        self.assertNotIn("secret", str(outcomes.one.reply))
        self.assertIn(b"/secret/path", self.world.logged())


class OpeningTests(SynchronousTestCase):
    """Greeting, EHLO, STARTTLS."""

    def setUp(self) -> None:
        """An attempt with a connection."""
        self.start()

    def start(self, **settings: object) -> None:
        """An attempt with a connection."""
        self.world = World(SMTPCourier, **settings)
        self.outcomes = self.world.deliver()
        self.link = self.world.link()

    def test_helo(self) -> None:
        """EHLO unknown: HELO."""
        self.link.answer(b"220 mx1\r\n")
        self.assertEqual(self.link.answer(b"502 what\r\n"), b"HELO us.example.org\r\n")
        self.assertEqual(self.link.answer(b"250-a\r\n250 PIPELINING\r\n"), b"MAIL FROM:<me@example.org>\r\n")

    def test_refused(self) -> None:
        """A hop that does not take mail at all does not make mail fail."""
        for octets in (
            (b"554 go away\r\n",),
            (b"220 a\r\n", b"421 busy\r\n"),
            (b"220 a\r\n", b"500 a\r\n", b"500 b\r\n"),
        ):
            self.start()
            for each in octets:
                self.link.answer(each)
            self.assertEqual((self.outcomes.codes, self.link.isClosed()), ([451], True))
            self.assertIn(each.decode().strip()[4:], self.outcomes.one.reply.text)

    def test_nonsense(self) -> None:
        """Nonsense and wrong codes are for later."""
        for octets in (b"hello\r\n", b"250 hi\r\n", b"354 hi\r\n"):
            self.start()
            self.link.answer(octets)
            self.assertEqual(str(self.outcomes.one.reply)[:9], "451 4.5.0")

    def test_tls(self) -> None:
        """TLS when it is offered; what was said before is forgotten; no second layer."""
        self.link.answer(b"220 a\r\n")
        self.assertEqual(self.link.answer(b"250-a\r\n250-PIPELINING\r\n250 starttls\r\n"), b"STARTTLS\r\n")
        self.assertEqual(self.link.answer(b"220 go\r\n"), b"EHLO us.example.org\r\n")
        self.assertIsNotNone(self.link.transport.tlsWith)
        self.link.client.handshakeCompleted()
        self.assertEqual(self.link.answer(b"250-a\r\n250 STARTTLS\r\n"), b"MAIL FROM:<me@example.org>\r\n")

    def test_injection(self) -> None:
        """Octets in clear behind the reply to STARTTLS: no mail, no TLS."""
        for octets in (b"220 go\r\n250 a\r\n", b"220 go\r\n25", b"220 go\r\nnonsense\r\n"):
            self.start()
            self.link.greet(b"250-a\r\n250 STARTTLS\r\n")
            self.assertEqual(self.link.answer(octets), b"")
            self.assertIsNone(self.link.transport.tlsWith)
            self.assertEqual((str(self.outcomes.one.reply)[:9], self.link.isClosed()), ("451 4.7.0", True))

    def test_fallback(self) -> None:
        """TLS refused or failed: the same hop in clear, and so it stays for a day."""
        for fault in ("454", "lost"):
            self.start()
            self.link.greet(b"250-a\r\n250 STARTTLS\r\n")
            if fault == "lost":
                self.link.answer(b"220 go\r\n")
                self.link.lose()
            else:
                self.link.answer(b"454 4.7.0 not now\r\n")
            self.assertTrue(fault == "lost" or self.link.isClosed())
            self.assertEqual(self.world.tries(), [("192.0.2.1", 25)] * 2)
            self.assertIn(b"trouble id=m1", self.world.logged())
            _, said = self.world.opened(b"250-a\r\n250 STARTTLS\r\n")
            self.assertEqual(said[:5], b"MAIL ")
            self.world.deliver()
            self.assertEqual(self.world.opened(b"250-a\r\n250 STARTTLS\r\n")[1][:5], b"MAIL ")

    def test_handshakeTime(self) -> None:
        """A handshake that hangs is given up soon, for the same hop in clear."""
        self.link.greet(b"250-a\r\n250 STARTTLS\r\n")
        self.link.answer(b"220 go\r\n")
        self.world.reactor.pump([1.0] * 32)
        self.assertEqual(len(self.world.tries()), 2)

    def test_lostInTLS(self) -> None:
        """Lost after the handshake is no fault of TLS."""
        self.link.greet(b"250-a\r\n250 STARTTLS\r\n")
        self.link.answer(b"220 go\r\n")
        self.link.client.handshakeCompleted()
        self.link.lose()
        self.assertEqual((len(self.world.tries()), self.outcomes.one.command), (1, "EHLO"))

    def test_required(self) -> None:
        """TLS required: not offered, or refused, means later, never in clear."""
        for answers in ((PLAIN,), (b"250-a\r\n250 STARTTLS\r\n", b"454 no\r\n")):
            self.start(tls="encrypt")
            self.link.greet(answers[0])
            for each in answers[1:]:
                self.link.answer(each)
            self.assertEqual((str(self.outcomes.one.reply)[:9], len(self.world.tries())), ("451 4.7.4", 1))

    def test_never(self) -> None:
        """TLS switched off."""
        self.start(tls="none")
        self.assertEqual(self.link.greet(b"250-a\r\n250 STARTTLS\r\n")[:5], b"MAIL ")
