"""What an attempt has come to is written down: retry, bounce, or done.

Called by runners and by the intake with a claim and the outcomes.  The bounce is
committed in the same step as the failure that it reports, so neither can be lost
without the other.  Failures of one message in several classes are told together
where that takes no more than a short while: meanwhile they are in the spool as
such.  What has no sender to be told becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from umbcmail.content import HEADER_LIMIT, beginningOf
from umbcmail.deliverby import soonest
from umbcmail.entry import (
    DEAD,
    Change,
    Claim,
    Delivery,
    Draft,
    Entry,
    SpoolError,
    StaleClaim,
    Status,
    attemptedOf,
)
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent, IRouter, ISpool
from umbcmail.maillog import MailLog
from umbcmail.options import durationText
from umbcmail.outcome import Outcome, nextTry
from umbcmail.queue.notifier import USUAL, Bounce, Notifier, Terms, successes
from umbcmail.queue.schedule import Schedule
from umbcmail.selection import Selection

AGAIN = 5.0
"""Seconds until what could not be written is written again."""

SIBLINGS = 100
"""Entries of a message that are looked at."""
APART = 3.0
"""Seconds between the ends of what waits for each other, so that the first to end
can take the others along."""
SOON = 1.0
"""Seconds after which it is looked whether there is anything to wait for still: two
attempts that end in the same moment do not see each other's end."""

Told = tuple[tuple[str, tuple[Delivery, ...]], ...]
"""Actions, and whom they are about."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be recorded, and what is to be told.

    @ivar change: with what is told.
    @ivar untold: when failures and delays can't be told now.
    @ivar waits: there are failures that are going to be told later.
    """

    change: Change
    untold: Change
    told: Told
    waits: bool = False


