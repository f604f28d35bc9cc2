"""The modules of a socket, asked side by side.

A module that fails, or is not done in time, is an opinion too, by its policy.  A seal of
another host of ours saves modules their work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, inlineCallbacks, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail.examination import Action, Examined, ModuleError, Opinion, Rank, Vouched
from umbcmail.filter.multiplexer.decision import LATER, Decision, forged, merged
from umbcmail.filter.multiplexer.tally import ModuleTally
from umbcmail.interfaces import IModule, ISeal
from umbcmail.maillog import MailLog

_RESULTS = {Rank.CLEAN: "clean", Rank.SPAM: "spam", Rank.VIRUS: "virus"}


@dataclass(slots=True)
class Seat:
    """A module and what holds for it.

    @ivar name: in the configuration.
    @ivar kind: its type, which is the same on all hosts.
    @ivar deadline: seconds.
    @ivar failure: C{"delay"}, C{"accept"}, C{"refuse"} or C{"tag"}.
    """

    name: str
    kind: str
    module: IModule
    deadline: float
    failure: str
    tally: ModuleTally = field(default_factory=ModuleTally)


@dataclass(frozen=True, slots=True)
class Examination:
    """What has come of a message.

    @ivar decision: what becomes of it.
    @ivar forged: positions of fields to be removed.
    @ivar headers: fields to be added.
    """

    decision: Decision
    forged: Sequence[int]
    headers: Sequence[tuple[str, str]]


class Panel:
    """The modules of one socket."""

    def __init__(
        self,
        seats: Sequence[Seat],
        seal: ISeal | None,
        servers: Sequence[str],
        clock: IReactorTime,
        log: MailLog,
    ) -> None:
        """
        @param servers: names of ours in Authentication-Results.
        """
        self._seats = seats
        self._seal = seal
        self._servers = servers
        self._clock = clock
        self._log = log
        claims = [claim for seat in seats for claim in seat.module.claims]
        self._claims = tuple(dict.fromkeys((*claims, *(seal.claims if seal is not None else ()))))

    @inlineCallbacks
    def examine(self, examined: Examined) -> Any:
        """Have a message examined.

        @return: L{Deferred} of an L{Examination}; may be cancelled.
        """
        vouched: Vouched | None = None
        if self._seal is not None:
            vouched = yield self._seal.look(examined).addErrback(self._unsealed, examined)
        asked = [self._ask(seat, examined, vouched) for seat in self._seats]
        opinions: list[Opinion] = []
        try:
            for each in asked:
                opinions.append((yield each))
        except BaseException:
            for each in asked:
                each.addErrback(lambda _: None)
                each.cancel()
            raise
        decision = merged(opinions)
        away = forged(examined.fields, self._claims, self._servers)
        headers = list(dict.fromkeys(decision.headers))
        if decision.action is Action.ACCEPT:
            headers += yield self._sealed(examined, vouched, opinions, away, headers)
        return Examination(decision, away, headers)

    @inlineCallbacks
    def _sealed(
        self,
        examined: Examined,
        vouched: Vouched | None,
        opinions: Sequence[Opinion],
        away: Sequence[int],
        headers: Sequence[tuple[str, str]],
    ) -> Any:
        """@return: L{Deferred} of a list, with a seal or without."""
        clean = {
            seat.kind: each.score
            for seat, each in zip(self._seats, opinions, strict=True)
            if each.isExamined and each.rank is Rank.CLEAN
        }
        if self._seal is None or not clean:
            return []
        added = [(name.encode(), b" " + value.encode("utf-8", "replace")) for name, value in headers]
        gone = set(away)
        fields = [each for at, each in enumerate(examined.fields) if at not in gone] + added
        # What another host has examined is not younger for coming by here.
        isOld = vouched is not None and not clean.keys().isdisjoint(vouched.clean)
        since = vouched.since if vouched is not None and isOld else self._clock.seconds()
        made = self._seal.make(examined, fields, Vouched(clean, since))
        found = yield made.addErrback(self._unsealed, examined)
        return [found] if found is not None else []

    def _unsealed(self, failure: Failure, examined: Examined) -> None:
        """Without a seal all is examined."""
        if failure.check(CancelledError):
            failure.raiseException()
        if failure.check(OSError):
            self._log.trouble(examined.id, "seal", failure.getErrorMessage())
        else:
            self._log.bug(examined.id, "seal", failure)

    def _ask(self, seat: Seat, examined: Examined, vouched: Vouched | None) -> Deferred[Opinion]:
        began = self._clock.seconds()
        if vouched is not None and seat.kind in vouched.clean:
            seat.tally.results["sealed"] += 1
            return succeed(Opinion(score=vouched.clean[seat.kind], headers=_own(seat, examined)))
        asking: Deferred[Opinion] = maybeDeferred(_examine, seat.module, examined)
        asking.addTimeout(seat.deadline, self._clock)
        asking.addCallbacks(self._said, self._failed, (seat, began), {}, (seat, examined))
        return asking

    def _said(self, opinion: Opinion, seat: Seat, began: float) -> Opinion:
        seat.tally.trouble = ""
        seat.tally.seconds += self._clock.seconds() - began
        seat.tally.results[_RESULTS[opinion.rank] if opinion.isExamined else "unexamined"] += 1
        return opinion

    def _failed(self, failure: Failure, seat: Seat, examined: Examined) -> Opinion:
        """By the policy; but what we are to blame for refuses nothing."""
        if failure.check(CancelledError):
            failure.raiseException()
        policy = seat.failure
        kind = "down"
        why = failure.getErrorMessage()
        if failure.check(TimeoutError):
            kind, why = "slow", f"not done after {seat.deadline:g} s"
        elif not failure.check(ModuleError):
            self._log.bug(examined.id, f"module {seat.name}", failure)
            kind = "broken"
            policy = "delay" if policy == "refuse" else policy
        seat.tally.results["failed"] += 1
        seat.tally.trouble = f"{kind}: {why}" if kind != "broken" else "broken, see the log"
        self._log.filterFailed(examined.id, f"module {seat.name}", kind, why, policy)
        if policy in ("delay", "refuse"):
            text = LATER if policy == "delay" else "The message can't be examined"
            return Opinion(action=Action(policy), found=f"{seat.name} is {kind}", text=text, isExamined=False)
        tag = ((seat.module.mark, f"Unknown, {seat.kind} could not examine it"),) if policy == "tag" else ()
        return Opinion(headers=tag, isExamined=False)


def _own(seat: Seat, examined: Examined) -> tuple[tuple[str, str], ...]:
    """The fields that the other host's module has made, which its seal is bound to."""
    names = tuple(seat.module.claims)
    found = [(name, value) for name, value in examined.fields if name.strip().lower().startswith(names)]
    return tuple((name.strip().decode("ascii", "replace"), _text(value)) for name, value in found)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip().replace("\r\n", "\n")


def _examine(module: Any, examined: Examined) -> Any:
    return module.examine(examined)
