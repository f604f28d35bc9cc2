"""The real queues, composed as the program does it, in the simulated world: one or
several processes with one spool and one state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from tests.simulation.heapclock import HeapClock
from tests.simulation.ledger import Ledger
from tests.simulation.names import NameServers
from tests.simulation.network import Network
from tests.simulation.world import World
from umbcmail.config import Config, load
from umbcmail.entry import Change, Claim, Draft, Order
from umbcmail.envelope import Envelope
from umbcmail.findings import Findings
from umbcmail.hoststatus import HostStatus, Waits
from umbcmail.identity import Identity
from umbcmail.interfaces import IContent
from umbcmail.maillog import MailLog
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.deadletters import DeadLetters
from umbcmail.queue.expiry import Expiry
from umbcmail.queue.intake import Intake
from umbcmail.queue.intakesettings import settingsFor
from umbcmail.queue.notifier import termsOf
from umbcmail.queue.runner import Runner
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.settlement import Settlement
from umbcmail.queue.shelf import Shelf
from umbcmail.queue.spool.memory import MemorySpool, MemoryStore
from umbcmail.reply import Reply
from umbcmail.route.classes import Classes
from umbcmail.route.resolver import DNSResolver
from umbcmail.sections import sections
from umbcmail.state.memoryhosts import MemoryHosts
from umbcmail.ways import makeDestinations, makeRouter, makeTraffic

SETTINGS = str(Path(__file__).with_name("simulation.toml"))


def configuration(sets: Sequence[str] = ()) -> Config:
    """That of the simulation.  @param sets: as C{--set} has them."""
    return load(sections(), SETTINGS, sets)


class WatchedLog(MailLog):
    """Counts events, and writes none: only what nobody expects is of interest."""

    def __init__(self, ledger: Ledger, clock: HeapClock) -> None:
        super().__init__(lambda _: None, clock)
        self._ledger = ledger

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """See L{MailLog.event}."""
        self.counts[what] += 1

    def attempted(self, id: str, *_: Any) -> None:
        """See L{MailLog.attempted}: the network counts."""

    def trouble(self, id: str, where: str, why: str) -> None:
        """See L{MailLog.trouble}: nothing is to go wrong."""
        self._ledger.fault(f"trouble: {id}: {where}: {why}")

    def bug(self, id: str, where: str, failure: Failure) -> None:
        """See L{MailLog.bug}."""
        self._ledger.fault(f"bug: {id}: {where}: {failure.getTraceback()}")

    def stale(self, id: str, why: str) -> None:
        """See L{MailLog.stale}: nobody takes anything away."""
        self._ledger.fault(f"stale: {id}: {why}")

    def dead(self, id: str, queue: str, recipients: int, why: str) -> None:
        """See L{MailLog.dead}."""
        self._ledger.dead(id)


class WatchedSpool(MemorySpool):
    """Tells what it is given, and counts.

    @ivar calls: how many.
    """

    def __init__(self, owner: str, store: MemoryStore, ledger: Ledger) -> None:
        super().__init__(owner, store=store)
        self.calls: Counter[str] = Counter()
        self._ledger = ledger

    def claim(self, queue: str, limit: int, now: float, order: Order = Order.DUE) -> Deferred[list[Claim]]:
        """See L{ISpool.claim}."""
        self.calls["looks"] += 1
        found = super().claim(queue, limit, now, order)
        self.calls[f"claims {queue}"] += len(found.result)  # type: ignore[attr-defined]
        return found

    def record(
        self, claim: Claim, change: Change, now: float, bounces: Iterable[tuple[Envelope, IContent, Draft]] = ()
    ) -> Deferred[None]:
        """See L{ISpool.record}."""
        self.calls["records"] += 1
        self._ledger.told([(envelope, content) for envelope, content, _ in bounces])
        return super().record(claim, change, now, bounces)


@dataclass(frozen=True, slots=True)
class Shared:
    """What processes share."""

    world: World
    ledger: Ledger
    clock: HeapClock
    store: MemoryStore
    hosts: dict[str, HostStatus]
    names: NameServers


@dataclass(frozen=True, slots=True)
class _Tools:
    reactor: Any
    log: Any
    resolver: Any
    hostName: str
    state: Any


class _State:
    def __init__(self, hosts: MemoryHosts) -> None:
        self.hosts = hosts


class Process:
    """One process of umbcmail: intake of both kinds, and all queues.

    @ivar log: L{WatchedLog}.
    @ivar spool: L{WatchedSpool}.
    """

    def __init__(self, name: str, config: Config, shared: Shared, seed: int) -> None:
        clock, self._config = shared.clock, config
        self._random = Random(seed)
        self._clock = clock
        self.log = WatchedLog(shared.ledger, clock)
        self.spool = WatchedSpool(name, shared.store, shared.ledger)
        hosts = MemoryHosts(shared.hosts)
        settings = config.section("hosts")
        hosts.waits = Waits(settings["first-look"], settings["longest-look"])
        domains = config.section("domains")
        classes = Classes(domains["local"], domains["internal"])
        self.network = Network(shared.world, shared.ledger, hosts, clock, classes.classify)
        couriers = dict.fromkeys(config.names("courier.*"), self.network)
        resolver = DNSResolver(clock, asked=shared.names, negative=config.section("dns")["second-look"] / 2)
        tools = _Tools(clock, self.log, resolver, config.section("host")["name"], _State(hosts))
        findings = Findings(config)
        router = makeRouter(findings, tools, classes, couriers)
        destinations = makeDestinations(findings, couriers)
        schedules = {queue: self._schedule(queue, destinations) for queue in config.names("queue.*")}
        shelf = Shelf(self.spool, schedules, self._wake, clock)
        self.traffic = makeTraffic(findings, tools, destinations, shelf)
        assert not findings.problems, findings.problems
        self.attempts = Attempts(router, couriers, self.log, clock, self.traffic)
        terms = termsOf(config.section("bounce"))
        self.settlement = Settlement(
            tools.hostName, self.spool, router, schedules, self.log, clock, Identity(clock.seconds, seed),
            self._wake, terms,
        )  # fmt: skip
        self.runners = {queue: self._runner(queue, schedules[queue]) for queue in schedules}
        letters = DeadLetters(terms.deadLetters, terms.deadAge, self.spool, self.log)
        self.expiry = Expiry(config.section("schedule")["expiry"], self.spool, schedules, self.log, clock, letters)
        self._intakes = {
            way: Intake(
                spool=self.spool, router=router, attempts=self.attempts, runners=self.runners, schedules=schedules,
                log=self.log, clock=clock, tell=self.settlement.tell,
                **settingsFor(config.section(f"agent.{agent}"), 1, lambda: 0.0) | {"queue": queue},
            )
            for way, agent, queue in (("delivery", "delivery", ""), ("relay", "relay", ""), ("bulk", "relay", "bulk"))
        }  # fmt: skip

    def start(self) -> None:
        """Begin."""
        self.spool.start()
        for runner in self.runners.values():
            runner.start()
        self.expiry.start()

    def stop(self) -> None:
        """Take no more."""
        self.expiry.stop()
        for runner in self.runners.values():
            runner.stop()

    def accept(self, way: str, envelope: Envelope, content: IContent) -> Deferred[Reply]:
        """A client gives a message.  @param way: C{delivery} (interactive), C{relay}, C{bulk}."""
        return maybeDeferred(self._intakes[way].accept, envelope, content)

    def _schedule(self, queue: str, destinations: Any) -> Schedule:
        settings = self._config.section(f"queue.{queue}")
        own = Schedule(settings["retry"], settings["expire"], settings["warn"], self._random.random)
        return replace(own, overrides=destinations.schedules(own))

    def _runner(self, queue: str, schedule: Schedule) -> Runner:
        settings = self._config.section(f"queue.{queue}")
        return Runner(
            queue, settings["concurrency"], settings["poll"], schedule, self.spool, self.attempts, self.settlement,
            self.log, self._clock, order=Order(settings["order"]),
        )  # fmt: skip

    def _wake(self, queue: str) -> None:
        self.runners[queue].wake()
