"""Makes of the configuration what addresses stand for: aliases, virtual addresses, C{.forward}.
Part of the composition: called by `service`, and by `cli.parts` for C{umbcmail explain}.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from umbcmail.config import Config
from umbcmail.destination import Hop, Route
from umbcmail.findings import Findings
from umbcmail.interfaces import IRouter
from umbcmail.lda.forwards import Forwards
from umbcmail.queue.attempt import NO_AGENT
from umbcmail.queue.expanding import Expanding, Expansions
from umbcmail.queue.settlement import Settlement
from umbcmail.route.aliasfiles import AliasFiles
from umbcmail.route.classes import Classes
from umbcmail.route.expander import Expander
from umbcmail.route.meaning import Meaning, Terms
from umbcmail.route.patterns import Patterns
from umbcmail.route.router import BY_DOMAIN
from umbcmail.route.walk import Bounds


def makeClasses(config: Config) -> Classes:
    """The classes of domains; those that have virtual addresses only are ours."""
    domains = config.section("domains")
    return Classes((*domains["local"], *config.section("aliases")["virtual-domains"]), domains["internal"])


class Addresses:
    """What addresses stand for.

    @ivar expander: who says it, L{None}: they stand for themselves.
    @ivar services: that have to run for it.
    @ivar expansions: for the intakes, L{None} likewise.
    """

    def __init__(self, findings: Findings, tools: Any, classes: Classes) -> None:
        """
        @param findings: told of what is wrong.
        @param tools: L{umbcmail.service.Tools}.
        """
        self._findings = findings
        self._tools = tools
        self._settings = settings = findings.config.section("aliases")
        self._socket = settings["agent"] or findings.config.section("lda")["listen"]
        self.services: list[Any] = []
        self.expander: Expander | None = None
        self.expansions: Expansions | None = None
        if any(settings[name] for name in ("files", "virtual", "virtual-domains", "forward")):
            self.expander = self._expander(classes)
        for name in ("forward", "program-user"):
            if settings[name] and self._socket is None:
                findings.wrong(f"aliases.{name}", "needs aliases.agent, or lda.listen", value=settings[name])

    def _expander(self, classes: Classes) -> Expander:
        settings, tools = self._settings, self._tools
        files = AliasFiles(
            settings["files"],
            settings["virtual"],
            settings["delimiter"],
            settings["poll"],
            tools.reactor,
            tools.log,
            tools.inThread,
        )
        self._findings.checked("aliases", partial(_load, files))
        self.services.append(files)
        forwards = None
        if settings["forward"] and self._socket is not None:
            forwards = Forwards(self._socket, settings["forward-time"], tools.reactor)
            self.services.append(forwards)
        ours = settings["domains"] or self._findings.config.section("domains")["local"]
        terms = Terms(
            isOurs=_among(ours, True),
            isVirtual=_among(settings["virtual-domains"], False),
            home=classes.home,
            delimiter=settings["delimiter"],
            programUser=settings["program-user"],
            folders=settings["file-folders"],
        )
        bounds = Bounds(settings["depth"], settings["recipients"])
        return Expander(Meaning(files, terms, forwards), bounds, classes.home)

    def agent(self) -> Route:
        """The way to the local delivery agent."""
        config = self._findings.config
        couriers = [name for name in config.names("courier.*") if config.section(f"courier.{name}")["type"] == "lmtp"]
        if self._socket is None or not couriers:
            return NO_AGENT
        return Route(couriers[0], (Hop(f"unix:{self._socket}", self._socket, 0),))

    def expanding(self, router: IRouter, settlement: Settlement) -> Expanding | None:
        """What expands the entries of the queues; and C{expansions} is there from now on."""
        if self.expander is None:
            return None
        config = self._findings.config
        queues = [queue for queue in config.names("queue.*") if queue not in BY_DOMAIN]
        handovers = [queue for queue in queues if config.section(f"queue.{queue}")["next-hops"]]
        limit = self._settings["recipients"]
        self.expansions = Expansions(self.expander, router, self._tools.log, handovers, limit)
        return Expanding(self.expansions, settlement)

    def checks(self, tables: Mapping[str, Any], callAhead: Any = None) -> dict[str, Any]:
        """What is asked about recipients at RCPT, in order: whether they stand for others, tables, the next hop.

        @param callAhead: L{None}: next hops are not asked.
        """
        asked = (self.expander, *tables.values(), callAhead)
        return {check.name: check for check in asked if check is not None}


def _among(patterns: Any, bare: bool) -> Any:
    """Whether a domain is among some.

    @param bare: what is said of no domain, which the bare postmaster has.
    """
    found = Patterns((pattern, True) for pattern in patterns)
    return lambda domain: bool(found.find(domain)) if domain else bare


def _load(files: AliasFiles) -> None:
    """
    @raise ExceptionGroup: of C{ValueError}, one for each mistake.
    """
    mistakes = files.load()
    if mistakes:
        raise ExceptionGroup("the files have mistakes", [ValueError(mistake) for mistake in mistakes])
