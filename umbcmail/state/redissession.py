"""Connections to Redis: the wire of txredisapi, without its way of connecting.

The library's handlers let commands wait for a connection without a limit, give up for
ever when the password is wrong, and ask no Sentinel twice within ten seconds.  So of it
only the protocol is used, and what a connection must be is asked here: a L{Session} is a
server that takes the password, says that it is a master, and is subscribed to what the
caller wants to hear.  Whatever goes wrong with it ends it, and L{umbcmail.state.redisclient}
opens another one.

txredisapi imports the reactor, so this module is imported when the reactor is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txredisapi
from OpenSSL.SSL import Error as TLSError
from twisted.internet import error
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from umbcmail.sighting import StateError
from umbcmail.state.redisplace import Place, written

Heard = Callable[[bytes], None]

MOMENT = 0.05
"""Seconds in which what has come in is read."""
TROUBLES = (StateError, txredisapi.RedisError, error.ConnectError, error.ConnectionClosed, TimeoutError, OSError)
"""What may happen to a connection; all else is a bug."""


class _Wire:
    """What our protocols have in common."""

    isOver = False
    heardAt = 0.0
    lostBecause: Failure | None = None
    seconds: Callable[[], float]

    def end(self) -> None:
        """No more: the library would go on with what it has read."""
        self.isOver = True
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Octets, maybe late ones."""
        if not self.isOver:
            self.heardAt = self.seconds()
            super().dataReceived(data, unpause)  # type: ignore[misc]

    def connectionMade(self) -> None:
        """Nothing is asked by itself."""

    def connectionLost(self, why: Failure) -> None:
        """Remember why, then fail what waits."""
        self.lostBecause = why
        super().connectionLost(why)  # type: ignore[misc]


class Wire(_Wire, txredisapi.RedisProtocol):
    """For commands."""


class Stream(_Wire, txredisapi.SubscriberProtocol):
    """For what others publish.

    @ivar heard: called with each message.
    """

    heard: Heard

    def messageReceived(self, pattern: Any, channel: bytes, message: bytes) -> None:
        """Somebody has published something."""
        self.heard(message)


def reasonOf(failure: Failure, timeout: float = 0.0) -> str:
    """Why something could not be done, for people."""
    if failure.check(StateError):
        return failure.getErrorMessage()
    if failure.check(TimeoutError, error.TimeoutError):
        return f"no answer in {timeout:g} s"
    if failure.check(error.ConnectionRefusedError):
        return "connection refused"
    if failure.check(error.DNSLookupError):
        return "there is no such host"
    text = str(failure.getErrorMessage())
    if failure.check(txredisapi.ResponseError):
        return _answer(text)
    if failure.check(txredisapi.ConnectionError, error.ConnectionClosed):
        return "the connection was lost"
    return text or type(failure.value).__name__


def _answer(text: str) -> str:
    """An error that Redis has answered."""
    if text.startswith(("WRONGPASS", "AUTH ", "invalid password")):
        return f"the password (state.password-file) is not taken: {text}"
    if text.startswith("NOAUTH"):
        return f"a password is needed (state.password-file): {text}"
    return text


