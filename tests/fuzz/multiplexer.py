"""What MTAs, scanners and messages say to the multiplexer: L{umbcmail.filter.multiplexer} and the
modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from tests.fuzz.cuts import Input, seed
from tests.unit.filter.multiplexercase import Gate, Module, Transport
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client
from umbcmail.examination import Examined, ModuleError, Opinion
from umbcmail.filter import commands
from umbcmail.filter.answers import readAnswer
from umbcmail.filter.codec import Packets
from umbcmail.filter.modules import clamd, pattern, sealtext, spamd
from umbcmail.filter.multiplexer.panel import Panel, Seat
from umbcmail.filter.multiplexer.session import Session
from umbcmail.filter.negotiation import Negotiation
from umbcmail.maillog import MailLog

_CLIENT = commands.connect(b"c.test", b"6", 25, b"IPv6:2001:db8::1") + commands.helo(b"c.test")
_MESSAGE = (
    commands.macros(b"M", {b"i": b"q1", b"auth_authen": b"ann"})
    + commands.mail(b"<>", [b"SIZE=1"])
    + commands.rcpt(b"<a@b.c>")
    + commands.header(b"X-Virus-Status", b" Clean\n\tx")
    + commands.header(b"Authentication-Results", b" (a) mx.test; spf=pass")
    + commands.END_HEADER
    + commands.body(b"x\r\n")
    + commands.END_BODY
)
_WHOLE = commands.mail(b"<>") + commands.whole(b"X-Virus-Status: Clean\r\nSubject : a\r\n\tb\r\nno field\r\n\r\nx\r\n")
SEEDS = [
    seed(Negotiation().packet() + _CLIENT + _MESSAGE + commands.ABORT + _MESSAGE + commands.QUIT, 0, b"\3\0"),
    seed(Negotiation(2, 0x1F, 0x7F).packet() + _CLIENT + _MESSAGE),
    seed(Negotiation().packet() + commands.QUIT_NEW_CONNECTION + _CLIENT + _MESSAGE, 0, b""),
    seed(Negotiation().packet() + _CLIENT + _WHOLE + _WHOLE + _MESSAGE),
    b"stream: Eicar FOUND\0",
    b"ClamAV 1.4.3/27500/Mon Jan  5 09:12:33 2026\0",
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: True ; 15.2 / 5.0\r\n\r\nA",
    b"v=1; k=3f2a91c4; t=1767225600; i=4ABC-1; h=mx1; c=clamav,spamassassin:1.2; b=AAAA",
    b"Subject: a\r\n\r\nSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8gSGVsbG8=\r\n=41=\r\n",
]


def check(data: bytes) -> None:
    """Whatever an MTA says, it is answered by packets or not at all, and nothing breaks; what
    scanners say has a meaning, or is an error."""
    _session(data)
    readers: tuple[Callable[[bytes], Any], ...] = (clamd.foundIn, clamd.versionIn, spamd.judgementIn)
    for read in readers:
        try:
            read(data)
        except ModuleError:
            continue
    found = sealtext.readSeal(data)
    if found is not None:
        assert sealtext.readSeal(found.text.encode()) == found
    for look in pattern.looks(data):
        assert isinstance(look, bytes)
    text = data.decode("latin-1")
    trace = spamd.received(Client(text, 1, text, text, True), text, text, 0.0)
    assert trace.count(b"\r\n") == 3 and trace.isascii()
    examined = Examined("q", Client(), "", (), "", (), 0, MemoryContent(data))
    assert isinstance(pattern.Pattern().examine(examined).result, Opinion)


def _session(data: bytes) -> None:
    given = Input(data)
    clock, lines = Clock(), []  # type: ignore[var-annotated]
    log = MailLog(lines.append, clock)
    module = Module(Opinion(headers=(("X-Virus-Status", "Clean"),)))
    gate = Gate(Panel([Seat("m", "m", module, 30.0, "delay")], None, ["mx.test"], clock, log), clock, log)
    session, transport = Session(gate, clock), Transport()
    session.makeConnection(transport)
    for piece in given.pieces():
        session.dataReceived(piece)
        while gate.written:
            gate.written.pop(0)()
    packets = Packets()
    for letter, rest in packets.feed(transport.value()):
        readAnswer(letter, rest)
    assert packets.isEmpty
    session._close(True)
    log.flush()
    assert b" bug " not in b"".join(lines), lines
