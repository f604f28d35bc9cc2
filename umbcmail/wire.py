"""Writes octets to a transport, straight to the socket where that is safe.

C{transport.write} only buffers: the reactor then asks the kernel to tell when
the socket can be written to, writes, and takes the question back, which is two
system calls more than a short command is worth.  So, on plain TCP and while the
transport holds nothing, octets are given to the socket itself; what it does not
take goes by the transport as ever, and so does all that follows until the
transport, asked as its pull producer, says that it is empty again.

Who must not say more than the peer takes looks at C{isFull} before it goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer, ISystemHandle
from zope.interface import implementer


@implementer(IPullProducer, IPushProducer)
class Wire:
    """The writing side of one connection.

    @ivar isFull: the peer has not taken yet what it was sent.
    @param transport: any; only those whose system handle is a socket are written
        to directly.
    @param emptied: called when it is not full any more.
    """

    def __init__(self, transport: Any, emptied: Callable[[], None] = lambda: None) -> None:
        self.isFull = False
        self._transport = transport
        self._emptied = emptied
        self._watching = False
        self._socket: Callable[[Any], int] | None = None
        if ISystemHandle.providedBy(transport):
            # Under TLS the handle is a connection of OpenSSL's, not a socket.
            handle: Any = transport.getHandle()
            if isinstance(handle, socket):
                self._socket = handle.send
        self._direct: Callable[[Any], int] | None = self._socket
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
            self.isFull = True
            self._transport.registerProducer(self, False)

    def buffered(self) -> Any:
        """The transport, for somebody who wants to register a producer of his own,
        or to start TLS; from now on everything goes by its buffer."""
        self._direct = self._socket = None
        if self._watching or self.isFull:
            self._watching = self.isFull = False
            self._transport.unregisterProducer()
        return self._transport

    def watch(self) -> None:
        """Have C{isFull} say the truth of a transport with a buffer of its own, such
        as TLS; L{buffered} ends it, without which the connection can't be closed."""
        self._watching = True
        self._transport.registerProducer(self, True)

    def resumeProducing(self) -> None:
        """See L{IPullProducer}: at once when registered, then when all is sent; of a
        transport that is watched, when it can take more."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._transport.write(rest)
            return
        self.isFull = False
        if not self._watching:
            self._transport.unregisterProducer()
            self._direct = self._socket
        self._emptied()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}: of a transport that is watched."""
        self.isFull = True

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._direct = self._socket = None
        self._watching = self.isFull = False
