"""What is known of next hops, as text for people and as JSON values for programs.

Pure; called by `hostcommand` and `reasons`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from umbcmail.cli.listing import safe, spanOf, timeOf
from umbcmail.hoststatus import HostStatus


def standing(status: HostStatus | None, now: float) -> str:
    """How a host stands, in some words."""
    if status is None:
        return "nothing is known against it"
    words = [f"suspended: {safe(status.suspended)}"] if status.suspended else []
    if status.failures:
        times = "1 failure" if status.failures == 1 else f"{status.failures} failures"
        words.append(f"down since {timeOf(status.since)} ({times}, the last: {safe(status.why)})")
        words += [] if status.suspended else [_look(status, now)]
    return "; ".join(words)


def _look(status: HostStatus, now: float) -> str:
    if status.probed > now:
        return "somebody is looking whether it answers"
    if status.again - now >= 1:
        return f"the next look is in {spanOf(status.again - now)}"
    return "the next message looks whether it answers"


def hostsOf(found: Sequence[HostStatus], now: float) -> Iterable[str]:
    """The lines of a list, with the reasons below each host."""
    rows: list[tuple[str, ...]] = [("HOST", "STATE", "DOWN FOR", "FAILURES", "NEXT LOOK")] if found else []
    rows += [_row(each, now) for each in found]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, (host, state, *cells) in enumerate(rows):
        numbers = [f"{cell:>{width}}" for cell, width in zip(cells, wide[2:], strict=True)]
        yield "  ".join([f"{host:<{wide[0]}}", f"{state:<{wide[1]}}", *numbers])
        reasons = (found[number - 1].suspended, found[number - 1].why) if number else ()
        yield from (f"    {safe(why)}" for why in reasons if why)
    yield hostCount(len(found))


def _row(status: HostStatus, now: float) -> tuple[str, ...]:
    state = "suspended" if status.suspended else "down"
    if not status.failures:
        return safe(status.host), state, "-", "-", "-"
    look = "-" if status.suspended else "now" if status.again - now < 1 else spanOf(status.again - now)
    return safe(status.host), state, spanOf(now - status.since), str(status.failures), look


def hostCount(number: int, note: str = "") -> str:
    """C{1 host}, C{3 hosts}."""
    return f"{number} host{'' if number == 1 else 's'}{note}"


def detailsOf(status: HostStatus, now: float) -> Iterable[str]:
    """The lines that tell all about a host."""
    pairs = [("host", safe(status.host)), ("suspended", safe(status.suspended) or "no")]
    if status.failures:
        pairs += [
            ("down since", f"{timeOf(status.since)} ({spanOf(now - status.since)} ago)"),
            ("failures", str(status.failures)),
            ("last failure", f"{timeOf(status.last)} ({spanOf(now - status.last)} ago)"),
            ("because", safe(status.why)),
            ("next look", "none, it is suspended" if status.suspended else timeOf(status.again)),
        ]
        pairs += [("being asked", f"until {timeOf(status.probed)}")] if status.probed > now else []
    yield from (f"{name + ':':<14}{value}" for name, value in pairs)


def recordOf(status: HostStatus) -> dict[str, Any]:
    """A host as JSON values; times are ISO 8601, UTC."""
    isDown = bool(status.failures)
    return {
        "host": status.host,
        "down": isDown,
        "suspended": status.suspended,
        "failures": status.failures,
        "since": timeOf(status.since) if isDown else None,
        "last": timeOf(status.last) if isDown else None,
        "again": timeOf(status.again) if isDown and not status.suspended else None,
        "why": status.why,
    }
