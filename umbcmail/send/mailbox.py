"""Writes messages into Maildirs, durably; blocking, so it runs in a thread.

The courier C{maildir} makes a L{Batch} of one message for several mailboxes.
Folders are opened one below the other without following symbolic links, so that
the owner of a mailbox can't lead us out of it.  A message is complete and on
stable storage before it shows in C{new/}; when anything goes wrong nothing of it
is left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.reply import Reply
from umbcmail.send.mailboxpath import MailboxPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NoMailbox(Exception):
    """The user has no mailbox, and none shall be made."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mailbox that gets the message.

    @ivar path: where it is.
    @ivar top: header fields for this one, ready to be written.
    @ivar name: name of the file, without the size.
    """

    path: MailboxPath
    top: bytes
    name: str


def openMailbox(path: MailboxPath, create: bool) -> tuple[int, int]:
    """Open C{tmp} and C{new} of a mailbox, which are made when missing.

    @param create: make the folders above them too, but for the base.
    @return: two descriptors.
    @raise NoMailbox: the user's folder does not exist beside those of others.
    @raise OSError: all else, a missing or empty base too: perhaps it is not mounted.
    """
    here = os.open(path.base, _FOLDER)
    try:
        for at, part in enumerate(path.below):
            try:
                below = _entered(part, here, create)
            except FileNotFoundError:
                if at == path.user and not create and os.listdir(here):
                    raise NoMailbox from None
                raise
            os.close(here)
            here = below
        new = _entered("new", here, True)
        try:
            return _entered("tmp", here, True, beside="cur"), new
        except OSError:
            os.close(new)
            raise
    finally:
        os.close(here)


def _entered(part: str, above: int, create: bool, beside: str = "") -> int:
    """Open a folder in a folder.

    @param beside: another one that is made when this one is.
    """
    try:
        return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        if not create:
            raise
    for name in (beside, part) if beside else (part,):
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
    os.fsync(above)
    return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)


class _Copy:
    """The file of one mailbox, from its beginning to C{new/}."""

    def __init__(self, letter: Letter, create: bool) -> None:
        self._name = letter.name
        self._size = 0
        self._file = -1
        self._where = ""
        self._tmp, self._new = openMailbox(letter.path, create)
        try:
            self._file = os.open(self._name, _NEW_FILE, 0o600, dir_fd=self._tmp)
            self._where = "tmp"
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Add octets."""
        self._size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def finish(self) -> None:
        """Make it stable, then visible, then that stable too."""
        os.fsync(self._file)
        name = f"{self._name},S={self._size}"
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


def troubleReply(why: OSError) -> Reply:
    """What the sender is told: always "later"."""
    if why.errno == errno.EDQUOT:
        return reply.MAILBOX_FULL
    return reply.NO_STORAGE if why.errno == errno.ENOSPC else reply.MAILBOX_TROUBLE


class Batch:
    """One message on its way into some mailboxes.

    C{begin}, C{write} as often as needed, then C{finish}, or C{abort}; each in a
    thread, one at a time.

    @ivar problems: for each letter what has gone wrong, or L{None}.
    """

    def __init__(self, letters: Sequence[Letter], create: bool) -> None:
        self.problems: list[Failure | None] = [None] * len(letters)
        self._letters = letters
        self._create = create
        self._copies: list[_Copy | None] = [None] * len(letters)

    def whole(self, body: bytes) -> list[Failure | None]:
        """All steps for a message in memory.  @return: L{problems}"""
        for at, letter in enumerate(self._letters):
            try:
                self._copies[at] = copy = _Copy(letter, self._create)
                copy.write(letter.top + body)
                copy.finish()
            except Exception:
                self.problems[at] = Failure()
            self._drop(at)
        return self.problems

    def begin(self) -> None:
        """Open the files."""
        for at, letter in enumerate(self._letters):
            try:
                self._copies[at] = copy = _Copy(letter, self._create)
                copy.write(letter.top)
            except Exception:
                self._failed(at)

    def write(self, data: bytes) -> None:
        """Add octets to all that are still good."""
        for at, copy in enumerate(self._copies):
            try:
                if copy is not None:
                    copy.write(data)
            except Exception:
                self._failed(at)

    def finish(self) -> list[Failure | None]:
        """Bring them to their ends.  @return: L{problems}"""
        for at, copy in enumerate(self._copies):
            try:
                if copy is not None:
                    copy.finish()
            except Exception:
                self._failed(at)
            self._drop(at)
        return self.problems

    def abort(self) -> None:
        """Leave nothing."""
        for at in range(len(self._copies)):
            self._drop(at)

    def _failed(self, at: int) -> None:
        self.problems[at] = Failure()
        self._drop(at)

    def _drop(self, at: int) -> None:
        copy, self._copies[at] = self._copies[at], None
        if copy is not None:
            copy.close()
