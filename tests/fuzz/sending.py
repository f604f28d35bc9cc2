"""A session with a next hop that says anything: L{umbcmail.send.client} and all behind
it, up to the outcomes of the recipients."""

from __future__ import annotations

from tests.fuzz.cuts import Input, seed
from tests.unit.send.fakehop import World
from umbcmail.send.lmtp import LMTPCourier
from umbcmail.send.smtp import SMTPCourier

_HELLO = b"220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"
_GO = b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"
SEEDS = [
    seed(_HELLO + _GO + b"250 taken\r\n221 bye\r\n"),
    seed(b"220 mx\r\n250 mx\r\n" + _GO + b"250 taken\r\n", 4),
    seed(_HELLO + b"250 ok\r\n550 5.1.1 no\r\n452 4.5.3 many\r\n450 later\r\n354 go\r\n451 no\r\n250 reset\r\n"),
    seed(_HELLO + _GO + b"250 a\r\n550 b\r\n451 c\r\n", 1),
    seed(b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n250 mx\r\n" + _GO, 8),
    seed(_HELLO + b"550 no\r\n503 no\r\n503 no\r\n503 no\r\n354 go\r\n", 2),
]
_ADDRESSES = ("a@d.test", "b@d.test", "c@d.test")


def check(data: bytes) -> None:
    """Each recipient gets one outcome, by what was said; never a bug; nothing is
    sent as text that the hop has not asked for."""
    given = Input(data)
    world = World(LMTPCourier if given.isSet(0) else SMTPCourier)
    outcomes = world.deliver(*_ADDRESSES, sender="" if given.isSet(1) else "me@example.org")
    link = world.link()
    sent = link.said()
    for piece in _slow(given) if given.isSet(2) else given.pieces():
        sent += link.answer(piece)
        if link.isClosed():
            break
    if given.isSet(4):
        world.reactor.advance(1000)
    if given.isSet(5):
        world.reactor.advance(1000)
    link.lose()
    for _ in range(20):
        if outcomes.got is not None:
            break
        if len(world.reactor.tcpClients) > world._seen:
            world.refuse()
        else:
            world.reactor.advance(30)
    found = list(outcomes)
    assert len(found) == len(_ADDRESSES)
    log = world.logged()
    assert b" bug " not in log, log
    text, isTold = b"Subject: s\r\n\r\n..b\r\n.\r\n", b"354" in given.stream
    assert sent.count(text) <= len(_ADDRESSES) + 1
    assert text not in sent or isTold
    for outcome in found:
        assert not outcome.isSent or (text in sent and 200 <= outcome.reply.code < 300), outcome


def _slow(given: Input) -> list[bytes]:
    """A line at a time, as most servers answer."""
    return given.stream.splitlines(keepends=True)
