"""Whether a file is another one than before: for all who read files again.  Values only."""

from __future__ import annotations

import os

Stamp = tuple[int, ...]


def stampOf(status: os.stat_result) -> Stamp:
    """What changes when a file is written or replaced."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stampAt(path: str) -> Stamp:
    """The stamp of the file at a path, or one for why there is none.  Blocks."""
    try:
        return stampOf(os.stat(path))
    except OSError as why:
        return -1, why.errno or 0
