"""The octets of DATA: L{umbcmail.accept.data}, against a reader line by line."""

from __future__ import annotations

import re

from tests.fuzz.cuts import Input, seed
from umbcmail.accept.data import DataDecoder

SEEDS = [
    seed(b"Subject: s\r\n\r\n..a\r\n.\r\nRSET\r\n"),
    seed(b"a\n.\nb\r.\rc\r\n.\r\r\n.\n\r\n.\r\n", 1),
    seed(b".\r\n", 1, b"\1"),
]


def check(data: bytes) -> None:
    """Wherever it is cut, the end and the text are those of the whole."""
    given = Input(data)
    normalise = given.isSet(0)
    decoder, out, rest = DataDecoder(normalise), [], []
    for piece in given.pieces():
        if decoder.finished:
            rest.append(piece)
        else:
            out.append(decoder.feed(piece))
            assert len(decoder._held) < 16, "what is held back is bounded"
    whole = b"\r\n" + given.stream
    end = whole.find(b"\r\n.\r\n")
    assert decoder.finished == (end >= 0)
    text = whole[2 : end + 2] if end >= 0 else whole[2:]
    found = b"".join(out)
    if normalise:
        assert re.search(rb"(?<!\r)\n|\r(?!\n)", found) is None
    if end < 0:
        assert _unstuffed(text, normalise).startswith(found)
        return
    assert found == _unstuffed(text, normalise)
    assert decoder.rest + b"".join(rest) == whole[end + 5 :]
    assert decoder.bare == (re.search(rb"(?<!\r)\n|\r(?!\n)", whole[: end + 2]) is not None)


def _unstuffed(text: bytes, normalise: bool) -> bytes:
    lines = re.split(rb"\r\n|\r|\n", text) if normalise else text.split(b"\r\n")
    return b"\r\n".join([line[1:] if line.startswith(b".") and line != b"." else line for line in lines])
