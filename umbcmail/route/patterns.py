"""Finds a domain among patterns: names, C{*.domain} and C{*}.

A name beats a wildcard, a longer wildcard a shorter one; C{*.umbc.edu} is all
below C{umbc.edu} and not itself.  Of equal patterns the first one counts.  Used
by `classes` and `table` for every recipient, so an answer is one dictionary
look-up most of the time; what is remembered is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

REMEMBERED = 10_000
"""Domains whose answers are remembered."""

T = TypeVar("T")


class Patterns(Generic[T]):
    """A table from domain patterns to values."""

    def __init__(self, rows: Iterable[tuple[str, T]]) -> None:
        """
        @param rows: pairs of pattern (lower case) and value.
        """
        self._exact: dict[str, T] = {}
        self._below: dict[str, T] = {}
        self._memo: dict[str, T | None] = {}
        for pattern, value in rows:
            if pattern == "*":
                self._below.setdefault("", value)
            elif pattern.startswith("*."):
                self._below.setdefault(pattern[2:], value)
            else:
                self._exact.setdefault(pattern, value)

    def find(self, domain: str) -> T | None:
        """The value of the best pattern.

        @param domain: lower case; C{""} matches nothing.
        @return: L{None} when no pattern matches.
        """
        try:
            return self._memo[domain]
        except KeyError:
            pass
        found = self._search(domain)
        if len(self._memo) >= REMEMBERED:
            self._memo.clear()
        self._memo[domain] = found
        return found

    def _search(self, domain: str) -> T | None:
        if not domain:
            return None
        if domain in self._exact:
            return self._exact[domain]
        rest = domain
        while rest:
            rest = rest.partition(".")[2]
            if rest in self._below:
                return self._below[rest]
        return None
