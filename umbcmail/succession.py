"""A new configuration without the loss of a connection: SIGHUP.

The program starts itself anew, with the sockets that it listens at, and when that process is ready it
closes its own copies of these, goes on with the sessions that it has until they are over, and ends.
Before, the new configuration is looked at in a process of its own (C{--check}); with a mistake in it,
or when the new process does not get ready, all goes on as it was.  Part of the composition: called by
`tap`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.utils import getProcessOutputAndValue

from umbcmail.maillog import MailLog
from umbcmail.supervision import Supervision
from umbcmail.unixsocket import clear

SOCKETS, PREDECESSOR = "UMBCMAIL_SOCKETS", "UMBCMAIL_PREDECESSOR"
"""Variables: descriptors by name, and that of a pipe that the process id is written into."""
START = 120.0
"""Seconds that the new process has to get ready."""
LEAVE = 600.0
"""Seconds that sessions have to end by themselves."""
LOOK = 0.5
READY = b"ready\n"
FIRST = 20
"""The first descriptor of a socket in the new process."""


class Sockets:
    """The sockets that the reactor listens at: those that are inherited, and those to be handed on."""

    def __init__(self, reactor: Any, environ: MutableMapping[str, str]) -> None:
        """
        @param reactor: its C{listenTCP} and C{listenUNIX} are ours from now on.
        """
        self.inherited: dict[str, int] = json.loads(environ.pop(SOCKETS, "{}"))
        for descriptor in self.inherited.values():
            os.set_inheritable(descriptor, False)
        self._ports: dict[str, Any] = {}
        self._reactor = reactor
        self._listenTCP = reactor.listenTCP
        reactor.listenTCP = self.listenTCP
        reactor.listenUNIX = self.listenUNIX
        reactor.inherits = lambda path: f"unix:{path}" in self.inherited

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See L{twisted.internet.interfaces.IReactorTCP}."""
        name = f"tcp:{interface}:{port}"
        descriptor = self.inherited.pop(name, None)
        if descriptor is None:
            found = self._listenTCP(port, factory, backlog, interface)
        else:
            family = socket.AF_INET6 if ":" in interface else socket.AF_INET
            found = tcp.Port._fromListeningDescriptor(self._reactor, descriptor, family, factory)
            os.close(descriptor)
            found.backlog = backlog  # which adoptStreamPort would not let us say
            found.startListening()
        if port:
            self._ports[name] = found
        return found

    def listenUNIX(self, path: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        """See L{twisted.internet.interfaces.IReactorUNIX}.  What a process that has ended left there goes,
        so no lock file is needed."""
        path = os.fsdecode(path)
        descriptor = self.inherited.pop(f"unix:{path}", None)
        if descriptor is None:
            clear(path)
            found = unix.Port(path, factory, backlog, mode, self._reactor)
        else:
            found = unix.Port._fromListeningDescriptor(self._reactor, descriptor, factory)
            os.close(descriptor)
            found.backlog, found.mode = backlog, mode
            _share(found)  # until it is ours alone: see forget
        found.startListening()
        self._ports[f"unix:{path}"] = found
        return found

    def forget(self) -> None:
        """We are the process now that listens: close what was inherited and is not listened at any
        more, and take names away at the end."""
        for port in self._ports.values():
            vars(port).pop("connectionLost", None)
        for descriptor in self.inherited.values():
            os.close(descriptor)
        self.inherited.clear()

    def descriptors(self) -> dict[str, int]:
        """What can be handed on."""
        return {name: port.fileno() for name, port in self._ports.items() if port.connected}

    def release(self) -> Deferred[Any]:
        """Close our copies, and nothing but these.  @return: fires when they are."""
        last: Any = None
        for port in [port for port in self._ports.values() if port.connected]:
            _share(port)
            last = maybeDeferred(port.stopListening)
        self._ports.clear()
        return last if last is not None else maybeDeferred(lambda: None)


def _share(port: tcp.Port) -> None:
    """Let it be closed here only, for another process listens at the same socket: not shut down,
    and its name not removed."""
    port._shouldShutdown = False
    if isinstance(port, unix.Port):
        port.connectionLost = partial(tcp.Port.connectionLost, port)  # type: ignore[method-assign]


class _Successor(ProcessProtocol):
    """The new process, until it is ready.  Of the process that we start it is a child, for what
    systemd supervises has to be its own child: that one ends at once.

    @ivar ready: fires with its process id; fails with L{RuntimeError}.
    """

    def __init__(self) -> None:
        self.ready: Deferred[int] = Deferred()
        self._told = b""
        self._isSettled = False

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Something in the pipe: the process id, and in the end that it is ready."""
        self._told += data
        if self._told.endswith(READY):
            self._settle(int(self._told.split()[0]))

    def childConnectionLost(self, childFD: int) -> None:
        """It has not got ready."""
        self._settle(RuntimeError("it has ended"))

    def late(self) -> None:
        """It has had its time."""
        self._settle(RuntimeError("it takes too long"))
        if self._told:
            try:
                os.kill(int(self._told.split()[0]), signal.SIGKILL)
            except OSError:
                pass  # it has ended just now

    def _settle(self, result: Any) -> None:
        if not self._isSettled:
            self._isSettled = True
            (self.ready.errback if isinstance(result, Exception) else self.ready.callback)(result)


class Succession:
    """See the module."""

    def __init__(
        self,
        service: Any,
        sockets: Sockets,
        supervision: Supervision,
        environ: MutableMapping[str, str],
        argv: Sequence[str],
        reactor: Any,
        log: MailLog,
    ) -> None:
        """
        @param service: the program: has C{sessions} and C{standBack}.
        @param argv: that of the process, with its interpreter.
        """
        self._service = service
        self._sockets = sockets
        self._supervision = supervision
        predecessor = environ.pop(PREDECESSOR, "")
        self._predecessor = int(predecessor) if predecessor else -1
        if self._predecessor >= 0:
            os.set_inheritable(self._predecessor, False)
            os.write(self._predecessor, b"%d\n" % os.getpid())
        self._environ = dict(environ)
        self._argv = list(argv)
        self._reactor = reactor
        self._log = log
        self._isUnderWay = False

    def ready(self) -> None:
        """All has been started: tell the process before us."""
        self._sockets.forget()
        if self._predecessor >= 0:
            os.write(self._predecessor, READY)
            os.close(self._predecessor)

    def hangup(self) -> None:
        """SIGHUP."""
        if not self._isUnderWay:
            self._isUnderWay = True
            self._succeed().addErrback(lambda failure: self._log.bug("-", "reload", failure))

    @inlineCallbacks
    def _succeed(self) -> Any:
        self._log.event("reload", "-")
        _, err, status = yield getProcessOutputAndValue(
            self._argv[0], [*self._argv[1:], "--check"], dict(os.environ), reactor=self._reactor
        )
        if status:
            for line in err.decode("utf-8", "replace").splitlines() or [f"the check ends with {status}"]:
                self._log.trouble("-", "reload", line)
            self._isUnderWay = False
            return
        yield self._service.standBack()
        successor = _Successor()
        self._start(successor)
        deadline = self._reactor.callLater(START, successor.late)
        try:
            pid = yield successor.ready
        except RuntimeError as why:
            self._log.trouble("-", "reload", f"the new process does not get ready ({why}); all goes on as it was")
            self._isUnderWay = False
            return
        finally:
            if deadline.active():
                deadline.cancel()
        self._supervision.succeeded(pid)
        self._log.event("succeeded", "-", by=pid, sessions=self._service.sessions)
        yield self._sockets.release()
        self._leave(self._reactor.seconds() + LEAVE)

    def _start(self, successor: _Successor) -> None:
        """Start the new process."""
        names = self._sockets.descriptors()
        places = {name: FIRST + number for number, name in enumerate(names)}
        pipe = FIRST + len(names)
        environ = self._environ | self._supervision.forSuccessor()
        environ |= {SOCKETS: json.dumps(places), PREDECESSOR: str(pipe)}
        descriptors: Mapping[int, Any] = {0: 0, 1: 1, 2: 2, pipe: "r"} | {places[n]: names[n] for n in names}
        argv = list(self._argv)
        if "--pidfile=" not in argv and "umbcmail" in argv:
            argv.insert(argv.index("umbcmail"), "--pidfile=")  # or twistd takes ours for that of another program
        argv = ["setsid", "--fork", *argv]
        self._reactor.spawnProcess(successor, "/usr/bin/setsid", argv, environ, childFDs=descriptors)

    def _leave(self, until: float) -> None:
        """End, when there are no sessions any more, or it is time."""
        if self._service.sessions and self._reactor.seconds() < until:
            self._reactor.callLater(LOOK, self._leave, until)
            return
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass


def supervise(service: Any, reactor: Any, log: MailLog, sockets: Sockets | None) -> Callable[[], None]:
    """Tell who has started us how we are, and look for SIGHUP.

    @param service: has a list C{whenReady}.
    @param sockets: L{None}: the program can't be succeeded, and does not mind SIGHUP.
    @return: to be called when the reactor runs.
    """
    supervision = Supervision(os.environ, reactor)
    succession = None
    if sockets is not None:
        argv = [sys.executable, *sys.orig_argv[1:]]
        succession = Succession(service, sockets, supervision, os.environ, argv, reactor, log)
        service.whenReady.append(succession.ready)
    service.whenReady.append(supervision.ready)

    def running() -> None:
        hangup = succession.hangup if succession is not None else lambda: None
        signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(hangup))
        reactor.addSystemEventTrigger("before", "shutdown", supervision.stopping)

    return running
