"""What an operator can ask of the roster of POP-before-SMTP, done and printed.

Called by `dracparser`, which parses the command and opens the state.  Knows of
L{IRoster} and nothing of what is behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater

from umbcmail.cli.command import NOTHING, Command, Refusal
from umbcmail.cli.listing import counted, safe, spanOf, timeOf
from umbcmail.interfaces import IRoster
from umbcmail.sighting import Sighting, StateError

Roster = Mapping[str, Sighting]
"""Entries by address."""


def changesOf(before: Roster, after: Roster, now: float) -> Iterable[tuple[str, Sighting]]:
    """What has become of a roster: C{new}, C{renewed}, C{expired} or C{removed}, and the
    entry; those that have gone come first.

    @param now: seconds since 1970, when C{after} was read.
    """
    for address, entry in before.items():
        if address not in after:
            yield "expired" if entry.expires <= now else "removed", entry
    for address, entry in after.items():
        known = before.get(address)
        if known is None:
            yield "new", entry
        elif known != entry:
            yield "renewed", entry


def tableOf(entries: list[Sighting], now: float) -> Iterable[str]:
    """The lines of a list for people."""
    rows = [("ADDRESS", "EXPIRES IN", "REPORTED BY")]
    rows += [(safe(each.address), spanOf(each.expires - now), safe(each.reporter) or "-") for each in entries]
    wide = [max(len(row[n]) for row in rows) for n in range(2)]
    for row in rows if entries else ():
        yield f"{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]}"
    yield counted(len(entries))


def recordOf(entry: Sighting) -> dict[str, Any]:
    """An entry as JSON values; times are ISO 8601, UTC."""
    return {"address": entry.address, "expires": timeOf(entry.expires), "reporter": entry.reporter}


class DracCommand(Command):
    """What can be asked of the roster.  Each method returns a L{Deferred} that fires when
    it is done and printed; it fails with L{Refusal} or L{StateError}.

    @param roster: of a state that is started; the others are those of L{Command}.
    """

    def __init__(
        self,
        roster: IRoster,
        out: TextIO,
        now: Callable[[], float],
        asJSON: bool = False,
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        Command.__init__(self, out, now, asJSON, note)
        self._roster = roster

    @inlineCallbacks
    def list(self) -> Any:
        """Print what has not expired, by address."""
        entries = yield self._roster.listing(self._now())
        if self._asJSON:
            self._print(json.dumps(recordOf(entry)) for entry in entries)
        else:
            self._print(tableOf(entries, self._now()))

    @inlineCallbacks
    def remove(self, addresses: Sequence[str]) -> Any:
        """Forget addresses, each of them even if another was not there."""
        missing = []
        for address in addresses:
            wasThere = yield self._roster.remove(address)
            missing += [] if wasThere else [address]
        removed = len(addresses) - len(missing)
        if removed or self._asJSON:
            self._print([json.dumps({"removed": removed}) if self._asJSON else counted(removed, " removed")])
        if missing:
            raise Refusal(NOTHING, f"not in the roster: {', '.join(missing)}")

    @inlineCallbacks
    def watch(self, reactor: Any, interval: float) -> Any:
        """Print what changes, until the L{Deferred} is cancelled.  While the state can't
        be read it is said once, and tried again.

        @param interval: seconds.
        """
        known = yield self._read()
        isTroubled = False
        while True:
            yield deferLater(reactor, interval)
            try:
                found = yield self._read()
            except StateError as why:
                if not isTroubled:
                    self._note(f"the state: {why}")
                isTroubled = True
                continue
            isTroubled = False
            now = self._now()
            self._print(self._lineOf(what, entry, now) for what, entry in changesOf(known, found, now))
            self._out.flush()
            known = found

    @inlineCallbacks
    def _read(self) -> Any:
        entries = yield self._roster.listing(self._now())
        return {entry.address: entry for entry in entries}

    def _lineOf(self, what: str, entry: Sighting, now: float) -> str:
        if self._asJSON:
            return json.dumps({"time": timeOf(now), "event": what, **recordOf(entry)})
        words = [timeOf(now), f"{what:<7}", safe(entry.address)]
        if what in ("new", "renewed"):
            words.append(f"until {timeOf(entry.expires)}")
            words += [f"by {safe(entry.reporter)}"] if entry.reporter else []
        return " ".join(words)
