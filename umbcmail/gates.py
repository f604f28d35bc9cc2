"""Makes of the configuration who may send what to whom at each port: rules, policies,
and what else holds for its sessions.  Part of the composition: `service` makes the
ports of it, `cli.explaincommand` asks it what they would say.  Opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from umbcmail.accept.auth.authentication import Terms
from umbcmail.accept.fixups import namesSender, ownsSender
from umbcmail.accept.handover import Rules
from umbcmail.accept.portkinds import isLocal
from umbcmail.check.networks import NetworkSet
from umbcmail.check.recipientpolicy import RecipientPolicy
from umbcmail.check.recipients import makeTables
from umbcmail.check.relaying import RelayPolicy
from umbcmail.findings import Findings
from umbcmail.interfaces import IFilters, IIntake, IRecipientCheck, IRelayPolicy, IRelayRule, ISpool
from umbcmail.parts import findParts
from umbcmail.ports import checkPort, holder
from umbcmail.route.classes import Classes
from umbcmail.route.patterns import Patterns

AGENTS = ("delivery", "relay")


def portKey(agent: str, name: str) -> str:
    """The section of a port in the configuration."""
    return f"agent.{agent}.port.{name}"


def offersAuth(findings: Findings, key: str, hasTLS: bool, hasCheckers: bool) -> bool:
    """Whether clients can log in at a port; what can't be as it is configured is noted.

    @param key: of the port's section.
    """
    wanted = findings.config.section(key)["auth"]
    if wanted == "never" or (wanted is None and not (hasTLS and hasCheckers)):
        return False
    if not hasTLS:
        findings.wrong(f"{key}.auth", "needs TLS on this port", value=wanted)
    elif not hasCheckers:
        findings.wrong(f"{key}.auth", "needs auth.checkers", value=wanted)
    return hasTLS and hasCheckers


def patternsOf(section: Mapping[str, Any]) -> Callable[[str], bool | None]:
    """Whether a domain is among C{domains} of a section."""
    return Patterns((pattern, True) for pattern in section["domains"]).find


class Gates:
    """The rules that are installed, and what is made of them for each port.

    @ivar used: rules of the ports that a policy was made for, by name.
    @ivar checks: of recipients, in order, by name; others may be added before policies
        are made.
    """

    def __init__(self, findings: Findings, tools: Any, classes: Classes) -> None:
        """
        @param findings: told of what is wrong.
        @param tools: L{umbcmail.service.Tools}.
        """
        self._findings = findings
        self._tools = tools
        self._classes = classes
        self.used: dict[str, IRelayRule] = {}
        self._rules = {name: self._made(part) for name, part in findParts("rule").items()}
        self.checks: dict[str, IRecipientCheck] = {}
        recipients = findings.config.section("recipients")
        tables = findings.checked("recipients", partial(makeTables, recipients, patternsOf(recipients), tools))
        if tables is not None:
            self.checks["recipients"] = tables

    def _made(self, part: Any) -> IRelayRule:
        settings = self._findings.config.section(part.section)
        rule: IRelayRule = self._findings.checked(part.section, partial(part.make, settings, self._tools))
        return rule

    def policy(self, key: str) -> RecipientPolicy:
        """Who may relay at a port, by its list of rules.

        @param key: of the port's section.
        """
        order = []
        for name in self._findings.config.section(key)["relay"]:
            if name in self._rules:
                order.append((name, self._rules[name]))
                self.used[name] = self._rules[name]
            else:
                self._findings.unknown(f"{key}.relay", "rule", name, self._rules)
        self._findings.problems.extend(checkPort(self._findings.config, key))
        policy = RelayPolicy(self._isOurs, order, self._tools.log)
        return RecipientPolicy(policy, list(self.checks.items()), self._tools.log)

    def _isOurs(self, domain: str) -> bool:
        return self._classes.classify(domain) in ("local", "internal")

    def _isLocal(self, domain: str) -> bool:
        return self._classes.classify(domain) == "local"

    def _namesSender(self, port: Mapping[str, Any]) -> Callable[[str, str], bool] | None:
        """Who may name whom as sender, where clients are users of this host."""
        if not isLocal(port["endpoint"] or ""):
            return None
        return namesSender(self._isLocal, self._tools.hostName, frozenset(port["trusted-users"]))

    def rules(
        self,
        agent: str,
        name: str,
        policy: IRelayPolicy,
        terms: Terms | None,
        intake: IIntake | None = None,
        spool: ISpool | None = None,
        filters: IFilters | None = None,
    ) -> Rules:
        """What holds for the sessions of a port.

        @param name: of the port, within the agent.
        @param terms: of AUTH, L{None} where there is none.
        @param intake: L{None} where no message is ever taken.
        @param spool: likewise.
        @param filters: L{None} where there are none, or they are not to be asked.
        """
        config = self._findings.config
        settings, port = config.section(f"agent.{agent}"), config.section(portKey(agent, name))
        return Rules(
            hostName=self._tools.hostName,
            agent=agent,
            port=f"{agent}.{name}",
            sizeLimit=settings["size-limit"],
            recipientLimit=settings["recipient-limit"],
            hopLimit=settings["hop-limit"],
            errorLimit=settings["error-limit"],
            commandLimit=settings["command-limit"],
            tlsNeeded=port["tls"] == "require",
            policy=policy,
            intake=intake,  # type: ignore[arg-type]
            newContent=spool.newContent if spool is not None else None,  # type: ignore[arg-type]
            normalises=NetworkSet(settings["bare-line-ends"]).holds,
            now=self._tools.reactor.seconds,
            discard=spool.discard if spool is not None else None,  # type: ignore[arg-type]
            auth=terms,
            leniencies=frozenset(settings["leniencies"]),
            mailLimit=settings["mail-limit"],
            holdLimit=settings["hold-limit"],
            deliverBy=settings["deliver-by"],
            isSubmission=port["submission"],
            ownsSender=ownsSender(self._isLocal) if port["sender-login"] == "match" else None,
            mayName=self._namesSender(port),
            isFilter=holder(port["xclient"]),
            filters=filters,
            isFull=spool.isFull if spool is not None else lambda size: False,
        )
