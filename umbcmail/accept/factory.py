"""The factories of the two agents, on L{twisted.mail.smtp.SMTPFactory}.

Made by `service`, one for each port.  A factory counts connections (see `limits`)
and turns away what is over the limits before a session is made.  Connections of
load balancers become L{Arrival}s first, and sessions when their client is known; those
of programs of this host, by UNIX sockets, become L{Visit}s first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.mail.smtp import SMTPFactory

from umbcmail import reply
from umbcmail.accept import fixups
from umbcmail.accept.arrival import Arrival
from umbcmail.accept.dialogue import Dialogue
from umbcmail.accept.handover import Rules
from umbcmail.accept.leniency import LENIENCIES, SPACE_AFTER_COLON
from umbcmail.accept.limits import OPTIONS as LIMITS
from umbcmail.accept.limits import Crowd, Limits
from umbcmail.accept.portkinds import DEFAULTS, kindOf
from umbcmail.accept.proxy import ProxyHeader
from umbcmail.accept.session import SMTPSession
from umbcmail.accept.tally import Tally
from umbcmail.accept.visit import OURS, Visit
from umbcmail.clientaddress import clientAddress
from umbcmail.envelope import Client
from umbcmail.maillog import MailLog
from umbcmail.options import (
    ADDRESS,
    NETWORK,
    NETWORK_OR_DOMAIN,
    WORD,
    Option,
    Section,
    choice,
    duration,
    integer,
    listOf,
    size,
)
from umbcmail.reply import Reply

AGENT = Section(
    "agent.*",
    "An agent: what takes mail in.",
    (
        Option(
            "address",
            ADDRESS,
            None,
            "Address that its TCP ports listen at which name none themselves; not set: all addresses.",
        ),
        Option("size-limit", size(1024), "100MiB", "Octets that a message may have."),
        Option("recipient-limit", integer(100), 1000, "Recipients that a message may have."),
        Option("hop-limit", integer(10), 100, "Received fields that a message may have."),
        Option("error-limit", integer(5), 50, "Wrong commands after which a client is sent away."),
        Option("command-limit", integer(20), 1000, "Commands without a message after which a client is sent away."),
        Option("idle", duration(1), "5m", "Time without a sign of the client after which it is sent away."),
        Option("connections", integer(1), 5000, "Connections at the same time, of all clients, for each port."),
        Option("connections-per-client", integer(1), 200, "Connections at the same time, of one client address."),
        *LIMITS,
        Option(
            "bare-line-ends",
            listOf(NETWORK_OR_DOMAIN),
            [],
            "Networks whose clients may send bare CR or LF in messages; each is made a CRLF.",
        ),
        Option(
            "leniencies",
            listOf(choice(*LENIENCIES)),
            [SPACE_AFTER_COLON],
            "What is taken though it is wrong: space-after-colon, dots-in-local-part, no-brackets.",
        ),
        Option("mail-limit", integer(0), 0, "Messages that a connection may bring; 0: as many as it likes."),
        Option(
            "hold-limit", duration(0), "7d", "How long a login may have a message held (FUTURERELEASE); 0s: not at all."
        ),
        Option(
            "deliver-by",
            duration(0),
            "1m",
            "The least time that a login may ask a message to be delivered in (DELIVERBY); 0s: not offered.",
        ),
    ),
    names=("delivery", "relay"),
)

PORT = Section(
    "agent.*.port.*",
    "A port of an agent.",
    (
        Option("endpoint", WORD, None, "Where to listen, as a Twisted endpoint: tcp:25:interface=192.0.2.1.", True),
        Option(
            "tls",
            choice("offer", "require", "first", "never"),
            "offer",
            "STARTTLS on offer; needed before mail; TLS from the first octet; or no TLS at all.",
        ),
        Option(
            "relay",
            listOf(WORD),
            ["networks", "drac", "auth"],
            "Rules that say who may send to other domains, in order.",
        ),
        Option(
            "auth",
            choice("never", "offer", "require"),
            None,
            "AUTH under TLS: never, offered, or needed before mail; not set: offered where there are checkers and TLS.",
        ),
        Option(
            "proxy",
            listOf(NETWORK),
            [],
            "Load balancers: connections from these networks must begin with a PROXY header, version 1 or 2.",
        ),
        Option("xclient", listOf(NETWORK), [], "Networks of filters that may say by XCLIENT whom they speak for."),
        *fixups.OPTIONS,
    ),
    defaults=DEFAULTS,
    kindOf=kindOf,
)


class _Refusal(Protocol):
    """Says one reply and closes.  Where TLS comes first nothing can be said, and to
    wait for a handshake would leave it to the client how many connections there are."""

    transport: Any

    def __init__(self, answer: Reply, secureFirst: bool) -> None:
        self._answer = answer
        self._secureFirst = secureFirst

    def connectionMade(self) -> None:
        """Say it."""
        if self._secureFirst:
            self.transport.abortConnection()
            return
        self.transport.write(self._answer.wire)
        self.transport.loseConnection()


class AgentFactory(SMTPFactory):
    """Makes the sessions of one port."""

    noisy = False

    def __init__(
        self,
        rules: Rules,
        clock: IReactorTime,
        log: MailLog,
        newId: Callable[[], str],
        idle: float,
        connections: int,
        connectionsPerClient: int,
        tls: Callable[[], Any] | None = None,
        tlsFirst: bool = False,
        portal: Any = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        isBalancer: Callable[[str], bool] | None = None,
        userName: Callable[[int], Deferred[str]] | None = None,
    ) -> None:
        """
        @param newId: makes ids for connections.
        @param tls: makes the context of a TLS server, or L{None}.
        @param tlsFirst: TLS comes before the greeting.
        @param portal: L{twisted.cred.portal.Portal}.
        @param isBalancer: whether a peer (by address) must begin with a PROXY
            header, or L{None} where none must.
        @param userName: finds the name of a user of this host by its number; given where
            clients connect by a UNIX socket.
        """
        SMTPFactory.__init__(self, portal)
        self.domain = rules.hostName.encode()
        self._rules = rules
        self._clock = clock
        self._log = log
        self._newId = newId
        self._idle = idle
        self._limits = limits
        self._isBalancer = isBalancer
        self._userName = userName
        self._crowd = Crowd(clock, limits, connections, connectionsPerClient)
        self._tls = tls
        self._tlsFirst = tlsFirst
        self._sessions: dict[SMTPSession, str] = {}
        self._arrivals: dict[Arrival | Visit, None] = {}
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A session for a new connection, or what comes before one."""
        if self._userName is not None:
            return self._visit(self._userName)
        address = clientAddress(getattr(addr, "host", "") or "127.0.0.1")
        port = getattr(addr, "port", 0)
        if self._isBalancer is None or not self._isBalancer(address):
            return self._session(address, port)
        if not self._crowd.enter():
            return self._refusal(address, reply.TOO_MANY_CONNECTIONS)

        def admit(arrival: Arrival, header: ProxyHeader) -> Protocol:
            self._unarrived(arrival)
            if not header.address:
                return self._session(address, port)
            return self._session(header.address, header.port, address)

        arrival = Arrival(address, self._clock, self._log, self._limits.handshake, admit, self._unarrived)
        self._arrivals[arrival] = None
        return arrival

    def _visit(self, userName: Callable[[int], Deferred[str]]) -> Protocol:
        """A program of this host."""
        if not self._crowd.enter():
            return self._refusal("", reply.TOO_MANY_CONNECTIONS)

        def admit(visit: Visit, login: str) -> Protocol:
            self._unarrived(visit)
            return self._session("", 0, login=login, isOurs=visit.uid == OURS)

        visit = Visit(userName, admit, self._unarrived, self._log)
        self._arrivals[visit] = None
        return visit

    def _unarrived(self, arrival: Arrival | Visit) -> None:
        self._arrivals.pop(arrival, None)
        self._crowd.leave()
        self._checkEmpty()

    @property
    def sessions(self) -> int:
        """Clients that are connected."""
        return len(self._sessions)

    @property
    def isFull(self) -> bool:
        """No further client has a place."""
        return self._crowd.isFull

    @property
    def tally(self) -> Tally:
        """What has happened here."""
        return self._rules.tally

    def _refusal(self, address: str, answer: Reply) -> Protocol:
        self._rules.tally.turnedAway += 1
        self._log.rejected("-", Client(address), "connect", answer)
        return _Refusal(answer, self._tlsFirst)

    def _session(self, address: str, port: int, balancer: str = "", login: str = "", isOurs: bool = False) -> Protocol:
        """The session of a client, if there is room for it."""
        counted = address or f"user {login}"
        refused = self._crowd.admit(counted)
        if refused is not None:
            return self._refusal(address, refused)
        self._rules.tally.connections += 1
        client = Client(address, port, login=login)
        id = self._newId()
        self._log.connected(id, client, self._rules.port, balancer)
        canStartTLS = self._tls is not None and not self._tlsFirst
        dialogue = Dialogue(id, self._rules, client, self._log, canStartTLS, isOurs)
        session = SMTPSession(
            dialogue,
            self._clock,
            self._log,
            self._idle,
            self._rules.normalises(address),
            self._tls,
            self._tlsFirst,
            self._gone,
            self._limits,
        )
        dialogue.hold = session.hold
        if self._rules.isFilter is not None:
            dialogue.introduced = lambda client: session.introduced(self._rules.normalises(client.address))
        self._sessions[session] = counted
        session.factory = self
        return session

    def _gone(self, session: SMTPSession) -> None:
        self._crowd.release(self._sessions.pop(session))
        self._checkEmpty()

    def _checkEmpty(self) -> None:
        if self._empty is not None and not self._sessions and not self._arrivals:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def drain(self, patience: float) -> Deferred[None]:
        """End all sessions: idle ones at once, others when the answer that their
        client waits for is out.

        @param patience: seconds after which the rest is cut off.
        @return: fires when there is none left.
        """
        for arrival in list(self._arrivals):
            arrival.cut()
        if not self._sessions:
            return succeed(None)
        empty = self._empty = Deferred()
        for session in list(self._sessions):
            session.drain()
        deadline = self._clock.callLater(patience, self._cut)
        return empty.addCallback(lambda _: deadline.cancel() if deadline.active() else None)

    def _cut(self) -> None:
        for session in list(self._sessions):
            session.transport.abortConnection()


class DeliveryFactory(AgentFactory):
    """Sessions of the delivery agent: the world talks to it."""


class RelayFactory(AgentFactory):
    """Sessions of the relay agent: client programs talk to it."""
