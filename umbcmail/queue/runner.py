"""Runs one queue class: takes entries that are due and tries to deliver them.

One for each class, made by `service`.  It holds at most so many entries as may be
attempted at the same time, so a long queue costs no memory.  It looks again when
something was queued here, when the next entry is due, and every few seconds for
what other processes or an operator have done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from umbcmail.entry import Claim, ContentDamaged, Order, SpoolError, Status
from umbcmail.envelope import Recipient
from umbcmail.interfaces import IContent, ISpool
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.expanding import Expanding
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.settlement import Settlement
from umbcmail.queue.traffic import Haste

BATCH = 100
"""Entries claimed at a time."""
GATHERING = 0.05
"""Seconds to wait for more free places before the next look."""
VAIN = 1.0
"""Seconds until the next look where none of the entries that were found may be tried before long."""
LONG = 60.0
"""Seconds that an entry has to wait at least to make a look vain."""
AFTER_TROUBLE = 60.0
"""Seconds until an entry that could not be handled is tried again."""


@dataclass(eq=False, slots=True)
class Holding:
    """An entry that is being worked on.

    @ivar claim: on it, as it was renewed last.
    @ivar work: fires when it is settled.
    @ivar isFresh: it comes from the intake, and not from the spool.
    @ivar isAbandoned: what comes of the work does not matter any more.
    """

    claim: Claim
    isFresh: bool = False
    work: Deferred[Any] | None = None
    isAbandoned: bool = False


class Runner:
    """The runner of one class.

    @ivar queue: the class.
    @ivar concurrency: entries attempted at the same time.
    @ivar looks: looks at the spool that have begun.
    """

    def __init__(
        self,
        queue: str,
        concurrency: int,
        poll: float,
        schedule: Schedule,
        spool: ISpool,
        attempts: Attempts,
        settlement: Settlement,
        log: MailLog,
        clock: IReactorTime,
        lease: float = 600.0,
        order: Order = Order.DUE,
        expanding: Expanding | None = None,
    ) -> None:
        """
        @param expanding: asked before attempts what recipients stand for; L{None}: nobody is.
        @param concurrency: entries attempted at the same time.
        @param poll: seconds after which to look anyway.
        @param lease: seconds that a claim holds; they are renewed in time.
        @param order: what comes first of what is due.
        """
        self.queue = queue
        self.concurrency = concurrency
        self.looks = 0
        self._ahead = 0.0
        self._isSparing = False
        self._poll = poll
        self._schedule = schedule
        self._spool = spool
        self._attempts = attempts
        self._settlement = settlement
        self._log = log
        self._clock = clock
        self._lease = lease
        self._order = order
        self._expanding = expanding
        self._active: dict[str, Holding] = {}
        self._reserved = 0
        self._running = False
        self._looking = False
        self._again = False
        self._full = False
        self._isVain = False
        self._timer: IDelayedCall | None = None
        self._renewal: IDelayedCall | None = None
        self._idle: Deferred[None] | None = None

    @property
    def active(self) -> int:
        """Entries that are being attempted."""
        return len(self._active)

    @property
    def holdings(self) -> list[Holding]:
        """What they are."""
        return list(self._active.values())

    @property
    def isLooking(self) -> bool:
        """The spool has been asked, and has not answered."""
        return self._looking

    @property
    def isStill(self) -> bool:
        """It runs, and nothing is going to make it look at the spool: there must always be
        a time for that, or an attempt whose end it waits for."""
        hasTimer = self._timer is not None and self._timer.active()
        return self._running and not (self._looking or hasTimer or self._active or self._reserved)

    def clockJumped(self, ahead: float, isSparing: bool) -> None:
        """See L{umbcmail.steadytime.Follower}: claims hold by both times meanwhile."""
        self._ahead, self._isSparing = ahead, isSparing
        if ahead and self._renewal is not None:
            self._renewal.reset(0.0)

    def restart(self) -> None:
        """Look again though the spool has not answered; what it answers to the old
        question goes back to it."""
        self._looking = False
        self.wake()

    def abandon(self, holding: Holding) -> None:
        """An attempt does not come to its end: let its place go.  The claim is not renewed
        any more, so that the entry is tried again when its lease has ended; what comes of
        the attempt after all is not written down."""
        holding.isAbandoned = True
        if holding.work is not None:
            holding.work.cancel()
        self._done(None, holding)

    # Life

    def start(self) -> None:
        """Begin to take entries."""
        self._running = True
        self.wake()

    def stop(self) -> Deferred[None]:
        """Take no more.  @return: fires when all attempts have been recorded."""
        self._running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        idle: Deferred[None] = Deferred()
        self._idle = idle
        self._checkIdle()
        return idle

    def wake(self) -> None:
        """There may be something to do."""
        if self._running and not self._looking:
            self._look()
        else:
            self._again = True

    # What comes from the intake

    def reserve(self) -> bool:
        """A place for an entry that is about to be committed: it will then be
        given to L{begin}, or the place back to L{unreserve}."""
        if not self._running or len(self._active) + self._reserved >= self.concurrency:
            return False
        self._reserved += 1
        return True

    def unreserve(self) -> None:
        """The place is not needed."""
        self._reserved -= 1
        self._freed()

    def begin(self, claim: Claim, content: IContent) -> None:
        """Attempt an entry in a reserved place."""
        self._reserved -= 1
        if not self._running:
            self._giveBack(claim, claim.entry.due).addBoth(lambda _: self._checkIdle())
            return
        holding = self._hold(claim, True)
        self._settled(holding, self._attempt, content, Haste.SOON)

    def adopt(self, claim: Claim, outcomes: Deferred[list[Outcome]], content: IContent) -> None:
        """Settle an entry when an attempt that is under way comes to its end."""
        holding = self._hold(claim, True)
        self._settled(holding, lambda _: outcomes.addCallback(self._settle, holding, content))

    # Looking

    @property
    def _room(self) -> int:
        """Places for entries from the spool.  A quarter is kept for what comes fresh, half while the rest can't go."""
        kept = self.concurrency // (2 if self._isVain else 4) + sum(not held.isFresh for held in self._active.values())
        return self.concurrency - max(kept, len(self._active) + self._reserved)

    def _look(self) -> None:
        asked = min(self._room, BATCH)
        self._again = False
        self._full = asked <= 0
        if self._full:
            return  # an attempt that ends looks again
        self._looking = True
        self.looks += 1
        found = maybeDeferred(self._spool.claim, self.queue, asked, self._clock.seconds(), self._order)
        found.addCallback(self._claimed, asked, self.looks)
        found.addErrback(self._trouble, "-", "claim").addBoth(self._looked, self.looks)

    def _claimed(self, claims: list[Claim], asked: int, look: int) -> Any:
        self._isVain = bool(claims)
        for claim in claims:
            if not self._running or look != self.looks:
                self._giveBack(claim, claim.entry.due)
            elif claim.entry.id in self._active:
                # Its lease has ended (the host slept, or its clock was set) meanwhile: we go on by the new one.
                self._active[claim.entry.id].claim = claim
            else:
                self._settled(self._hold(claim), self._take)
        if look != self.looks:
            return None
        self._full = len(claims) == asked
        if self._full:
            self._again = True
            return None
        return self._spool.nextDue(self.queue).addCallback(self._planned)

    def _planned(self, due: float | None) -> float | None:
        """Seconds until the next entry is due."""
        return None if due is None else max(0.0, due - self._clock.seconds())

    def _looked(self, wait: float | None, look: int) -> None:
        if look != self.looks:
            return  # it has been given up, see L{restart}
        self._looking = False
        if not self._running:
            self._checkIdle()
            return
        if self._again:
            wait = 0.0
        self._lookIn(self._poll if wait is None else min(wait, self._poll))

    def _lookIn(self, seconds: float) -> None:
        """Look after so many seconds, or sooner where that is planned already."""
        at = self._clock.seconds() + seconds
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= at:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, self.wake)

    # One entry

    def _take(self, holding: Holding) -> Deferred[None]:
        """Begin with an entry that comes from the spool."""
        claim, now = holding.claim, self._clock.seconds()
        entry = claim.entry
        if entry.envelope.holdUntil > now:
            # An operator's order to retry is no leave to break the sender's wish (RFC 4865).
            return self._spool.giveBack(claim, entry.envelope.holdUntil)
        if not self._isSparing and self._schedule.of(entry.lane).isExpired(entry, now):
            return self._settlement.expire(claim)
        if all(delivery.status is Status.FAILED for delivery in entry.deliveries):
            return self._settlement.settle(claim, (), None)
        read: Deferred[Any] = self._spool.content(entry)
        return read.addCallback(lambda content: self._attempt(holding, content))

    def _attempt(self, holding: Holding, content: IContent, haste: Haste = Haste.NONE) -> Deferred[None]:
        entry = holding.claim.entry
        waiting = [d for d in entry.deliveries if d.status is Status.WAITING]

        def run(recipients: Sequence[Recipient], places: Sequence[int]) -> Deferred[list[Outcome]]:
            last = [waiting[at] for at in places] if entry.attempts else ()
            return self._attempts.run(entry.id, entry.envelope, content, recipients, entry.queue, last, haste)

        if self._expanding is None:
            tried: Deferred[Any] = run([d.recipient for d in waiting], range(len(waiting)))
        else:
            tried = self._expanding.tried(holding.claim, content, waiting, run)
        return tried.addCallback(self._settle, holding, content)

    def _settle(self, outcomes: list[Outcome] | None, holding: Holding, content: IContent) -> Deferred[None] | None:
        if outcomes is None or holding.isAbandoned:
            return None
        settled = self._settlement.settle(holding.claim, outcomes, content)
        turns = [outcome.postponed for outcome in outcomes if outcome.postponed]
        if not (holding.isFresh or (turns and min(turns) > self._clock.seconds() + LONG)):
            self._isVain = False
        return settled.addCallback(self._turn, min(turns)) if turns else settled

    def _turn(self, _: None, at: float) -> None:
        """An entry that was not tried is in the spool again, and it is its turn then."""
        if self._running:
            self._lookIn(min(max(at - self._clock.seconds(), GATHERING), self._poll))

    def _settled(self, holding: Holding, function: Callable[..., Deferred[Any]], *args: Any) -> None:
        """Work on an entry, and let it go when it is settled."""
        holding.work = maybeDeferred(function, holding, *args)
        holding.work.addErrback(self._unsettled, holding).addBoth(self._done, holding)

    def _unsettled(self, failure: Failure, holding: Holding) -> Deferred[None] | None:
        """The entry stays as it was; it is tried again in a while, unless that can't help."""
        claim = holding.claim
        if holding.isAbandoned:
            return None
        if failure.check(ContentDamaged):
            return self._setAside(claim, failure.getErrorMessage())
        self._trouble(failure, claim.entry.id, "entry")
        return self._giveBack(claim, self._clock.seconds() + AFTER_TROUBLE)

    def _setAside(self, claim: Claim, why: str) -> Deferred[None]:
        def done(held: bool) -> None:
            if held:  # otherwise an operator has removed it meanwhile
                self._log.trouble(claim.entry.id, "spool", f"damaged and put aside: {why}")

        aside = maybeDeferred(self._spool.setAside, claim, why).addCallback(done)
        return aside.addErrback(self._trouble, claim.entry.id, "set aside")

    def _giveBack(self, claim: Claim, due: float) -> Deferred[None]:
        given = maybeDeferred(self._spool.giveBack, claim, due)
        return given.addErrback(self._trouble, claim.entry.id, "give back")

    def _done(self, _: Any, holding: Holding) -> None:
        id = holding.claim.entry.id
        if self._active.get(id) is holding:
            del self._active[id]
            self._freed()

    def _freed(self) -> None:
        """A place is free."""
        if not self._running:
            self._checkIdle()
        elif self._full:
            # Many at a time: each look at the spool has its price.
            if self._isVain:
                self._lookIn(VAIN)
            elif self._room >= self.concurrency // 4:
                self.wake()
            else:
                self._lookIn(GATHERING)

    def _trouble(self, failure: Failure, id: str, where: str) -> None:
        if failure.check(SpoolError):
            self._log.trouble(id, f"queue {self.queue}, {where}", failure.getErrorMessage())
        else:
            self._log.bug(id, f"queue {self.queue}, {where}", failure)

    def _hold(self, claim: Claim, isFresh: bool = False) -> Holding:
        """The entry is ours from now on until it is settled."""
        holding = self._active[claim.entry.id] = Holding(claim, isFresh)
        if self._renewal is None:
            self._renewal = self._clock.callLater(self._lease / 3, self._renew)
        if self._ahead:
            self._renewal.reset(0.0)
        return holding

    def _checkIdle(self) -> None:
        if not self._active and self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        if self._idle is not None and not (self._active or self._reserved or self._looking):
            idle, self._idle = self._idle, None
            idle.callback(None)

    # Leases

    def _renew(self) -> None:
        """Well before the leases end, as long as there are any."""
        self._renewal = None
        if self._active:
            self._renewal = self._clock.callLater(self._lease / 3, self._renew)
            claims = [held.claim for held in self._active.values()]
            renewed = maybeDeferred(self._spool.renew, claims, self._clock.seconds() + self._ahead)
            renewed.addCallbacks(self._renewed, self._trouble, errbackArgs=("-", "renew"))

    def _renewed(self, claims: list[Claim]) -> None:
        for claim in claims:
            held = self._active.get(claim.entry.id)
            if held is not None and held.claim.token == claim.token:
                held.claim = claim
