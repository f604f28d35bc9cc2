"""The tables of the spool, and how its database is opened.

A message has its content in the row, or the name of a file in C{content/}; an
entry is a message in one queue class; a delivery is a recipient of an entry that
is not done.  Times are whole nanoseconds since 1970.  C{user_version} is the
version of the tables: a spool that a newer umbcmail has made is refused.
"""

from __future__ import annotations

import sqlite3

from umbcmail.entry import SpoolError
from umbcmail.sqlite import connection as opening
from umbcmail.sqlite.connection import create, versionOf

SCHEMA_VERSION = 3

HAS_DEADLINE = """instr(envelope, '"deliverBy":""') = 0"""
"""Of a message: there is a time by which it should be delivered; as text, for an envelope may be damaged."""

_SINCE_2 = (
    # What came of an attempt: JSON, see `records`; ``n`` grows with each.
    """CREATE TABLE attempt (
        entry TEXT NOT NULL, n INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (entry, n)) WITHOUT ROWID""",
    # What is oldest, what is older than a day.
    "CREATE INDEX entry_created ON entry (queue, created)",
    "CREATE INDEX entry_held ON entry (queue) WHERE held <> 0",
    "CREATE INDEX entry_damaged ON entry (id) WHERE damaged <> ''",
)
"""What version 2 has more than version 1, but for some columns."""

_SINCE_3 = (
    # Those are few.
    f"CREATE INDEX message_deadline ON message (id) WHERE {HAS_DEADLINE}",
    # What waits for a destination: it does not change with the time when that is due.
    "CREATE INDEX entry_waiting ON entry (queue, lane) WHERE held = 0 AND owner = ''",
)
"""What version 3 has more than version 2, but for a column."""

_FROM_1 = (
    "ALTER TABLE entry ADD COLUMN lane TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE entry ADD COLUMN sender TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE entry ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE entry ADD COLUMN bounce INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE entry ADD COLUMN score REAL",
    "ALTER TABLE entry ADD COLUMN damaged TEXT NOT NULL DEFAULT ''",
    """UPDATE entry SET lane = ifnull((
        SELECT domain FROM delivery AS d WHERE d.entry = entry.id AND status = 'waiting' ORDER BY n LIMIT 1), '')""",
    """UPDATE entry SET sender = ifnull(m.envelope ->> 'sender', ''), size = ifnull(m.envelope ->> 'size', m.size),
        bounce = ifnull(m.envelope ->> 'agent', '') = 'bounce'
        FROM message AS m WHERE m.id = entry.message AND json_valid(m.envelope)""",
)
"""What makes the tables of version 1 those of version 2, with L{_SINCE_2}."""

_FROM_2 = (
    # What a recipient was made of.
    "ALTER TABLE delivery ADD COLUMN origin TEXT NOT NULL DEFAULT ''",
    "DROP INDEX IF EXISTS entry_lane",
)
"""What makes the tables of version 2 those of version 3, with L{_SINCE_3}."""

_TABLES = (
    """CREATE TABLE message (
        id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, envelope TEXT NOT NULL,
        content BLOB, file TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL)""",
    """CREATE TABLE entry (
        id TEXT PRIMARY KEY NOT NULL, message TEXT NOT NULL, queue TEXT NOT NULL, created INTEGER NOT NULL,
        due INTEGER NOT NULL, attempts INTEGER NOT NULL, held INTEGER NOT NULL, warned INTEGER NOT NULL,
        owner TEXT NOT NULL, lease INTEGER NOT NULL, token INTEGER NOT NULL,
        lane TEXT NOT NULL DEFAULT '', sender TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0,
        bounce INTEGER NOT NULL DEFAULT 0, score REAL, damaged TEXT NOT NULL DEFAULT '') WITHOUT ROWID""",
    """CREATE TABLE delivery (
        entry TEXT NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, domain TEXT NOT NULL,
        notify TEXT NOT NULL, orcpt TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
        code INTEGER NOT NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL, host TEXT NOT NULL,
        command TEXT NOT NULL, remote INTEGER NOT NULL, uncertain INTEGER NOT NULL, at INTEGER NOT NULL,
        origin TEXT NOT NULL DEFAULT '', PRIMARY KEY (entry, n)) WITHOUT ROWID""",
    "CREATE INDEX entry_message ON entry (message)",
    *_SINCE_2,
    *_SINCE_3,
    # What is next: a short walk however many wait, held ones and claimed ones are not in it.
    "CREATE INDEX entry_due ON entry (queue, due) WHERE held = 0 AND owner = ''",
    # Whose lease has ended: as many as are being worked on, and no more.
    "CREATE INDEX entry_lease ON entry (queue, lease) WHERE owner <> ''",
)


def connect(path: str) -> sqlite3.Connection:
    """A connection that commits to stable storage and waits for other writers.

    @raise SpoolError: a newer version has made it.
    @raise sqlite3.Error: it can't be opened.
    """
    connection = opening.connect(path, lambda opened: _checkVersion(opened, path))
    try:
        # FULL: the log is fsynced with each transaction, else the last ones are lost with the power.
        for setting in ("synchronous = FULL", "secure_delete = OFF"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def _checkVersion(connection: sqlite3.Connection, path: str) -> None:
    version = versionOf(connection)
    if version > SCHEMA_VERSION:
        raise SpoolError(f"{path} is a spool of version {version}, this program knows versions up to {SCHEMA_VERSION}")


def make(connection: sqlite3.Connection) -> None:
    """Make the tables unless they are there, or what older versions lack."""
    create(
        connection,
        {0: _TABLES, 1: (*_FROM_1, *_SINCE_2, *_FROM_2, *_SINCE_3), 2: (*_FROM_2, *_SINCE_3)},
        SCHEMA_VERSION,
    )
