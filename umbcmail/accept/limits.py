"""How much of us a client may have: places and time.

A L{Crowd} counts connections for `factory`, by client, by network and by minute.
A L{Patience} tells a `session` when its client takes too long, by samples: it is
asked every few seconds what is going on and notes since when it has seen the same,
so what it watches costs nothing between the samples.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from umbcmail import reply
from umbcmail.clientaddress import networkOf
from umbcmail.options import Option, duration, integer, size
from umbcmail.reply import Reply

OPTIONS = (
    Option("connections-per-network", integer(0), 500, "Connections at the same time, of one /24 or /64; 0: any."),
    Option("connection-rate", integer(0), 600, "New connections in a minute, of one client address; 0: any."),
    Option("handshake", duration(1), "60s", "Time for a PROXY header, and for a TLS handshake."),
    Option("command-time", duration(1), "2m", "Time for a command line, from its first octet to its end."),
    Option("data-rate", size(0), 100, "Octets of a message in a second, on average after the first minute; 0: any."),
    Option("transaction-time", duration(60), "30m", "Time for a transaction, from MAIL to the end of the message."),
)

LOOK = 15.0
"""Seconds between two samples, at most."""
GRACE = 60.0
"""Seconds that a message may be slow."""
GOODBYE = 30.0
"""Seconds that a client which has been sent away has to take what we said last."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What L{OPTIONS} say; 0 is no limit where they say so."""

    connectionsPerNetwork: int = 0
    connectionRate: int = 0
    handshake: float = 60.0
    commandTime: float = 120.0
    dataRate: int = 100
    transactionTime: float = 1800.0


def limitsOf(settings: Any) -> Limits:
    """@param settings: mapping from the names of L{OPTIONS} to values."""
    return Limits(*(settings[option.name] for option in OPTIONS))


class Crowd:
    """The clients of one port.  Programs on this host are no crowd: of them only the
    connections at the same time are counted.

    @param total: connections in all.
    @param perClient: connections of one address.
    """

    def __init__(self, clock: IReactorTime, limits: Limits, total: int, perClient: int) -> None:
        self._clock = clock
        self._limits = limits
        self._total = total
        self._perClient = perClient
        self._count = 0
        self._clients: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._minute = 0.0
        self._arrived: Counter[str] = Counter()

    def admit(self, address: str) -> Reply | None:
        """Count a new client, unless there are too many.

        @return: L{None}, or what to say instead of a greeting.
        """
        isOutside = not (address.startswith(("127.", "user ")) or address == "::1")
        if isOutside and self._limits.connectionRate and self._isHasty(address):
            return reply.TOO_FAST
        network = networkOf(address)
        most = self._limits.connectionsPerNetwork if isOutside else 0
        isFull = self._clients.get(address, 0) >= self._perClient
        if isFull or (most and self._networks.get(network, 0) >= most) or not self.enter():
            return reply.TOO_MANY_CONNECTIONS
        self._clients[address] += 1
        self._networks[network] += 1
        return None

    def release(self, address: str) -> None:
        """A client that was admitted is gone."""
        network = networkOf(address)
        self._clients[address] -= 1
        self._networks[network] -= 1
        # Nothing is remembered of who has no connection.
        if not self._clients[address]:
            del self._clients[address]
        if not self._networks[network]:
            del self._networks[network]
        self.leave()

    @property
    def isFull(self) -> bool:
        """There are as many connections as may be."""
        return self._count >= self._total

    def enter(self) -> bool:
        """Count a connection whose client is not known yet, unless there are too many."""
        if self._count >= self._total:
            return False
        self._count += 1
        return True

    def leave(self) -> None:
        """One of these is gone, or its client is known now."""
        self._count -= 1

    def _isHasty(self, address: str) -> bool:
        now = self._clock.seconds()
        if not 0 <= now - self._minute < 60:
            self._minute = now
            self._arrived.clear()
        self._arrived[address] += 1
        return self._arrived[address] > self._limits.connectionRate


class Patience:
    """How long one client may stay in one place.

    @ivar mostIdle: seconds without a sign.
    """

    __slots__ = ("_limits", "_size", "_stays", "mostIdle")

    def __init__(self, idle: float, limits: Limits) -> None:
        self.mostIdle = idle
        self._limits = limits
        self._stays: dict[str, tuple[Any, float]] = {}
        self._size = 0

    def _stay(self, kind: str, token: Any, now: float) -> float:
        """Seconds since the first sample that has seen the same thing.

        @param token: the thing, or L{None} when there is nothing of the kind.
        """
        if token is None:
            self._stays.pop(kind, None)
            return 0.0
        seen = self._stays.get(kind)
        if seen is not None and (seen[0] is token or (isinstance(token, int) and seen[0] == token)):
            return now - seen[1]
        self._stays[kind] = (token, now)
        return 0.0

    def handshake(self, now: float, isUnderWay: bool) -> float:
        """@return: seconds that are left for a TLS handshake."""
        return self._limits.handshake - self._stay("handshake", isUnderWay or None, now)

    def idle(self, now: float, lastSign: float) -> float:
        """@return: seconds that are left for a sign of the client."""
        return self.mostIdle - (now - lastSign)

    def command(self, now: float, number: int | None) -> float:
        """@param number: of the command whose line has begun, L{None} for no such.
        @return: seconds that are left for its end."""
        return self._limits.commandTime - self._stay("command", number, now)

    def transaction(self, now: float, number: int | None) -> float:
        """@param number: of the transaction that is under way.
        @return: seconds that are left for it."""
        return self._limits.transactionTime - self._stay("transaction", number, now)

    def isTooSlow(self, now: float, number: int | None, octets: int) -> bool:
        """Whether a message comes in too slowly.

        @param number: of the message; L{None} for no such, and while it is us who
            does not read on: it has its grace again then.
        @param octets: how much of it is here.
        """
        lasts = self._stay("message", number, now)
        if lasts == 0:
            self._size = octets
        return lasts > GRACE and octets - self._size < self._limits.dataRate * lasts
