"""What somebody sees who looks: all parts at one moment.  Values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from umbcmail.figure import Figure


@dataclass(frozen=True, slots=True)
class About:
    """The program.

    @ivar host: name of the host.
    @ivar version: of umbcmail.
    @ivar roles: of this process.
    @ivar started: seconds since 1970.
    """

    host: str
    version: str
    roles: tuple[str, ...]
    started: float


@dataclass(frozen=True, slots=True)
class Part:
    """One watched part.

    @ivar condition: C{""}, or what is degraded.
    @ivar figures: its figures; none when it is broken.
    """

    name: str
    condition: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it.

    @ivar pid: process id.
    @ivar now: seconds since 1970.
    @ivar notReady: why no mail can be accepted, C{""} when it can.
    """

    about: About
    pid: int
    now: float
    parts: tuple[Part, ...]
    notReady: str

    @property
    def isDegraded(self) -> bool:
        """Some part is not as it should be."""
        return any(part.condition for part in self.parts)

    def figures(self) -> Iterator[Figure]:
        """Those of all parts, and our own; of two that can't be told apart the
        first one counts."""
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for figure in self._all():
            key = (figure.name, figure.labels)
            if key not in seen:
                seen.add(key)
                yield figure

    def _all(self) -> Iterator[Figure]:
        about = (("host", self.about.host), ("version", self.about.version))
        yield Figure("info", 1, "Always 1; says which version runs on which host.", about)
        yield Figure("ready", 0 if self.notReady else 1, "1 when mail can be accepted.")
        for part in self.parts:
            meaning = "1 when a part is not as it should be."
            yield Figure("part_degraded", 1 if part.condition else 0, meaning, (("part", part.name),))
        for part in self.parts:
            yield from part.figures


def metricName(name: str) -> str:
    """The name that the world sees: ours begin with C{umbcmail_}, those of the
    process have the names that all programs use for them."""
    return name if name.startswith("process_") else f"umbcmail_{name}"
