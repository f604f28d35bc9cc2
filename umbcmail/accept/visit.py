"""A connection of a program of this host, until it is known whose the program is.

Made by `factory` for UNIX sockets.  The kernel tells the user's number (SO_PEERCRED), the
directory of users its name, which may take time and so is asked in a thread.  Then the
session takes its place at the transport, with that name as its login.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.maillog import MailLog
from umbcmail.unixsocket import peerOf

OURS = os.geteuid()
"""The user that we run as: what connects for it may be a part of us."""


class Visit(Protocol):
    """Waits for the name.

    @ivar uid: the user's number.
    """

    transport: Any

    def __init__(
        self,
        userName: Callable[[int], Deferred[str]],
        admit: Callable[[Visit, str], Protocol],
        ended: Callable[[Visit], None],
        log: MailLog,
    ) -> None:
        """
        @param admit: makes the protocol that goes on, when the name is known; the visit
            counts no more.
        @param ended: called instead of C{admit} when it goes before.
        """
        self.uid = -1
        self._userName = userName
        self._admit = admit
        self._ended = ended
        self._log = log
        self._isOver = False

    def connectionMade(self) -> None:
        """Ask.  What the client says meanwhile waits in its socket."""
        self.transport.pauseProducing()
        _, self.uid = peerOf(self.transport)
        self._userName(self.uid).addCallbacks(self._known, self._unknown)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone."""
        if not self._isOver:
            self._isOver = True
            self._ended(self)

    def _known(self, name: str) -> None:
        if self._isOver:
            return
        self._isOver = True
        transport = self.transport
        protocol = self._admit(self, name)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        transport.resumeProducing()

    def _unknown(self, failure: Failure) -> None:
        self._log.trouble("-", "users", f"no name for user {self.uid}: {failure.getErrorMessage()}")
        if not self._isOver:
            self._isOver = True
            self._ended(self)
            self.transport.write(reply.LOCAL_ERROR.wire)
            self.transport.loseConnection()

    def cut(self) -> None:
        """The service is being stopped."""
        if not self._isOver:
            self._isOver = True
            self._ended(self)
            self.transport.abortConnection()
