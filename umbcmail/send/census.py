"""How many connections to next hops there are, told to who watches.

A courier gives its L{Census}; L{Couriers} tells of all that have one (those that
carry without connections have none).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.send.pool import Traffic


@dataclass(frozen=True, slots=True)
class Census:
    """Of one courier, now.

    @ivar open: connections that stand.
    @ivar idle: those among them that wait for the next message.
    @ivar connecting: that are being opened.
    @ivar waiting: attempts that wait for one.
    @ivar traffic: since the program has begun.
    """

    open: int
    idle: int
    connecting: int
    waiting: int
    traffic: Traffic


def censusOf(pools: Iterable[tuple[int, int, int, int]], traffic: Traffic) -> Census:
    """@param pools: see L{umbcmail.send.pool.Pool.census}."""
    open = idle = connecting = waiting = 0
    for each in pools:
        open += each[0]
        idle += each[1]
        connecting += each[2]
        waiting += each[3]
    return Census(open, idle, connecting, waiting, traffic)


_STATES = "Connections to next hops, by state: busy, idle, connecting."


@implementer(IWatched)
class Couriers:
    """All couriers.

    @param couriers: by name.
    """

    name = "couriers"

    def __init__(self, couriers: Mapping[str, Any]) -> None:
        self._couriers = couriers

    def condition(self) -> str:
        """See L{IWatched.condition}.  That a next hop is down is no fault of ours."""
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for name, courier in self._couriers.items():
            census = getattr(courier, "census", None)
            if isinstance(census, Census):
                yield from _figuresOf(("courier", name), census)


def _figuresOf(courier: tuple[str, str], census: Census) -> Iterable[Figure]:
    states = (("busy", census.open - census.idle), ("idle", census.idle), ("connecting", census.connecting))
    for state, number in states:
        yield Figure("send_connections_now", number, _STATES, (courier, ("state", state)))
    yield Figure("send_waiting", census.waiting, "Attempts that wait for a connection to become free.", (courier,))
    traffic = census.traffic
    yield Figure("send_connections_total", traffic.made, "Connections to next hops that stood.", (courier,), True)
    meaning = "Connections to next hops that could not be made."
    yield Figure("send_connections_failed_total", traffic.notMade, meaning, (courier,), True)
