"""The milter protocol, both ways: L{umbcmail.filter.codec} and the modules on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from umbcmail.filter import answers, commands
from umbcmail.filter.codec import MilterError, Packets
from umbcmail.filter.negotiation import Negotiation, agreed, chosen

_LIMIT = 4096
SEEDS = [
    Negotiation(6, 0x1FF, 0x1FFFFF, {b"M": (b"i", b"mail_addr"), b"E": ()}).packet(),
    commands.macros(b"C", {b"j": b"mx", b"client_addr": b"192.0.2.1"})
    + commands.connect(b"c.test", b"6", 25, b"IPv6:2001:db8::1")
    + commands.helo(b"c.test"),
    commands.mail(b"<>", [b"SIZE=1"]) + commands.rcpt(b"<a@b.c>") + commands.BEGIN_DATA,
    commands.header(b"Subject", b"a\n\tb") + commands.END_HEADER + commands.body(b"x\r\n") + commands.END_BODY,
    commands.whole(b"Subject: a\r\n\r\nx\r\n") + commands.unknown(b"VERB x") + commands.ABORT + commands.QUIT,
    answers.CONTINUE + answers.PROGRESS + answers.replyCode(b"550-5.7.1 a\r\n550 5.7.1 b"),
    answers.addHeader(b"X", b" y") + answers.insertHeader(1, b"X", b"y") + answers.changeHeader(2, b"X", b""),
    answers.changeSender(b"<a@b.c>", b"SIZE=1") + answers.addRecipient(b"<a@b.c>", b"NOTIFY=NEVER"),
    answers.addRecipient(b"<a@b.c>") + answers.deleteRecipient(b"<a@b.c>") + answers.replaceBody(b"new"),
    answers.quarantine(b"why") + answers.ACCEPT,
    b"UNKNOWN COMMAND\n",
]


def check(data: bytes) -> None:
    """Octets are packets or a L{MilterError}, cut anywhere, and packets are values or
    the same; what has been read is written and read again as it was."""
    reader, whole = Packets(_LIMIT), Packets(_LIMIT)
    found: list[tuple[bytes, bytes]] = []
    isWrong = False
    try:
        for at in range(len(data)):
            found += reader.feed(data[at : at + 1])
    except MilterError:
        isWrong = True
    try:
        assert whole.feed(data) == found and not isWrong
        assert whole.isEmpty == reader.isEmpty
    except MilterError:
        assert isWrong
    for letter, rest in found:
        _values(letter, rest)


def _values(letter: bytes, data: bytes) -> None:
    readers: tuple[Callable[[bytes, bytes], Any], ...] = (commands.readCommand, answers.readAnswer)
    for read in readers:
        try:
            value = read(letter, data)
        except MilterError:
            continue
        if isinstance(value, Negotiation):
            _negotiation(value)


def _negotiation(value: Negotiation) -> None:
    assert Negotiation.read(value.packet()[5:]) == value
    try:
        holds = agreed(Negotiation(), value)
        assert holds.version <= 6 and not holds.actions & ~0x1FF and not holds.steps & ~0x1FFFFF
    except MilterError:
        pass
    try:
        answer = chosen(value, Negotiation(6, 1, 0x1FFFFF))
        assert agreed(value, answer)
    except MilterError:
        pass
