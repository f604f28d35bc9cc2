"""What the spool reads: entries, contents, counts.

Functions of a connection, called in the reader's thread, or by the writer inside
a transaction.  Entries are read as one JSON text by one statement, so that they
are of one moment and the interpreter lock is given away only twice; when that
fails, one by one, so that a damaged row harms no other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from umbcmail.address import addressMatches
from umbcmail.entry import (
    Attempted,
    Claim,
    ContentDamaged,
    Count,
    DamagedEntry,
    Delivery,
    Entry,
    SpoolError,
    Status,
    causeOf,
)
from umbcmail.envelope import Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.spool.records import Damaged, attemptOf, entryOf, toNanoseconds, toSeconds
from umbcmail.queue.spool.rows import LISTED
from umbcmail.reply import Reply
from umbcmail.selection import AGES, Row, Selection, Sort

AT_ONCE = 200
"""Entries that are read by one statement."""

_READ = f"""
    SELECT CAST(json_group_array(json_array(
        e.id, e.message, e.queue, e.created, e.due, e.attempts, e.held, e.warned, e.owner, e.lease, e.token,
        m.version, m.envelope, json((SELECT json_group_array(json_array(
            n, address, notify, orcpt, status, d.attempts, code, enhanced, text, host, command, remote, uncertain, at,
            origin)) FROM delivery AS d WHERE d.entry = e.id)))) AS BLOB)
    FROM entry AS e LEFT JOIN message AS m ON m.id = e.message WHERE e.id IN {LISTED}"""

_PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    )
)
"""Errors that say nothing about the rows that were to be read."""

Found = tuple[list[Claim], dict[str, str]]
"""Entries that could be read, and by id why others could not."""


def entries(connection: sqlite3.Connection, ids: list[str]) -> Found:
    """Read entries, in the order of the ids; those that do not exist are left out."""
    claims: dict[str, Claim] = {}
    damaged: dict[str, str] = {}
    for at in range(0, len(ids), AT_ONCE):
        for row in _rows(connection, ids[at : at + AT_ONCE], damaged):
            try:
                claim = Claim(*entryOf(row))
                claims[claim.entry.id] = claim
            except Damaged as why:
                damaged[str(row[0])] = str(why)
    return [claims[id] for id in ids if id in claims], damaged


def _rows(connection: sqlite3.Connection, ids: list[str], damaged: dict[str, str]) -> list[list[Any]]:
    try:
        text = connection.execute(_READ, (json.dumps(ids),)).fetchone()[0]
        # Octets that are no UTF-8 must not change without anybody noticing: what they become is refused later.
        rows: list[list[Any]] = json.loads(text.decode("utf-8", "surrogateescape"))
        return rows
    except (sqlite3.Error, ValueError) as why:
        if getattr(why, "sqlite_errorcode", 0) & 0xFF in _PASSING:
            raise
        if len(ids) == 1:
            damaged[ids[0]] = f"{type(why).__name__}: {why}"
            return []
    return [row for id in ids for row in _rows(connection, [id], damaged)]


def selected(selection: Selection, only: list[str] | None = None) -> tuple[str, list[Any]]:
    """The condition on the table C{entry} that says the same as C{Selection.matches}.

    @param only: ids of entries, to which it is confined.
    """
    terms: list[str] = ["1"]
    values: list[Any] = []
    if only is not None:
        terms.append(f"id IN {LISTED}")
        values.append(json.dumps(only))
    if selection.ids:
        terms.append(f"(id IN {LISTED} OR message IN {LISTED})")
        values += [json.dumps(selection.ids)] * 2
    if selection.queues:
        terms.append(f"queue IN {LISTED}")
        values.append(json.dumps(selection.queues))
    for term, value in _conditions(selection):
        if value is not None and value != "":
            terms.append(term)
            values.append(value)
    return " AND ".join(terms), values


_WAITING = f"status = '{Status.WAITING}'"
_HAS = f"EXISTS (SELECT 1 FROM delivery AS d WHERE d.entry = entry.id AND {_WAITING} AND "
_ADDRESSED = f"{_HAS} addressed(?, address))"
_CAUSED = f"{_HAS} code AND caused(?, host, code, enhanced, text))"


def _conditions(selection: Selection) -> Iterator[tuple[str, Any]]:
    """Terms, and the value of each, which asks for nothing when it is None or empty."""
    yield "addressed(?, sender)", selection.sender
    yield _ADDRESSED, selection.recipient
    yield f"{_HAS} domain = ?)", selection.domain
    yield "held = ?", selection.held
    yield "(owner <> '') = ?", selection.claimed
    yield "created < ?", _time(selection.createdBefore)
    yield "created >= ?", _time(selection.createdAfter)
    yield "size > ?", selection.sizeOver
    yield "size < ?", selection.sizeUnder
    yield _CAUSED, selection.cause
    yield "bounce = ?", selection.bounces
    yield "score > ?", selection.scoreOver


def _time(seconds: float | None) -> int | None:
    return None if seconds is None else toNanoseconds(seconds)


def functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that L{selected} needs: the same that
    C{Selection.matches} uses."""
    connection.create_function("addressed", 2, addressMatches, deterministic=True)
    connection.create_function("caused", 5, _caused, deterministic=True)


