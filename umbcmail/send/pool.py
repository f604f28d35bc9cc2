"""The connections to one next hop: opened up to a limit, reused, closed when idle.

An L{Attempt<umbcmail.send.attempt.Attempt>} asks for a connection and is told
C{connected} or C{unreachable}, at once or later; who waits is served in order.
The connection used last is reused first, so that the others can be closed.
A hop that can't be reached is told to all who wait for it, one that takes only
some connections is not asked for more of them for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from umbcmail.destination import Hop, TLSRule
from umbcmail.hoststatus import HostStatus
from umbcmail.interfaces import IHosts
from umbcmail.maillog import MailLog
from umbcmail.outcome import Outcome
from umbcmail.send.chunks import LARGE, NEVER
from umbcmail.send.client import Client
from umbcmail.send.problems import STOPPING, connectProblem
from umbcmail.send.session import Dialect, Limits

if TYPE_CHECKING:
    from umbcmail.send.attempt import Attempt

CAUTION = 60.0
"""Seconds for which a hop that refused a further connection is not asked for one."""
CLEAR = 86400.0
"""Seconds for which a hop whose TLS does not work is spoken to in clear."""
UNCHUNKED = 86400.0
"""Seconds for which a hop that does not know the BDAT that it offers gets none."""


_CLEAR_RULE = TLSRule("none")


@dataclass(slots=True)
class Traffic:
    """What has happened with connections.

    @ivar made: connections that stood.
    @ivar notMade: that did not come to be.
    """

    made: int = 0
    notMade: int = 0


@dataclass(frozen=True)
class Setup:
    """What all connections of a courier share.

    @ivar clock: the reactor.
    @ivar tls: for hops that there is no other rule for.
    @ivar context: gives the TLS context.
    @ivar checkedContext: gives the one for certificates that are checked.
    @ivar connections: the most to one hop.
    @ivar idle: seconds that an unused connection is kept.
    @ivar messages: the most by one connection.
    @ivar bind: our addresses for IPv4 and IPv6, C{""} for any.
    @ivar chunksFrom: content in memory of more octets goes by BDAT; L{NEVER}: none does.
    @ivar unchunkedUntil: when hops that don't know BDAT may get it again, by address
        and port.
    @ivar traffic: of all hops.
    @ivar hosts: is told which hops answer and which do not.
    """

    clock: Any
    log: MailLog
    dialect: Dialect
    heloName: str
    limits: Limits
    tls: TLSRule
    context: Callable[[], SSL.Context]
    checkedContext: Callable[[], SSL.Context]
    connections: int
    idle: float
    messages: int
    bind: tuple[str, str] = ("", "")
    chunksFrom: int = LARGE
    unchunkedUntil: dict[tuple[str, int], float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    hosts: IHosts | None = None


class Pool:
    """The connections to one hop.

    @param clearUntil: when a hop whose TLS does not work may be tried with TLS
        again, by address and port; shared by all pools of a courier.
    @param rule: how its connections are protected.
    """

    def __init__(self, setup: Setup, hop: Hop, clearUntil: dict[tuple[str, int], float], rule: TLSRule) -> None:
        self.setup = setup
        self._rule = rule
        self._hop = hop
        self._clearUntil = clearUntil
        self._clients: set[Client] = set()
        self._idle: list[Client] = []
        self._connecting: set[_Connecting] = set()
        self._leaving: set[Client] = set()
        self._waiting: deque[Attempt] = deque()
        self._ceiling = setup.connections
        self._ceilingUntil = 0.0
        self._stopping = False

    @property
    def isEmpty(self) -> bool:
        """Nothing is left to look after."""
        return not (self._clients or self._connecting or self._leaving or self._waiting)

    @property
    def census(self) -> tuple[int, int, int, int]:
        """How many connections there are, and of these idle; how many are being
        opened; how many attempts wait for one."""
        return len(self._clients) + len(self._leaving), len(self._idle), len(self._connecting), len(self._waiting)

    # For attempts
    def acquire(self, attempt: Attempt, fresh: bool = False) -> None:
        """Get a connection for an attempt.

        @param fresh: a new one, as idle ones may be dead.
        """
        if self._stopping:
            attempt.unreachable(Outcome(STOPPING, str(self._hop), "connect"))
        elif self._idle and not fresh:
            attempt.connected(self._idle.pop())
        else:
            if fresh and self._idle and not self._hasRoom():
                self._idle[0].quit()
            if self._hasRoom():
                self._connect(attempt)
            else:
                self._waiting.append(attempt)

    def withdraw(self, attempt: Attempt) -> bool:
        """An attempt wants no connection any more; one that is being opened for it
        is for others then.

        @return: it was waiting for a connection to become free.
        """
        if attempt in self._waiting:
            self._waiting.remove(attempt)
            return True
        owners: list[_Connecting | Client] = [*self._connecting, *self._clients]
        for owner in owners:
            if owner.attempt is attempt:
                owner.attempt = None
        return False

    # For clients
    def opened(self, client: Client, attempt: Attempt | None) -> None:
        """A connection is ready for mail."""
        self._answered()
        if attempt is None:
            self.released(client)
        else:
            attempt.connected(client)

    def notOpened(self, attempt: Attempt | None, outcome: Outcome, tlsFault: bool) -> None:
        """A connection could not be made ready for mail, and is closed.

        @param tlsFault: it is worth a try in clear.
        """
        if tlsFault:
            self._clearUntil[self._hop.address, self._hop.port] = self.setup.clock.seconds() + CLEAR
            about = "TLS does not work, mail goes in clear for a day"
            self.setup.log.trouble(attempt.id if attempt is not None else "-", str(self._hop), about)
            if attempt is not None:
                self._connect(attempt)
            return
        established = sum(client.usable for client in self._clients)
        if established:
            self._ceiling = established
            self._ceilingUntil = self.setup.clock.seconds() + CAUTION
            if attempt is not None:
                self._waiting.appendleft(attempt)
            self._serve()
            return
        if outcome.isFaultOfTheWay:
            self._unreachable(outcome.reply.text)
        else:
            self._answered()  # if only with a refusal
        waiting, self._waiting = self._waiting, deque()
        for each in (attempt, *waiting):
            if each is not None:
                each.unreachable(outcome)

    def _unreachable(self, why: str) -> None:
        """There is a fault on the way to it."""
        hosts, host, now = self.setup.hosts, str(self._hop), self.setup.clock.seconds()
        if hosts is None:
            return
        isNew = hosts.find(host, now) is None

        def told(status: HostStatus) -> None:
            if isNew and status.failures == 1 and status.since == now:  # or somebody else was first
                self.setup.log.hostDown(host, why)

        hosts.failed(host, why, now).addCallback(told).addErrback(self._untold)

    def _answered(self) -> None:
        """There is no fault on the way to it."""
        hosts, host, now = self.setup.hosts, str(self._hop), self.setup.clock.seconds()
        if hosts is None or hosts.find(host, now) is None:
            return

        def told(before: HostStatus | None) -> None:
            if before is not None and before.failures:
                self.setup.log.hostAnswers(host, before.failures, now - before.since)

        hosts.answered(host, now).addCallback(told).addErrback(self._untold)

    def _untold(self, failure: Failure) -> None:
        self.setup.log.trouble(
            "-", str(self._hop), f"what is known of hosts can't be shared: {failure.getErrorMessage()}"
        )

    def takesChunks(self) -> bool:
        """Whether BDAT may be used when it is offered."""
        setup, hop = self.setup, self._hop
        if setup.chunksFrom == NEVER:
            return False
        until = setup.unchunkedUntil
        return not until or until.get((hop.address, hop.port), 0.0) <= setup.clock.seconds()

    def chunksRefused(self, attempt: Attempt | None) -> None:
        """The hop does not know the BDAT that it offers."""
        setup, hop = self.setup, self._hop
        setup.unchunkedUntil[hop.address, hop.port] = setup.clock.seconds() + UNCHUNKED
        about = "BDAT is offered but not known, mail goes by DATA for a day"
        setup.log.trouble(attempt.id if attempt is not None else "-", str(hop), about)
        for client in self._clients:
            client.withoutChunks()

    def released(self, client: Client) -> None:
        """A connection is free for the next transaction."""
        if client.closed:
            return
        if self._stopping:
            client.quit()
        elif self._waiting:
            self._waiting.popleft().connected(client)
        else:
            self._idle.append(client)

    def gone(self, client: Client) -> None:
        """A connection is not to be used any more."""
        self._clients.discard(client)
        if client in self._idle:
            self._idle.remove(client)
        self._leaving.add(client)
        if client.usable:
            self._serve()

    def parted(self, client: Client) -> None:
        """A connection has ended."""
        self._leaving.discard(client)

    # For the courier
    def check(self, now: float) -> None:
        """Look at all deadlines."""
        if now >= self._ceilingUntil:
            self._ceiling = self.setup.connections
        for client in (*self._clients, *self._leaving):
            if client.deadline <= now:
                client.expire()
        self._serve()

    def stop(self) -> None:
        """Take leave of idle connections; others when they are done."""
        self._stopping = True
        for client in tuple(self._idle):
            client.quit()
        for connecting in tuple(self._connecting):
            if connecting.attempt is None and connecting.connector is not None:
                connecting.connector.disconnect()
        waiting, self._waiting = self._waiting, deque()
        for attempt in waiting:
            attempt.unreachable(Outcome(STOPPING, str(self._hop), "connect"))

    # Connecting
    def _hasRoom(self) -> bool:
        return len(self._clients) + len(self._connecting) < self._ceiling

    def _serve(self) -> None:
        while self._waiting and not self._stopping:
            if self._idle:
                self._waiting.popleft().connected(self._idle.pop())
            elif self._hasRoom():
                self._connect(self._waiting.popleft())
            else:
                return

    def _connect(self, attempt: Attempt) -> None:
        hop = self._hop
        connecting = _Connecting(self, attempt)
        self._connecting.add(connecting)
        reactor, timeout = self.setup.clock, self.setup.limits.connect
        if not hop.port:
            connecting.connector = reactor.connectUNIX(hop.address, connecting, timeout=timeout)
            return
        ours = self.setup.bind[":" in hop.address]
        bindAddress = (ours, 0) if ours else None
        connecting.connector = reactor.connectTCP(hop.address, hop.port, connecting, timeout, bindAddress)

    def made(self, connecting: _Connecting) -> Client:
        """A connection stands, the greeting is to come."""
        self._connecting.discard(connecting)
        self.setup.traffic.made += 1
        rule = self._rule
        until = self._clearUntil.get((self._hop.address, self._hop.port), 0.0)
        if not self._hop.port or (rule.level == "may" and until > self.setup.clock.seconds()):
            rule = _CLEAR_RULE
        client = Client(self, self._hop, connecting.attempt, rule)
        self._clients.add(client)
        return client

    def notMade(self, connecting: _Connecting, reason: Failure) -> None:
        """There is no connection."""
        self._connecting.discard(connecting)
        self.setup.traffic.notMade += 1
        self.notOpened(connecting.attempt, Outcome(connectProblem(reason), str(self._hop), "connect"), False)


class _Connecting(ClientFactory):
    """Makes one connection."""

    noisy = False
    connector: IConnector | None = None

    def __init__(self, pool: Pool, attempt: Attempt) -> None:
        self._pool = pool
        self.attempt: Attempt | None = attempt

    def buildProtocol(self, addr: IAddress | None) -> Client:
        """See L{ClientFactory}."""
        return self._pool.made(self)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """See L{ClientFactory}."""
        self._pool.notMade(self, reason)
