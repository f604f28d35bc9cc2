"""Figures of the process itself, by the names that all programs use for them, and
of the event loop: how late it gets to what is due.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched

PERIOD = 1.0
"""Seconds between two looks at the event loop."""
LOOKS = 60
"""Looks that the largest delay is of: a minute."""
LATE = 2.0
"""Seconds: who is later than this does not get to its work."""
NEARLY = 0.9
"""Share of the file descriptors that may be in use."""


@implementer(IWatched)
class Process:
    """This process.

    @param started: seconds since 1970.
    @param proc: folder like C{/proc/self}.
    """

    name = "process"

    def __init__(self, started: float, proc: str = "/proc/self") -> None:
        self._started = started
        self._proc = proc

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        used, most = self._descriptors()
        return f"{used} of {most} file descriptors are in use" if used > most * NEARLY else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        used, most = self._descriptors()
        times = os.times()
        with open(f"{self._proc}/statm", encoding="ascii") as file:
            pages = [int(word) for word in file.read().split()]
        page = resource.getpagesize()
        cpu = times.user + times.system
        yield Figure("process_cpu_seconds_total", cpu, "CPU time of user and system.", (), True)
        yield Figure("process_resident_memory_bytes", pages[1] * page, "Memory that is in use.")
        yield Figure("process_virtual_memory_bytes", pages[0] * page, "Address space that is in use.")
        yield Figure("process_open_fds", used, "File descriptors that are open.")
        yield Figure("process_max_fds", most, "File descriptors that may be open.")
        yield Figure("process_start_time_seconds", self._started, "When it began, in seconds since 1970.")
        yield Figure("process_threads", threading.active_count(), "Threads that run.")

    def _descriptors(self) -> tuple[int, int]:
        """How many are open, and may be."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return len(os.listdir(f"{self._proc}/fd")) - 1, most if most > 0 else 1 << 30


@implementer(IWatched)
class Lag:
    """How late the event loop gets to what is due.

    @param now: seconds of a clock that nobody sets.
    """

    name = "loop"

    def __init__(self, clock: IReactorTime, now: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now = now
        self._delays: deque[float] = deque(maxlen=LOOKS)
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._due = self._now() + PERIOD
        self._call = self._clock.callLater(PERIOD, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._delays.append(max(0.0, self._now() - self._due))
        self.start()

    @property
    def _largest(self) -> float:
        return max(self._delays, default=0.0)

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"what was due had to wait for {self._largest:.1f} s" if self._largest >= LATE else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        largest = round(self._largest, 6)
        yield Figure("loop_delay_max_seconds", largest, "Longest delay of the event loop in the last minute.")
