"""Writes octets to a transport, straight to the socket where that is safe.

C{transport.write} only buffers: the reactor then asks the kernel to tell when
the socket can be written to, writes, and takes the question back, which is two
system calls more than a short command is worth.  So, on plain TCP and while the
transport holds nothing, octets are given to the socket itself; what it does not
take goes by the transport as ever, and so does all that follows until the
transport, asked as its pull producer, says that it is empty again.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import Any

from twisted.internet.interfaces import IPullProducer, ISystemHandle
from zope.interface import implementer


@implementer(IPullProducer)
class Wire:
    """The writing side of one connection.

    @param transport: any; only those whose system handle is a socket are written
        to directly.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._socket: Callable[[Any], int] | None = None
        if ISystemHandle.providedBy(transport):
            # Under TLS the handle is a connection of OpenSSL's, not a socket.
            handle: Any = transport.getHandle()
            if isinstance(handle, socket):
                self._socket = handle.send
        self._direct: Callable[[Any], int] | None = self._socket
        self._waiting = False
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Send octets."""
        if self._direct is None:
            self._transport.write(data)
            return
        try:
            taken = self._direct(data)
        except OSError:  # full, or lost: the transport finds out which
            taken = 0
        if taken < len(data):
            self._direct = None
            self._rest = data[taken:]
            self._waiting = True
            self._transport.registerProducer(self, False)

    def buffered(self) -> Any:
        """The transport, for somebody who wants to register a producer of his own,
        or to start TLS; from now on everything goes by its buffer."""
        self._direct = self._socket = None
        if self._waiting:
            self._waiting = False
            self._transport.unregisterProducer()
        return self._transport

    def resumeProducing(self) -> None:
        """See L{IPullProducer}: at once when registered, then when all is sent."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._transport.write(rest)
        else:
            self._waiting = False
            self._transport.unregisterProducer()
            self._direct = self._socket

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._direct = self._socket = None
        self._waiting = False
