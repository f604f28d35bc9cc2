"""The files of a table: read, and read again when they have changed.

Used by `table` and `recipients`.  Whatever is wrong with new files, the table that is in use stays
in use, and the log says so once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from umbcmail.filestamp import Stamp, stampAt
from umbcmail.maillog import MailLog

MISTAKES = 50
"""Mistakes that are told of; whoever has made more has them all for one reason."""
TURN = 100
"""Lines after which other threads get a turn."""
TOLD = 10
"""Mistakes that are logged when a file has changed."""


class Table:
    """What is made of files, line by line.

    @ivar mistakes: what is wrong with it, C{place: reason} each.
    """

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def __len__(self) -> int:
        """Entries."""
        raise NotImplementedError

    def add(self, line: str) -> None:
        """@raise ValueError: the line makes no sense."""
        raise NotImplementedError

    def addLines(self, place: str, lines: Iterable[bytes]) -> None:
        """Add the lines of a file.  @param place: its path."""
        for number, line in enumerate(lines, 1):
            if number % TURN == 0:
                time.sleep(0)  # the reactor's thread would get its turn every few milliseconds only
            if len(self.mistakes) >= MISTAKES:
                return
            try:
                self.add(line.decode())
            except UnicodeDecodeError:
                self.mistakes.append(f"{place}:{number}: this is not UTF-8")
            except ValueError as why:
                self.mistakes.append(f"{place}:{number}: {why}")

    def finish(self) -> None:
        """All lines are there."""


T = TypeVar("T", bound=Table)


class TableFiles(Generic[T]):
    """Makes the table of its files.

    @ivar table: that is in use.
    @ivar complaint: why it is not that of the files as they are now, or C{""}.
    """

    def __init__(
        self,
        files: Sequence[str],
        entries: Sequence[str],
        new: Callable[[], T],
        poll: float,
        clock: IReactorTime,
        log: MailLog,
        inThread: Callable[..., Deferred[Any]],
        name: str = "table",
    ) -> None:
        """
        @param entries: lines of the configuration, which have been checked.
        @param new: makes an empty table.
        @param poll: seconds between two looks at the files.
        @param name: what the log calls it.
        """
        self._files = tuple(files)
        self._entries = tuple(entries)
        self._new = new
        self._name = name
        self._poll = poll
        self._log = log
        self._inThread = inThread
        self._stamps: list[Stamp] = []
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self.complaint = ""
        self.table: T = new()

    def load(self) -> list[str]:
        """Read all, now.  @return: what is wrong; then the table is not to be used."""
        self._stamps, self.table = self._read()
        return self.table.mistakes

    def start(self) -> None:
        """Watch the files."""
        if self._files and not self._loop.running:
            self._loop.start(self._poll, now=False)

    def stop(self) -> None:
        """Watch no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        found = self._inThread(self._changed, self._stamps)
        return found.addCallback(self._take).addErrback(lambda why: self._log.bug("-", self._name, why))

    def _changed(self, stamps: list[Stamp]) -> tuple[list[Stamp], T] | None:
        """In a thread."""
        return None if [stampAt(path) for path in self._files] == stamps else self._read()

    def _read(self) -> tuple[list[Stamp], T]:
        # The stamps are taken first: what changes while we read is seen next time.
        stamps = [stampAt(path) for path in self._files]
        table = self._new()
        for path in self._files:
            try:
                with open(path, "rb") as file:
                    table.addLines(path, file)
            except OSError as why:
                table.mistakes.append(f"{path}: {why.strerror}")
        for line in self._entries:
            try:
                table.add(line)
            except ValueError as why:
                table.mistakes.append(f"entries: {why}")
        if len(table.mistakes) >= MISTAKES:
            table.mistakes.append("there may be more mistakes")
        table.finish()
        return stamps, table

    def _take(self, found: tuple[list[Stamp], T] | None) -> None:
        if found is None:
            return
        self._stamps, table = found
        mistakes = table.mistakes
        if not mistakes:
            self.table = table
            self.complaint = ""
            self._log.event(self._name, "-", entries=len(table), why="new")
            return
        self.complaint = f"{mistakes[0]} ({len(mistakes)} in all); the table that was read before is in use"
        for mistake in mistakes[:TOLD]:
            self._log.trouble("-", self._name, mistake)
        self._log.trouble("-", self._name, "the files have mistakes, the table that was read before stays in use")


class TableService(Service, Generic[T]):
    """What goes by a table: it watches the files, and tells how they are."""

    def __init__(self, files: TableFiles[T]) -> None:
        """
        @param files: loaded.
        """
        self._files = files

    def startService(self) -> None:
        """Watch the files."""
        Service.startService(self)
        self._files.start()

    def stopService(self) -> None:
        """Watch no more."""
        Service.stopService(self)
        self._files.stop()

    def condition(self) -> str:
        """See L{IWatched.condition<umbcmail.interfaces.IWatched.condition>}."""
        return self._files.complaint
