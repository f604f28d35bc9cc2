"""Whether the disk has room for more mail.

To deliver what is queued, room is needed too: the database can't even forget an
entry on a disk that is full, so such a queue would never end, and what had been
delivered would be sent again after a restart.  So the writer takes nothing more
when little is left; what is there can go, and makes room.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rest:
    """How things stand.

    @ivar free: octets that are free on the disk.
    @ivar reserve: octets that are to be kept.
    @ivar isLow: nothing more is taken.
    """

    free: int
    reserve: int
    isLow: bool


class Room:
    """The rest of the disk.

    @param folder: a folder on it.
    @param reserve: octets that are kept for the work on what is queued.
    """

    def __init__(self, folder: str, reserve: int) -> None:
        self._folder = folder
        self._reserve = reserve

    def isLeft(self, connection: sqlite3.Connection) -> bool:
        """Whether more may be committed.  Pages of the database that are free
        count: they stay with it.

        @raise OSError: the folder is gone.
        """
        if not self._reserve:
            return True
        left = self._free()
        if left < self._reserve:
            pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
            size: int = connection.execute("PRAGMA page_size").fetchone()[0]
            left += pages * size
        return left >= self._reserve

    def rest(self, connection: sqlite3.Connection) -> Rest:
        """How things stand.

        @raise OSError: the folder is gone.
        """
        return Rest(self._free(), self._reserve, not self.isLeft(connection))

    def _free(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize
