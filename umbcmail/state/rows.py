"""The tables of the state, and what is done with them: SQL and nothing else.

Times are whole microseconds since 1970.  A removal leaves a row, by which other
processes see that what they know of the address does not hold any more.  Many adds are
done in three statements, whatever their number: each statement of the sqlite3 module
may have to wait for the interpreter.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from umbcmail.sighting import Sighting

TABLES = (
    """CREATE TABLE sighting (
        address TEXT PRIMARY KEY NOT NULL, expires INTEGER NOT NULL, reporter TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE removal (
        number INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, at INTEGER NOT NULL)""",
    """CREATE TABLE counter (
        name TEXT NOT NULL, key BLOB NOT NULL, number REAL NOT NULL, at INTEGER NOT NULL, gone INTEGER NOT NULL,
        PRIMARY KEY (name, key)) WITHOUT ROWID""",
)
HOSTS = (
    """CREATE TABLE host (
        number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT UNIQUE NOT NULL, status TEXT NOT NULL, gone INTEGER)""",
)
"""Since version 2; see L{umbcmail.state.hostrows}."""
VERSION = 2
KEPT = 3600
"""Seconds that the row of a removal is kept."""
PROBE = 64 << 10
"""Octets of a probe."""
FADED = 1 / 1024
"""A number below that is as good as 0."""


def micro(seconds: float) -> int:
    """A time as it is stored."""
    return round(seconds * 1_000_000)


def _sighting(address: str, expires: int, reporter: str) -> Sighting:
    return Sighting(address, expires / 1_000_000, reporter)


# The roster

_ADD = """INSERT OR REPLACE INTO sighting (address, expires, reporter)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)"""


def add(
    connection: sqlite3.Connection, adds: Sequence[tuple[Sighting, float]]
) -> tuple[list[tuple[bool, Sighting]], int]:
    """Add sightings, each with the time at which that is done.

    @return: of each whether it is a new one, and what is stored; and the number of the
        L{lastRemoval}.
    """
    wanted = json.dumps([sighting.address for sighting, _ in adds])
    rows = connection.execute(
        "SELECT address, expires, reporter FROM sighting WHERE address IN (SELECT value FROM json_each(?))", (wanted,)
    )
    known = {row[0]: _sighting(*row) for row in rows}
    changed: dict[str, Sighting] = {}
    found = []
    for sighting, now in adds:
        before = known.get(sighting.address)
        if before is not None and before.expires > sighting.expires:
            sighting = replace(sighting, expires=before.expires)
        known[sighting.address] = changed[sighting.address] = sighting
        found.append((before is None or before.expires <= now, sighting))
    values = [(each.address, micro(each.expires), each.reporter) for each in changed.values()]
    connection.execute(_ADD, (json.dumps(values),))
    return found, lastRemoval(connection)


def lastRemoval(connection: sqlite3.Connection) -> int:
    """Number of the last removal."""
    number: int = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'removal'").fetchone()[0]
    return number


def find(connection: sqlite3.Connection, address: str) -> tuple[Sighting | None, int]:
    """What is stored of an address, expired or not; and the number of a removal that was
    before that at least."""
    number = lastRemoval(connection)
    row = connection.execute("SELECT address, expires, reporter FROM sighting WHERE address = ?", (address,)).fetchone()
    return (_sighting(*row) if row else None), number


def remove(connection: sqlite3.Connection, address: str, now: float) -> tuple[bool, int]:
    """Forget an address.  @return: whether it was there, and the number of the removal."""
    wasThere = connection.execute("DELETE FROM sighting WHERE address = ?", (address,)).rowcount > 0
    if wasThere:
        connection.execute("INSERT INTO removal (address, at) VALUES (?, ?)", (address, micro(now)))
    return wasThere, lastRemoval(connection)


def removals(connection: sqlite3.Connection, after: int) -> list[tuple[int, str]]:
    """Numbers and addresses of the removals behind a number."""
    return connection.execute(
        "SELECT number, address FROM removal WHERE number > ? ORDER BY number", (after,)
    ).fetchall()


def listing(connection: sqlite3.Connection, now: float) -> list[Sighting]:
    """What has not expired, by address."""
    rows = connection.execute(
        "SELECT address, expires, reporter FROM sighting WHERE expires > ? ORDER BY address", (micro(now),)
    )
    return [_sighting(*row) for row in rows]


def count(connection: sqlite3.Connection) -> int:
    """How many addresses there are."""
    number: int = connection.execute("SELECT count(*) FROM sighting").fetchone()[0]
    return number


# Counters


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def countUp(connection: sqlite3.Connection, name: str, key: str, number: float, halfLife: float, now: float) -> float:
    """Add to a number that fades.  @return: what it is now."""
    at = micro(now)
    row = connection.execute("SELECT number, at FROM counter WHERE name = ? AND key = ?", (name, _key(key))).fetchone()
    last, when = row or (0.0, at)
    left: float = max(0.0, last * 0.5 ** (max(0, at - when) / 1_000_000 / halfLife) + number)
    if left > FADED:
        gone = now + halfLife * math.log2(left / FADED)
        values = (name, _key(key), left, max(at, when), micro(gone))
        connection.execute("INSERT OR REPLACE INTO counter VALUES (?, ?, ?, ?, ?)", values)
    else:
        forget(connection, name, key)
    return left


def forget(connection: sqlite3.Connection, name: str, key: str) -> None:
    """It is 0 now."""
    connection.execute("DELETE FROM counter WHERE name = ? AND key = ?", (name, _key(key)))


# What nobody needs any more


def expired(connection: sqlite3.Connection, now: float, limit: int) -> list[str]:
    """Addresses that have expired."""
    rows = connection.execute("SELECT address FROM sighting WHERE expires <= ? LIMIT ?", (micro(now), limit))
    return [address for (address,) in rows]


def sweep(connection: sqlite3.Connection, addresses: Iterable[str], now: float) -> None:
    """Forget what of these addresses has expired, and what else is of no use."""
    connection.execute(
        "DELETE FROM sighting WHERE address IN (SELECT value FROM json_each(?)) AND expires <= ?",
        (json.dumps(list(addresses)), micro(now)),
    )
    connection.execute("DELETE FROM counter WHERE gone <= ?", (micro(now),))
    connection.execute("DELETE FROM removal WHERE at <= ?", (micro(now - KEPT),))
    connection.execute("DELETE FROM host WHERE gone <= ?", (micro(now),))


def probe(connection: sqlite3.Connection, now: float) -> None:
    """Write something that means nothing, to see whether that is possible.  It is more
    than fits into what happens to be left on a disk that is full."""
    connection.execute(
        "INSERT OR REPLACE INTO counter VALUES ('', zeroblob(?), 1, ?, ?)", (PROBE, micro(now), micro(now))
    )
