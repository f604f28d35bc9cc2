"""Tests of what may go where and when: the real runners, spool (memory) and schedule
with hosts that are dead, slow, or want less, on a clock of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.queuefakes import SENT, TEXT, FakeRouter
from umbcmail.content import MemoryContent
from umbcmail.destination import Hop, Route
from umbcmail.entry import Claim, Delivery, Draft, Order
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, ICourier, IWatched
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue import probes, traffic
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.destinations import Destinations, Override, WarmUp
from umbcmail.queue.lane import Lane, Terms
from umbcmail.queue.runner import Runner
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.settlement import Settlement
from umbcmail.queue.shelf import Shelf
from umbcmail.queue.spool.memory import MemorySpool
from umbcmail.queue.throttle import Throttle, Throttles
from umbcmail.queue.traffic import Haste, Traffic
from umbcmail.reply import reply
from umbcmail.route.patterns import Patterns
from umbcmail.selection import Selection
from umbcmail.state.memoryhosts import MemoryHosts

REFUSED = reply(451, "4.4.1", "Connection refused")
BUSY = Outcome(reply(421, "4.7.0", "Too many connections"), command="MAIL FROM", remote=True)


@implementer(ICourier)
class Network:
    """Hosts that behave as a test says.

    @ivar seconds: by host name, how long a message takes; 0.05 by default.
    @ivar dead: hosts that can't be reached; it takes 30 seconds to find that out.
    @ivar replies: by host name, what is answered in place of 250.
    @ivar sent: when, where and what has been taken.
    @ivar tried: the same of all that was attempted.
    @ivar most: by host, messages at the same time at most.
    """

    def __init__(self, clock: Clock, hosts: MemoryHosts) -> None:
        self.clock = clock
        self.hosts = hosts
        self.seconds: dict[str, float] = {}
        self.dead: set[str] = set()
        self.replies: dict[str, Callable[[str], Outcome]] = {}
        self.sent: list[tuple[float, str, str]] = []
        self.tried: list[tuple[float, str, str]] = []
        self.active: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def deliver(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """See L{ICourier.deliver}: hop after hop until one answers."""
        done: Deferred[list[Outcome]] = Deferred()
        self._next(envelope, len(recipients), list(hops), done)
        return done

    def _next(self, envelope: Envelope, count: int, hops: list[Hop], done: Deferred[list[Outcome]]) -> None:
        hop, name = hops[0], hops[0].name
        self.tried.append((self.clock.seconds(), name, envelope.id))
        self.active[name] = self.active.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.active[name])
        if name in self.dead:
            self.clock.callLater(30.0, self._failed, envelope, count, hops, done)
            return
        if self.hosts.find(str(hop), self.clock.seconds()) is not None:
            self.hosts.answered(str(hop), self.clock.seconds())
        self.clock.callLater(self.seconds.get(name, 0.05), self._answered, envelope, count, hop, done)

    def _failed(self, envelope: Envelope, count: int, hops: list[Hop], done: Deferred[list[Outcome]]) -> None:
        hop = hops.pop(0)
        self.active[hop.name] -= 1
        self.hosts.failed(str(hop), "Connection timed out", self.clock.seconds())
        if hops:
            self._next(envelope, count, hops, done)
        else:
            done.callback([Outcome(REFUSED, str(hop), "connect")] * count)

    def _answered(self, envelope: Envelope, count: int, hop: Hop, done: Deferred[list[Outcome]]) -> None:
        self.active[hop.name] -= 1
        outcome = self.replies[hop.name](envelope.id) if hop.name in self.replies else SENT
        if outcome.isSent:
            self.sent.append((self.clock.seconds(), hop.name, envelope.id))
        done.callback([outcome] * count)

    def stop(self) -> Deferred[None]:
        """See L{ICourier.stop}."""
        return succeed(None)


class CountingSpool(MemorySpool):
    """
    @ivar claims: entries that were given.
    @ivar hastened: how often it was asked to bring messages back.
    """

    claims = 0
    hastened = 0

    def hasten(self, queue: str, lanes: Sequence[str], limit: int, now: float) -> Deferred[int]:
        """See L{ISpool.hasten}."""
        self.hastened += 1
        return super().hasten(queue, lanes, limit, now)

    def claim(self, queue: str, limit: int, now: float, order: Order = Order.DUE) -> Deferred[list[Claim]]:
        """See L{ISpool.claim}."""

        def counted(found: list[Claim]) -> list[Claim]:
            self.claims += len(found)
            return found

        return super().claim(queue, limit, now, order).addCallback(counted)


class TrafficCase(SynchronousTestCase):
    """A class C{remote} with its runner.

    @ivar terms: of all destinations.
    """

    terms = Terms(concurrency=5, start=5)
    concurrency = 20
    throttles: tuple[Throttle, ...] = ()
    overrides: Sequence[tuple[str, Override]] = ()
    warmUps: Sequence[WarmUp] = ()

    def setUp(self) -> None:
        """Everything real but the network and the time."""
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.lines: list[bytes] = []
        log = MailLog(self.lines.append, self.clock)
        self.hosts = MemoryHosts({})
        self.network = Network(self.clock, self.hosts)
        verifyObject(ICourier, self.network)
        self.router = FakeRouter()
        self.spool = CountingSpool("me")
        self.spool.start()
        names = ("local", "internal", "remote", "slow")
        destinations = Destinations(dict.fromkeys(names, self.terms), Patterns(self.overrides).find, self.warmUps)
        capacity = dict.fromkeys(names, self.concurrency)
        own = Schedule((300.0, 600.0), 86_400.0, 14_400.0, lambda: 0.5)
        schedules = dict.fromkeys(names, own)
        self.runners: dict[str, Runner] = {}

        def wake(queue: str) -> None:
            self.runners[queue].wake()

        shelf = Shelf(self.spool, schedules, wake, self.clock)
        self.traffic = Traffic(self.hosts, destinations.terms, capacity, Throttles(self.throttles), self.clock, shelf)
        self.attempts = Attempts(self.router, {"smtp": self.network}, log, self.clock, self.traffic)
        ids = iter(f"b{n}" for n in range(100_000))
        settlement = Settlement(
            "mx.y.test", self.spool, self.router, schedules, log, self.clock, lambda: next(ids), wake
        )
        for name in names:
            self.runners[name] = Runner(
                name, self.concurrency, 5.0, own, self.spool, self.attempts, settlement, log, self.clock
            )
            self.runners[name].start()

    def begin(self, id: str) -> None:
        """A message of which a client has heard already that it is in the queue."""
        recipient, now = Recipient("u@x.test"), self.clock.seconds()
        envelope = Envelope(id, "s@z.test", (recipient,), now, size=len(TEXT))
        self.assertTrue(self.runners["remote"].reserve())
        draft = Draft("remote", (Delivery(recipient),), now)
        [claim] = self.successResultOf(self.spool.commit(envelope, MemoryContent(TEXT), [draft], now, True))
        self.runners["remote"].begin(claim, MemoryContent(TEXT))

    def put(self, id: str, domain: str, sender: str = "s@z.test") -> None:
        """Queue a message."""
        recipient, now = Recipient(f"u@{domain}"), self.clock.seconds()
        envelope = Envelope(id, sender, (recipient,), now, size=len(TEXT))
        draft = Draft("remote", (Delivery(recipient),), now)
        self.successResultOf(self.spool.commit(envelope, MemoryContent(TEXT), [draft], now))

    def run_(self, seconds: float, step: float = 0.05) -> None:
        """Let time go by."""
        self.clock.pump([step] * round(seconds / step))

    def left(self) -> list[Any]:
        """What is in the spool."""
        return self.successResultOf(self.spool.listing(Selection(), 10_000))


class DeadHostTests(TrafficCase):
    """Hosts that do not answer."""

    def test_stuckHost(self) -> None:
        """A thousand messages for a host that does not answer, and ten for one that does: the ten are out before
        the first connection has timed out; one at a time looks whether the dead one is back; when it is, what has
        waited goes out at a bounded rate (cases B93)."""
        self.network.dead.add("mx.dead.test")
        for n in range(1000):
            self.put(f"d{n}", "dead.test")
        for n in range(10):
            self.put(f"g{n}", "good.test")
        start = self.clock.seconds()
        self.run_(30)
        self.assertEqual(10, len(self.network.sent))
        self.run_(1800, 0.5)
        self.assertLessEqual(self.network.most["mx.dead.test"], 5)
        probes = [at - start for at, _, _ in self.network.tried if at - start > 31]
        self.assertEqual(sorted(probes), probes)
        self.assertTrue(all(later - earlier >= 30 for earlier, later in pairwise(probes)), probes)
        self.assertLessEqual(len(probes), 8)
        self.assertEqual(1000, len(self.left()))
        self.assertEqual({0, 1, 2, 3}, {entry.attempts for entry in self.left()} | {0, 1, 2, 3})
        self.network.dead.clear()
        back = self.clock.seconds()
        self.run_(930, 0.5)
        self.run_(300, 0.1)
        self.assertEqual([], self.left())
        taken = [at for at, host, _ in self.network.sent if host == "mx.dead.test"]
        first = taken[0]
        self.assertGreater(first, back)
        self.assertLessEqual(sum(at < first + 1 for at in taken), 40)

    def test_otherHost(self) -> None:
        """Where a better host does not answer mail goes to the next one, without a look at the better one each time,
        until it is time to look."""
        hops = (Hop("mx1.x.test", "192.0.2.1", 25), Hop("mx2.x.test", "192.0.2.2", 25))
        self.router.routes["x.test"] = Route("smtp", hops)
        self.network.dead.add("mx1.x.test")
        self.put("m0", "x.test")
        self.run_(35)
        for n in range(1, 20):
            self.put(f"m{n}", "x.test")
            self.run_(1.5)
        self.run_(6)
        self.assertEqual(20, len(self.network.sent))
        self.assertEqual({"mx2.x.test"}, {host for _, host, _ in self.network.sent})
        self.assertEqual(1, sum(host == "mx1.x.test" for _, host, _ in self.network.tried))
        self.network.dead.clear()
        self.run_(60)
        self.put("m20", "x.test")
        self.put("m21", "x.test")
        self.run_(6)
        self.assertEqual({"mx1.x.test"}, {host for _, host, _ in self.network.sent[20:]})

    def test_socket(self) -> None:
        """A UNIX socket, which is on this host, is asked each time: mail goes as soon as somebody listens there
        again, unless an operator has suspended it."""
        self.router.routes["x.test"] = Route("smtp", (Hop("unix:/run/lda", "/run/lda", 0),))
        self.network.dead.add("unix:/run/lda")
        self.put("m0", "x.test")
        self.run_(35)
        self.network.dead.clear()
        self.put("m1", "x.test")
        self.run_(6)
        self.assertEqual(["m1"], [id for _, _, id in self.network.sent])
        self.successResultOf(self.hosts.suspend("unix:/run/lda", "moves", self.clock.seconds()))
        self.put("m2", "x.test")
        self.run_(300, 1.0)
        self.assertEqual(["m1"], [id for _, _, id in self.network.sent])

    def test_suspended(self) -> None:
        """An operator wants no attempts: nothing is tried, nothing is lost; then all goes at once."""
        host = "mx.x.test[192.0.2.1]:25"
        self.successResultOf(self.hosts.suspend(host, "moves", self.clock.seconds()))
        for n in range(5):
            self.put(f"m{n}", "x.test")
        self.run_(3600, 1.0)
        self.assertEqual([], self.network.tried)
        self.assertEqual({0}, {entry.attempts for entry in self.left()})
        [why] = {str(entry.deliveries[0].outcome.reply) for entry in self.left()}
        self.assertIn("suspended by the postmaster", why)
        self.successResultOf(self.hosts.resume(host))
        self.run_(2)
        self.assertEqual(5, len(self.network.sent))

    def test_othersFindOut(self) -> None:
        """Another process finds that a host does not answer: nothing of ours is tried; and that it does again: what
        has waited goes at a bounded rate, though none of ours has looked; when that was too early it stops."""
        host = "mx.x.test[192.0.2.1]:25"
        self.hosts.failed(host, "refused", self.clock.seconds())
        self.hosts.claimProbe(host, self.clock.seconds() + 60, 900.0)
        for n in range(500):
            self.put(f"m{n}", "x.test")
        self.run_(300, 1.0)
        self.assertEqual([], self.network.tried)
        self.hosts.answered(host, self.clock.seconds())
        began = self.clock.seconds()
        self.run_(3)
        self.assertGreater(len(self.network.sent), 20)
        self.assertLessEqual(sum(at < began + 1 for at, _, _ in self.network.sent), 40)
        self.hosts.suspend(host, "moves", self.clock.seconds())
        self.run_(1)
        count = len(self.network.tried)
        self.run_(600, 1.0)
        self.assertEqual(count, len(self.network.tried))
        self.assertEqual(500, len(self.left()) + len(self.network.sent))
        self.hosts.resume(host)
        self.run_(120)
        self.assertEqual([], self.left())

    def test_looksForLong(self) -> None:
        """All the time that one of ours looks whether a host answers nobody else may, and not for long after that,
        should this process die."""
        host = "mx.x.test[192.0.2.1]:25"
        self.network.dead.add("mx.x.test")
        self.hosts.failed(host, "refused", self.clock.seconds() - 100)
        self.put("m1", "x.test")
        self.runners["remote"].wake()
        self.run_(1)
        self.assertEqual(1, len(self.network.tried))
        for _ in range(28):
            self.run_(1)
            status = self.hosts.find(host, self.clock.seconds())
            assert status is not None
            self.assertTrue(0 < status.probed - self.clock.seconds() <= probes.CLAIMED, status)
        self.run_(5)
        status = self.hosts.find(host, self.clock.seconds())
        assert status is not None
        self.assertEqual((2, 0.0), (status.failures, status.probed))
        self.run_(20)
        self.assertNotIn("Probes._prolong", str(self.clock.getDelayedCalls()))

    def test_looksForNoLonger(self) -> None:
        """Another one looked, and has died: after its time one of ours does."""
        host = "mx.x.test[192.0.2.1]:25"
        self.hosts.failed(host, "refused", self.clock.seconds() - 100)
        self.hosts.claimProbe(host, self.clock.seconds(), probes.CLAIMED)
        self.put("m1", "x.test")
        self.run_(probes.CLAIMED - 1)
        self.assertEqual([], self.network.tried)
        self.run_(121)
        self.assertEqual(1, len(self.network.sent))

    def test_vain(self) -> None:
        """As long as nothing of what a runner finds may be tried it takes half of the places for such looks, so that
        what comes fresh has the other half; then three quarters again."""
        host = "mx.x.test[192.0.2.1]:25"
        self.successResultOf(self.hosts.suspend(host, "moves", self.clock.seconds()))
        for n in range(200):
            self.put(f"m{n}", "x.test")
        asked, claim = [], self.spool.claim

        def counted(queue: str, limit: int, *others: Any) -> Any:
            asked.extend([limit] * (queue == "remote"))
            return claim(queue, limit, *others)

        self.spool.claim = counted  # type: ignore[method-assign]
        self.run_(8)
        self.assertEqual([15, 10, 10], asked[:3])
        self.assertEqual([], self.network.tried)
        self.successResultOf(self.hosts.resume(host))
        asked.clear()
        self.run_(30)
        self.assertEqual(200, len(self.network.sent))
        self.assertEqual(15, max(asked))

    def test_suspendedWhileItGoes(self) -> None:
        """What is brought back stays where it is once the host is suspended, and the spool is left alone."""
        host = "mx.x.test[192.0.2.1]:25"
        self.hosts.suspend(host, "moves", self.clock.seconds())
        for n in range(2000):
            self.put(f"m{n}", "x.test")
        self.run_(60, 1.0)
        self.hosts.resume(host)
        self.run_(5)
        self.hosts.suspend(host, "moves", self.clock.seconds())
        self.run_(30)
        asked = self.spool.hastened
        self.run_(200)
        self.assertEqual(asked, self.spool.hastened)

    def test_boundedRate(self) -> None:
        """A quick host that is back gets what it is to get, also of messages that are due by themselves by then."""
        self.terms = Terms(release=2.0)
        self.setUp()
        self.network.seconds["mx.x.test"] = 0.001
        self.network.dead.add("mx.x.test")
        for n in range(200):
            self.put(f"m{n}", "x.test")
        self.run_(70, 0.5)
        self.network.dead.clear()
        self.run_(900, 0.1)
        times = [at for at, _, _ in self.network.sent]
        self.assertEqual(200, len(times))
        # Two, four, eight, and so on: one more for the one that has looked, and some that go beside it.
        for seconds, most in ((1, 8), (2, 12), (3, 20), (4, 36)):
            self.assertLessEqual(sum(at < times[0] + seconds - 0.2 for at in times), most, seconds)
        self.assertLess(times[-1] - times[0], 30)

    def test_rest(self) -> None:
        """A thousand messages for a host that is dead for a day: a few look, the others are seldom touched, and all go
        when it is back; their senders hear of the delay in time."""
        self.network.dead.add("mx.dead.test")
        for n in range(1000):
            self.put(f"d{n}", "dead.test")
        self.run_(14_400 + 60, 5.0)
        self.assertGreater(sum(entry.warned for entry in self.left() if entry.envelope.sender), 990)
        claims = self.spool.claims
        self.run_(43_200, 5.0)
        self.assertLess(self.spool.claims - claims, 1000 * 12)
        self.network.dead.clear()
        self.run_(900 + 120, 0.5)
        self.assertEqual([], [entry for entry in self.left() if entry.envelope.sender])

    def test_unknownHosts(self) -> None:
        """Mail for a thousand hosts of which nothing is known, and which are dead, waits for a place: each host has one
        message that comes to ask for it, so that little is touched in vain; and a host that takes mail gets its own
        between them."""
        for n in range(1000):
            self.network.dead.add(f"mx.dead{n}.test")
            for m in range(5):
                self.put(f"m{n:03}.{m}", f"dead{n}.test")
            if n == 500:
                for m in range(5):
                    self.put(f"m{n:03}.good{m}", "good.test")
        self.run_(2000, 0.5)
        self.assertEqual(5, len(self.network.sent))
        self.assertLess(self.network.sent[-1][0] - self.network.sent[0][0], 10)
        # Once at the beginning; then some for each host that has been looked at.
        self.assertLess(self.spool.claims, 5000 + 1000 * 5)

    def test_freshIsApart(self) -> None:
        """What comes fresh finds a place at a host of which nothing is known, whatever has waited for such hosts."""
        for n in range(100):
            self.network.dead.add(f"mx.dead{n}.test")
            self.put(f"m{n:03}", f"dead{n}.test")
        self.run_(5)
        began = self.clock.seconds()
        self.begin("fresh")
        self.run_(1)
        self.assertEqual(1, len(self.network.sent))
        self.assertLess(self.network.sent[0][0] - began, 1)

    def test_clientsTakeNoPlaces(self) -> None:
        """Those that clients wait for leave the places of the class to it."""
        for n in range(30):
            self.network.dead.add(f"mx.dead{n}.test")
            envelope = Envelope(f"i{n}", "s@z.test", (Recipient(f"u@dead{n}.test"),), 0.0)
            self.attempts.run(f"i{n}", envelope, MemoryContent(TEXT), envelope.recipients, haste=Haste.NOW)
        self.assertEqual(30, len(self.network.tried))
        self.put("g", "good.test")
        self.run_(6)
        self.assertEqual(["g"], [id for _, _, id in self.network.sent])

    def test_betterHostIsDead(self) -> None:
        """That the other host takes mail does not make the dead one one that takes it."""
        hops = (Hop("mx1.x.test", "192.0.2.1", 25), Hop("mx2.x.test", "192.0.2.2", 25))
        self.router.routes["x.test"] = Route("smtp", hops)
        self.network.dead.add("mx1.x.test")
        self.put("m0", "x.test")
        self.run_(36)
        self.assertEqual(1, len(self.network.sent))
        lane = self.traffic._lanes["remote", str(hops[0])]
        self.assertFalse(lane.isProven(self.clock.seconds()))

    def test_manyDeadHosts(self) -> None:
        """Hosts of which nothing is known take half of the places at most: what goes to one that takes mail does
        not wait for them."""
        for n in range(100):
            self.network.dead.add(f"mx.dead{n}.test")
            for m in range(3):
                self.put(f"d{n}.{m}", f"dead{n}.test")
        self.put("first", "good.test")
        self.run_(600, 0.5)
        began = self.clock.seconds()
        for n in range(50):
            self.put(f"g{n}", "good.test")
        self.run_(15)
        taken = [at - began for at, _, id in self.network.sent if id.startswith("g")]
        self.assertEqual(50, len(taken))
        self.assertLess(max(taken), 10)


class RateTests(TrafficCase):
    """A destination gets so many messages in so much time."""

    terms = Terms(concurrency=5, start=5, interval=10.0)

    def test_rate(self) -> None:
        """One in ten seconds: five go at 0, 10, 20, 30 and 40 seconds in their order, none counts more than one
        attempt (cases B94)."""
        for n in range(5):
            self.put(f"m{n}", "x.test")
        start = self.clock.seconds()
        self.run_(60)
        self.assertEqual([0, 10, 20, 30, 40], [round((at - start - 5) / 10) * 10 for at, _, _ in self.network.sent])
        self.assertEqual([f"m{n}" for n in range(5)], [id for _, _, id in self.network.sent])
        self.assertEqual(5, len(self.network.tried))

    def test_behind(self) -> None:
        """What comes later is behind what waits; other destinations do not wait for it."""
        for n in range(3):
            self.put(f"m{n}", "x.test")
        self.run_(7)
        self.put("late", "x.test")
        self.put("other", "y.test")
        self.run_(60)
        self.assertEqual(["m0", "other", "m1", "m2", "late"], [id for _, _, id in self.network.sent])

    def test_expiry(self) -> None:
        """Who waits for its turn for too long is given up at its time, and its sender hears of the delay before."""
        self.network.replies["mx.x.test"] = lambda id: Outcome(reply(451, "4.7.1", "Greylisted"), remote=True)
        for n in range(3):
            self.put(f"m{n}", "x.test")
        self.run_(86_400 + 3600, 5.0)
        self.assertEqual([], [entry for entry in self.left() if entry.envelope.sender])


class WarmUpTests(TrafficCase):
    """A new source address."""

    terms = Terms(concurrency=5, start=5)
    warmUps = (WarmUp("smtp", 1_000_000.0 // 86400 * 86400, (8640, 86400)),)

    def test_warmUp(self) -> None:
        """On the first day one in ten seconds, on the second one in a second, then no limit."""
        day = self.warmUps[0]
        for n in range(3):
            self.put(f"m{n}", "x.test")
        start = self.clock.seconds()
        self.run_(40)
        self.assertEqual([0, 1, 2], [int((at - start) // 10) for at, _, _ in self.network.sent])
        self.assertEqual([10.0, 10.0, 1.0, 0.0], [day.interval(day.begin + n * 86400.0) for n in (-3, 0, 1, 2)])


class ThrottleTests(TrafficCase):
    """Replies that ask for less."""

    terms = Terms(concurrency=16, start=16)
    throttles = (
        Throttle(re.compile("too many connections", re.I), floor=2, hold=20.0, recover=30.0),
        Throttle(re.compile("sender domain", re.I), scope="sender", halve=False, hold=100.0),
        Throttle(re.compile("this message", re.I), scope="message", halve=False, hold=1000.0),
    )

    def test_halve(self) -> None:
        """Half as many, none for a while, and one more from time to time."""
        limit = 4
        self.network.seconds["mx.x.test"] = 1.0
        self.network.replies["mx.x.test"] = lambda id: BUSY if self.network.active["mx.x.test"] >= limit else SENT
        for n in range(300):
            self.put(f"m{n}", "x.test")
        self.run_(3600, 0.25)
        self.assertEqual([], self.left())
        tries = len(self.network.tried)
        self.assertLess(tries, 300 + 90)

    def test_greeting(self) -> None:
        """What a host says in place of a greeting comes in a reply of ours, and asks for less all the same."""
        said = reply(451, "4.3.2", "The next hop does not take mail now: 421 4.7.0 Too many connections")
        self.network.seconds["mx.x.test"] = 1.0
        self.network.replies["mx.x.test"] = lambda id: (
            Outcome(said, command="greeting") if self.network.active["mx.x.test"] >= 4 else SENT
        )
        for n in range(300):
            self.put(f"m{n}", "x.test")
        self.run_(3600, 0.25)
        self.assertEqual([], self.left())
        self.assertLess(len(self.network.tried), 300 + 90)

    def test_sender(self) -> None:
        """Only mail from that domain waits."""
        self.network.replies["mx.x.test"] = lambda id: (
            Outcome(reply(451, "4.7.1", "Slow down, sender domain"), "mx.x.test[192.0.2.1]:25", "MAIL FROM", True)
            if id.startswith("bad")
            else SENT
        )
        self.put("bad1", "x.test", "a@bulk.test")
        self.run_(7)
        self.put("bad2", "x.test", "b@bulk.test")
        self.put("good", "x.test")
        self.run_(30)
        self.assertEqual(["good"], [id for _, _, id in self.network.sent])
        self.assertEqual(["bad1", "good"], [id for _, _, id in self.network.tried])
        self.run_(100, 0.5)
        self.assertIn("bad2", [id for _, _, id in self.network.tried])

    def test_message(self) -> None:
        """Only that message waits, for as long as the rule says; it has been tried."""
        later = Outcome(reply(451, "4.7.1", "Not this message"), remote=True)
        self.network.replies["mx.x.test"] = lambda id: later if id == "m1" else SENT
        self.put("m1", "x.test")
        self.put("m2", "y.test")
        self.run_(990, 1.0)
        self.assertEqual(["m1", "m2"], [id for _, _, id in self.network.tried])
        [entry] = self.left()
        self.assertEqual(1, entry.attempts)
        self.run_(30, 1.0)
        self.assertEqual(3, len(self.network.tried))


class WindowTests(TrafficCase):
    """So many messages at the same time to one host, whatever domains are behind it."""

    terms = Terms(concurrency=6, start=2)
    overrides = (("mx.big.test", Override(concurrency=3)),)

    def test_hostNotDomain(self) -> None:
        """Domains that share a host share its places; an override may name the host."""
        for domain in ("a.test", "b.test", "c.test"):
            self.router.routes[domain] = Route("smtp", (Hop("mx.big.test", "192.0.2.9", 25),))
        self.network.seconds["mx.big.test"] = self.network.seconds["mx.own.test"] = 1.0
        for n in range(40):
            self.put(f"m{n}", f"{'abc'[n % 3]}.test")
            self.put(f"o{n}", "own.test")
        self.run_(60)
        self.assertEqual((3, 6), (self.network.most["mx.big.test"], self.network.most["mx.own.test"]))
        self.assertEqual([], self.left())

    def test_asFastAsItCan(self) -> None:
        """A fast host is kept busy: its own time is what it takes."""
        for n in range(2000):
            self.put(f"m{n}", "x.test")
        began = self.clock.seconds()
        self.run_(60)
        self.assertEqual([], self.left())
        # 6 at the same time, 0.05 s each: 120 a second at best.
        self.assertLess(self.network.sent[-1][0] - began - 5, 2000 / 120 * 1.6)

    def test_burst(self) -> None:
        """Messages that come at once and find no place are taken as soon as it is their turn, not when the runner looks
        anyway."""
        for n in range(10):
            self.begin(f"a{n}")
            self.run_(1)
        began = self.clock.seconds()
        self.network.seconds["mx.x.test"] = 0.3  # slower than it was: their turns are over before there is a place
        for n in range(18):
            self.begin(f"b{n}")
        self.run_(6)
        self.assertEqual(28, len(self.network.sent))
        self.assertLess(self.network.sent[-1][0] - began, 2)

    def test_interactive(self) -> None:
        """Clients that wait for an answer wait here for a place, in their order; when the host dies they hear at
        once that it is for later."""
        self.network.seconds["mx.x.test"] = 10.0
        outcomes: dict[str, list[Outcome]] = {}
        for n in range(5):
            envelope = Envelope(f"m{n}", "s@z.test", (Recipient("u@x.test"),), 0.0)
            tried = self.attempts.run(f"m{n}", envelope, MemoryContent(TEXT), envelope.recipients, haste=Haste.NOW)
            tried.addCallback(lambda found, id=f"m{n}": outcomes.setdefault(id, found))
        self.assertEqual(2, len(self.network.tried))
        self.run_(11)
        self.assertEqual(["m0", "m1"], list(outcomes))
        self.assertEqual(5, len(self.network.tried))
        self.network.dead.add("mx.y.test")
        for n in range(5):
            envelope = Envelope(f"d{n}", "s@z.test", (Recipient("u@y.test"),), 0.0)
            tried = self.attempts.run(f"d{n}", envelope, MemoryContent(TEXT), envelope.recipients, haste=Haste.NOW)
            tried.addCallback(lambda found, id=f"d{n}": outcomes.setdefault(id, found))
        self.run_(31)
        self.assertTrue(all(outcomes[f"d{n}"][0].isDelayed for n in range(5)))
        self.assertEqual([False] * 2 + [True] * 3, [bool(outcomes[f"d{n}"][0].postponed) for n in range(5)])

    def test_forgotten(self) -> None:
        """No more destinations are known than so many, also when all of them have taken mail."""
        self.patch(traffic, "LANES", 20)
        for n in range(100):
            self.put(f"m{n}", f"x{n}.test")
        self.run_(30)
        self.assertEqual(100, len(self.network.sent))
        figures = {figure.name: figure.value for figure in self.traffic.figures()}
        self.assertLessEqual(figures["destinations_known"], 20)

    def test_watched(self) -> None:
        """Figures for the status page."""
        verifyObject(IWatched, self.traffic)
        self.network.dead.add("mx.x.test")
        for n in range(9):
            self.put(f"m{n}", "x.test")
        self.run_(50)
        figures = {figure.name: figure.value for figure in self.traffic.figures()}
        self.assertEqual(1, figures["destinations_known"])
        self.assertGreater(figures["destinations_postponed_total"], 0)


class LaneTests(SynchronousTestCase):
    """L{Lane} by itself."""

    def test_window(self) -> None:
        """It doubles with each round until it was too much, then grows by one with each round."""
        lane = Lane(Terms(concurrency=100, start=4))
        for _ in range(4):
            lane.enter(0.0)
        self.assertEqual(0, lane.room)
        for _ in range(4):
            lane.leave(1.0, 1.0, True, False)
        self.assertEqual(8, lane.room)
        lane.enter(1.0)
        lane.leave(2.0, 1.0, False, True)
        self.assertEqual(4, lane.room)
        for _ in range(4):
            lane.enter(2.0)
            lane.leave(3.0, 1.0, True, False)
        self.assertEqual(4, lane.room)
        self.assertTrue(4.8 < lane.window <= 5)

    def test_burst(self) -> None:
        """After a while without any some may go at once."""
        lane = Lane(Terms(interval=10.0, burst=3))
        for _ in range(3):
            self.assertTrue(lane.isTimely(1000.0))
            lane.enter(1000.0)
        self.assertFalse(lane.isTimely(1000.0))
        self.assertEqual(1010.0, lane.turn(1000.0))
        self.assertEqual(1020.0, lane.turn(1000.0))

    def test_idle(self) -> None:
        """What is known of a destination is worth nothing after a while."""
        lane = Lane(Terms())
        self.assertTrue(lane.isIdle(0.0))
        lane.enter(0.0)
        self.assertFalse(lane.isIdle(0.0))
        lane.leave(1.0, 1.0, True, False)
        self.assertFalse(lane.isIdle(1.0))
        self.assertTrue(lane.isIdle(1000.0))
