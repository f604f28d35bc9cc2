"""Entries that wait in vain are put off, many at a time: see C{ISpool.putOff}.

A function of a connection, called by the writer inside a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from umbcmail.entry import Crowd
from umbcmail.queue.spool.records import outcomeColumns, toNanoseconds
from umbcmail.queue.spool.rows import LISTED
from umbcmail.queue.spool.schema import HAS_DEADLINE

Place = tuple[int, str]
"""When the last entry was due that has been passed, and its id."""

# The lane is missing where the entry is to be left alone.
_PASSED = f"""
    SELECT json_group_array(json_array(due, id, lane, created, warned)) FROM (
        SELECT due, id, created, warned, CASE WHEN lane IN {LISTED.replace("?", "?5")}
            AND message NOT IN (SELECT id FROM message WHERE {HAS_DEADLINE})
            AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.entry = e.id AND d.domain <> e.lane)
            THEN lane END AS lane
        FROM entry AS e
        WHERE queue = ?1 AND held = 0 AND owner = '' AND due < ?2 AND (due, id) > (?3, ?4)
        ORDER BY due, id LIMIT ?6)"""

# One after the other, as they were: so few pages are written.
_LATER = "UPDATE entry SET due = j.value ->> 1 FROM json_each(?) AS j WHERE entry.id = j.value ->> 0"

_TOLD = """
    UPDATE delivery SET code = j.value ->> 1, enhanced = j.value ->> 2, text = j.value ->> 3, host = j.value ->> 4,
        command = j.value ->> 5, remote = j.value ->> 6, uncertain = j.value ->> 7, at = ?2
    FROM json_each(?1) AS j WHERE delivery.entry = j.value ->> 0 AND delivery.code = 0"""


def putOff(
    connection: sqlite3.Connection, queue: str, crowds: Sequence[Crowd], limit: int, place: Place | None, now: float
) -> tuple[int, Place | None]:
    """See C{ISpool.putOff}."""
    byLane = {crowd.lane: crowd for crowd in crowds}
    until, at = toNanoseconds(max(crowd.before for crowd in crowds)), toNanoseconds(now)
    # What is due since the beginning of all time has been called.
    values = (queue, until, *(place or (1, "")), json.dumps(list(byLane)), limit)
    passed = json.loads(connection.execute(_PASSED, values).fetchone()[0])
    later: list[tuple[str, int]] = []
    told: list[tuple[object, ...]] = []
    for due, id, lane, created, warned in passed:
        crowd = byLane.get(lane)
        if crowd is None or due >= toNanoseconds(crowd.before):
            continue
        again, warning = toNanoseconds(crowd.begin + len(later) * crowd.step), created + toNanoseconds(crowd.warn)
        later.append((id, min(again, warning) if crowd.warn and not warned and warning > at else again))
        told.append((id, *outcomeColumns(crowd.why)))
    connection.execute(_LATER, (json.dumps(later),))
    connection.execute(_TOLD, (json.dumps(told), at))
    return len(later), (passed[-1][0], passed[-1][1]) if len(passed) == limit else None
