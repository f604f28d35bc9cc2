"""The table of the hosts that do not answer, and what is done with it.

The row of a host is written anew with each change, so that its number is that of the last
one: other processes read what is behind the last number that they have read.
"""

from __future__ import annotations

import sqlite3

from umbcmail.hoststatus import FORGOTTEN, KEPT, HostStatus, statusOf, unknown
from umbcmail.state.rows import micro
from umbcmail.state.sharedhosts import Change, Changed


def change(connection: sqlite3.Connection, host: str, change: Change) -> Changed:
    """Change what is known of a host."""
    row = connection.execute("SELECT number, status FROM host WHERE host = ?", (host,)).fetchone()
    before = statusOf(row[1]) if row else unknown(host)
    after = change(before)
    if after is before:
        return Changed(row[0] if row else last(connection), before, after)
    gone = None if after.suspended else micro(after.last + (FORGOTTEN if after.failures else KEPT))
    written = connection.execute(
        "INSERT OR REPLACE INTO host (host, status, gone) VALUES (?, ?, ?)", (host, after.text(), gone)
    )
    assert written.lastrowid is not None
    return Changed(written.lastrowid, before, after)


def last(connection: sqlite3.Connection) -> int:
    """Number of the last change."""
    number: int = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'host'").fetchone()[0]
    return number


def changes(connection: sqlite3.Connection, after: int) -> tuple[int, list[tuple[int, HostStatus]]]:
    """Number of the last change, and all hosts that have changed behind a number."""
    number = last(connection)
    found = connection.execute("SELECT number, status FROM host WHERE number > ? ORDER BY number", (after,))
    return number, [(each, statusOf(text)) for each, text in found]
