"""Makes the services of the roles that are neither an agent nor a queue.  Part of the
composition: called by `service`.

Each is a Twisted service.  `application` lets it bind its ports before privileges
are dropped, starts it when spool and state are open, and stops it after the agents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from shutil import which
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString

from umbcmail import __version__
from umbcmail.drac.server import DracServer
from umbcmail.filter.modules.freshclam import Freshclam
from umbcmail.findings import Findings
from umbcmail.handing import makePickup
from umbcmail.interfaces import ISpool, IWatched
from umbcmail.lda.asking import AskedAgent
from umbcmail.maillog import MailLog
from umbcmail.multiplexing import makeMultiplexer
from umbcmail.postman.watching import KeptTicket
from umbcmail.queue.cleaner import Cleaner
from umbcmail.queue.munger import Munger, rulesOf

NEEDED = ("program", "spool")
"""Watched parts without which no mail can be accepted."""


def makeServices(findings: Findings, tools: Any, roles: Sequence[str], watched: list[IWatched]) -> list[IService]:
    """The services of some roles.

    @param tools: L{umbcmail.service.Tools}.
    @param watched: parts that tell how they are; those of the services are added.
    """
    services: list[IService] = []
    if "drac" in roles:
        server = _makeDrac(findings, tools)
        if server is not None:
            services.append(server)
            watched.append(server)
    if "filter" in roles:
        multiplexer = makeMultiplexer(findings, tools)
        if multiplexer is not None:
            services.append(multiplexer)
            watched += watchedParts(multiplexer, *multiplexer.parts)
    if "schedule" in roles and (freshclam := _freshclam(findings, tools)) is not None:
        services.append(freshclam)
        watched.append(freshclam)
    pickup = makePickup(findings, tools, roles)
    if pickup is not None:
        services.append(pickup)
        watched.append(pickup)
    if "watch" in roles:
        services += _watch(findings, tools, roles, watched)
    return services


def _makeDrac(findings: Findings, tools: Any) -> DracServer | None:
    """The server of DRAC, where it is to listen anywhere."""
    settings = findings.config.section("drac")
    for host, port in settings["notify"]:
        if ":" in host and not port:
            findings.wrong("drac.notify", "an IPv6 address needs a port, [address]:port", value=host)
    if not settings["listen"] or tools.state is None:
        return None
    return DracServer(settings, tools.state.roster, tools.reactor, tools.log, tools.inThread)


def _freshclam(findings: Findings, tools: Any) -> Freshclam | None:
    """What renews the signatures of ClamAV, where that is configured."""
    settings = findings.config.section("freshclam")
    command = settings["command"]
    if not command:
        return None
    program = which(command[0])
    if program is None:
        findings.wrong("freshclam.command", "there is no such program", value=command[0])
        return None
    return Freshclam((program, *command[1:]), settings["every"], settings["limit"], tools.reactor, tools.log)


def makeMunger(findings: Findings, spool: ISpool, log: MailLog, now: Callable[[], float]) -> Munger:
    """What moves entries between classes by C{[[munge]]}."""
    rows = findings.config.array("munge")
    queues = findings.config.names("queue.*")
    for at, row in enumerate(rows, 1):
        for key in ("from", "to"):
            for queue in row[key] if key == "from" else (row[key],):
                if queue not in queues:
                    findings.unknown(f"munge[{at}].{key}", "queue class", queue, queues)
        if row["to"] in row["from"]:
            findings.wrong(f"munge[{at}].to", "entries are moved to where they are", value=row["to"])
    return Munger(rulesOf(rows), spool, log, now)


def makeCleaner(findings: Findings, spool: ISpool, log: MailLog) -> Cleaner:
    """What removes notifications about spam."""
    return Cleaner(findings.config.section("schedule")["spam-score"], spool, log)


def makeSweeps(findings: Findings, tools: Any, spool: ISpool, watched: list[IWatched]) -> list[IService]:
    """Munger and cleaner, at their times, where this process has the role C{schedule}.

    @param tools: L{umbcmail.service.Tools}.
    """
    settings = findings.config.section("schedule")
    munger = makeMunger(findings, spool, tools.log, tools.reactor.seconds)
    services: list[IService] = []
    for often, sweep in ((settings["munge"], munger), (settings["clean"], makeCleaner(findings, spool, tools.log))):
        if often:
            watched.append(sweep)
            timer = TimerService(often, sweep.look)
            timer.clock = tools.reactor
            services.append(timer)
    return services


def watchedParts(*parts: Any) -> list[IWatched]:
    """Those of some parts that tell how they are; what could not be made is L{None}."""
    return [part for part in parts if IWatched.providedBy(part)]


def _watch(findings: Findings, tools: Any, roles: Sequence[str], watched: list[IWatched]) -> list[IService]:
    """The status page.  Where there is none nothing of it is loaded, and nobody
    measures anything."""
    endpoints = findings.config.section("watch")["listen"]
    for endpoint in endpoints:
        findings.checked("watch.listen", partial(_endpoint, tools.reactor, endpoint))
    if not endpoints:
        return []
    agent = findings.config.section("lda")["listen"]
    if agent is not None:
        watched.append(AskedAgent(agent, tools.reactor))
    if findings.config.section("lda")["needs-postman"]:
        watched.append(KeptTicket(findings.config.section("postman")["cache"], tools.reactor.seconds))
    from umbcmail.watch.board import Board
    from umbcmail.watch.picture import About
    from umbcmail.watch.process import Lag, Process
    from umbcmail.watch.service import WatchService
    from umbcmail.watch.site import StatusSite

    started = tools.reactor.seconds()
    lag = Lag(tools.reactor)
    watched += [Process(started), lag]
    about = About(tools.hostName, __version__, tuple(roles), started)
    board = Board(about, watched, NEEDED, tools.log, tools.reactor)
    site = StatusSite(board, tools.log, tools.reactor)
    service: IService = WatchService(endpoints, site, lag, tools.log, tools.reactor)
    return [service]


def _endpoint(reactor: Any, text: str) -> None:
    """@raise ValueError: it is no endpoint."""
    try:
        serverFromString(reactor, text)
    except (ValueError, TypeError, LookupError) as why:
        raise ValueError(f"{text!r} is no endpoint: {why}") from None
