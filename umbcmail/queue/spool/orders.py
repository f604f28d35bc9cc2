"""What changes entries, one order at a time: claims, and the operator's orders.

Functions of a connection, called by the writer inside a transaction: what raises
must not have changed anything that it minds to be kept, since the whole is rolled
back then.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from umbcmail.entry import LATEST, WINDOW, Claim, Delivery, Order, Status
from umbcmail.envelope import Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.spool import reads, rows
from umbcmail.queue.spool.records import outcomeColumns, toNanoseconds
from umbcmail.queue.spool.rows import LISTED
from umbcmail.selection import Selection

Chosen = tuple[Selection, list[str] | None]
"""What an order is about: a selection, and some of the ids of the entries that it
meant a moment ago, L{None} for all that it means now."""

# Each half walks an index of its own, see `schema`: those that are free, and those whose lease has ended.
_NEXT = """
        SELECT id, due FROM (
            SELECT id, due FROM entry
            WHERE queue = ?1 AND held = 0 AND owner = '' AND due <= ?2 ORDER BY due LIMIT ?3)
        UNION ALL SELECT id, due FROM (
            SELECT id, due FROM entry
            WHERE queue = ?1 AND owner <> '' AND lease <= ?2 AND held = 0 AND due <= ?2 ORDER BY due LIMIT ?3)
        ORDER BY due, id LIMIT ?3"""
_DUE = f"SELECT json_group_array(id) FROM ({_NEXT})"
_LATEST = """
    SELECT json_group_array(id) FROM (
        SELECT id FROM entry WHERE queue = ? AND held = 0 AND owner = '' AND due <= ? ORDER BY due DESC LIMIT ?)"""

_RANKS = {
    Order.AGE: "created, id",
    Order.HOST: "lane, entry.due, id",
    Order.PRIORITY: "attempts, size, id",
    Order.RANDOM: "random()",
}


def _next(connection: sqlite3.Connection, queue: str, limit: int, now: float, order: Order) -> list[str]:
    """Ids of the entries that are to be taken next, in order."""
    if order is Order.DUE:
        return _longestDue(connection, queue, max(limit, 0), toNanoseconds(now))
    ordered = f"SELECT id FROM ({_NEXT}) AS next JOIN entry USING (id) ORDER BY {_RANKS[order]} LIMIT ?4"
    values = (queue, toNanoseconds(now), WINDOW, max(limit, 0))
    found = connection.execute(f"SELECT json_group_array(id) FROM ({ordered})", values)
    ids: list[str] = json.loads(found.fetchone()[0])
    return ids


def _longestDue(connection: sqlite3.Connection, queue: str, limit: int, now: int) -> list[str]:
    """Those first that are due for longest; but where there are more than are wanted a part of
    those that have become due last: see L{LATEST}."""
    ids: list[str] = json.loads(connection.execute(_DUE, (queue, now, limit)).fetchone()[0])
    if len(ids) == limit and limit // LATEST:
        latest = json.loads(connection.execute(_LATEST, (queue, now, limit // LATEST)).fetchone()[0])
        others = [id for id in latest if id not in ids]
        ids[limit - len(others) :] = others
    return ids


def claim(
    connection: sqlite3.Connection, queue: str, limit: int, now: float, owner: str, lease: float, order: Order
) -> reads.Found:
    """See C{ISpool.claim}.  Entries that can't be read are put aside.

    @param lease: until when the claims hold.
    @return: the claims, and by id what is wrong with those put aside.
    """
    ids = _next(connection, queue, limit, now, order)
    if not ids:
        return [], {}
    connection.execute(
        f"UPDATE entry SET owner = ?, lease = ?, token = token + 1 WHERE id IN {LISTED}",
        (owner, toNanoseconds(lease), json.dumps(ids)),
    )
    claims, damaged = reads.entries(connection, ids)
    for id, why in damaged.items():
        connection.execute(_ASIDE + " WHERE id = ?", (why[:WHY], id))
    return claims, damaged


_ASIDE = "UPDATE entry SET held = 1, owner = '', lease = 0, damaged = ?"

WHY = 500
"""Characters of what is wrong with an entry that are kept."""


def putAside(connection: sqlite3.Connection, damaged: dict[str, str]) -> dict[str, str]:
    """Put aside what can't be read, unless somebody has claimed it.

    @param damaged: by id what is wrong.
    @return: those that have been put aside by this.
    """
    order = _ASIDE + " WHERE id = ? AND owner = '' AND damaged = ''"
    return {id: why for id, why in damaged.items() if connection.execute(order, (why[:WHY], id)).rowcount}


def unreadable(connection: sqlite3.Connection, queue: str, limit: int, now: float, order: Order) -> dict[str, str]:
    """What could not be read of what L{claim} would claim.  @return: by id why."""
    return reads.entries(connection, _next(connection, queue, limit, now, order))[1]


def setAside(connection: sqlite3.Connection, claim: Claim, owner: str, why: str) -> bool:
    """See C{ISpool.setAside}."""
    values = (why[:WHY], claim.entry.id, owner, claim.token)
    return bool(connection.execute(_ASIDE + " WHERE id = ? AND owner = ? AND token = ?", values).rowcount)


_WAITING = """
    SELECT id FROM (
        SELECT id, due FROM entry INDEXED BY entry_waiting
        WHERE queue = ?2 AND held = 0 AND owner = '' AND lane IN (SELECT value FROM json_each(?3))
        ORDER BY lane, id LIMIT ?5)
    WHERE due > ?1 LIMIT ?4"""
LOOKED = 10_000
"""Entries of some destinations that are looked at for those that are due later."""


def hasten(connection: sqlite3.Connection, queue: str, lanes: Sequence[str], limit: int, at: float) -> int:
    """See C{ISpool.hasten}."""
    ns = toNanoseconds(at)
    return connection.execute(
        f"UPDATE entry SET due = ?1 WHERE id IN ({_WAITING})",
        (ns, queue, json.dumps(list(lanes)), max(limit, 0), LOOKED),
    ).rowcount


def renew(connection: sqlite3.Connection, claims: Sequence[Claim], owner: str, lease: float) -> list[Claim]:
    """See C{ISpool.renew}."""
    found = rows.claimed(connection, [claim.entry.id for claim in claims], owner)
    good = [c for c in claims if c.token and c.entry.id in found and found[c.entry.id][0] == c.token]
    connection.execute(
        f"UPDATE entry SET lease = ? WHERE id IN {LISTED}",
        (toNanoseconds(lease), json.dumps([c.entry.id for c in good])),
    )
    return [replace(c, lease=lease) for c in good]


def giveBack(connection: sqlite3.Connection, claim: Claim, owner: str, due: float) -> None:
    """See C{ISpool.giveBack}."""
    connection.execute(
        "UPDATE entry SET owner = '', lease = 0, due = ? WHERE id = ? AND owner = ? AND token = ?",
        (toNanoseconds(due), claim.entry.id, owner, claim.token),
    )


def _change(
    connection: sqlite3.Connection, chosen: Chosen, what: str, values: tuple[object, ...], only: str = "1"
) -> int:
    condition, selected = reads.selected(*chosen)
    return connection.execute(f"UPDATE entry SET {what} WHERE {only} AND {condition}", (*values, *selected)).rowcount


def retry(connection: sqlite3.Connection, chosen: Chosen, now: float) -> int:
    """See C{ISpool.retry}."""
    return _change(connection, chosen, "due = ?", (toNanoseconds(now),))


def hold(connection: sqlite3.Connection, chosen: Chosen) -> int:
    """See C{ISpool.hold}."""
    return _change(connection, chosen, "held = 1", (), "held = 0")


def release(connection: sqlite3.Connection, chosen: Chosen, now: float) -> int:
    """See C{ISpool.release}."""
    at = toNanoseconds(now)
    return _change(connection, chosen, "held = 0, due = ?, created = ?", (at, at), "held = 1 AND damaged = ''")


def move(connection: sqlite3.Connection, chosen: Chosen, queue: str) -> int:
    """See C{ISpool.move}."""
    condition, selected = reads.selected(*chosen)
    return connection.execute(
        f"UPDATE entry SET queue = ? WHERE owner = '' AND queue <> ? AND {condition}", (queue, queue, *selected)
    ).rowcount


def _free(connection: sqlite3.Connection, chosen: Chosen) -> str:
    """The ids of entries that nobody has claimed, as JSON."""
    condition, selected = reads.selected(*chosen)
    found = connection.execute(
        f"SELECT json_group_array(id) FROM entry WHERE owner = '' AND damaged = '' AND {condition}", selected
    )
    text: str = found.fetchone()[0]
    return text


def giveUp(connection: sqlite3.Connection, chosen: Chosen, outcome: Outcome, now: float) -> int:
    """See C{ISpool.giveUp}."""
    ids, at = _free(connection, chosen), toNanoseconds(now)
    values = (at, str(Status.FAILED), *outcomeColumns(outcome))
    columns = "at = ?, status = ?, code = ?, enhanced = ?, text = ?, host = ?, command = ?, remote = ?, uncertain = ?"
    connection.execute(
        f"UPDATE delivery SET {columns} WHERE status = ? AND entry IN {LISTED}", (*values, str(Status.WAITING), ids)
    )
    return connection.execute(f"UPDATE entry SET due = ?, held = 0, lane = '' WHERE id IN {LISTED}", (at, ids)).rowcount


_MAILBOX = "(origin = '' OR origin ->> 2 = '')"
"""The recipient is no program and no file, see C{records}."""


def readdress(connection: sqlite3.Connection, chosen: Chosen, old: str, new: str, now: float) -> int:
    """See C{ISpool.readdress}."""
    changed = set()
    rows = connection.execute(
        "SELECT entry, n, address, notify, orcpt FROM delivery"
        f" WHERE status = ? AND addressed(?, address) AND {_MAILBOX} AND entry IN {LISTED}",
        (str(Status.WAITING), old, _free(connection, chosen)),
    ).fetchall()
    for entry, n, *recipient in rows:
        to = Delivery(Recipient(*recipient)).readdressed(old, new).recipient
        isThere = connection.execute(
            "SELECT 1 FROM delivery"
            f" WHERE entry = ? AND n <> ? AND status = ? AND addressed(?, address) AND {_MAILBOX}",
            (entry, n, str(Status.WAITING), to.address),
        ).fetchone()
        if isThere:  # nobody gets it twice
            connection.execute("DELETE FROM delivery WHERE entry = ? AND n = ?", (entry, n))
        else:
            connection.execute(
                "UPDATE delivery SET address = ?, domain = ?, orcpt = ? WHERE entry = ? AND n = ?",
                (to.address, to.domain, to.orcpt, entry, n),
            )
        changed.add(entry)
    return connection.execute(
        "UPDATE entry SET due = ?, lane = (SELECT domain FROM delivery AS d WHERE d.entry = entry.id AND d.status = ?"
        f" ORDER BY n LIMIT 1) WHERE id IN {LISTED}",
        (toNanoseconds(now), str(Status.WAITING), json.dumps(sorted(changed))),
    ).rowcount


def remove(connection: sqlite3.Connection, chosen: Chosen) -> tuple[int, list[str]]:
    """See C{ISpool.remove}.  @return: how many, and the files that can go now."""
    condition, selected = reads.selected(*chosen)
    text = connection.execute(
        "SELECT json_group_array(json_array(e.id, e.message, ifnull(m.file, '')))"
        f" FROM (SELECT id, message FROM entry WHERE {condition}) AS e LEFT JOIN message AS m ON m.id = e.message",
        selected,
    ).fetchone()[0]
    found = json.loads(text)
    rows.delete(connection, [id for id, _, _ in found], [message for _, message, _ in found])
    return len(found), rows.unused(connection, [file for _, _, file in found if file])


def owners(connection: sqlite3.Connection) -> set[str]:
    """Who has claims."""
    return {owner for (owner,) in connection.execute("SELECT DISTINCT owner FROM entry WHERE owner <> ''")}


def free(connection: sqlite3.Connection, dead: Sequence[str]) -> int:
    """End the claims of owners that live no more.  @return: how many."""
    return connection.execute(
        f"UPDATE entry SET owner = '', lease = 0 WHERE owner <> '' AND owner IN {LISTED}", (json.dumps(list(dead)),)
    ).rowcount
