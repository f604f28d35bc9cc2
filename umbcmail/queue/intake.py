"""Takes over a received message: delivers it at once, or puts it on the spool.

The two modes of an agent (C{docs/flow.md}).  Interactive: the next hops are tried
before the client is answered, and no disk is touched unless something goes wrong.
Background: the message is committed, the client is answered, and the attempt
begins from memory.  Either way a 2xx means delivered or stable, and a bug or a
broken disk means 4xx: the client keeps the message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail import reply
from umbcmail.deliverby import soonest
from umbcmail.entry import Claim, Delivery, Draft, SpoolError, SpoolFull, Status
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, IIntake, IRouter, ISpool
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome, nextTry
from umbcmail.queue.attempt import Attempts
from umbcmail.queue.expanding import Expanded, Expansions
from umbcmail.queue.runner import Runner
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.traffic import Haste
from umbcmail.reply import Reply


class _Job:
    """One interactive attempt.

    @ivar envelope: with the recipients that are attempted.
    @ivar named: with those that the client has named; as many, in the same order.
    @ivar answer: fires with the reply for the client.
    @ivar isOver: the attempt has come to its end.
    @ivar deadline: the timer.
    @ivar outcomes: fires when the attempt is over and the deadline was before it.
    """

    __slots__ = ("answer", "content", "deadline", "envelope", "isOver", "named", "outcomes")

    def __init__(self, envelope: Envelope, content: IContent) -> None:
        self.envelope = self.named = envelope
        self.content = content
        self.answer: Deferred[Reply] = Deferred()
        self.isOver = False
        self.deadline: IDelayedCall | None = None
        self.outcomes: Deferred[list[Outcome]] | None = None

    def end(self, answer: Reply | Deferred[Reply]) -> None:
        """It is known what the client is told, or going to be known."""
        if isinstance(answer, Reply):
            self.answer.callback(answer)
        else:
            answer.addCallback(self.answer.callback)


@implementer(IIntake)
class Intake:
    """The intake of one agent."""

    def __init__(
        self,
        interactive: bool,
        spool: ISpool,
        router: IRouter,
        attempts: Attempts,
        runners: Mapping[str, Runner],
        schedules: Mapping[str, Schedule],
        log: MailLog,
        clock: IReactorTime,
        deadline: float = 60.0,
        limit: int = 500,
        isLoaded: Callable[[], bool] = lambda: False,
        queue: str = "",
        tell: Callable[[Envelope, IContent, Sequence[Delivery]], Deferred[None]] | None = None,
        expansions: Expansions | None = None,
    ) -> None:
        """
        @param runners: by class; where this process does not run the queues they
            only settle what is in the air.
        @param schedules: by class.
        @param deadline: seconds for an interactive attempt.
        @param limit: interactive attempts at the same time.
        @param isLoaded: the machine has enough to do without attempts.
        @param queue: all mail goes to this class, C{""}: by domain.
        @param tell: tells the sender of successes (L{Settlement.tell}).
        @param expansions: says what recipients stand for, L{None}: for themselves.
        """
        self._expansions = expansions
        self._interactive = interactive
        self._spool = spool
        self._router = router
        self._attempts = attempts
        self._runners = runners
        self._schedules = schedules
        self._log = log
        self._clock = clock
        self._deadline = deadline
        self._limit = limit
        self._isLoaded = isLoaded
        self._queue = queue
        self._tell = tell
        self._jobs = 0

    def accept(self, envelope: Envelope, content: IContent) -> Reply | Deferred[Reply]:
        """See L{IIntake.accept}."""
        try:
            if envelope.hold:
                return self._aside(envelope, content)
            if envelope.holdUntil and envelope.holdUntil > self._clock.seconds():
                return self._held(envelope, content)
            if self._interactive and self._jobs < self._limit and not self._isLoaded():
                return self._attempt(envelope, content)
            return self._background(envelope, content)
        except Exception:
            return self._bug(envelope, content)

    # Interactive

    def _attempt(self, envelope: Envelope, content: IContent) -> Deferred[Reply]:
        job = _Job(envelope, content)
        self._jobs += 1
        found = None
        if self._expansions is not None:
            found = self._expansions.of(envelope, content, envelope.recipients, self._queue)
        if found is None:
            self._try(job, self._run(job, envelope.recipients))
        elif isinstance(found, Expanded):
            self._expanded(found, job)
        else:
            found.addCallback(self._expanded, job)
        return job.answer

    def _run(self, job: _Job, recipients: Sequence[Recipient], places: Sequence[int] = ()) -> Deferred[list[Outcome]]:
        envelope = job.envelope
        return self._attempts.run(envelope.id, envelope, job.content, recipients, self._queue, haste=Haste.NOW)

    def _try(self, job: _Job, tried: Deferred[list[Outcome]]) -> None:
        tried.addBoth(self._tried, job)
        if not job.isOver:  # the answer may still wait for the spool then
            job.deadline = self._clock.callLater(self._deadline, self._late, job)

    def _expanded(self, found: Expanded, job: _Job) -> None:
        """It is known what the recipients stand for: each for one, which is tried; or some
        for several, and then all is put on the spool before anything is tried."""
        try:
            if found.isPlain:
                job.envelope = job.envelope.withRecipients(found.recipients)
                self._try(job, found.tried(partial(self._run, job)))
                return
            self._jobs -= 1
            answer: Reply | Deferred[Reply] = self._recorded(job.envelope, job.content, found.deliveries)
        except Exception:
            answer = self._bug(job.envelope, job.content)
        job.end(answer)

    def _recorded(self, envelope: Envelope, content: IContent, deliveries: Sequence[Delivery]) -> Deferred[Reply]:
        """Successes are told first, where that is wanted."""
        now = self._clock.seconds()
        drafts = self._drafts([d for d in deliveries if d.status is Status.WAITING], now)
        drafts += self._failures([d for d in deliveries if d.status is Status.FAILED])
        if envelope.deliverBy:
            drafts = self._inTime(envelope.deliverBy, drafts)
        done = [d for d in deliveries if d.status is Status.DONE]
        told: Deferred[Any] = self._tell(envelope, content, done) if self._tell is not None else succeed(None)
        if not drafts:
            self._spool.discard(content)
            return told.addCallback(lambda _: reply.sent(envelope.id))
        return told.addCallback(lambda _: self._commit(envelope, content, drafts))

    def _tried(self, outcomes: list[Outcome] | Failure, job: _Job) -> None:
        """The attempt is over."""
        self._jobs -= 1
        job.isOver = True
        if isinstance(outcomes, Failure):
            self._log.bug(job.envelope.id, "intake", outcomes)
            outcomes = [Outcome(reply.LOCAL_ERROR, command="intake")] * len(job.envelope.recipients)
        if job.outcomes is not None:
            job.outcomes.callback(outcomes)
            return
        if job.deadline is not None:
            job.deadline.cancel()
        try:
            answer = self._ended(job, outcomes)
        except Exception:
            answer = self._bug(job.envelope, job.content)
        job.end(answer)

    def _ended(self, job: _Job, outcomes: Sequence[Outcome]) -> Reply | Deferred[Reply]:
        """Successes are told first, where that is wanted: before the answer."""
        envelope = job.envelope
        if self._tell is None or not any(outcome.isTold for outcome in outcomes):
            return self._settled(job, outcomes)
        pairs = zip(envelope.recipients, outcomes, strict=True)
        sent = [Delivery(recipient).after(outcome) for recipient, outcome in pairs if outcome.isSent]
        told: Deferred[Any] = self._tell(envelope, job.content, sent)
        told.addCallback(lambda _: self._settled(job, outcomes))
        return told.addErrback(self._refused, envelope)

    def _settled(self, job: _Job, outcomes: Sequence[Outcome]) -> Reply | Deferred[Reply]:
        """What was delayed or failed goes to the spool, before the answer."""
        envelope, content = job.envelope, job.content
        if all(outcome.isSent for outcome in outcomes):
            self._spool.discard(content)
            return reply.sent(envelope.id)
        if all(outcome.isFailed for outcome in outcomes):
            answer = refusal(job.named, outcomes)
            self._spool.discard(content)
            return answer
        now = self._clock.seconds()
        pairs = zip(envelope.recipients, outcomes, strict=True)
        deliveries = [Delivery(recipient).after(outcome, now) for recipient, outcome in pairs]
        drafts = self._drafts([d for d in deliveries if d.status is Status.WAITING])
        drafts += self._failures([d for d in deliveries if d.status is Status.FAILED])
        if envelope.deliverBy:
            drafts = self._inTime(envelope.deliverBy, drafts)
        return self._commit(envelope, content, drafts)

    def _late(self, job: _Job) -> None:
        """The deadline has passed.  The message is committed as claimed, and the
        attempt goes on holding the claim, so that nothing is sent twice."""
        job.deadline = None
        job.outcomes = Deferred()
        try:
            drafts = self._drafts([Delivery(recipient) for recipient in job.envelope.recipients])
            if job.envelope.deliverBy:
                drafts = self._inTime(job.envelope.deliverBy, drafts)
            committed = self._spool.commit(job.envelope, job.content, drafts, self._clock.seconds(), True)
        except Exception:
            job.answer.callback(self._bug(job.envelope, job.content))
            return
        told = committed.addCallback(self._adopted, job).addErrback(self._refused, job.envelope)
        told.addCallback(job.answer.callback)

    def _adopted(self, claims: list[Claim], job: _Job) -> Reply:
        assert job.outcomes is not None
        outcomes = job.outcomes
        for claim in claims:
            mine: Deferred[list[Outcome]] = Deferred()
            outcomes.addCallback(self._share, job.envelope, claim, mine)
            self._log.queued(claim.entry.id, claim.entry.queue, len(claim.entry.deliveries), "in the air")
            self._runners[claim.entry.queue].adopt(claim, mine, job.content)
        return reply.queued(job.envelope.id)

    @staticmethod
    def _share(
        outcomes: list[Outcome], envelope: Envelope, claim: Claim, mine: Deferred[list[Outcome]]
    ) -> list[Outcome]:
        """The outcomes of the recipients of one entry."""
        found = dict(zip(envelope.recipients, outcomes, strict=True))
        mine.callback([found[delivery.recipient] for delivery in claim.entry.deliveries])
        return outcomes

    # Background

    def _background(self, envelope: Envelope, content: IContent) -> Deferred[Reply]:
        now = self._clock.seconds()
        deliveries = [Delivery(recipient) for recipient in envelope.recipients]
        drafts = self._drafts(deliveries, now)
        reserved = [runner for draft in drafts if (runner := self._runners[draft.queue]).reserve()]
        if len(reserved) < len(drafts):
            for runner in reserved:
                runner.unreserve()
            return self._commit(envelope, content, drafts)
        committed = self._spool.commit(envelope, content, drafts, now, True)
        committed.addErrback(self._unbegun, reserved)
        return committed.addCallback(self._begun, reserved, envelope, content).addErrback(self._refused, envelope)

    def _begun(self, claims: list[Claim], runners: list[Runner], envelope: Envelope, content: IContent) -> Reply:
        """The client is answered first: the attempts begin in the next turn."""
        for claim, runner in zip(claims, runners, strict=True):
            self._log.queued(claim.entry.id, claim.entry.queue, len(claim.entry.deliveries), "now")
            self._clock.callLater(0, runner.begin, claim, content)
        return reply.queued(envelope.id)

    @staticmethod
    def _unbegun(failure: Failure, runners: list[Runner]) -> Failure:
        for runner in runners:
            runner.unreserve()
        return failure

    # The spool

    def _held(self, envelope: Envelope, content: IContent) -> Deferred[Reply]:
        """Its sender wants it to wait (RFC 4865).  It counts as made when it is
        released, so that warnings and expiry count from then."""
        release = envelope.holdUntil
        drafts = self._drafts([Delivery(recipient) for recipient in envelope.recipients], release)
        committed = self._spool.commit(envelope, content, drafts, release)
        return committed.addCallback(self._committed, envelope).addErrback(self._refused, envelope)

    def _aside(self, envelope: Envelope, content: IContent) -> Deferred[Reply]:
        """It waits for an operator: all of it, or for some recipients only; the others
        go by the queue, since the client can't hear of two ends of one message."""
        now = max(self._clock.seconds(), envelope.holdUntil)
        deliveries = [Delivery(recipient) for recipient in envelope.recipients]
        drafts = self._drafts([d for d in deliveries if not envelope.isHeldFor(d.recipient)], now)
        held = self._drafts([d for d in deliveries if envelope.isHeldFor(d.recipient)], now)
        drafts += [replace(draft, held=True) for draft in held]
        committed = self._spool.commit(envelope, content, drafts, now)
        return committed.addCallback(self._committed, envelope).addErrback(self._refused, envelope)

    def _drafts(self, deliveries: Sequence[Delivery], now: float | None = None) -> list[Draft]:
        """Split by class.

        @param now: when they are due; otherwise by the schedule of the class.
        """
        classes: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            queue = self._queue or self._router.classify(delivery.recipient.domain)
            classes.setdefault(queue, []).append(delivery)
        drafts = []
        for queue, members in classes.items():
            due = now
            if due is None:
                due = self._schedules[queue].of(members[0].recipient.domain).due(1, self._clock.seconds())
                due = nextTry([member.outcome for member in members], due)
            drafts.append(Draft(queue, tuple(members), due))
        return drafts

    def _failures(self, deliveries: Sequence[Delivery]) -> list[Draft]:
        """All failures of a message, to be reported at once and together, in the class
        of one of them."""
        if not deliveries:
            return []
        queue = self._queue or self._router.classify(deliveries[0].recipient.domain)
        return [Draft(queue, tuple(deliveries), self._clock.seconds())]

    def _inTime(self, by: str, drafts: list[Draft]) -> list[Draft]:
        """The drafts, due not later than what their sender has asked for."""
        now = self._clock.seconds()
        return [replace(draft, due=soonest(by, draft.due, now)) for draft in drafts]

    def _commit(self, envelope: Envelope, content: IContent, drafts: list[Draft]) -> Deferred[Reply]:
        committed = self._spool.commit(envelope, content, drafts, self._clock.seconds())
        return committed.addCallback(self._committed, envelope).addErrback(self._refused, envelope)

    def _committed(self, claims: list[Claim], envelope: Envelope) -> Reply:
        for claim in claims:
            entry = claim.entry
            if entry.held:
                self._log.held(entry.id, entry.queue, len(entry.deliveries), envelope.hold)
                continue
            wait = max(0.0, entry.due - self._clock.seconds())
            self._log.queued(entry.id, entry.queue, len(entry.deliveries), f"in {wait:.0f}s")
            self._runners[entry.queue].wake()
        return reply.queued(envelope.id)

    def _bug(self, envelope: Envelope, content: IContent) -> Reply:
        """An exception before the spool had it: the client keeps the message."""
        self._spool.discard(content)
        return self._refused(Failure(), envelope)

    def _refused(self, failure: Failure, envelope: Envelope) -> Reply:
        """It is not ours after all."""
        if failure.check(SpoolFull):
            self._log.trouble(envelope.id, "intake", failure.getErrorMessage())
            return reply.NO_STORAGE
        if failure.check(SpoolError):
            self._log.trouble(envelope.id, "intake", failure.getErrorMessage())
        else:
            self._log.bug(envelope.id, "intake", failure)
        return reply.LOCAL_ERROR


def refusal(envelope: Envelope, outcomes: Sequence[Outcome]) -> Reply:
    """What the client is told when all recipients have failed: the words of the
    next hops, so that its own notification can tell them."""
    replies = list(dict.fromkeys(outcome.reply for outcome in outcomes))
    if len(replies) == 1:
        return replies[0]
    lines = [
        f"<{recipient.address}>: {outcome.reply}"[:400]
        for recipient, outcome in zip(envelope.recipients[:10], outcomes, strict=False)
    ]
    return Reply(554, "5.0.0", tuple(lines))
