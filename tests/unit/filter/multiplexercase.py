"""The multiplexer without sockets: what an MTA says, and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from umbcmail.examination import Examined, Opinion
from umbcmail.filter import commands
from umbcmail.filter.answers import readAnswer
from umbcmail.filter.codec import Packets
from umbcmail.filter.multiplexer.kept import Kept
from umbcmail.filter.multiplexer.panel import Panel, Seat
from umbcmail.filter.multiplexer.session import Session
from umbcmail.filter.multiplexer.tally import SocketTally
from umbcmail.filter.negotiation import Negotiation
from umbcmail.interfaces import IModule, ISeal
from umbcmail.maillog import MailLog


@implementer(IModule)
class Module:
    """Says what a test wants.

    @ivar says: an opinion, an exception, or a L{Deferred}.
    @ivar seen: what it was shown.
    """

    mark = "X-Virus-Status"

    def __init__(self, says: Any = None, claims: tuple[bytes, ...] = (b"x-virus-",)) -> None:
        self.says = Opinion() if says is None else says
        self.claims = claims
        self.seen: list[Examined] = []

    def examine(self, examined: Examined) -> Opinion | Deferred[Opinion]:
        """See L{IModule.examine}."""
        self.seen.append(examined)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says  # type: ignore[no-any-return]


class Transport(StringTransport):
    """One that says how it was closed."""

    isAborted = False

    def abortConnection(self) -> None:
        """At once."""
        self.isAborted = True


class Gate:
    """What a session belongs to."""

    name = "mx"
    deadline = 300.0
    memory = 4000
    limit = 10000

    def __init__(self, panel: Panel, clock: Clock, log: MailLog) -> None:
        self.panel = panel
        self.log = log
        self.tally = SocketTally()
        self.hasRoom = True
        self.sessions: list[Session] = []
        self.written: list[Callable[[], Any]] = []
        self._clock = clock

    def came(self, session: Session) -> bool:
        """See L{umbcmail.filter.multiplexer.session.Owner}."""
        self.sessions.append(session)
        return self.hasRoom

    def left(self, session: Session) -> None:
        """See L{umbcmail.filter.multiplexer.session.Owner}."""
        self.sessions.remove(session)

    def newKept(self, hold: Callable[[bool], None]) -> Kept:
        """See L{umbcmail.filter.multiplexer.session.Owner}."""

        def inThread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()

            def run() -> None:
                try:
                    result = function(*arguments)
                except Exception:
                    done.errback()
                else:
                    done.callback(result)

            self.written.append(run)
            return done

        return Kept(self.memory, self.limit, "/tmp", inThread, hold)

    def newId(self) -> str:
        """See L{umbcmail.filter.multiplexer.session.Owner}."""
        return "mx-1"


class MultiplexerCase(SynchronousTestCase):
    """A session.

    @ivar modules: by name.
    """

    def setUp(self) -> None:
        """Nothing is there yet."""
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)

    def begin(
        self, *modules: Any, offer: Negotiation | None = None, seal: ISeal | None = None, **named: Any
    ) -> Negotiation:
        """An MTA connects.  @return: what the multiplexer wants of it."""
        failure, servers = named.get("failure", "delay"), named.get("servers", ())
        kinds: Mapping[int, str] = dict(enumerate(named.get("kinds", ())))
        seats = [Seat(f"m{n}", kinds.get(n, f"k{n}"), each, 30.0, failure) for n, each in enumerate(modules)]
        self.gate = Gate(Panel(seats, seal, servers, self.clock, self.log), self.clock, self.log)
        self.connect()
        self.session.dataReceived((offer or Negotiation()).packet())
        [answer] = self.heard()
        assert isinstance(answer, Negotiation)
        return answer

    def connect(self) -> None:
        """One more connection."""
        self.transport = Transport()
        self.packets = Packets()
        self.session = Session(self.gate, self.clock)
        self.session.makeConnection(self.transport)

    def heard(self) -> list[Any]:
        """What the MTA hears."""
        octets = self.transport.value()
        self.transport.clear()
        return [readAnswer(letter, data) for letter, data in self.packets.feed(octets)]

    def tell(self, *octets: bytes) -> list[Any]:
        """What the MTA says.  @return: what it hears."""
        self.session.dataReceived(b"".join(octets))
        return self.heard()

    def client(self) -> bytes:
        """A client comes."""
        macros = commands.macros(b"C", {b"j": b"mx.y.test"})
        connect = commands.connect(b"c.test", commands.IPV4, 1025, b"192.0.2.1")
        return macros + connect + commands.helo(b"helo.test")

    def message(self, *fields: tuple[bytes, bytes], body: bytes = b"text\r\n", id: bytes = b"q1") -> bytes:
        """A message of the client."""
        parts = [commands.macros(b"M", {b"i": id}), commands.mail(b"<s@z.test>"), commands.rcpt(b"<x@y.test>")]
        parts += [commands.BEGIN_DATA]
        parts += [commands.header(name, value) for name, value in fields or ((b"Subject", b" a"),)]
        parts += [commands.END_HEADER, *([commands.body(body)] if body else []), commands.END_BODY]
        return b"".join(parts)

    def work(self) -> None:
        """Let threads do what they are to do."""
        while self.gate.written:
            self.gate.written.pop(0)()

    def logged(self) -> str:
        """The log so far."""
        self.log.flush()
        return b"".join(self.lines).decode()
