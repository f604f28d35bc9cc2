"""What is said between the server and the children: an order with the octets of a
message, and a line back.  Nothing but the standard library here.

An order is JSON; behind it stand octets: the fields on top and, when the message is
small, all of it.  A larger one comes as a file that can only be read, passed along with
the first octet.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

HEADER = struct.Struct(">II")
"""Octets of the order, and of the data behind it."""
ORDER_LIMIT = 1 << 20
DATA_LIMIT = 64 << 20
PIECE = 256 * 1024


class FrameError(Exception):
    """What came is no order, or ends in the middle."""


def pack(order: dict[str, Any], data: bytes) -> bytes:
    """An order as it is sent."""
    text = json.dumps(order).encode()
    return b"".join((HEADER.pack(len(text), len(data)), text, data))


def receiveFiles(link: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Octets, and descriptors that came with them, which no program that is started inherits
    (C{socket.recv_fds} of Python 3.11 does not pass the flag for that).  Blocks."""
    data, ancillary, _, _ = link.recvmsg(size, socket.CMSG_SPACE(struct.calcsize("i")), socket.MSG_CMSG_CLOEXEC)
    found = []
    for level, kind, packed in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found += [fd for (fd,) in struct.iter_unpack("i", packed[: len(packed) // 4 * 4])]
    return data, found


def receive(link: socket.socket) -> tuple[dict[str, Any], bytes, int] | None:
    """The next order.  Blocks.

    @return: order, data, and descriptor of the file or -1; L{None} at the end.
    @raise FrameError: see the class.
    """
    head, file = b"", -1
    while len(head) < HEADER.size:
        got, fds = receiveFiles(link, HEADER.size - len(head))
        for fd in fds:
            if file >= 0:
                os.close(file)
            file = fd
        if not got:
            if head:
                raise FrameError("it ends in an order")
            return None
        head += got
    length, size = HEADER.unpack(head)
    if length > ORDER_LIMIT or size > DATA_LIMIT:
        raise FrameError("an order is too long")
    whole = _exactly(link, length + size)
    return json.loads(whole[:length]), whole[length:], file


def _exactly(link: socket.socket, size: int) -> bytes:
    pieces = []
    while size:
        got = link.recv(size, socket.MSG_WAITALL)
        if not got:
            raise FrameError("it ends in an order")
        pieces.append(got)
        size -= len(got)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def answer(link: socket.socket, what: dict[str, Any]) -> None:
    """Say what came of an order.  Blocks."""
    link.sendall(json.dumps(what).encode() + b"\n")
