"""What an operator can ask of the queues, done with a spool and printed.

Called by `queueparser`, which parses the command and opens the spool.  Knows of
L{ISpool} and nothing of what is behind it.  What changes something is in
`queuechange`.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TextIO

from twisted.internet.defer import inlineCallbacks

from umbcmail.cli import shape
from umbcmail.cli.command import NOTHING, UNAVAILABLE, Command, Refusal
from umbcmail.cli.listing import Table, counted, detailsOf, harmless, headerLines, headerOf, recordOf, safe
from umbcmail.cli.queuefilters import Meant
from umbcmail.entry import DamagedEntry, Entry, SpoolError
from umbcmail.interfaces import IContent, ISpool
from umbcmail.selection import Row, Selection, Sort

HEADER_LIMIT = 64 << 10
"""Octets of a header that are shown."""
PAGE = 500
"""Entries that are in memory at the same time."""


class Pages:
    """Reads entries, some at a time.

    @param spool: started.
    @param after: ID of the entry before the first.
    """

    def __init__(self, spool: ISpool, selection: Selection, sort: Sort, after: str = "") -> None:
        self._spool = spool
        self._selection = selection
        self._sort = sort
        self._before = [after]

    @inlineCallbacks
    def next(self, limit: int = PAGE) -> Any:
        """The next ones, in the end none.  @return: L{Deferred} of a list of L{Entry}"""
        while True:
            try:
                page = yield self._spool.listing(self._selection, limit, self._sort, self._before[-1])
                break
            except SpoolError:
                # The last one may have gone meanwhile: those before it are as good.
                if len(self._before) < 2 or (yield self._spool.count(Selection(ids=(self._before[-1],)))):
                    raise
                self._before.pop()
        self._before = [entry.id for entry in page] or self._before
        return page


@inlineCallbacks
def damagedOf(spool: ISpool, selection: Selection) -> Any:
    """What is damaged of a selection.  @return: L{Deferred} of a list of L{DamagedEntry}"""
    found = yield spool.damaged()
    if selection == Selection():
        return found
    meant = []
    for each in found:
        if selection.ids and not {each.id, each.id.partition(".")[0]}.intersection(selection.ids):
            continue
        if (yield spool.count(replace(selection, ids=(each.id,)))):
            meant.append(each)
    return meant


@inlineCallbacks
def missing(spool: ISpool, id: str) -> Any:
    """Why there is nothing to be told of an ID.  @return: L{Deferred} of a L{Refusal}"""
    for each in (yield spool.damaged()):
        if id in (each.id, each.id.partition(".")[0]):
            return Refusal(UNAVAILABLE, f"{each.id} can't be read, see umbcmail queue repair: {each.why}")
    return Refusal(NOTHING, f"there is no entry {id}")


@inlineCallbacks
def resolved(spool: ISpool, meant: Meant) -> Any:
    """The selection that is meant, with the IDs of what is damaged.

    @return: L{Deferred} of a L{Selection}, or of L{None}: it is of nothing.
    """
    if not meant.damaged:
        return meant.selection
    found: list[DamagedEntry] = yield damagedOf(spool, meant.selection)
    return replace(meant.selection, ids=tuple([each.id for each in found])) if found else None


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
    def list(self, meant: Meant, sort: Sort, limit: int, after: str) -> Any:
        """Print the entries that are meant, page by page.

        @param limit: at most so many, 0 for all.
        """
        selection = yield resolved(self._spool, meant)
        pages, table, left = Pages(self._spool, selection, sort, after), Table(self._now()), limit
        while selection is not None:
            page: list[Entry] = yield pages.next(min(PAGE, left + 1) if limit else PAGE)
            shown = page[:left] if limit else page
            self._print((json.dumps(recordOf(entry)) for entry in shown) if self._asJSON else table.page(shown))
            left -= len(shown)
            if len(page) > len(shown):
                self._note(f"there are more than {counted(limit)}, see --limit and --after")
            if not page or len(page) > len(shown):
                break
        self._print([] if self._asJSON else [table.end()])
        hidden: int = yield self._hidden()
        if hidden:
            self._note(f"{counted(hidden)} can't be read and will not be shown, see umbcmail queue damaged")

    @inlineCallbacks
    def _hidden(self) -> Any:
        """How many entries can't be shown."""
        found: list[DamagedEntry] = yield self._spool.damaged()
        ids = tuple([each.id for each in found])
        shown: list[Entry] = (yield self._spool.listing(Selection(ids=ids), len(ids))) if ids else []
        return len(ids) - len(shown)

    @inlineCallbacks
    def summary(self, meant: Meant, limit: int) -> Any:
        """Print how old the entries are, by destination.

        @param limit: destinations at most.
        """
        selection = yield resolved(self._spool, meant)
        rows = [Row("", (0,) * len(shape.NAMES))]
        if selection is not None:
            rows = yield self._spool.summary(selection, limit, self._now())
        if self._asJSON:
            self._print(json.dumps(shape.recordOf(row, number == 0)) for number, row in enumerate(rows))
        else:
            self._print(shape.shapeOf(rows))

    @inlineCallbacks
    def damaged(self, meant: Meant) -> Any:
        """Print what is damaged, and why."""
        found = yield damagedOf(self._spool, meant.selection)
        if self._asJSON:
            self._print(json.dumps({"id": each.id, "why": each.why}) for each in found)
            return
        wide = max([len(each.id) for each in found], default=0)
        self._print(f"{safe(each.id):<{wide}}  {safe(each.why)}" for each in found)
        self._print([counted(len(found))])

    @inlineCallbacks
    def show(self, id: str) -> Any:
        """Print all about an entry, or about all entries of a message."""
        for number, entry in enumerate((yield self._entries(id))):
            yield self._showOne(entry, number > 0)

    @inlineCallbacks
    def content(self, id: str, write: Callable[[bytes], object] | None) -> Any:
        """Print a message.

        @param write: takes octets; L{None}: it is for people, and nothing that a
            terminal may obey comes through.
        """
        entry = (yield self._entries(id))[0]
        decode = getincrementaldecoder("utf-8")("backslashreplace").decode
        try:
            content: IContent = yield self._spool.content(entry)
            reader = content.open()
            try:
                while piece := (yield reader.read()):
                    if write is None:
                        self._out.write(harmless(decode(piece)))
                    else:
                        write(piece)
            finally:
                reader.close()
        except BrokenPipeError:
            raise  # who reads it has had enough
        except (SpoolError, OSError) as why:
            raise _unreadable(entry, why) from why
        self._out.write(harmless(decode(b"", True)))

    @inlineCallbacks
    def _entries(self, id: str) -> Any:
        entries = yield self._spool.listing(Selection(ids=(id,)), 1000)
        if not entries:
            raise (yield missing(self._spool, id))
        return entries

    @inlineCallbacks
    def _showOne(self, entry: Entry, apart: bool) -> Any:
        if not self._asJSON:
            self._print([""] if apart else [])
            self._print(detailsOf(entry, self._now()))
        problem = None
        try:
            header, isWhole = yield self._header(entry)
        except (SpoolError, OSError) as why:
            header, isWhole, problem = None, False, _unreadable(entry, why)
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


def _unreadable(entry: Entry, why: Exception) -> Refusal:
    return Refusal(UNAVAILABLE, f"the content of {entry.id} can't be read: {why}")
