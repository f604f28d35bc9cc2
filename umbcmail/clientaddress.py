"""IP addresses of clients, brought into one form at the door.

The same client must look the same to every rule, count and log line, however the
kernel reports it: IPv4-mapped IPv6 addresses become IPv4, scopes go away.  L{AddressSet}
tells quickly whether one is in a set.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

REMEMBERED = 10_000
"""Addresses whose answer an L{AddressSet} remembers."""

Rule = tuple[int, int, int]
"""Family (4 or 6), mask, and what the address and the mask must give."""


@lru_cache(maxsize=4096)
def clientAddress(text: str) -> str:
    """The shortest form of an address.

    @param text: IPv4 or IPv6, with or without a scope (C{fe80::1%eth0}).
    @return: an IPv4-mapped address as IPv4; what is no address, unchanged.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=4096)
def networkOf(address: str) -> str:
    """The network that a client counts for: its /24, or /64 of IPv6; what is no
    address stands for itself."""
    try:
        prefix = 64 if ":" in address else 24
        return str(ipaddress.ip_network((address, prefix), strict=False))
    except ValueError:
        return address


def ruleOf(network: Any) -> Rule:
    """@param network: of C{ipaddress}."""
    return network.version, int(network.netmask), int(network.network_address)


class AddressSet:
    """Addresses that fit one of some rules.

    A look-up costs one dictionary access for a known address, and one for each
    different mask otherwise.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.use(rules)

    def use(self, rules: Iterable[Rule]) -> None:
        """These from now on."""
        families: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for family, mask, result in rules:
            families[family].setdefault(mask, set()).add(result)
        self._ipv4 = tuple(families[4].items())
        self._ipv6 = tuple(families[6].items())
        self._memo: dict[str, bool] = {}

    @property
    def isEmpty(self) -> bool:
        """There are no rules."""
        return not self._ipv4 and not self._ipv6

    def holds(self, address: str) -> bool:
        """Whether an address is in it.

        @param address: in any form; what is no IP address is not.
        """
        try:
            return self._memo[address]
        except KeyError:
            pass
        found = self._search(clientAddress(address))
        if len(self._memo) >= REMEMBERED:
            self._memo.clear()
        self._memo[address] = found
        return found

    def _search(self, address: str) -> bool:
        isIPv6 = ":" in address
        try:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET6 if isIPv6 else socket.AF_INET, address))
        except (OSError, ValueError):
            return False
        return any(number & mask in results for mask, results in (self._ipv6 if isIPv6 else self._ipv4))
