"""What has become of each recipient of each message, kept apart from the queues, and
the promises that are looked at all the time.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.simulation.world import BEGIN, Host
from umbcmail.content import MemoryContent
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent

OPEN, SENT, TOLD, REFUSED, DEAD = range(5)
"""What has become of a recipient: nothing yet, sent, its sender has been told that it
failed, the client has been told so, it is a dead letter that nobody can be told of."""
KINDS = ("in the spool", "sent", "returned", "refused to the client", "dead letter")
SHOWN = 20
"""Broken promises that are told in full."""
_FAILED = re.compile(rb"Final-Recipient: rfc822;\s?u([0-9]+)@[^\r]*\r\nAction: failed")


def numberOf(address: str) -> int:
    """Of the recipient that an address of ours stands for, -1 for others (senders)."""
    return int(address[1 : address.index("@")]) if address[0] == "u" else -1


class Ledger:
    """Recipients by number, in the order of their arrival.

    @ivar arrived: when its message came, seconds since the beginning.
    @ivar queues: class of each, as an index of L{names}.
    @ivar kinds: of each one's destination, likewise.
    @ivar state: what has become of each.
    @ivar attempts: at each, as hosts saw them.
    @ivar broken: promises, in words; the first ones only.
    @ivar faults: how many there were.
    @ivar delays: by class, kind and hour of the end, how long those took that were sent.
    @ivar rate: attempts in each second, of all.
    @ivar returns: by host that was down, when it was first reached again, and attempts
        in the seconds that followed.
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.arrived = array("d")
        self.queues = array("B")
        self.kinds = array("B")
        self.state = bytearray()
        self.attempts = bytearray()
        self.bounces: dict[str, int] = {}
        self.broken: list[str] = []
        self.faults = 0
        self.delays: defaultdict[tuple[str, str, int], array[float]] = defaultdict(lambda: array("f"))
        self.rate: Counter[int] = Counter()
        self.perHost: dict[str, tuple[int, int]] = {}
        self.mostPerHost: Counter[str] = Counter()
        self.returns: dict[tuple[str, float], list[float]] = {}
        self.depth: list[tuple[float, dict[str, int]]] = []
        self.byIndex: list[str] = []

    def fault(self, text: str) -> None:
        """A promise is broken."""
        self.faults += 1
        if len(self.broken) < SHOWN:
            self.broken.append(text)

    def _index(self, name: str) -> int:
        if name not in self.names:
            self.names[name] = len(self.names)
            self.byIndex.append(name)
        return self.names[name]

    # Messages

    def arrive(self, queue: str, kind: str, now: float) -> int:
        """One more recipient.  @return: its number."""
        self.arrived.append(now - BEGIN)
        self.queues.append(self._index(queue))
        self.kinds.append(self._index(kind))
        self.state.append(OPEN)
        self.attempts.append(0)
        return len(self.state) - 1

    def queueOf(self, number: int) -> str:
        """Its class."""
        return self.byIndex[self.queues[number]]

    def kindOf(self, number: int) -> str:
        """The kind of its destination."""
        return self.byIndex[self.kinds[number]]

    def tried(self, envelope: Envelope, address: str) -> None:
        """A host has been asked to take a message."""
        number = numberOf(address)
        if number < 0:
            return
        if self.state[number] != OPEN:
            self.fault(f"{envelope.id} to {address} is tried, though {KINDS[self.state[number]]}")
        self.attempts[number] = min(255, self.attempts[number] + 1)

    def sent(self, envelope: Envelope, address: str, now: float) -> None:
        """A host has taken a message."""
        number = numberOf(address)
        if number < 0:
            self._close(envelope.id, SENT)
            return
        if self.state[number] != OPEN:
            self.fault(f"{envelope.id} to {address} is sent, though {KINDS[self.state[number]]}")
        self.state[number] = SENT
        since = now - BEGIN
        self.delays[self.queueOf(number), self.kindOf(number), int(since // 3600)].append(since - self.arrived[number])

    def _close(self, bounce: str, state: int) -> None:
        if self.bounces.get(bounce) != OPEN:
            self.fault(f"notification {bounce} is closed as {KINDS[state]}, and was {self.bounces.get(bounce)}")
        self.bounces[bounce] = state

    def refused(self, number: int) -> None:
        """A client has been told 5xx."""
        if self.state[number] != OPEN:
            self.fault(f"u{number} is refused to its client, though {KINDS[self.state[number]]}")
        self.state[number] = REFUSED

    def told(self, bounces: Iterable[tuple[Envelope, IContent]]) -> None:
        """Notifications are in the spool."""
        for envelope, content in bounces:
            assert isinstance(content, MemoryContent)
            if envelope.id in self.bounces:
                self.fault(f"notification {envelope.id} is there twice")
            self.bounces[envelope.id] = OPEN
            for found in _FAILED.findall(content.data):
                if self.state[int(found)] != OPEN:
                    self.fault(f"u{int(found)} is returned, though {KINDS[self.state[int(found)]]}")
                self.state[int(found)] = TOLD

    def dead(self, id: str) -> None:
        """A notification can't be delivered."""
        self._close(id, DEAD)

    # Hosts

    def visited(self, host: Host, now: float) -> None:
        """An attempt begins at a host."""
        second = int(now)
        self.rate[second] += 1
        last, count = self.perHost.get(host.name, (0, 0))
        count = count + 1 if last == second else 1
        self.perHost[host.name] = (second, count)
        self.mostPerHost[host.name] = max(self.mostPerHost[host.name], count)
        if host.outages and not host.isDown(now):
            back = max((end for _, end in host.outages if end <= now), default=0.0)
            if back and now - back < 7200:
                self.returns.setdefault((host.name, back), []).append(now)
