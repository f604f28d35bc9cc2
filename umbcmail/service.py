"""Puts the program together: the only place that knows all parts.

`tap` calls L{makeApplication} with the configuration, the reactor and the roles;
what comes back is a Twisted service.  Everything that can be wrong in the
configuration is found here, before a port opens, and told in one go.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from umbcmail.accept.auth.authentication import Terms
from umbcmail.accept.auth.checkers import makePortal, makeTerms
from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.certificates import CertificateWatch
from umbcmail.accept.factory import DeliveryFactory, RelayFactory
from umbcmail.accept.limits import limitsOf
from umbcmail.accept.tally import Doors
from umbcmail.addresses import Addresses, makeClasses
from umbcmail.application import Application, Door
from umbcmail.chains import makeFilters
from umbcmail.config import Config, ConfigError
from umbcmail.entry import Order
from umbcmail.filter.chain import Filters
from umbcmail.findings import Findings
from umbcmail.gates import AGENTS, Gates, offersAuth, portKey
from umbcmail.hoststatus import Waits
from umbcmail.identity import Identity
from umbcmail.interfaces import IWatched
from umbcmail.maillog import LogFile, MailLog
from umbcmail.ports import arrivals, endpointOf, makeTLS, portTLS
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.deadletters import DeadLetters
from umbcmail.queue.expanding import Expanding
from umbcmail.queue.expiry import Expiry
from umbcmail.queue.intake import Intake
from umbcmail.queue.intakesettings import settingsFor
from umbcmail.queue.notifier import termsOf
from umbcmail.queue.runner import Runner
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.settlement import Settlement
from umbcmail.queue.shelf import Shelf
from umbcmail.queue.spoolwatch import SpoolWatch
from umbcmail.queue.tally import Queues
from umbcmail.queue.watchdog import Watchdog
from umbcmail.roles import makeServices, makeSweeps, watchedParts
from umbcmail.route.resolver import makeResolver
from umbcmail.route.router import Router
from umbcmail.send.census import Couriers
from umbcmail.steadytime import SteadyTime
from umbcmail.storage import inThread, openSpool, openState
from umbcmail.watch.log import LogWatch
from umbcmail.ways import (
    makeCallAhead,
    makeCouriers,
    makeDestinations,
    makeRouter,
    makeSchedules,
    makeTLSPolicy,
    makeTraffic,
)

ROLES = (*AGENTS, "queue", "schedule", "drac", "filter", "watch")
"""What one process can do; all of it unless told otherwise."""
THREADS = 20
"""Threads of the parts, Maildirs among them."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What parts that are found by name may need.

    @ivar reactor: reactor.
    @ivar log: L{MailLog}.
    @ivar resolver: L{umbcmail.interfaces.IResolver}.
    @ivar inThread: C{deferToThread} or the like.
    @ivar hostName: our name.
    @ivar tlsPolicy: L{umbcmail.interfaces.ITLSPolicy}, or L{None}.
    @ivar state: L{umbcmail.interfaces.IState}: the roster, counters.
    """

    reactor: Any
    log: MailLog
    resolver: Any
    inThread: Callable[..., Deferred[Any]]
    hostName: str
    tlsPolicy: Any = None
    state: Any = None


def makeApplication(
    config: Config,
    reactor: Any,
    roles: Sequence[str] = ROLES,
    checkers: Sequence[str] = (),
    steady: SteadyTime | None = None,
) -> Application:
    """The whole program for some roles.

    @param checkers: of log-ins, beside those of the configuration.
    @param steady: the time of the reactor, if it is looked after.

    @raise ConfigError: with all that is wrong.
    """
    composition = _Composition(config, reactor, roles, checkers)
    composition.steady = steady
    application = composition.application()
    if composition.findings.problems:
        raise ConfigError(composition.findings.problems)
    return application


class _Composition:
    """Makes the parts, in the order in which they need each other, and gathers
    what is wrong on the way."""

    def __init__(self, config: Config, reactor: Any, roles: Sequence[str], checkers: Sequence[str]) -> None:
        self.findings = Findings(config)
        self._config = config
        self._reactor = reactor
        self._roles = roles
        self._hostName = config.section("host")["name"] or socket.getfqdn()
        settings = config.section("log")
        self._logFile = LogFile(settings["file"])
        self._log = MailLog(self._logFile.write, reactor, settings["format"] == "json")
        self._inThread = inThread(reactor)
        self._filters: list[Filters] = []
        self._newId = Identity(reactor.seconds, secrets.randbits(40))
        self._schedules: dict[str, Schedule] = {}
        self.steady: SteadyTime | None = None
        self._spool = self.findings.checked("spool.url", lambda: openSpool(config, reactor, self._log))
        self._state = self.findings.checked("state.url", lambda: openState(config, reactor, self._log))
        if self._state is not None:
            hosts = config.section("hosts")
            self._state.hosts.waits = Waits(hosts["first-look"], hosts["longest-look"])
        self._resolver = makeResolver(reactor, config.section("dns"))
        policy = makeTLSPolicy(self.findings)
        # A mailbox server that hangs must not hold up the spool, so the parts have threads of their own.
        self._threads = ThreadPool(0, THREADS, "parts")
        inOwnThread = partial(deferToThreadPool, reactor, self._threads)
        self._tools = Tools(reactor, self._log, self._resolver, inOwnThread, self._hostName, policy, self._state)
        self._classes = makeClasses(config)
        self._gates = Gates(self.findings, self._tools, self._classes)
        self._addresses = Addresses(self.findings, self._tools, self._classes)
        self._terms = self.findings.checked("auth.checkers", lambda: self._makeTerms(checkers))
        hasPorts = "delivery" in roles or "relay" in roles
        self._serverTLS = makeTLS(config, self.findings.problems) if hasPorts else None

    def application(self) -> Application:
        """All of it."""
        couriers = makeCouriers(self.findings, self._tools)
        router = makeRouter(self.findings, self._tools, self._classes, couriers)
        self._runners = runners = dict[str, Runner]()
        destinations = makeDestinations(self.findings, couriers)
        self._schedules = makeSchedules(self._config, destinations)
        shelf = Shelf(self._spool, self._schedules, self._wake, self._reactor)
        traffic = makeTraffic(self.findings, self._tools, destinations, shelf)
        attempts = Attempts(router, couriers, self._log, self._reactor, traffic, self._addresses.agent())
        terms = termsOf(self._config.section("bounce"))
        self._settlement = settlement = Settlement(
            self._hostName,
            self._spool,
            router,
            self._schedules,
            self._log,
            self._reactor,
            self._newId,
            self._wake,
            terms,
        )
        expanding = self._addresses.expanding(router, settlement)
        for queue in self._schedules:
            runners[queue] = self._makeRunner(queue, attempts, settlement, expanding)
        callAhead = makeCallAhead(self.findings, self._tools, router, couriers)
        self._gates.checks = self._addresses.checks(self._gates.checks, callAhead)
        doors = self._makeDoors(router, attempts, runners)
        expiry = self._makeExpiry(DeadLetters(terms.deadLetters, terms.deadAge, self._spool, self._log))
        certificates = self._certificateWatch()
        watched, services = self._makeServices(runners, attempts, couriers, doors, certificates)
        self._follow(runners, expiry, services, watched)
        watched.append(traffic)
        application = Application(
            self._reactor,
            self._log,
            self._roles,
            self._spool,
            self._state,
            doors,
            list(runners.values()) if "queue" in self._roles else [],
            list(runners.values()),
            expiry if "schedule" in self._roles else None,
            list(couriers.values()),
            self._threads,
            certificates,
            services,
        )
        watched.append(application)
        return application

    def _makeServices(
        self, runners: Any, attempts: Attempts, couriers: Any, doors: Sequence[Door], certificates: Any
    ) -> tuple[list[IWatched], list[IService]]:
        """Who tells how it is, and the services of rules and of the other roles."""
        ruling: list[Any] = [*self._gates.used.values(), *self._gates.checks.values(), *self._addresses.services]
        watched = watchedParts(
            self._state,
            LogWatch(self._log, self._logFile),
            self._resolver,
            SpoolWatch(self._spool, self._schedules, self._reactor.seconds) if self._spool else None,
            Queues(runners, attempts, couriers),
            Couriers(couriers),
            Doors({door.name: door.factory for door in doors}),
            certificates,
            *self._filters,
            *ruling,
        )
        services: list[IService] = [rule for rule in ruling if IService.providedBy(rule)]
        if "schedule" in self._roles:
            services += makeSweeps(self.findings, self._tools, self._spool, watched)
        if "queue" in self._roles:
            limits = {queue: self._config.section(f"queue.{queue}")["hung"] for queue in runners}
            dog = Watchdog(runners, limits, self._log, self._reactor)
            services.append(dog)
            watched.append(dog)
        services += makeServices(self.findings, self._tools, self._roles, watched)
        return watched, services

    def _follow(
        self, runners: Mapping[str, Runner], expiry: Expiry, services: list[IService], watched: list[IWatched]
    ) -> None:
        """Who is told when the system's clock jumps."""
        if self.steady is not None:
            self.steady.log = self._log
            self.steady.followers += [expiry.clockJumped, *(runner.clockJumped for runner in runners.values())]
            services.append(self.steady)
            watched.append(self.steady)

    def _certificateWatch(self) -> CertificateWatch | None:
        if self._serverTLS is None:
            return None
        poll = self._config.section("tls")["poll"]
        return CertificateWatch(self._serverTLS, self._reactor, self._log, self._inThread, poll)

    # Queues

    def _wake(self, queue: str) -> None:
        """Something is due in a class."""
        self._runners[queue].wake()

    def _makeExpiry(self, letters: DeadLetters) -> Expiry:
        often = self._config.section("schedule")["expiry"]
        return Expiry(often, self._spool, self._schedules, self._log, self._reactor, letters)

    def _makeRunner(
        self, queue: str, attempts: Attempts, settlement: Settlement, expanding: Expanding | None
    ) -> Runner:
        settings = self._config.section(f"queue.{queue}")
        return Runner(
            queue,
            settings["concurrency"],
            settings["poll"],
            self._schedules[queue],
            self._spool,
            attempts,
            settlement,
            self._log,
            self._reactor,
            order=Order(settings["order"]),
            expanding=expanding,
        )

    # Agents and ports

    def _makeTerms(self, checkers: Sequence[str]) -> Callable[[bool], Terms] | None:
        """What makes the terms of AUTH for a port, if there are checkers."""
        settings = self._config.section("auth")
        surroundings = Surroundings(
            self._reactor, self._log, self._inThread, settings=settings, hostName=self._hostName
        )
        portal = makePortal((*settings["checkers"], *checkers), surroundings)
        if portal is None:
            return None
        return makeTerms(portal, settings, self._reactor, self._state.counters if self._state else None, self._log)

    def _auth(self, key: str, needed: bool, hasTLS: bool) -> Terms | None:
        """What holds for AUTH on a port."""
        if offersAuth(self.findings, key, hasTLS, self._terms is not None):
            assert self._terms is not None
            terms: Terms = self._terms(needed)
            return terms
        return None

    def _makeDoors(self, router: Router, attempts: Attempts, runners: Mapping[str, Runner]) -> list[Door]:
        doors = []
        for agent in self._config.names("agent.*"):
            if agent not in AGENTS:
                self.findings.unknown(f"agent.{agent}", "agent", agent, AGENTS)
            if agent not in self._roles:
                continue
            settings = self._config.section(f"agent.{agent}")
            if settings["queue"] and settings["queue"] not in runners:
                self.findings.unknown(f"agent.{agent}.queue", "queue class", settings["queue"], runners)
            intake = Intake(
                spool=self._spool,
                router=router,
                attempts=attempts,
                runners=runners,
                schedules=self._schedules,
                log=self._log,
                clock=self._reactor,
                tell=self._settlement.tell,
                expansions=self._addresses.expansions,
                **settingsFor(settings, os.cpu_count() or 1, lambda: os.getloadavg()[0]),
            )
            filters = makeFilters(self.findings, self._tools, agent, self._spool)
            if filters is not None:
                self._filters.append(filters)
            for name in self._config.names(f"agent.{agent}.port.*"):
                doors.append(self._makeDoor(agent, name, settings, intake, filters))
        return doors

    def _makeDoor(
        self, agent: str, name: str, settings: Mapping[str, Any], intake: Intake, filters: Filters | None
    ) -> Door:
        key = portKey(agent, name)
        port = self._config.section(key)
        policy = self._gates.policy(key)
        tls = portTLS(self._config, key, self._serverTLS, self.findings.problems)
        terms = self._auth(key, port["auth"] == "require", tls is not None)
        factory = (RelayFactory if agent == "relay" else DeliveryFactory)(
            self._gates.rules(agent, name, policy, terms, intake, self._spool, filters),
            self._reactor,
            self._log,
            self._newId,
            settings["idle"],
            settings["connections"],
            settings["connections-per-client"],
            tls,
            port["tls"] == "first",
            terms.portal if terms is not None else None,
            limitsOf(settings),
            *arrivals(port, self._inThread),
        )
        return Door(key, endpointOf(self._config, key), factory)
