"""Headers that are mended: L{umbcmail.accept.fixups} and L{umbcmail.accept.body}."""

from __future__ import annotations

import re
from typing import Any

from tests.fuzz.cuts import Input, seed
from umbcmail.accept.body import Body
from umbcmail.accept.fixups import fixedHeader, headerEnd
from umbcmail.content import MemoryContent

SEEDS = [
    seed(b"From: a\r\nBcc: b,\r\n c\r\nDate:\r\nMessage-ID: <x>\r\n\r\nBcc: body\r\n"),
    seed(b" folded\r\nResent-Bcc : q\r\nno field\r\nBcc: z\r\n\r\n"),
    seed(b"\r\nbody"),
]
_DATE, _ID = "Mon, 05 Jan 2026 10:00:00 +0000", "<id@mx.y.test>"


def check(data: bytes) -> None:
    """No Bcc goes on, what is needed is there, all else stays; and it does not
    matter how the message was cut."""
    given = Input(data)
    message = given.stream
    end = headerEnd(message)
    header = message if end < 0 else message[:end]
    made = fixedHeader(header, _DATE, _ID)
    assert fixedHeader(made, _DATE, _ID) == made
    for line in _fields(made):
        assert not re.match(rb"(?:resent-)?bcc[ \t]*:", line, re.IGNORECASE), made
    kept = made
    for added in (b"Date: " + _DATE.encode(), b"Message-ID: " + _ID.encode()):
        kept = kept.replace(added, b"", 1)
    assert len(kept) <= len(header) + 4
    body: Any = Body(b"T: x\r\n", 1 << 20, _never, lambda on: None, lambda part: fixedHeader(part, _DATE, _ID))
    for piece in given.pieces():
        body.add(piece)
    body.mend()
    size = body.contentSize
    content = body.finish()
    assert isinstance(content, MemoryContent)
    expected = b"T: x\r\n" + made + message[len(header) :]
    assert content.data == expected, (content.data, expected)
    assert size == len(expected)


def _fields(header: bytes) -> list[bytes]:
    """The first lines of fields, as far as it is a header."""
    found = []
    for number, line in enumerate(header.split(b"\r\n")):
        if line[:1] in (b" ", b"\t"):
            continue
        if not re.match(rb"[!-9;-~]+[ \t]*:", line):
            break
        found.append(line)
        assert number < 10**6
    return found


def _never() -> Any:
    raise AssertionError("it is small")
