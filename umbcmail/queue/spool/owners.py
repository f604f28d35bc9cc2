"""Who is alive: a locked file for each process that uses a spool.

The lock goes with the process, however it ends.  A process makes and locks its
file before its first claim, and who finds it unlocked, or not there, may free
what that owner had claimed.  Nobody is taken for dead while being born: a file is
valid only if it is still the one under its name when it has been locked, and who
buries an owner holds that owner's lock from beginning to end.
"""

from __future__ import annotations

import fcntl
import os
import time

from umbcmail.entry import SpoolError

PATIENCE = 5.0
"""Seconds to wait for one who is just looking whether we are dead."""


class OwnerLock:
    """The lock of one owner.

    @param folder: where the files are.
    @param owner: whose.
    """

    def __init__(self, folder: str, owner: str) -> None:
        self.owner = owner
        self._path = os.path.join(folder, owner)
        self._fd = -1

    def take(self) -> bool:
        """Lock the file, which is made if need be; does not wait.

        @return: False if a living process has it.
        @raise OSError: the file can't be made.
        """
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._isThere(fd):
                    self._fd = fd
                    return True
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # it was removed between open and lock: make a new one

    def _isThere(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(fd))
        except FileNotFoundError:
            return False

    def takeSoon(self) -> None:
        """As L{take}, in a thread: waits for a while.

        @raise SpoolError: a living process has it.
        """
        deadline = time.monotonic() + PATIENCE
        while not self.take():
            if time.monotonic() > deadline:
                raise SpoolError(f"another living process uses the spool as {self.owner}")
            time.sleep(0.05)

    def bury(self) -> None:
        """Remove the file while it is locked, then unlock it."""
        if self._fd >= 0:
            try:
                os.unlink(self._path)
            finally:
                self.letGo()

    def letGo(self) -> None:
        """Unlock it and leave the file, as the end of a process does."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
