"""Tests of L{umbcmail.drac.xdr}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.drac.xdr import Reader, XDRError, packBoolean, packOpaque, packString, packUnsigned

_numbers = st.lists(st.integers(0, 2**32 - 1), max_size=5)


class XDRTests(SynchronousTestCase):
    """Values and octets."""

    def test_golden(self) -> None:
        """The octets are those of the RFC: 32 bits, most significant first, padded to four."""
        self.assertEqual(packUnsigned(1, 0xDEADBEEF), bytes.fromhex("00000001deadbeef"))
        self.assertEqual(packOpaque(b"abcde"), bytes.fromhex("00000005 6162636465000000"))
        self.assertEqual(packOpaque(b""), bytes(4))
        self.assertEqual(packString("udp6"), b"\0\0\0\4udp6")
        self.assertEqual((packBoolean(True), packBoolean(False)), (b"\0\0\0\1", bytes(4)))

    @given(_numbers, st.binary(max_size=9), st.booleans(), st.text(max_size=9))
    def test_roundTrip(self, numbers: list[int], octets: bytes, flag: bool, text: str) -> None:
        """What has been packed is read again, and nothing is left."""
        whole = packUnsigned(*numbers) + packOpaque(octets) + packBoolean(flag)
        whole += packString(text.encode("utf-8", "replace").decode())
        reader = Reader(whole)
        self.assertEqual([reader.unsigned() for _ in numbers], numbers)
        self.assertEqual((reader.opaque(9), reader.boolean()), (octets, flag))
        self.assertEqual(reader.string(99), text.encode("utf-8", "replace").decode())
        self.assertEqual(reader.rest(), b"")
        self.assertEqual(reader.at, len(whole))

    @given(st.binary(max_size=30), st.lists(st.integers(0, 4), max_size=8))
    def test_anything(self, octets: bytes, order: list[int]) -> None:
        """Any octets are values or L{XDRError}; never more is read than there is."""
        reader = Reader(octets)
        reads = (reader.unsigned, reader.boolean, lambda: reader.opaque(8), lambda: reader.string(8), reader.rest)
        try:
            for each in order:
                reads[each]()
        except XDRError:
            pass
        self.assertLessEqual(reader.at, len(octets))

    def test_limits(self) -> None:
        """Too long, cut, and other numbers than booleans have are errors."""
        for octets, read in (
            (packOpaque(b"123456789"), lambda r: r.opaque(8)),
            (packOpaque(b"12345678")[:-1], lambda r: r.opaque(8)),
            (packOpaque(b"12345")[:-1], lambda r: r.opaque(8)),
            (b"\xff\xff\xff\xff", lambda r: r.opaque(8)),
            (b"\0\0\0\2", lambda r: r.boolean()),
            (b"\0\0\0", lambda r: r.unsigned()),
        ):
            self.assertRaises(XDRError, read, Reader(octets))
        self.assertEqual(Reader(b"\0\0\0\1x\1\2\3").opaque(1), b"x", "padding does not matter")
