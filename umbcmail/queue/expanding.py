"""What recipients stand for, before anything is attempted: aliases, lists, C{.forward}.

Asked by the intake before the client is answered, and by the runners when they take an
entry.  Where a recipient stands for one other the attempt goes there at once; what becomes
several is written into the spool first, all of it in one step, so that a crash in the middle
of the attempts neither loses nor repeats anybody.  What can't be told waits as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.content import HEADER_LIMIT, beginningOf
from umbcmail.entry import Claim, Delivery, Draft, Status
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, IExpander, IRouter
from umbcmail.localaddress import deliveredTo
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue.settlement import Settlement

Run = Callable[[Sequence[Recipient], Sequence[int]], Deferred[list[Outcome]]]
"""Attempts to deliver to some recipients, whose places among all of them are given too."""

_BUG = Outcome(reply.LOCAL_ERROR, command="aliases")
_LOOPS = Outcome(reply.DELIVERED_BEFORE, command="aliases")
_TOO_MANY = Outcome(reply.TOO_MANY_BEHIND, command="aliases")


class Expanded:
    """What has become of the recipients of a message.

    @ivar groups: for each of them one delivery or several.
    """

    def __init__(self, recipients: Sequence[Recipient], groups: Sequence[Sequence[Delivery]]) -> None:
        self._recipients = tuple(recipients)
        self.groups = groups

    @property
    def isPlain(self) -> bool:
        """Each is still one, and no two of them are the same: it can be attempted at once."""
        keys = [_key(group[0].recipient) for group in self.groups]
        return all(len(group) == 1 for group in self.groups) and len(set(keys)) == len(keys)

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Those of which each is still one."""
        pairs = zip(self._recipients, self.groups, strict=True)
        return tuple([group[0].recipient if group[0].outcome is None else old for old, group in pairs])

    @property
    def isChanged(self) -> bool:
        """Somebody has become somebody else."""
        return self.recipients != self._recipients

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """All of them, each address once."""
        found: dict[Any, Delivery] = {}
        for number, delivery in enumerate([each for group in self.groups for each in group]):
            key = _key(delivery.recipient) if delivery.outcome is None else number
            if key not in found or _rank(delivery) > _rank(found[key]):
                found[key] = delivery
        return tuple(found.values())

    def tried(self, run: Run) -> Deferred[list[Outcome]]:
        """Attempt what is plain.

        @return: L{Deferred} of an outcome for each recipient.
        """
        outcomes = [group[0].outcome for group in self.groups]
        places = [at for at, outcome in enumerate(outcomes) if outcome is None]
        if not places:
            return succeed([outcome or _BUG for outcome in outcomes])

        def ran(found: list[Outcome]) -> list[Outcome]:
            for at, outcome in zip(places, found, strict=True):
                outcomes[at] = outcome
            return [outcome or _BUG for outcome in outcomes]

        recipients = self.recipients
        return run([recipients[at] for at in places], places).addCallback(ran)


def _key(recipient: Recipient) -> Any:
    """What is the same for recipients that are the same."""
    origin = recipient.origin
    return recipient.address.lower(), "" if origin is None else origin.action


def _rank(delivery: Delivery) -> tuple[bool, bool]:
    """Of two deliveries to the same the larger one counts: whoever is named beside a list hears
    of it as if there were no list, and nobody's wish to hear of success is forgotten."""
    origin = delivery.recipient.origin
    return origin is None or origin.sender is None, "SUCCESS" in delivery.recipient.notify


