"""Asks the next hop whether it takes mail for a recipient, before we do.

For domains that are configured for it, at RCPT: MAIL from the null sender and RCPT to
the next hop, by the couriers' connections, and no message.  Answers are remembered.
Who gets no answer is taken, or told to come again.  Mail from the null sender asks
nobody, since it may itself be such a question: two systems that ask each other would go
on for ever.  What is remembered counts for it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.envelope import Recipient
from umbcmail.figure import Figure
from umbcmail.interfaces import IAsker, ICourier, IRecipientCheck, IRouter, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import DOMAIN_PATTERN, Option, Section, choice, duration, integer, listOf
from umbcmail.outcome import Outcome
from umbcmail.reply import RECIPIENT_YET, Reply

CALL_AHEAD = Section(
    "call-ahead",
    "Asks the next hop at RCPT whether it takes mail for a recipient.",
    (
        Option("domains", listOf(DOMAIN_PATTERN), [], "Domains whose next hop, by SMTP or LMTP, is asked."),
        Option("timeout", duration(1, 240), "10s", "How long to wait for an answer."),
        Option("doubt", choice("accept", "delay"), "accept", "Without one the recipient is taken, or put off (451)."),
        Option("known", duration(0), "1h", "How long a yes is remembered."),
        Option("unknown", duration(0), "10m", "How long a no is remembered."),
        Option("remembered", integer(0, 1_000_000), 10_000, "Answers that are remembered."),
        Option("questions", integer(1, 10_000), 100, "Questions at the same time; others get no answer."),
    ),
)

_NO_ANSWER = "no answer"


@implementer(IRecipientCheck, IWatched)
class CallAhead:
    """Asks, and remembers."""

    name = "call-ahead"

    def __init__(
        self,
        settings: Mapping[str, Any],
        covers: Callable[[str], Any],
        router: IRouter,
        couriers: Mapping[str, ICourier],
        log: MailLog,
        clock: IReactorTime,
    ) -> None:
        """
        @param settings: values of the options of L{CALL_AHEAD}.
        @param covers: whether a domain (lower case) is one of those.
        @param couriers: by the name that routes call them by.
        """
        self._timeout = settings["timeout"]
        self._doubt = RECIPIENT_YET if settings["doubt"] == "delay" else None
        self._keep = {True: settings["known"], False: settings["unknown"]}
        self._remembered = settings["remembered"]
        self._limit = settings["questions"]
        self._covers = covers
        self._router = router
        self._couriers = couriers
        self._log = log
        self._clock = clock
        self._answers: dict[str, tuple[float, Reply | None]] = {}
        self._asking: dict[str, list[Deferred[Reply | None]]] = {}
        self._counts = {"yes": 0, "no": 0, "none": 0, "remembered": 0}

    def condition(self) -> str:
        """See L{IWatched.condition}.  That a next hop does not answer is no fault of ours."""
        return ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        meaning = "Recipients that were asked about, by answer: yes, no, none, remembered."
        for answer, number in self._counts.items():
            yield Figure("call_ahead_total", number, meaning, (("answer", answer),), True)
        yield Figure("call_ahead_remembered", len(self._answers), "Answers that are remembered.")
        yield Figure("call_ahead_waiting", len(self._asking), "Questions that wait for an answer.")

    def check(self, sender: str, recipient: Recipient) -> Reply | Deferred[Reply | None] | None:
        """See L{IRecipientCheck.check}."""
        if not self._covers(recipient.domain):
            return None
        local, _, domain = recipient.address.rpartition("@")
        key = f"{local}@{domain.lower()}"
        known = self._answers.get(key)
        if known is not None and known[0] > self._clock.seconds():
            self._counts["remembered"] += 1
            return known[1]
        if not sender:
            return None
        waiting = self._asking.get(key)
        if waiting is None:
            if len(self._asking) >= self._limit:
                self._counts["none"] += 1
                return self._doubt
            waiting = self._asking[key] = []
            asked: Deferred[Outcome | None] = self._asked(recipient)
            asked.addErrback(self._bug)
            asked.addCallback(self._answered, key)
            if key not in self._asking:  # it has answered at once
                known = self._answers.get(key)
                return known[1] if known is not None else self._doubt
        answer: Deferred[Reply | None] = Deferred()
        waiting.append(answer)
        return answer

    @inlineCallbacks
    def _asked(self, recipient: Recipient) -> Any:
        """@return: L{Deferred} of the C{Outcome}, or of L{None} where nobody can be asked."""
        domain = recipient.domain
        route: Any = self._router.route(domain, self._router.classify(domain))
        if isinstance(route, Deferred):
            found: Deferred[Any] = Deferred()  # others may wait for that one, so it must not be cancelled
            route.chainDeferred(found)
            route = yield found.addTimeout(self._timeout, self._clock)
        courier = self._couriers.get(route.courier)
        if route.problem is not None or not route.hops or not IAsker.providedBy(courier):
            return None
        outcome = yield courier.ask(recipient, route.hops).addTimeout(self._timeout, self._clock)
        return outcome

    def _bug(self, failure: Failure) -> None:
        if failure.check(TimeoutError) is None:
            self._log.bug("-", self.name, failure)

    def _answered(self, outcome: Outcome | None, key: str) -> None:
        """What a next hop says of a recipient counts; what it says of anything else does not."""
        answer = self._doubt
        isClear = outcome is not None and outcome.remote and outcome.command == "RCPT TO" and not outcome.isDelayed
        if outcome is not None and isClear:
            answer = None if outcome.isSent else outcome.reply
            self._counts["yes" if outcome.isSent else "no"] += 1
            self._remember(key, answer)
        else:
            self._counts["none"] += 1
            why = f"{outcome.host} {outcome.reply}" if outcome is not None else _NO_ANSWER
            self._log.event("call-ahead", "-", recipient=f"<{key}>", why=why)
        for waiting in self._asking.pop(key):
            waiting.callback(answer)

    def _remember(self, key: str, answer: Reply | None) -> None:
        seconds = self._keep[answer is None]
        if not seconds or not self._remembered:
            return
        self._answers.pop(key, None)
        self._answers[key] = (self._clock.seconds() + seconds, answer)
        if len(self._answers) > self._remembered:
            del self._answers[next(iter(self._answers))]
