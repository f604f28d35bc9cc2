"""Replies that ask for less: patterns of the configuration, and what is held back
because of them.

Used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umbcmail.address import domainOf
from umbcmail.options import BOOLEAN, WORD, Kind, Option, Section, choice, duration, integer, listOf
from umbcmail.outcome import Outcome

REMEMBERED = 10_000
"""Senders and destinations that are held back, at most; the oldest go first."""

SPACING = 0.05
"""Seconds between messages that are held back until the same time."""


def _pattern(value: Any) -> re.Pattern[str]:
    if not isinstance(value, str) or not value:
        raise ValueError("a regular expression is needed")
    try:
        return re.compile(value, re.IGNORECASE)
    except re.error as why:
        raise ValueError(f"is no regular expression: {why}") from None


THROTTLE = Section(
    "throttle[]",
    "What is done when a next hop's reply asks for less; the first one that fits counts.",
    (
        Option("match", Kind("a regular expression", _pattern), None, "What is looked for in the reply.", True),
        Option("queues", listOf(WORD), [], "Classes that it is for; empty: all."),
        Option(
            "scope",
            choice("message", "sender", "destination", "host"),
            "host",
            "What is held back: that message, all of the sender's domain or all for the recipient's domain at that"
            " host, or all for that host.",
        ),
        Option("halve", BOOLEAN, True, "Half as many messages at the same time at that host."),
        Option("floor", integer(1, 1000), 1, "Messages at the same time that are left at least."),
        Option("hold", duration(0), "0s", "How long nothing is tried."),
        Option("recover", duration(1), "1m", "Time after which one message more is tried at the same time."),
    ),
)


@dataclass(frozen=True, slots=True)
class Throttle:
    """A rule: see L{THROTTLE}."""

    match: re.Pattern[str]
    queues: tuple[str, ...] = ()
    scope: str = "host"
    halve: bool = True
    floor: int = 1
    hold: float = 0.0
    recover: float = 60.0


def throttlesOf(rows: Iterable[Mapping[str, Any]]) -> tuple[Throttle, ...]:
    """The rules of the configuration."""
    return tuple(Throttle(**{name: row[name] for name in Throttle.__dataclass_fields__}) for row in rows)


class Throttles:
    """The rules, and what is held back at present.

    @param rules: in order.
    """

    def __init__(self, rules: Sequence[Throttle] = ()) -> None:
        self._rules = rules
        self._held: dict[tuple[str, str, str], float] = {}
        self._ahead: dict[float, float] = {}

    def find(self, queue: str, outcomes: Iterable[Outcome]) -> tuple[Throttle, Outcome] | None:
        """The first rule that fits one of the replies of an attempt, and that outcome.
        What a host says in place of a greeting is in a reply of ours."""
        if not self._rules:
            return None
        for outcome in outcomes:
            if outcome.isDelayed and not outcome.postponed:
                text = str(outcome.reply)
                for rule in self._rules:
                    if (not rule.queues or queue in rule.queues) and rule.match.search(text):
                        return rule, outcome
        return None

    def hold(self, rule: Throttle, sender: str, domain: str, host: str, until: float) -> None:
        """Hold back what the rule says, at a host."""
        key = _key(rule.scope, sender, domain, host)
        if key is not None:
            self._held.pop(key, None)
            self._held[key] = until
            if len(self._held) > REMEMBERED:
                del self._held[next(iter(self._held))]

    def heldUntil(self, sender: str, domain: str, host: str, now: float) -> float:
        """Until when a message is held back, 0 when it is not.  What is held back until the
        same time comes one after the other."""
        if not self._held:
            return 0.0
        until = 0.0
        for scope in ("sender", "destination"):
            key = _key(scope, sender, domain, host)
            if key is not None and key in self._held:
                if self._held[key] > now:
                    until = max(until, self._held[key])
                else:
                    del self._held[key]
        if until:
            if len(self._ahead) > REMEMBERED:
                self._ahead.clear()
            self._ahead[until] = self._ahead.get(until, 0.0) + SPACING
        return until + self._ahead.get(until, 0.0)


def _key(scope: str, sender: str, domain: str, host: str) -> tuple[str, str, str] | None:
    if scope == "sender":
        return scope, domainOf(sender).lower() if sender else "", host
    return (scope, domain, host) if scope == "destination" else None


def isTooMuch(outcome: Outcome) -> bool:
    """There was a fault on the way to a host, or it says that it has enough: to a command,
    or in place of a greeting, which is told in our words."""
    if not outcome.isDelayed:
        return False
    if outcome.isFaultOfTheWay or outcome.reply.code == 421:
        return True
    return not outcome.remote and ": 421 " in outcome.reply.text
