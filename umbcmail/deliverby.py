"""When a message should be delivered, and what is to be done if it is not (RFC 2852).

Values only, made by `accept` from the parameter BY and kept as text in
C{Envelope.deliverBy}, so that the spool's records carry it.  `queue` asks whether
the time is over, `send` how much of it is left.  All times are absolute: what is
passed on is counted down by each host.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """A sender's wish.

    @ivar until: seconds since 1970.
    @ivar returns: mode R, it is given up then; otherwise mode N, the sender is
        told and it goes on.
    @ivar trace: the sender wants to hear of each time that it is passed on.
    """

    until: float
    returns: bool
    trace: bool = False

    @property
    def mode(self) -> str:
        """As it is written in BY: C{"R"}, C{"N"}, C{"RT"} or C{"NT"}."""
        return ("R" if self.returns else "N") + ("T" if self.trace else "")

    @property
    def text(self) -> str:
        """For C{Envelope.deliverBy}."""
        return f"{self.until!r};{self.mode}"


def parsed(text: str) -> DeliverBy | None:
    """What C{Envelope.deliverBy} says; L{None} when it says nothing, or nothing
    that makes sense: then the message goes its usual way."""
    until, _, mode = text.partition(";")
    try:
        at = float(until) if text else nan
    except ValueError:
        return None
    return DeliverBy(at, mode.startswith("R"), mode.endswith("T")) if isfinite(at) else None


def isOver(text: str, now: float) -> bool:
    """Whether a message may not be delivered any more: mode R, and too late."""
    by = parsed(text)
    return by is not None and by.returns and now >= by.until


def isLate(text: str, now: float) -> bool:
    """Whether the sender is to be told of the delay: mode N, and too late."""
    by = parsed(text)
    return by is not None and not by.returns and now >= by.until


def soonest(text: str, due: float, now: float) -> float:
    """When there is something to be done for a message.

    @param due: when it would be tried otherwise.
    @return: not after its time, so that the sender is told then.
    """
    by = parsed(text)
    if by is None or due <= by.until:
        return due
    if by.until > now:
        return by.until
    return now if by.returns else due
