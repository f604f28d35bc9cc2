"""When to try again, when to warn, when to give up: the settings of a class.

Declared here for `config`; used by `settlement`, `runner` and `expiry`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from umbcmail.deliverby import isLate, isOver, soonest
from umbcmail.entry import Entry
from umbcmail.options import HOST_PORT, WORD, Kind, Option, Section, choice, duration, integer, listOf, number

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _rate(value: Any) -> tuple[int, float]:
    found = re.fullmatch(r"([1-9][0-9]{0,8}) */ *([0-9]{1,6}) *([smhd])", value) if isinstance(value, str) else None
    if found is None or not int(found[2]):
        raise ValueError('a rate such as "60/1m" or "1/10s" is needed')
    return int(found[1]), float(found[2]) * _UNITS[found[3]]


RATE = Kind("a rate, messages/time", _rate)
"""The value is a number of messages, and seconds."""


ORDER = Option(
    "order",
    choice("due", "age", "host", "priority", "random"),
    "due",
    "What comes first: what is due for longest, the oldest, host by host, small and seldom tried, or any.",
)
PACING = (
    Option("destination-concurrency", integer(1, 1000), 20, "Messages to one next-hop host at the same time."),
    Option("destination-start", integer(1, 1000), 5, "The same, before anything is known of the host."),
    Option("destination-rate", RATE, None, "Messages to one next-hop host, such as 60/1m; not set: no limit."),
    Option("release", number(0.1, 10000), 10, "Messages a second, at first, when a host answers again."),
)
"""What a class says of each of its destinations."""

QUEUE = Section(
    "queue.*",
    "A queue class.",
    (
        Option("concurrency", integer(1, 10000), 100, "Messages that are attempted at the same time."),
        *PACING,
        ORDER,
        Option(
            "retry",
            listOf(duration(1), 1),
            ["5m", "10m", "20m", "40m", "1h"],
            "Times between attempts; the last repeats.",
        ),
        Option("expire", duration(0), "5d", "Age at which a message is given up and returned."),
        Option("warn", duration(0), "4h", "Age at which the sender is told of the delay; 0s is never."),
        Option("courier", WORD, "smtp", "Courier for mail that no route is configured for."),
        Option(
            "next-hops",
            listOf(HOST_PORT),
            [],
            "Where mail without a route of its own goes, in order; of slow and of added classes: all of it.",
        ),
        Option("hung", duration(60), "6h", "Time after which an attempt that has not come to its end is given up."),
        Option("poll", duration(0.1), "5s", "How often to look for what other processes have queued."),
    ),
    names=("local", "internal", "remote", "slow", "dead"),
    defaults=(
        ("local", (("concurrency", 20), ("courier", "lmtp"), ("retry", ["1m", "5m", "10m", "15m"]))),
        ("internal", (("retry", ["1m", "5m", "10m", "20m", "30m"]),)),
        ("slow", (("concurrency", 10), ("retry", ["1h", "2h", "4h"]))),
        ("dead", (("concurrency", 10), ("poll", "1m"))),
    ),
)

JITTER = 0.1
"""Share by which a waiting time is longer or shorter at random, so that what was
delayed together does not come back together."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times of one class, in seconds.

    @ivar retry: between attempts, the last repeats.
    @ivar expire: age at which to give up.
    @ivar warn: age at which to warn, 0 for never.
    @ivar random: gives numbers from 0 to 1.
    @ivar overrides: gives the times for a domain, L{None} for those of the class.
    """

    retry: tuple[float, ...]
    expire: float
    warn: float
    random: Callable[[], float]
    overrides: Callable[[str], Schedule | None] | None = None

    def of(self, domain: str) -> Schedule:
        """The times for a domain, where they are not those of the class."""
        return (self.overrides(domain) if self.overrides is not None else None) or self

    def due(self, attempts: int, now: float) -> float:
        """When to try again after so many attempts."""
        wait = self.retry[min(max(attempts, 1), len(self.retry)) - 1]
        return now + wait * (1 - JITTER + 2 * JITTER * self.random())

    def atLatest(self, entry: Entry, due: float, now: float) -> float:
        """When an entry is to be looked at that waits for its turn until it is due: not
        later than its sender is to be told of the delay."""
        if entry.envelope.deliverBy:
            due = soonest(entry.envelope.deliverBy, due, now)
        if self.warn and not entry.warned and entry.created + self.warn > now:
            due = min(due, entry.created + self.warn)
        return due

    def isExpired(self, entry: Entry, now: float) -> bool:
        """Too old for another attempt, or too late by its sender's wish."""
        if now - entry.created >= self.expire:
            return True
        by = entry.envelope.deliverBy
        return bool(by) and isOver(by, now)

    def wantsWarning(self, entry: Entry, now: float) -> bool:
        """Old enough for the sender to be told, or late by its wish (RFC 2852),
        which has not been told yet."""
        if entry.warned:
            return False
        by = entry.envelope.deliverBy
        return (bool(self.warn) and now - entry.created >= self.warn) or (bool(by) and isLate(by, now))
