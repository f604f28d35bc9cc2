"""What callers of the spool are told of errors of SQLite and the file system."""

from __future__ import annotations

import errno
import sqlite3

from umbcmail.entry import SpoolError, SpoolFull


class DatabaseDamaged(SpoolError):
    """A part of the file of the database can't be read; others can."""


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def spoolError(why: Exception) -> SpoolError:
    """What they are told."""
    if isinstance(why, SpoolError):
        return why
    code = getattr(why, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (isinstance(why, OSError) and why.errno in NO_ROOM):
        return SpoolFull(str(why))
    kind = DatabaseDamaged if code == sqlite3.SQLITE_CORRUPT else SpoolError
    return kind(f"{type(why).__name__}: {why}")


def isExpected(why: Exception) -> bool:
    """Disks get full and databases damaged; all else is a bug."""
    return isinstance(why, (SpoolError, sqlite3.Error, OSError))
