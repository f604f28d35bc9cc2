"""Puts the roles together that run in a process of their own, where nothing else is loaded:
C{lda}, which alone is root, and C{postman}, which alone has a key.  Part of the composition:
called by `tap`.

Only the sections of the configuration that are for a role are read: of mistakes in the others
one hears from the other roles, and from their C{--check}.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.error import CannotListenError

from umbcmail import __version__
from umbcmail.config import Config, ConfigError, load
from umbcmail.config.host import HOST
from umbcmail.findings import Findings
from umbcmail.maillog import LOG, LogFile, MailLog, tell
from umbcmail.postman.settings import POSTMAN, principalOf
from umbcmail.steadytime import SteadyTime


def readAlone(role: str, file: str | None, sets: Sequence[str]) -> Config:
    """The configuration of a role.

    @raise ConfigError: with all that is wrong.
    """
    if role == "postman":
        return load((HOST, LOG, POSTMAN), file, sets, isPart=True)
    from umbcmail.lda.settings import LDA

    return load((HOST, LOG, LDA, POSTMAN), file, sets, isPart=True)


def makeAlone(role: str, config: Config, reactor: Any, clock: SteadyTime) -> Alone:
    """The program for a role alone.

    @param clock: the time that C{reactor} goes by.
    @raise ConfigError: with all that is wrong.
    """
    logging = config.section("log")
    log = MailLog(LogFile(logging["file"]).write, reactor, logging["format"] == "json")
    name = config.section("host")["name"] or socket.gethostname()  # without asking the network
    make = _postman if role == "postman" else _agent
    clock.log = log
    return Alone(role, make(config, name, reactor, log), log, clock)


def _agent(config: Config, name: str, reactor: Any, log: MailLog) -> Any:
    """The local delivery agent."""
    from umbcmail.lda.server import Server, groupId, userIds

    findings = Findings(config)
    settings = config.section("lda")
    if settings["listen"] is None:
        findings.wrong("lda.listen", "must be set for the role lda")
    users = findings.checked("lda.users", lambda: userIds(settings["users"]))
    group = findings.checked("lda.group", lambda: groupId(settings["group"]))
    within = _within(findings) if settings["needs-postman"] else ()
    _complain(findings)
    postman = config.section("postman") if settings["needs-postman"] else None
    return Server(settings, users, group, name, reactor, log, postman, within)


def _within(findings: Findings) -> Sequence[str]:
    """The command that starts deliveries where tokens are theirs, with its whole path."""
    from umbcmail.lda.command import find

    settings = findings.config.section("postman")
    if not settings["token-command"]:
        return ()
    remedy = "install it (openafs-client, openafs-krb5), or set postman.token-command = [] where there is no AFS"

    def whole(argv: Sequence[str]) -> Sequence[str]:
        try:
            return [find(argv[0]), *argv[1:]] if argv else ()
        except OSError as why:
            raise ValueError(f"{why}; {remedy}") from None

    findings.checked("postman.token-command", lambda: whole(settings["token-command"]))
    within: Sequence[str] = findings.checked("postman.pag-command", lambda: whole(settings["pag-command"]))
    return within


def _postman(config: Config, name: str, reactor: Any, log: MailLog) -> Any:
    """Who keeps the ticket."""
    import grp

    from umbcmail.postman.service import Postman

    findings = Findings(config)
    settings = config.section("postman")
    group = -1
    if settings["group"] is not None:
        try:
            group = grp.getgrnam(settings["group"]).gr_gid
        except KeyError:
            findings.wrong("postman.group", f"there is no group {settings['group']!r}")
    _complain(findings)
    return Postman(settings, principalOf(settings, name), group, reactor, log)


def _complain(findings: Findings) -> None:
    if findings.problems:
        raise ConfigError(findings.problems)


class Alone(Service):
    """The running program.

    @ivar whenReady: called when all has been started.
    """

    def __init__(self, role: str, service: Any, log: MailLog, clock: SteadyTime) -> None:
        self._clock = clock
        self._role = role
        self._service = service
        self._log = self.log = log
        self.whenReady: list[Callable[[], object]] = []

    @property
    def sessions(self) -> int:
        """Clients that are connected."""
        return int(getattr(self._service, "sessions", 0))

    def standBack(self) -> Deferred[None]:
        """See L{umbcmail.application.Application.standBack}."""
        return succeed(None)

    def privilegedStartService(self) -> None:
        """Bind the socket.  @raise SystemExit: it can't be bound."""
        Service.privilegedStartService(self)
        try:
            self._service.privilegedStartService()
        except CannotListenError as why:
            tell(str(why))
            raise SystemExit(f"umbcmail: {why}") from None

    def startService(self) -> None:
        """Begin."""
        Service.startService(self)
        self._clock.startService()
        self._service.startService()
        self._log.started(self._role, __version__)
        for call in self.whenReady:
            call()

    @inlineCallbacks
    def stopService(self) -> Any:
        """End in good order.  @return: L{Deferred}"""
        Service.stopService(self)
        self._log.stopping()
        yield self._service.stopService()
        yield self._clock.stopService()
        self._log.stopped()
