"""An attempt over several hops and connections: L{umbcmail.send.attempt},
L{umbcmail.send.pool}, L{umbcmail.send.courier}, through the SMTP courier."""

from __future__ import annotations

from typing import Any

from fakehop import EXTENDED, HOP, HOP2, Link, World
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.destination import Hop
from umbcmail.interfaces import ICourier
from umbcmail.send.lmtp import make as makeLMTP
from umbcmail.send.smtp import OPTIONS, SMTPCourier, make

READY = b"250 ok\r\n250 ok\r\n354 go\r\n"


def carry(link: Link) -> None:
    """Take the message that is being sent."""
    link.answer(READY)
    link.answer(b"250 2.0.0 taken\r\n")


class HopsTests(SynchronousTestCase):
    """Which hop is tried when."""

    def setUp(self) -> None:
        """An attempt with two hops."""
        self.world = World(SMTPCourier)
        self.outcomes = self.world.deliver("a@d", hops=(HOP, HOP2))

    def assertNext(self) -> None:
        """The second hop is tried, and takes the message."""
        self.assertEqual(self.world.tries(), [("192.0.2.1", 25), ("192.0.2.2", 25)])
        carry(self.world.opened()[0])
        self.assertEqual((self.outcomes.codes, self.outcomes.one.host), ([250], "mx2.example.net[192.0.2.2]:25"))

    def test_refused(self) -> None:
        """No connection: the next."""
        self.world.refuse()
        self.assertNext()

    def test_greeting(self) -> None:
        """A greeting that says no, now or ever: the next."""
        self.world.link().answer(b"554 5.3.2 no\r\n")
        self.assertNext()

    def test_mailLater(self) -> None:
        """4xx to MAIL: the next, and the first is left with QUIT."""
        link, _ = self.world.opened()
        said = link.answer(b"451 4.3.0 a\r\n503 b\r\n503 c\r\n")
        self.assertEqual(said, b"QUIT\r\n")
        self.assertNext()

    def test_closing(self) -> None:
        """421: the next."""
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n421 4.3.2 bye\r\n")
        self.assertNext()

    def test_lost(self) -> None:
        """The link is lost before the dot: the next."""
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n250 ok\r\n")
        link.lose()
        self.assertNext()

    def test_silence(self) -> None:
        """No reply in time: the next."""
        link, _ = self.world.opened()
        self.world.reactor.pump([1.0] * 302)
        self.assertTrue(link.isClosed())
        self.assertNext()

    def test_laterAtTheEnd(self) -> None:
        """4xx after the dot means not taken: one more hop is tried."""
        link, _ = self.world.opened()
        link.answer(READY)
        link.answer(b"451 4.3.0 later\r\n")
        self.assertNext()

    def test_notAfterTheDot(self) -> None:
        """After the dot silence and loss leave it uncertain: no other hop."""
        link, _ = self.world.opened()
        link.answer(READY)
        self.world.reactor.pump([1.0] * 602)
        self.assertTrue(self.outcomes.one.uncertain and self.outcomes.one.isDelayed)
        self.assertEqual(len(self.world.tries()), 1)

    def test_notAfterFailure(self) -> None:
        """A recipient that is refused for good is not tried elsewhere."""
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n550 5.1.1 no\r\n503 a\r\n")
        self.assertEqual((self.outcomes.codes, len(self.world.tries())), ([550], 1))


