"""BDAT: L{umbcmail.accept.chunks}: the command, the counting, the line ends."""

from __future__ import annotations

import re

from tests.fuzz.cuts import Input, seed
from umbcmail.accept.chunks import ChunkReader, LineEnds, isChunk, parseChunk, refusedChunk
from umbcmail.accept.grammar import CommandError
from umbcmail.reply import BARE_LINE_END, Reply

SEEDS = [
    seed(b"BDAT 10 LAST\r\nabcdefghij"),
    seed(b"bdat 00000000000000000003\r\na\rb"),
    seed(b"BDAT 7\r\na\nb\r\r\n\r", 1),
]


def check(data: bytes) -> None:
    """Sizes are numbers or an error; octets are counted, line ends are seen."""
    given = Input(data)
    line, _, octets = given.stream.partition(b"\r\n")
    isChunk(line)
    found = refusedChunk(line, BARE_LINE_END, 1000)
    assert isinstance(found, Reply) or 0 <= found.size <= 10_000
    try:
        chunk = parseChunk(line.decode("latin-1")[5:])
        assert 0 <= chunk.size < 10**20
    except CommandError as why:
        assert why.reply.code >= 500
    _count(given, len(octets) // 2)
    _lineEnds(given)


def _count(given: Input, size: int) -> None:
    reader, out, rest = ChunkReader(size), b"", b""
    for piece in given.pieces():
        if reader.finished:
            rest += piece
        else:
            out += reader.feed(piece)
    assert out == given.stream[:size]
    assert reader.rest + rest == given.stream[size:]
    assert reader.finished


def _lineEnds(given: Input) -> None:
    normalise = given.isSet(0)
    ends, out = LineEnds(normalise), b""
    for piece in given.pieces():
        out += ends.feed(piece)
    out += ends.finish()
    bare = re.search(rb"(?<!\r)\n|\r(?!\n)", given.stream) is not None
    assert out == b"" or out.endswith(b"\r\n") or not normalise
    if normalise:
        assert not ends.bare
        expected = b"\r\n".join(re.split(rb"\r\n|\r|\n", given.stream))
        assert out == expected or out == expected + b"\r\n"
    else:
        assert ends.bare == bare
        if not bare:
            assert out == given.stream or out == given.stream + b"\r\n"