class Settlement:
    """Settles claims of all classes."""

    def __init__(
        self,
        hostName: str,
        spool: ISpool,
        router: IRouter,
        schedules: Mapping[str, Schedule],
        log: MailLog,
        clock: IReactorTime,
        newId: Callable[[], str],
        queued: Callable[[str], None],
        terms: Terms = USUAL,
    ) -> None:
        """
        @param schedules: by class.
        @param newId: makes ids for bounces.
        @param queued: told the class of each bounce that has been committed, and of what is
            due anew.
        @param terms: what holds for bounces.
        """
        self._spool = spool
        self._schedules = schedules
        self._log = log
        self._clock = clock
        self._queued = queued
        self._terms = terms
        self._notifier = Notifier(hostName, router, log, newId, terms)

    def settle(self, claim: Claim, outcomes: Sequence[Outcome], content: IContent | None) -> Deferred[None]:
        """Record the outcomes of the waiting recipients of a claimed entry.

        @param outcomes: one for each waiting recipient, in their order; empty
            when there are only failures to be reported.
        @param content: if it is at hand, else it is read when it is needed.
        @return: L{Deferred}; fails with C{SpoolError}, the claim then holds until
            its lease ends.
        """
        now = self._clock.seconds()
        if outcomes and self._isUntouched(claim.entry, outcomes, now):
            schedule = self._schedules[claim.entry.queue].of(claim.entry.lane)
            return self._spool.giveBack(claim, schedule.atLatest(claim.entry, nextTry(outcomes, now), now))
        plan = self._plan(claim, list(outcomes), now)
        if not plan.told:
            return self._record(claim, plan.change, [], now)
        if plan.told[0][0] != "failed" or not self._terms.gather:
            return self._tell(plan, claim, content, now)
        found: Deferred[Any] = self._spool.listing(Selection(ids=(claim.entry.envelope.id,)), SIBLINGS)
        found.addErrback(self._ungathered, claim)
        found.addCallback(self._gathered, plan, claim, bool(outcomes), now)
        return found.addCallback(self._tell, claim, content, now)

    def become(
        self, claim: Claim, deliveries: Sequence[Delivery], drafts: Sequence[Draft], content: IContent
    ) -> Deferred[None]:
        """Record what the recipients of a claimed entry have become, before any of it is
        attempted; ends the claim, and all that is left is due.

        @param deliveries: of the entry; those that are DONE are told of, where that is wanted.
        @param drafts: more entries of the message, which are due now.
        @return: as of L{settle}.
        """
        now = self._clock.seconds()
        entry = claim.entry
        due = tuple(replace(draft, due=now) for draft in drafts)
        change = Change(tuple(deliveries), now, entry.attempts, entry.warned, drafts=due)
        told = tuple(successes(change.deliveries)) if entry.envelope.sender else ()
        done = self._tell(_Plan(change, change, told), claim, content, now)
        return done.addCallback(self._became, {entry.queue, *(draft.queue for draft in drafts)})

    def _became(self, _: None, queues: set[str]) -> None:
        for queue in queues:
            self._queued(queue)

    def _isUntouched(self, entry: Entry, outcomes: Sequence[Outcome], now: float) -> bool:
        """Nothing was tried, and nothing is to be remembered or told of that."""
        if not all(outcome.postponed for outcome in outcomes) or any(d.outcome is None for d in entry.deliveries):
            return False
        return not self._schedules[entry.queue].of(entry.lane).wantsWarning(entry, now)

    def expire(self, claim: Claim) -> Deferred[None]:
        """Give up all waiting recipients of an entry that is too old.  They keep the
        outcome of their last attempt."""
        entry = claim.entry
        age = durationText(round(self._clock.seconds() - entry.created))
        deliveries = []
        for delivery in entry.deliveries:
            if delivery.status is Status.WAITING:
                self._log.expired(entry.id, delivery.recipient.address, age)
                delivery = replace(delivery, status=Status.FAILED)
            deliveries.append(delivery)
        return self.settle(replace(claim, entry=replace(entry, deliveries=tuple(deliveries))), (), None)

    def _plan(self, claim: Claim, outcomes: list[Outcome], now: float) -> _Plan:
        entry = claim.entry
        schedule = self._schedules[entry.queue].of(entry.lane)
        attempts = entry.attempts + (1 if any(not outcome.postponed for outcome in outcomes) else 0)
        rest = iter(outcomes)
        deliveries = tuple(
            delivery.after(next(rest), now) if delivery.status is Status.WAITING and outcomes else delivery
            for delivery in entry.deliveries
        )
        late = tuple(d for d in deliveries if d.status is Status.WAITING)
        due = nextTry(outcomes, schedule.due(attempts, now))
        if attempts == entry.attempts:
            due = schedule.atLatest(entry, due, now)
        elif entry.envelope.deliverBy:
            due = soonest(entry.envelope.deliverBy, due, now)
        tried = [d for d, old in zip(deliveries, entry.deliveries, strict=True) if d.attempts > old.attempts]
        untold = Change(deliveries, due, attempts, entry.warned, attemptedOf(tried, now))
        if not entry.envelope.sender:
            return _Plan(self._dead(entry, untold, now), untold, ())
        told = [("failed", tuple(d for d in deliveries if d.status is Status.FAILED))]
        warned = entry.warned or bool(late and schedule.wantsWarning(entry, now))
        told.append(("delayed", late if warned and not entry.warned else ()))
        told += successes(deliveries)
        done = tuple(replace(d, status=Status.DONE) if d.status is Status.FAILED else d for d in deliveries)
        change = replace(untold, deliveries=done, warned=warned)
        return _Plan(change, untold, tuple((action, some) for action, some in told if some))

    def _dead(self, entry: Entry, change: Change, now: float) -> Change:
        """What becomes of failures that nobody can be told of: they are put aside when
        all others are done, for the postmaster to look at, and can be tried again."""
        deliveries = change.deliveries
        failed = [delivery for delivery in deliveries if delivery.status is Status.FAILED]
        if not failed or any(delivery.status is Status.WAITING for delivery in deliveries):
            return change
        why = "failed, and the sender is the null sender"
        if self._terms.deadLetters:
            self._log.dead(entry.id, entry.queue, len(failed), why)
            return replace(change, deliveries=_with(deliveries, Status.WAITING), due=now, queue=DEAD, held=True)
        for delivery in failed:
            self._log.discarded(entry.id, delivery.recipient.address, why)
        return replace(change, deliveries=_with(deliveries, Status.DONE))

    def _ungathered(self, failure: Failure, claim: Claim) -> list[Entry]:
        """Others are told of apart."""
        failure.trap(SpoolError)
        self._log.trouble(claim.entry.id, "bounce", failure.getErrorMessage())
        return []

    def _gathered(self, entries: list[Entry], plan: _Plan, claim: Claim, isFresh: bool, now: float) -> _Plan:
        """One notification for the failures of all entries of a message.

        @param entries: those of the message.
        @param isFresh: the failures are of this attempt, so that they may wait a while.
        """
        others = [entry for entry in entries if entry.id != claim.entry.id and not entry.held]
        until = now + self._terms.gather
        isOver = not any(d.status is Status.WAITING for d in plan.change.deliveries)
        if isFresh and isOver and any(_isUntried(entry, until) for entry in others):
            before = sum(entry.id < claim.entry.id for entry in others)
            due = max(now, until - APART * before)
            change = replace(plan.untold, due=due)
            return _Plan(change, change, plan.told[1:], True)
        ready = [e for e in others if not e.owner and all(d.status is Status.FAILED for d in e.deliveries)]
        failed = sum((entry.deliveries for entry in ready), plan.told[0][1])
        change = replace(plan.change, also=tuple(entry.id for entry in ready))
        return replace(plan, change=change, told=(("failed", failed), *plan.told[1:]))

    def _lookAgain(self, message: str) -> None:
        """When no attempt at a message is under way any more, its failures are due: the
        first of its entries takes the others along."""

        def looked(entries: list[Entry]) -> Any:
            until = self._clock.seconds() + self._terms.gather
            ready = [entry for entry in entries if all(d.status is Status.FAILED for d in entry.deliveries)]
            if not ready or any(entry.owner or _isUntried(entry, until) for entry in entries):
                return None
            first = min(ready, key=lambda entry: entry.id)
            retried = self._spool.retry(Selection(ids=(first.id,), queues=(first.queue,)), self._clock.seconds())
            return retried.addCallback(lambda _: self._queued(first.queue))

        found: Deferred[Any] = self._spool.listing(Selection(ids=(message,), held=False), SIBLINGS)
        found.addCallback(looked)
        found.addErrback(lambda failure: self._log.trouble(message, "bounce", failure.getErrorMessage()))

    def tell(self, envelope: Envelope, content: IContent, deliveries: Sequence[Delivery]) -> Deferred[None]:
        """Tell the sender of successes outside of a claim, where that is wanted.

        @param content: may be discarded when the L{Deferred} fires.
        @return: L{Deferred}, which fires when the notifications are on stable
            storage and never fails: what has been sent is not sent again because
            its notification could not be kept.
        """
        now = self._clock.seconds()
        told = successes(deliveries)
        done: Deferred[None]
        if not told or not envelope.sender:
            done = Deferred()
            done.callback(None)
            return done
        done = succeed(content).addCallback(self._beginning).addCallback(self._commit, envelope, told, now)
        return done.addErrback(self._untold, envelope)

    def _commit(
        self,
        original: tuple[bytes, bool],
        envelope: Envelope,
        told: Sequence[tuple[str, tuple[Delivery, ...]]],
        now: float,
    ) -> Deferred[None]:
        waits = []
        for bounce in self._notifier.all(told, original, envelope.id, envelope, now, now):
            committed = self._spool.commit(bounce[0], bounce[1], [bounce[2]], now)
            waits.append(committed.addCallback(lambda _, queue: self._queued(queue), bounce[2].queue))
        return gatherResults(waits, consumeErrors=True).addCallback(lambda _: None)

    def _untold(self, failure: Failure, envelope: Envelope) -> None:
        why: Any = failure.value
        inner: Failure = why.subFailure if failure.check(FirstError) else failure
        if inner.check(SpoolError, OSError):
            self._log.trouble(envelope.id, "notification", inner.getErrorMessage())
        else:
            self._log.bug(envelope.id, "notification", inner)

    # Telling the sender

    def _tell(self, plan: _Plan, claim: Claim, content: IContent | None, now: float) -> Deferred[None]:
        if plan.waits:
            self._clock.callLater(SOON, self._lookAgain, claim.entry.envelope.id)
        if not plan.told:
            return self._record(claim, plan.change, [], now)
        found = self._spool.content(claim.entry) if content is None else succeed(content)
        original: Deferred[tuple[bytes, bool]] = found.addCallback(self._beginning)
        return original.addErrback(self._unreadable, claim).addCallback(self._told, claim, plan, now)

    def _unreadable(self, failure: Failure, claim: Claim) -> tuple[bytes, bool]:
        """The sender is told all the same, only without the message."""
        if failure.check(SpoolError, OSError):
            self._log.trouble(claim.entry.id, "bounce", f"the message can't be read: {failure.getErrorMessage()}")
        else:
            self._log.bug(claim.entry.id, "bounce", failure)
        return b"", False

    def _told(self, original: tuple[bytes, bool], claim: Claim, plan: _Plan, now: float) -> Deferred[None]:
        """What the attempt has done is recorded in any case, or it would be done again."""
        try:
            bounces = self._bounces(original, claim, plan, now)
        except Exception:
            self._log.bug(claim.entry.id, "bounce", Failure())
            return self._record(claim, plan.untold, [], now)
        return self._record(claim, plan.change, bounces, now)

    def _bounces(self, original: tuple[bytes, bool], claim: Claim, plan: _Plan, now: float) -> list[Bounce]:
        entry = claim.entry
        until = entry.created + self._schedules[entry.queue].of(entry.lane).expire
        return self._notifier.all(plan.told, original, entry.id, entry.envelope, now, until)

    def _beginning(self, content: IContent) -> Deferred[tuple[bytes, bool]]:
        """The first octets of a message, and whether they are all of it."""
        limit = self._terms.limit if content.size <= self._terms.limit else HEADER_LIMIT
        return beginningOf(content, limit).addCallback(lambda octets: (octets, len(octets) == content.size))

    # Recording

    def _record(self, claim: Claim, change: Change, bounces: list[Bounce], now: float) -> Deferred[None]:
        recorded = self._spool.record(claim, change, now, bounces)
        return recorded.addCallbacks(
            self._recorded,
            self._unrecorded,
            callbackArgs=(claim, change, bounces),
            errbackArgs=(claim, change, bounces),
        )

    def _recorded(self, _: None, claim: Claim, change: Change, bounces: list[Bounce]) -> None:
        if all(d.status is Status.DONE for d in change.deliveries):
            self._log.removed(claim.entry.id, claim.entry.queue, "done")
        for id in change.also:
            self._log.removed(id, "", f"told with {claim.entry.id}")
        for _envelope, _content, draft in bounces:
            self._queued(draft.queue)

    def _unrecorded(
        self, failure: Failure, claim: Claim, change: Change, bounces: list[Bounce]
    ) -> Deferred[None] | None:
        """Gone, or not written yet: then it is written later rather than that the
        attempt is made again."""
        if failure.check(StaleClaim):
            self._log.stale(claim.entry.id, "removed or taken over during the attempt")
            return None
        failure.trap(SpoolError)
        self._log.trouble(claim.entry.id, "record", failure.getErrorMessage())
        later: Deferred[None] = deferLater(self._clock, AGAIN)
        return later.addCallback(lambda _: self._record(claim, change, bounces, self._clock.seconds()))


def _with(deliveries: tuple[Delivery, ...], status: Status) -> tuple[Delivery, ...]:
    """The failed ones with another status."""
    return tuple(replace(d, status=status) if d.status is Status.FAILED else d for d in deliveries)


def _isUntried(entry: Entry, until: float) -> bool:
    """It is in its first attempt, or that is going to begin before long."""
    isWaiting = any(d.status is Status.WAITING for d in entry.deliveries)
    return isWaiting and not entry.attempts and (bool(entry.owner) or entry.due <= until)
