"""The mail of some days: more by day than by night, and now and then a newsletter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, sin
from random import Random

from tests.simulation.world import BEGIN, HEALTHY, Domain, World

NEWSLETTERS = 10
SHARES = (("local", 0.25), ("internal", 0.15), ("remote", 0.45), ("bulk", 0.15))
"""Of all mail; that of the class bulk is newsletters."""
SENDERS = 5000


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is to come.

    @ivar way: see L{Process.accept}.
    @ivar to: its destinations, and whether they are to be written to in this run.
    """

    at: float
    number: int
    way: str
    sender: str
    to: tuple[tuple[str, Domain], ...]


def messages(world: World, count: int, days: float, seed: int, isWithout: bool) -> Iterator[Message]:
    """All messages in their order.

    @param isWithout: those to destinations that something is wrong with are left out;
        all others are the same.
    """
    random = Random(seed)
    for number, (at, isBulk) in enumerate(_times(count, days, random)):
        queue = "bulk" if isBulk else _class(random.random())
        to = [(queue, world.pick("remote" if isBulk else queue, random.random()))]
        if not isBulk and random.random() < 0.05:
            other = _class(random.random())
            to.append((other, world.pick(other, random.random())))
        way = "bulk" if isBulk else "delivery" if random.random() < 0.5 else "relay"
        isOurs = queue in ("remote", "bulk")
        home = world.pick("local" if isOurs else "remote", random.random())
        sender = f"s{random.randrange(SENDERS)}@{home.name}"
        if isWithout:
            to = [(each, domain) for each, domain in to if domain.kind in HEALTHY]
        if to:
            yield Message(at, number, way, sender, tuple(to))


def _class(at: float) -> str:
    """Of a message that is no newsletter."""
    at *= 1.0 - SHARES[-1][1]
    for queue, share in SHARES:
        if at < share:
            return queue
        at -= share
    return "remote"


def _times(count: int, days: float, random: Random) -> Iterator[tuple[float, bool]]:
    """When messages come, and whether they are of a newsletter."""
    bulk = int(count * SHARES[-1][1])
    length = days * 86400.0
    letters = sorted(
        BEGIN + length * (n + 0.5) / NEWSLETTERS + random.random() * min(120.0, length / 100)
        for n in range(NEWSLETTERS)
        for _ in range(bulk // NEWSLETTERS)
    )
    hours = max(1, round(days * 24))
    weights = [1.0 + 0.7 * sin(2 * pi * (hour - 8) / 24) for hour in range(hours)]
    ordinary, done, passed = count - len(letters), 0, 0.0
    at = 0
    for hour, weight in enumerate(weights):
        passed += weight
        many = round(ordinary * passed / sum(weights)) - done
        done += many
        begin = BEGIN + length * hour / hours
        end = begin + length / hours
        some = [(random.uniform(begin, end), False) for _ in range(many)]
        while at < len(letters) and letters[at] < end:
            some.append((letters[at], True))
            at += 1
        yield from sorted(some)
