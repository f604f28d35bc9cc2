"""Transparency on the way out: L{umbcmail.send.stuffing}, read back by our own reader
and by one that is as lax as can be."""

from __future__ import annotations

from tests.fuzz.cuts import Input, seed
from umbcmail.accept.data import DataDecoder
from umbcmail.send.stuffing import Stuffing, normalised, stuffed

SEEDS = [
    seed(b"Subject: s\r\n\r\n.\r\n..\r\na\n.\r\nb\r.\rc"),
    seed(b".\r\n.\r"),
    seed(b""),
]


def check(data: bytes) -> None:
    """Pieces give what the whole gives; it reads back; no reader sees another end."""
    given = Input(data)
    whole = stuffed(given.stream)
    stuffing = Stuffing()
    pieces = b"".join([stuffing.feed(piece) for piece in given.pieces()]) + stuffing.finish()
    assert pieces == whole
    decoder = DataDecoder()
    text = decoder.feed(whole)
    assert decoder.finished and not decoder.rest and not decoder.bare
    expected = normalised(given.stream)
    assert text == (expected if expected.endswith(b"\r\n") or not expected else expected + b"\r\n")
    lax = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert (b"\n" + lax).index(b"\n.\n") == len(lax) - 2
