"""Tells who has started the program how it is: systemd, by its protocol of notifications
(sd_notify(3)), and others by a file with the process id.  Part of the composition: called by `tap`.

Without C{NOTIFY_SOCKET} and C{UMBCMAIL_PIDFILE} in the environment nothing is told.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Any

from twisted.application.internet import TimerService

PIDFILE = "UMBCMAIL_PIDFILE"
PATIENCE = 2.0
"""Seconds that systemd is waited for."""


class Supervision:
    """What is told.

    @ivar interval: seconds between signs of life, 0: none are wanted.
    """

    def __init__(self, environ: MutableMapping[str, str], reactor: Any) -> None:
        """
        @param environ: the variables for us are taken out of it, so that no other process takes
            them for its own.
        """
        self._place = environ.pop("NOTIFY_SOCKET", "")
        self._pidfile = environ.get(PIDFILE, "")
        forUs = environ.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        microseconds = environ.pop("WATCHDOG_USEC", "")
        self.interval = int(microseconds) / 2e6 if forUs and microseconds.isdigit() else 0.0
        self._kept = {"NOTIFY_SOCKET": self._place, "WATCHDOG_USEC": microseconds}
        self._dog: TimerService | None = None
        self._reactor = reactor

    def forSuccessor(self) -> dict[str, str]:
        """Variables for a process that takes our place."""
        return {name: value for name, value in self._kept.items() if value}

    def ready(self) -> None:
        """All has been started.  From now on each sign of life comes out of the event loop, so a
        loop that stands still gives none.

        @raise OSError: the file can't be written.
        """
        if self._pidfile:
            new = f"{self._pidfile}.new"
            with open(new, "w") as file:
                file.write(f"{os.getpid()}\n")
            os.replace(new, self._pidfile)
        self.tell("READY=1", "STATUS=Ready")
        if self.interval:
            self._dog = TimerService(self.interval, self.tell, "WATCHDOG=1")
            self._dog.clock = self._reactor
            self._dog.startService()

    def stopping(self) -> None:
        """The end begins."""
        if self._dog is not None and self._dog.running:
            self._dog.stopService()
        self.tell("STOPPING=1", "STATUS=Is stopping")

    def succeeded(self, pid: int) -> None:
        """Another process has taken our place."""
        if self._dog is not None and self._dog.running:
            self._dog.stopService()
        self.tell(f"MAINPID={pid}", "STATUS=Ready")
        self._place = ""

    def tell(self, *lines: str) -> None:
        """Tell systemd something.  It is no trouble of ours when that does not listen; when it is slow
        it is waited for, as far as it is not told the same again soon."""
        if not self._place:
            return
        path = "\0" + self._place[1:] if self._place.startswith("@") else self._place
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(0 if lines[0].startswith("WATCHDOG") else PATIENCE)
                out.connect(path)
                out.sendall("\n".join(lines).encode())
        except OSError:
            pass
