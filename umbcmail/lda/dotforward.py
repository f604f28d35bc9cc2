"""Reads the C{.forward} of the user who we are; called in a child.

Nothing in it is looked at here: the mail system reads it, without privileges.  A file that
somebody else could have written is not handed on, nor is a link.  Nothing but the standard
library here.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from umbcmail.lda.mailbox import Unsafe, checkOwner, folderOf, trouble

SIZE_LIMIT = 8192
"""Octets that a file may have."""
_DETAIL = re.compile("[A-Za-z0-9_=][A-Za-z0-9_.=-]{0,63}")
"""Details that can be part of a file's name."""
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read(person: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    """The user's file: C{.forward+detail} where there is one, else C{.forward}.

    @param person: C{home}.
    @param order: C{detail}, C{delimiter}; C{strict}: see L{checkOwner}.
    @return: C{result} is C{forward} with C{text}, or C{none}; or why that can't be told.
    """
    detail, names = order["detail"], [".forward"]
    if detail and order["delimiter"] and _DETAIL.fullmatch(detail):
        names.insert(0, f".forward{order['delimiter']}{detail}")
    try:
        home = folderOf(person["home"], (), order)
    except (Unsafe, OSError) as why:
        return trouble(why)
    try:
        for name in names:
            text = _text(home, name, order["strict"])
            if text is not None:
                return {"result": "forward", "text": text}
    except (Unsafe, OSError) as why:
        return trouble(why)
    finally:
        os.close(home)
    return {"result": "none"}


def _text(home: int, name: str, isStrict: bool) -> str | None:
    """
    @return: L{None}: it is not there.
    @raise Unsafe: it is not to be trusted.  @raise OSError: it can't be read now.
    """
    try:
        file = os.open(name, _FILE, dir_fd=home)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Unsafe(f"{name} is no file")
        if isStrict:
            checkOwner(status, name, (os.geteuid(), 0))
        if status.st_size > SIZE_LIMIT:
            raise Unsafe(f"{name} is longer than {SIZE_LIMIT} octets")
        data = os.read(file, SIZE_LIMIT + 1)
    finally:
        os.close(file)
    try:
        return data[:SIZE_LIMIT].decode()
    except UnicodeDecodeError:
        raise Unsafe(f"{name} is not UTF-8") from None
