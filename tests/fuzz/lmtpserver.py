"""A session with the local delivery agent: L{umbcmail.lda.session} and all behind it, up to
fake processes of users."""

from __future__ import annotations

from tests.fuzz.cuts import Input, seed
from tests.unit.lda.test_lda_session import SessionCase

_ENVELOPE = b"LHLO c.test\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<fred@y.test>\r\nRCPT TO:<nobody@y.test>\r\n"
SEEDS = [
    seed(_ENVELOPE + b"DATA\r\nSubject: s\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n"),
    seed(
        _ENVELOPE + b"RCPT TO:<fred+d@y.test> XPROGRAM=a+20b\r\nDATA\r\nDelivered-To: fred@y.test\r\n\r\n.\r\nRSET\r\n",
        1,
    ),
    seed(
        _ENVELOPE + b"DATA\r\n" + b"x" * 1100 + b"\r\n.\r\nMAIL FROM:<> SIZE=1 BODY=8BITMIME SMTPUTF8\r\n", 0, b"\1\xff"
    ),
    seed(b"LHLO\r\nHELP\r\nVRFY x\r\nXSTATUS\r\nRCPT TO:<broken@y>\r\nDATA\r\n\xff\r\nQUIT\r\nNOOP\r\n"),
    seed(b"A" * 4200 + b"\r\nNOOP\r\n", 0, b"\xff"),
]


class Case(SessionCase):
    """As the tests of sessions have it."""

    def runTest(self) -> None:
        """For the constructor."""


def check(data: bytes) -> None:
    """The same replies and orders wherever it is cut; whole lines; never a bug, nothing left open."""
    given = Input(data)
    whole = _talk(given, [given.stream] if given.stream else [])
    assert whole[0].endswith(b"\r\n")
    assert _talk(given, given.pieces()) == whole


def _talk(given: Input, pieces: object) -> tuple[bytes, list[object], bool]:
    case = Case()
    case.setUp()
    try:
        if given.isSet(0):
            case.make(duplicates=86400.0)
            case.server.delivery = case.delivery
            case.begin()
        for piece in pieces:  # type: ignore[attr-defined]
            case.session.dataReceived(piece)
        orders = [(name, {**order, "name": ""}, content) for name, order, content in case.children.orders]
        said, isClosed = case.transport.value(), bool(case.transport.disconnecting)
        case.session.connectionLost()
        assert not case.log.bugs, case.log.bugs
        assert all(letter.file < 0 for letter in case.server.letters)
        return said, list(orders), isClosed
    finally:
        case.doCleanups()
