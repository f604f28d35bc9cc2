"""What is known of a next hop that does not answer.

Only faults of transport count: a host that says "later" has answered.  Times are
seconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FORGOTTEN = 86400.0
"""Seconds after its last failure in which a host is forgotten: nobody asks for it."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a host that does not answer is left alone.

    @ivar first: seconds until one that has failed once is looked at.
    @ivar longest: seconds that these waits grow to, by doubling.
    """

    first: float = 60.0
    longest: float = 900.0


@dataclass(frozen=True, slots=True)
class HostStatus:
    """A host that something is wrong with.

    @ivar host: as routes name it.
    @ivar failures: in a row; 0 for one that is only suspended.
    @ivar since: when the first of them was.
    @ivar last: when the last of them was.
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

    def afterFailure(self, why: str, now: float, waits: Waits) -> HostStatus:
        """What is known after one more.  Failures of attempts that began before the
        last wait did not end are one failure."""
        if self.failures and now < self.again and self.probed <= now:
            return replace(self, last=now, why=why)
        wait = min(waits.first * 2.0 ** min(self.failures, 30), waits.longest)
        since = self.since if self.failures else now
        return replace(self, failures=self.failures + 1, since=since, last=now, again=now + wait, why=why, probed=0.0)

    def mayProbe(self, now: float) -> bool:
        """Whether somebody may look now."""
        return not self.suspended and now >= self.again and self.probed <= now

    def isForgotten(self, now: float) -> bool:
        """Whether it can be left out: nothing has failed for long, and nobody has
        suspended it."""
        return not self.suspended and now - self.last >= FORGOTTEN


def unknown(host: str) -> HostStatus:
    """A host that nothing is known of."""
    return HostStatus(host)
