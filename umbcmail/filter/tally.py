"""What has happened with the filters of an agent, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from umbcmail.figure import Figure

RESULTS = ("accepted", "refused", "delayed", "discarded", "quarantined", "unfiltered")


@dataclass(slots=True)
class FilterTally:
    """Of one filter, since the program has begun.

    @ivar connections: that were made.
    @ivar open: of them now.
    @ivar results: messages by what came of them here.
    @ivar commands: commands that it has refused or delayed.
    @ivar edits: that were made.
    @ivar troubles: by kind.
    @ivar seconds: that complete messages have taken here.
    @ivar trouble: what is wrong now, C{""}: nothing.
    """

    connections: int = 0
    open: int = 0
    results: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    edits: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    trouble: str = ""


_MESSAGES = "Messages by what a filter has said: unfiltered ones passed, since it could not be used."


def figuresOf(agent: str, name: str, tally: FilterTally) -> Iterable[Figure]:
    """All of one filter."""
    labels = (("agent", agent), ("filter", name))
    yield Figure("filter_connections", tally.open, "Connections to a filter.", labels)
    yield Figure("filter_connections_total", tally.connections, "Connections to a filter that were made.", labels, True)
    for result in RESULTS:
        number = tally.results[result]
        yield Figure("filter_messages_total", number, _MESSAGES, (*labels, ("result", result)), True)
    yield Figure("filter_commands_refused_total", tally.commands, "Commands that a filter has refused.", labels, True)
    yield Figure("filter_edits_total", tally.edits, "Edits of messages that were made.", labels, True)
    yield Figure("filter_seconds_total", tally.seconds, "Time that complete messages have taken.", labels, True)
    for kind in ("down", "slow", "broken"):
        meaning = "How often a filter could not be used: down, slow, broken."
        yield Figure("filter_troubles_total", tally.troubles[kind], meaning, (*labels, ("kind", kind)), True)
