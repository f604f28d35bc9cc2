"""What can be set for the filters of an agent, and for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umbcmail.filter.sockets import SOCKET, Socket, socketAddress
from umbcmail.options import BOOLEAN, WORD, Option, Section, choice, duration, integer, listOf

POLICY = choice("delay", "accept", "refuse", "quarantine")

AGENT_OPTIONS = (
    Option(
        "filters",
        listOf(WORD),
        [],
        "Filters (milters) that all messages pass, in order: sockets, or names of [milter.NAME].",
    ),
    Option(
        "filter-down",
        POLICY,
        "delay",
        "What becomes of mail when a filter is not there: delay (451), accept without it, refuse, quarantine.",
    ),
    Option("filter-slow", POLICY, None, "The same when it does not answer in time; not set: as filter-down."),
    Option("filter-broken", POLICY, None, "The same when it says what makes no sense; not set: as filter-down."),
)

MILTER = Section(
    "milter.*",
    "A filter that needs settings of its own.",
    (
        Option("socket", SOCKET, None, "Where it listens, in the spelling of Sendmail or Postfix.", True),
        Option("down", POLICY, None, "What becomes of mail when it is not there; not set: filter-down of the agent."),
        Option("slow", POLICY, None, "When it does not answer in time; not set: filter-slow of the agent."),
        Option("broken", POLICY, None, "When it says what makes no sense; not set: filter-broken of the agent."),
        Option("connect-timeout", duration(1), "30s", "Time to connect, and to agree on the protocol."),
        Option("command-timeout", duration(1), "30s", "Time for an answer to a command."),
        Option(
            "content-timeout",
            duration(1),
            "5m",
            "Time for an answer to a piece of a message, and for each sign of progress.",
        ),
        Option("message-timeout", duration(1), "9m", "Time for a whole message; clients wait for 10 minutes."),
        Option("version", integer(2, 6), 6, "Version of the protocol that is offered."),
        Option(
            "pipelining",
            BOOLEAN,
            False,
            "Send a message without waiting for the answers to its parts; quicker where the filter gives many.",
        ),
        Option(
            "keep-connections",
            BOOLEAN,
            False,
            "Use a connection for several clients; only for filters that know the command QUIT_NC, not for libmilter.",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class FilterTerms:
    """What holds for one filter of an agent.

    @ivar name: for logs and figures.
    @ivar down: policy: C{"delay"}, C{"accept"}, C{"refuse"} or C{"quarantine"}.
    @ivar slow: likewise.
    @ivar broken: likewise.
    @ivar connect: seconds, as the options above.
    """

    name: str
    socket: Socket
    down: str = "delay"
    slow: str = "delay"
    broken: str = "delay"
    connect: float = 30.0
    command: float = 30.0
    content: float = 300.0
    message: float = 540.0
    version: int = 6
    pipelining: bool = False
    keeps: bool = False


def filterTerms(
    word: str, section: Callable[[str], Mapping[str, Any]], agent: Mapping[str, Any], names: Sequence[str]
) -> FilterTerms:
    """The terms of a filter as it stands in the list of an agent.

    @param word: a socket, or the name of a section.
    @param section: gives the values of a section.
    @param agent: the agent's settings.
    @param names: of the sections.
    @raise ValueError: it is neither.
    """
    if word in names:
        own = dict(section(f"milter.{word}"))
    elif ":" in word:
        own = {o.name: o.kind.parse(o.default) if o.default is not None else None for o in MILTER.options}
        own["socket"] = socketAddress(word)
    else:
        raise ValueError(f"there is no section [milter.{word}], and it is no socket")
    down = own["down"] or agent["filter-down"]
    return FilterTerms(
        word,
        own["socket"],
        down,
        own["slow"] or agent["filter-slow"] or down,
        own["broken"] or agent["filter-broken"] or down,
        own["connect-timeout"],
        own["command-timeout"],
        own["content-timeout"],
        own["message-timeout"],
        own["version"],
        own["pipelining"],
        own["keep-connections"],
    )
