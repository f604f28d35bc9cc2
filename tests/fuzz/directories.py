"""Answers of directories: L{umbcmail.accept.auth.dovecot}, L{umbcmail.accept.auth.saslauthd}."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport

from tests.fuzz.cuts import Input, seed
from umbcmail.accept.auth.dovecot import DovecotProtocol
from umbcmail.accept.auth.question import CantTell, Question
from umbcmail.accept.auth.saslauthd import REPLY_LIMIT, SaslauthdProtocol, verdict
from umbcmail.envelope import Client

_HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t7\nDONE\n"
SEEDS = [
    seed(_HELLO + b"OK\t1\tuser=ann\nFAIL\t2\tcode=temp_fail\n", 1),
    seed(_HELLO + b"FAIL\t2\ttemp\nOK\t1\tuser=a\x01t\x01b\n", 1),
    seed(_HELLO + b"CONT\t1\tx\nOK\t3\nVERSION\t2\t1\n", 1),
    seed(b"\0\2OK"),
    seed(b"\0\x08NO wrong"),
    seed(b"\0\x0aNO [ALERT]"),
]


def _dovecot(pieces: Any) -> tuple[Any, ...]:
    protocol = DovecotProtocol()
    protocol.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
    said: list[Any] = [None, None, None]
    protocol.ready.addBoth(lambda result: said.__setitem__(0, repr(type(result))))
    for number in (1, 2):
        asked = protocol.ask(Question("ann", b"x", Client()))
        asked.addBoth(lambda result, n: said.__setitem__(n, str(getattr(result, "value", result))), number)
    for piece in pieces:
        if not protocol.isLost:
            protocol.dataReceived(piece)
    protocol.connectionLost()
    assert None not in said, "everybody is told"
    return tuple(said)


def _saslauthd(pieces: Any) -> str:
    protocol = SaslauthdProtocol(b"")
    protocol.makeConnection(StringTransport())
    said: list[Any] = []
    protocol.answer.addCallback(verdict).addBoth(said.append)
    for piece in pieces:
        protocol.dataReceived(piece)
        assert len(protocol._reply) <= REPLY_LIMIT + 2 + len(piece)
    protocol.connectionLost()
    [result] = said
    if result not in (True, False):
        result.trap(CantTell)
    return str(result) if isinstance(result, bool) else "can't tell"


def check(data: bytes) -> None:
    """Everybody who asks is told once, the same wherever it is cut."""
    given = Input(data)
    if given.isSet(0):
        assert _dovecot(given.pieces()) == _dovecot([given.stream])
    else:
        found = _saslauthd(given.pieces())
        whole = _saslauthd([given.stream])
        # What stands behind a reply is seen only when it comes with it.
        assert found == whole or whole == "can't tell"