class Expansions:
    """Expands the recipients of messages."""

    def __init__(
        self, expander: IExpander, router: IRouter, log: MailLog, handovers: Collection[str] = (), limit: int = 10_000
    ) -> None:
        """
        @param handovers: queue classes whose mail goes to other hosts as it is.
        @param limit: recipients that a message may become at a time.
        """
        self._expander = expander
        self._router = router
        self._log = log
        self._handovers = frozenset(handovers)
        self._limit = limit

    def of(
        self, envelope: Envelope, content: IContent, recipients: Sequence[Recipient], queue: str = ""
    ) -> Expanded | Deferred[Expanded] | None:
        """What recipients of a message stand for.

        @param queue: the class that they are in, C{""}: each in its own.
        @return: L{None}: for themselves; or a L{Deferred} that never fails.
        """
        if queue in self._handovers:
            return None
        found = [self._asked(envelope, recipient) for recipient in recipients]
        if all(each is None for each in found):
            return None
        waits = [each if isinstance(each, Deferred) else succeed(each) for each in found]
        whole: Deferred[Any] = gatherResults(waits)
        whole.addCallback(self._found, envelope, content, tuple(recipients))
        if not whole.called:
            return whole
        now: list[Any] = []
        whole.addCallback(now.append)
        return now[0] if now else whole.addCallback(lambda _: now[0])

    def _asked(self, envelope: Envelope, recipient: Recipient) -> Any:
        try:
            said: Any = self._expander.expand(envelope.sender, recipient)
        except Exception:
            return self._bug(Failure(), envelope, recipient)
        return said.addErrback(self._bug, envelope, recipient) if isinstance(said, Deferred) else said

    def _bug(self, failure: Failure, envelope: Envelope, recipient: Recipient) -> tuple[Delivery, ...]:
        self._log.bug(envelope.id, "aliases", failure)
        return (Delivery(recipient).after(_BUG),)

    def _found(
        self, found: list[Any], envelope: Envelope, content: IContent, recipients: tuple[Recipient, ...]
    ) -> Deferred[Any]:
        begun: Deferred[Any] = beginningOf(content, HEADER_LIMIT)
        begun.addCallback(lambda start: self._checked(found, recipients, deliveredTo(start)))
        return begun.addErrback(self._unread, envelope, recipients)

    def _unread(self, failure: Failure, envelope: Envelope, recipients: tuple[Recipient, ...]) -> Expanded:
        """Whether it loops can't be told."""
        if failure.check(OSError):
            self._log.trouble(envelope.id, "aliases", f"the message can't be read: {failure.getErrorMessage()}")
        else:
            self._log.bug(envelope.id, "aliases", failure)
        return Expanded(recipients, [(Delivery(recipient).after(_BUG),) for recipient in recipients])

    def _checked(self, found: list[Any], recipients: tuple[Recipient, ...], before: set[str]) -> Expanded:
        """Without those that come back, and with as many as may be."""
        groups: list[Sequence[Delivery]] = []
        total = 0
        for recipient, said in zip(recipients, found, strict=True):
            group: Sequence[Delivery] = said or (Delivery(recipient),)
            if said and recipient.origin is None and recipient.address.lower() in before:
                group = (Delivery(recipient).after(_LOOPS),)
            if total + len(group) > self._limit and len(group) > 1:
                group = (Delivery(recipient).after(_TOO_MANY),)
            total += len(group)
            groups.append(group)
        return Expanded(recipients, groups)

    def classOf(self, delivery: Delivery) -> str:
        """The queue class that a delivery is in by its domain."""
        return self._router.classify(delivery.recipient.domain)

    def drafts(self, deliveries: Sequence[Delivery], due: float) -> list[Draft]:
        """Deliveries, split by class."""
        classes: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            classes.setdefault(self.classOf(delivery), []).append(delivery)
        return [Draft(queue, tuple(members), due) for queue, members in classes.items()]


class Expanding:
    """Expands the recipients of a claimed entry, and attempts or records what they are."""

    def __init__(self, expansions: Expansions, settlement: Settlement) -> None:
        self._expansions = expansions
        self._settlement = settlement

    def tried(self, claim: Claim, content: IContent, waiting: Sequence[Delivery], run: Run) -> Deferred[Any]:
        """
        @param waiting: the deliveries of the entry that wait.
        @return: L{Deferred} of an outcome for each, or L{None}: they have become others, that
            is recorded, and the claim has ended.
        """
        entry = claim.entry
        recipients = [delivery.recipient for delivery in waiting]
        found = self._expansions.of(entry.envelope, content, recipients, entry.queue)
        if found is None:
            return run(recipients, range(len(recipients)))
        if isinstance(found, Expanded):
            return self._gone(found, claim, content, waiting, run)
        return found.addCallback(self._gone, claim, content, waiting, run)

    def _gone(
        self, found: Expanded, claim: Claim, content: IContent, waiting: Sequence[Delivery], run: Run
    ) -> Deferred[Any]:
        if found.isPlain and not found.isChanged:
            return found.tried(run)
        entry = claim.entry
        known = {delivery.recipient: delivery for delivery in waiting}
        mine = [delivery for delivery in entry.deliveries if delivery.status is not Status.WAITING]
        others: list[Delivery] = []
        for delivery in found.deliveries:
            old = known.get(delivery.recipient)
            if old is not None:
                delivery = old if delivery.outcome is None else old.after(delivery.outcome)
            isMine = self._expansions.classOf(delivery) == entry.queue or delivery.status is not Status.WAITING
            (mine if isMine else others).append(delivery)
        drafts = self._expansions.drafts(others, entry.due)
        return self._settlement.become(claim, mine, drafts, content).addCallback(lambda _: None)
