"""The server's side of `forker`: starts the program, asks it for children, and starts it
again when it has ended."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

import umbcmail
from umbcmail.maillog import MailLog

PAUSE = 1.0
"""Seconds before it is started again."""
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from umbcmail.lda.forker import main; main()"


class Forker(ProcessProtocol):
    """The program while it runs."""

    def __init__(
        self,
        reactor: Any,
        log: MailLog,
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        started: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param within: a program that starts it, and the first of its arguments.
        @param environment: all that it has.
        @param started: called whenever it has been started.
        """
        self._within = within
        self._environment = environment or {}
        self._started = started
        self._reactor = reactor
        self._log = log
        self._control: socket.socket | None = None
        self._isStopped = False
        self._again: Any = None

    @property
    def condition(self) -> str:
        """C{""} when it runs."""
        return "" if self._control is not None else "no process can be made for users: local mail waits"

    def start(self) -> None:
        """Start it."""
        self._again = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        above = os.path.dirname(os.path.dirname(os.path.abspath(umbcmail.__file__)))
        argv = [*self._within, sys.executable, "-I", "-c", _PROGRAM, above]
        with theirs:
            fds = {0: theirs.fileno(), 1: "r", 2: "r"}
            self._reactor.spawnProcess(self, argv[0], argv, env=self._environment, path="/", childFDs=fds)
        self._control = ours
        self._started()

    def fork(self, person: Mapping[str, Any], link: int) -> None:
        """Ask for a child; see L{umbcmail.lda.children.Children}.

        @raise OSError: not now.
        """
        if self._control is None:
            raise OSError(0, "the program that makes them does not run")
        socket.send_fds(self._control, [json.dumps(person).encode()], [link])

    def stop(self) -> None:
        """End it; children that are there are not touched."""
        self._isStopped = True
        self._close()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See L{ProcessProtocol}: what it complains of."""
        for line in data.decode("utf-8", "replace").splitlines():
            self._log.trouble("-", "lda", line[:500])

    def processEnded(self, reason: Failure) -> None:
        """See L{ProcessProtocol}."""
        self._close()
        if not self._isStopped:
            self._log.trouble("-", "lda", f"the program that makes processes has ended: {reason.getErrorMessage()}")
            self._again = self._reactor.callLater(PAUSE, self.start)
