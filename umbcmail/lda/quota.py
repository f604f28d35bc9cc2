"""The quota of a Maildir by the rules of Maildir++: the file C{maildirsize} has the
quota in its first line, and below it what has been added, message by message.

Programs that read mail take away there what they remove.  When the sum is over the
quota, or the file has grown long, all is counted anew.  Nothing but the standard library
here.
"""

from __future__ import annotations

import os
import re
import time

NAME = "maildirsize"
LONGEST = 5120
"""Octets of the file over which it is made anew."""
PATIENCE = 900
"""Seconds for which a sum over the quota is believed."""
_SIZE = re.compile(r",S=([0-9]+)")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Full(Exception):
    """The message does not fit.

    @ivar isForever: not even into an empty mailbox.
    """

    def __init__(self, why: str, isForever: bool = False) -> None:
        super().__init__(why)
        self.isForever = isForever


def parse(text: str) -> tuple[int, int]:
    """A quota such as C{10000000S,1000C}: octets and messages, 0 for any.

    @raise ValueError: it is none.
    """
    found = {"S": 0, "C": 0}
    for part in text.split(",") if text else ():
        if not re.fullmatch("[0-9]{1,15}[SC]", part):
            raise ValueError("a quota such as 10000000S,1000C is needed: octets S, messages C")
        found[part[-1]] = int(part[:-1])
    return found["S"], found["C"]


class Quota:
    """The quota of one Maildir, for one message."""

    def __init__(self, maildir: int, wanted: str) -> None:
        """
        @param wanted: the quota; C{""}: what the file says, if there is one.
        """
        self._maildir = maildir
        self._wanted = wanted
        self._text = wanted
        self._isThere = False

    def check(self, size: int) -> None:
        """Whether a message fits.

        @raise Full: it does not.  @raise OSError: it can't be told.
        """
        lines, age = self._read()
        if not self._text and not lines:
            return
        isRight = bool(lines) and (not self._wanted or lines[0] == self._wanted)
        self._text = self._text or lines[0]
        try:
            octets, messages = parse(self._text)
        except ValueError:
            return  # somebody else's, in a form that is not known
        if not octets and not messages:
            return
        if octets and size > octets:
            raise Full(f"{size} octets are more than the quota {self._text}", True)
        used, count = _sum(lines[1:]) if isRight else self._counted()
        if _isOver(used + size, count + 1, octets, messages) and isRight and (age > PATIENCE or len(lines) > 2):
            used, count = self._counted()
        self._isThere = True
        if _isOver(used + size, count + 1, octets, messages):
            raise Full(f"{used} octets in {count} messages of {self._text}")

    def add(self, size: int) -> None:
        """A message has been delivered."""
        if self._isThere:
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(NAME, flags, dir_fd=self._maildir)
            try:
                os.write(file, b"%d 1\n" % size)
            finally:
                os.close(file)

    def _read(self) -> tuple[list[str], float]:
        """The lines of the file, and its age; none when it must be made anew."""
        try:
            file = os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._maildir)
        except FileNotFoundError:
            return [], 0
        try:
            data = os.read(file, LONGEST + 1)
            lines = data.decode("ascii", "replace").splitlines()
            if len(data) > LONGEST:
                self._text = self._text or lines[0]
                lines = []
            return lines, time.time() - os.fstat(file).st_mtime
        finally:
            os.close(file)

    def _counted(self) -> tuple[int, int]:
        """Count all messages, and write the file anew."""
        folders = [self._maildir]
        try:
            for name in os.listdir(self._maildir):
                if name.startswith(".") and name not in (".", "..", ".Trash"):
                    try:
                        folders.append(os.open(name, _FOLDER, dir_fd=self._maildir))
                    except OSError:
                        continue  # no folder
            found = [_inFolder(folder, part) for folder in folders for part in ("new", "cur")]
        finally:
            for folder in folders[1:]:
                os.close(folder)
        used, count = sum(octets for octets, _ in found), sum(messages for _, messages in found)
        self._write(f"{self._text}\n{used} {count}\n".encode())
        return used, count

    def _write(self, data: bytes) -> None:
        name = f"{NAME}.{os.getpid()}"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=self._maildir)
        try:
            os.write(file, data)
        finally:
            os.close(file)
        os.rename(name, NAME, src_dir_fd=self._maildir, dst_dir_fd=self._maildir)


def _isOver(used: int, count: int, octets: int, messages: int) -> bool:
    return bool((octets and used > octets) or (messages and count > messages))


def _sum(lines: list[str]) -> tuple[int, int]:
    used = count = 0
    for line in lines:
        found = re.fullmatch(r" *(-?[0-9]{1,15}) +(-?[0-9]{1,15}) *", line)
        if found:
            used += int(found[1])
            count += int(found[2])
    return used, count


def _inFolder(folder: int, part: str) -> tuple[int, int]:
    """Octets and messages, without those that are marked as removed."""
    try:
        here = os.open(part, _FOLDER, dir_fd=folder)
    except OSError:
        return 0, 0
    used = count = 0
    try:
        for name in os.listdir(here):
            base, _, flags = name.partition(":2,")
            if "T" in flags or name.startswith("."):
                continue
            told = _SIZE.search(base)
            try:
                used += int(told[1]) if told else os.stat(name, dir_fd=here, follow_symlinks=False).st_size
            except OSError:
                continue  # it has been moved just now
            count += 1
    finally:
        os.close(here)
    return used, count
