"""What has happened on a port, counted.

Sessions and their factory add to it as things happen (plain numbers, no call);
L{Doors} tells it to who watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched


@dataclass(slots=True)
class Tally:
    """Of one port, since the program has begun.

    @ivar connections: sessions that were made.
    @ivar turnedAway: connections that got no session, as there were too many.
    @ivar secured: TLS handshakes that have come to their end.
    @ivar accepted: messages that were taken.
    @ivar refused: messages that were answered 5xx at their end.
    @ivar delayed: messages that were answered 4xx at their end.
    @ivar recipients: of the messages that were taken.
    @ivar octets: likewise.
    @ivar commandsRefused: commands that were answered 5xx.
    @ivar commandsDelayed: commands that were answered 4xx.
    """

    connections: int = 0
    turnedAway: int = 0
    secured: int = 0
    accepted: int = 0
    refused: int = 0
    delayed: int = 0
    recipients: int = 0
    octets: int = 0
    commandsRefused: int = 0
    commandsDelayed: int = 0


class _Factory(Protocol):
    """What is asked of L{umbcmail.accept.factory.AgentFactory}."""

    @property
    def tally(self) -> Tally:
        """See there."""

    @property
    def sessions(self) -> int:
        """See there."""

    @property
    def isFull(self) -> bool:
        """See there."""


_MEANINGS = {
    "accept_connections_total": "Connections that became a session.",
    "accept_turned_away_total": "Connections that were turned away, as there were too many.",
    "accept_tls_total": "TLS handshakes with clients that have come to their end.",
    "accept_recipients_total": "Recipients of messages that were accepted.",
    "accept_bytes_total": "Octets of messages that were accepted.",
}
_MESSAGES = "Messages by what their end was answered: accepted (2xx), refused (5xx), delayed (4xx)."
_COMMANDS = "Commands that were refused (5xx) or delayed (4xx), RCPT among them."


@implementer(IWatched)
class Doors:
    """All ports of the agents.

    @param factories: by name of the port.
    """

    name = "accept"

    def __init__(self, factories: Mapping[str, _Factory]) -> None:
        self._factories = factories

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        full = [name for name, factory in self._factories.items() if factory.isFull]
        return f"no further client has a place at {', '.join(full)}" if full else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for name, factory in self._factories.items():
            yield from _figuresOf(name, factory)


def _figuresOf(name: str, factory: _Factory) -> Iterable[Figure]:
    tally = factory.tally
    port = ("port", name)
    yield Figure("accept_sessions", factory.sessions, "Clients that are connected.", (port,))
    numbers = (tally.connections, tally.turnedAway, tally.secured, tally.recipients, tally.octets)
    for (what, meaning), number in zip(_MEANINGS.items(), numbers, strict=True):
        yield Figure(what, number, meaning, (port,), True)
    messages = (("accepted", tally.accepted), ("refused", tally.refused), ("delayed", tally.delayed))
    for result, number in messages:
        yield Figure("accept_messages_total", number, _MESSAGES, (port, ("result", result)), True)
    for result, number in (("refused", tally.commandsRefused), ("delayed", tally.commandsDelayed)):
        yield Figure("accept_commands_refused_total", number, _COMMANDS, (port, ("result", result)), True)
