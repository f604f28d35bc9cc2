"""Which messages a Maildir has got lately, so that none comes twice.

A file in the Maildir has a line for each: time and digest.  It is locked from the
question until the message is delivered and written down, so that two deliveries at the
same time are seen too.  A message is known by its Message-ID, its envelope, and what
stands below the header, in which each host on the way has left a field of its own.
Nothing but the standard library here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Sequence
from types import TracebackType

from umbcmail.lda.frames import PIECE

NAME = "umbcmail-duplicates"
LONGEST = 256 * 1024
"""Octets of the file over which old lines are thrown away."""


def digest(parts: Sequence[str], data: bytes, file: int, body: int) -> str:
    """What a message is known by.

    @param parts: Message-ID and envelope.
    @param data: octets that it begins with.  @param file: what follows, or -1.
    @param body: where its body begins.
    """
    made = hashlib.sha256()
    for text in parts:
        part = text.encode("utf-8", "replace")
        made.update(b"%d:%b" % (len(part), part))
    made.update(memoryview(data)[body:])
    at = max(0, body - len(data))
    while file >= 0 and (piece := os.pread(file, PIECE, at)):
        made.update(piece)
        at += len(piece)
    return made.hexdigest()


class Seen:
    """Whether a message has been there; a context manager."""

    def __init__(self, maildir: int, digest: str, remember: float) -> None:
        """
        @param digest: what the message is known by, hexadecimal; C{""}: it is not asked.
        @param remember: seconds.
        """
        self.isThere = False
        self._digest = digest.encode()
        self._remember = remember
        self._maildir = maildir
        self._file = -1

    def __enter__(self) -> Seen:
        """Lock the file and look.  @raise OSError: it can't be had."""
        if self._digest:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(NAME, flags, 0o600, dir_fd=self._maildir)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                self.isThere = self._isThere()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, where: TracebackType | None
    ) -> None:
        """Unlock it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _isThere(self) -> bool:
        oldest = time.time() - self._remember
        size = os.fstat(self._file).st_size
        lines = os.pread(self._file, min(size, 2 * LONGEST), max(0, size - 2 * LONGEST)).split(b"\n")
        fresh = [line for line in lines if len(line) > 11 and _seconds(line) > oldest]
        if size > LONGEST:
            kept = b"".join(line + b"\n" for line in fresh)[-LONGEST // 2 :]
            os.ftruncate(self._file, 0)
            os.write(self._file, kept)
        return any(line[11:] == self._digest for line in fresh)

    def add(self) -> None:
        """It has been delivered."""
        if self._file >= 0:
            os.write(self._file, b"%010d %b\n" % (int(time.time()), self._digest))


def _seconds(line: bytes) -> int:
    return int(line[:10]) if line[:10].isdigit() else 0
