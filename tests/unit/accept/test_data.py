"""L{umbcmail.accept.data}: where the message ends and what is in it."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.data import DataDecoder

pieces = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"..", b"\r\n.", b"\r", b"\n", b"x" * 30]), max_size=20)
cuts = st.lists(st.integers(1, 9), max_size=60)


def expected(stream: bytes, normalise: bool) -> tuple[bytes, bytes]:
    """The same, line by line over the whole stream."""
    whole = b"\r\n" + stream
    end = whole.index(b"\r\n.\r\n")
    body = whole[2 : end + 2]
    lines = re.split(rb"\r\n|\r|\n", body) if normalise else body.split(b"\r\n")
    mended = [line[1:] if line.startswith(b".") and line != b"." else line for line in lines]
    return b"\r\n".join(mended), whole[end + 5 :]


def decode(stream: bytes, sizes: list[int], normalise: bool = False) -> tuple[DataDecoder, bytes]:
    """Feed a stream in chunks of the given sizes, the last of what is left."""
    decoder = DataDecoder(normalise)
    out = b""
    for size in [*sizes, len(stream)]:
        chunk, stream = stream[:size], stream[size:]
        if decoder.finished:
            decoder.rest += chunk
        elif chunk:
            out += decoder.feed(chunk)
    return decoder, out


class DataDecoderTests(SynchronousTestCase):
    """Decoding DATA."""

    @settings(max_examples=400, deadline=None)
    @given(pieces, cuts)
    def test_cutsDoNotMatter(self, parts: list[bytes], sizes: list[int]) -> None:
        """However the stream is cut, what comes out is what whole lines would give."""
        stream = b"".join(parts) + b"\r\n.\r\nQUIT\r\n"
        for normalise in (False, True):
            decoder, out = decode(stream, sizes, normalise)
            self.assertTrue(decoder.finished)
            self.assertEqual((out, decoder.rest), expected(stream, normalise))

    @settings(max_examples=200, deadline=None)
    @given(pieces, cuts)
    def test_bareLineEndsAreSeen(self, parts: list[bytes], sizes: list[int]) -> None:
        """C{bare} tells of each CR or LF that is not part of a CRLF."""
        stream = b"".join(parts) + b"\r\n.\r\n"
        body = (b"\r\n" + stream).partition(b"\r\n.\r\n")[0]
        decoder, _ = decode(stream, sizes)
        self.assertEqual(decoder.bare, re.search(rb"(?<!\r)\n|\r(?!\n)", body) is not None)

    def test_onlyOneThingEndsIt(self) -> None:
        """What looks like the end but for a CR or LF is text."""
        for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r\r\n", b"\r.\r"):
            for normalise in (False, True):
                decoder, _ = decode(b"a" + end + b"MAIL FROM:<x@y>\r\n", [1] * 40, normalise)
                self.assertFalse(decoder.finished, end)

    def test_emptyMessage(self) -> None:
        """A dot at once is a message of no octets."""
        decoder, out = decode(b".\r\nNOOP\r\n", [])
        self.assertEqual((decoder.finished, out, decoder.rest), (True, b"", b"NOOP\r\n"))

    def test_normalisedTextHasOnlyCRLF(self) -> None:
        """With C{normalise}, whatever stood for a line end goes on as CRLF."""
        _, out = decode(b"a\nb\rc\r\n.\nd\n.\r\ne\r\n.\r\n", [2, 1, 3])
        _, out = decode(b"a\nb\rc\r\n..\nd\n.\r\ne\r\n.\r\n", [2, 1, 3], True)
        self.assertEqual(out, b"a\r\nb\r\nc\r\n.\r\nd\r\n.\r\ne\r\n")

    def test_littleIsHeldBack(self) -> None:
        """A stream without end is not gathered: at most four octets are held."""
        decoder = DataDecoder()
        given_ = 0
        got = 0
        for chunk in [b"\r\n.\r" * 3, b"x" * 70000, b"\r\n" * 500, b"."]:
            given_ += len(chunk)
            got += len(decoder.feed(chunk))
        self.assertLessEqual(given_ - got - 3, 4)
