"""Whether the disk has room for more mail.

To deliver what is queued, room is needed too: the database can't even forget an
entry on a disk that is full, so such a queue would never end, and what had been
delivered would be sent again after a restart.  So nothing more is taken when little is
left, of space or of inodes; what is there can go, and makes room.  More is taken again
when a tenth more than that is free, so that it does not change with every message.

The disk is looked at in threads: by the writer, with each octet of large content that
is written, and every few seconds.  What was seen last is there for who can't wait.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from umbcmail.entry import SpoolError, SpoolFull
from umbcmail.options import sizeText


def again(kept: int) -> int:
    """What must be free for mail to be taken again."""
    return kept + kept // 10


@dataclass(frozen=True, slots=True)
class Rest:
    """How things stand.

    @ivar free: octets that are free on the disk.
    @ivar reserve: octets that are to be kept.
    @ivar isLow: nothing more is taken.
    @ivar inodes: that are free, L{None} where the file system has no such number.
    @ivar inodeReserve: inodes that are to be kept.
    @ivar pages: octets that are free within the database, as far as they are needed.
    """

    free: int
    reserve: int
    isLow: bool
    inodes: int | None = None
    inodeReserve: int = 0
    pages: int = 0

    @property
    def lacking(self) -> str:
        """What there is too little of, C{""}: nothing."""
        if not self.isLow:
            return ""
        if self.inodes is not None and self.inodes < again(self.inodeReserve):
            return f"{self.inodes} inodes are left on the disk, {self.inodeReserve} are to be kept free"
        return f"{sizeText(self.free & ~1023)} are left on the disk, {sizeText(self.reserve)} are to be kept free"


class Room:
    """The rest of the disk.

    @ivar seen: how things stood when somebody looked last, L{None} before that.
    @ivar promised: octets of large content that are going to come, as their senders
        have said; only for the reactor's thread.
    """

    def __init__(
        self, folder: str, reserve: int, inodes: int = 0, changed: Callable[[Rest], object] = lambda rest: None
    ) -> None:
        """
        @param folder: a folder on the disk.
        @param reserve: octets that are kept for the work on what is queued, 0: none.
        @param inodes: inodes likewise.
        @param changed: called in any thread when nothing more is taken, and when it
            is again.
        """
        self.seen: Rest | None = None
        self.promised = 0
        self._folder = folder
        self._reserve = reserve
        self._inodes = inodes
        self._changed = changed
        self._lock = Lock()

    def look(self, connection: sqlite3.Connection | None = None) -> Rest:
        """See how things stand.  Pages of the database that are free count: they stay
        with it.

        @raise OSError: the folder is gone.
        """
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        pages = self._pages(connection, free)
        with self._lock:
            before = self.seen
            wanted = again if before is not None and before.isLow else int
            inodes = disk.f_favail if disk.f_files else None
            isLow = free + pages < wanted(self._reserve)
            isLow = isLow or (inodes is not None and inodes < wanted(self._inodes))
            seen = self.seen = Rest(free, self._reserve, isLow, inodes, self._inodes, pages)
        if isLow != (before is not None and before.isLow):
            self._changed(seen)
        return seen

    def explained(self, why: SpoolError) -> SpoolError:
        """The same, but that the disk is full where it is: SQLite calls that an I/O error."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return why
        if disk.f_bavail and (disk.f_favail or not disk.f_files):
            return why
        lacking = "inode" if disk.f_bavail else "room"
        return SpoolFull(f"no {lacking} is left on the disk of {self._folder} ({why})")

    def _pages(self, connection: sqlite3.Connection | None, free: int) -> int:
        """Octets that are free within the database; asked for only where it matters."""
        if free >= again(self._reserve):
            return 0
        if connection is None:
            return self.seen.pages if self.seen is not None else 0
        pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        return pages * size

    def isLeft(self, connection: sqlite3.Connection) -> bool:
        """Whether more may be committed.

        @raise OSError: the folder is gone.
        """
        return not (self._reserve or self._inodes) or not self.look(connection).isLow

    def check(self) -> None:
        """Before more of a large content is written.

        @raise SpoolFull: there is no room for it.
        @raise OSError: the folder is gone.
        """
        if self._reserve or self._inodes:
            seen = self.look()
            if seen.free < self._reserve or (seen.inodes is not None and seen.inodes < self._inodes):
                raise SpoolFull("the disk has less room than is to be kept free")

    def isFull(self, size: int) -> bool:
        """Whether there is no room for a message, as far as is known; looks at nothing.

        @param size: its octets, 0 where they are not known.
        """
        seen = self.seen
        if seen is None or not (self._reserve or self._inodes):
            return False
        return seen.isLow or size > seen.free + seen.pages - self._reserve - self.promised