class ReasonTests(SynchronousTestCase):
    """What is reported when nothing works."""

    def setUp(self) -> None:
        """One courier."""
        self.world = World(SMTPCourier)

    def test_noHops(self) -> None:
        """No hops: later, at once."""
        self.assertTrue(self.world.deliver(hops=()).one.isDelayed)

    def test_refused(self) -> None:
        """Own words, with the hop; the first hop's reason when all are alike."""
        outcomes = self.world.deliver(hops=(HOP, HOP2))
        self.world.refuse()
        self.world.refuse()
        outcome = outcomes.one
        self.assertEqual((str(outcome.reply), outcome.command), ("451 4.4.1 Connection refused", "connect"))
        self.assertEqual((outcome.host, outcome.remote), ("mx1.example.net[192.0.2.1]:25", False))

    def test_mostTelling(self) -> None:
        """What a hop said tells more than that another could not be reached."""
        outcomes = self.world.deliver(hops=(HOP, HOP2))
        self.world.refuse()
        self.world.opened()[0].answer(b"451 4.7.1 greylisted\r\n503 a\r\n503 b\r\n")
        self.assertEqual((outcomes.one.reply.text, outcomes.one.remote), ("greylisted", True))

    def test_laterThenUnreachable(self) -> None:
        """A recipient told "later" keeps that when the other hop can't be reached;
        the ones that were sent stay sent."""
        outcomes = self.world.deliver("a@d", "b@d", hops=(HOP, HOP2))
        link, _ = self.world.opened()
        link.answer(b"250 ok\r\n250 ok\r\n450 4.2.1 b later\r\n354 go\r\n")
        link.answer(b"250 2.0.0 taken\r\n")
        self.world.refuse()
        self.assertEqual([o.reply.text for o in outcomes], ["taken", "b later"])

    def test_laterTwice(self) -> None:
        """Told "later" at two hops: the third is not bothered."""
        hop3 = Hop("mx3", "192.0.2.3", 25)
        outcomes = self.world.deliver(hops=(HOP, HOP2, hop3))
        for _ in range(2):
            self.world.opened()[0].answer(b"250 ok\r\n450 4.2.1 later\r\n503 no\r\n")
        self.assertEqual((outcomes.codes, len(self.world.tries())), ([450], 2))

    def test_hopsLimit(self) -> None:
        """Only so many hops are tried."""
        self.world = World(SMTPCourier, hops=1)
        outcomes = self.world.deliver(hops=(HOP, HOP2))
        self.world.refuse()
        self.assertEqual((outcomes.codes, len(self.world.tries())), ([451], 1))

    def test_badAddresses(self) -> None:
        """What can't be sent fails without being sent; the others go."""
        outcomes = self.world.deliver("a@d", "b>\r\nDATA@d")
        link, said = self.world.opened()
        self.assertEqual(said.count(b"DATA"), 1)
        carry(link)
        self.assertEqual([str(o.reply)[:9] for o in outcomes], ["250 2.0.0", "553 5.1.3"])
        self.assertEqual(str(self.world.deliver(sender="a b@c").one.reply)[:9], "553 5.1.7")

    def test_attemptLimit(self) -> None:
        """An attempt ends in its time wherever it is: waiting, connecting, talking,
        or after the dot."""
        self.world = World(SMTPCourier, attempt=60.0, connections=1)
        talking = self.world.deliver(hops=(HOP, HOP2))
        link, _ = self.world.opened()
        waiting = self.world.deliver(hops=(HOP, HOP2))
        connecting = self.world.deliver(hops=(HOP2,))
        self.world.reactor.pump([1.0] * 61)
        self.assertEqual(talking.one.reply.text, "Timed out while waiting for the reply to MAIL FROM")
        self.assertEqual(connecting.one.command, "connect")
        self.assertTrue(waiting.one.isDelayed)
        self.assertTrue(link.isClosed())


