"""What the spool does most, done for many messages at once: commit and record.

Each step of SQLite gives the interpreter lock away, and while the reactor is busy
it can take milliseconds to get it back.  So all commits and records that wait
become a handful of statements, whatever their number: rows are inserted by
C{VALUES} lists, looked up and deleted by a list of ids in JSON, and read as one
JSON text.  The rows are made in the reactor's thread (C{pack}, C{recordRows}), the
rest is called by L{umbcmail.queue.spool.writer} inside a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from umbcmail.entry import REMEMBERED, Attempted, Change, Claim, Draft, Entry, SpoolError, attemptedOf, laneOf
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent
from umbcmail.queue.spool.records import (
    RECORD_VERSION,
    DeliveryRow,
    attemptText,
    checkId,
    deliveryRow,
    envelopeText,
    firstEntry,
    laterEntry,
    toNanoseconds,
    waiting,
)

AT_ONCE = 64
"""Rows in one INSERT, at most.  Each number is a statement of its own, and the
cache of statements holds all of them."""

LISTED = "(SELECT value FROM json_each(?))"
"""A list of ids, given as a text in JSON."""


AttemptRow = tuple[str, int, str]
"""A row of the table C{attempt}."""

_OUTCOMES = 1000
"""Outcomes of one attempt that their numbers leave place for."""


@dataclass(frozen=True, slots=True)
class Package:
    """The rows of a message that is committed, and the claims that come of it.

    @ivar message: L{None}: it is there already.
    """

    message: tuple[Any, ...] | None
    entries: list[tuple[Any, ...]]
    deliveries: list[DeliveryRow]
    attempts: list[AttemptRow]
    claims: list[Claim]


@dataclass(slots=True)
class RecordRows:
    """What becomes of a claimed entry.

    @ivar deliveries: those that are left; without any, the entry goes.
    @ivar queue: see L{Change}; C{held} and C{also} likewise.
    @ivar bounces: messages, and more entries of the same one, that are committed with it.
    """

    id: str
    token: int
    due: int
    attempts: int
    warned: int
    lane: str
    deliveries: list[DeliveryRow]
    history: list[AttemptRow]
    bounces: list[Package]
    queue: str = ""
    held: int = 0
    also: tuple[str, ...] = ()


def pack(
    envelope: Envelope, content: IContent, drafts: Sequence[Draft], now: float, owner: str = "", lease: float = 0.0
) -> Package:
    """Make the rows of a message.

    @param owner: who claims the entries, C{""} for nobody.
    @param lease: until when, seconds since 1970.
    @raise SpoolError: it is no proper message.
    """
    message = checkId(envelope.id)
    if not drafts:
        raise SpoolError(f"{message} has no entries")
    entries = [firstEntry(envelope, number, draft, now, owner) for number, draft in enumerate(drafts)]
    file = message if content.data is None else ""
    row = (message, RECORD_VERSION, envelopeText(envelope), content.data, file, content.size)
    return _packed(row, entries, now, lease)


def _packed(message: tuple[Any, ...] | None, made: Sequence[Entry], now: float, lease: float = 0.0) -> Package:
    """The rows of entries of one message.

    @param message: its row, L{None}: it is there already.
    """
    at, until = toNanoseconds(now), toNanoseconds(lease)
    envelope = made[0].envelope
    about = (envelope.sender, envelope.size, int(envelope.agent == "bounce"), envelope.score, "")
    entries: list[tuple[Any, ...]] = []
    deliveries: list[DeliveryRow] = []
    history: list[AttemptRow] = []
    claims: list[Claim] = []
    for entry in made:
        token = 1 if entry.owner else 0
        times = toNanoseconds(entry.created), toNanoseconds(entry.due)
        state = (entry.queue, *times, entry.attempts, int(entry.held), 0, entry.owner, until, token)
        entries.append((entry.id, envelope.id, *state, entry.lane, *about))
        history += attemptRows(entry.id, entry.attempts, attemptedOf(entry.deliveries, now))
        deliveries += [deliveryRow(entry.id, n, delivery, at) for n, delivery in enumerate(entry.deliveries)]
        claims.append(Claim(entry, token, lease))
    return Package(message, entries, deliveries, history, claims)


def attemptRows(entry: str, attempts: int, history: Sequence[Attempted]) -> list[AttemptRow]:
    """The rows of what came of an entry's last attempt.

    @param attempts: how many there have been.
    """
    first = attempts * _OUTCOMES
    return [(entry, first + n, attemptText(attempted)) for n, attempted in enumerate(history[:REMEMBERED])]


def recordRows(claim: Claim, change: Change, now: float, bounces: list[Package]) -> RecordRows:
    """Make the rows of what an attempt has changed.

    @raise SpoolError: a recipient or a time can't be stored.
    """
    id, at = claim.entry.id, toNanoseconds(now)
    left = [deliveryRow(id, n, delivery, at) for n, delivery in enumerate(waiting(change.deliveries))]
    due, lane = toNanoseconds(change.due), laneOf(change.deliveries)
    history = attemptRows(id, change.attempts, change.history) if left else []
    if change.drafts:
        made = [laterEntry(claim, number, draft) for number, draft in enumerate(change.drafts)]
        bounces = [*bounces, _packed(None, made, now)]
    more = (change.queue, int(change.held), change.also)
    return RecordRows(id, claim.token, due, change.attempts, int(change.warned), lane, left, history, bounces, *more)


@cache
def _values(columns: int, rows: int) -> str:
    row = "(" + ",".join("?" * columns) + ")"
    return ",".join([row] * rows)


def _insert(connection: sqlite3.Connection, table: str, rows: list[Any], how: str = "INSERT") -> None:
    for at in range(0, len(rows), AT_ONCE):
        some = rows[at : at + AT_ONCE]
        values = _values(len(some[0]), len(some))
        connection.execute(f"{how} INTO {table} VALUES {values}", tuple(chain.from_iterable(some)))


def insert(connection: sqlite3.Connection, packages: Iterable[Package]) -> None:
    """Put in all rows of some messages."""
    packages = list(packages)
    _insert(connection, "message", [package.message for package in packages if package.message is not None])
    _insert(connection, "entry", list(chain.from_iterable([package.entries for package in packages])))
    _insert(connection, "delivery", list(chain.from_iterable([package.deliveries for package in packages])))
    _insert(connection, "attempt", list(chain.from_iterable([package.attempts for package in packages])))


def claimed(connection: sqlite3.Connection, ids: list[str], owner: str) -> dict[str, tuple[int, str, str]]:
    """Which of some entries an owner has claimed.

    @return: entry to token, message, and name of the message's file.
    """
    text = connection.execute(
        "SELECT json_group_array(json_array(e.id, e.token, e.message, ifnull(m.file, '')))"
        f" FROM entry AS e LEFT JOIN message AS m ON m.id = e.message WHERE e.owner = ? AND e.id IN {LISTED}",
        (owner, json.dumps(ids)),
    ).fetchone()[0]
    return {id: (token, message, file) for id, token, message, file in json.loads(text)}


def delete(connection: sqlite3.Connection, ids: list[str], messages: list[str]) -> None:
    """Delete entries, and those of their messages that have no other."""
    entries = (json.dumps(ids),)
    connection.execute(f"DELETE FROM delivery WHERE entry IN {LISTED}", entries)
    connection.execute(f"DELETE FROM attempt WHERE entry IN {LISTED}", entries)
    connection.execute(f"DELETE FROM entry WHERE id IN {LISTED}", entries)
    connection.execute(
        f"DELETE FROM message WHERE id IN {LISTED}"
        " AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.message = message.id)",
        (json.dumps(messages),),
    )


def deleteUnclaimed(connection: sqlite3.Connection, ids: list[str]) -> None:
    """Delete those of some entries that nobody has claimed; their messages stay."""
    text = connection.execute(
        f"SELECT json_group_array(id) FROM entry WHERE owner = '' AND id IN {LISTED}", (json.dumps(ids),)
    ).fetchone()[0]
    delete(connection, json.loads(text), [])


_FORGET = f"""
    DELETE FROM attempt WHERE (entry, n) IN (SELECT entry, n FROM (
        SELECT entry, n, row_number() OVER (PARTITION BY entry ORDER BY n DESC) AS place FROM attempt
        WHERE entry IN {LISTED}) WHERE place > ?)"""


def known(connection: sqlite3.Connection, files: list[str]) -> set[str]:
    """Which of some files belong to a message."""
    text = connection.execute(
        f"SELECT json_group_array(file) FROM message WHERE file <> '' AND id IN {LISTED}", (json.dumps(files),)
    ).fetchone()[0]
    return set(json.loads(text))


def unused(connection: sqlite3.Connection, files: list[str]) -> list[str]:
    """Which of some files belong to no message."""
    return sorted(set(files) - known(connection, files)) if files else []


def update(connection: sqlite3.Connection, records: list[RecordRows]) -> None:
    """Write down the attempts of entries that stay, and end their claims."""
    for at in range(0, len(records), AT_ONCE):
        some = records[at : at + AT_ONCE]
        values = tuple(
            chain.from_iterable([(r.id, r.due, r.attempts, r.warned, r.lane, r.queue, r.held) for r in some])
        )
        connection.execute(
            f"WITH new (id, due, attempts, warned, lane, queue, held) AS (VALUES {_values(7, len(some))})"
            " UPDATE entry SET due = new.due, attempts = new.attempts, warned = new.warned, lane = new.lane,"
            " owner = '', lease = 0, held = max(entry.held, new.held),"
            " queue = CASE new.queue WHEN '' THEN entry.queue ELSE new.queue END"
            " FROM new WHERE entry.id = new.id",
            values,
        )
    connection.execute(f"DELETE FROM delivery WHERE entry IN {LISTED}", (json.dumps([r.id for r in records]),))
    _insert(connection, "delivery", list(chain.from_iterable([r.deliveries for r in records])))
    history = list(chain.from_iterable([r.history for r in records]))
    if history:
        _insert(connection, "attempt", history, "INSERT OR REPLACE")
        connection.execute(_FORGET, (json.dumps([r.id for r in records if r.history]), REMEMBERED))
