"""What an attempt has come to is written down: retry, bounce, or done.

Called by runners and by the intake with a claim and the outcomes.  The bounce is
committed in the same step as the failure that it reports, so neither can be lost
without the other.  The null sender is never told anything (RFC 5321 section 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.address import domainOf
from umbcmail.content import MemoryContent
from umbcmail.deliverby import isLate, soonest
from umbcmail.entry import Change, Claim, Delivery, Draft, SpoolError, StaleClaim, Status, attemptedOf
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, IRouter, ISpool
from umbcmail.maillog import MailLog
from umbcmail.options import durationText
from umbcmail.outcome import Outcome, nextTry
from umbcmail.queue.bounce import Report, bounceContent, wants
from umbcmail.queue.schedule import Schedule

HEADER_LIMIT = 64 * 1024
"""Octets of a large message that are looked at for its header."""

AGAIN = 5.0
"""Seconds until what could not be written is written again."""

Bounce = tuple[Envelope, IContent, Draft]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be recorded, and what is to be told.

    @ivar change: with what is told.
    @ivar untold: when it can't be told now.
    @ivar told: actions, and whom they are about.
    """

    change: Change
    untold: Change
    told: tuple[tuple[str, tuple[Delivery, ...]], ...]


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
    ) -> None:
        """
        @param schedules: by class.
        @param newId: makes ids for bounces.
        @param queued: told the class of each bounce that has been committed.
        """
        self._hostName = hostName
        self._spool = spool
        self._router = router
        self._schedules = schedules
        self._log = log
        self._clock = clock
        self._newId = newId
        self._queued = queued

    def settle(self, claim: Claim, outcomes: Sequence[Outcome], content: IContent | None) -> Deferred[None]:
        """Record the outcomes of the waiting recipients of a claimed entry.

        @param outcomes: one for each waiting recipient, in their order; empty
            when there are only failures to be reported.
        @param content: if it is at hand, else it is read when it is needed.
        @return: L{Deferred}; fails with C{SpoolError}, the claim then holds until
            its lease ends.
        """
        now = self._clock.seconds()
        plan = self._plan(claim, list(outcomes), now)
        if not plan.told:
            return self._record(claim, plan.change, [], now)
        found = self._spool.content(claim.entry) if content is None else succeed(content)
        original: Deferred[tuple[bytes, bool]] = found.addCallback(_beginning)
        return original.addErrback(self._unreadable, claim).addCallback(self._told, claim, plan, now)

    def expire(self, claim: Claim) -> Deferred[None]:
        """Give up all waiting recipients of an entry that is too old."""
        age = durationText(round(self._clock.seconds() - claim.entry.created))
        outcomes = []
        for delivery in claim.entry.deliveries:
            if delivery.status is Status.WAITING:
                self._log.expired(claim.entry.id, delivery.recipient.address, age)
                outcomes.append(_because(reply.EXPIRED, delivery))
        return self.settle(claim, outcomes, None)

    def _plan(self, claim: Claim, outcomes: list[Outcome], now: float) -> _Plan:
        entry = claim.entry
        schedule = self._schedules[entry.queue]
        attempts = entry.attempts + (1 if outcomes else 0)
        rest = iter(outcomes)
        deliveries = [
            delivery.after(next(rest), now) if delivery.status is Status.WAITING and outcomes else delivery
            for delivery in entry.deliveries
        ]
        told = [("failed", tuple(d for d in deliveries if d.status is Status.FAILED))]
        late = tuple(d for d in deliveries if d.status is Status.WAITING)
        warned = entry.warned
        if late and schedule.wantsWarning(entry, now):
            warned = True
            if entry.envelope.deliverBy and isLate(entry.envelope.deliverBy, now):
                late = tuple(replace(d, outcome=_because(reply.LATE, d)) for d in late)
        else:
            late = ()
        done = tuple(replace(d, status=Status.DONE) if d.status is Status.FAILED else d for d in deliveries)
        told.append(("delayed", late))
        told += successes(deliveries)
        due = nextTry([d.outcome for d in deliveries if d.status is Status.WAITING], schedule.due(attempts, now))
        if entry.envelope.deliverBy:
            due = soonest(entry.envelope.deliverBy, due, now)
        tried = [d for d, old in zip(deliveries, entry.deliveries, strict=True) if d is not old]
        change = Change(done, due, attempts, warned, attemptedOf(tried, now))
        untold = replace(change, deliveries=tuple(deliveries), warned=entry.warned)
        return _Plan(change, untold, tuple((action, some) for action, some in told if some))

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
        done = succeed(content).addCallback(_beginning).addCallback(self._commit, envelope, told, now)
        return done.addErrback(self._untold, envelope)

    def _commit(
        self,
        original: tuple[bytes, bool],
        envelope: Envelope,
        told: Sequence[tuple[str, tuple[Delivery, ...]]],
        now: float,
    ) -> Deferred[None]:
        waits = []
        for action, deliveries in told:
            bounce = self._bounce(action, deliveries, original, envelope.id, envelope, now, now)
            if bounce is not None:
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
        bounces: list[Bounce] = []
        entry = claim.entry
        until = entry.created + self._schedules[entry.queue].expire
        for action, deliveries in plan.told:
            bounce = self._bounce(action, deliveries, original, entry.id, entry.envelope, now, until)
            if bounce is not None:
                bounces.append(bounce)
        return bounces

    def _bounce(
        self,
        action: str,
        deliveries: tuple[Delivery, ...],
        original: tuple[bytes, bool],
        about: str,
        envelope: Envelope,
        now: float,
        until: float,
    ) -> Bounce | None:
        """The message to the sender, or L{None} when there is nobody to be told.

        @param about: id for the log.
        """
        told = tuple(d for d in deliveries if wants(d.recipient, action, bool(envelope.deliverBy)))
        if action == "failed" and not envelope.sender:
            for delivery in deliveries:
                self._log.discarded(about, delivery.recipient.address, "failed, and the sender is the null sender")
        if not told or not envelope.sender:
            return None
        id = f"{self._newId()}-1"
        report = Report(id, self._hostName, action, envelope, told, now, until)
        data = bounceContent(report, *original)
        recipient = Recipient(envelope.sender)
        bounce = Envelope(
            id,
            "",
            (recipient,),
            now,
            size=len(data),
            agent="bounce",
            body="7BIT" if data.isascii() else "8BITMIME",
            smtputf8=not envelope.sender.isascii(),
            requireTLS=envelope.requireTLS,
        )
        self._log.bounced(about, id, envelope.sender, len(told), action)
        draft = Draft(self._router.classify(domainOf(envelope.sender)), (Delivery(recipient),), now)
        return bounce, MemoryContent(data), draft

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


