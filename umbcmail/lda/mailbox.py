"""Puts a message into the Maildir of the user who we are; called in a child.

Everything is opened below the home, one folder after the other: a symbolic link or
C{..} anywhere is refused, and so are homes and folders that others can write to.  A
message is complete and on stable storage before it shows.  Nothing but the standard
library here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from umbcmail.lda import duplicates
from umbcmail.lda.frames import PIECE
from umbcmail.lda.quota import Full, Quota
from umbcmail.mailfolder import FOLDER, MailFile, enter


class Unsafe(Exception):
    """Mail is not put there; says why."""


def deliver(person: dict[str, Any], order: dict[str, Any], data: bytes, file: int) -> dict[str, Any]:
    """One message.

    @param person: C{home}.
    @param order: C{path}: folders below the home, the last is the Maildir; C{create}:
        make them when they are missing; C{strict}: see L{checkOwner}; C{name}: of the
        file; C{quota}: see L{Quota}; C{refuse}: what does not fit is refused, not
        delayed; C{known} and C{body}: see L{duplicates.digest}, with none it is not
        asked; C{remember}: seconds for which it is known.
    @param data: octets that it begins with.  @param file: what follows, or -1.
    """
    try:
        maildir = folderOf(person["home"], order["path"], order)
    except (Unsafe, OSError) as why:
        return trouble(why)
    try:
        return _delivered(maildir, order, data, file)
    except Full as why:
        return {"result": "refused-full" if order["refuse"] or why.isForever else "full", "why": str(why)}
    except (Unsafe, OSError) as why:
        return trouble(why)
    finally:
        os.close(maildir)


def _delivered(maildir: int, order: dict[str, Any], data: bytes, file: int) -> dict[str, Any]:
    size = len(data) + (os.fstat(file).st_size if file >= 0 else 0)
    known = duplicates.digest(order["known"], data, file, order["body"]) if order["known"] else ""
    with duplicates.Seen(maildir, known, order["remember"]) as seen:
        if seen.isThere:
            return {"result": "duplicate"}
        quota = Quota(maildir, order["quota"])
        quota.check(size)
        written = _written(maildir, order, data, file)
        for add in (lambda: quota.add(written), seen.add):
            with suppress(OSError):  # it is delivered
                add()
    return {"result": "delivered", "size": written}


def _written(maildir: int, order: dict[str, Any], data: bytes, file: int) -> int:
    new = _own(enter("new", maildir, True), "new", order)
    try:
        tmp = _own(enter("tmp", maildir, True, beside="cur"), "tmp", order)
    except (OSError, Unsafe):
        os.close(new)
        raise
    copy = MailFile(tmp, new, order["name"])
    try:
        copy.write(data)
        at = 0
        while file >= 0:
            piece = os.pread(file, PIECE, at)
            if not piece:
                break
            at += len(piece)
            copy.write(piece)
        copy.finish()
    finally:
        copy.close()
    return copy.size


def folderOf(home: str, parts: Sequence[str], order: dict[str, Any]) -> int:
    """A folder below the home.

    @param parts: its name and those of the folders above it; with none it is the home itself.
    @param order: C{create} and C{strict} of L{deliver}.
    @raise Unsafe: see the module.  @raise OSError: it is not there, or not now.
    """
    here = os.open(home, FOLDER)
    try:
        if order["strict"]:
            checkOwner(os.fstat(here), "the home", (os.geteuid(), 0))
        for part in parts:
            if part in ("", ".", "..") or "/" in part:
                raise Unsafe(f"{part!r} can't be a folder")
            below = _own(enter(part, here, order["create"]), part, order)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def _own(folder: int, name: str, order: dict[str, Any]) -> int:
    """A folder that has been opened, or it is closed again."""
    try:
        if order["strict"]:
            checkOwner(os.fstat(folder), name, (os.geteuid(),))
    except Unsafe:
        os.close(folder)
        raise
    return folder


def checkOwner(status: os.stat_result, name: str, owners: tuple[int, ...]) -> None:
    """A folder must belong to one of some, and be written by nobody else.

    @raise Unsafe: it does not, or may be."""
    if status.st_uid not in owners:
        raise Unsafe(f"{name} belongs to uid {status.st_uid}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unsafe(f"{name} can be written by others")


def trouble(why: Unsafe | OSError) -> dict[str, Any]:
    """What came of it: always "later"."""
    if isinstance(why, Unsafe):
        return {"result": "unsafe", "why": str(why)}
    if why.errno == errno.EDQUOT:
        return {"result": "full", "why": str(why)}
    if why.errno in (errno.ELOOP, errno.ENOTDIR):
        return {"result": "unsafe", "why": f"a symbolic link, or no folder: {why}"}
    return {"result": "no-storage" if why.errno == errno.ENOSPC else "trouble", "why": str(why)}
