"""What an operator can ask of the queues, done with a spool and printed.

Called by `cli.py`, which parses the command and opens the spool.  Knows of
L{ISpool} and nothing of what is behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.cli.command import NOTHING, UNAVAILABLE, Command, Refusal
from umbcmail.cli.listing import counted, detailsOf, headerLines, headerOf, recordOf, tableOf
from umbcmail.entry import Entry, SpoolError
from umbcmail.interfaces import IContent, ISpool
from umbcmail.selection import Selection

HEADER_LIMIT = 64 << 10
"""Octets of a header that are shown."""

_NONE = {"held": "no entry matches that is not held already", "released": "no held entry matches"}


class QueueCommand(Command):
    """What can be asked of the queues.  Each method returns a L{Deferred} that
    fires when it is done and printed; it fails with L{Refusal} or L{SpoolError}.

    @param spool: started; the others are those of L{Command}.
    """

    def __init__(
        self,
        spool: ISpool,
        out: TextIO,
        now: Callable[[], float],
        asJSON: bool = False,
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        Command.__init__(self, out, now, asJSON, note)
        self._spool = spool

    @inlineCallbacks
    def list(self, selection: Selection, limit: int) -> Any:
        """Print the entries that are meant, the oldest first, up to a limit."""
        entries = yield self._spool.listing(selection, limit + 1)
        shown = entries[:limit]
        if self._asJSON:
            self._print(json.dumps(recordOf(entry)) for entry in shown)
        else:
            self._print(tableOf(shown, self._now()))
        if len(entries) > limit:
            self._note(f"there are more than {counted(limit)}, see --limit")

    @inlineCallbacks
    def show(self, id: str) -> Any:
        """Print all about an entry, or about all entries of a message."""
        entries = yield self._spool.listing(Selection(ids=(id,)), 1000)
        if not entries:
            raise Refusal(NOTHING, f"there is no entry {id}")
        for number, entry in enumerate(entries):
            yield self._showOne(entry, number > 0)

    @inlineCallbacks
    def _showOne(self, entry: Entry, apart: bool) -> Any:
        if not self._asJSON:
            self._print([""] if apart else [])
            self._print(detailsOf(entry, self._now()))
        problem = None
        try:
            header, isWhole = yield self._header(entry)
        except (SpoolError, OSError) as why:
            header, isWhole, problem = (
                None,
                False,
                Refusal(UNAVAILABLE, f"the content of {entry.id} can't be read: {why}"),
            )
        if self._asJSON:
            text = None if header is None else header.decode("utf-8", "backslashreplace")
            self._print([json.dumps({**recordOf(entry), "header": text, "header_whole": isWhole})])
        elif header is not None:
            self._print(["header:", *headerLines(header)])
            self._print([] if isWhole else ["    (cut off here)"])
        if problem is not None:
            raise problem

    @inlineCallbacks
    def _header(self, entry: Entry) -> Any:
        """The header and whether that is all of it."""
        content: IContent = yield self._spool.content(entry)
        reader = content.open()
        data = b""
        try:
            while True:
                piece = yield reader.read()
                data += piece[: HEADER_LIMIT - len(data)]
                header, isWhole = headerOf(data)
                if isWhole or not piece:
                    return header, True
                if len(data) >= HEADER_LIMIT:
                    return header, False
        finally:
            reader.close()

    def retry(self, selection: Selection) -> Deferred[None]:
        """Make entries due now."""
        return self._change(self._spool.retry(selection, self._now()), selection, "to be tried now", "retried")

    def hold(self, selection: Selection) -> Deferred[None]:
        """Put entries aside."""
        return self._change(self._spool.hold(selection), selection, "held", "held")

    def release(self, selection: Selection) -> Deferred[None]:
        """Take held entries back into the queue, due now."""
        return self._change(self._spool.release(selection, self._now()), selection, "released", "released")

    def remove(self, selection: Selection) -> Deferred[None]:
        """Remove entries for good; nobody is told."""
        return self._change(self._spool.remove(selection), selection, "removed", "removed")

    @inlineCallbacks
    def _change(self, changed: Deferred[int], selection: Selection, words: str, key: str) -> Any:
        number = yield changed
        isForAll = not (selection.ids or selection.queue or selection.domain)
        if not number and not isForAll:
            raise Refusal(NOTHING, _NONE.get(key, "no entry matches"))
        self._print([json.dumps({key: number}) if self._asJSON else counted(number, f" {words}")])
