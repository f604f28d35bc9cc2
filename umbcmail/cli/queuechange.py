"""What an operator can change in the queues: done with a spool, told, and written
down in the mail log.

Called by `queueparser`.  IDs are taken some at a time, so that each has its place in
a line of the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.cli.audit import Audit
from umbcmail.cli.command import NOTHING, Command, Refusal
from umbcmail.cli.listing import Table, counted
from umbcmail.cli.queuecommand import damagedOf, resolved
from umbcmail.cli.queuefilters import Meant
from umbcmail.entry import Entry, SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.outcome import Outcome
from umbcmail.reply import reply
from umbcmail.selection import Selection

TOGETHER = 200
"""IDs that one line of the log names at most."""
FEW = 50
"""IDs up to which each is looked for, so that those that are mistyped can be named."""
FIRST = 10
"""Entries that a rehearsal shows."""
CANCELLED = "The postmaster has taken it out of the queue"
"""What senders are told when no reason is given."""

Order = Callable[[ISpool, Selection, float], Deferred[int]]
"""Called with a selection and the time; gives how many entries there were."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that can be done to entries.

    @ivar order: does it.
    @ivar key: what they are then, in one word: C{"removed"}.
    @ivar words: the same for people.
    @ivar only: what they must be for that, as L{Selection} has it.
    @ivar keepsDamaged: those that are damaged are left out.
    @ivar needsWord: an operator is asked first.
    @ivar values: for the log.
    """

    order: Order
    key: str
    words: str
    only: Mapping[str, Any] = field(default_factory=dict)
    keepsDamaged: bool = False
    needsWord: bool = False
    values: Mapping[str, str] = field(default_factory=dict)


RETRY = Change(lambda spool, some, now: spool.retry(some, now), "retried", "to be tried now")
HOLD = Change(lambda spool, some, now: spool.hold(some), "held", "held", {"held": False})
RELEASE = Change(lambda spool, some, now: spool.release(some, now), "released", "released", {"held": True}, True)
REMOVE = Change(lambda spool, some, now: spool.remove(some), "removed", "removed", needsWord=True)
_FREE = {"claimed": False}


def moving(queue: str) -> Change:
    """Moves entries to another class."""
    return Change(
        lambda spool, some, now: spool.move(some, queue), "moved", f"moved to {queue}", _FREE, values={"to": queue}
    )


def bouncing(reason: str) -> Change:
    """Gives entries up, so that their senders are told.

    @param reason: for them, C{""}: L{CANCELLED}.
    """
    outcome = Outcome(reply(554, "5.0.0", reason or CANCELLED))
    return Change(
        lambda spool, some, now: spool.giveUp(some, outcome, now),
        "bounced",
        "given up, their senders are told",
        _FREE,
        True,
        True,
        {"reason": reason},
    )


def readdressing(old: str, new: str) -> Change:
    """Gives recipients another address."""
    return Change(
        lambda spool, some, now: spool.readdress(some, old, new, now),
        "edited",
        f"readdressed to {new}",
        _FREE | {"recipient": old},
        True,
        values={"to": new},
    )


def repairing(folder: str) -> Change:
    """Takes what is damaged out of the spool, or into service again.

    @param folder: what is left of it goes there.
    """
    return Change(
        lambda spool, some, now: spool.repair(some.ids, folder, now), "repaired", "repaired", values={"into": folder}
    )


def confined(selection: Selection, only: Mapping[str, Any]) -> Selection | None:
    """The part of a selection that is as it must be, L{None}: there can't be any."""
    for name, value in only.items():
        given = getattr(selection, name)
        if given not in (None, "", value):
            return None
        selection = replace(selection, **{name: value})
    return selection


