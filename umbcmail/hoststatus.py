"""What is known of a next hop that does not answer.

Only faults of transport count: a host that says "later" has answered.  Times are
seconds since 1970.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace

FORGOTTEN = 86400.0
"""Seconds after its last failure in which a host is forgotten: nobody asks for it."""
KEPT = 3600.0
"""Seconds for which it is remembered that nothing is wrong with a host any more, so that
nobody who has not heard of it brings back what was before."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a host that does not answer is left alone.

    @ivar first: seconds until one that has failed once is looked at.
    @ivar longest: seconds that these waits grow to, by doubling.
    """

    first: float = 60.0
    longest: float = 900.0


USUAL = Waits()


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host that something is wrong with, or was.

    @ivar host: as routes name it.
    @ivar failures: in a row; 0 for one that is only suspended.
    @ivar since: when the first of them was.
    @ivar last: when the last of them was, or it was suspended or resumed, or has answered.
    @ivar again: when somebody may look whether it answers.
    @ivar why: what the last failure was, for the operator.
    @ivar probed: until when somebody is looking, 0 for nobody.
    @ivar suspended: why an operator wants no attempts, C{""} when none does.
    """

    host: str
    failures: int = 0
    since: float = 0.0
    last: float = 0.0
    again: float = 0.0
    why: str = ""
    probed: float = 0.0
    suspended: str = ""

    @property
    def isFine(self) -> bool:
        """Nothing is wrong with it."""
        return not self.failures and not self.suspended

    def afterFailure(self, why: str, now: float, waits: Waits = USUAL) -> HostStatus:
        """What is known after one more.  Failures of attempts that began before the
        last wait did not end are one failure: nothing changes by the second."""
        if self.failures and now < self.again and self.probed <= now:
            return self
        wait = min(waits.first * 2.0 ** min(self.failures, 30), waits.longest)
        since = self.since if self.failures else now
        return replace(self, failures=self.failures + 1, since=since, last=now, again=now + wait, why=why, probed=0.0)

    def afterAnswer(self, now: float) -> HostStatus:
        """What is known when it has answered."""
        return HostStatus(self.host, last=now, suspended=self.suspended) if self.failures else self

    def probedUntil(self, until: float) -> HostStatus:
        """Somebody looks whether it answers."""
        return replace(self, probed=until)

    def probedOn(self, now: float, until: float) -> HostStatus:
        """Who looks goes on, if somebody does."""
        return replace(self, probed=until) if self.probed > now else self

    def afterSuspension(self, why: str, now: float) -> HostStatus:
        """An operator wants no attempts."""
        return replace(self, last=now, suspended=why)

    def afterResumption(self, now: float) -> HostStatus:
        """An operator wants attempts."""
        return self if self.isFine else HostStatus(self.host, last=now)

    def mayProbe(self, now: float) -> bool:
        """Whether somebody may look now."""
        return not self.suspended and now >= self.again and self.probed <= now

    def isForgotten(self, now: float) -> bool:
        """Whether it can be left out: nothing has failed for long, and nobody has
        suspended it."""
        return not self.suspended and now - self.last >= (FORGOTTEN if self.failures else KEPT)

    def newer(self, other: HostStatus) -> HostStatus:
        """What holds when somebody who could not share it comes with what he knows of
        the host: the later of both.  Only where nothing is known here he may know better
        whether it is suspended."""
        if other.last > self.last:
            return replace(other, suspended=self.suspended) if self.last else other
        if other.last == self.last and self.failures and other.probed > self.probed:
            return replace(self, probed=other.probed)
        return self

    def text(self) -> str:
        """To be kept: a line, see L{statusOf}."""
        return json.dumps(asdict(self))


def statusOf(text: str | bytes) -> HostStatus:
    """What L{HostStatus.text} has made of it; what later versions add is left out."""
    found = json.loads(text)
    return HostStatus(**{name: found[name] for name in _NAMES if name in found})


_NAMES = [each.name for each in fields(HostStatus)]


def unknown(host: str) -> HostStatus:
    """A host that nothing is known of."""
    return HostStatus(host)
