"""Whose turn it is to write: processes that share a database wait in a line.

SQLite alone would have them sleep and try again, longer each time, while one that
is busy takes the lock again at once: commits of the others were seen to wait for
half a second.  With a lock of the kernel, who waits is woken when the other is
done.  It goes with the process, however it ends; SQLite's own lock still decides.
"""

from __future__ import annotations

import fcntl
import os


class Turn:
    """The lock, for one writer.

    Waits without a limit: a process that has been stopped (SIGSTOP) amid a
    transaction stops the others until it goes on or is killed.

    @param path: a file that all processes share.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def open(self) -> None:
        """@raise OSError: the file can't be made."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """No more turns."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *why: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)
