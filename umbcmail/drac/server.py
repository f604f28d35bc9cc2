"""The role C{drac}: its options, its sockets, and what belongs to it.

Made by `roles` when C{[drac] listen} is set.  The sockets are bound before privileges are
dropped and answer when spool and state are open; at the end adds under way are
answered first.  Reads the allow file and our own addresses again from time to time.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from umbcmail.clientaddress import AddressSet, Rule, ruleOf
from umbcmail.drac.admission import Admission
from umbcmail.drac.clients import readRules
from umbcmail.drac.doors import DatagramDoor, StreamDoor
from umbcmail.drac.figures import figuresOf
from umbcmail.drac.notify import Notifier
from umbcmail.drac.ownaddresses import ownAddresses
from umbcmail.drac.reception import Reception
from umbcmail.drac.registration import Registration
from umbcmail.figure import Figure
from umbcmail.filestamp import Stamp, stampOf
from umbcmail.interfaces import IRoster, IWatched
from umbcmail.maillog import MailLog

POLL = 10.0
"""Seconds between two looks at the allow file, and at our own addresses."""
FILE_LIMIT = 1 << 20
BUFFER = 4 << 20
"""Octets of datagrams that the system keeps for us when we are busy, if it may."""
TURN = 16 * 1024
"""Octets of datagrams that are read in one turn of the reactor: mail has its turn too."""
DATAGRAM = 8800
"""Octets of a datagram that are read."""


def readFile(path: str) -> tuple[list[Rule], list[int]]:
    """The rules of an allow file.  Blocks.  @raise OSError: it can't be read."""
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return readRules(file.read(FILE_LIMIT))


class AllowFile:
    """The allow file, and our own addresses: what is looked at from time to time.

    @ivar trouble: why the file can't be read, or C{""}; what it said before holds.
    """

    def __init__(self, path: str | None, networks: Iterable[Any], admission: Admission, log: MailLog) -> None:
        """
        @param networks: clients that are listed elsewhere.
        """
        self.trouble = ""
        self._path = path
        self._listed = [ruleOf(network) for network in networks]
        self._admission = admission
        self._log = log
        self._stamp: Stamp | None = None

    def look(self) -> Callable[[], None]:
        """Look at both.  In a thread.  @return: puts into effect what was found."""
        stamp, found, why = self._stamp, None, ""
        own: frozenset[str] | None = None
        try:
            if self._path is not None:
                stamp = stampOf(os.stat(self._path))
                found = readFile(self._path) if stamp != self._stamp else None
        except OSError as error:
            why = f"drac.allow-file: {error.strerror or error}"
        try:
            own = ownAddresses()
        except OSError as error:
            why = why or f"our own addresses are not known: {error.strerror or error}"
        return lambda: self._use(stamp, found, own, why)

    def _use(
        self, stamp: Any, found: tuple[list[Rule], list[int]] | None, own: frozenset[str] | None, why: str
    ) -> None:
        if own is not None:
            self._admission.own = own
        if why and why != self.trouble:
            self._log.trouble("-", "drac", why)
        self.trouble = why
        if found is not None:
            rules, unread = found
            self._stamp = stamp
            self._admission.clients.use([*self._listed, *rules])
            lines = ",".join(map(str, unread[:20]))
            self._log.event("drac-clients", "-", file=self._path, rules=len(rules), unread=lines)


