"""Writes messages into Maildirs, durably; blocking, so it runs in a thread.

The courier C{maildir} makes a L{Batch} of one message for several mailboxes.
When anything goes wrong nothing of it is left.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.mailfolder import FOLDER, MailFile, enter
from umbcmail.reply import Reply
from umbcmail.send.mailboxpath import MailboxPath


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
    here = os.open(path.base, FOLDER)
    try:
        for at, part in enumerate(path.below):
            try:
                below = enter(part, here, create)
            except FileNotFoundError:
                if at == path.user and not create and os.listdir(here):
                    raise NoMailbox from None
                raise
            os.close(here)
            here = below
        new = enter("new", here, True)
        try:
            return enter("tmp", here, True, beside="cur"), new
        except OSError:
            os.close(new)
            raise
    finally:
        os.close(here)


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
        self._copies: list[MailFile | None] = [None] * len(letters)

    def _opened(self, letter: Letter) -> MailFile:
        tmp, new = openMailbox(letter.path, self._create)
        return MailFile(tmp, new, letter.name)

    def whole(self, body: bytes) -> list[Failure | None]:
        """All steps for a message in memory.  @return: L{problems}"""
        for at, letter in enumerate(self._letters):
            try:
                self._copies[at] = copy = self._opened(letter)
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
                self._copies[at] = copy = self._opened(letter)
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
