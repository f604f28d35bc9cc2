"""The world that the queues send mail to: domains with a few that are much wanted and
many that hardly anybody writes to, their mail hosts, and what these suffer from.

One in twenty is dead, one in twenty is greylisting, one in a hundred wants less than
it is sent; some come and go, some have a better host that is dead.  All of it follows
from the number of destinations and a seed.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

DAY = 86400.0
BEGIN = 20_000 * DAY
"""When the simulation begins, in seconds since 1970."""
HEALTHY = ("good", "spare")
"""Kinds of destinations that are as they should be."""
SHARED = 0.4
"""Of the domains of others, those whose mail is with one of a few providers."""


@dataclass(eq=False, slots=True)
class Host:
    """A mail host.

    @ivar kind: C{good}; C{refused}, C{silent} (no connection), C{mute} (no greeting);
        C{greylist}; C{connections}, C{rate} (it wants less).
    @ivar seconds: how long a message takes.
    @ivar outages: when it is dead, as its kind says or C{silent}.
    @ivar limit: messages at the same time, or in a minute, that it bears.
    """

    name: str
    address: str
    kind: str
    seconds: float
    outages: Sequence[tuple[float, float]] = ()
    limit: int = 0

    def isDown(self, now: float) -> bool:
        """Whether it can't be reached."""
        return any(begin <= now < end for begin, end in self.outages)


@dataclass(eq=False, slots=True)
class Domain:
    """A destination.

    @ivar queue: its class.
    @ivar kind: what its first host is; C{spare}: there are two; C{half}: of which the
        better one is dead; C{outage}, C{flapping}: for a while, or again and again;
        C{unnamed}: no name server answers; C{gone}: there is no such domain.
    @ivar exchanges: preference and host.
    """

    name: str
    queue: str
    kind: str
    exchanges: list[tuple[int, Host]] = field(default_factory=list)


class World:
    """All destinations.

    @ivar domains: all, by class the most wanted first.
    @ivar hosts: by address.
    @param days: from the beginning to the end of arrivals.
    """

    def __init__(self, destinations: int, days: float, seed: int) -> None:
        self.hosts: dict[str, Host] = {}
        self.byName: dict[str, Domain] = {}
        self._random = Random(seed)
        self._end = BEGIN + days * DAY
        local, internal = max(2, destinations // 2000), max(5, destinations // 100)
        self.domains: dict[str, list[Domain]] = {"local": [], "internal": [], "remote": []}
        self._mailboxes = self._host("mailboxes.here.test", "good", 0.02)
        for n in range(local):
            self._add(Domain(f"d{n}.here.test", "local", "good", [(0, self._mailboxes)]))
        for n in range(internal):
            host = self._host(f"mx{n}.inside.test", "good", 0.05 + 0.1 * self._random.random())
            self._add(Domain(f"d{n}.inside.test", "internal", "good", [(10, host)]))
        providers = [self._host(f"mx{n}.provider.test", "good", self._seconds()) for n in range(10)]
        for rank in range(1, destinations - local - internal + 1):
            self._add(self._remote(rank, providers))
        self._weights = {
            queue: list(accumulate(1.0 / rank for rank in range(1, len(some) + 1)))
            for queue, some in self.domains.items()
        }

    def pick(self, queue: str, at: float) -> Domain:
        """A destination of a class.  @param at: from 0 to 1."""
        weights = self._weights[queue]
        return self.domains[queue][min(bisect(weights, at * weights[-1]), len(weights) - 1)]

    def _add(self, domain: Domain) -> None:
        self.domains[domain.queue].append(domain)
        self.byName[domain.name] = domain

    def _host(self, name: str, kind: str, seconds: float, outages: Sequence[tuple[float, float]] = ()) -> Host:
        number = len(self.hosts) + 1
        address = f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        host = self.hosts[address] = Host(name, address, kind, seconds, outages)
        return host

    def _seconds(self) -> float:
        return 0.1 + self._random.expovariate(2.0)

    def _remote(self, rank: int, providers: list[Host]) -> Domain:
        """One of the others, by its rank."""
        name = f"d{rank}.test"
        domain = Domain(name, "remote", self._kind(rank))
        own = self._host(f"mx1.{name}", domain.kind, self._seconds()) if domain.kind != "good" else None
        if own is None:
            if rank > 5 and self._random.random() < SHARED:
                domain.exchanges = [(10, self._random.choice(providers))]
            else:
                domain.exchanges = [(10, self._host(f"mx1.{name}", "good", self._seconds()))]
            return domain
        domain.exchanges = [(10, own)]
        if domain.kind in ("refused", "silent", "mute"):
            own.outages = [(0.0, self._end * 2)]
        elif domain.kind == "outage":
            own.kind = "silent"
            own.outages = [(BEGIN + 0.3 * (self._end - BEGIN), BEGIN + 0.35 * (self._end - BEGIN))]
        elif domain.kind == "flapping":
            own.kind = "refused"
            hours = range(int((self._end - BEGIN) / 3600))
            own.outages = [(BEGIN + h * 3600.0, BEGIN + (h + 1) * 3600.0) for h in hours if h % 3 == 1]
        elif domain.kind in ("spare", "half"):
            domain.exchanges.append((20, self._host(f"mx2.{name}", "good", self._seconds())))
            own.kind = "good" if domain.kind == "spare" else "silent"
            own.outages = [] if domain.kind == "spare" else [(0.0, self._end * 2)]
        else:
            own.limit = {"connections": 6, "rate": 60}.get(domain.kind, 0)
        return domain

    @staticmethod
    def _kind(rank: int) -> str:
        """What a destination suffers from."""
        if rank == 2:
            return "outage"
        if rank % 20 == 7:
            return ("refused", "silent", "mute", "outage", "flapping")[rank // 20 % 5]
        if rank % 20 == 13:
            return "greylist"
        if rank % 100 == 3:
            return "connections" if rank % 200 == 3 else "rate"
        if rank % 50 == 16:
            return "half"
        if rank % 200 in (51, 151):
            return "unnamed" if rank % 200 == 51 else "gone"
        return "spare" if rank % 4 == 1 else "good"
