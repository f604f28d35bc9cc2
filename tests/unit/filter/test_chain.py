"""Tests of the chain of filters in a session: L{umbcmail.filter.chain} and what is below it."""

from __future__ import annotations

from tests.milters import ALL_NR, ScriptedFilter
from tests.unit.filter.filtercase import BODY, HEADER, RECEIVED, FilterCase
from umbcmail.filter import answers
from umbcmail.filter.negotiation import HDR_LEADSPC, NOBODY, NOHELO, Negotiation


class OrderTests(FilterCase):
    """What filters hear, and when."""

    def test_all(self) -> None:
        """A filter that wants all of it hears all of it, in order."""
        filter = ScriptedFilter()
        self.begin(filter)
        _, octets = self.whole()
        self.assertEqual(octets, RECEIVED + HEADER + b"\r\n" + BODY)
        self.assertEqual(filter.letters(), "OCHMRT" + "LLLLL" + "NBE")
        self.assertEqual(filter.said(b"C"), [b"c.test\x004\x04\x01192.0.2.1\0"])
        self.assertEqual(filter.said(b"M"), [b"<s@z.test>\0SIZE=10\0"])
        self.assertEqual(filter.said(b"R"), [b"<x@y.test>\0"])
        self.assertEqual(
            filter.said(b"L"),
            [
                b"From\0a@b.test\0",
                b"Subject\0 two\n\tlines\0",
                b"X-A\x001\0",
                b"x-a\x002\0",
                b"Message-ID\0<1@b.test>\0",
            ],
        )
        self.assertEqual(filter.said(b"B"), [BODY])
        self.session.closed()
        self.pump()
        self.assertEqual(filter.letters()[-1], "Q")

    def test_leadingSpace(self) -> None:
        """Who wants the blanks behind the colon gets them."""
        filter = ScriptedFilter(Negotiation(6, 0, HDR_LEADSPC))
        self.begin(filter)
        self.whole()
        self.assertEqual(filter.said(b"L")[1:4], [b"Subject\0  two\n\tlines\0", b"X-A\0 1\0", b"x-a\x002\0"])

    def test_unwanted(self) -> None:
        """What a filter does not want is not sent; its macros are."""
        filter = ScriptedFilter(Negotiation(6, 0, NOHELO | NOBODY))
        self.begin(filter)
        self.whole()
        self.assertEqual(filter.letters(), "OCMRTLLLLLNE")

    def test_oneWrite(self) -> None:
        """Who answers nothing before the end of the message hears of it in one write, and
        nobody waits for it before."""
        filter = ScriptedFilter(Negotiation(6, 0, ALL_NR))
        self.begin(filter)
        self.hello()
        self.assertIsNone(self.session.mail("c0-1", self.session._facts.client, "", "s@z.test", []))
        self.assertIsNone(self.rcpt())
        self.assertIsNone(self.session.data())
        self.assertEqual(self.wires[0].writes, 1)
        self.message()
        self.assertEqual(self.wires[0].writes, 2)
        self.assertEqual(filter.letters(), "OCHMRTLLLLLNBE")

    def test_macros(self) -> None:
        """The usual macros of each stage."""
        filter = ScriptedFilter()
        self.begin(filter)
        self.whole()
        macros = filter.macros(b"C")
        self.assertEqual(macros[b"j"], b"mx.y.test")
        self.assertEqual(macros[b"_"], b"c.test [192.0.2.1]")
        self.assertEqual(macros[b"{client_addr}"], b"192.0.2.1")
        self.assertEqual(filter.macros(b"M")[b"i"], b"c0-1")
        self.assertEqual(filter.macros(b"M")[b"{mail_addr}"], b"s@z.test")
        self.assertEqual(filter.macros(b"R")[b"{rcpt_addr}"], b"x@y.test")
        self.assertEqual(filter.macros(b"E"), {b"i": b"c0-1", b"{msg_id}": b"<1@b.test>"})
        self.assertEqual(filter.macros(b"H"), {}, "no TLS, and no packet of nothing")

    def test_macrosAskedFor(self) -> None:
        """A filter gets those that it asks for, and only for itself."""
        wishes = {b"C": (b"client_port", b"nonsense"), b"M": ()}
        filter, other = ScriptedFilter(Negotiation(6, 0, 0, wishes)), ScriptedFilter()
        self.begin(filter, other)
        self.whole()
        self.assertEqual(filter.macros(b"C"), {b"{client_port}": b"1025"})
        self.assertEqual(filter.macros(b"M"), {})
        self.assertIn(b"i", other.macros(b"M"))

    def test_secondMessage(self) -> None:
        """A session is one connection, whatever has become of its messages."""
        filter = ScriptedFilter(script={b"R": answers.REJECT})
        self.begin(filter)
        self.whole()
        filter.script = {}
        self.assertIsNone(self.mail())
        self.assertIsNone(self.rcpt())
        self.session.ended()
        self.pump()
        self.assertIsNone(self.mail())
        self.message()
        self.assertEqual(filter.letters(), "OCHMRA" + "MRA" + "MTLLLLLNBE")
        self.assertEqual(len(self.wires), 1)
