"""Makes of the configuration the ways that mail goes: couriers, routes, schedules,
policies of TLS.  Part of the composition: called by `service`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from umbcmail.config import Config
from umbcmail.findings import Findings
from umbcmail.gates import patternsOf
from umbcmail.interfaces import ICourier
from umbcmail.parts import findParts
from umbcmail.queue.destinations import Destinations, WarmUp, overridesOf, termsOfClass
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.shelf import Shelf
from umbcmail.queue.throttle import Throttles, throttlesOf
from umbcmail.queue.traffic import Traffic
from umbcmail.route.classes import Classes
from umbcmail.route.patterns import Patterns
from umbcmail.route.router import Router
from umbcmail.route.table import RouteTable, StaticRoute
from umbcmail.send.callahead import CallAhead
from umbcmail.send.tlspolicy import TLSTable


def makeTLSPolicy(findings: Findings) -> TLSTable | None:
    """The rules of C{[[tls-policy]]}, where there are any."""
    rows = findings.config.array("tls-policy")
    made: TLSTable | None = findings.checked("tls-policy[1]", lambda: TLSTable(rows)) if rows else None
    return made


def makeCouriers(findings: Findings, tools: Any) -> dict[str, ICourier]:
    """All couriers that are configured, by name.

    @param tools: L{umbcmail.service.Tools}.
    """
    config = findings.config
    parts = findParts("courier")
    made: dict[str, ICourier] = {}
    for name in config.names("courier.*"):
        settings = config.section(f"courier.{name}")
        part = parts.get(settings["type"])
        if part is None:
            findings.unknown(f"courier.{name}.type", "type of courier", settings["type"], parts)
        else:
            made[name] = findings.checked(f"courier.{name}", partial(part.make, settings, tools))
    return made


def makeRouter(findings: Findings, tools: Any, classes: Classes, couriers: Mapping[str, ICourier]) -> Router:
    """The router, of the static routes and what the queue classes say."""
    config = findings.config
    dns = config.section("dns")
    routes = _staticRoutes(findings, couriers)
    queues = {queue: config.section(f"queue.{queue}") for queue in config.names("queue.*")}
    for queue, settings in queues.items():
        if settings["courier"] not in couriers:
            findings.unknown(f"queue.{queue}.courier", "courier", settings["courier"], couriers)
    kinds = {name: config.section(f"courier.{name}")["type"] for name in couriers}
    _checkHops(findings, kinds, queues, {route.domain for route in routes})
    return Router(
        classes,
        RouteTable(routes, tools.resolver, kinds),
        tools.resolver,
        {queue: settings["courier"] for queue, settings in queues.items()},
        {queue: settings["next-hops"] for queue, settings in queues.items()},
        Random().shuffle,
        tools.hostName,
        allowLoopback=dns["allow-loopback"],
        kinds=kinds,
        log=tools.log,
        port=dns["mx-port"],
        patience=dns["second-look"],
    )


def makeDestinations(findings: Findings, couriers: Mapping[str, ICourier]) -> Destinations:
    """What holds for destinations, by class and by C{[[destination]]} and C{[[warm-up]]}."""
    config = findings.config
    classes = {queue: termsOfClass(config.section(f"queue.{queue}")) for queue in config.names("queue.*")}
    warmUps = [WarmUp(row["courier"], row["begin"], row["per-day"]) for row in config.array("warm-up")]
    for at, warmUp in enumerate(warmUps, 1):
        if warmUp.courier not in couriers:
            findings.unknown(f"warm-up[{at}].courier", "courier", warmUp.courier, couriers)
    overrides = Patterns(overridesOf(config.array("destination")))
    return Destinations(classes, overrides.find, warmUps)


def makeSchedules(config: Config, destinations: Destinations) -> dict[str, Schedule]:
    """When what waits is tried, by class."""
    schedules: dict[str, Schedule] = {}
    for queue in config.names("queue.*"):
        settings = config.section(f"queue.{queue}")
        own = Schedule(settings["retry"], settings["expire"], settings["warn"], Random().random)
        schedules[queue] = replace(own, overrides=destinations.schedules(own))
    return schedules


def makeTraffic(
    findings: Findings,
    tools: Any,
    destinations: Destinations,
    shelf: Shelf,
) -> Traffic:
    """What lets attempts pass.

    @param shelf: see L{Traffic}.
    """
    config = findings.config
    capacity = {queue: config.section(f"queue.{queue}")["concurrency"] for queue in config.names("queue.*")}
    throttles = throttlesOf(config.array("throttle"))
    for at, throttle in enumerate(throttles, 1):
        for queue in throttle.queues:
            if queue not in capacity:
                findings.unknown(f"throttle[{at}].queues", "queue class", queue, capacity)
    hosts, limits = tools.state.hosts, Throttles(throttles)
    return Traffic(hosts, destinations.terms, capacity, limits, tools.reactor, shelf)


def makeCallAhead(findings: Findings, tools: Any, router: Router, couriers: Mapping[str, ICourier]) -> CallAhead | None:
    """What asks next hops about recipients, where that is configured."""
    settings = findings.config.section("call-ahead")
    if not settings["domains"]:
        return None
    return CallAhead(settings, patternsOf(settings), router, couriers, tools.log, tools.reactor)


def _staticRoutes(findings: Findings, couriers: Mapping[str, ICourier]) -> list[StaticRoute]:
    routes: list[StaticRoute] = []
    for at, settings in enumerate(findings.config.array("route"), 1):
        domain, courier = settings["domain"], settings["courier"]
        if courier not in couriers:
            findings.unknown(f"route[{at}].courier", "courier", courier, couriers)
        if any(route.domain == domain for route in routes):
            findings.wrong(f"route[{at}].domain", "there is a route for this domain already", value=domain)
        routes.append(StaticRoute(domain, courier, settings["next-hops"]))
    return routes


def _checkHops(
    findings: Findings, kinds: Mapping[str, str], queues: Mapping[str, Mapping[str, Any]], routed: set[str]
) -> None:
    """Mail by LMTP has no MX to go by, so it must be told where to go."""
    domains = findings.config.section("domains")
    for queue in ("local", "internal"):
        settings = queues[queue]
        isBare = kinds.get(settings["courier"]) == "lmtp" and not settings["next-hops"]
        hasRoute = routed.issuperset(domains[queue]) or (queue == "internal" and "*" in routed)
        if isBare and not hasRoute:
            reason = f"is needed for the domains in domains.{queue}: the courier is {settings['courier']}"
            findings.wrong(f"queue.{queue}.next-hops", reason)
