"""Tests of L{umbcmail.send.stuffing}."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.stuffing import Stuffing, stuffed

TRICKY = st.lists(st.sampled_from([b".", b"\r\n", b"\r", b"\n", b"x", b"..", b"\r\n.\r\n"]), max_size=30).map(b"".join)
CLEAN = st.lists(st.sampled_from([b".", b"\r\n", b"x", b"..", b"\r\n.\r\n"]), max_size=30).map(b"".join)


def unstuffed(wire: bytes) -> bytes:
    """What a strict receiver reads."""
    end = (b"\r\n" + wire).index(b"\r\n.\r\n")
    assert end + 3 == len(wire), "the end comes early"
    content = wire[: max(end, 0)]
    return re.sub(rb"(\A|\r\n)\.", rb"\1", content)


class StuffingTests(SynchronousTestCase):
    """Dots are doubled at the start of lines, and only there."""

    @settings(deadline=None)
    @given(CLEAN)
    def test_octets(self, data: bytes) -> None:
        """A strict receiver gets each octet; only a missing CRLF at the end is added."""
        expected = data if data.endswith(b"\r\n") or not data else data + b"\r\n"
        self.assertEqual(unstuffed(stuffed(data)), expected)

    @settings(deadline=None)
    @given(TRICKY)
    def test_noSmuggling(self, data: bytes) -> None:
        """With bare CR and LF too, there is one end for strict and lax receivers."""
        wire = stuffed(data)
        self.assertEqual(len(re.findall(rb"(?:\A|\r\n|\r|\n)\.(?:\r\n|\r|\n)", wire)), 1)
        self.assertTrue(wire.endswith(b".\r\n"))
        self.assertIsNone(re.search(rb"(?<!\r)\n|\r(?!\n)", wire))

    @settings(deadline=None)
    @given(TRICKY, st.data())
    def test_pieces(self, data: bytes, draw: st.DataObject) -> None:
        """However the content is cut, the same octets go out."""
        stuffing, out, at = Stuffing(), b"", 0
        while at < len(data):
            size = draw.draw(st.integers(1, 5))
            out += stuffing.feed(data[at : at + size])
            at += size
        self.assertEqual(out + stuffing.finish(), stuffed(data))

    def test_examples(self) -> None:
        """Some by hand."""
        for data, wire in (
            (b"", b".\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a\r\n.b\r\n", b"a\r\n..b\r\n.\r\n"),
            (b"a\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        ):
            self.assertEqual(stuffed(data), wire)
