"""The walk from one recipient to all that it stands for, step by step.

Made by `expander` for each recipient that may stand for others.  All that is one step away is
looked at together, so that users' C{.forward} are asked for at the same time.  Nobody is
visited twice: what leads back is left out, and an address that has nothing but that is a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.aliases import DontKnow
from umbcmail.entry import Delivery
from umbcmail.envelope import Origin, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.route.meaning import Meaning, Step, Way

Note = Callable[[int, str], object]
"""Told of each step: how far it is from the recipient, and what was found."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk may go.

    @ivar depth: steps.
    @ivar recipients: in all.
    """

    depth: int = 20
    recipients: int = 10_000


class Walk:
    """One walk."""

    def __init__(
        self, meaning: Meaning, bounds: Bounds, sender: str, recipient: Recipient, note: Note = lambda depth, text: None
    ) -> None:
        """
        @param meaning: says what is one step away.
        @param sender: of the message.
        @param note: see L{Note}.
        """
        self._meaning = meaning
        self._bounds = bounds
        self._sender = sender
        self._recipient = recipient
        self._note = note
        self._found: dict[Any, Delivery] = {}
        self._seen: set[Any] = set()
        self._isNobody = self._isList = False
        self._visits = 0

    def run(self) -> Deferred[tuple[Delivery, ...] | None]:
        """Go.

        @return: L{Deferred}, see L{umbcmail.interfaces.IExpander.expand}; fails by a bug.
        """
        origin = self._recipient.origin
        first = Step(self._recipient.address, Way.VIRTUAL, self._recipient.notify)
        if origin is not None:
            first = replace(first, way=Way.FORWARD, depth=origin.depth or 0, owner=origin.sender)
        return Deferred.fromCoroutine(self._run(first))

    async def _run(self, first: Step) -> tuple[Delivery, ...] | None:
        level = [first]
        self._seen.add(first.key)
        try:
            while level:
                below: list[Step] = []
                for step, found in zip(level, await self._looked(level), strict=True):
                    self._take(step, found, below)
                    if max(self._visits // 2, len(self._found)) > self._bounds.recipients:
                        return self._only(reply.TOO_MANY_BEHIND)
                level = below
        except DontKnow as why:
            self._note(0, f"it has to wait: {why}")
            return self._only(reply.RECIPIENT_YET)
        return self._told()

    def _only(self, said: Reply) -> tuple[Delivery, ...]:
        """Nothing comes of it but that."""
        return (Delivery(self._recipient).after(_outcome(said)),)

    async def _looked(self, level: Sequence[Step]) -> list[Any]:
        """What is one step away from each of some steps."""
        found: list[Any] = []
        waits: list[Deferred[Any]] = []
        for step in level:
            found.append(self._look(step))
            if isinstance(found[-1], Deferred):
                waits.append(found[-1].addErrback(_unknown))
        if not waits:
            return found
        answers = iter(await gatherResults(waits, consumeErrors=True))
        return [next(answers) if isinstance(each, Deferred) else each for each in found]

    def _look(self, step: Step) -> Any:
        if step.depth > self._bounds.depth:
            self._note(step.depth, f"{step.text}: this is more than {self._bounds.depth} steps away")
            return reply.ALIAS_LOOP
        return self._meaning.of(step, self._sender, self._note)

    def _take(self, step: Step, found: Any, below: list[Step]) -> None:
        """
        @param found: steps further; L{None}: this is the end of the way; a L{Reply}: it leads
            nowhere; or L{DontKnow}.
        """
        if isinstance(found, DontKnow):
            self._note(step.depth, f"{step.text}: {found}")
            self._add(step, reply.RECIPIENT_YET, step.depth)
        elif not isinstance(found, list):
            self._add(step, found)
        for next_ in found if isinstance(found, list) else ():
            self._visits += 1
            self._isList = self._isList or (next_.owner is not None and step.owner is None)
            if next_.way is Way.NOWHERE:
                self._isNobody = True
            elif next_.key not in self._seen:
                self._seen.add(next_.key)
                below.append(next_)
            elif next_.key in step.before():
                self._note(next_.depth, f"{next_.text}: this leads back, and is left out")

    def _add(self, step: Step, problem: Reply | None, depth: int | None = None) -> None:
        """Somebody at the end of a way.

        @param depth: see L{Origin}.
        """
        made = self._recipient
        if step.up is not None or made.origin is not None:
            origin = made.origin.address if made.origin is not None else made.address
            whom = Recipient(step.address) if step.owner is not None else made.readdressed(step.address)
            made = replace(whom, notify=step.notify, origin=Origin(origin, step.owner, step.action, depth))
        delivery = Delivery(made)
        if problem is not None:
            delivery = delivery.after(_outcome(problem))
            self._note(step.depth, f"{step.text}: {problem}")
        self._found.setdefault((made.address.lower(), step.action, problem), delivery)

    def _told(self) -> tuple[Delivery, ...] | None:
        """What comes of it, and what the sender hears of it (RFC 3461 section 5.2.7): nothing
        where one recipient has become another; where it has become several, that it is
        with them, since only what goes wrong is told of each; and of a list, which has an
        owner, that it is delivered."""
        found = list(self._found.values())
        recipient, isWanted = self._recipient, "SUCCESS" in self._recipient.notify.split(",")
        if not found:
            said = Outcome(reply.NOBODY, command="aliases", delivered=isWanted)
            return (Delivery(recipient).after(said if self._isNobody else _outcome(reply.ALIAS_LOOP)),)
        if len(found) == 1 and recipient.origin is None and _isSame(found[0], recipient):
            return None
        if not (len(found) > 1 or self._isList):
            return tuple(found)
        told = Outcome(reply.EXPANDED, command="aliases", delivered=self._isList, expanded=not self._isList)
        done = [Delivery(recipient).after(told)] if isWanted and recipient.origin is None else []
        return tuple(done + [_quiet(delivery) for delivery in found])


def _outcome(said: Reply) -> Outcome:
    return Outcome(said, command="aliases")


def _isSame(delivery: Delivery, recipient: Recipient) -> bool:
    """Nothing has become of a recipient."""
    origin = delivery.recipient.origin
    isPlain = origin is None or (origin.sender is None and not origin.action)
    return isPlain and delivery.outcome is None and delivery.recipient.address.lower() == recipient.address.lower()


def _unknown(failure: Failure) -> BaseException | None:
    """That something can't be told is an answer for one, and the walk goes on for others."""
    failure.trap(DontKnow)
    return failure.value


def _quiet(delivery: Delivery) -> Delivery:
    """One of several, of whose success nobody is told: the sender has heard all."""
    recipient = delivery.recipient
    if "SUCCESS" not in recipient.notify:
        return delivery
    words = [word for word in recipient.notify.split(",") if word != "SUCCESS"]
    return replace(delivery, recipient=replace(recipient, notify=",".join(words) or "NEVER"))
