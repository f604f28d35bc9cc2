"""Tests of L{umbcmail.drac.record}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.drac.record import Records, mark

_messages = st.lists(st.binary(max_size=40), max_size=5)


def fragments(message: bytes, sizes: list[int]) -> bytes:
    """A record in fragments of some sizes."""
    out, at = b"", 0
    for size in sizes:
        if at + size >= len(message):
            break
        out += size.to_bytes(4, "big") + message[at : at + size]
        at += size
    return out + mark(message[at:])


class RecordTests(SynchronousTestCase):
    """Records in a stream."""

    @given(_messages, st.lists(st.integers(1, 7), max_size=9), st.lists(st.integers(0, 9), max_size=30))
    def test_cuts(self, messages: list[bytes], sizes: list[int], cuts: list[int]) -> None:
        """Many records, in one fragment each or in many, are found however the stream is cut."""
        stream = b"".join(fragments(message, sizes) for message in messages)
        records, found, at = Records(), [], 0
        for cut in [*cuts, len(stream)]:
            found += records.feed(stream[at : at + cut])
            at += cut
        self.assertEqual(found, messages)
        self.assertEqual(records.problem, "")
        self.assertFalse(records.isInside)

    def test_golden(self) -> None:
        """A record of one fragment has its length and the highest bit before it."""
        self.assertEqual(mark(b"abc"), b"\x80\0\0\3abc")
        self.assertEqual(mark(b""), b"\x80\0\0\0")

    def test_limit(self) -> None:
        """A record may have as many octets as the limit says, in all of its fragments."""
        self.assertEqual(Records(8).feed(fragments(bytes(8), [1] * 8)), [bytes(8)])
        for stream in (mark(bytes(9)), fragments(bytes(9), [4, 4]), b"\x80\0\0\x09", b"\x7f\xff\xff\xff"):
            records = Records(8)
            self.assertEqual(records.feed(stream), [])
            self.assertEqual(records.problem, "a record of more than 8 octets")
            self.assertEqual(records.feed(mark(b"x")), [], "nothing is found behind it")

    def test_before(self) -> None:
        """What was complete before the stream went wrong is not lost."""
        records = Records(8)
        self.assertEqual(records.feed(mark(b"one") + mark(b"two") + bytes(4) + mark(b"x")), [b"one", b"two"])
        self.assertEqual(records.problem, "an empty fragment")

    def test_empty(self) -> None:
        """An empty fragment may be the last of its record, but no other."""
        self.assertEqual(Records().feed(b"\0\0\0\1a" + mark(b"")), [b"a"])
        self.assertEqual(Records().feed(mark(b"")), [b""])
        records = Records()
        self.assertEqual(records.feed(b"\0\0\0\1a\0\0\0\0"), [])
        self.assertEqual(records.problem, "an empty fragment")

    def test_inside(self) -> None:
        """It is known whether a record has begun."""
        records = Records()
        self.assertFalse(records.isInside)
        for octets, isInside in ((b"\0\0", True), (b"\0\1a", True), (b"\x80\0\0\0", False), (mark(b"x"), False)):
            records.feed(octets)
            self.assertEqual(records.isInside, isInside)

    @given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\x80\0\0\4", b"\0\0\0\1", bytes(4)]), max_size=9))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Any octets give messages within the limit, and the same ones in one piece."""
        records, whole = Records(16), Records(16)
        found = [message for piece in pieces for message in records.feed(piece)]
        self.assertEqual(found, whole.feed(b"".join(pieces)))
        self.assertEqual(records.problem, whole.problem)
        self.assertTrue(all(len(message) <= 16 for message in found))
