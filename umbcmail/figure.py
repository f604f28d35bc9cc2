"""A figure that a part tells of itself, for metrics and status.  Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with a name.

    @ivar name: lower case with C{_}, the part first, the unit last, as Prometheus
        has it: C{drac_calls_total}.
    @ivar value: now.
    @ivar meaning: one sentence.
    @ivar labels: pairs of name and value that tell it from others of the name.
    @ivar grows: it only grows while the process lives.
    """

    name: str
    value: float
    meaning: str
    labels: tuple[tuple[str, str], ...] = ()
    grows: bool = False
