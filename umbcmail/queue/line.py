"""Hosts of which nothing is known wait in line for a place in their class, where all
that such hosts may have are taken.

What waits for them rests in the spool.  When there is a place one message of the host
that is first in line is brought back, to find out whether it takes mail.  Used by
L{umbcmail.queue.traffic}.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from umbcmail.queue.lane import Key
from umbcmail.queue.shelf import FIRST, Hasten

HOSTS = 20_000
"""Hosts of a class that wait in line; mail for others comes when it has rested."""
ON_THE_WAY = 5.0
"""Seconds in which a message that is called should come.  A line is looked at as often."""


class _Queue:
    """The line of one class.

    @ivar waiting: hosts, each with the domain of a message for it.
    @ivar called: hosts whose message is on the way, and until when that is believed.
    """

    __slots__ = ("called", "waiting")

    def __init__(self) -> None:
        self.waiting: OrderedDict[str, str] = OrderedDict()
        self.called: dict[str, float] = {}


class Line:
    """
    @param room: gives how many places of a class there are for such hosts.
    @param hasten: see L{Hasten}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        room: Callable[[str], int],
        hasten: Hasten,
    ) -> None:
        self._clock = clock
        self._room = room
        self._hasten = hasten
        self._queues: dict[str, _Queue] = {}
        self._timer: IDelayedCall | None = None

    def wait(self, key: Key, domain: str) -> None:
        """A message finds no place: its host waits, as the first one when it had been
        called and others were quicker."""
        queue = self._queues.setdefault(key[0], _Queue())
        wasCalled = queue.called.pop(key[1], 0.0) > self._clock.seconds()
        if len(queue.waiting) < HOSTS:
            queue.waiting.setdefault(key[1], domain)
            if wasCalled:
                queue.waiting.move_to_end(key[1], last=False)
        if self._timer is None:
            self._timer = self._clock.callLater(ON_THE_WAY, self._look)

    def come(self, key: Key) -> None:
        """A message for a host has found a place."""
        queue = self._queues.get(key[0])
        if queue is not None:
            queue.called.pop(key[1], None)
            queue.waiting.pop(key[1], None)

    def go(self, name: str) -> None:
        """There may be places in a class."""
        queue = self._queues.get(name)
        if queue is None or not queue.waiting:
            return
        now = self._clock.seconds()
        if queue.called:
            queue.called = {host: until for host, until in queue.called.items() if until > now}
        for _ in range(min(self._room(name) - len(queue.called), len(queue.waiting))):
            host, domain = queue.waiting.popitem(last=False)
            queue.called[host] = now + ON_THE_WAY
            # What is wrong with the spool the runner says.
            self._hasten(name, (domain,), 1, FIRST).addErrback(lambda _: None)

    def _look(self) -> None:
        """Messages that were called may be gone, or find another end."""
        self._timer = None
        for name in self._queues:
            self.go(name)
        if any(queue.waiting for queue in self._queues.values()):
            self._timer = self._clock.callLater(ON_THE_WAY, self._look)