class QueueChange(Command):
    """Changes entries.

    @param name: of the command, C{"queue remove"}.
    @param audit: gets a line for each change.
    @param confirm: asks a person a question, L{None}: nobody is there.
    @param before: called with the spool and the selection before anything is changed;
        gives a L{Deferred}.  The others are those of L{Command}.
    """

    def __init__(
        self,
        spool: ISpool,
        out: TextIO,
        now: Callable[[], float],
        asJSON: bool,
        note: Callable[[str], object],
        name: str,
        audit: Audit,
        confirm: Callable[[str], bool] | None,
        before: Callable[[ISpool, Selection], Deferred[Any]] | None = None,
    ) -> None:
        Command.__init__(self, out, now, asJSON, note)
        self._spool = spool
        self._name = name
        self._audit = audit
        self._confirm = confirm
        self._before = before

    @inlineCallbacks
    def rehearse(self, change: Change, meant: Meant) -> Any:
        """Say how many entries would be changed, and show the first of them."""
        selection, number = yield self._meant(change, meant)
        first = []
        if number:
            found: list[Entry] = yield self._spool.listing(selection, FIRST)
            first = [entry for entry in found if change.key != "moved" or entry.queue != change.values["to"]]
        if self._asJSON:
            self._print([json.dumps({"dry_run": True, change.key: number, "first": [entry.id for entry in first]})])
            return
        self._print(Table(self._now()).page(first))
        self._print(["…"] if number > len(first) else [])
        self._print([counted(number, f" would be {change.words}")])

    @inlineCallbacks
    def do(self, change: Change, meant: Meant) -> Any:
        """Change them."""
        selection = yield resolved(self._spool, meant)
        if change.needsWord and self._confirm is not None:
            _, number = yield self._meant(change, meant)
            if number > 1 and not self._confirm(f"{counted(number)} will be {change.words}. Go on?"):
                raise Refusal(NOTHING, "nothing has been changed")
        if self._before is not None and selection is not None:
            yield self._before(self._spool, selection)
        busy, absent = (yield self._busy(change, selection)), (yield self._absent(meant.selection.ids))
        done = 0
        for some in _parts(selection):
            done += yield self._some(change, some, meant)
        if not done and not meant.isAll:
            raise Refusal(NOTHING, _NONE.get(change.key, "no entry matches"))
        if busy:
            self._note(f"{counted(busy)} left out, being tried now")
        if absent:
            self._note(f"there is no entry {', '.join(absent)}")
        self._print([json.dumps({change.key: done}) if self._asJSON else counted(done, f" {change.words}")])

    @inlineCallbacks
    def _some(self, change: Change, selection: Selection, meant: Meant) -> Any:
        values = {"selection": meant.words, "entry": " ".join(selection.ids), **change.values}
        try:
            number = yield change.order(self._spool, selection, self._now())
        except SpoolError as why:
            self._audit.wrote(self._name, **values, failed=str(why))
            raise
        self._audit.wrote(self._name, **values, entries=number)
        return number

    @inlineCallbacks
    def _meant(self, change: Change, meant: Meant) -> Any:
        """What would be changed, and how many entries that is.

        @return: L{Deferred} of a L{Selection} and a number.
        """
        selection = yield resolved(self._spool, meant)
        selection = selection and confined(selection, change.only)
        if selection is None:
            return Selection(), 0
        number = yield self._spool.count(selection)
        if change.key == "moved" and (not selection.queues or change.values["to"] in selection.queues):
            number -= yield self._spool.count(replace(selection, queues=(change.values["to"],)))
        if change.keepsDamaged:
            number -= len((yield damagedOf(self._spool, selection)))
        return selection, number

    @inlineCallbacks
    def _busy(self, change: Change, selection: Selection | None) -> Any:
        """How many are left out since somebody is working on them."""
        busy = None
        if selection is not None and "claimed" in change.only:
            busy = confined(selection, {**change.only, "claimed": True})
        return (yield self._spool.count(busy)) if busy is not None else 0

    @inlineCallbacks
    def _absent(self, ids: Sequence[str]) -> Any:
        """Which of some IDs, if they are few, nothing has: they may be mistyped."""
        found = []
        for id in ids if len(ids) <= FEW else ():
            if not (yield self._spool.count(Selection(ids=(id,)))):
                found.append(id)
        return found


_NONE = {
    "held": "no entry matches that is not held already",
    "released": "no held entry matches",
    "moved": "no entry matches that is in another class and not being tried now",
    "bounced": "no entry matches that is not being tried now",
    "edited": "no entry matches that is not being tried now",
    "repaired": "no damaged entry matches",
}


def _parts(selection: Selection | None) -> Sequence[Selection]:
    """The same, with some of the IDs each."""
    if selection is None or not selection.ids:
        return [] if selection is None else [selection]
    ids = selection.ids
    return [replace(selection, ids=ids[at : at + TOGETHER]) for at in range(0, len(ids), TOGETHER)]
