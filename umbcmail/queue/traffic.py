"""When a message may be tried at its destination, and at which of its hosts.

Every attempt passes here, after its route is known and before it is carried.  What
may not go now is told when it is its turn: it was not tried, and nothing of it
changes but that time.  Destinations are next-hop hosts, whatever domains are behind
them; each class has its own view of them (L{umbcmail.queue.lane}).  Which hosts do
not answer is known to all processes (C{IHosts}): one message at a time looks whether
they do again, and when it has found that out those of all processes go.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from umbcmail.destination import Hop, Route
from umbcmail.figure import Figure
from umbcmail.hoststatus import HostStatus
from umbcmail.interfaces import IHosts, IWatched
from umbcmail.outcome import Outcome
from umbcmail.queue.catchup import CatchUp
from umbcmail.queue.lane import Key, Lane, Terms
from umbcmail.queue.line import Line
from umbcmail.queue.probes import Probes
from umbcmail.queue.scouts import Scouts
from umbcmail.queue.shelf import Shelf
from umbcmail.queue.throttle import Throttles, isTooMuch
from umbcmail.reply import reply

LANES = 20_000
"""Destinations that are known, before those are forgotten that nothing is known of."""
WAITS = reply(451, "4.4.5", "There is more mail for this destination than it takes at a time; waits for its turn")
DOWN = reply(451, "4.4.1", "The host has not answered of late; it is tried again in a while")
SUSPENDED = reply(451, "4.3.2", "Delivery to this host has been suspended by the postmaster")
HELD_BACK = reply(451, "4.7.1", "The host has asked for less mail; it is tried again in a while")


class Haste(Enum):
    """How much an attempt is waited for.

    C{NOW}: a client waits for its answer.  C{SOON}: it is the first one, and has not
    waited in the spool.  C{NONE}: it has.
    """

    NOW = "now"
    SOON = "soon"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Trip:
    """A message, or some of its recipients, that wants to go to a destination.

    @ivar queue: the class.
    @ivar sender: of the message.
    @ivar domain: of the recipients, or of the first of them.
    @ivar route: where to.
    @ivar haste: see L{Haste}.
    @ivar carry: tries it at some hops.
    @ivar count: recipients.
    """

    queue: str
    sender: str
    domain: str
    route: Route
    haste: Haste
    carry: Callable[[tuple[Hop, ...]], Deferred[list[Outcome]]]
    count: int


@dataclass(eq=False, slots=True)
class _Pass:
    """Leave to go.

    @ivar hops: to be tried, in order.
    @ivar isProbe: it looks whether the first of them answers.
    @ivar share: it takes a place for hosts of which nothing is known: of that class, and
        whether it is one for what comes fresh.
    """

    lane: Lane
    hops: tuple[Hop, ...]
    isProbe: bool
    share: tuple[str, bool] | None


@implementer(IWatched)
class Traffic:
    """Lets attempts pass.

    @param termsOf: what holds for a class, a domain, a route, and a time.
    @param capacity: by class, messages that it attempts at the same time.
    @param shelf: what waits.
    """

    name = "traffic"

    def __init__(
        self,
        hosts: IHosts,
        termsOf: Callable[[str, str, Route, float], Terms],
        capacity: Mapping[str, int],
        throttles: Throttles,
        clock: IReactorTime,
        shelf: Shelf,
    ) -> None:
        self._hosts = hosts
        self._termsOf = termsOf
        self._capacity = capacity
        self._throttles = throttles
        self._clock = clock
        self._lanes: dict[Key, Lane] = {}
        self._waiting: dict[Key, deque[tuple[Trip, Deferred[_Pass | Outcome]]]] = {}
        self._unproven: Counter[tuple[str, bool]] = Counter()
        self._probes = Probes(hosts, clock)
        self._scouts = Scouts(clock, self._isInTheDark, shelf.putOff)
        self._line = Line(clock, self._unknownRoom, shelf.hasten)
        self._looks = Line(clock, self._lookRoom, shelf.hasten)
        self._catchUp = CatchUp(clock, lambda host: hosts.find(host, clock.seconds()) is not None, shelf.hasten)
        self._postponed: dict[str, int] = {}
        hosts.whenBack(self._back)

    def run(self, trip: Trip) -> Deferred[list[Outcome]]:
        """Carry it when it may go.

        @return: L{Deferred} of one outcome for each recipient, all of them
            C{postponed} when it may not go now.
        """
        if not trip.route.hops:
            return trip.carry(())
        return self._gate(trip).addCallback(self._go, trip)

    # May it go?

    def _gate(self, trip: Trip, mayWait: bool = True) -> Deferred[_Pass | Outcome]:
        hops, probe, status = self._choose(trip.route.hops, self._clock.seconds())
        if probe is not None and trip.haste is not Haste.NOW and self._lookRoom(trip.queue) <= 0:
            if not hops:
                return succeed(self._down(trip, status, isInLine=True))
            probe = None
        if probe is None:
            return self._lane(trip, hops, mayWait) if hops else succeed(self._down(trip, status))
        claimed = self._probes.claim(str(probe))
        return claimed.addCallback(self._probed, trip, hops, probe, status, mayWait)

    def _probed(
        self, isOurs: bool, trip: Trip, hops: tuple[Hop, ...], probe: Hop, status: HostStatus | None, mayWait: bool
    ) -> Deferred[_Pass | Outcome] | _Pass | Outcome:
        if isOurs:
            now = self._clock.seconds()
            return self._enter(trip, self._laneOf(trip, str(probe), now), (probe, *hops), now, isProbe=True)
        return self._lane(trip, hops, mayWait) if hops else self._down(trip, status)

    def _choose(self, hops: Sequence[Hop], now: float) -> tuple[tuple[Hop, ...], Hop | None, HostStatus | None]:
        """Which hosts answer, as far as we know.

        @return: these; a better one that it is time to look at; and what is known of
            one that does not answer.
        """
        good: list[Hop] = []
        probe: Hop | None = None
        bad: HostStatus | None = None
        for hop in hops:
            status = self._hosts.find(str(hop), now)
            # A look at a socket of this host costs nothing.
            if status is None or not (hop.port or status.suspended):
                good.append(hop)
                continue
            if bad is None or (bad.suspended and not status.suspended) or status.again < bad.again:
                bad = status
            if probe is None and not good and status.mayProbe(now):
                probe = hop
        return tuple(good), probe, bad

    def _down(self, trip: Trip, status: HostStatus | None, isInLine: bool = False) -> Outcome:
        """No host answers: some come back when it is time to look again, the others rest.

        @param isInLine: it is time, and the host waits in line for somebody to look.
        """
        assert status is not None
        key = (trip.queue, status.host)
        self._laneOf(trip, status.host, self._clock.seconds()).fall()
        self._catchUp.note(key, trip.domain)
        why = Outcome(SUSPENDED if status.suspended else DOWN, status.host, "queue")
        if isInLine:
            self._looks.wait(key, trip.domain)
            return self._postpone(why, self._scouts.rest(key, trip.domain, why))
        return self._postpone(why, self._scouts.look(key, status, trip.domain, why))

    def _lane(self, trip: Trip, hops: tuple[Hop, ...], mayWait: bool) -> Deferred[_Pass | Outcome]:
        """Some host answers, as far as we know: is it its turn?"""
        now, host = self._clock.seconds(), str(hops[0])
        lane = self._laneOf(trip, host, now)
        held = self._throttles.heldUntil(trip.sender, trip.domain, host, now)
        if held:
            return succeed(self._postpone(Outcome(HELD_BACK, host, "queue"), held))
        if not lane.isTimely(now) or (trip.haste is not Haste.NONE and lane.hasQueue(now)):
            why = Outcome(HELD_BACK if now < lane.heldUntil else WAITS, host, "queue")
            return succeed(self._postpone(why, lane.turn(now)))
        if lane.room and (trip.haste is Haste.NOW or self._isWelcome(trip, lane, now)):
            if trip.haste is Haste.NONE and not self._catchUp.mayGo((trip.queue, host)):
                return succeed(self._later(trip, lane, host, now))
            return succeed(self._enter(trip, lane, hops, now))
        if mayWait and (trip.haste is Haste.NOW or self._mayWaitHere(trip, lane, host, now)):
            waiter: Deferred[_Pass | Outcome] = Deferred()
            self._waiting.setdefault((trip.queue, host), deque()).append((trip, waiter))
            return waiter
        return succeed(self._later(trip, lane, host, now))

    def _later(self, trip: Trip, lane: Lane, host: str, now: float) -> Outcome:
        """When it is its turn: at a destination that takes mail soon, otherwise when
        somebody has found out whether it does."""
        key = (trip.queue, host)
        self._catchUp.note(key, trip.domain)
        why = Outcome(WAITS, host, "queue")
        if lane.isProven(now) or lane.terms.interval:
            return self._postpone(why, lane.turn(now))
        if not lane.active:
            self._line.wait(key, trip.domain)
        return self._postpone(why, self._scouts.rest(key, trip.domain, why))

    def _isInTheDark(self, key: Key) -> bool:
        """A host does not answer, or nothing is known of it."""
        now, lane = self._clock.seconds(), self._lanes.get(key)
        return self._hosts.find(key[1], now) is not None or lane is None or not lane.isProven(now)

    def _isWelcome(self, trip: Trip, lane: Lane, now: float) -> bool:
        """Destinations of which nothing is known get half of the places of a class, so that those
        which take mail have the other half."""
        if lane.isProven(now):
            return True
        room = self._unknownRoom(trip.queue, trip.haste is Haste.SOON)
        return room > 0 and (not lane.active or room > self._capacity.get(trip.queue, 1) // 4)

    def _lookRoom(self, queue: str) -> int:
        """Places for those that look whether a host answers: a quarter of a class."""
        return max(1, self._capacity.get(queue, 1) // 4) - self._probes.count(queue)

    def _unknownRoom(self, queue: str, isFresh: bool = False) -> int:
        """Some are kept for what comes fresh: it is not to wait for all that has waited, and may
        be for hosts that take long to be silent."""
        capacity, waited = self._capacity.get(queue, 1), self._unproven[queue, False]
        half = max(1, capacity // 2)
        room = half - waited - self._unproven[queue, True]
        return room if isFresh else min(room, max(1, half - capacity // 8) - waited)

    def _mayWaitHere(self, trip: Trip, lane: Lane, host: str, now: float) -> bool:
        """Some may wait at hand for a destination that takes mail, so that it is never idle:
        a few, and more of what comes fresh, which would be behind others in the spool."""
        waiting, capacity = len(self._waiting.get((trip.queue, host), ())), self._capacity.get(trip.queue, 1)
        most = capacity // 2 if trip.haste is Haste.SOON else min(lane.window, capacity // 4)
        return lane.isProven(now) and waiting < most

    def _laneOf(self, trip: Trip, host: str, now: float) -> Lane:
        terms = self._termsOf(trip.queue, trip.domain, trip.route, now)
        lane = self._lanes.get((trip.queue, host))
        if lane is None:
            if len(self._lanes) >= LANES:
                self._forget(now)
            lane = self._lanes[trip.queue, host] = Lane(terms)
        lane.terms = terms
        return lane

    def _forget(self, now: float) -> None:
        """Those that nothing is known of, and if these are few the oldest: a look at all of
        them has its price."""
        free = [key for key, lane in self._lanes.items() if not lane.active and key not in self._waiting]
        idle = [key for key in free if self._lanes[key].isIdle(now)]
        for key in idle if len(idle) > LANES // 10 else free[: LANES // 10]:
            del self._lanes[key]

    def _postpone(self, why: Outcome, until: float) -> Outcome:
        text = why.reply.text
        self._postponed[text] = self._postponed.get(text, 0) + 1
        return replace(why, postponed=until)

    # It goes

    def _enter(self, trip: Trip, lane: Lane, hops: tuple[Hop, ...], now: float, isProbe: bool = False) -> _Pass:
        share = None
        if isProbe:
            self._probes.begin(trip.queue, str(hops[0]), trip.haste is not Haste.NOW)
            self._looks.come((trip.queue, str(hops[0])))
        elif trip.haste is not Haste.NOW and not lane.isProven(now):  # what a client waits for takes none
            share = (trip.queue, trip.haste is Haste.SOON)
            self._unproven[share] += 1
            self._line.come((trip.queue, str(hops[0])))
        lane.enter(now)
        return _Pass(lane, hops, isProbe, share)

    def _go(self, gate: _Pass | Outcome, trip: Trip) -> Deferred[list[Outcome]] | list[Outcome]:
        if isinstance(gate, Outcome):
            return [gate] * trip.count
        started = self._clock.seconds()
        try:
            carried = trip.carry(gate.hops)
        except BaseException:
            self._over([], trip, gate, started)
            raise
        return carried.addBoth(self._over, trip, gate, started)

    def _over(self, outcomes: Any, trip: Trip, gate: _Pass, started: float) -> Any:
        """An attempt is over: learn from it, and let those go that wait for its place."""
        now, host = self._clock.seconds(), str(gate.hops[0])
        found: list[Outcome] = outcomes if isinstance(outcomes, list) else []
        if gate.isProbe:
            self._probes.end(trip.queue, host)
        elif gate.share is not None:
            self._unproven[gate.share] -= 1
        # Where another one of its hosts has taken it, that says nothing of the first.
        status = self._hosts.find(host, now)
        isBad = any(map(isTooMuch, found)) or status is not None
        isGood = not isBad and any(outcome.isSent or outcome.remote for outcome in found)
        gate.lane.leave(now, now - started, isGood, isBad)
        if (fits := self._throttles.find(trip.queue, found)) is not None:
            outcomes = self._slowDown(gate.lane, trip, host, found, *fits)
        if status is not None and not status.suspended:
            self._catchUp.send((trip.queue, host), status.again)
        elif gate.isProbe:
            gate.lane.begin(now)
            self._scouts.forget((trip.queue, host))
        if gate.lane.isProven(now) and not isBad:
            self._catchUp.go((trip.queue, host), gate.lane, gate.isProbe)
        self._wake((trip.queue, host), gate.lane)
        if gate.isProbe:
            self._looks.go(trip.queue)
        elif gate.share is not None:
            self._line.go(trip.queue)
        return outcomes

    def _slowDown(
        self, lane: Lane, trip: Trip, host: str, outcomes: list[Outcome], rule: Any, said: Outcome
    ) -> list[Outcome]:
        now = self._clock.seconds()
        if rule.halve:
            lane.slowDown(rule.floor, rule.hold if rule.scope == "host" else 0.0, rule.recover, now)
        elif rule.scope == "host":
            lane.heldUntil = max(lane.heldUntil, now + rule.hold)
        self._throttles.hold(rule, trip.sender, trip.domain, host, now + rule.hold)
        if rule.scope != "message" or not rule.hold:
            return outcomes
        return [replace(each, notBefore=now + rule.hold) if each.reply == said.reply else each for each in outcomes]

    def _wake(self, key: Key, lane: Lane) -> None:
        """Those that wait at hand may go, or hear that they have to wait elsewhere."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        now = self._clock.seconds()
        isDown = self._hosts.find(key[1], now) is not None or not lane.isTimely(now)
        for _ in range(len(waiting) if isDown else min(lane.room, len(waiting))):
            trip, waiter = waiting.popleft()
            self._gate(trip, mayWait=False).chainDeferred(waiter)
        if not waiting:
            self._waiting.pop(key, None)

    def _back(self, host: str) -> None:
        """A host answers again or has been resumed, whoever has found that out: what waits
        for it goes, carefully.  Where a message of ours is what has found out, it shows
        what comes of it."""
        now = self._clock.seconds()
        for queue in self._capacity:
            lane = self._lanes.get((queue, host))
            if lane is not None and not self._probes.isUnderWay(queue, host):
                self._scouts.forget((queue, host))
                lane.begin(now)
                self._catchUp.go((queue, host), lane, True)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("destinations_known", len(self._lanes), "Destinations that something is known of.")
        waiting = sum(map(len, self._waiting.values()))
        yield Figure("destinations_waiting", waiting, "Messages at hand that wait for a place at their destination.")
        meaning = "Messages that were not tried when they were due, by reason."
        for text, count in self._postponed.items():
            yield Figure("destinations_postponed_total", count, meaning, (("why", text),), grows=True)
