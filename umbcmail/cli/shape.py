"""A summary of the queues as a table: how old what waits is, by destination, in the
manner of Postfix' qshape.

Pure; called by `queuecommand`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from umbcmail.cli.listing import safe, spanOf
from umbcmail.selection import AGES, Row

_AGES = [spanOf(age) for age in AGES]
NAMES = (*_AGES, f">{_AGES[-1]}")
"""The columns: as old as that at most, but older than the column before."""


def shapeOf(rows: Sequence[Row]) -> Iterable[str]:
    """The lines of the table.

    @param rows: the first is of all destinations.
    """
    table = [("", "ALL", *NAMES)]
    for number, row in enumerate(rows):
        name = safe(row.lane) or ("(nobody waits)" if number else "all destinations")
        table.append((name, str(row.total), *map(str, row.ages)))
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *cells in table:
        numbers = [f"{cell:>{width}}" for cell, width in zip(cells, wide[1:], strict=True)]
        yield "  ".join([f"{name:>{wide[0]}}", *numbers])


def recordOf(row: Row, isAll: bool) -> dict[str, Any]:
    """A row as JSON values; C{null} is all destinations."""
    ages = dict(zip(NAMES, row.ages, strict=True))
    return {"destination": None if isAll else row.lane, "total": row.total, "ages": ages}
