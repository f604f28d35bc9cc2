"""What hops offer decides what they get: DSN, SMTPUTF8, 8BITMIME, REQUIRETLS, and the
rules for TLS; through the couriers."""

from __future__ import annotations

from typing import Any

from fakehop import EXTENDED, HOP, HOP2, Link, Outcomes, World
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from umbcmail.content import MemoryContent
from umbcmail.destination import Hop, TLSRule
from umbcmail.envelope import Recipient
from umbcmail.interfaces import IContent, IContentReader, ITLSPolicy
from umbcmail.send import fitting
from umbcmail.send.lmtp import LMTPCourier
from umbcmail.send.smtp import SMTPCourier
from umbcmail.send.tls import CheckedTLS, UncheckedTLS
from umbcmail.send.tlspolicy import TLSTable

ALL = b"250-mx1\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-STARTTLS\r\n250-REQUIRETLS\r\n250 PIPELINING\r\n"
PIPELINING = b"250-mx1\r\n250 PIPELINING\r\n"
READY = b"250 ok\r\n250 ok\r\n354 go\r\n"
WIDE = MemoryContent(b"Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n")
SIGNED = MemoryContent(b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n\xe9\r\n--s--\r\n")


class ExtensionsCase(SynchronousTestCase):
    """One courier."""

    kind: Any = SMTPCourier

    def setUp(self) -> None:
        """One courier that does without TLS."""
        self.world = World(self.kind, tls="none")

    def begin(self, hello: bytes, *recipients: Any, **more: Any) -> tuple[Outcomes, Link, bytes]:
        """An attempt up to its first commands."""
        outcomes = self.world.deliver(*recipients, **more)
        return outcomes, *self.world.opened(hello)


class DSNTests(ExtensionsCase):
    """RFC 3461."""

    ANN = Recipient("ann@d", "SUCCESS,FAILURE", "rfc822;Ann+2B@d")
    BOB = Recipient("bob@d")

    def test_passedOn(self) -> None:
        """With DSN all parameters go along, as they came, and we owe nothing."""
        outcomes, link, said = self.begin(ALL, self.ANN, self.BOB, ret="HDRS", envid="E+3D1")
        lines = said.split(b"\r\n")
        self.assertEqual(lines[0], b"MAIL FROM:<me@example.org> RET=HDRS ENVID=E+3D1")
        self.assertEqual(lines[1], b"RCPT TO:<ann@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann+2B@d")
        self.assertEqual(lines[2], b"RCPT TO:<bob@d>")
        link.answer(b"250 ok\r\n" + READY)
        link.answer(b"250 ok\r\n")
        self.assertFalse(any(outcome.relayed or outcome.delivered for outcome in outcomes))

    def test_notOffered(self) -> None:
        """Without DSN nothing of it is said, and who wants success is known to be
        relayed; not who is refused or does not ask."""
        outcomes, link, said = self.begin(PIPELINING, self.ANN, self.BOB, Recipient("c@d", "SUCCESS"), ret="FULL")
        self.assertNotIn(b"NOTIFY", said)
        self.assertNotIn(b"RET", said)
        link.answer(b"250 ok\r\n250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual([outcome.relayed for outcome in outcomes], [True, False, False])
        self.assertFalse(any(outcome.delivered for outcome in outcomes))

    def test_wideOriginal(self) -> None:
        """An original recipient that is not ASCII goes in its ASCII form (RFC 6533)."""
        _, _, said = self.begin(ALL, Recipient("a@d", "", "utf-8;jö@d"))
        self.assertIn(b"ORCPT=utf-8;j\\x{F6}@d\r\n", said)

    def test_nothingSlipsIn(self) -> None:
        """What could end a command early is not passed on."""
        _, _, said = self.begin(ALL, Recipient("a@d", "NEVER\r\nRSET", "rfc822;a b"), ret="X Y", envid="a\r\nb")
        self.assertEqual(said, b"MAIL FROM:<me@example.org>\r\nRCPT TO:<a@d>\r\nDATA\r\n")


class LMTPTests(DSNTests):
    """By LMTP it is in the mailbox."""

    kind = LMTPCourier

    def test_passedOn(self) -> None:
        """With DSN the server tells."""
        outcomes, link, said = self.begin(ALL, self.ANN)
        self.assertIn(b"NOTIFY=SUCCESS,FAILURE", said)
        link.answer(READY)
        link.answer(b"250 ok\r\n")
        self.assertFalse(outcomes.one.delivered)

    def test_notOffered(self) -> None:
        """Without it the mail is delivered, and we are to tell."""
        outcomes, link, _ = self.begin(PIPELINING, self.ANN, self.BOB)
        link.answer(b"250 ok\r\n" + READY)
        link.answer(b"250 ok\r\n250 ok\r\n")
        self.assertEqual([outcome.delivered for outcome in outcomes], [True, False])
        self.assertFalse(any(outcome.relayed for outcome in outcomes))


class WideTests(ExtensionsCase):
    """SMTPUTF8."""

    def test_declared(self) -> None:
        """Declared and offered: passed on."""
        _, _, said = self.begin(ALL, smtputf8=True)
        self.assertIn(b" SMTPUTF8\r\n", said)

    def test_notNeeded(self) -> None:
        """Declared without need: goes to servers that do not know it."""
        outcomes, link, said = self.begin(EXTENDED, smtputf8=True)
        self.assertNotIn(b"SMTPUTF8", said)
        link.answer(READY)
        link.answer(b"250 ok\r\n")
        self.assertTrue(outcomes.one.isSent)

    def test_wideHeader(self) -> None:
        """A header that is not ASCII: 5.6.9, but one more host is asked for."""
        content = MemoryContent("Subject: é\r\n\r\nb\r\n".encode())
        outcomes, _, said = self.begin(EXTENDED, smtputf8=True, content=content, hops=(HOP, HOP2))
        self.assertEqual((said, outcomes.got), (b"", None))
        _, said = self.world.opened(ALL)
        self.assertIn(b" SMTPUTF8", said)
        outcomes, _, said = self.begin(EXTENDED, smtputf8=True, content=content)
        self.assertEqual(str(outcomes.one.reply)[:9], "553 5.6.9")

    def test_rawHeader(self) -> None:
        """8-bit in the header alone does not ask for SMTPUTF8."""
        _, link, _ = self.begin(EXTENDED, body="8BITMIME", content=MemoryContent(b"Subject: \xe9\r\n\r\nb\r\n"))
        self.assertIn(b"Subject: \xe9", link.answer(READY))


class Slow:
    """Content that comes by pieces when a test says so."""

    data = None

    def __init__(self, *pieces: bytes) -> None:
        self.size = sum(map(len, pieces))
        self.pieces = [*pieces, b""]
        self.waiting: list[Deferred[bytes]] = []
        self.closed = 0

    def open(self) -> Any:
        """It is its own reader, once."""
        return self

    def read(self) -> Deferred[bytes]:
        """Waits."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def close(self) -> None:
        """Counted."""
        self.closed += 1

    def go(self) -> None:
        """All pieces come."""
        while self.waiting:
            self.waiting.pop().callback(self.pieces.pop(0))


implementer(IContent, IContentReader)(Slow)


class SevenBitTests(ExtensionsCase):
    """8-bit content to servers without 8BITMIME."""

    def test_converted(self) -> None:
        """It is converted, and its new size is what is said."""
        outcomes, link, said = self.begin(b"250-mx1\r\n250-PIPELINING\r\n250 SIZE\r\n", body="8BITMIME", content=WIDE)
        self.assertNotIn(b"BODY", said)
        sent = link.answer(READY)
        self.assertTrue(sent.isascii())
        self.assertTrue(sent.endswith(b"quoted-printable\r\n\r\n=C3=A9\r\n.\r\n"))
        self.assertIn(b" SIZE=%d\r\n" % (len(sent) - 3), said)
        link.answer(b"250 ok\r\n")
        self.assertTrue(outcomes.one.isSent)

    def test_undeclared(self) -> None:
        """Also when the client did not say that it is 8-bit."""
        _, link, _ = self.begin(PIPELINING, content=WIDE)
        self.assertTrue(link.answer(READY).isascii())

    def test_plain(self) -> None:
        """7-bit content goes as it is, whatever was declared."""
        _, link, said = self.begin(PIPELINING, body="8BITMIME")
        self.assertTrue(said.startswith(b"MAIL FROM:<me@example.org>\r\n"))
        self.assertIn(b"\r\n..b\r\n", link.answer(READY))

    def test_binary(self) -> None:
        """BINARYMIME has no way out, so it is converted for all."""
        content = MemoryContent(b"MIME-Version: 1.0\r\nContent-Type: application/x\r\n\r\na\rb\nc\0")
        _, link, said = self.begin(ALL, body="BINARYMIME", content=content)
        self.assertNotIn(b"BODY", said)
        self.assertIn(b"base64\r\n\r\nYQ1iCmMA\r\n", link.answer(READY))

    def test_impossible(self) -> None:
        """5.6.3, said after one more host; the session lives."""
        outcomes, link, said = self.begin(PIPELINING, content=SIGNED)
        self.assertEqual((said, str(outcomes.one.reply)[:9], link.isClosed()), (b"", "554 5.6.3", False))
        self.world.reactor.advance(0)
        self.world.deliver()
        self.assertIn(b"MAIL", link.said())

    def test_nextHost(self) -> None:
        """A second host that offers 8BITMIME gets it as it is."""
        outcomes, _, _ = self.begin(PIPELINING, content=SIGNED, body="8BITMIME", hops=(HOP, HOP2))
        link, said = self.world.opened(EXTENDED)
        self.assertIn(b"BODY=8BITMIME", said)
        self.assertIn(b"\xe9", link.answer(READY))
        link.answer(b"250 ok\r\n")
        self.assertEqual(outcomes.codes, [250])

    def test_slow(self) -> None:
        """Content in a file is read first; nothing is said meanwhile."""
        content = Slow(b"Subject: s\r\n\r\n" + b"\xc3", b"\xa9\r\n")
        outcomes, link, said = self.begin(PIPELINING, content=content)
        self.assertEqual(said, b"")
        content.go()
        self.assertIn(b"MAIL", link.said())
        self.assertIn(b"=C3=A9", link.answer(READY))
        link.answer(b"250 ok\r\n")
        self.assertEqual((outcomes.codes, content.closed), ([250], 1))
        self.assertEqual(self.world.courier._room.left, fitting.Room().left)

    def test_lostMeanwhile(self) -> None:
        """When the connection ends or time runs out while it is converted, the mail
        waits, and memory is given back in the end."""
        for end in (
            lambda link: link.lose(),
            lambda link: link.answer(b"421 bye\r\n"),
            lambda link: link.answer(b"250 x\r\n"),
        ):
            content = Slow(b"\xe9", b"\r\n")
            outcomes, link, _ = self.begin(PIPELINING, content=content)
            end(link)
            self.assertTrue(outcomes.one.isDelayed and not outcomes.one.uncertain)
            content.go()
            self.assertEqual((link.said(), content.closed), (b"", 1))
            self.assertEqual(self.world.courier._room.left, fitting.Room().left)

    def test_unreadable(self) -> None:
        """What can't be read is sent later."""
        content = Slow(b"\xe9")
        outcomes, _, _ = self.begin(PIPELINING, content=content)
        content.waiting.pop().errback(OSError("gone"))
        self.assertEqual((str(outcomes.one.reply)[:9], content.closed), ("451 4.3.0", 1))

    def test_tooLarge(self) -> None:
        """Over the limit it is only looked at: ASCII passes, 8-bit does not."""
        self.patch(fitting, "LARGEST", 10)
        content = Slow(b"Subject: s\r\n\r\n", b"\xe9\r\n")
        outcomes, _, _ = self.begin(PIPELINING, content=content)
        content.go()
        self.assertEqual((str(outcomes.one.reply)[:9], content.closed), ("554 5.6.3", 1))
        self.assertIn("too large", outcomes.one.reply.text)
        self.world = World(SMTPCourier, tls="none")
        content = Slow(b"Subject: s\r\n\r\n", b"e\r\n")
        _, link, _ = self.begin(PIPELINING, content=content)
        content.go()
        self.assertIn(b"MAIL", link.said())

    def test_noRoom(self) -> None:
        """Where too much is being converted already, it is sent later."""
        self.world.courier._room.left = 1
        outcomes, _, _ = self.begin(PIPELINING, content=Slow(b"\xe9\r\n"))
        self.assertEqual(str(outcomes.one.reply)[:9], "451 4.3.1")


@implementer(ITLSPolicy)
class Policy:
    """Answers by domain."""

    def __init__(self, **rules: Any) -> None:
        self.rules = rules

    def lookUp(self, domain: str, hop: Hop) -> Any:
        """See L{ITLSPolicy}."""
        return self.rules.get(domain)


class RuleCase(SynchronousTestCase):
    """Helps to start TLS."""

    def secured(self, world: World) -> tuple[Link, bytes]:
        """The next connection up to the start of TLS; what was said then."""
        link = world.link()
        link.greet(ALL)
        return link, link.answer(b"220 go\r\n")


class RuleTests(RuleCase):
    """TLS by policy."""

    def test_encrypt(self) -> None:
        """A domain's rule counts more than the courier's."""
        world = World(SMTPCourier, Policy(d=TLSRule("encrypt")), tls="none")
        outcomes = world.deliver("a@d")
        world.opened(EXTENDED)
        self.assertEqual(str(outcomes.one.reply)[:9], "451 4.7.4")
        self.assertIsNone(world.deliver("a@e").got)
        self.assertIn(b"MAIL", world.opened(EXTENDED)[1])

    def test_verify(self) -> None:
        """Nothing is said before the certificate has been found good."""
        world = World(SMTPCourier, Policy(d=TLSRule("verify")))
        outcomes = world.deliver("a@d")
        link, said = self.secured(world)
        self.assertIsInstance(link.transport.tlsWith, CheckedTLS)
        self.assertEqual(said, b"")
        self.patch(link.client._checked, "isVerified", lambda: True)
        link.client.handshakeCompleted()
        self.assertEqual(link.said(), b"EHLO us.example.org\r\n")
        self.assertIn(b"MAIL", link.answer(ALL))
        self.assertIsNone(outcomes.got)

    def test_notVerified(self) -> None:
        """A certificate that is not good: later, never in clear; nor after a handshake
        that fails."""
        world = World(SMTPCourier, Policy(d=TLSRule("verify")))
        outcomes = world.deliver("a@d")
        link, _ = self.secured(world)
        link.client.handshakeCompleted()
        self.assertEqual((str(outcomes.one.reply)[:9], link.said(), link.isClosed()), ("451 4.7.5", b"", True))
        outcomes = world.deliver("a@d")
        link, _ = self.secured(world)
        link.lose()
        self.assertEqual((str(outcomes.one.reply)[:9], len(world.tries())), ("451 4.7.5", 2))

    def test_notShared(self) -> None:
        """A connection made by another rule is not used."""
        world = World(SMTPCourier, Policy(d=TLSRule("encrypt")), tls="none")
        world.deliver("a@e")
        link, _ = world.opened(ALL)
        link.answer(READY)
        link.answer(b"250 ok\r\n")
        world.deliver("a@d")
        self.assertEqual((len(world.tries()), link.said()), (2, b""))

    def test_mixed(self) -> None:
        """Recipients of one message with other rules go by other connections, and
        the outcomes keep their order."""
        world = World(SMTPCourier, Policy(d=succeed(TLSRule("encrypt"))), tls="none")
        outcomes = world.deliver("a@e", "b@d", "c@e")
        self.assertEqual(len(world.tries()), 2)
        for _ in range(2):
            link, said = world.opened(EXTENDED)
            if said:
                self.assertEqual(said.count(b"RCPT"), 2)
                link.answer(b"250 ok\r\n" + READY)
                link.answer(b"250 ok\r\n")
        self.assertEqual(outcomes.codes, [250, 451, 250])

    def test_unknown(self) -> None:
        """What can't be found out delays."""
        outcomes = World(SMTPCourier, Policy(d=fail(OSError("no")))).deliver("a@d")
        self.assertEqual(outcomes.codes, [451])

    def test_fallback(self) -> None:
        """C{may}: in clear after anything but TLS has come of STARTTLS."""
        for answer in (b"454 no\r\n", b"421 no\r\n", b"250 what\r\n", b""):
            world = World(SMTPCourier)
            world.deliver("a@d")
            link = world.link()
            link.greet(ALL)
            link.answer(answer) if answer else link.lose()
            self.assertIn(b"MAIL", world.opened(ALL)[1])
            self.assertIn(b"in clear for a day", world.logged())

    def test_opportunistic(self) -> None:
        """Without a rule no certificate is looked at."""
        world = World(SMTPCourier, Policy())
        world.deliver("a@d")
        link, said = self.secured(world)
        self.assertIsInstance(link.transport.tlsWith, UncheckedTLS)
        self.assertEqual(said, b"EHLO us.example.org\r\n")


class RequireTLSTests(RuleCase):
    """RFC 8689."""

    def test_passedOn(self) -> None:
        """Under TLS, verified, and offered: passed on."""
        world = World(SMTPCourier, tls="none")
        world.deliver("a@d", requireTLS=True)
        link, _ = self.secured(world)
        self.patch(link.client._checked, "isVerified", lambda: True)
        link.client.handshakeCompleted()
        self.assertIn(b" REQUIRETLS\r\n", link.answer(ALL))

    def test_otherwise(self) -> None:
        """Without TLS, REQUIRETLS or a good certificate: 5.7.30, after all hosts."""
        world = World(SMTPCourier)
        outcomes = world.deliver("a@d", hops=(HOP, HOP2, HOP), requireTLS=True)
        world.opened(EXTENDED)
        link, _ = self.secured(world)
        link.client.handshakeCompleted()
        link, _ = self.secured(world)
        self.patch(link.client._checked, "isVerified", lambda: True)
        link.client.handshakeCompleted()
        link.said()
        self.assertEqual(link.answer(EXTENDED), b"")
        self.assertEqual((str(outcomes.one.reply)[:10], outcomes.one.isFailed), ("550 5.7.30", True))

    def test_plainMailIsNot(self) -> None:
        """It is said of messages that ask for it only."""
        world = World(SMTPCourier, tls="none")
        world.deliver("a@d")
        self.assertNotIn(b"REQUIRETLS", world.opened(ALL)[1])


class TableTests(SynchronousTestCase):
    """The operator's table."""

    def row(self, domain: str, level: str, *names: str) -> dict[str, Any]:
        """One row."""
        return {"domain": domain, "level": level, "names": names}

    def test_lookUp(self) -> None:
        """The most exact one of the domain, then of the hop, then of all."""
        table = TLSTable(
            [
                self.row("*", "may"),
                self.row("*.d.test", "encrypt"),
                self.row("a.d.test", "none"),
                self.row("*.b.d.test", "verify", "x.test"),
                self.row("mx.test", "verify"),
            ]
        )
        verifyObject(ITLSPolicy, table)
        hop, other = Hop("MX.test", "192.0.2.1", 25), Hop("other", "192.0.2.1", 25)
        for domain, at, level in (
            ("a.d.test", hop, "none"),
            ("x.d.test", hop, "encrypt"),
            ("x.y.b.d.test", hop, "verify"),
            ("d.test", hop, "verify"),
            ("d.test", other, "may"),
            ("", other, "may"),
        ):
            found = table.lookUp(domain, at)
            self.assertEqual(found and found.level, level, domain)
        self.assertIsNone(TLSTable([self.row("d.test", "none")]).lookUp("e.test", hop))

    def test_mistakes(self) -> None:
        """What makes no sense is refused."""
        for rows in (
            [self.row("d", "none"), self.row("d", "may")],
            [self.row("d", "encrypt", "x.test")],
            [self.row("d", "verify", "*")],
        ):
            self.assertRaises(ValueError, TLSTable, rows)
