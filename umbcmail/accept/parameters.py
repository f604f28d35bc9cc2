"""Values of the MAIL parameters of rarer extensions.  Pure.

Called by `grammar` and `dialogue`.  Each function gives the name of the field of
C{Mail} and its value; what is wrong is a C{ValueError} and nothing else.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from umbcmail.deliverby import DeliverBy

_SECONDS = re.compile(r"[0-9]{1,9}")
_DATE_TIME = re.compile(
    r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE | re.ASCII,
)
_BY = re.compile(r"([-+]?[0-9]{1,9});([NR])(T?)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class By:
    """The parameter BY (RFC 2852 section 4).

    @ivar seconds: from now; not positive for what is late already.
    @ivar returns: mode R, otherwise N.
    @ivar trace: T was given.
    """

    seconds: int
    returns: bool
    trace: bool


def requireTLS(value: str | None) -> tuple[str, object]:
    """RFC 8689 section 2: the keyword alone."""
    if value is not None:
        raise ValueError("REQUIRETLS has no value")
    return "requireTLS", True


def holdFor(value: str | None) -> tuple[str, object]:
    """RFC 4865 section 5: seconds, at most nine digits."""
    if value is None or not _SECONDS.fullmatch(value):
        raise ValueError("not a number of seconds")
    return "holdFor", int(value)


def holdUntil(value: str | None) -> tuple[str, object]:
    """RFC 4865 section 5: a date and time of RFC 3339, in any zone."""
    if value is None or not _DATE_TIME.fullmatch(value):
        raise ValueError("not a date and time")
    return "holdUntil", datetime.fromisoformat(value.upper()).timestamp()


def releaseTime(forSeconds: int | None, until: float | None, now: float, limit: float) -> float:
    """When a message may go on.

    @param forSeconds: HOLDFOR, L{None} when not given.
    @param until: HOLDUNTIL, L{None} when not given.
    @param limit: seconds that a message may be held.
    @return: seconds since 1970, 0 for at once.
    @raise ValueError: both are given, or it is too far away.
    """
    if forSeconds is not None and until is not None:
        raise ValueError("two release times")
    release = now + forSeconds if forSeconds is not None else until if until is not None else 0.0
    if release > now + limit:
        raise ValueError("release is too far away")
    return release if release > now else 0.0


def deliverBy(value: str | None) -> tuple[str, object]:
    """RFC 2852 section 4: seconds, mode, and whether to tell of the way."""
    match = _BY.fullmatch(value or "")
    if match is None:
        raise ValueError("not a time with a mode")
    by = By(int(match[1]), match[2] in "Rr", bool(match[3]))
    if by.returns and by.seconds <= 0:
        raise ValueError("mode R needs time")
    return "deliverBy", by


def deliveryTime(by: By, now: float, least: float, release: float) -> DeliverBy:
    """The wish with its time on the clock.

    @param least: seconds that mode R must leave us.
    @param release: seconds since 1970 before which the message may not go on.
    @raise ValueError: it can't be delivered in time.
    """
    until = now + by.seconds
    if by.returns and (by.seconds < least or until <= release):
        raise ValueError("it can't be delivered in time")
    return DeliverBy(until, by.returns, by.trace)


def deliverByOffer(least: float) -> str:
    """The EHLO line (RFC 2852 section 2): the least time for mode R."""
    return f"DELIVERBY {math.ceil(least)}"


def futureRelease(now: float, limit: float) -> str:
    """The EHLO line (RFC 4865 section 4): the longest time and the latest date."""
    return f"FUTURERELEASE {int(limit)} {datetime.fromtimestamp(now + limit, UTC):%Y-%m-%dT%H:%M:%SZ}"
