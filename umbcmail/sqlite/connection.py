"""Opens a database: write-ahead log, and other processes are waited for."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping

BUSY_TIMEOUT = 30.0
"""Seconds to wait for another process that writes."""


def connect(path: str, check: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    """A connection without transactions of its own making, to be used in any one thread.

    @param check: called before anything is changed; may raise.
    @raise sqlite3.Error: it can't be opened.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        check(connection)
        _switchToWal(connection)
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _switchToWal(connection: sqlite3.Connection) -> None:
    """Does not use the busy timeout in all cases, so it is tried again here; runs
    in a thread of its own."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as why:
            busy = why.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def create(connection: sqlite3.Connection, steps: Mapping[int, tuple[str, ...]], version: int) -> None:
    """Make the tables unless they are there; several processes may try it at once.

    @param steps: by C{user_version}, what makes the tables of that version those that
        are wanted; 0 is an empty database.
    @param version: C{user_version} of a database that has them.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = versionOf(connection)
        if found != version:
            for statement in steps[found]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        rollback(connection)
        raise


def versionOf(connection: sqlite3.Connection) -> int:
    """The C{user_version}: 0 when there are no tables."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def rollback(connection: sqlite3.Connection) -> None:
    """End a transaction, if there is one."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # what follows fails at its BEGIN, and says why
