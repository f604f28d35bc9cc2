"""Counts of failed log-ins, so that guessing gets slow and nobody is locked out.

`authentication` asks before each attempt.  Failures are counted for a network, and
for a login from a network, and fade with time.  Who guesses at a login from one
network is stopped there; its owner gets in from everywhere else.  A login that has
been right from a network before is not held back by others of the same network.

The counts are those of all processes and hosts that share the state (L{ICounters}).
They are asked for before each attempt, but not for longer than L{PATIENCE}; while they
can't be had, each process goes by what it knows.  Its tables are bounded: what has not
changed for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail.clientaddress import networkOf
from umbcmail.interfaces import ICounters
from umbcmail.maillog import MailLog
from umbcmail.sighting import StateError

TABLE = 50_000
"""Entries of each table."""
PATIENCE = 0.5
"""Seconds that an attempt waits for the counts of all, at most."""
MONTH = 86400.0 * 30


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
        self.set(key, self.count(key) + number)

    def set(self, key: Hashable, number: float) -> None:
        """It is that now."""
        self._counts.pop(key, None)
        if number > 1e-9:
            self._counts[key] = (number, self._clock.seconds())
            if len(self._counts) > self._size:
                self._counts.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """It is 0 now."""
        self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


class Count:
    """One kind of numbers: that of all, as far as it is known here; what they could not be
    told; and what is under way."""

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        halfLife: float,
        size: int,
        counters: ICounters | None,
        log: MailLog | None,
    ) -> None:
        """
        @param name: for the counters.
        """
        self._name = name
        self._clock = clock
        self._halfLife = halfLife
        self._counters = counters
        self._log = log
        self._shared = Fading(clock, halfLife, size)
        self._own = Fading(clock, halfLife, size)
        self._open = Fading(clock, halfLife, size)

    def count(self, key: str) -> float:
        """All of it."""
        return self._shared.count(key) + self._own.count(key) + self._open.count(key)

    def begin(self, key: str) -> None:
        """One more is under way."""
        self._open.add(key, 1.0)

    def takeBack(self, key: str) -> None:
        """It was none."""
        self._open.add(key, -1.0)

    def settle(self, key: str) -> None:
        """It was one; it is under way until all know it."""
        self.ask(key, 1.0).addCallback(lambda _: self.takeBack(key))

    def ask(self, key: str, number: float = 0.0) -> Deferred[None]:
        """Find out what it is, of all.

        @param number: add this to it.
        @return: never fails; what all can't be told counts here.
        """
        if self._counters is None:
            self._own.add(key, number)
            return succeed(None)
        now = self._clock.seconds()
        asked: Deferred[float] = maybeDeferred(self._counters.add, self._name, key, number, self._halfLife, now)
        return asked.addCallback(lambda found: self._shared.set(key, found)).addErrback(self._failed, key, number)

    def _failed(self, failure: Failure, key: str, number: float) -> None:
        self._note(failure)
        self._own.add(key, number)

    def _note(self, failure: Failure) -> None:
        """The state tells itself how it is; all else is a bug."""
        if self._log is not None and failure.check(StateError) is None:
            self._log.bug("-", "auth", failure)

    def forget(self, key: str) -> None:
        """It is 0 now; but for what is under way."""
        if self._shared.count(key) and self._counters is not None:
            maybeDeferred(self._counters.forget, self._name, key).addErrback(self._note)
        self._shared.forget(key)
        self._own.forget(key)

    def __len__(self) -> int:
        return max(map(len, (self._shared, self._own, self._open)))


class Attempt:
    """A log-in that is being tried.  It counts as failed from the beginning, so that
    many at the same time are no way around; at the end one of the others is called."""

    def __init__(self, guesses: Guesses, login: str, network: str) -> None:
        self._guesses = guesses
        self._login = login
        self._network = network

    def right(self) -> None:
        """The password was right."""
        self._guesses.takeBack(self._login, self._network)
        self._guesses.forgive(self._login, self._network)

    def wrong(self) -> None:
        """It was wrong."""
        self._guesses.settle(self._login, self._network)

    def unknown(self) -> None:
        """It could not be told."""
        self._guesses.takeBack(self._login, self._network)


class Guesses:
    """The counts, for all ports.  A login may be empty, where it is not known yet: then
    only the network counts."""

    def __init__(
        self,
        clock: IReactorTime,
        perLogin: int,
        perNetwork: int,
        halfLife: float,
        counters: ICounters | None = None,
        log: MailLog | None = None,
        size: int = TABLE,
    ) -> None:
        """
        @param perLogin: failures for a login from a network, over which it is not
            asked for any more.
        @param perNetwork: failures from a network.
        @param halfLife: seconds in which counts halve.
        @param counters: shared with others; L{None}: there are none.
        """
        self._clock = clock
        # A failure counts 1 and fades at once; half of one is the margin.
        self._perLogin = perLogin - 0.5
        self._perNetwork = perNetwork - 0.5
        self._isShared = counters is not None
        self._logins = Count("auth.login", clock, halfLife, size, counters, log)
        self._networks = Count("auth.network", clock, halfLife, size, counters, log)
        self._right = Count("auth.right", clock, MONTH, size, counters, log)
        self._late = 0

    def blocks(self, login: str, address: str) -> bool:
        """Whether a login is known to have failed too often from an address."""
        return self._isTired(login.casefold(), networkOf(address))

    def begin(self, login: str, address: str) -> Deferred[Attempt | None]:
        """An attempt, or L{None} where there were too many.

        @return: fires within L{PATIENCE}.
        """
        login, network = login.casefold(), networkOf(address)
        if self._isTired(login, network):
            return succeed(None)
        self._open(login, network)
        looked: Deferred[None] = self._look(login, network)
        return looked.addCallback(lambda _: self._begun(login, network))

    def _begun(self, login: str, network: str) -> Attempt | None:
        self.takeBack(login, network)  # it is not in its own way
        if self._isTired(login, network) or self._isCrowded(login, network):
            return None
        self._open(login, network)
        return Attempt(self, login, network)

    def _isTired(self, login: str, network: str) -> bool:
        return bool(login) and self._logins.count(_key(login, network)) > self._perLogin

    def _isFull(self, network: str) -> bool:
        return self._networks.count(network) > self._perNetwork

    def _isCrowded(self, login: str, network: str) -> bool:
        return self._isFull(network) and not self._right.count(_key(login, network))

    def _look(self, login: str, network: str) -> Deferred[None]:
        """Learn what others know; when it takes long, it is learned later."""
        if not self._isShared or self._late:
            return succeed(None)
        asked = gatherResults([count.ask(key) for count, key in self._counts(login, network)])

        def answered(_: object) -> Deferred[None] | None:
            return self._right.ask(_key(login, network)) if self._isCrowded(login, network) else None

        return self._patiently(asked.addCallback(answered))

    def _patiently(self, asked: Deferred[None]) -> Deferred[None]:
        """The end of a question, or of our patience.  While one is late others do not
        wait: they are not asked."""
        waits: Deferred[None] = Deferred()

        def answered(_: None) -> None:
            if timer.active():
                timer.cancel()
                waits.callback(None)
            else:
                self._late -= 1

        def late() -> None:
            self._late += 1
            waits.callback(None)

        timer = self._clock.callLater(PATIENCE, late)
        asked.addCallback(answered)
        return waits

    def _counts(self, login: str, network: str) -> list[tuple[Count, str]]:
        """Where a failure counts."""
        found = [(self._networks, network)]
        return [*found, (self._logins, _key(login, network))] if login else found

    def _open(self, login: str, network: str) -> None:
        for count, key in self._counts(login, network):
            count.begin(key)

    # For L{Attempt}

    def takeBack(self, login: str, network: str) -> None:
        """What was begun was no failure."""
        for count, key in self._counts(login, network):
            count.takeBack(key)

    def settle(self, login: str, network: str) -> None:
        """What was begun was a failure."""
        for count, key in self._counts(login, network):
            count.settle(key)

    def forgive(self, login: str, network: str) -> None:
        """Somebody has shown who they are."""
        key = _key(login, network)
        self._logins.forget(key)
        if self._right.count(key) < 0.5:
            self._right.ask(key, 1.0)


def _key(login: str, network: str) -> str:
    return f"{network} {login}"
