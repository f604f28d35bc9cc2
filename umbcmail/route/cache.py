"""Remembers answers of the DNS for as long as they may be (RFC 2308, RFC 2181).

Bounded: what was not asked for the longest time goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LONGEST = 86_400.0
"""Seconds; a longer time to live is cut to this."""


class Cache:
    """Values by key, each with its own time to live."""

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        """
        @param limit: how many values.
        @param now: seconds.
        """
        self._limit = limit
        self._now = now
        self._values: dict[Any, tuple[float, Any]] = {}

    def get(self, key: Any) -> Any:
        """The value, or L{None} when there is none any more."""
        held = self._values.pop(key, None)
        if held is None or not 0 < held[0] - self._now() <= LONGEST:
            return None
        self._values[key] = held
        return held[1]

    def put(self, key: Any, value: Any, seconds: float) -> None:
        """Remember a value; with 0 seconds, don't."""
        self._values.pop(key, None)
        if seconds <= 0:
            return
        if len(self._values) >= self._limit:
            del self._values[next(iter(self._values))]
        self._values[key] = (self._now() + min(seconds, LONGEST), value)

    def __len__(self) -> int:
        return len(self._values)
