"""Listens on a UNIX socket of its own mode and group, and tells whose the clients are.

Used by the agents, the local delivery agent and the multiplexer of filters.
"""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory

_CREDENTIALS = struct.Struct("3i")


def listenUNIX(
    reactor: Any, path: str, factory: IProtocolFactory, backlog: int, mode: int, group: int, key: str
) -> Any:
    """Bind it; what a process that has ended left there goes.

    @param group: gid, -1 for that of the process.
    @param key: what the configuration calls the path.
    @return: L{IListeningPort<twisted.internet.interfaces.IListeningPort>}.
    @raise CannotListenError: it can't be bound.
    """
    before = os.umask(0o177)  # so that nobody else gets there before it has its group
    try:
        if not getattr(reactor, "inherits", lambda path: False)(path):
            clear(path)
        port = reactor.listenUNIX(path, factory, backlog, mode)
        os.chown(path, -1, group)
        return port
    except OSError as why:
        raise CannotListenError(key, path, why) from None
    finally:
        os.umask(before)


def clear(path: str) -> None:
    """Take away the socket of a process that has ended.

    @raise OSError: it is none, or somebody answers there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(0, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(0, "somebody listens there already")


def peerOf(transport: Any) -> tuple[int, int]:
    """The process id and user id of who has connected by a UNIX socket."""
    told = transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return pid, uid


def userName(uid: int) -> str:
    """The name of a user, or its number where it has none.  Blocks.

    @raise OSError: the directory of users can't tell now.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
