"""The running program as a Twisted service: what starts and ends in which order.

Ports are bound before privileges are dropped, but nobody is answered until the
spool is open and what a dead process had claimed is free.  At the end ports close
first, then sessions, runners, couriers, and the spool last, each when what it has
under way is done or its patience is over.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from umbcmail import __version__
from umbcmail.accept.certificates import CertificateWatch
from umbcmail.accept.factory import AgentFactory
from umbcmail.entry import SpoolError
from umbcmail.figure import Figure
from umbcmail.interfaces import ICourier, ISpool, IState, IWatched
from umbcmail.maillog import MailLog, tell
from umbcmail.queue.expiry import Expiry
from umbcmail.queue.runner import Runner
from umbcmail.sighting import StateError

PATIENCE = 20.0
"""Seconds that sessions, and then attempts, get to come to an end."""


@dataclass
class Door:
    """A port and who answers there.

    @ivar key: its section of the configuration.
    @ivar endpoint: Twisted endpoint.
    @ivar factory: makes the sessions.
    @ivar port: when it is bound.
    @ivar address: where it listens, C{""} before it is bound; stays when it is closed,
        which a port itself does not know any more.
    @ivar isOpen: clients are answered.
    """

    key: str
    endpoint: str
    factory: AgentFactory
    port: Any = None
    address: str = ""
    isOpen: bool = False

    @property
    def name(self) -> str:
        """Agent and port, C{"delivery.mx"}."""
        _, agent, _, port = self.key.split(".", 3)
        return f"{agent}.{port}"


@implementer(IWatched)
class Application(Service):
    """All roles of this process.

    @ivar whenReady: called when all has been started.
    """

    name = "program"

    def __init__(
        self,
        reactor: Any,
        log: MailLog,
        roles: Sequence[str],
        spool: ISpool,
        state: IState,
        doors: Sequence[Door],
        running: Sequence[Runner],
        runners: Sequence[Runner],
        expiry: Expiry | None,
        couriers: Sequence[ICourier],
        threads: ThreadPool,
        certificates: CertificateWatch | None = None,
        services: Sequence[IService] = (),
    ) -> None:
        """
        @param running: runners that take entries here.
        @param runners: all, also those that only settle what the intake began.
        @param threads: of the parts.
        @param services: of the other roles.
        """
        self._reactor = reactor
        self._log = self.log = log
        self._roles = roles
        self._spool = spool
        self._state = state
        self._doors = doors
        self._runningQueues = running
        self._runners = runners
        self._expiry = expiry
        self._couriers = couriers
        self._threads = threads
        self._certificates = certificates
        self._services = services
        self._phase = "has not begun"
        self.whenReady: list[Callable[[], object]] = []
        self._ready: Deferred[Any] | None = None

    def privilegedStartService(self) -> None:
        """Bind the ports, as root where that is needed.

        @raise SystemExit: one can't be bound; it names the port.
        """
        Service.privilegedStartService(self)
        for door in self._doors:
            try:
                self._bind(door)
            except (CannotListenError, ValueError, TypeError, OSError) as why:
                text = f"{door.key}.endpoint = {door.endpoint!r}: {why}"
                tell(text)
                raise SystemExit(f"umbcmail: {text}") from None
        for service in self._services:
            try:
                service.privilegedStartService()
            except (CannotListenError, ValueError, OSError) as why:
                tell(str(why))
                raise SystemExit(f"umbcmail: {why}") from None

    def _bind(self, door: Door) -> None:
        found: list[Any] = []
        serverFromString(self._reactor, door.endpoint).listen(door.factory).addBoth(found.append)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        door.port = found[0]
        host = door.port.getHost()
        isUNIX = isinstance(host, UNIXAddress)
        door.address = f"unix:{os.fsdecode(host.name)}" if isUNIX else f"{host.host}:{host.port}"
        door.port.stopReading()

    def startService(self) -> None:
        """Open the spool, then begin."""
        Service.startService(self)
        self._threads.start()
        self._phase = "starts: spool and state are being opened"
        self._ready = self._begin()
        self._ready.addErrback(self._failed)

    @inlineCallbacks
    def _begin(self) -> Any:
        yield self._spool.start()
        yield self._state.start()
        freed = yield self._spool.recover(self._reactor.seconds())
        if freed:
            self._log.recovered(freed)
        for runner in self._runningQueues:
            runner.start()
        if self._expiry is not None:
            self._expiry.start()
        if self._certificates is not None:
            self._certificates.start()
        for service in self._services:
            service.startService()
        # What is there by now stays: looking through it again and again would hold up everybody for 20 ms.
        gc.collect()
        gc.freeze()
        for door in self._doors:
            self._log.listening(door.key, door.address)
            door.port.startReading()
            door.isOpen = True
        self._phase = ""
        self._log.started(",".join(self._roles), __version__)
        for call in self.whenReady:
            call()

    def _failed(self, failure: Failure) -> None:
        """It can't begin: say why, and end with a status that says so too."""
        self._phase = "can't begin"
        if failure.check(SpoolError, StateError):
            what = "spool" if failure.check(SpoolError) else "state"
            self._log.trouble("-", "start", failure.getErrorMessage())
            tell(f"{what}.url: the {what} can't be opened: {failure.getErrorMessage()}")
        else:
            self._log.bug("-", "start", failure)
            tell(f"can't start: {failure.getErrorMessage()}")
        atexit.register(os._exit, 1)
        self._reactor.stop()

    @property
    def sessions(self) -> int:
        """Clients of the agents, and of other services that have such, that are connected."""
        doors = sum(door.factory.sessions for door in self._doors)
        return doors + sum(getattr(service, "sessions", 0) for service in self._services)

    def standBack(self) -> Deferred[Any]:
        """Stop what can't be there twice, for another process takes our place.  @return: fires when
        that is done."""
        alone = [service for service in self._services if getattr(service, "standsAlone", False) and service.running]
        return gatherResults([maybeDeferred(service.stopService) for service in alone], consumeErrors=True)

    @inlineCallbacks
    def stopService(self) -> Any:
        """See the module.  @return: L{Deferred}"""
        Service.stopService(self)
        self._log.stopping()
        self._phase = "is stopping"
        if self._ready is not None:
            yield self._ready
        for door in self._doors:
            door.isOpen = False
            if door.port is not None:
                yield door.port.stopListening()
        if self._expiry is not None:
            self._expiry.stop()
        if self._certificates is not None:
            self._certificates.stop()
        yield self._within([door.factory.drain(PATIENCE) for door in self._doors], PATIENCE + 5)
        services = [service for service in self._services if service.running]
        yield self._within([maybeDeferred(service.stopService) for service in services], 5.0)
        yield self._within([runner.stop() for runner in self._runners], PATIENCE)
        yield self._within([courier.stop() for courier in self._couriers], 5.0)
        yield self._state.stop()
        yield self._spool.stop()
        self._threads.stop()
        self._log.stopped()

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return self._phase

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        meaning = "1 when a port of an agent answers."
        for door in self._doors:
            labels = (("port", door.name), ("address", door.address))
            yield Figure("door_open", 1 if door.isOpen else 0, meaning, labels)

    def _within(self, waits: Sequence[Deferred[Any]], seconds: float) -> Deferred[Any]:
        """Until all have fired, or the time is over."""
        return gatherResults(waits, consumeErrors=True).addTimeout(seconds, self._reactor).addErrback(lambda _: None)
