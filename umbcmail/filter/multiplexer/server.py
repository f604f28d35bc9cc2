"""The role C{filter}: its sockets, who connects there, and its modules.

Made by `roles`.  The sockets are bound before privileges are dropped and answer when the
program is ready; at the end messages that are being examined are answered first.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.protocol import Factory
from zope.interface import implementer

from umbcmail.content import InThread
from umbcmail.figure import Figure
from umbcmail.filter.multiplexer.kept import Kept
from umbcmail.filter.multiplexer.panel import Panel, Seat
from umbcmail.filter.multiplexer.session import Session
from umbcmail.filter.multiplexer.tally import SocketTally, figuresOfModule, figuresOfSocket
from umbcmail.filter.sockets import Socket
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.unixsocket import listenUNIX

BACKLOG = 200
PATIENCE = 20.0
"""Seconds that messages get to be answered at the end."""


class Gate(Factory):
    """A socket.

    @ivar name: in the configuration.
    @ivar panel: who examines what comes there.
    @ivar deadline: seconds for a message.
    @ivar tally: L{SocketTally}.
    """

    noisy = False

    def __init__(
        self, name: str, settings: Mapping[str, Any], panel: Panel, reactor: Any, log: MailLog, inThread: InThread
    ) -> None:
        """
        @param settings: of its section.
        """
        self.name = name
        self.panel = panel
        self.deadline: float = settings["deadline"]
        self.tally = SocketTally()
        self.log = log
        self._settings = settings
        self._reactor = reactor
        self._inThread = inThread
        self._sessions: dict[Session, None] = {}
        self._messages = 0
        self._port: Any = None
        self._drained: Deferred[None] | None = None

    # The socket

    def bind(self) -> None:
        """@raise CannotListenError: it can't be."""
        where: Socket = self._settings["listen"]
        if where.path:
            settings, key = self._settings, f"filter.{self.name}.listen"
            group = -1 if settings["group"] is None else grp.getgrnam(settings["group"]).gr_gid
            self._port = listenUNIX(self._reactor, where.path, self, BACKLOG, int(settings["mode"], 8), group, key)
        else:
            self._port = self._reactor.listenTCP(where.port, self, BACKLOG, where.host)
        self._port.stopReading()

    def start(self) -> None:
        """Answer."""
        self._port.startReading()
        self.log.listening(f"filter.{self.name}", self._settings["listen"].text)

    @inlineCallbacks
    def stop(self) -> Any:
        """@return: L{Deferred}"""
        if self._port is not None:
            yield maybeDeferred(self._port.stopListening).addErrback(lambda _: None)  # it may have been removed
        for session in tuple(self._sessions):
            session.drain()
        if self._sessions:
            self._drained = Deferred()
            yield self._drained.addTimeout(PATIENCE, self._reactor).addErrback(lambda _: None)

    # Sessions

    def buildProtocol(self, address: Any) -> Session:
        """See L{Factory}."""
        return Session(self, self._reactor)

    def came(self, session: Session) -> bool:
        """See L{umbcmail.filter.multiplexer.session.Owner.came}."""
        self._sessions[session] = None
        self.tally.open = len(self._sessions)
        self.tally.connections += 1
        hasRoom = len(self._sessions) <= self._settings["connections"]
        self.tally.turnedAway += not hasRoom
        return hasRoom

    def left(self, session: Session) -> None:
        """See L{umbcmail.filter.multiplexer.session.Owner.left}."""
        self._sessions.pop(session, None)
        self.tally.open = len(self._sessions)
        if self._drained is not None and not self._sessions:
            drained, self._drained = self._drained, None
            if not drained.called:
                drained.callback(None)

    def newKept(self, hold: Callable[[bool], None]) -> Kept:
        """See L{umbcmail.filter.multiplexer.session.Owner.newKept}."""
        settings = self._settings
        return Kept(settings["memory"], settings["size-limit"], settings["folder"], self._inThread, hold)

    def newId(self) -> str:
        """See L{umbcmail.filter.multiplexer.session.Owner.newId}."""
        self._messages += 1
        return f"{self.name}-{os.getpid()}-{self._messages}"


@implementer(IWatched)
class Multiplexer(Service):
    """The role.

    @ivar parts: all modules and seals.
    """

    name = "filter"

    def __init__(self, gates: Sequence[Gate], seats: Sequence[Seat], parts: Sequence[Any]) -> None:
        """
        @param seats: all modules, each of which may be on several panels.
        """
        self.parts = parts
        self._gates = gates
        self._seats = seats
        self._services = [part for part in parts if IService.providedBy(part)]

    @property
    def sessions(self) -> int:
        """MTAs that are connected."""
        return sum(gate.tally.open for gate in self._gates)

    def privilegedStartService(self) -> None:
        """Bind the sockets.

        @raise CannotListenError: one can't be bound.
        """
        Service.privilegedStartService(self)
        for gate in self._gates:
            gate.bind()

    def startService(self) -> None:
        """Answer."""
        Service.startService(self)
        for service in self._services:
            service.startService()
        for gate in self._gates:
            gate.start()

    @inlineCallbacks
    def stopService(self) -> Any:
        """See the module.  @return: L{Deferred}"""
        Service.stopService(self)
        yield gatherResults([gate.stop() for gate in self._gates])
        yield gatherResults([maybeDeferred(service.stopService) for service in self._services])

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        bad = [f"{seat.name} is {seat.tally.trouble}" for seat in self._seats if seat.tally.trouble]
        return "; ".join(bad)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for gate in self._gates:
            yield from figuresOfSocket(gate.name, gate.tally)
        for seat in self._seats:
            yield from figuresOfModule(seat.name, seat.tally)
