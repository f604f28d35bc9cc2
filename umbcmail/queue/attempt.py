"""One attempt to deliver a message: route its recipients, group them, carry.

Called by the intake before the client is answered, and by the runners later.
Routes are asked for anew every time.  An attempt never fails: what goes wrong
becomes outcomes, and a bug becomes "try later" for the recipients concerned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.content import ToppedContent
from umbcmail.deliverby import isOver
from umbcmail.destination import Hop, Route
from umbcmail.entry import Delivery
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent, ICourier, IRouter
from umbcmail.localaddress import isPrintable
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.queue.tally import Tally
from umbcmail.queue.traffic import Haste, Traffic, Trip

NO_AGENT = Route("", problem=reply.PROGRAM_REFUSED)
"""Where there is no local delivery agent."""
_BUG = Outcome(reply.LOCAL_ERROR, command="attempt")
_OVER = Outcome(reply.EXPIRED, command="queue")


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be attempted: see L{Attempts.run}."""

    id: str
    envelope: Envelope
    content: IContent
    queue: str
    haste: Haste


class Attempts:
    """Makes attempts.

    @ivar running: how many are under way.
    @ivar tally: what came of them.
    """

    def __init__(
        self,
        router: IRouter,
        couriers: Mapping[str, ICourier],
        log: MailLog,
        clock: IReactorTime,
        traffic: Traffic | None = None,
        agent: Route = NO_AGENT,
    ) -> None:
        """
        @param couriers: by the name that routes call them by.
        @param traffic: says what may go; L{None}: everything.
        @param agent: the way to the local delivery agent, which runs programs and writes into
            files (C{Origin.action}) whatever the way of a domain is.
        """
        self._agent = agent
        self.running = 0
        self.tally = Tally()
        self._router = router
        self._couriers = couriers
        self._log = log
        self._clock = clock
        self._traffic = traffic

    def run(
        self,
        id: str,
        envelope: Envelope,
        content: IContent,
        recipients: Sequence[Recipient],
        queue: str = "",
        last: Sequence[Delivery] = (),
        haste: Haste = Haste.NONE,
    ) -> Deferred[list[Outcome]]:
        """Try some of the recipients of a message.

        @param id: of the message or the entry, for the log.
        @param queue: the class that they are in; C{""}: each in its own.
        @param last: what there is of earlier attempts, for each.  Where the last
            outcome is uncertain, the host that it came from is the only one to be
            tried, as it may have the message and can know it again (RFC 1047).
        @return: L{Deferred} of one L{Outcome} for each, in their order.
        """
        self.running += 1
        started = self._clock.seconds()
        task = _Task(id, envelope, content, queue, haste)
        try:
            if envelope.deliverBy and isOver(envelope.deliverBy, started):
                return succeed(self._done([_OVER] * len(recipients), task, recipients, started))
            tried = self._routed(task, recipients, last)
        except Exception:
            tried = succeed(self._bug(Failure(), id, len(recipients)))
        tried.addErrback(self._bug, id, len(recipients))
        return tried.addCallback(self._done, task, recipients, started)

    def _done(
        self, outcomes: list[Outcome], task: _Task, recipients: Sequence[Recipient], started: float
    ) -> list[Outcome]:
        self.running -= 1
        seconds = self._clock.seconds() - started
        real = [outcome for outcome in outcomes if not outcome.postponed]
        if real:
            self.tally.attempted(task.queue, real, seconds)
        for recipient, outcome in zip(recipients, outcomes, strict=True):
            if not outcome.postponed:
                sender = task.envelope.toward(recipient).sender
                self._log.attempted(task.id, sender, recipient.address, outcome, seconds, task.queue)
        return outcomes

    def _bug(self, failure: Failure, id: str, count: int) -> list[Outcome]:
        self._log.bug(id, "attempt", failure)
        return [_BUG] * count

    # Routing

    def _routed(
        self, task: _Task, recipients: Sequence[Recipient], last: Sequence[Delivery]
    ) -> Deferred[list[Outcome]]:
        routes: dict[str, Route] = {}
        waits: list[Deferred[Any]] = []
        for domain in {_wayOf(recipient) for recipient in recipients}:
            if domain == _AGENT:
                routes[domain] = self._agent
                continue
            route = self._router.route(domain, task.queue or self._router.classify(domain))
            if isinstance(route, Route):
                routes[domain] = route
            else:
                waits.append(route.addCallback(self._noted, routes, domain))
        if not waits:
            return self._carried(task, recipients, routes, last)
        return gatherResults(waits, consumeErrors=True).addCallbacks(
            lambda _: self._carried(task, recipients, routes, last), firstFailure
        )

    @staticmethod
    def _noted(route: Route, routes: dict[str, Route], domain: str) -> None:
        routes[domain] = route

    # Carrying

    def _carried(
        self,
        task: _Task,
        recipients: Sequence[Recipient],
        routes: dict[str, Route],
        last: Sequence[Delivery],
    ) -> Deferred[list[Outcome]]:
        before = [d.outcome.host if d.outcome is not None and d.outcome.uncertain else "" for d in last]
        if len(routes) == 1 and not any(before) and not any(recipient.origin for recipient in recipients):
            return self._group(task, list(recipients), routes[recipients[0].domain], last)
        groups: dict[tuple[Route, str | None, str], list[int]] = {}
        for at, recipient in enumerate(recipients):
            route, origin = routes[_wayOf(recipient)], recipient.origin
            if before and before[at]:
                route = self._again(task.id, recipient, route, before[at])
            key = (route, None, "") if origin is None else (route, origin.sender, _traceOf(recipient))
            groups.setdefault(key, []).append(at)
        outcomes: list[Outcome] = [_BUG] * len(recipients)
        waits = []
        for (route, _, _), places in groups.items():
            some, known = [recipients[at] for at in places], [last[at] for at in places if last]
            waits.append(self._group(task, some, route, known).addCallback(_placed, outcomes, places))
        return gatherResults(waits, consumeErrors=True).addCallback(lambda _: outcomes)

    def _again(self, id: str, recipient: Recipient, route: Route, host: str) -> Route:
        """The route of a recipient that may have got the message by a host."""
        hops = tuple([hop for hop in route.hops if str(hop) == host])
        self._log.uncertain(id, recipient.address, host, bool(hops))
        return replace(route, hops=hops) if hops else route

    def _group(
        self, task: _Task, recipients: list[Recipient], route: Route, last: Sequence[Delivery]
    ) -> Deferred[list[Outcome]]:
        """All recipients of a message with the same route."""
        if route.problem is not None:
            now, problem = self._clock.seconds(), route.problem
            before: Sequence[Delivery | None] = last or [None] * len(recipients)
            return succeed([_noWay(problem, route, delivery, now) for delivery in before])
        carry = partial(self._carry, task, recipients, route)
        try:
            if self._traffic is None:
                return carry(route.hops).addErrback(self._bug, task.id, len(recipients))
            domain = recipients[0].domain
            queue = task.queue or self._router.classify(domain)
            sender = task.envelope.toward(recipients[0]).sender
            trip = Trip(queue, sender, domain, route, task.haste, carry, len(recipients))
            return self._traffic.run(trip).addErrback(self._bug, task.id, len(recipients))
        except Exception:
            return succeed(self._bug(Failure(), task.id, len(recipients)))

    def _carry(
        self, task: _Task, recipients: list[Recipient], route: Route, hops: tuple[Hop, ...]
    ) -> Deferred[list[Outcome]]:
        envelope, content, trace = task.envelope, task.content, _traceOf(recipients[0])
        if recipients[0].origin is not None:
            envelope = envelope.toward(recipients[0])
        if trace:
            content = ToppedContent(f"Delivered-To: {trace}\r\n".encode(), content)
            envelope = replace(envelope, size=content.size)
        tried = self._couriers[route.courier].deliver(envelope, content, recipients, hops)
        return tried.addCallback(self._complete, len(recipients), route.courier)

    def _complete(self, outcomes: list[Outcome], count: int, courier: str) -> list[Outcome]:
        """@raise ValueError: there are too few or too many of them."""
        if len(outcomes) != count:
            raise ValueError(f"{len(outcomes)} outcomes for {count} recipients")
        self.tally.carried(courier, outcomes)
        return outcomes


