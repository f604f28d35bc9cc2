"""What the configuration says of destinations: C{[[destination]]}, C{[[warm-up]]}, and
what classes say of all of theirs.

Read by `service`; used by L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from umbcmail.destination import Route
from umbcmail.options import DOMAIN_PATTERN, WORD, Kind, Option, Section, duration, integer, listOf, number
from umbcmail.queue.lane import Terms
from umbcmail.queue.schedule import RATE, Schedule


def _date(value: Any) -> float:
    text = value.isoformat() if isinstance(value, datetime.date) else value
    try:
        day = datetime.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError("a date such as 2026-11-30 is needed") from None
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()


DATE = Kind("a date", _date)
"""The value is seconds since 1970, of its midnight in UTC."""

DESTINATION = Section(
    "destination[]",
    "What is different for some destinations.  The most exact pattern counts.",
    (
        Option("match", listOf(DOMAIN_PATTERN, 1), None, "Domains of recipients, or names of next-hop hosts.", True),
        Option("concurrency", integer(1, 1000), None, "In place of destination-concurrency of the class."),
        Option("start", integer(1, 1000), None, "In place of destination-start."),
        Option("rate", RATE, None, "In place of destination-rate."),
        Option("release", number(0.1, 10000), None, "In place of release."),
        Option("retry", listOf(duration(1), 1), None, "In place of retry of the class."),
        Option("expire", duration(0), None, "In place of expire."),
        Option("warn", duration(0), None, "In place of warn."),
    ),
)

WARM_UP = Section(
    "warm-up[]",
    "A new source address: how much mail each destination gets from it, day by day.",
    (
        Option("courier", WORD, None, "The courier that has the address (bind-ipv4, bind-ipv6).", True),
        Option("begin", DATE, None, "The first day.", True),
        Option(
            "per-day",
            listOf(integer(1), 1),
            None,
            "Messages to one host, by day; later there is no limit.",
            True,
        ),
    ),
)

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """One of C{[[warm-up]]}."""

    courier: str
    begin: float
    perDay: tuple[int, ...]

    def interval(self, now: float) -> float:
        """Seconds between messages today, 0 for no limit."""
        day = int((now - self.begin) // DAY)
        return DAY / self.perDay[max(day, 0)] if day < len(self.perDay) else 0.0


@dataclass(frozen=True, slots=True)
class Override:
    """One of C{[[destination]]}; what it does not say is L{None}."""

    concurrency: int | None = None
    start: int | None = None
    rate: tuple[int, float] | None = None
    release: float | None = None
    retry: tuple[float, ...] | None = None
    expire: float | None = None
    warn: float | None = None


def overridesOf(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, Override]]:
    """The rows of C{[[destination]]}, by pattern."""
    names = Override.__dataclass_fields__
    return [(pattern, Override(**{name: row[name] for name in names})) for row in rows for pattern in row["match"]]


def termsOfClass(settings: Mapping[str, Any]) -> Terms:
    """What a class says of its destinations."""
    count, seconds = settings["destination-rate"] or (0, 0.0)
    concurrency = settings["destination-concurrency"]
    return Terms(
        concurrency,
        min(settings["destination-start"], concurrency),
        seconds / count if count else 0.0,
        _burst(count, seconds),
        settings["release"],
    )


def _burst(count: int, seconds: float) -> int:
    """How many of a rate may go at once: what it permits in a second."""
    return max(1, int(count / seconds)) if count else 1


class Destinations:
    """Tells what holds where.

    @param classes: by class, what it says of all of its destinations.
    @param find: gives the L{Override} for a domain or a host name, or L{None}.
    """

    def __init__(self, classes: Mapping[str, Terms], find: Any, warmUps: Iterable[WarmUp] = ()) -> None:
        self._classes = classes
        self._find = find
        self._warmUps = {each.courier: each for each in warmUps}
        self._memo: dict[tuple[str, str, str], Terms] = {}

    def override(self, domain: str, host: str = "") -> Override | None:
        """What is different for a domain, or for its next hop."""
        found: Override | None = self._find(domain)
        return found if found is not None or not host else self._find(host.lower())

    def schedules(self, own: Schedule) -> Callable[[str], Schedule | None]:
        """What gives the times of a class for a domain."""
        memo: dict[Override, Schedule] = {}

        def find(domain: str) -> Schedule | None:
            override = self.override(domain)
            if override is None:
                return None
            if override not in memo:
                given = {name: getattr(override, name) for name in ("retry", "expire", "warn")}
                memo[override] = replace(own, **{name: value for name, value in given.items() if value is not None})
            return memo[override]

        return find

    def terms(self, queue: str, domain: str, route: Route, now: float) -> Terms:
        """See C{Traffic}."""
        host = route.hops[0].name if route.hops else ""
        key = (queue, domain, host)
        terms = self._memo.get(key)
        if terms is None:
            if len(self._memo) > 20_000:
                self._memo.clear()
            terms = self._memo[key] = self._made(self._classes[queue], self.override(domain, host))
        warmUp = self._warmUps.get(route.courier)
        if warmUp is not None and (interval := warmUp.interval(now)) > terms.interval:
            return Terms(terms.concurrency, terms.start, interval, 1, terms.release)
        return terms

    @staticmethod
    def _made(own: Terms, override: Override | None) -> Terms:
        if override is None:
            return own
        concurrency = override.concurrency or own.concurrency
        interval, burst = own.interval, own.burst
        if override.rate is not None:
            interval, burst = override.rate[1] / override.rate[0], _burst(*override.rate)
        start = min(override.start or own.start, concurrency)
        return Terms(concurrency, start, interval, burst, override.release or own.release)
