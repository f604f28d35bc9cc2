"""The file that says who may add: C{dracd.allow}, as the genuine server reads it.

A line is C{netmask netaddr}, two dotted quads: a client is in when its address and the
mask give exactly the second one.  What stands behind them is ignored, and so are lines
that begin with white space or C{#}, or can't be read.  Lines of one network in CIDR
form, of both families, mean nothing to the genuine server; here they are networks.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from umbcmail.clientaddress import Rule, ruleOf

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
