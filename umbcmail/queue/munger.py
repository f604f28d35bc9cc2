"""Moves entries between classes by the rules of C{[[munge]]}.

What is hard to deliver must not take the places of what is easy, so it is moved to a
class of its own.  Run from time to time by the role C{schedule}, and once by
C{umbcmail munge}.  What is being attempted is left for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import implementer

from umbcmail.entry import Entry
from umbcmail.figure import Figure
from umbcmail.interfaces import ISpool, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import BOOLEAN, DOMAIN, TEXT, WORD, Option, Section, duration, durationText, listOf, size
from umbcmail.queue.sweep import Sweep, eachOf
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
class Munger(Sweep):
    """The rules at work."""

    name = "munger"
    complaint = "the rules could not be applied"

    def __init__(self, rules: Sequence[Rule], spool: ISpool, log: MailLog, now: Callable[[], float]) -> None:
        """
        @param now: gives seconds since 1970.
        """
        Sweep.__init__(self, spool, log)
        self._rules = rules
        self._now = now
        pairs = [(queue, rule.to) for rule in rules for queue in rule.selection.queues]
        self._moved = dict.fromkeys(pairs, 0)

    def sweep(self) -> Deferred[int]:
        """See L{Sweep.sweep}."""
        done: Deferred[int] = self.munge()
        return done

    @inlineCallbacks
    def munge(self, told: Told = lambda entry, to: None) -> Any:
        """Apply the rules, each to what those before have left or brought.

        @return: L{Deferred} of how many were moved; fails with C{SpoolError}.
        """
        total = 0
        for rule in self._rules:
            selection = rule.at(self._now())
            total += yield self._through(selection, partial(self._move, rule, selection, told))
        self._looks += 1
        self._log.munged(total)
        return total

    def _move(self, rule: Rule, selection: Selection, told: Told, page: Iterable[Entry]) -> Deferred[int]:
        def order(entry: Entry) -> Deferred[int]:
            return self._spool.move(replace(selection, ids=(entry.id,), queues=(entry.queue,)), rule.to)

        def done(entry: Entry) -> None:
            key = (entry.queue, rule.to)
            self._moved[key] = self._moved.get(key, 0) + 1
            self._log.moved(entry.id, entry.queue, rule.to, rule.why)
            told(entry, rule.to)

        return self._each(page, order, done)

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

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        yield Figure("munger_looks_total", self._looks, "How often the rules of the munger were applied.", (), True)
        meaning = "Entries that the munger has moved."
        for (queue, to), number in self._moved.items():
            yield Figure("munger_moved_total", number, meaning, (("from", queue), ("to", to)), True)
