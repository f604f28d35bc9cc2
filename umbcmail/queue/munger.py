"""Moves entries between classes by the rules of C{[[munge]]}.

What is hard to deliver must not take the places of what is easy, so it is moved to a
class of its own.  Run from time to time by the role C{schedule}, and once by
C{umbcmail munge}.  What is being attempted is left for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.entry import Entry, SpoolError
from umbcmail.figure import Figure
from umbcmail.interfaces import ISpool, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import BOOLEAN, DOMAIN, TEXT, WORD, Option, Section, duration, durationText, listOf, size
from umbcmail.selection import Selection

MUNGE = Section(
    "munge[]",
    "Which entries are moved to another class.",
    (
        Option("from", listOf(WORD, 1), None, "Classes that entries are moved out of.", required=True),
        Option("to", WORD, None, "The class that they are moved to.", required=True),
        Option("older", duration(0), "1d", "Age that they have at least."),
        Option("bounces", BOOLEAN, None, "Only notifications of ours, or only others; not set: both."),
        Option("sender", TEXT, "", "Only of this sender, or of *@domain; <> is the null sender."),
        Option("recipient", TEXT, "", "Only what waits for this address, or for *@domain."),
        Option("domain", DOMAIN, None, "Only what waits for this domain."),
        Option("cause", TEXT, "", "Only what was last answered with this text in it, or by such a host."),
        Option("larger", size(), None, "Only what has more octets."),
        Option("smaller", size(), None, "Only what has fewer octets."),
    ),
)

PAGE = 500
"""Entries that are looked at at a time."""

Told = Callable[[Entry, str], object]
"""Called with an entry, as it was, and the class that it is in now."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    @ivar selection: which entries, but for their age.
    @ivar older: seconds that they have been there at least.
    @ivar to: the class that they go to.
    """

    selection: Selection
    older: float
    to: str

    def at(self, now: float) -> Selection:
        """Which entries it means: what is held, or being attempted, stays where it is."""
        return replace(self.selection, createdBefore=now - self.older, held=False, claimed=False)

    @property
    def why(self) -> str:
        """What it is, for the log."""
        age = f" for {durationText(self.older)}" if self.older else ""
        return f"in {', '.join(self.selection.queues)}{age}"


DAY = 86400.0
USUAL = (
    Rule(Selection(queues=("remote", "internal")), DAY, "slow"),
    Rule(Selection(queues=("local",), bounces=True), DAY, "slow"),
)
"""The rules when there is no C{[[munge]]}."""


def rulesOf(rows: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """@param rows: the values of each C{[[munge]]}; without any L{USUAL} holds."""
    return tuple(map(_ruleOf, rows)) or USUAL


def _ruleOf(row: Mapping[str, Any]) -> Rule:
    selection = Selection(
        queues=row["from"],
        bounces=row["bounces"],
        sender=row["sender"],
        recipient=row["recipient"],
        domain=row["domain"] or "",
        cause=row["cause"],
        sizeOver=row["larger"],
        sizeUnder=row["smaller"],
    )
    return Rule(selection, row["older"], row["to"])


@implementer(IWatched)
class Munger:
    """The rules at work."""

    name = "munger"

    def __init__(self, rules: Sequence[Rule], spool: ISpool, log: MailLog, now: Callable[[], float]) -> None:
        """
        @param now: gives seconds since 1970.
        """
        self._rules = rules
        self._spool = spool
        self._log = log
        self._now = now
        self._looks = 0
        self._problem = ""
        pairs = [(queue, rule.to) for rule in rules for queue in rule.selection.queues]
        self._moved = dict.fromkeys(pairs, 0)

    def look(self) -> Deferred[Any]:
        """Apply the rules; never fails."""
        return self.munge().addCallbacks(self._done, self._failed)

    def _done(self, moved: int) -> None:
        self._problem = ""

    def _failed(self, failure: Failure) -> None:
        if failure.check(SpoolError):
            self._problem = failure.getErrorMessage()
            self._log.trouble("-", "munger", self._problem)
        else:
            self._problem = "broken, see the log"
            self._log.bug("-", "munger", failure)

    @inlineCallbacks
    def munge(self, told: Told = lambda entry, to: None) -> Any:
        """Apply the rules, each to what those before have left or brought.

        @return: L{Deferred} of how many were moved; fails with C{SpoolError}.
        """
        total = 0
        for rule in self._rules:
            selection = rule.at(self._now())
            while True:
                page = yield self._spool.listing(selection, PAGE)
                moved = yield self._move(page, rule, selection, told)
                total += moved
                if not moved or len(page) < PAGE:
                    break
        self._looks += 1
        self._log.munged(total)
        return total

    def _move(self, page: Iterable[Entry], rule: Rule, selection: Selection, told: Told) -> Deferred[int]:
        """Each by an order of its own, since somebody may have claimed it meanwhile; all
        of them are written together.  The first entry of a message has the message's
        id and means all of its entries, so it comes last."""

        def done(number: int, entry: Entry) -> int:
            if number:
                key = (entry.queue, rule.to)
                self._moved[key] = self._moved.get(key, 0) + 1
                self._log.moved(entry.id, entry.queue, rule.to, rule.why)
                told(entry, rule.to)
            return min(number, 1)

        waits = []
        for entry in sorted(page, key=lambda entry: entry.id, reverse=True):
            one = replace(selection, ids=(entry.id,), queues=(entry.queue,))
            waits.append(self._spool.move(one, rule.to).addCallback(done, entry))
        return gatherResults(waits, consumeErrors=True).addCallbacks(sum, firstFailure)

    @inlineCallbacks
    def rehearse(self, told: Told) -> Any:
        """Tell what would be moved, each entry by the first rule that means it.

        @return: L{Deferred} of how many; fails with C{SpoolError}.
        """
        seen: set[str] = set()
        for rule in self._rules:

            def met(entry: Entry, to: str = rule.to) -> None:
                if entry.id not in seen:
                    seen.add(entry.id)
                    told(entry, to)

            yield eachOf(self._spool, rule.at(self._now()), met)
        return len(seen)

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"the rules could not be applied: {self._problem}" if self._problem else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("munger_looks_total", self._looks, "How often the rules of the munger were applied.", (), True)
        meaning = "Entries that the munger has moved."
        for (queue, to), number in self._moved.items():
            yield Figure("munger_moved_total", number, meaning, (("from", queue), ("to", to)), True)


@inlineCallbacks
def eachOf(spool: ISpool, selection: Selection, met: Callable[[Entry], object]) -> Any:
    """Go through the entries that are meant, by pages; what comes and goes meanwhile may
    be met, and an entry may be met twice.

    @return: L{Deferred}; fails with C{SpoolError}.
    """
    last = ""
    while True:
        try:
            page = yield spool.listing(selection, PAGE, after=last)
        except SpoolError:
            if not last:
                raise
            last = ""  # that entry has gone
            continue
        for entry in page:
            met(entry)
        if len(page) < PAGE:
            return
        last = page[-1].id


def firstFailure(failure: Failure) -> Failure:
    """The failure inside of what L{gatherResults} reports."""
    why: Any = failure.value
    inner: Failure = why.subFailure
    return inner