@implementer(IWatched)
class DracServer(Service):
    """The role.

    @ivar reception: L{Reception}.
    @ivar places: transport, address and port of each socket, when they are bound.
    """

    name = "drac"
    standsAlone = True

    def __init__(self, settings: Mapping[str, Any], roster: IRoster, reactor: Any, log: MailLog, inThread: Any) -> None:
        """
        @param settings: of the section.
        @param inThread: C{deferToThread} or the like.
        """
        self.places: list[tuple[str, str, int]] = []
        self._settings = settings
        self._reactor = reactor
        self._log = log
        self._inThread = inThread
        clients = AddressSet(map(ruleOf, settings["clients"]))
        self._admission = Admission(
            clients,
            settings["never"],
            settings["reserved-ports"],
            settings["entries-per-client"],
            settings["entries"],
            settings["lifetime"],
        )
        self._file = AllowFile(settings["allow-file"], settings["clients"], self._admission, log)
        self._notifier = Notifier(settings["notify"], reactor, log) if settings["notify"] else None
        self.reception = Reception(
            roster,
            self._admission,
            settings["lifetime"],
            settings["deadline"],
            reactor,
            log,
            self._notifier.added if self._notifier else None,
        )
        ignores = settings["unlisted"] == "ignore"
        self._datagrams = [DatagramDoor(self.reception, ignores) for _ in settings["listen"]]
        self._streams = StreamDoor(self.reception, reactor, settings["idle"], settings["connections"], ignores)
        self._registration: Registration | None = None
        self._sockets: list[socket.socket] = []
        self._ports: list[Any] = []
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def privilegedStartService(self) -> None:
        """Bind the sockets.

        @raise CannotListenError: one can't be bound.
        """
        Service.privilegedStartService(self)
        self._file.look()()
        for host, port in self._settings["listen"]:
            for transport in dict.fromkeys(self._settings["transports"]):
                self._bind(transport, host, port or self._settings["port"])

    def _bind(self, transport: str, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        bound = socket.socket(family, kind)
        self._sockets.append(bound)
        try:
            bound.setblocking(False)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_DGRAM:
                _enlarge(bound)
            else:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(socket.getaddrinfo(host, port, family, kind, 0, socket.AI_NUMERICHOST)[0][4])
            if kind == socket.SOCK_STREAM:
                bound.listen(100)
        except OSError as why:
            self._closeSockets()
            raise CannotListenError(host, port, why) from None
        self.places.append((transport, *bound.getsockname()[:2]))

    def _closeSockets(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def startService(self) -> None:
        """Answer."""
        Service.startService(self)
        doors = iter(self._datagrams)
        for bound, (transport, host, port) in zip(self._sockets, self.places, strict=True):
            if transport == "udp":
                opened = self._reactor.adoptDatagramPort(bound.fileno(), bound.family, next(doors), DATAGRAM)
                opened.maxThroughput = TURN
            else:
                opened = self._reactor.adoptStreamPort(bound.fileno(), bound.family, self._streams)
            self._ports.append(opened)
            self._log.listening("drac", f"{transport}:{host}:{port}")
        self._closeSockets()  # the reactor has its own descriptors
        if self._notifier is not None:
            self._notifier.start()
        self._loop.start(POLL, now=False)
        if self._settings["rpcbind"]:
            self._registration = Registration(
                self.places, self._reactor, self._log, self._indirect, self._settings["rpcbind-interval"]
            )
            self._registration.start()

    def _indirect(self, isIndirect: bool) -> None:
        self._admission.isIndirect = isIndirect

    def _look(self) -> Deferred[None]:
        looked: Deferred[Any] = self._inThread(self._file.look)
        looked.addCallback(lambda use: use())
        return looked.addErrback(lambda failure: self._log.bug("-", "drac", failure))

    @inlineCallbacks
    def stopService(self) -> Any:
        """See the module.  @return: L{Deferred}"""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()
        gone = self._registration.stop() if self._registration is not None else None
        for port in self._ports:
            port.stopReading()
        yield self.reception.stop()
        self._streams.end()
        if self._notifier is not None:
            self._notifier.stop()
        yield gatherResults([maybeDeferred(port.stopListening) for port in self._ports])
        self._ports.clear()
        yield gone

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        found = [self._file.trouble, self.reception.trouble]
        if self._admission.clients.isEmpty:
            found.append("nobody may add (drac.clients)")
        if self._registration is not None:
            found.append(self._registration.condition)
        if self._notifier is not None:
            found += [f"notify {peer.host}: {peer.trouble}" for peer in self._notifier.peers if peer.trouble]
        return "; ".join(filter(None, found))

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        unsent = sum(door.unsent for door in self._datagrams)
        peers = self._notifier.peers if self._notifier is not None else []
        return figuresOf(self.reception, unsent, len(self._streams), self._streams.refused, peers)


def _enlarge(bound: socket.socket) -> None:
    """Make room for datagrams: the usual buffer holds a few hundred."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    for option in (force, socket.SO_RCVBUF):
        try:
            bound.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            return
        except OSError:
            continue  # only root may have more than the system's maximum
