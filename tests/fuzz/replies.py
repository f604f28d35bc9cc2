"""Replies of next hops: L{umbcmail.send.replies}."""

from __future__ import annotations

from tests.fuzz.cuts import Input, seed
from umbcmail.send.replies import LINE_LIMIT, LINES_LIMIT, REPLY_LIMIT, RemoteReply, ReplyReader, toReply

SEEDS = [
    seed(b"220-a\r\n220 b\r\n250 2.1.0 ok\r\n354\r\n"),
    seed(b"550-5.1.1 no\n550 5.1.1 such\xff user\r\n421\n"),
    seed(b"250-a\r\n251 b\r\n"),
    seed(b"25"),
]


def check(data: bytes) -> None:
    """The same replies wherever they are cut, and what they become is bounded and
    printable."""
    given = Input(data)
    one, other = ReplyReader(), ReplyReader()
    expected = one.feed(given.stream)
    found: list[RemoteReply] = []
    for piece in given.pieces():
        found += other.feed(piece)
        assert len(other._rest) <= LINE_LIMIT + len(piece) and len(other._lines) <= LINES_LIMIT
    assert found == expected
    assert other.broken == one.broken and other.pending == one.pending
    for code, lines in found:
        assert 200 <= code <= 599 and lines
        assert sum(map(len, lines)) <= REPLY_LIMIT
        reply = toReply((code, lines))
        text = str(reply)
        assert reply.code == code and text.isascii() and len(text) < 10_000
        assert text.replace("\n", "").isprintable(), text
        assert reply.enhanced[0] == str(code)[0] or code // 100 == 3, reply
        assert reply.wire.startswith(b"%d" % code) and reply.wire.endswith(b"\r\n")
