"""Asks the parts of the program what would become of a message; nothing is sent.

Called by `explainparser`.  The session is rehearsed with the L{Dialogue} that real
sessions have, as far as RCPT, so the replies are those that the client would hear.
The rules, the state and the DNS are really asked.  The spool and the log are left
alone, and no port opens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import implementer

from umbcmail.accept.dialogue import Dialogue
from umbcmail.accept.grammar import CommandError, parseRcpt
from umbcmail.accept.portkinds import tcpPort
from umbcmail.chains import makeFilters
from umbcmail.check.recipientpolicy import RecipientPolicy
from umbcmail.cli.addresscommand import Found, stepLines
from umbcmail.cli.addresscommand import found as standsFor
from umbcmail.cli.command import NOTHING, USAGE, Refusal, withStore
from umbcmail.cli.explainparser import Question
from umbcmail.cli.explanation import Explanation, Way, linesOf, recordOf
from umbcmail.cli.parts import Parts
from umbcmail.cli.rehearsal import Rehearsal, Terms, pathOf
from umbcmail.config import Config
from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.envelope import Client, Recipient
from umbcmail.gates import AGENTS, Gates, offersAuth, portKey
from umbcmail.interfaces import IRelayPolicy
from umbcmail.options import durationText
from umbcmail.ports import holder, portTLS
from umbcmail.sighting import StateError
from umbcmail.state.memory import MemoryState
from umbcmail.verdict import Verdict


@inlineCallbacks
def explain(
    question: Question, config: Config, reactor: Any, tools: Any, asJSON: bool = False, resolver: Any = None
) -> Any:
    """Answer a question, and print it.

    @param tools: L{umbcmail.cli.Tools}.
    @param resolver: in place of that of the configuration.
    @return: L{Deferred}; fails with L{Refusal}, without a text and with status 1
        when the message would not be taken, and with C{ConfigError}.
    """
    agent, name = findPort(config, question)
    scene = _Scene(Parts(config, reactor, tools.note, resolver))
    asked: Deferred[Explanation] = withStore(
        "state", StateError, lambda: scene.state, lambda state: scene.explained(question, agent, name)
    )
    found = yield asked
    text = [json.dumps(recordOf(found))] if asJSON else linesOf(found)
    tools.out.writelines(line + "\n" for line in text)
    tools.out.flush()
    if not found.isTaken:
        raise Refusal(NOTHING)


def findPort(config: Config, question: Question) -> tuple[str, str]:
    """Agent and name of the port that is meant.

    @raise Refusal: there is none, or there are several.
    """
    prefix, dot, name = question.port.rpartition(".")
    if dot and question.agent and prefix != question.agent:
        raise Refusal(USAGE, f"--port {question.port} is not a port of the agent {question.agent}")
    agent = prefix or question.agent or "delivery"
    ports = {name: config.section(portKey(agent, name))["endpoint"] for name in config.names(f"agent.{agent}.port.*")}
    if name in ports and agent in AGENTS:
        return agent, name
    found = [each for each, endpoint in ports.items() if name.isdecimal() and tcpPort(endpoint) == int(name)]
    if len(found) == 1 and not dot:
        return agent, found[0]
    known = ", ".join(f"{agent}.{each} ({endpoint})" for each, endpoint in ports.items()) or "none"
    what = f"{len(found)} ports {name}, say which by its name" if len(found) > 1 else f"no port {name}"
    raise Refusal(USAGE, f"the agent {agent} has {what}; there are: {known}")


@implementer(IRelayPolicy)
class _Listener:
    """The policy of a port, with what its rules say.

    @ivar rules: pairs of a rule's name and what it has said.
    @ivar verdict: what comes of that; L{None} before it was asked.
    @ivar recipient: about whom it was asked.
    """

    def __init__(self, policy: RecipientPolicy) -> None:
        self._policy = policy
        self.rules: list[tuple[str, Verdict]] = []
        self.verdict: Verdict | None = None
        self.recipient: Recipient | None = None

    @inlineCallbacks
    def judge(self, client: Client, sender: str, recipient: Recipient) -> Any:
        """See L{IRelayPolicy.judge}."""
        self.recipient = recipient
        self.rules, self.verdict = yield self._policy.explain(client, sender, recipient)
        return self.verdict


class _Scene:
    """What can be asked about a session.

    @ivar state: not started yet.
    """

    def __init__(self, parts: Parts) -> None:
        """
        @raise ConfigError: with all that is wrong.
        """
        self._parts = parts
        self._config = parts.config
        self._findings = parts.findings
        self._log = parts.log
        self.state = parts.state
        self._resolver = parts.resolver
        self._router = parts.router
        self._gates = Gates(parts.findings, parts.tools, parts.classes)
        self._home = parts.classes.home
        self._addresses = parts.addresses()
        self._gates.checks = self._addresses.checks(self._gates.checks)
        parts.check()

    @inlineCallbacks
    def explained(self, question: Question, agent: str, name: str) -> Any:
        """@return: L{Deferred} of an L{Explanation}."""
        key = portKey(agent, name)
        port = self._config.section(key)
        policy = _Listener(self._gates.policy(key))
        hasTLS = portTLS(self._config, key, None, self._findings.problems) is not None
        # Checkers may also come by --auth of twistd.
        checkers = bool(self._config.section("auth")["checkers"]) or port["auth"] is not None
        hasAuth = offersAuth(self._findings, key, hasTLS, checkers)
        settings = self._config.section(f"agent.{agent}")
        queues = self._config.names("queue.*")
        if settings["queue"] and settings["queue"] not in queues:
            self._findings.unknown(f"agent.{agent}.queue", "queue class", settings["queue"], queues)
        makeFilters(self._findings, None, agent, None)
        self._parts.check()
        terms: Any = Terms(port["auth"] == "require") if hasAuth else None
        canStartTLS = hasTLS and port["tls"] != "first"
        rules = self._gates.rules(agent, name, policy, terms)
        dialogue = Dialogue("-", rules, Client(question.client), self._log, canStartTLS)
        found = Explanation(f"{agent}.{name}", port["endpoint"], _termsOf(port, hasAuth), dialogue.client)
        found.assumed = self._assumed(question, port)
        yield Rehearsal(dialogue, found, hasAuth).play(question, port["tls"] == "first")
        found.client, found.rules, found.verdict = dialogue.client, policy.rules, policy.verdict
        recipient = policy.recipient or recipientOf(question.recipient)
        if recipient is not None:
            sender = "" if question.sender == "<>" else question.sender.strip("<>")
            stands: Found = yield standsFor(self._addresses, sender, recipient)
            found.steps = stepLines(stands.steps)
            found.way = yield self._way(recipient.domain, settings)
        return found

    def _assumed(self, question: Question, port: Mapping[str, Any]) -> list[str]:
        """What is taken for granted, for this port."""
        found = []
        if "drac" in port["relay"] and isinstance(self.state, MemoryState):
            found.append("the roster is empty: state.url is in another process' memory, or is not there yet")
        if question.login and not self._config.section("auth")["checkers"]:
            found.append("twistd runs without --auth" if port["auth"] is None else "twistd runs with --auth")
        isBalancer = holder(port["proxy"])
        if isBalancer is not None and isBalancer(question.client):
            found.append("this load balancer says by its PROXY header that it speaks for itself")
        return found

    @inlineCallbacks
    def _way(self, domain: str, agent: Mapping[str, Any]) -> Any:
        """Where the mail for a domain goes.

        @param agent: its settings.
        """
        queue = agent["queue"] or self._router.classify(domain)
        next = self._router.way(domain or self._home, queue)
        exchanges = yield self._exchanges(domain or self._home) if next.goesByMX else None
        route = yield self._router.route(domain, queue)
        schedule = self._config.section(f"queue.{queue}")
        return Way(
            queue,
            next.source,
            exchanges,
            route,
            agent["mode"],
            [durationText(wait) for wait in schedule["retry"]],
            durationText(schedule["warn"]) if schedule["warn"] else "",
            durationText(schedule["expire"]),
            list(agent.get("filters", ())),
        )

    @inlineCallbacks
    def _exchanges(self, domain: str) -> Any:
        """The MX records of a domain, or why there are none."""
        if not domain or domain.startswith("["):
            return None
        try:
            found = yield self._resolver.mailExchanges(domain)
        except NoSuchName:
            return "there is no such domain"
        except NoAnswer:
            return "no answer"
        return [f"{preference} {host or '.'}" for preference, host in found]


def recipientOf(text: str) -> Recipient | None:
    """The recipient as the grammar reads it, where it is one."""
    try:
        return parseRcpt(f"TO:{pathOf(text)}", frozenset(), True)
    except CommandError:
        return None


def _termsOf(port: Mapping[str, Any], hasAuth: bool) -> list[tuple[str, str]]:
    """What a port says about who may send."""
    auth = port["auth"] or ("offer" if hasAuth else "never")
    found = [("tls", port["tls"]), ("auth", auth), ("relay", ", ".join(port["relay"]) or "nobody")]
    return found + ([("sender-login", port["sender-login"])] if port["sender-login"] != "any" else [])
