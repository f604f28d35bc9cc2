"""Puts the role C{lda} together, which runs in a process of its own: it alone is root, so
nothing else is loaded there.  Part of the composition: called by `tap`.

Only the sections of the configuration that are for it are read: of mistakes in the others
one hears from the other roles, and from their C{--check}.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import CannotListenError

from umbcmail import __version__
from umbcmail.config import Config, ConfigError, load
from umbcmail.config.host import HOST
from umbcmail.findings import Findings
from umbcmail.lda.server import Server, groupId, userIds
from umbcmail.lda.settings import LDA
from umbcmail.maillog import LOG, LogFile, MailLog, tell

ROLE = "lda"


def readAlone(file: str | None, sets: Sequence[str]) -> Config:
    """The configuration of the role.

    @raise ConfigError: with all that is wrong.
    """
    return load((HOST, LOG, LDA), file, sets, isPart=True)


def makeAlone(config: Config, reactor: Any) -> Alone:
    """The program for the role alone.

    @raise ConfigError: with all that is wrong.
    """
    findings = Findings(config)
    settings = config.section("lda")
    if settings["listen"] is None:
        findings.wrong("lda.listen", "must be set for the role lda")
    users = findings.checked("lda.users", lambda: userIds(settings["users"]))
    group = findings.checked("lda.group", lambda: groupId(settings["group"]))
    if findings.problems:
        raise ConfigError(findings.problems)
    logging = config.section("log")
    log = MailLog(LogFile(logging["file"]).write, reactor, logging["format"] == "json")
    name = config.section("host")["name"] or socket.gethostname()  # without asking the network
    return Alone(Server(settings, users, group, name, reactor, log), log)


class Alone(Service):
    """The running program."""

    def __init__(self, server: Server, log: MailLog) -> None:
        self._server = server
        self._log = log

    def privilegedStartService(self) -> None:
        """Bind the socket.  @raise SystemExit: it can't be bound."""
        Service.privilegedStartService(self)
        try:
            self._server.privilegedStartService()
        except CannotListenError as why:
            tell(str(why))
            raise SystemExit(f"umbcmail: {why}") from None

    def startService(self) -> None:
        """Begin."""
        Service.startService(self)
        self._server.startService()
        self._log.started(ROLE, __version__)

    @inlineCallbacks
    def stopService(self) -> Any:
        """End in good order.  @return: L{Deferred}"""
        Service.stopService(self)
        self._log.stopping()
        yield self._server.stopService()
        self._log.stopped()
