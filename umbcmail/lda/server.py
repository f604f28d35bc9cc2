"""The role C{lda}: its socket, who may connect, and how it is.

Made by `umbcmail.alone`, as the only service of its process.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from threading import Thread
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from umbcmail import credentials, reply
from umbcmail.lda.children import Children
from umbcmail.lda.delivery import WITHOUT_NEEDS, Delivery
from umbcmail.lda.dialogue import Dialogue
from umbcmail.lda.figures import figuresOf, write
from umbcmail.lda.forking import Forker
from umbcmail.lda.letter import Letter
from umbcmail.lda.session import NOT_YOU, Session
from umbcmail.lda.tokens import Tokens
from umbcmail.lda.users import Directory
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply
from umbcmail.unixsocket import listenUNIX

MODE = 0o660
BACKLOG = 200
LOOKERS = 5
"""Threads that ask the directory of users."""
PAUSE = 5.0
"""Seconds until a socket that could not be bound is tried again."""
PATIENCE = 20.0
"""Seconds that sessions get to come to an end."""


def userIds(names: Iterable[str]) -> frozenset[int]:
    """The uids of users who may connect, root and our own among them.

    @raise ValueError: there is no such user.
    """
    found = {0, os.geteuid()}
    for name in names:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            raise ValueError(f"there is no user {name!r}") from None
    return frozenset(found)


def groupId(name: str | None) -> int:
    """The gid of the socket's group, -1 for what it is.  @raise ValueError: there is none."""
    try:
        return -1 if name is None else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {name!r}") from None


class _Looker(Thread):
    """A thread that the process does not wait for at its end: a directory may hang."""

    daemon = True


class _Lookers(ThreadPool):
    threadFactory = _Looker


class Server(Service, Factory):
    """The role.

    @ivar idle: seconds without a sign of the client.
    @ivar delivery: L{Delivery}.
    @ivar directory: L{Directory}.
    @ivar children: L{Children}.
    @ivar refused: clients so far that may not connect.
    """

    name = "lda"
    noisy = False

    def __init__(
        self,
        settings: Mapping[str, Any],
        users: frozenset[int],
        group: int,
        hostName: str,
        reactor: Any,
        log: MailLog,
        postman: Mapping[str, Any] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        """
        @param settings: of the section.
        @param users: uids of those who may connect.
        @param group: of the socket, or -1.
        @param postman: settings of that section, where its ticket is needed.
        @param within: a program that starts what makes processes, and its arguments.
        """
        self.idle = settings["idle"]
        self.log = log
        self._settings = settings
        self._users = users
        self._group = group
        self._hostName = hostName
        self._reactor = reactor
        self._sessions: dict[Session, None] = {}
        self.refused = 0
        self._port: Any = None
        self._isOpen = False
        self._drained: Deferred[None] | None = None
        self._lookers = _Lookers(0, LOOKERS, "users")
        environment = credentials.environment(postman["cache"]) if postman is not None else {}
        self._forker = Forker(reactor, log, within, environment, self._forgotten)
        self._tokens: Tokens | None = None
        if postman is not None:
            self._tokens = Tokens(postman, users, self._forker.fork, reactor, log, self._open)
        self._later: Any = None
        self.directory = Directory(
            lambda *what: deferToThreadPool(reactor, self._lookers, *what),
            reactor,
            settings["look-up-time"],
            settings["remember"],
        )
        self.children = Children(self._forker.fork, reactor, log, settings)
        self.delivery = Delivery(
            self.directory, self.children, settings, hostName, log, reactor, self._tokens or WITHOUT_NEEDS
        )

    # Life

    def privilegedStartService(self) -> None:
        """Bind the socket, unless deliveries have to wait for a ticket.

        @raise CannotListenError: it can't be bound.
        """
        Service.privilegedStartService(self)
        if self._tokens is None:
            self._bind()

    def _bind(self) -> None:
        path = self._settings["listen"]
        self._port = listenUNIX(self._reactor, path, self, BACKLOG, MODE, self._group, "lda.listen")
        self._port.stopReading()

    def startService(self) -> None:
        """Answer."""
        Service.startService(self)
        self._lookers.start()
        self._forker.start()
        if self._tokens is None:
            self._open()
        else:
            self._tokens.start()

    def _open(self) -> None:
        """Answer: all is there that deliveries need.  Once it does, it goes on to."""
        if self._port is None:
            try:
                self._bind()
            except CannotListenError as why:
                self.log.trouble("-", "lda", str(why))
                self._later = self._reactor.callLater(PAUSE, self._open)
                return
        elif self._isOpen:
            return
        self._isOpen = True
        self._port.startReading()
        self.log.listening("lda", f"unix:{self._settings['listen']}")

    def _forgotten(self) -> None:
        """What makes processes is another one now, without tokens."""
        if self._tokens is not None:
            self._tokens.forget()

    @inlineCallbacks
    def stopService(self) -> Any:
        """No further message is begun; those under way may finish.  @return: L{Deferred}"""
        Service.stopService(self)
        if self._tokens is not None:
            self._tokens.stop()
        if self._later is not None and self._later.active():
            self._later.cancel()
        if self._port is not None:
            yield maybeDeferred(self._port.stopListening).addErrback(lambda _: None)  # the socket may have been removed
        for session in tuple(self._sessions):
            session.drain()
        if self._sessions:
            self._drained = Deferred()
            yield self._drained.addTimeout(PATIENCE, self._reactor).addErrback(lambda _: None)
        self.children.stop()
        self._forker.stop()
        if not self.directory.waiting:
            self._lookers.stop()

    # Sessions

    def buildProtocol(self, address: Any) -> Session:
        """See L{Factory}."""
        settings = self._settings
        limits = settings["size-limit"], settings["recipient-limit"]
        dialogue = Dialogue(self.delivery, self._hostName, *limits, self._status)
        return Session(self, dialogue)

    def came(self, session: Session, pid: int, uid: int) -> Reply | None:
        """A client has connected.  @return: why it is not talked to, or L{None}."""
        self._sessions[session] = None
        if uid not in self._users:
            self.refused += 1
            self.log.event("local-refused", "-", uid=uid, pid=pid, why="not in lda.users")
            return NOT_YOU
        if len(self._sessions) > self._settings["connections"]:
            return reply.TOO_MANY_CONNECTIONS
        return None

    def left(self, session: Session) -> None:
        """A client is gone."""
        self._sessions.pop(session, None)
        if self._drained is not None and not self._sessions:
            drained, self._drained = self._drained, None
            if not drained.called:
                drained.callback(None)

    def newLetter(self, sender: str) -> Letter:
        """A place for a message."""
        settings = self._settings
        limits = (settings["spool-memory"], settings["size-limit"], settings["spool-folder"])
        return Letter(sender, *limits, lambda *what: deferToThreadPool(self._reactor, self._pool(), *what))

    def _pool(self) -> Any:
        return self._reactor.getThreadPool()

    # How it is

    @property
    def sessions(self) -> int:
        """Clients that are connected."""
        return len(self._sessions)

    def _status(self) -> str:
        lacking = self._tokens.condition if self._tokens is not None else ""
        return write(self._forker.condition or (f"{lacking}: local mail waits" if lacking else ""), figuresOf(self))
