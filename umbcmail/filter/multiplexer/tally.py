"""What the multiplexer has done, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from umbcmail.figure import Figure

RESULTS = ("clean", "spam", "virus", "unexamined", "sealed", "failed")
"""What a module can say: C{unexamined} was too large, C{sealed} another host has seen."""
ACTIONS = ("accept", "quarantine", "delay", "discard", "refuse", "too large", "gone")
"""What can become of a message: C{gone}: the MTA did not wait for it."""


@dataclass(slots=True)
class ModuleTally:
    """Of one module.

    @ivar results: messages by result.
    @ivar seconds: that it has taken for them.
    @ivar trouble: why it could not examine the last one, C{""} when it could.
    """

    results: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    trouble: str = ""


@dataclass(slots=True)
class SocketTally:
    """Of one socket.

    @ivar connections: that were made.
    @ivar open: of them now.
    @ivar broken: that have said what makes no sense.
    @ivar turnedAway: that there was no room for.
    @ivar actions: messages by what becomes of them.
    @ivar removed: fields that somebody else has set.
    """

    connections: int = 0
    open: int = 0
    broken: int = 0
    turnedAway: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    removed: int = 0


def figuresOfSocket(name: str, tally: SocketTally) -> Iterable[Figure]:
    """All of one socket."""
    labels = (("socket", name),)
    yield Figure("multiplexer_connections", tally.open, "Connections of MTAs.", labels)
    meaning = "Connections of MTAs that were made."
    yield Figure("multiplexer_connections_total", tally.connections, meaning, labels, True)
    meaning = "Connections that have said what makes no sense."
    yield Figure("multiplexer_broken_total", tally.broken, meaning, labels, True)
    meaning = "Connections that there was no room for."
    yield Figure("multiplexer_turned_away_total", tally.turnedAway, meaning, labels, True)
    for action in ACTIONS:
        meaning = "Messages by what becomes of them."
        yield Figure("multiplexer_messages_total", tally.actions[action], meaning, (*labels, ("action", action)), True)
    meaning = "Header fields that only we may set and somebody else has set."
    yield Figure("multiplexer_forged_total", tally.removed, meaning, labels, True)


def figuresOfModule(name: str, tally: ModuleTally) -> Iterable[Figure]:
    """All of one module."""
    labels = (("module", name),)
    for result in RESULTS:
        meaning = "Messages by what a module says of them."
        yield Figure("module_messages_total", tally.results[result], meaning, (*labels, ("result", result)), True)
    yield Figure("module_seconds_total", tally.seconds, "Time that messages have taken in a module.", labels, True)
