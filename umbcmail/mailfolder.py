"""Files of messages in Maildirs (maildir(5)), complete and on stable storage before
they show; blocking.

Folders are opened one below the other without following symbolic links, so that
the owner of a mailbox can't lead us out of it.  Used by the courier C{maildir}, and by
the role C{lda} in processes of the users: nothing but the standard library here.
"""

from __future__ import annotations

import os
from contextlib import suppress

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""How folders are opened."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def enter(part: str, above: int, create: bool, beside: str = "") -> int:
    """Open a folder in a folder; no link.

    @param create: make it when it is missing.
    @param beside: another one that is made when this one is.
    @raise OSError: it can't be opened.
    """
    try:
        return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not create:
            raise
    for name in (beside, part) if beside else (part,):
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
    os.fsync(above)
    return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=above)


class MailFile:
    """The file of one message, from its beginning in C{tmp/} to C{new/}.

    @ivar size: octets so far.
    """

    def __init__(self, tmp: int, new: int, name: str) -> None:
        """
        @param tmp: descriptor of the folder; closed with this, as C{new} is.
        @param name: of the file, without the size.
        @raise OSError: it can't be made; both are closed.
        """
        self.size = 0
        self._name = name
        self._tmp, self._new = tmp, new
        self._file = -1
        self._where = ""
        try:
            self._file = os.open(name, _NEW_FILE, 0o600, dir_fd=tmp)
            self._where = "tmp"
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Add octets."""
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def finish(self) -> None:
        """Make it stable, then visible, then that stable too."""
        os.fsync(self._file)
        name = f"{self._name},S={self.size}"
        os.rename(self._name, name, src_dir_fd=self._tmp, dst_dir_fd=self._new)
        self._name, self._where = name, "new"
        os.fsync(self._new)
        self._where = ""

    def close(self) -> None:
        """Close all, and remove the file unless it has been finished."""
        with suppress(OSError):
            if self._where:
                os.unlink(self._name, dir_fd=self._tmp if self._where == "tmp" else self._new)
        for fd in (self._file, self._tmp, self._new):
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)
        self._file = self._tmp = self._new = -1
        self._where = ""