def _caused(cause: str, host: str, code: int, enhanced: str, text: str) -> bool:
    try:
        outcome = Outcome(Reply(code, enhanced, tuple(json.loads(text))), host)
        return cause.lower() in causeOf(Delivery(Recipient(""), outcome=outcome)).lower()
    except (ValueError, TypeError):
        return False  # a damaged row is nobody's cause


_SORTS = {Sort.AGE: "created", Sort.DUE: "due", Sort.SIZE: "size", Sort.ID: "id"}


def listing(
    connection: sqlite3.Connection, selection: Selection, limit: int, sort: Sort, after: str
) -> tuple[list[Entry], dict[str, str]]:
    """See C{ISpool.listing}; and what is wrong with those that can't be read.

    @raise SpoolError: the last page's last entry is gone.
    """
    condition, values = selected(selection)
    key = _SORTS[sort]
    if after:
        last = connection.execute(f"SELECT {key} FROM entry WHERE id = ?", (after,)).fetchone()
        if last is None:
            raise SpoolError(f"{after} is not in the spool any more")
        condition += f" AND ({key}, id) > (?, ?)"
        values += [last[0], after]
    if sort is Sort.AGE and not selection.ids:
        chosen = _byAge(connection, condition, values, limit)
    else:
        chosen = [id for _, id in _first(connection, key, "", condition, values, limit)]
    found, damaged = entries(connection, chosen)
    return [claim.entry for claim in found], damaged


def _first(
    connection: sqlite3.Connection, key: str, index: str, condition: str, values: list[Any], limit: int
) -> list[tuple[Any, str]]:
    """The keys and ids of the first entries by some key."""
    text = connection.execute(
        "SELECT json_group_array(json_array(CASE typeof(key) WHEN 'blob' THEN hex(key) ELSE key END, id)) FROM "
        f"(SELECT {key} AS key, id FROM entry {index} WHERE {condition} ORDER BY {key}, id LIMIT ?)",
        (*values, limit),
    ).fetchone()[0]
    return [(key, id) for key, id in json.loads(text)]


_QUEUES = """
    WITH RECURSIVE found(queue) AS (
        SELECT min(queue) FROM entry
        UNION ALL SELECT (SELECT min(queue) FROM entry WHERE queue > found.queue) FROM found WHERE queue IS NOT NULL)
    SELECT queue FROM found WHERE queue IS NOT NULL"""


def _byAge(connection: sqlite3.Connection, condition: str, values: list[Any], limit: int) -> list[str]:
    """The ids of the oldest entries: each class has them in order, so a page of many is
    a short walk."""
    found = []
    for (queue,) in connection.execute(_QUEUES).fetchall():
        own = f"{condition} AND queue = ?"
        found += _first(connection, "created", "INDEXED BY entry_created", own, [*values, queue], limit)
    # As SQLite has them in order: what is no number, since it is damaged, comes behind the numbers.
    found.sort(key=lambda each: (isinstance(each[0], str), *each))
    return [id for _, id in found[: max(limit, 0)]]


def ids(connection: sqlite3.Connection, selection: Selection) -> list[str]:
    """The ids of the entries that are meant."""
    condition, values = selected(selection)
    text = connection.execute(f"SELECT json_group_array(id) FROM entry WHERE {condition}", values).fetchone()[0]
    found: list[str] = json.loads(text)
    return found


