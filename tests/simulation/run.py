"""One run of the simulation, from the first message until nothing waits any more."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.python.failure import Failure

from tests.simulation.heapclock import HeapClock
from tests.simulation.ledger import KINDS, OPEN, Ledger, numberOf
from tests.simulation.mail import Message, messages
from tests.simulation.names import NameServers
from tests.simulation.system import Process, Shared, configuration
from tests.simulation.world import BEGIN, DAY, World
from umbcmail.content import MemoryContent
from umbcmail.entry import Status
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue.spool.memory import MemoryStore
from umbcmail.reply import Reply

SAMPLE = 600.0
"""Seconds between two looks at the depth of the queues."""
TEXT = b"Message-ID: <m@here.test>\r\nSubject: s\r\n\r\nbody\r\n"
AFTER = 4.0
"""Days after the last arrival in which all must have come to an end."""


@dataclass(slots=True)
class Result:
    """What a run has shown; plain values, as it may come from another process.

    @ivar delays: by class, kind and hour of the end.
    @ivar outcome: recipients, by what has become of them.
    @ivar attempts: by kind of the destination, how often recipients were tried: a
        number of recipients for each number of attempts.
    """

    messages: int = 0
    recipients: int = 0
    seconds: float = 0.0
    days: float = 0.0
    broken: list[str] = field(default_factory=list)
    faults: int = 0
    delays: dict[tuple[str, str, int], array[float]] = field(default_factory=dict)
    outcome: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts: dict[str, Counter[int]] = field(default_factory=dict)
    rate: Counter[int] = field(default_factory=Counter)
    perHost: Counter[str] = field(default_factory=Counter)
    together: Counter[tuple[str, str]] = field(default_factory=Counter)
    returns: dict[tuple[str, float], list[float]] = field(default_factory=dict)
    depth: list[tuple[float, Counter[str]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Run:
    """
    @param isWithout: without the destinations that something is wrong with.
    @param sets: settings, as C{--set} has them.
    """

    def __init__(
        self,
        count: int,
        destinations: int,
        days: float,
        seed: int = 1,
        isWithout: bool = False,
        processes: int = 1,
        sets: Sequence[str] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._days = days
        self._tell = tell
        self.clock = HeapClock(BEGIN)
        self.world = World(destinations, days, seed)
        self.ledger = Ledger()
        self.store = MemoryStore()
        shared = Shared(self.world, self.ledger, self.clock, self.store, {}, NameServers(self.world, self.clock))
        config = configuration(sets)
        self.processes = [Process(f"p{n}", config, shared, seed + n) for n in range(processes)]
        self._mail = messages(self.world, count, days, seed, isWithout)
        self._result = Result(days=days)
        self._isOver = False
        self._began = 0.0

    def run(self) -> Result:
        """All of it."""
        self._began = time.perf_counter()
        for process in self.processes:
            process.start()
        self._sample()
        self._coming(next(self._mail))
        end = BEGIN + (self._days + AFTER) * DAY
        while self.clock.seconds() < end and not (self._isOver and self._isEmpty()):
            self.clock.advance(SAMPLE)
        for process in self.processes:
            process.stop()
        self.clock.advance(3600.0)
        return self._finished()

    def _isEmpty(self) -> bool:
        """Nothing waits but dead letters."""
        return all(kept.entry.held for kept in self.store.entries.values())

    # Arrivals

    def _coming(self, message: Message) -> None:
        self.clock.callLater(message.at - self.clock.seconds(), self._arrive, message)

    def _arrive(self, message: Message) -> None:
        now, ledger = self.clock.seconds(), self.ledger
        numbers = [ledger.arrive(queue, domain.kind, now) for queue, domain in message.to]
        recipients = tuple(
            [Recipient(f"u{n}@{domain.name}") for n, (_, domain) in zip(numbers, message.to, strict=True)]
        )
        envelope = Envelope(f"m{message.number}", message.sender, recipients, now, size=len(TEXT))
        process = self.processes[message.number % len(self.processes)]
        self._result.messages += 1
        answer = process.accept(message.way, envelope, MemoryContent(TEXT))
        answer.addCallbacks(self._answered, self._bug, callbackArgs=(numbers,))
        following = next(self._mail, None)
        if following is None:
            self._isOver = True
        else:
            self._coming(following)

    def _answered(self, reply: Reply, numbers: list[int]) -> None:
        if reply.isPermanent:
            for number in numbers:
                self.ledger.refused(number)
        elif not reply.isSuccess:
            self.ledger.fault(f"u{numbers[0]} is not taken: {reply}")

    def _bug(self, failure: Failure) -> None:
        self.ledger.fault(f"bug: {failure.getTraceback()}")

    def _sample(self) -> None:
        depth = Counter(kept.entry.queue for kept in self.store.entries.values())
        since = self.clock.seconds() - BEGIN
        self._result.depth.append((since, depth))
        if since % DAY < SAMPLE:
            taken = time.perf_counter() - self._began
            self._tell(f"day {since / DAY:.0f}: {self._result.messages} messages, {depth.total()} wait; {taken:.0f} s")
        self.clock.callLater(SAMPLE, self._sample)

    # The end

    def _finished(self) -> Result:
        result, ledger = self._result, self.ledger
        self._balance()
        result.recipients = len(ledger.state)
        for number, state in enumerate(ledger.state):
            kind = ledger.kindOf(number)
            result.outcome[kind, KINDS[state]] += 1
            result.attempts.setdefault(kind, Counter())[ledger.attempts[number]] += 1
        result.faults, result.broken = ledger.faults, ledger.broken
        result.delays, result.rate, result.perHost = dict(ledger.delays), ledger.rate, ledger.mostPerHost
        result.returns = ledger.returns
        for process in self.processes:
            result.counts.update(process.spool.calls)
            result.counts.update(process.log.counts)
            result.together |= process.network.most
        result.seconds = time.perf_counter() - self._began
        return result

    def _balance(self) -> None:
        """Nothing is lost: what has not come to an end is in the spool, and the other way round."""
        ledger = self.ledger
        waiting: Counter[int] = Counter()
        for kept in self.store.entries.values():
            for delivery in kept.entry.deliveries:
                number = numberOf(delivery.recipient.address)
                if number >= 0 and delivery.status is not Status.DONE:
                    waiting[number] += 1
                    seen = ledger.attempts[number]
                    if delivery.attempts != seen < 255 and ledger.kindOf(number) not in ("gone", "unnamed"):
                        ledger.fault(f"u{number} has {delivery.attempts} attempts, and hosts saw {seen}")
        for number, state in enumerate(ledger.state):
            if waiting[number] != (state == OPEN):
                ledger.fault(f"u{number} is {waiting[number]} times in the spool, and {KINDS[state]}")
        kept = {each.entry.envelope.id for each in self.store.entries.values() if each.entry.isBounce}
        for bounce, state in ledger.bounces.items():
            if state == OPEN and bounce not in kept:
                ledger.fault(f"notification {bounce} is lost")
