"""What runs have shown, in figures, each with the bound that is promised.  Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.run import Result
from tests.simulation.world import HEALTHY

QUEUES = ("local", "internal", "remote", "bulk")


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure, and its bound.

    @ivar what: in words.
    @ivar value: what was found.
    @ivar bound: the most that it may be.
    """

    what: str
    value: float
    bound: float

    @property
    def isKept(self) -> bool:
        """Whether it is as promised."""
        return self.value <= self.bound

    def __str__(self) -> str:
        return f"{self.what:76} {self.value:10.2f}  at most {self.bound:10.2f}{'' if self.isKept else '  MISSED'}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of numbers in order; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def delaysOf(result: Result, queue: str, isHealthy: bool = True) -> array[float]:
    """How long what has been sent of a class took, in order.

    @param isHealthy: to destinations that nothing is wrong with only.
    """
    found = [
        delay
        for (each, kind, _), delays in result.delays.items()
        if each == queue and (kind in HEALTHY or not isHealthy)
        for delay in delays
    ]
    return array("f", sorted(found))


def findings(result: Result, without: Result) -> list[Finding]:
    """All of them.

    @param without: the same mail, without the destinations that something is wrong with.
    """
    found = [Finding("promises that were broken", result.faults + without.faults, 0)]
    for queue in QUEUES:
        with_, alone = delaysOf(result, queue), delaysOf(without, queue)
        for share, more in ((0.5, 0.5), (0.99, 5.0), (0.999, 30.0)):
            what = f"{queue}: delay of {share:.1%} to healthy destinations, seconds"
            found.append(Finding(what, percentile(with_, share), percentile(alone, share) + more))
    found += _herd(result, without)
    found += _attempts(result)
    return found


def _herd(result: Result, without: Result) -> Iterator[Finding]:
    """No thundering herd: attempts a second, of all and at each host.  When a host is back that much mail of two
    classes is for, each may have 20 messages there at the same time, which take a tenth of a second at least."""
    most = max(without.rate.values(), default=0)
    yield Finding("attempts in one second", max(result.rate.values(), default=0), 2 * most + 2 * 20 / 0.1)
    together = max(result.together.values(), default=0)
    yield Finding("messages of a class at one host at the same time", together, 20)
    first = max((sum(at < times[0] + 1 for at in times) for times in result.returns.values()), default=0)
    yield Finding("attempts at a host in the first second after it came back", first, 40)


def _attempts(result: Result) -> Iterator[Finding]:
    """Attempts count, and are not wasted."""
    for kind, mean in (("greylist", 3.0), ("connections", 1.2), ("rate", 1.5)):
        counts = result.attempts.get(kind, Counter())
        tries = sum(attempts * number for attempts, number in counts.items())
        yield Finding(f"attempts for each message to a host of kind {kind}, mean", tries / max(counts.total(), 1), mean)


def shown(result: Result, without: Result) -> str:
    """Text for people."""
    claims = sum(number for name, number in result.counts.items() if name.startswith("claims"))
    lines = [f"{result.messages} messages to {result.recipients} recipients in {result.days:g} days"]
    lines += [f"{without.messages} of them without the destinations that something is wrong with", ""]
    lines += [*_outcomes(result), "", *_delays(result, without), ""]
    lines += [f"{sum(result.rate.values())} attempts, {claims} claims from the spool by {result.counts['looks']} looks"]
    lines += [f"{result.counts['bounced']} notifications, of which dead letters: {result.counts['dead']}", ""]
    return "\n".join([*lines, *result.broken, *without.broken, *map(str, findings(result, without))])


def _outcomes(result: Result) -> Iterator[str]:
    """What has become of recipients, by kind of their destination."""
    yield f"{'destination':12}" + "".join(f"{what:>22}" for what in (*OUTCOMES, "attempts for each"))
    for kind in sorted(result.attempts):
        counts = result.attempts[kind]
        tries = sum(attempts * number for attempts, number in counts.items()) / max(counts.total(), 1)
        yield f"{kind:12}" + "".join(f"{result.outcome[kind, what]:22}" for what in OUTCOMES) + f"{tries:22.2f}"


def _delays(result: Result, without: Result) -> Iterator[str]:
    """Percentiles by class: to healthy destinations, in both runs, and to all."""
    yield f"{'delay, seconds':24}" + "".join(f"{f'{share:.1%}':>12}" for share in SHOWN)
    for queue in QUEUES:
        for name, delays in (
            ("healthy", delaysOf(result, queue)),
            ("without", delaysOf(without, queue)),
            ("all", delaysOf(result, queue, False)),
        ):
            yield f"{queue:14}{name:10}" + "".join(f"{percentile(delays, share):12.2f}" for share in SHOWN)


OUTCOMES = ("sent", "returned", "refused to the client", "in the spool")
SHOWN = (0.5, 0.9, 0.99, 0.999, 1.0)
"""Percentiles that are shown."""
