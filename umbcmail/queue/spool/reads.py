"""What the spool reads: entries, contents, counts.

Functions of a connection, called in the reader's thread, or by the writer inside
a transaction.  Entries are read as one JSON text by one statement, so that they
are of one moment and the interpreter lock is given away only twice; when that
fails, one by one, so that a damaged row harms no other.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from umbcmail.entry import Claim, Count, Entry, Selection, SpoolError
from umbcmail.queue.spool.records import Damaged, entryOf, toNanoseconds, toSeconds
from umbcmail.queue.spool.rows import LISTED

AT_ONCE = 200
"""Entries that are read by one statement."""

_READ = f"""
    SELECT CAST(json_group_array(json_array(
        e.id, e.message, e.queue, e.created, e.due, e.attempts, e.held, e.warned, e.owner, e.lease, e.token,
        m.version, m.envelope, json((SELECT json_group_array(json_array(
            n, address, notify, orcpt, status, d.attempts, code, enhanced, text, host, command, remote, uncertain))
            FROM delivery AS d WHERE d.entry = e.id)))) AS BLOB)
    FROM entry AS e LEFT JOIN message AS m ON m.id = e.message WHERE e.id IN {LISTED}"""

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
        if len(ids) == 1:
            damaged[ids[0]] = f"{type(why).__name__}: {why}"
            return []
    return [row for id in ids for row in _rows(connection, [id], damaged)]


def selected(selection: Selection) -> tuple[str, list[Any]]:
    """The condition on the table C{entry} that says the same as C{Selection.matches}."""
    terms: list[str] = ["1"]
    values: list[Any] = []
    if selection.ids:
        terms.append(f"(id IN {LISTED} OR message IN {LISTED})")
        values += [json.dumps(selection.ids)] * 2
    if selection.queue:
        terms.append("queue = ?")
        values.append(selection.queue)
    if selection.domain:
        terms.append("id IN (SELECT entry FROM delivery WHERE domain = ?)")
        values.append(selection.domain)
    if selection.held is not None:
        terms.append("held = ?")
        values.append(int(selection.held))
    if selection.createdBefore is not None:
        terms.append("created < ?")
        values.append(toNanoseconds(selection.createdBefore))
    return " AND ".join(terms), values


def listing(connection: sqlite3.Connection, selection: Selection, limit: int) -> tuple[list[Entry], dict[str, str]]:
    """Entries, the oldest first, and what is wrong with those that can't be read."""
    condition, values = selected(selection)
    text = connection.execute(
        f"SELECT json_group_array(id) FROM (SELECT id FROM entry WHERE {condition} ORDER BY created, id LIMIT ?)",
        (*values, limit),
    ).fetchone()[0]
    found, damaged = entries(connection, json.loads(text))
    ordered = sorted((claim.entry for claim in found), key=lambda entry: (entry.created, entry.id))
    return ordered, damaged


def content(connection: sqlite3.Connection, messageId: str) -> tuple[bytes | None, str, int]:
    """The content of a message: octets or the name of a file, and its size.

    @raise SpoolError: it is not there, or not whole.
    """
    row = connection.execute("SELECT content, file, size FROM message WHERE id = ?", (messageId,)).fetchone()
    if row is None:
        raise SpoolError(f"{messageId} is not in the spool")
    data, file, size = row
    if data is None and file == messageId and isinstance(size, int):
        return None, file, size
    if not isinstance(data, bytes) or len(data) != size:
        raise SpoolError(f"{messageId}: the content is damaged")
    return data, "", size


def counts(connection: sqlite3.Connection, now: float) -> dict[str, Count]:
    """See C{ISpool.counts}.  A claim whose lease has ended does not count as one."""
    rows = connection.execute(
        "SELECT queue, sum(held = 0 AND (owner = '' OR lease <= ?1)),"
        " sum(held = 0 AND owner <> '' AND lease > ?1), sum(held <> 0), min(created) FROM entry GROUP BY queue",
        (toNanoseconds(now),),
    )
    return {queue: Count(w, c, h, toSeconds(oldest)) for queue, w, c, h, oldest in rows.fetchall()}


def nextDue(connection: sqlite3.Connection, queue: str) -> float | None:
    """See C{ISpool.nextDue}."""
    due = connection.execute(
        "SELECT min(due) FROM entry WHERE queue = ? AND held = 0 AND owner = ''", (queue,)
    ).fetchone()[0]
    return None if due is None else toSeconds(due)