def history(connection: sqlite3.Connection, id: str) -> list[Attempted]:
    """See C{ISpool.history}."""
    rows = connection.execute("SELECT record FROM attempt WHERE entry = ? ORDER BY n", (id,))
    return [attempted for (record,) in rows if (attempted := attemptOf(record)) is not None]


def count(connection: sqlite3.Connection, selection: Selection) -> int:
    """See C{ISpool.count}."""
    condition, values = selected(selection)
    number: int = connection.execute(f"SELECT count(*) FROM entry WHERE {condition}", values).fetchone()[0]
    return number


def summary(connection: sqlite3.Connection, selection: Selection, limit: int, now: float) -> list[Row]:
    """See C{ISpool.summary}."""
    condition, values = selected(selection)
    bounds = [toNanoseconds(now - age) for age in AGES]
    # How many are at most so old, for each bound; the columns are the differences.
    sums = ", ".join([f"sum(created > {bound})" for bound in bounds])
    rows = connection.execute(f"SELECT lane, count(*), {sums} FROM entry WHERE {condition} GROUP BY lane", values)
    lanes = [Row(lane, _columns(total, younger)) for lane, total, *younger in rows]
    whole = tuple(map(sum, zip(*(row.ages for row in lanes), strict=True))) if lanes else (0,) * (len(AGES) + 1)
    return [Row("", whole), *sorted(lanes, key=lambda row: (-row.total, row.lane))[:limit]]


def _columns(total: int, younger: list[int]) -> tuple[int, ...]:
    return tuple(upper - lower for lower, upper in zip((0, *younger), (*younger, total), strict=True))


def damaged(connection: sqlite3.Connection) -> list[DamagedEntry]:
    """See C{ISpool.damaged}."""
    rows = connection.execute("SELECT id, damaged FROM entry WHERE damaged <> '' ORDER BY id")
    return [DamagedEntry(id, why) for id, why in rows.fetchall()]


def content(connection: sqlite3.Connection, messageId: str) -> tuple[bytes | None, str, int]:
    """The content of a message: octets or the name of a file, and its size.

    @raise ContentDamaged: it is not there, or not whole.
    """
    try:
        row = connection.execute("SELECT content, file, size FROM message WHERE id = ?", (messageId,)).fetchone()
    except sqlite3.DatabaseError as why:
        if getattr(why, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        raise ContentDamaged(f"{messageId}: {why}") from why
    if row is None:
        raise ContentDamaged(f"{messageId} is not in the spool")
    data, file, size = row
    if data is None and file == messageId and isinstance(size, int):
        return None, file, size
    if not isinstance(data, bytes) or len(data) != size:
        raise ContentDamaged(f"{messageId}: the content is damaged")
    return data, "", size


_COUNTS = """
    SELECT queue, count(*), 0, 0 FROM entry WHERE held = 0 AND owner = '' GROUP BY queue
    UNION ALL SELECT queue, sum(lease <= ?1), sum(lease > ?1), 0 FROM entry
        WHERE held = 0 AND owner <> '' GROUP BY queue
    UNION ALL SELECT queue, 0, 0, count(*) FROM entry WHERE held <> 0 GROUP BY queue"""


def counts(connection: sqlite3.Connection, now: float) -> dict[str, Count]:
    """See C{ISpool.counts}.  A claim whose lease has ended does not count as one.
    Each part walks an index of its own, see `schema`."""
    found: dict[str, Count] = {}
    for queue, *numbers in connection.execute(_COUNTS, (toNanoseconds(now),)).fetchall():
        old = found.get(queue) or Count(oldest=_oldest(connection, queue))
        waiting, claimed, held = numbers
        found[queue] = Count(old.waiting + waiting, old.claimed + claimed, old.held + held, old.oldest)
    return found


def _oldest(connection: sqlite3.Connection, queue: str) -> float | None:
    created = connection.execute("SELECT min(created) FROM entry WHERE queue = ?", (queue,)).fetchone()[0]
    return toSeconds(created) if isinstance(created, int) else None


def nextDue(connection: sqlite3.Connection, queue: str) -> float | None:
    """See C{ISpool.nextDue}."""
    due = connection.execute(
        "SELECT min(due) FROM entry WHERE queue = ? AND held = 0 AND owner = ''", (queue,)
    ).fetchone()[0]
    return toSeconds(due) if isinstance(due, int) else None
