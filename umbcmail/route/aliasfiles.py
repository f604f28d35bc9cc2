"""The files of aliases and of virtual addresses: read in a thread, and read again when they,
or files that they include, have changed.

What is wrong with a file that has changed leaves what was read before in force, and the log
and the status page say so.  An included file that is wrong is the matter of its list: what
was in it before stays, and where there was nothing before the mail of the list waits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from umbcmail.aliases import MISTAKES, Aliases, Target
from umbcmail.figure import Figure
from umbcmail.filestamp import Stamp, stampAt, stampOf
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.route.virtual import VirtualTable

SIZE_LIMIT = 64 << 20
"""Octets of a file."""
TOLD = 10
"""Mistakes that are logged at a time."""


class Untrusted(OSError):
    """A file that others than its owner can change."""


class Reader:
    """Reads files that can be trusted.

    @ivar stamps: of all that were asked for, by path.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._owners: dict[str, int] = {}

    def read(self, path: str) -> list[str]:
        """The lines of a file.

        @raise OSError: it can't be read, or others can write to it.
        @raise UnicodeDecodeError: it is no UTF-8.
        """
        self.stamps[path] = stampAt(path)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            self.stamps[path] = stampOf(status)
            if not stat.S_ISREG(status.st_mode):
                raise Untrusted(0, "this is no file")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise Untrusted(0, "others than its owner can write to it (chmod go-w)")
            checkFolders(path)
            self._owners[path] = status.st_uid
            data = file.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise Untrusted(0, "it is too long")
        return data.decode().splitlines(True)

    def isTrusted(self, path: str) -> bool:
        """Whether only the administrator can have written a file that has been read."""
        return self._owners.get(path, -1) in (0, os.geteuid())


def checkFolders(path: str) -> None:
    """No folder above a file may be written by others, or they could put another file there.

    @raise Untrusted: one can; a folder like /tmp, where all may only change what is theirs, does no harm.
    """
    folder = os.path.dirname(os.path.realpath(path))
    while True:
        status = os.stat(folder)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            raise Untrusted(0, f"others than its owner can write to {folder}")
        if folder == "/":
            return
        folder = os.path.dirname(folder)


class Known:
    """What stands in the files; not changed any more when it has been read.

    @ivar aliases: the aliases.
    @ivar virtual: the virtual addresses.
    @ivar mistakes: what is wrong with the files.
    @ivar stamps: of the files as they were read.
    """

    def __init__(self, delimiter: str = "+") -> None:
        self._reader = Reader()
        self.aliases = Aliases(self._reader.read, self._reader.isTrusted)
        self.virtual = VirtualTable(delimiter)
        self.mistakes: list[str] = []

    @property
    def stamps(self) -> dict[str, Stamp]:
        """See the class."""
        return self._reader.stamps

    def __len__(self) -> int:
        return len(self.aliases.entries) + len(self.virtual)

    def read(self, files: Iterable[str], virtual: Iterable[str]) -> None:
        """Read all.  Blocks."""
        for path in files:
            self.aliases.addFile(path)
        tables = Aliases(self._reader.read)
        for path in virtual:
            for place, text in tables.entriesOf(path):
                try:
                    self.virtual.add(text, place)
                except ValueError as why:
                    tables.mistakes.append(f"{place}: {why}")
                if len(tables.mistakes) > MISTAKES:
                    break
        self.aliases.check()
        self.mistakes = self.aliases.mistakes + tables.mistakes

    def included(self, path: str) -> tuple[Target, ...] | None:
        """What stands in an included file, L{None}: that can't be told."""
        return self.aliases.included.get(path)

    def keep(self, before: Known) -> list[str]:
        """Take over what was in included files that are not all right now.

        @return: their paths.
        """
        included = self.aliases.included
        kept = [path for path, found in included.items() if found is None and before.included(path) is not None]
        for path in kept:
            included[path] = before.included(path)
        return kept


@implementer(IWatched)
class AliasFiles(Service):
    """See the module.

    @ivar known: what is in force.
    """

    name = "aliases"

    def __init__(
        self,
        files: Sequence[str],
        virtual: Sequence[str],
        delimiter: str,
        poll: float,
        clock: IReactorTime,
        log: MailLog,
        inThread: Callable[..., Deferred[Any]],
    ) -> None:
        """
        @param files: of aliases.
        @param virtual: of virtual addresses.
        @param poll: seconds between two looks at them.
        """
        self._files = tuple(files)
        self._virtual = tuple(virtual)
        self._delimiter = delimiter
        self._poll = poll
        self._log = log
        self._inThread = inThread
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._stamps: dict[str, Stamp] = {}
        self._complaint = ""
        self._doubts: list[str] = []
        self.known = Known(delimiter)

    def load(self) -> list[str]:
        """Read all, now.  @return: what is wrong with the files; then they are not to be used."""
        known = self._read()
        self._stamps, self.known, self._doubts = known.stamps, known, known.aliases.doubts
        return known.mistakes

    @property
    def isBroken(self) -> bool:
        """What is in force is not what stands in the files as they are now."""
        return bool(self._complaint)

    def startService(self) -> None:
        """Watch the files."""
        Service.startService(self)
        for doubt in self._doubts[:TOLD]:
            self._log.trouble("-", self.name, doubt)
        if self._files or self._virtual:
            self._loop.start(self._poll, now=False)

    def stopService(self) -> None:
        """Watch no more."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        found = self._inThread(self._changed, self._stamps)
        return found.addCallback(self._take).addErrback(lambda why: self._log.bug("-", self.name, why))

    def _changed(self, stamps: dict[str, Stamp]) -> Known | None:
        """In a thread."""
        return None if all(stampAt(path) == stamp for path, stamp in stamps.items()) else self._read()

    def _read(self) -> Known:
        known = Known(self._delimiter)
        known.read(self._files, self._virtual)
        return known

    def _take(self, known: Known | None) -> None:
        if known is None:
            return
        self._stamps = known.stamps
        if known.mistakes:
            self._complaint = f"{known.mistakes[0]} ({len(known.mistakes)} in all); what was read before is in force"
            for mistake in known.mistakes[:TOLD]:
                self._log.trouble("-", self.name, mistake)
            self._log.trouble("-", self.name, "the files have mistakes, what was read before stays in force")
            return
        kept = known.keep(self.known)
        for doubt in known.aliases.doubts[:TOLD]:
            self._log.trouble("-", self.name, doubt)
        for path in kept:
            self._log.trouble("-", self.name, f"{path}: what was in it before stays in force")
        self.known, self._complaint, self._doubts = known, "", known.aliases.doubts
        self._log.event(self.name, "-", entries=len(known), why="new")

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return self._complaint or (f"{self._doubts[0]} ({len(self._doubts)} in all)" if self._doubts else "")

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        return (
            Figure("aliases_entries", len(self.known), "Entries of the files of aliases and virtual addresses."),
            Figure("aliases_doubts", len(self._doubts), "Included files and circles that something is wrong with."),
        )
