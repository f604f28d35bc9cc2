"""What would become of a message, as text for people and as JSON for programs.

Made by `explaincommand`.  Pure.  Addresses, names of hosts and replies come from
strangers: whatever a terminal might obey is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from umbcmail.cli.listing import safe
from umbcmail.destination import Route
from umbcmail.envelope import Client
from umbcmail.options import durationText
from umbcmail.reply import Reply
from umbcmail.verdict import Verdict

_WIDTH = 10
_AFTER = {
    "discard": "the client is told that it is taken, and it is thrown away",
    "hold": "it is taken, and waits for an operator",
}


@dataclass(slots=True)
class Way:
    """Where the message would go.

    @ivar queue: name of its queue class.
    @ivar source: what in the configuration says where to.
    @ivar exchanges: MX records, L{None} when nobody asks for them.
    @ivar route: next hops, or what is wrong with them.
    @ivar mode: of the agent: C{interactive} or C{background}.
    @ivar retry: times between attempts, as in the configuration; the last repeats.
    @ivar warn: age at which the sender is told, C{""}: never.
    @ivar expire: age at which it is returned.
    @ivar filters: names, in order.
    """

    queue: str
    source: str
    exchanges: list[str] | str | None
    route: Route
    mode: str
    retry: list[str]
    warn: str
    expire: str
    filters: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Explanation:
    """All of it.

    @ivar port: C{agent.name}.
    @ivar endpoint: where it listens.
    @ivar terms: settings of the port that matter: pairs of name and value.
    @ivar client: as it stands at the end of the session.
    @ivar assumed: sentences: what has been taken for granted, and what can't be.
    @ivar session: pairs of what the client says and the reply to it; L{None}: the
        connection is closed without a word.
    @ivar rules: pairs of a rule's name and what it has said.
    @ivar verdict: what comes of that; L{None}: the rules were not asked.
    @ivar steps: what the recipient stands for, step by step; empty: for itself.
    @ivar way: L{None}: the recipient is no address.
    """

    port: str
    endpoint: str
    terms: list[tuple[str, str]]
    client: Client
    assumed: list[str] = field(default_factory=list)
    session: list[tuple[str, Reply | None]] = field(default_factory=list)
    rules: list[tuple[str, Verdict]] = field(default_factory=list)
    verdict: Verdict | None = None
    steps: list[str] = field(default_factory=list)
    way: Way | None = None

    @property
    def reply(self) -> Reply | None:
        """The last thing that the client hears."""
        return self.session[-1][1]

    @property
    def isTaken(self) -> bool:
        """The client is told that it may send the message."""
        return self.verdict is not None and self.reply is not None and self.reply.isSuccess

    @property
    def answer(self) -> str:
        """The decision in a word of L{umbcmail.verdict.Answer}."""
        if self.verdict is not None:
            return self.verdict.answer.value
        return "delay" if self.reply is not None and self.reply.isTransient else "refuse"

    @property
    def why(self) -> str:
        """The reason for the decision."""
        if self.verdict is not None:
            return self.verdict.why
        return f"no rule is asked, since the session ends with {self.session[-1][0]}"


def linesOf(it: Explanation) -> Iterable[str]:
    """For people."""
    yield from _block("port", [f"{it.port} ({it.endpoint})", *(f"{name} = {value}" for name, value in it.terms)])
    yield from _block("client", [_clientText(it.client)])
    yield from _block("assumed", it.assumed)
    wide = max(len(said) for said, _ in it.session)
    yield from _block("session", [f"{said:<{wide}}  {_firstLine(answer)}" for said, answer in it.session])
    wide = max((len(name) for name, _ in it.rules), default=0)
    yield from _block(
        "rules", [f"{name:<{wide}}  {_verdictText(said)}" for name, said in it.rules] or ["none is asked"]
    )
    yield from _block("decision", _decision(it))
    yield from _block("aliases", it.steps)
    if it.way is not None:
        yield from [] if it.isTaken else ["If it were taken:"]
        yield from _wayLines(it.way)


def _firstLine(answer: Reply | None) -> str:
    """A reply without the long list behind EHLO."""
    return str(Reply(answer.code, answer.enhanced, answer.lines[:1])) if answer is not None else "(closed)"


def _decision(it: Explanation) -> list[str]:
    text = f"{it.answer}: {it.reply or 'the connection is closed without a word'}"
    after = _AFTER.get(it.answer)
    return [text, f"({it.why})", *([after] if after else [])]


def _wayLines(way: Way) -> Iterable[str]:
    yield from _block("filters", way.filters or ["none"])
    yield from _block("class", [way.queue])
    yield from _block("route", [f"by {way.source}", *_mxLines(way.exchanges), *_hopLines(way.route)])
    yield from _block("courier", [way.route.courier])
    first = "tried before the client is answered" if way.mode == "interactive" else "committed, answered, tried at once"
    warned = f"the sender is told of the delay after {way.warn}" if way.warn else "the sender is told of no delay"
    again = f"tried again after {', '.join(way.retry)} (the last repeats)"
    yield from _block("schedule", [first, again, f"{warned}, the message is returned after {way.expire}"])


def _mxLines(exchanges: list[str] | str | None) -> list[str]:
    if exchanges is None:
        return []
    if isinstance(exchanges, str):
        return [f"MX: {exchanges}"]
    return [f"MX {exchange}" for exchange in exchanges] or ["MX: none, so the domain is its own mail host"]


def _hopLines(route: Route) -> list[str]:
    if route.problem is not None:
        final = [f"{durationText(route.patience)} later, when it is still so: {route.final}"] if route.final else []
        return [f"no way: {route.problem}", *final]
    return [f"to {hop}" for hop in route.hops] or ["to no next hop: the courier needs none"]


def _clientText(client: Client) -> str:
    login = f"logged in as {client.login}" if client.login else "no login"
    return f"{client.address}, {'TLS' if client.tls else 'no TLS'}, {login}"


def _verdictText(said: Verdict) -> str:
    words = [
        said.answer.value,
        f": {said.reply}" if said.reply is not None else "",
        f" ({said.why})" if said.why else "",
    ]
    return "".join(words)


def _block(name: str, lines: Iterable[str]) -> Iterable[str]:
    """Lines with a name before the first."""
    for line in lines:
        yield f"{name + ':' if name else '':<{_WIDTH}}{safe(line)}".rstrip()
        name = ""


def recordOf(it: Explanation) -> dict[str, Any]:
    """As JSON values."""
    return {
        "port": it.port,
        "endpoint": it.endpoint,
        "settings": dict(it.terms),
        "client": {
            "address": it.client.address,
            "helo": it.client.helo,
            "tls": bool(it.client.tls),
            "login": it.client.login,
        },
        "assumed": it.assumed,
        "session": [{"said": said, "reply": str(answer or "")} for said, answer in it.session],
        "rules": [
            {"rule": name, "answer": said.answer.value, "reply": str(said.reply or ""), "why": said.why}
            for name, said in it.rules
        ],
        "decision": {"answer": it.answer, "taken": it.isTaken, "reply": str(it.reply or ""), "why": it.why},
        "aliases": it.steps,
        **(_wayRecord(it.way) if it.way is not None else {}),
    }


def _wayRecord(way: Way) -> dict[str, Any]:
    return {
        "filters": way.filters,
        "class": way.queue,
        "route": {
            "by": way.source,
            "mx": way.exchanges,
            "hops": [str(hop) for hop in way.route.hops],
            "problem": str(way.route.problem or ""),
            "final": str(way.route.final or ""),
        },
        "courier": way.route.courier,
        "schedule": {"mode": way.mode, "retry": way.retry, "warn": way.warn, "expire": way.expire},
    }
