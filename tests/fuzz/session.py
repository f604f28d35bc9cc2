"""A whole session: L{umbcmail.accept.session} and all behind it, up to a fake intake."""

from __future__ import annotations

import re

from tests.fuzz.cuts import Input, seed
from tests.unit.accept.test_session import SessionCase
from umbcmail.accept.session import LINE_LIMIT

_ENVELOPE = b"EHLO c.test\r\nMAIL FROM:<s@z.test>\r\nRCPT TO:<x@y.test>\r\n"
SEEDS = [
    seed(_ENVELOPE + b"DATA\r\nSubject: s\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n"),
    seed(_ENVELOPE + b"BDAT 14\r\nSubject: s\r\n\r\nBDAT 4 LAST\r\na\r\n.RSET\r\n", 1),
    seed(b"HELO c\r\nVRFY x\r\nHELP\r\nEXPN y\r\nBDAT 3\r\nabcRSET\r\nBAD\r\n\r\nMAIL FROM:<>\r\nQUIT\r\nNOOP\r\n"),
    seed(b"EHLO c\r\nMAIL FROM:<a@b.c> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS\r\nRCPT TO:<x@y.test> NOTIFY=NEVER\r\n"),
    seed(_ENVELOPE + b"DATA\r\na\nb\r\n.\r\nSTARTTLS\r\nXCLIENT ADDR=1.2.3.4\r\n", 1, b"\1"),
    seed(b"A" * 2100 + b"\r\nNOOP\r\n", 0, b"\xff"),
]
_BDAT = re.compile(rb"[ \t]*BDAT(?![A-Za-z0-9])", re.IGNORECASE)
_SIZE = re.compile(rb"[ \t]*BDAT(?![A-Za-z0-9]) *([0-9]{1,20})(?: +LAST)?[ \t]*", re.IGNORECASE)

Result = tuple[bytes, list[tuple[object, bytes]], bool]


class Case(SessionCase):
    """A port, as the tests of sessions have it."""

    def runTest(self) -> None:
        """For the constructor."""


def check(data: bytes) -> None:
    """The same replies and messages wherever it is cut; a reply for each command;
    never a bug."""
    given = Input(data)
    whole = _talk(given, [given.stream] if given.stream else [])
    assert _talk(given, given.pieces()) == whole
    _checkReplies(given.stream, whole[0], whole[2])


def _talk(given: Input, pieces: object) -> Result:
    case = Case()
    case.normalises = given.isSet(0)
    case.setUp()
    session = case.connect()
    for piece in pieces:  # type: ignore[attr-defined]
        session.dataReceived(piece)
        assert len(session._buffer) <= LINE_LIMIT + 2 + len(piece)
    said = session.transport.value()
    isClosed = bool(session.transport.disconnecting)
    case.log.flush()
    log = b"".join(case.lines)
    assert b" bug " not in log, log
    return said, list(case.intake.taken), isClosed


def _checkReplies(stream: bytes, said: bytes, isClosed: bool) -> None:
    """Read the stream as a client would that knows the answers."""
    assert said.endswith(b"\r\n")
    codes = []
    for line in said[:-2].split(b"\r\n"):
        assert re.fullmatch(rb"[2-5][0-5][0-9][ -][ -~]*", line) and len(line) <= 510, line
        if line[3:4] == b" ":
            codes.append(int(line[:3]))
    assert codes.pop(0) == 220
    at = 0
    while (end := stream.find(b"\r\n", at)) >= 0:
        line = stream[at:end]
        at = end + 2
        size = _SIZE.fullmatch(line)
        if size and not (isClosed and len(codes) == 1):
            if at + int(size[1]) > len(stream):
                break
            at += int(size[1])
        if not codes:
            assert isClosed, (line, "is not answered")
            return
        code = codes.pop(0)
        if not codes and isClosed:
            return
        if code == 354:
            dot = (b"\r\n" + stream[at:]).find(b"\r\n.\r\n")
            if dot < 0:
                break
            at += dot + 3
            codes.pop(0)
            if not codes and isClosed:
                return
    if isClosed and len(codes) == 1 and _BDAT.match(stream[at:]):
        return  # a BDAT that is too long is the end before its line has one
    assert not codes, (codes, stream[at:])
