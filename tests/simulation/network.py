"""The hosts of the simulated world, as a courier that all classes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from tests.simulation.heapclock import HeapClock
from tests.simulation.ledger import Ledger, numberOf
from tests.simulation.world import Host, World
from umbcmail.destination import Hop
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, ICourier, IHosts
from umbcmail.outcome import Outcome
from umbcmail.reply import reply

TAKEN = reply(250, "2.0.0", "Taken")
UNKNOWN = reply(550, "5.1.1", "No such user")
GREYLISTED = reply(451, "4.7.1", "Greylisted, try again later")
BUSY = reply(421, "4.7.0", "Too many connections from you")
OVER_RATE = reply(450, "4.7.1", "Rate limit exceeded, try later")
NO_WAY = {
    "refused": (0.05, reply(451, "4.4.1", "Connection refused")),
    "silent": (30.0, reply(451, "4.4.1", "The connection was not made in time")),
    "mute": (300.0, reply(451, "4.4.2", "No greeting in time")),
}
"""By kind of host, how long it takes to know that it can't be reached, and what is said then."""
GREY = 300.0
"""Seconds until a greylisting host takes what it has seen before."""
USERS = 97
"""One recipient of so many is not known."""


@dataclass(slots=True)
class _Visit:
    """An attempt, from host to host."""

    envelope: Envelope
    recipients: list[Recipient]
    hops: list[Hop]
    done: Deferred[list[Outcome]]
    queue: str
    since: float


@implementer(ICourier)
class Network:
    """
    @ivar most: by class and host, messages at the same time at most.
    """

    def __init__(
        self, world: World, ledger: Ledger, hosts: IHosts, clock: HeapClock, queueOf: Callable[[str], str]
    ) -> None:
        self.most: Counter[tuple[str, str]] = Counter()
        self._world = world
        self._ledger = ledger
        self._hosts = hosts
        self._clock = clock
        self._queueOf = queueOf
        self._active: Counter[str] = Counter()
        self._perQueue: Counter[tuple[str, str]] = Counter()
        self._looking: Counter[str] = Counter()
        self._seen: dict[tuple[str, str], float] = {}
        self._minute: dict[str, tuple[int, int]] = {}

    def stop(self) -> Deferred[None]:
        """See L{ICourier.stop}."""
        return succeed(None)

    def deliver(
        self, envelope: Envelope, content: IContent, recipients: list[Recipient], hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        """See L{ICourier.deliver}."""
        for recipient in recipients:
            self._ledger.tried(envelope, recipient.address)
        number = numberOf(recipients[0].address)
        queue = self._ledger.queueOf(number) if number >= 0 else self._queueOf(recipients[0].domain)
        done: Deferred[list[Outcome]] = Deferred()
        self._next(_Visit(envelope, recipients, list(hops[:5]), done, queue, self._clock.seconds()))
        return done

    def _next(self, visit: _Visit) -> None:
        hop, now = visit.hops[0], self._clock.seconds()
        host = self._world.hosts[hop.address]
        self._ledger.visited(host, now)
        key = (visit.queue, host.name)
        self._active[host.name] += 1
        self._perQueue[key] += 1
        self.most[key] = max(self.most[key], self._perQueue[key])
        status = self._hosts.find(str(hop), now)
        looks = status is not None and status.failures > 0 and status.since < visit.since
        if looks:
            self._looking[host.name] += 1
            if self._looking[host.name] > 1:
                self._ledger.fault(f"{self._looking[host.name]} look at the same time whether {host.name} answers")
        seconds = host.seconds
        if host.isDown(now):
            seconds = NO_WAY[host.kind][0]
        elif status is not None:
            self._hosts.answered(str(hop), now)
        self._clock.callLater(seconds, self._ended, visit, host, looks, host.isDown(now))

    def _ended(self, visit: _Visit, host: Host, looked: bool, isDown: bool) -> None:
        hop, now = visit.hops.pop(0), self._clock.seconds()
        active = self._active[host.name]
        self._active[host.name] -= 1
        self._perQueue[visit.queue, host.name] -= 1
        self._looking[host.name] -= looked
        if not isDown:
            visit.done.callback([self._outcome(host, hop, visit.envelope, r, active, now) for r in visit.recipients])
            return
        said = NO_WAY[host.kind][1]
        self._hosts.failed(str(hop), said.text, now)
        if visit.hops:
            self._next(visit)
        else:
            visit.done.callback([Outcome(said, str(hop), "connect")] * len(visit.recipients))

    def _outcome(
        self, host: Host, hop: Hop, envelope: Envelope, recipient: Recipient, active: int, now: float
    ) -> Outcome:
        """What a host says of a recipient."""
        if host.kind == "greylist":
            first = self._seen.setdefault((envelope.sender, recipient.address), now)
            if now - first < GREY:
                return Outcome(GREYLISTED, str(hop), "RCPT TO", True)
        elif host.kind == "connections" and active > host.limit:
            return Outcome(BUSY, str(hop), "MAIL FROM", True)
        elif host.kind == "rate":
            minute, count = self._minute.get(host.name, (0, 0))
            count = count + 1 if minute == int(now // 60) else 1
            self._minute[host.name] = (int(now // 60), count)
            if count > host.limit:
                return Outcome(OVER_RATE, str(hop), "MAIL FROM", True)
        number = numberOf(recipient.address)
        if number % USERS == 5:
            return Outcome(UNKNOWN, str(hop), "RCPT TO", True)
        self._ledger.sent(envelope, recipient.address, now)
        return Outcome(TAKEN, str(hop), "end of DATA", True)
