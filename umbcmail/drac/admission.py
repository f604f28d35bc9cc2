"""Whether a client may add an address: the decisions of the role C{drac}, without a socket.

What a refusal is called here is what log and figures call it.  Asked by
L{umbcmail.drac.reception} for each call; everything here answers at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from umbcmail.clientaddress import AddressSet, ruleOf

UNLISTED = "unlisted"
"""The client is not one that may add."""
PORT = "port"
"""It has not used a reserved port."""
INDIRECT = "indirect"
"""It may be anybody: rpcbind hands on calls of others in the name of this host."""
NEVER = "never"
"""An address that never may relay by having been added."""
FULL = "full"
"""Too many new addresses."""

RESERVED = 1024
"""Ports below are given to root only."""
REMEMBERED = 10_000
"""Clients whose new addresses are counted."""

_NOBODYS = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network (RFC 1122)
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "::/96",  # unspecified, loopback, IPv4-compatible
            "fe80::/10",  # link-local
            "ff00::/8",  # multicast
        ),
    )
)


class Allowance:
    """How many new addresses a client may add: each one is a drop in a bucket that
    runs empty in the given time."""

    def __init__(self, limit: int, seconds: float) -> None:
        """
        @param limit: how many; 0: any.
        """
        self._limit = limit
        self._flow = limit / seconds
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float) -> bool:
        """One more.  @return: whether it may."""
        if not self._limit:
            return True
        level, since = self._levels.pop(client, (0.0, now))
        level = max(0.0, level - max(0.0, now - since) * self._flow)
        mayTake = level + 1 <= self._limit
        # Put last, so that the first one is the one that has not been heard of for the longest.
        self._levels[client] = (level + mayTake, now)
        if len(self._levels) > REMEMBERED:
            del self._levels[next(iter(self._levels))]
        return mayTake

    def giveBack(self, client: str) -> None:
        """It was not a new one."""
        if client in self._levels:
            level, since = self._levels[client]
            self._levels[client] = (max(0.0, level - 1), since)


class Admission:
    """What is decided.

    @ivar clients: those that may add; with none nobody may.
    @ivar own: addresses of this host, as they are now.
    @ivar isIndirect: rpcbind hands on calls of others.
    """

    def __init__(
        self,
        clients: AddressSet,
        never: Iterable[Any],
        reservedPorts: bool = False,
        perClient: int = 0,
        inAll: int = 0,
        lifetime: float = 1800.0,
    ) -> None:
        """
        @param never: networks of C{ipaddress} whose addresses are never added.
        @param reservedPorts: clients must use them.
        @param perClient: new addresses that a client may add in a lifetime; 0: any.
        @param inAll: that all of them may.
        """
        self.clients = clients
        self.own: frozenset[str] = frozenset()
        self.isIndirect = False
        self._never = AddressSet(ruleOf(network) for network in (*_NOBODYS, *never))
        self._reservedPorts = reservedPorts
        self._perClient = Allowance(perClient, lifetime)
        self._inAll = Allowance(inAll, lifetime)

    def refusal(self, address: str, client: str, port: int, isDatagram: bool) -> str:
        """Why a client may not add an address at all, or C{""}.

        @param address: to be added.
        @param client: address of the client.
        @param port: its port.
        @param isDatagram: it has called by UDP.
        """
        if not self.clients.holds(client):
            return UNLISTED
        if self._reservedPorts and port >= RESERVED:
            return PORT
        if self.isIndirect and isDatagram and self._isHere(client):
            return INDIRECT
        if address in self.own or self._never.holds(address):
            return NEVER
        return ""

    def _isHere(self, client: str) -> bool:
        return client in self.own or client.startswith("127.") or client == "::1"

    def take(self, client: str, now: float) -> bool:
        """Count a new address.  @return: whether the client may add one now."""
        if not self._perClient.take(client, now):
            return False
        if self._inAll.take("", now):
            return True
        self._perClient.giveBack(client)
        return False

    def giveBack(self, client: str) -> None:
        """What has been counted was not new, or was not added."""
        self._perClient.giveBack(client)
        self._inAll.giveBack("")
