"""L{umbcmail.lda.letter}: a message while it comes in."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.lda.letter import BEGINNING, Decoder, Letter


def decoded(data: bytes, cuts: list[int]) -> tuple[bytes, bytes | None]:
    """What a decoder makes of octets that come in pieces, and what stood behind the end."""
    decoder, content = Decoder(), b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        some, rest = decoder.feed(data[start:end])
        content += some
        if rest is not None:
            return content, rest + data[end:]
    return content, None


class DecoderTests(SynchronousTestCase):
    """Lines out of what stands behind DATA."""

    def test_lines(self) -> None:
        """Dots are unstuffed, lines end with LF, and what follows the end is kept."""
        self.assertEqual((b"a: b\n\n.c\n.\n", b"RSET\r\n"), decoded(b"a: b\r\n\r\n..c\r\n..\r\n.\r\nRSET\r\n", []))

    def test_empty(self) -> None:
        """An empty message."""
        self.assertEqual((b"", b""), decoded(b".\r\n", []))
        self.assertEqual((b".x\n", b""), decoded(b"..x\r\n.\r\n", []))

    def test_noEnd(self) -> None:
        """A dot between bare LFs is no end, and they stay what they are."""
        self.assertEqual((b"a\n.\nb\r.\rc\n", b""), decoded(b"a\n.\nb\r.\rc\r\n.\r\n", []))

    @given(
        st.lists(st.sampled_from([b"\r\n", b"..", b".", b"\r", b"\n", b"x", b"\r\n..\r\n"])).map(b"".join),
        st.lists(st.integers(0, 200), max_size=8),
    )
    def test_cuts(self, text: bytes, cuts: list[int]) -> None:
        """It makes no difference how the octets are cut into pieces."""
        data = text + b"\r\n.\r\nNOOP\r\n"
        self.assertEqual(decoded(data, []), decoded(data, cuts))


class LetterTests(SynchronousTestCase):
    """Where it is kept."""

    def setUp(self) -> None:
        """A folder for files."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def letter(self, memory: int = 10, limit: int = 10**7, inThread: Any = maybeDeferred) -> Letter:
        """One that has not begun."""
        letter = Letter("s@x", memory, limit, self.folder, inThread)
        self.addCleanup(letter.close)
        return letter

    def test_memory(self) -> None:
        """A small one is in memory."""
        letter = self.letter()
        self.assertIsNone(letter.add(b"12345"))
        self.assertIsNone(letter.add(b"67890"))
        letter.finish()
        self.assertEqual((b"1234567890", -1, b"1234567890"), (letter.data, letter.file, letter.beginning))

    def test_file(self) -> None:
        """A larger one is in a file that has no name and that its reader can't write to."""
        letter = self.letter()
        letter.add(b"12345")
        self.successResultOf(letter.add(b"6789012"))  # type: ignore[arg-type]
        self.successResultOf(letter.add(b"345"))  # type: ignore[arg-type]
        letter.finish()
        self.assertEqual((b"", 15, b"123456789012345"), (letter.data, letter.size, letter.beginning))
        self.assertEqual(b"123456789012345", os.pread(letter.file, 99, 0))
        self.assertRaises(OSError, os.write, letter.file, b"x")
        self.assertEqual([], os.listdir(self.folder))

    def test_waits(self) -> None:
        """The caller waits until it is written, and the beginning is not without bounds."""
        waiting: Deferred[None] = Deferred()
        letter = self.letter(memory=10, inThread=lambda *what: waiting)
        written = letter.add(b"x" * (BEGINNING + 5))
        self.assertNoResult(written)  # type: ignore[arg-type]
        waiting.callback(None)
        self.successResultOf(written)  # type: ignore[arg-type]
        self.assertEqual(BEGINNING, len(letter.beginning))

    def test_tooBig(self) -> None:
        """Over the limit nothing more is kept."""
        letter = self.letter(memory=100, limit=20)
        for _ in range(50):
            letter.add(b"123456")
        letter.finish()
        self.assertTrue(letter.isTooBig)
        self.assertEqual(b"", letter.data)

    def test_noRoom(self) -> None:
        """What can't be kept is told at the end."""

        def full(*what: Any) -> None:
            raise OSError(28, "No space left on device")

        letter = self.letter(inThread=lambda *what: maybeDeferred(full))
        self.successResultOf(letter.add(b"x" * 20))  # type: ignore[arg-type]
        self.assertIsNone(letter.add(b"x" * 20))
        self.assertRaises(OSError, letter.finish)
