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
    """The lines of a list."""
    if found:
        wide = max(len(safe(each.host)) for each in found)
        yield from (f"{safe(each.host):<{wide}}  {standing(each, now)}" for each in found)
    yield hostCount(len(found))


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