class PoolTests(SynchronousTestCase):
    """Connections are limited, reused and closed."""

    def setUp(self) -> None:
        """One courier, two connections at most."""
        self.world = World(SMTPCourier, connections=2)

    def idle(self) -> Link:
        """A connection that has carried a message."""
        outcomes = self.world.deliver()
        link, _ = self.world.opened()
        carry(link)
        self.assertEqual(outcomes.codes, [250])
        return link

    def test_reuse(self) -> None:
        """The next message goes by the same connection, without EHLO or RSET."""
        link = self.idle()
        self.world.deliver()
        self.assertEqual(link.said()[:5], b"MAIL ")
        self.assertEqual(len(self.world.tries()), 1)

    def test_limit(self) -> None:
        """Above the limit attempts wait, in their order."""
        outcomes = [self.world.deliver(f"{n}@d") for n in range(4)]
        self.assertEqual(len(self.world.tries()), 2)
        first, said = self.world.opened()
        self.assertIn(b"<0@d>", said)
        second, _ = self.world.opened()
        second.answer(READY)
        self.assertIn(b"<2@d>", second.answer(b"250 ok\r\n"))
        first.answer(READY)
        self.assertIn(b"<3@d>", first.answer(b"250 ok\r\n"))
        self.assertEqual([o.got is None for o in outcomes], [False, False, True, True])

    def test_slotIsFreed(self) -> None:
        """When a connection is lost, a new one is opened for who waits."""
        for n in range(3):
            self.world.deliver(f"{n}@d")
        link, _ = self.world.opened()
        link.lose()
        self.world.opened()
        self.assertIn(b"<2@d>", self.world.opened()[1])

    def test_stale(self) -> None:
        """A reused connection that ends before it answers: opened anew, once, at the
        same hop, and no failure is seen."""
        for end in (Link.lose, lambda link: link.answer(b"421 4.4.2 idle too long\r\n")):
            self.world = World(SMTPCourier)
            link = self.idle()
            outcomes = self.world.deliver(hops=(HOP, HOP2))
            link.said()
            end(link)
            self.assertEqual(self.world.tries(), [("192.0.2.1", 25)] * 2)
            fresh, _ = self.world.opened()
            carry(fresh)
            self.assertEqual(outcomes.codes, [250])

    def test_staleOnce(self) -> None:
        """The new connection ends as well: that counts."""
        link = self.idle()
        outcomes = self.world.deliver()
        link.lose()
        self.world.opened()[0].lose()
        self.assertEqual((outcomes.codes, len(self.world.tries())), ([451], 2))

    def test_staleAtTheLimit(self) -> None:
        """A new connection is used even when all others are idle, as these may be
        dead too."""
        self.world.deliver(), self.world.deliver()
        links = [self.world.opened()[0] for _ in range(2)]
        for link in links:
            carry(link)
        self.world.deliver()
        links[1].lose()
        self.world.opened()
        self.assertEqual(len(self.world.tries()), 3)

    def test_answeredThenLost(self) -> None:
        """Once it has answered a lost connection counts."""
        link = self.idle()
        outcomes = self.world.deliver()
        link.answer(b"250 ok\r\n")
        link.lose()
        self.assertEqual(outcomes.codes, [451])

    def test_quietlyDropped(self) -> None:
        """What an idle connection says or does ends it without any outcome."""
        for end in (Link.lose, lambda link: link.answer(b"421 bye\r\n"), lambda link: link.answer(b"junk\r\n")):
            self.world = World(SMTPCourier)
            end(self.idle())
            self.world.deliver()
            self.assertEqual(len(self.world.tries()), 2)

    def test_idleTime(self) -> None:
        """An idle connection is left with QUIT, and closed even without an answer."""
        link = self.idle()
        self.world.reactor.pump([1.0] * 31)
        self.assertEqual((link.said(), link.isClosed()), (b"QUIT\r\n", False))
        self.world.reactor.pump([1.0] * 4)
        self.assertTrue(link.isClosed())
        link.lose()
        self.world.reactor.pump([1.0] * 2)
        self.assertEqual(self.world.reactor.getDelayedCalls(), [])

    def test_messagesLimit(self) -> None:
        """After so many messages a connection is left."""
        self.world = World(SMTPCourier, messages=1)
        outcomes = self.world.deliver()
        link, _ = self.world.opened()
        link.answer(READY)
        self.assertEqual(link.answer(b"250 ok\r\n"), b"QUIT\r\n")
        self.assertEqual(outcomes.codes, [250])

    def test_deadHop(self) -> None:
        """All who wait for a hop that can't be reached are told, and go on."""
        outcomes = [self.world.deliver(hops=(HOP,)) for _ in range(20)]
        self.world.refuse()
        self.assertEqual(sum(o.got is not None for o in outcomes), 19)
        self.world.refuse()
        self.assertEqual({o.one.reply.text for o in outcomes}, {"Connection refused"})

    def test_fewConnections(self) -> None:
        """A hop that takes one connection only is used with one, and nobody fails."""
        first, second = self.world.deliver(), self.world.deliver()
        link, _ = self.world.opened()
        self.world.link().answer(b"421 4.7.0 too many connections\r\n")
        self.assertIsNone(second.got)
        self.world.deliver()
        self.assertEqual(len(self.world.tries()), 2)
        carry(link)
        carry(link)
        self.assertEqual((first.codes, second.codes), ([250], [250]))


