"""Tests of L{umbcmail.send.lmtp}: where LMTP differs from SMTP (RFC 2033)."""

from __future__ import annotations

from fakehop import EXTENDED, HOP, HOP2, Link, Outcomes, World
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.destination import Hop
from umbcmail.envelope import Origin, Recipient
from umbcmail.send.lmtp import LMTPCourier


class LMTPTests(SynchronousTestCase):
    """A reply for each accepted recipient."""

    def begin(self, *hops: Hop) -> tuple[Outcomes, Link]:
        """An attempt for three up to the dot; the second is refused."""
        self.world = World(LMTPCourier)
        outcomes = self.world.deliver("a@d", "b@d", "c@d", hops=hops or (HOP,))
        link = self.world.link()
        self.assertEqual(link.answer(b"220 lmtp\r\n"), b"LHLO us.example.org\r\n")
        link.answer(EXTENDED)
        self.assertIn(b"\r\n.\r\n", link.answer(b"250 ok\r\n250 a\r\n550 b\r\n250 c\r\n354 go\r\n"))
        return outcomes, link

    def test_perRecipient(self) -> None:
        """Each has the reply that is for it."""
        outcomes, link = self.begin()
        link.answer(b"250 2.0.0 for a\r\n")
        self.assertIsNone(outcomes.got)
        link.answer(b"452 4.2.2 for c\r\n")
        self.assertEqual([o.reply.text for o in outcomes], ["for a", "b", "for c"])
        self.assertEqual(outcomes.codes, [250, 550, 452])

    def test_lostBetween(self) -> None:
        """Lost between the replies: only who has none is uncertain."""
        outcomes, link = self.begin(HOP, HOP2)
        link.answer(b"250 2.0.0 for a\r\n")
        link.lose()
        self.assertEqual([(o.reply.code, o.uncertain) for o in outcomes], [(250, False), (550, False), (451, True)])

    def test_reused(self) -> None:
        """The session goes on when all replies have come, and not before."""
        outcomes, link = self.begin()
        following = self.world.deliver("d@d")
        self.assertEqual(len(self.world.tries()), 2)
        link.answer(b"250 a\r\n250 c\r\n")
        self.assertEqual((outcomes.codes, following.got), ([250, 550, 250], None))
        self.world.deliver("e@d")
        self.assertIn(b"MAIL", link.said())

    def test_actions(self) -> None:
        """Programs and files are named by parameters that only our own agent has; to another
        server nothing of it is said, and the others go on."""
        program, file = (Origin("l@d", action=action) for action in ("|vacation -a ann+x", "/var/é"))
        for hello, codes in ((b"250-XFILE\r\n250-XPROGRAM\r\n", [250, 250, 250]), (b"", [451, 250, 451])):
            self.world = World(LMTPCourier)
            recipients = [Recipient("a@d", origin=program), Recipient("b@d"), Recipient("c@d", origin=file)]
            outcomes = self.world.deliver(*recipients)
            link, said = self.world.opened(b"250-me\r\n" + hello + b"250 PIPELINING\r\n")
            asked = [line for line in said.split(b"\r\n") if line.startswith(b"RCPT")]
            wanted = [
                b"RCPT TO:<a@d> XPROGRAM=vacation+20-a+20ann+2Bx",
                b"RCPT TO:<b@d>",
                b"RCPT TO:<c@d> XFILE=/var/+C3+A9",
            ]
            self.assertEqual(wanted if hello else wanted[1:2], asked)
            link.answer(b"250 ok\r\n" + b"250 ok\r\n" * len(asked) + b"354 go\r\n")
            link.answer(b"250 ok\r\n" * len(asked))
            self.assertEqual(codes, outcomes.codes)

    def test_noHelo(self) -> None:
        """A server without LHLO is none for us."""
        self.world = World(LMTPCourier)
        outcomes = self.world.deliver()
        link = self.world.link()
        link.answer(b"220 a\r\n")
        self.assertEqual((link.answer(b"500 what\r\n"), outcomes.codes), (b"", [451]))

    def test_allRefused(self) -> None:
        """Nobody accepted, yet 354: the dot, and no reply is waited for."""
        self.world = World(LMTPCourier)
        outcomes = self.world.deliver()
        link, _ = self.world.opened()
        self.assertEqual(link.answer(b"250 ok\r\n550 no\r\n354 go\r\n"), b".\r\n")
        self.assertEqual((outcomes.codes, link.isClosed()), ([550], True))

    def test_unixSocket(self) -> None:
        """A hop without port is a UNIX socket, in clear, and so it is called."""
        self.world = World(LMTPCourier)
        outcomes = self.world.deliver(hops=(Hop("unix:/run/lmtp", "/run/lmtp", 0),))
        path, factory, *_ = self.world.reactor.unixClients[0]
        self.assertEqual(path, "/run/lmtp")
        link = Link(factory)
        self.assertIn(b"MAIL", link.greet(b"250-a\r\n250-PIPELINING\r\n250 STARTTLS\r\n"))
        link.answer(b"250 ok\r\n250 ok\r\n354 go\r\n")
        link.answer(b"250 ok\r\n")
        self.assertEqual((outcomes.codes, outcomes.one.host), ([250], "unix:/run/lmtp"))
