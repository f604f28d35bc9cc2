"""The folder of the state: which file in it is the database, and what to do with a damaged one.

A database is C{state-N.db}; C{current} holds the N, 1 if it is missing.  A damaged one
stays where it is, and the next number begins an empty one, for all processes: each looks
into C{current} before it does anything.  The damaged file keeps its name, since SQLite
takes it for granted that a file in use is neither moved nor replaced.
"""

from __future__ import annotations

import os
import sqlite3

from umbcmail.sighting import StateError
from umbcmail.sqlite import connection as opening
from umbcmail.sqlite.connection import create, versionOf
from umbcmail.state import rows

PAGE = 1024
"""Octets of a page: an add touches one or two, and all that is touched is written."""
LOG = 128 << 20
"""Octets of the write-ahead log with which it begins anew, whoever may be writing."""
REST = 32 << 20
"""Octets of it that stay allocated then."""
NUMBERS = 1 << 40
"""Removals, or changes of hosts, of one database: those of the next have higher numbers."""
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Damaged(sqlite3.DatabaseError):
    """The check of a database found something."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def isDamage(why: Exception | None) -> bool:
    """Whether an error says that the database is damaged."""
    return isinstance(why, sqlite3.DatabaseError) and getattr(why, "sqlite_errorcode", 0) & 0xFF in DAMAGE


class StateFolder:
    """The folder.  All of this waits for the disk."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # a daemon changes its folder
        self._current = os.path.join(self.path, "current")

    def make(self) -> None:
        """Make it, if it is missing.  @raise OSError: it can't be made."""
        os.makedirs(self.path, 0o700, exist_ok=True)

    def database(self, number: int) -> str:
        """Path of a database."""
        return os.path.join(self.path, f"state-{number}.db")

    def current(self) -> int:
        """Number of the database that is in use.  @raise OSError: it can't be read."""
        try:
            with open(self._current, "rb", buffering=0) as file:
                return int(file.read(20))
        except (FileNotFoundError, ValueError):
            return 1

    def next(self) -> None:
        """Begin another one; whoever calls has the turn to write."""
        number = self.current() + 1
        while os.path.exists(self.database(number)):
            number += 1
        path = self._current + ".new"
        with open(path, "w") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(path, self._current)


class StateFile:
    """A connection to the database that is in use.

    @ivar number: of that database.
    """

    def __init__(self, folder: StateFolder, *pragmas: str) -> None:
        """
        @param pragmas: for each connection.
        @raise sqlite3.Error: it can't be opened, or is damaged.
        @raise StateError: a newer version has made it.
        """
        self._folder = folder
        self._pragmas = pragmas
        self.number = folder.current()
        self.connection = self._connect(self.number)

    @property
    def path(self) -> str:
        """Of the database."""
        return self._folder.database(self.number)

    def follow(self) -> None:
        """Go to the one that is in use now."""
        number = self._folder.current()
        if number != self.number:
            connection = self._connect(number)
            self.close()
            self.number, self.connection = number, connection

    def check(self) -> None:
        """@raise Damaged: it is."""
        found = self.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(found)

    def close(self) -> None:
        """Let it go."""
        try:
            self.connection.close()
        except sqlite3.Error:
            pass  # what has been committed is in the log

    def _connect(self, number: int) -> sqlite3.Connection:
        path = self._folder.database(number)
        connection = opening.connect(path, lambda opened: _check(opened, path))
        try:
            # NORMAL: an answer means that the kernel has it, and a checkpoint brings it to the disk soon after.
            for pragma in ("synchronous = NORMAL", "wal_autocheckpoint = 0", f"journal_size_limit = {REST}"):
                connection.execute(f"PRAGMA {pragma}")
            if versionOf(connection) != rows.VERSION:
                hosts = (*rows.HOSTS, _first("host", number))
                steps = {0: (*rows.TABLES, _first("removal", number), *hosts), 1: hosts}
                create(connection, steps, rows.VERSION)
            for pragma in self._pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection


def _first(table: str, number: int) -> str:
    return f"INSERT INTO sqlite_sequence VALUES ('{table}', {number * NUMBERS})"


def _check(connection: sqlite3.Connection, path: str) -> None:
    version = versionOf(connection)
    if version > rows.VERSION:
        raise StateError(f"{path} is of version {version}, this program knows versions up to {rows.VERSION}")
    if version == 0:
        connection.execute(f"PRAGMA page_size = {PAGE}")
