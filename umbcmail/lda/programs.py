"""Which programs a user may name in C{|command}: those of one folder, as sendmail's
restricted shell smrsh has it, and no shell at all.  Pure but for a look at the folder.

A line is refused when it has a character that means anything to a shell.  The folder
that the user has written before the program's name does not count.  Nothing but the
standard library here.
"""

from __future__ import annotations

import os
import re
import stat

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./ -]+")
LONGEST = 1000


class Forbidden(Exception):
    """It is not run; says why."""


def argvOf(line: str, folder: str) -> list[str]:
    """The program and its arguments.

    @param line: what stands behind the C{|}.
    @param folder: where the programs are.
    @raise Forbidden: it must not be run.
    @raise OSError: the folder can't be looked at.
    """
    if len(line) > LONGEST or not _PLAIN.fullmatch(line):
        raise Forbidden("only letters, digits and _@%+=:,./- may stand in a command")
    words = line.split(" ")
    words = [word for word in words if word]
    name = words[0].rpartition("/")[2] if words else ""
    if name in ("", ".", "..") or name.startswith("-"):
        raise Forbidden("no program is named")
    mode = os.stat(folder)
    if not stat.S_ISDIR(mode.st_mode) or mode.st_uid != 0 or mode.st_mode & 0o022:
        raise Forbidden(f"{folder} is no folder that only root can write")
    path = f"{folder}/{name}"
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise Forbidden(f"{name} is not among the programs in {folder}")
    return [path, *words[1:]]
