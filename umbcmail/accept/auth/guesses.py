"""Counts of failed log-ins, so that guessing gets slow and nobody is locked out.

`authentication` asks before each attempt.  Failures are counted for a network, and
for a login from a network, and fade with time.  Who guesses at a login from one
network is stopped there; its owner gets in from everywhere else.  A login that has
been right from a network before is not held back by others of the same network.
The tables are bounded: what has not changed for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from twisted.internet.interfaces import IReactorTime

from umbcmail.clientaddress import networkOf

TABLE = 50_000
"""Entries of each table."""


class Fading:
    """Numbers that halve in a given time, of things; those at rest are forgotten
    when there are too many."""

    def __init__(self, clock: IReactorTime, halfLife: float, size: int = TABLE) -> None:
        """
        @param halfLife: seconds.
        """
        self._clock = clock
        self._halfLife = halfLife
        self._size = size
        self._counts: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def count(self, key: Hashable) -> float:
        """What is left of a number."""
        number, when = self._counts.get(key, (0.0, 0.0))
        return float(number * 0.5 ** ((self._clock.seconds() - when) / self._halfLife)) if number else 0.0

    def add(self, key: Hashable, number: float) -> None:
        """Add to it, or take away; never below 0."""
        left = self.count(key) + number
        self._counts.pop(key, None)
        if left > 1e-9:
            self._counts[key] = (left, self._clock.seconds())
            if len(self._counts) > self._size:
                self._counts.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """It is 0 now."""
        self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


class Attempt:
    """A log-in that is being tried.  It counts as failed from the beginning, so
    that many at the same time are no way around; one of the others takes it back."""

    def __init__(self, guesses: Guesses, login: str, network: str) -> None:
        self._guesses = guesses
        self._login = login
        self._network = network

    def right(self) -> None:
        """The password was right."""
        self._guesses.forgive(self._login, self._network)

    def unknown(self) -> None:
        """It could not be told."""
        self._guesses.count(self._login, self._network, -1.0)


class Guesses:
    """The counts of a process, for all ports."""

    def __init__(self, clock: IReactorTime, perLogin: int, perNetwork: int, halfLife: float, size: int = TABLE) -> None:
        """
        @param perLogin: failures for a login from a network, over which it is not
            asked for any more.
        @param perNetwork: failures from a network.
        @param halfLife: seconds in which counts halve.
        """
        self._perLogin = perLogin
        self._perNetwork = perNetwork
        self._logins = Fading(clock, halfLife, size)
        self._networks = Fading(clock, halfLife, size)
        self._right = Fading(clock, 86400.0 * 30, size)

    def blocks(self, login: str, address: str) -> bool:
        """Whether a login may not be tried from an address at present."""
        return self._blocks(login.casefold(), networkOf(address))

    def begin(self, login: str, address: str) -> Attempt | None:
        """An attempt, or L{None} where there were too many."""
        login, network = login.casefold(), networkOf(address)
        if self._blocks(login, network):
            return None
        self.count(login, network, 1.0)
        return Attempt(self, login, network)

    def _blocks(self, login: str, network: str) -> bool:
        # A failure counts 1 and fades at once; half of one is the margin.
        if self._logins.count((login, network)) > self._perLogin - 0.5:
            return True
        full = self._networks.count(network) > self._perNetwork - 0.5
        return full and not self._right.count((login, network))

    def count(self, login: str, network: str, number: float) -> None:
        """For L{Attempt}."""
        self._logins.add((login, network), number)
        self._networks.add(network, number)

    def forgive(self, login: str, network: str) -> None:
        """For L{Attempt}."""
        self._networks.add(network, -1.0)
        self._logins.forget((login, network))
        self._right.forget((login, network))
        self._right.add((login, network), 1.0)
