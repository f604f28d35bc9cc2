"""Tests of L{umbcmail.filter.negotiation}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.filter.codec import MilterError
from umbcmail.filter.negotiation import (
    ADDHDRS,
    ALL_ACTIONS,
    CHGBODY,
    NODATA,
    NOHELO,
    NOUNKNOWN,
    NR_HDR,
    SETSYMLIST,
    SKIP,
    Negotiation,
    agreed,
    chosen,
)


class NegotiationTests(SynchronousTestCase):
    """Offers and answers."""

    def test_golden(self) -> None:
        """The octets are those of libmilter, the macros in its order and braces."""
        self.assertEqual(Negotiation().packet(), bytes.fromhex("0000000d 4f 00000006 000001ff 001fffff"))
        octets = Negotiation(6, 1, 0, {b"E": (b"i", b"msg_id")}).packet()
        self.assertEqual(octets, bytes.fromhex("0000001c 4f 00000006 00000001 00000000 00000005") + b"i {msg_id}\0")
        self.assertEqual(Negotiation.read(octets[5:]), Negotiation(6, 1, 0, {b"E": (b"i", b"msg_id")}))

    def test_macros(self) -> None:
        """Commas separate too, an empty list is a list, unknown stages are left out."""
        head = Negotiation(6, 0, 0).packet()[5:]
        read = Negotiation.read(head + b"\0\0\0\0j,{v} _\0\0\0\0\7x\0\0\0\0\6\0")
        self.assertEqual(read.macros, {b"C": (b"j", b"v", b"_"), b"N": ()})
        for wrong in (head[:-1], head + b"\0\0\0", head + b"\0\0\0\1x"):
            self.assertRaises(MilterError, Negotiation.read, wrong)

    def test_agreed(self) -> None:
        """Versions and actions that were not offered are errors, steps are left out."""
        offer = Negotiation(6, ALL_ACTIONS, SKIP | NOHELO)
        self.assertEqual(agreed(offer, Negotiation(6, ADDHDRS, NOHELO | NR_HDR)), Negotiation(6, ADDHDRS, NOHELO))
        for wrong in (Negotiation(7, 0, 0), Negotiation(1, 0, 0), Negotiation(6, 0x200, 0)):
            self.assertRaises(MilterError, agreed, offer, wrong)

    def test_agreedOld(self) -> None:
        """Old filters are not sent what they do not know."""
        self.assertEqual(agreed(Negotiation(), Negotiation(2, 1, 0)).steps, NOUNKNOWN | NODATA)
        self.assertEqual(agreed(Negotiation(), Negotiation(3, 1, 0)).steps, NODATA)
        self.assertEqual(agreed(Negotiation(), Negotiation(4, 1, 0)).steps, 0)

    def test_chosen(self) -> None:
        """A filter does without steps, but not without actions that it needs."""
        wanted = Negotiation(6, ADDHDRS | SETSYMLIST, NR_HDR | SKIP, {b"M": (b"i",)})
        self.assertEqual(chosen(Negotiation(), wanted), wanted)
        old = chosen(Negotiation(2, 0x3F, 0x7F), wanted)
        self.assertEqual(old, Negotiation(2, ADDHDRS, 0))
        self.assertRaises(MilterError, chosen, Negotiation(2, ADDHDRS, 0), Negotiation(6, CHGBODY, 0))
        self.assertRaises(MilterError, chosen, Negotiation(1, 0xF, 0), wanted)