class StopTests(SynchronousTestCase):
    """The end, and bugs."""

    def test_stop(self) -> None:
        """Idle connections are left, busy ones finish, waiting attempts are for
        later, and then it is over."""
        world = World(SMTPCourier, connections=2)
        world.deliver(), world.deliver()
        idle, busy = world.opened()[0], world.opened()[0]
        carry(idle)
        sent = world.deliver()
        self.assertIn(b"MAIL", idle.said())
        carry(idle)
        last, waiting = world.deliver(), world.deliver(hops=(HOP2,))
        idle.said()
        over: list[Any] = []
        world.courier.stop().addCallback(over.append)
        world.courier.stop().addCallback(over.append)
        self.assertEqual((sent.codes, waiting.got), ([250], None))
        world.refuse()
        self.assertTrue(waiting.one.isDelayed)
        self.assertEqual(world.deliver().codes, [451])
        for link in (idle, busy):
            link.answer(READY)
            self.assertEqual(link.answer(b"250 ok\r\n"), b"QUIT\r\n")
            link.answer(b"221 bye\r\n")
            self.assertTrue(link.isClosed())
        self.assertEqual((over, last.codes), ([], [250]))
        idle.lose(), busy.lose()
        world.reactor.pump([0.2] * 2)
        self.assertEqual((over, world.reactor.getDelayedCalls()), ([None, None], []))

    def test_stopWhileOpening(self) -> None:
        """A connection that is ready only after the end has begun carries nothing
        more: whether the message was taken could perhaps not be written down."""
        world = World(SMTPCourier)
        outcomes = world.deliver()
        link = world.link()
        world.courier.stop()
        self.assertEqual(link.greet(), b"QUIT\r\n")
        self.assertTrue(outcomes.one.isDelayed)

    def test_stopUnused(self) -> None:
        """Nothing to wait for."""
        world = World(SMTPCourier)
        self.successResultOf(world.courier.stop())

    def test_bug(self) -> None:
        """A bug of ours is logged and means later, never failed, never silence."""

        class Broken:
            size = 5

            @property
            def data(self) -> bytes:
                raise RuntimeError("what nobody expected")

        world = World(SMTPCourier)
        outcomes = world.deliver(content=Broken())
        link, _ = world.opened()
        link.answer(READY)
        self.assertEqual((str(outcomes.one.reply)[:9], outcomes.one.uncertain), ("451 4.3.0", False))
        self.assertTrue(link.isClosed())
        self.assertIn(b"what nobody expected", world.logged())

    def test_bugInDeliver(self) -> None:
        """The same where it begins."""
        world = World(SMTPCourier)
        self.assertEqual(world.deliver(sender=5).codes, [451])
        self.assertIn(b"bug id=m1", world.logged())

    def test_interface(self) -> None:
        """It is a courier, and can be made from the configuration."""

        class Tools:
            reactor = log = inThread = tlsPolicy = state = None
            hostName = "h"

        settings = {option.name: option.default and option.kind.parse(option.default) for option in OPTIONS}
        for maker in (make, makeLMTP):
            verifyObject(ICourier, maker({**settings, "type": "smtp"}, Tools))

    def test_addresses(self) -> None:
        """IPv6 and our own address."""
        world = World(SMTPCourier, bind_ipv6="2001:db8::9")
        world.deliver(hops=(Hop("six", "2001:db8::1", 2525),))
        world.deliver()
        (host, port, _, timeout, bind), (*_, bind4) = world.reactor.tcpClients
        self.assertEqual((host, port, timeout, bind, bind4), ("2001:db8::1", 2525, 30, ("2001:db8::9", 0), None))

    def test_greetingInTime(self) -> None:
        """The extensions of one hop say nothing about another."""
        world = World(SMTPCourier)
        world.deliver()
        self.assertIn(b"RCPT", world.opened(EXTENDED)[1])
        world.deliver(hops=(HOP2,))
        self.assertNotIn(b"RCPT", world.opened(b"250 mx2\r\n")[1])
