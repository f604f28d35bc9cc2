"""What becomes of damaged entries when the operator wants them repaired.

What can be read now goes back into service; of the rest all that is left is saved
as files that people can read, and the entry goes.  Used by L{umbcmail.queue.spool.sqlite}.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from typing import Any

from umbcmail.entry import ContentDamaged
from umbcmail.queue.spool import reads, rows
from umbcmail.queue.spool.files import isName, syncFolder
from umbcmail.queue.spool.rows import LISTED

Remains = tuple[str, bytes | None]
"""The rows of an entry as JSON, and its content if that is in the database."""


def readable(connection: sqlite3.Connection, id: str) -> tuple[str, int] | None:
    """Whether an entry can be read now.

    @return: L{None} if it can't; else name and size of the file of its content,
        which is to be looked at, C{("", 0)} when it has none.
    """
    found, _ = reads.entries(connection, [id])
    if not found:
        return None
    try:
        _, file, size = reads.content(connection, found[0].entry.envelope.id)
    except ContentDamaged:
        return None
    return file, size


def heal(connection: sqlite3.Connection, id: str, due: int) -> int:
    """Back into service.  @return: how many entries."""
    return connection.execute(
        "UPDATE entry SET held = 0, damaged = '', due = ? WHERE id = ? AND damaged <> ''", (due, id)
    ).rowcount


def remains(connection: sqlite3.Connection, id: str) -> tuple[Remains, str]:
    """What is left of an entry, and the name of the file that its content would be in."""
    tables = {"entry": "id = ?1", "delivery": "entry = ?1", "attempt": "entry = ?1"}
    tables["message"] = "id = (SELECT message FROM entry WHERE id = ?1)"
    found: dict[str, list[dict[str, Any]]] = {}
    content: bytes | None = None
    for table, condition in tables.items():
        try:
            cursor = connection.execute(f"SELECT * FROM {table} WHERE {condition}", (id,))
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except sqlite3.Error as why:
            found[table] = [{"unreadable": str(why)}]
    for row in found["message"]:
        data = row.pop("content", None)
        if data is not None:
            content = data if isinstance(data, bytes) else str(data).encode("utf-8", "surrogateescape")
    message = str(found["entry"][0].get("message", id)) if found["entry"] else id
    return (json.dumps(found, indent=1, default=repr), content), message if isName(message) else id


def save(folder: str, id: str, remains: Remains, file: str) -> None:
    """Write down what is left: C{id.json}, and C{id.eml} where there is content.

    @param file: path of the content, if it is in a file that exists.
    @raise OSError: it can't be written.
    """
    os.makedirs(folder, 0o700, exist_ok=True)
    text, content = remains
    _write(os.path.join(folder, id + ".json"), text.encode())
    if content is not None:
        _write(os.path.join(folder, id + ".eml"), content)
    elif os.path.exists(file):
        with open(file, "rb") as source, open(_new(os.path.join(folder, id + ".eml")), "wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
    syncFolder(folder)


def _new(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)


def _write(path: str, data: bytes) -> None:
    with open(_new(path), "wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())


def remove(connection: sqlite3.Connection, id: str) -> list[str]:
    """A damaged entry goes.  @return: the files that can go now."""
    found = connection.execute(
        f"SELECT e.message, ifnull(m.file, '') FROM entry AS e LEFT JOIN message AS m ON m.id = e.message"
        f" WHERE e.damaged <> '' AND e.id IN {LISTED}",
        (json.dumps([id]),),
    ).fetchall()
    if not found:
        return []
    rows.delete(connection, [id], [message for message, _ in found])
    return rows.unused(connection, [file for _, file in found if file])
