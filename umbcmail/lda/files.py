"""Writes a message at the end of a file, as the user who we are; called in a child.

Files are where users and the administrator have named them: below the user's home, or in a
folder that is permitted.  They are opened as Maildirs are, one folder after the other and no
links.  The format is mbox: a line C{From }, a C{>} before such lines in the message, an empty
line at the end.  A message that can't be written whole leaves nothing behind.  Nothing but
the standard library here.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any

from umbcmail.lda import mailbox
from umbcmail.lda.frames import PIECE
from umbcmail.lda.mailbox import Unsafe, checkOwner, folderOf, trouble

PATIENCE = 10.0
"""Seconds to wait until another program lets go of the file."""
_FILE = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def deliver(person: dict[str, Any], order: dict[str, Any], data: bytes, file: int) -> dict[str, Any]:
    """One message.

    @param person: C{home}.
    @param order: as of L{mailbox.deliver}, but C{path} is a text: of a file, or, with a slash
        at its end, of a Maildir; and C{folders}: those that are permitted beside the home.
    @param data: octets that it begins with, after a line C{From } of C{line} octets.
    @param file: what follows, or -1.
    """
    place = _place(order["path"], (person["home"], *order["folders"]))
    if place is None:
        return {"result": "no-file", "why": f"{order['path'][:200]} is not in a folder that is permitted"}
    base, parts = place
    if order["path"].endswith("/"):
        body = order["body"] - order["line"]
        return mailbox.deliver({"home": base}, {**order, "path": parts, "body": body}, data[order["line"] :], file)
    try:
        folder = folderOf(base, parts[:-1], {**order, "create": False})
    except (Unsafe, OSError) as why:
        return trouble(why)
    try:
        return _delivered(folder, parts[-1], order["strict"], data, file)
    except (Unsafe, OSError) as why:
        return trouble(why)
    finally:
        os.close(folder)


def _place(path: str, bases: Sequence[str]) -> tuple[str, list[str]] | None:
    """The permitted folder that a file is below, and the names from there on."""
    for base in bases:
        top = base.rstrip("/") + "/"
        parts = path[len(top) :].rstrip("/").split("/")
        if path.startswith(top) and len(top) > 1 and not any(part in ("", ".", "..") for part in parts):
            return base, parts
    return None


def _delivered(folder: int, name: str, isStrict: bool, data: bytes, file: int) -> dict[str, Any]:
    box = os.open(name, _FILE, 0o600, dir_fd=folder)
    try:
        status = os.fstat(box)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise Unsafe(f"{name} is no file, or has another name too")
        if isStrict:
            checkOwner(status, name, (os.geteuid(),))
        if not _locked(box):
            return {"result": "trouble", "why": f"{name} is locked by another program"}
        before = os.fstat(box).st_size
        try:
            for piece in _quoted(_pieces(data, file)):
                view = memoryview(piece)
                while view:
                    view = view[os.write(box, view) :]
            os.fsync(box)
        except BaseException:
            os.ftruncate(box, before)
            raise
        return {"result": "delivered", "size": os.fstat(box).st_size - before}
    finally:
        os.close(box)


def _locked(box: int) -> bool:
    """Lock a file in both ways that programs have, and wait for others for a while."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.lockf(box, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(box, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > until:
                return False
        time.sleep(0.1)


def _pieces(data: bytes, file: int) -> Iterator[bytes]:
    yield data
    at = 0
    while file >= 0 and (piece := os.pread(file, PIECE, at)):
        at += len(piece)
        yield piece


def _quoted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The message as it stands in a mbox; it begins with its C{From } line."""
    rest = b""
    for piece in pieces:
        text = (rest + piece).replace(b"\nFrom ", b"\n>From ")
        rest = text[-len(b"\nFrom") - 1 :]  # what may go on in the next piece
        yield text[: len(text) - len(rest)]
    yield rest + (b"\n" if rest.endswith(b"\n") else b"\n\n")