_AGENT = "|"
"""In place of a domain: the way to the local delivery agent."""


def _wayOf(recipient: Recipient) -> str:
    """What recipients have the same route by."""
    return _AGENT if recipient.origin is not None and recipient.origin.action else recipient.domain


def _traceOf(recipient: Recipient) -> str:
    """The address that a message has come to on its way to a recipient and that has to be seen
    in it, so that it is known again when it comes back; C{""} where the mailbox says it, or
    nothing was forwarded."""
    origin = recipient.origin
    if origin is None or origin.address.lower() == recipient.address.lower() or not isPrintable(origin.address):
        return ""
    return origin.address


def _noWay(problem: reply.Reply, route: Route, last: Delivery | None, now: float) -> Outcome:
    """What comes of a route that leads nowhere.  When that need not be the last word
    the time of the first one is that of the delivery's last outcome, which the spool
    keeps."""
    if route.final is None:
        return Outcome(problem, command="route")
    since = now
    if last is not None and last.outcome is not None and last.outcome.reply == problem:
        since = min(last.at, now)
    if now - since >= route.patience:
        return Outcome(route.final, command="route")
    return Outcome(problem, command="route", again=since + route.patience)


def firstFailure(failure: Failure) -> Failure:
    """The failure inside of what L{gatherResults} reports."""
    value: Any = failure.value
    inner: Failure = value.subFailure
    return inner


def _placed(found: list[Outcome], outcomes: list[Outcome], places: list[int]) -> None:
    for at, outcome in zip(places, found, strict=True):
        outcomes[at] = outcome
