"""Name servers of the simulated world."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.names import dns

from tests.dnsfakes import message, nothing, record
from tests.simulation.heapclock import HeapClock
from tests.simulation.world import World
from umbcmail.destination import NoAnswer

TTL = 3600
SILENCE = 10.0
"""Seconds until it is clear that no server answers."""


class NameServers:
    """Answers as L{umbcmail.route.servers.Servers} does.

    @ivar asked: questions.
    """

    def __init__(self, world: World, clock: HeapClock) -> None:
        self.asked = 0
        self._world = world
        self._clock = clock
        self._made: dict[tuple[bytes, int], Any] = {}
        self._hosts = {host.name: host for host in world.hosts.values()}

    def ask(self, name: bytes, kind: int, twice: bool) -> Deferred[Any]:
        """See L{umbcmail.route.servers.Servers.ask}."""
        self.asked += 1
        key = (name, kind)
        answer = self._made.get(key)
        if answer is None:
            answer = self._made[key] = self._answer(name.decode(), kind)
        return succeed(answer) if answer else deferLater(self._clock, SILENCE, self._silent, name)

    @staticmethod
    def _silent(name: bytes) -> None:
        raise NoAnswer(name.decode())

    def _answer(self, name: str, kind: int) -> Any:
        domain = self._world.byName.get(name)
        if domain is not None and domain.kind == "unnamed":
            return None
        if kind == dns.MX and domain is not None and domain.kind != "gone":
            exchanges = domain.exchanges
            return message(*[record(name, dns.Record_MX(p, h.name.encode()), TTL) for p, h in exchanges])
        if kind == dns.A and name in self._hosts:
            return message(record(name, dns.Record_A(self._hosts[name].address), TTL))
        return nothing(TTL, dns.OK if name in self._hosts else dns.ENAME)
