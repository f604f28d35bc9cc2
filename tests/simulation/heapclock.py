"""L{task.Clock} for millions of calls: a heap in place of a list that is sorted for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock


class HeapClock(Clock):
    """Each call sees the time that it was planned for."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.rightNow = now
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._number = count()

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **named: Any) -> IDelayedCall:
        """See L{Clock.callLater}."""
        at = self.rightNow + delay
        call = DelayedCall(at, callable, args, named, _ignored, self._earlier, self.seconds)
        heappush(self._heap, (at, next(self._number), call))
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """See L{Clock.getDelayedCalls}."""
        return [call for _, _, call in self._heap if call.active()]

    def _earlier(self, call: DelayedCall) -> None:
        heappush(self._heap, (call.getTime(), next(self._number), call))

    def advance(self, amount: float) -> None:
        """See L{Clock.advance}."""
        until = self.rightNow + amount
        heap = self._heap
        while heap and heap[0][0] <= until:
            at, _, call = heappop(heap)
            if call.called or call.cancelled:
                continue
            if call.getTime() > at:
                self._earlier(call)
                continue
            self.rightNow = max(self.rightNow, at)
            call.called = 1
            call.func(*call.args, **call.kw)
        self.rightNow = until


def _ignored(call: DelayedCall) -> None:
    """Cancelled calls are passed over."""
