"""Who may add, and the file that says so: C{dracd.allow}, as the genuine server reads it.

A line is C{netmask netaddr}, two dotted quads: a client is in when its address and the
mask give exactly the second one.  What stands behind them is ignored, and so are lines
that begin with white space or C{#}, or can't be read.  Lines of one network in CIDR
form, of both families, mean nothing to the genuine server; here they are networks.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

REMEMBERED = 10_000
"""Client addresses whose answer is remembered."""

Rule = tuple[int, int, int]
"""Family (4 or 6), mask, and what the address and the mask must give."""

_SPACE = re.compile(r"[ \t\r\n\f\v]+")


def readRules(text: str) -> tuple[list[Rule], list[int]]:
    """The rules of an allow file.

    @return: them, and the numbers of the lines that can't be read, from 1.
    """
    rules: list[Rule] = []
    unread: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line[0] == "#":
            continue
        rule = None if line[0].isspace() else _rule(_SPACE.split(line.strip()))
        if rule is None:
            unread.append(number)
        else:
            rules.append(rule)
    return rules, unread


def _rule(words: list[str]) -> Rule | None:
    if "/" in words[0] or ":" in words[0]:
        try:
            return ruleOf(ipaddress.ip_network(words[0]))
        except ValueError:
            return None
    numbers = [_quad(word) for word in words[:2]]
    if len(numbers) < 2 or numbers[0] is None or numbers[1] is None:
        return None
    return 4, numbers[0], numbers[1]


def _quad(text: str) -> int | None:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        return None


def ruleOf(network: Any) -> Rule:
    """@param network: of C{ipaddress}."""
    return network.version, int(network.netmask), int(network.network_address)


class Clients:
    """The hosts that may add."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.use(rules)

    def use(self, rules: Iterable[Rule]) -> None:
        """These from now on; with none nobody may."""
        families: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for family, mask, result in rules:
            families[family].setdefault(mask, set()).add(result)
        self._ipv4 = tuple(families[4].items())
        self._ipv6 = tuple(families[6].items())
        self._memo: dict[str, bool] = {}

    @property
    def isEmpty(self) -> bool:
        """There are none."""
        return not self._ipv4 and not self._ipv6

    def holds(self, address: str) -> bool:
        """Whether an address is one of them.

        @param address: as L{umbcmail.clientaddress.clientAddress} writes it.
        """
        found = self._memo.get(address)
        if found is None:
            found = self._search(address)
            if len(self._memo) >= REMEMBERED:
                self._memo.clear()
            self._memo[address] = found
        return found

    def _search(self, address: str) -> bool:
        isIPv6 = ":" in address
        try:
            octets = socket.inet_pton(socket.AF_INET6 if isIPv6 else socket.AF_INET, address)
        except (OSError, ValueError):
            return False
        number = int.from_bytes(octets, "big")
        return any(number & mask in results for mask, results in (self._ipv6 if isIPv6 else self._ipv4))
