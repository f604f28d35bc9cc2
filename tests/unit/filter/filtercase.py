"""A session with scripted filters, all in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.milters import ScriptedFilter
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.filter.chain import Filters
from umbcmail.filter.connection import MilterConnection
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.sockets import Socket
from umbcmail.interfaces import IContent
from umbcmail.maillog import MailLog
from umbcmail.queue.spool.memory import MemorySpool
from umbcmail.reply import Reply

CLIENT = Client("192.0.2.1", 1025, "c.test", "c.test", True)
RECEIVED = b"Received: from c.test\r\n\tby mx.y.test; now\r\n"
HEADER = b"From: a@b.test\r\nSubject:  two\r\n\tlines\r\nX-A: 1\r\nx-a:2\r\nMessage-ID: <1@b.test>\r\n"
BODY = b"Hello\r\n.dots\r\n"


class Wire(StringTransport):
    """One connection: what the MTA writes goes to the filter when the test pumps.

    @ivar writes: how often the MTA has written.
    """

    def __init__(self, protocol: MilterConnection, filter: ScriptedFilter) -> None:
        StringTransport.__init__(self)
        self.mta = protocol
        self.filter = filter
        self.writes = 0
        self.isLost = False

    def write(self, data: bytes) -> None:
        """Count."""
        self.writes += 1
        StringTransport.write(self, data)

    def abortConnection(self) -> None:
        """At once."""
        self.disconnecting = True

    def pump(self) -> bool:
        """Carry what is there, both ways.  @return: there was something."""
        octets = self.value()
        self.clear()
        said = self.filter.feed(octets) if octets else b""
        if said:
            self.mta.dataReceived(said)
        if (self.filter.isClosed or self.disconnecting) and not self.isLost:
            self.lose()
            return True
        return bool(octets)

    def lose(self) -> None:
        """The filter is gone."""
        self.isLost = self.filter.isClosed = True
        self.mta.connectionLost(Failure(ConnectionDone()))


class FilterCase(SynchronousTestCase):
    """A session.

    @ivar wires: all connections that were made, by name of the filter.
    @ivar filters: what the next connection to a name is answered by; L{None}: refused.
    """

    sizeLimit = 1_000_000
    policies: dict[str, Any] = {}

    def setUp(self) -> None:
        """All in memory."""
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.wires: list[Wire] = []
        self.discarded: list[IContent] = []
        self.filters: dict[str, Any] = {}
        spool = MemorySpool("o")
        self.successResultOf(spool.start())
        self.newContent = spool.newContent

    def begin(self, *filters: Any, nameOf: Any = None, **policies: Any) -> None:
        """A session with these filters, which are called f0, f1 and so on."""
        self.filters = {f"f{n}": each for n, each in enumerate(filters)}
        terms = [FilterTerms(name, Socket(name, "/x"), **{**self.policies, **policies}) for name in self.filters]
        self.chain = Filters(
            "delivery",
            terms,
            "mx.y.test",
            self.sizeLimit,
            lambda id: self.newContent(id),
            self.discarded.append,
            self.clock,
            self.log,
            nameOf,
        )
        self.chain._connect = self.connect  # type: ignore[method-assign]
        self.session = self.chain.session("c0", "delivery.mx", CLIENT)

    def connect(self, terms: FilterTerms, protocol: MilterConnection) -> Deferred[Any]:
        """In place of a socket."""
        filter = self.filters[terms.name]
        if filter is None:
            return fail(ConnectionRefusedError())
        if isinstance(filter, Deferred):
            return filter
        if isinstance(filter, list):
            filter = filter.pop(0)
        wire = Wire(protocol, filter)
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return succeed(protocol)

    def pump(self) -> None:
        """Until nothing moves."""
        for _ in range(1000):
            moved = [wire.pump() for wire in self.wires if not wire.isLost]
            if not any(moved):
                return
        self.fail("it never ends")

    def answer(self, asked: Any) -> Any:
        """What comes of a question."""
        if not isinstance(asked, Deferred):
            return asked
        self.pump()
        return self.successResultOf(asked)

    def hello(self) -> None:
        """The client introduces itself."""
        self.session.introduced(CLIENT)
        self.pump()

    def mail(self, sender: str = "s@z.test", id: str = "c0-1") -> Any:
        """MAIL."""
        return self.answer(self.session.mail(id, CLIENT, "", sender, ["SIZE=10"]))

    def rcpt(self, address: str = "x@y.test") -> Any:
        """RCPT."""
        return self.answer(self.session.recipient(Recipient(address)))

    def message(
        self, header: bytes = HEADER, body: bytes = BODY, recipients: tuple[str, ...] = ("x@y.test",), **values: Any
    ) -> Any:
        """The end of DATA: a reply, or envelope and octets."""
        envelope, content = self.content(header, body, recipients, **values)
        result = self.answer(self.session.message(envelope, content))
        self.session.ended()
        self.pump()
        if isinstance(result, Reply):
            return result
        return result[0], self.octets(result[1])

    def content(
        self, header: bytes = HEADER, body: bytes = BODY, recipients: tuple[str, ...] = ("x@y.test",), **values: Any
    ) -> tuple[Envelope, MemoryContent]:
        """A message."""
        content = MemoryContent(RECEIVED + header + b"\r\n" + body)
        to = tuple(map(Recipient, recipients))
        return Envelope("c0-1", "s@z.test", to, 0.0, CLIENT, content.size, **values), content

    def octets(self, content: IContent) -> bytes:
        """All of it."""
        if content.data is not None:
            return bytes(content.data)
        reader, found = content.open(), b""
        while piece := self.successResultOf(reader.read()):
            found += piece
        return found

    def whole(self, **values: Any) -> Any:
        """A whole transaction; the first refusal, or what becomes of the message."""
        self.hello()
        for asked in (self.mail, self.rcpt):
            if (refusal := asked()) is not None:
                self.session.ended()
                self.pump()
                return refusal
        if (refusal := self.answer(self.session.data())) is not None:
            self.session.ended()
            self.pump()
            return refusal
        return self.message(**values)

    def header(self, result: Any) -> list[bytes]:
        """The fields of what has come out."""
        header, _, _ = result[1].partition(b"\r\n\r\n")
        return [line + b"" for line in header.replace(b"\r\n\t", b"~").split(b"\r\n")]

    def logged(self) -> str:
        """The log so far."""
        self.log.flush()
        return b"".join(self.lines).decode()
