"""All that takes part in the demonstration, and whether mail went as it should.

C{__main__.py} tells the story with it.  What is wrong is gathered, so that all of
it is told in the end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nexthop import Arrival, Maildirs, NextHop
from report import Progress, plain, shortened, sizeText
from samples import ANN, DOWN, INTERNAL, NOBODY, REMOTE, Sample, isIntact, messageId
from system import System

PATIENCE = 15.0
"""Seconds within which everything must have arrived."""


class Demonstration:
    """All that takes part.

    @ivar problems: what is not as it should be, for people.
    """

    def __init__(self, folder: Path) -> None:
        self.lab = NextHop(INTERNAL)
        self.away = NextHop(REMOTE, NOBODY)
        self.patient = NextHop(DOWN)
        self.system = System(folder, self.lab, self.away, self.patient)
        self.maildirs = Maildirs(self.system.maildirs)
        self.problems: list[str] = []
        self._replies: dict[str, bytes] = {}

    def start(self) -> None:
        """Everything but C{down.test} comes up."""
        self.lab.start()
        self.away.start()
        self.system.start()

    def stop(self) -> None:
        """Everything ends."""
        self.system.stop()
        for hop in (self.lab, self.away, self.patient):
            hop.stop()

    @property
    def arrivals(self) -> list[Arrival]:
        """Whatever has arrived anywhere."""
        return [*self.lab.arrivals, *self.away.arrivals, *self.patient.arrivals, *self.maildirs.arrivals]

    def bounces(self) -> list[Arrival]:
        """What has come back."""
        return [a for a in self.maildirs.arrivals if a.sender == "" and a.recipients == [ANN]]

    def send(self, wanted: list[Sample]) -> None:
        """Send all, and wait until they are where they should be."""
        progress = Progress(len(wanted))
        began = time.monotonic()
        for number, sample in enumerate(wanted):
            progress.show(number, sample.shape)
            self._replies[sample.id] = self.system.send(sample)
        progress.show(len(wanted), "waiting for the last ones to arrive")
        waitFor(lambda: all(self.missing(sample, sample.expected()) == {} for sample in wanted) and self.bounces())
        recipients = sum(len(sample.recipients) for sample in wanted)
        progress.end(f"{len(wanted)} messages for {recipients} recipients in {time.monotonic() - began:.1f} s")

    def found(self, sample: Sample) -> list[Arrival]:
        """What has arrived of a message."""
        return [arrival for arrival in self.arrivals if messageId(arrival.content) == sample.id]

    def missing(self, sample: Sample, expected: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Where copies are missing, or, below zero, where there are too many."""
        copies = Counter(expected)
        copies.subtract((arrival.place, r) for arrival in self.found(sample) for r in arrival.recipients)
        return {where: number for where, number in copies.items() if number}

    def check(self, sample: Sample, expected: list[tuple[str, str]]) -> str:
        """Whether a message is where it should be, once and intact; what is wrong
        goes to the problems.  @return: C{yes}, C{NO}, C{-} where there is none."""
        missing = self.missing(sample, expected)
        if missing:
            self.problems.append(f"{sample.shape}: copies missing (below zero: too many): {missing}")
        found = self.found(sample)
        if all(isIntact(sample.content.replace(b"\r\n", a.lineEnd), a.content) for a in found):
            return "yes" if found else "-"
        self.problems.append(f"{sample.shape}: what arrived is not what was sent")
        return "NO"

    def rows(self, sample: Sample) -> Iterator[tuple[str, str, str, str, str]]:
        """The lines of the table for a message, one for each place."""
        reply = self._replies[sample.id]
        if not reply.startswith(sample.reply):
            self.problems.append(f"{sample.shape}: the client was told {reply!r}")
        verdict = self.check(sample, sample.expected())
        words = shortened(plain(reply.decode("utf-8", "replace")), 34)
        first = (sample.shape, sizeText(len(sample.content)), words)
        copies = Counter(a.place for a in self.found(sample) for _ in a.recipients)
        where = [f"{place} ({number})" if number > 1 else place for place, number in copies.items()]
        if not where:
            where = ["in the queue" if reply.startswith(b"2") else "refused"]
        yield (*first, where[0], verdict)
        yield from (("", "", "", place, "") for place in where[1:])


def waitFor(condition: Callable[[], Any]) -> Any:
    """What a condition gives when it is true, or at last when time is over."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)