class Session:
    """A master that can be used.

    @ivar address: host and port, or path.
    @ivar why: why it has ended, or C{""}.
    @ivar ended: L{Deferred} that fires with C{why} when it has.
    """

    def __init__(self, address: tuple[str, int], timeout: float, reactor: Any) -> None:
        """
        @param timeout: seconds of silence, while something has been asked, after which it ends.
        """
        self.address = address
        self.why = ""
        self.ended: Deferred[str] = Deferred()
        self._timeout = timeout
        self._reactor = reactor
        self._wires: list[Any] = []
        self._isSilent = False
        self._timer = reactor.callLater(timeout / 4, self._watch)

    @property
    def server(self) -> str:
        """The server, for people."""
        return written(*self.address) if self.address[1] else self.address[0]

    def use(self, wire: Any) -> None:
        """A connection that belongs to it; commands go by the first."""
        self._wires.append(wire)
        wire.whenDisconnected().addCallback(lambda _: self.end(self._lost(wire)))

    def _lost(self, wire: Any) -> str:
        why = wire.lostBecause
        if why is not None and why.check(TLSError):
            return f"TLS fails: {why.value}"
        return "the connection was lost"

    def command(self, *words: Any) -> Deferred[Any]:
        """Ask for something; an answer that is an error ends the session.

        @return: L{Deferred}; fails with L{StateError}.
        """
        return self.ask(self._wires[0], self._wires[0].execute_command, *words)

    def script(self, text: str, keys: list[Any], arguments: list[Any]) -> Deferred[Any]:
        """The same for a script; by its hash once the server knows it."""
        return self.ask(self._wires[0], self._wires[0].eval, text, keys, arguments)

    def listening(self) -> Deferred[Any]:
        """Whether the other connection is alive."""
        return self.ask(self._wires[-1], self._wires[-1].execute_command, "PING")

    def ask(self, wire: Any, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Ask by one of the connections."""
        if not wire.replyQueue.waiting:
            wire.heardAt = self._reactor.seconds()
        return maybeDeferred(call, *arguments).addErrback(self._failed)

    def _watch(self) -> None:
        """Whether it is silent.  When we ourselves did not get to our work there may be
        answers that nobody has read yet: so it must be so twice, with a look at the sockets
        in between."""
        last = self._reactor.seconds() - self._timeout
        isSilent = any(wire.replyQueue.waiting and wire.heardAt < last for wire in self._wires)
        if isSilent and self._isSilent:
            self.end(f"no answer in {self._timeout:g} s")
            return
        self._isSilent = isSilent
        self._timer = self._reactor.callLater(MOMENT if isSilent else self._timeout / 4, self._watch)

    def _failed(self, failure: Failure) -> Any:
        if not self.why:
            lost = failure.check(txredisapi.ConnectionError)
            self.end(self._lost(self._wires[0]) if lost else reasonOf(failure, self._timeout))
        raise StateError(f"{self.server}: {self.why}") from None

    def end(self, why: str) -> None:
        """It is of no more use."""
        if self.why:
            return
        self.why = why
        if self._timer.active():
            self._timer.cancel()
        for wire in self._wires:
            wire.end()
        self.ended.callback(why)


class Dialler:
    """Opens sessions.

    @ivar trouble: what is wrong with the Sentinels, though one of them answers; or C{""}.
    """

    def __init__(self, place: Place, password: bytes | None, trust: Any, timeout: float, reactor: Any) -> None:
        """
        @param trust: what signs the server's certificate, for
            C{optionsForClientTLS}; L{None}: what the system trusts.
        @param timeout: seconds that each answer may take.
        """
        self.trouble = ""
        self._place = place
        self._password = password
        self._trust = trust
        self._timeout = timeout
        self._reactor = reactor

    @inlineCallbacks
    def open(self, channel: str, heard: Heard) -> Any:
        """@return: L{Deferred} of a L{Session}; fails with L{StateError}."""
        place = self._place
        address = (yield self.master()) if place.service else (place.path, 0) if place.path else place.hosts[0]
        session = Session(address, self._timeout, self._reactor)
        try:
            wire = yield self._connect(address, Wire)
            session.use(wire)
            if self._password is not None:
                yield session.command("AUTH", self._password)
            role = yield session.command("ROLE")
            if role[0] != b"master":
                raise StateError("is a replica, not a master")
            if place.db:
                yield session.command("SELECT", place.db)
            stream = yield self._connect(address, Stream)
            stream.heard = heard
            session.use(stream)
            if self._password is not None:
                yield session.ask(stream, stream.execute_command, "AUTH", self._password)
            yield session.ask(stream, stream.execute_command, "SUBSCRIBE", channel)
        except BaseException:
            why = Failure()
            reason = session.why or reasonOf(why, self._timeout)
            session.end(reason)
            if not why.check(*TROUBLES):
                raise
            raise StateError(f"{session.server}: {reason}") from None
        return session

    def _connect(self, address: tuple[str, int], protocol: Any) -> Deferred[Any]:
        host, port = address

        def make() -> Any:
            wire = protocol(charset=None, convertNumbers=False)
            wire.seconds = self._reactor.seconds
            return wire

        factory = Factory.forProtocol(make)
        factory.noisy = False
        if not port:
            return UNIXClientEndpoint(self._reactor, host, self._timeout).connect(factory)
        endpoint: Any = HostnameEndpoint(self._reactor, host, port, timeout=self._timeout)
        if self._place.isTLS:
            endpoint = wrapClientTLS(optionsForClientTLS(host, trustRoot=self._trust), endpoint)
        return endpoint.connect(factory).addTimeout(self._timeout, self._reactor)

    # Sentinels

    @property
    def hasSentinels(self) -> bool:
        """Who the master is has to be asked."""
        return bool(self._place.service)

    @inlineCallbacks
    def master(self) -> Any:
        """Ask all Sentinels: one that was away may tell of a master that is none any
        more, so who knows of the latest change is believed.

        @return: L{Deferred} of host and port; fails with L{StateError}.
        """
        hosts = self._place.hosts
        found = yield DeferredList([self._ask(host) for host in hosts], consumeErrors=True)
        known = [answer for isGood, answer in found if isGood]
        troubles = [
            f"Sentinel {written(*host)}: {reasonOf(answer, self._timeout)}"
            for host, (isGood, answer) in zip(hosts, found, strict=True)
            if not isGood
        ]
        self.trouble = "; ".join(troubles)
        if not known:
            raise StateError(self.trouble)
        return max(known)[1]

    @inlineCallbacks
    def _ask(self, host: tuple[str, int]) -> Any:
        """@return: L{Deferred} of the epoch of the last change, and host and port."""
        wire = yield self._connect(host, Wire)
        question = ("SENTINEL", "MASTER", self._place.service)
        try:
            try:
                answer = yield self._within(wire.execute_command(*question))
            except txredisapi.ResponseError as why:
                if self._password is None or not str(why).startswith("NOAUTH"):
                    raise
                yield self._within(wire.execute_command("AUTH", self._password))
                answer = yield self._within(wire.execute_command(*question))
        finally:
            wire.end()
        state = dict(zip(answer[::2], answer[1::2], strict=False))
        return int(state[b"config-epoch"]), (state[b"ip"].decode(), int(state[b"port"]))

    def _within(self, asked: Deferred[Any]) -> Deferred[Any]:
        return asked.addTimeout(self._timeout, self._reactor)
