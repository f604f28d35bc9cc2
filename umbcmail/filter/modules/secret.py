"""Secrets that all mail hosts of ours share, in files.

A file is of no use where others than its owner can read or write it.  It may have any
octets; a line end at its end does not count, since editors add one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field

LEAST = 32
"""Octets of a secret."""
MOST = 4096


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret.

    @ivar key: what seals are made with.
    @ivar name: what tells it from others, and says nothing of it.
    """

    key: bytes = field(repr=False)
    name: str


def read(path: str) -> Secret:
    """The secret of a file.  Blocks.

    @raise ValueError: it can't be used.
    @raise OSError: it can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no file")
        if status.st_mode & 0o077:
            raise ValueError(f"{path} is open to others: it must have mode 0600, and has {status.st_mode & 0o777:04o}")
        if status.st_uid not in (0, os.geteuid()):
            raise ValueError(f"{path} belongs to somebody else")
        octets = os.read(fd, MOST + 1).rstrip(b"\r\n")
    finally:
        os.close(fd)
    if not LEAST <= len(octets) <= MOST:
        raise ValueError(f"{path} must have {LEAST} to {MOST} octets, and has {len(octets)}")
    key = hashlib.sha256(b"umbcmail seal\0" + octets).digest()
    return Secret(key, hashlib.sha256(b"name\0" + key).hexdigest()[:8])


def new(path: str, oldPath: str = "") -> str:
    """Make a new secret; the one that was there becomes the old one.  Blocks.

    @param oldPath: file of the old one; C{""}: nothing may be there yet.
    @return: the name of the new one.
    @raise OSError: it can't be done; then all is as before.
    """
    if not oldPath and os.path.lexists(path):
        raise FileExistsError(0, f"{path} is there already, and there is no place for an old one")
    fresh = f"{path}.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if os.path.lexists(path):
            # A service runs as the owner of the file, who may not be the one that makes it.
            before = os.stat(path)
            os.chown(fresh, before.st_uid, before.st_gid)
            os.replace(path, oldPath)
        os.replace(fresh, path)
    except BaseException:
        if os.path.lexists(fresh):
            os.unlink(fresh)
        raise
    return read(path).name
