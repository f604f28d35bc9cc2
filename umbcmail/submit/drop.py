"""The folder where mail is left while the system does not run.  Blocks.

Everybody may make files in it and nobody but its owner, the user of the system, may list it: mode
3733, where the sticky bit keeps others from removing a file, and the setgid bit gives it the group
of the folder, which may read it.  A file is a line of JSON (the envelope, and size and digest of the
content) and the content.  Whose it is is told by its owner, not by what stands in it.  It is
complete when both are right; until then, whoever writes it holds a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import asdict

from umbcmail.address import AddressError, parseAddress
from umbcmail.submit.client import Order

VERSION = 1
LINE = 1 << 20
"""Octets that the first line may have."""
RECIPIENTS = 10_000
PIECE = 64 << 10
NAME = re.compile("[0-9a-f]{32}")
_NOTIFY = re.compile("(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})?")
_ENVID = re.compile("[!-~]{0,100}")


class Damaged(Exception):
    """A file is no drop; says why."""


class Unfinished(Exception):
    """Somebody is writing it, or has it."""


def leave(folder: str, order: Order, content: bytes) -> None:
    """Leave a message.  It is on stable storage when this returns.

    @raise OSError: it can't be left.
    """
    record = asdict(order) | {"version": VERSION, "digest": hashlib.sha256(content).hexdigest()}
    name = os.path.join(folder, os.urandom(16).hex())
    before = os.umask(0)
    try:
        # Not readable for its group before it is there: then nobody looks at it halfway.
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    finally:
        os.umask(before)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        _writeAll(file, json.dumps(record).encode() + b"\n" + content)
        os.fchmod(file, 0o640)
        os.fsync(file)
        _syncFolder(folder)
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(file)


def _writeAll(file: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.write(file, data[at:])


def _syncFolder(folder: str) -> None:
    """Make its names stable.  Who may not read it can't open it, and has to have
    everything written."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        os.sync()
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Drop:
    """A file of the folder, open and locked.

    @ivar uid: whose it is.
    @ivar order: what is to be sent.
    """

    def __init__(self, folder: int, name: str, limit: int) -> None:
        """
        @param folder: open.
        @param limit: octets that it may have.
        @raise Damaged: it is no drop.
        @raise Unfinished: not yet, or somebody else has it.
        @raise OSError: it can't be read.
        """
        self._file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            status = os.fstat(self._file)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise Damaged("it is no plain file with one name")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unfinished from None
            if os.fstat(self._file).st_nlink != 1:
                raise Unfinished  # another process has sent it meanwhile
            if status.st_size > limit:
                raise Damaged("it is too large")
            self.uid = status.st_uid
            self.order = self._read()
            if self.uid != os.geteuid():
                self.order.onBehalfOf = ""  # only we ourselves may say that
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _read(self) -> Order:
        """The first line, when what stands behind it is as it says."""
        line, newline, _ = os.pread(self._file, LINE, 0).partition(b"\n")
        if not newline:
            raise Damaged("it has no envelope")
        try:
            record = json.loads(line)
            order = _orderOf(record)
        except (ValueError, TypeError, KeyError, RecursionError) as why:
            raise Damaged(f"its envelope is not right: {type(why).__name__}") from None
        self._begin = len(line) + 1
        digest = hashlib.sha256()
        size = 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        if size != order.size or digest.hexdigest() != record["digest"]:
            raise Damaged("it is not complete")
        return order

    def pieces(self) -> Iterator[bytes]:
        """The content."""
        at = self._begin
        while piece := os.pread(self._file, PIECE, at):
            at += len(piece)
            yield piece

    def header(self, limit: int) -> bytes:
        """The beginning of the content."""
        return os.pread(self._file, limit, self._begin)


def _orderOf(record: dict[str, object]) -> Order:
    """@raise ValueError: something is not as L{leave} would have written it.
    @raise KeyError: something is missing."""
    sender, recipients, size = record["sender"], record["recipients"], record["size"]
    texts = [record[name] for name in ("notify", "ret", "envid", "onBehalfOf", "digest")]
    if record["version"] != VERSION or not all(isinstance(text, str) for text in texts):
        raise ValueError
    if not isinstance(sender, str) or not isinstance(size, int) or not isinstance(recipients, list):
        raise ValueError
    if not 0 < len(recipients) <= RECIPIENTS:
        raise ValueError
    notify, ret, envid, user, _ = map(str, texts)
    if not _NOTIFY.fullmatch(notify) or ret not in ("", "FULL", "HDRS") or not _ENVID.fullmatch(envid):
        raise ValueError
    try:
        checked = [parseAddress(recipient) for recipient in recipients]
        whom = parseAddress(sender) if sender else ""
        return Order(whom, checked, size, record["is8bit"] is True, notify, ret, envid, user)
    except AddressError:
        raise ValueError from None