def successes(deliveries: Sequence[Delivery]) -> list[tuple[str, tuple[Delivery, ...]]]:
    """Who has got the message and is to be told of, by action."""
    relayed = tuple(d for d in deliveries if d.outcome is not None and d.outcome.isSent and d.outcome.relayed)
    delivered = tuple(d for d in deliveries if d.outcome is not None and d.outcome.isSent and d.outcome.delivered)
    return [(action, some) for action, some in (("relayed", relayed), ("delivered", delivered)) if some]


def _because(own: reply.Reply, delivery: Delivery) -> Outcome:
    """Says that time is over, and keeps what the last attempt was told."""
    last = delivery.outcome
    if last is None:
        return Outcome(own, command="queue")
    words = (*own.lines, f"the last answer was: {last.reply}")
    return Outcome(reply.reply(own.code, own.enhanced, *words), last.host, last.command)


def _beginning(content: IContent) -> Deferred[tuple[bytes, bool]]:
    """The first octets of a message, and whether they are all of it."""
    if content.data is not None:
        return succeed((content.data, True))
    reader = content.open()
    return reader.read().addBoth(_closed, reader).addCallback(lambda piece: (piece[:HEADER_LIMIT], False))


def _closed(result: bytes | Failure, reader: object) -> bytes | Failure:
    reader.close()  # type: ignore[attr-defined]
    return result
