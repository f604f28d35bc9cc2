"""Tests of the chain of filters in a session: L{umbcmail.filter.chain} and what is below it."""

from __future__ import annotations

from tests.milters import ALL_NR, CLOSE, ScriptedFilter
from tests.unit.filter.filtercase import BODY, HEADER, RECEIVED, FilterCase
from umbcmail import reply
from umbcmail.filter import answers
from umbcmail.filter.negotiation import HDR_LEADSPC, NOBODY, NOHELO, SKIP, Negotiation


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

    def test_file(self) -> None:
        """What does not fit into one write goes in several, and waits for the filter's socket."""
        filter = ScriptedFilter(Negotiation(6, 0, ALL_NR))
        self.begin(filter)
        self.hello()
        self.mail()
        body = bytes(200_000)
        self.assertTrue(self.message(body=body)[1].endswith(body))
        self.assertEqual(b"".join(filter.said(b"B")), body)


class PipeliningTests(FilterCase):
    """Messages that are sent without waiting."""

    policies = {"pipelining": True}

    def test_message(self) -> None:
        """One write for all of a message, and its answers in order; edits too."""
        filter = ScriptedFilter(script={b"E": answers.addHeader(b"X", b"y") + answers.ACCEPT})
        self.begin(filter)
        self.hello()
        self.mail()
        self.rcpt()
        self.answer(self.session.data())
        writes = self.wires[0].writes
        result = self.message()
        self.assertTrue(result[1].endswith(b"\r\nX: y\r\n\r\n" + BODY))
        self.assertEqual(self.wires[0].writes, writes + 1)
        self.assertEqual(filter.letters(), "OCHMRTLLLLLNBE")
        self.assertFalse(filter.offer.steps & SKIP)  # type: ignore[union-attr]
        self.assertIsNone(self.mail())

    def test_large(self) -> None:
        """A body of several pieces."""
        filter = ScriptedFilter()
        self.begin(filter)
        body = b"line\r\n" * 40_000
        self.assertTrue(self.whole(body=body)[1].endswith(body))
        self.assertEqual(b"".join(filter.said(b"B")), body)

    def test_early(self) -> None:
        """An answer that ends it too early counts; the connection is not used again, since
        nobody knows whether the rest is going to be answered."""
        for octets, expected in ((answers.REJECT, reply.FILTER_REFUSES), (answers.ACCEPT, None)):
            for isMute in (False, True):
                self.setUp()
                filter = ScriptedFilter(script={b"L": octets})
                if isMute:
                    filter.script |= dict.fromkeys((b"N", b"B", b"E"), b"")
                    sent = iter([octets])
                    filter.script[b"L"] = lambda data, sent=sent: next(sent, b"")
                self.begin([filter, ScriptedFilter()])
                result = self.whole()
                self.assertEqual(
                    result if expected is not None else result[1], expected or RECEIVED + HEADER + b"\r\n" + BODY
                )
                self.assertTrue(self.wires[0].isLost)
                self.assertIsNone(self.mail())
                self.assertEqual(self.message()[1], RECEIVED + HEADER + b"\r\n" + BODY)
                self.assertEqual(len(self.wires), 2)
                self.assertNotIn("filter-failed", self.logged())

    def test_closing(self) -> None:
        """A filter that is gone in the middle."""
        for letter in (b"L", b"N", b"B", b"E"):
            self.setUp()
            self.begin([ScriptedFilter(script={letter: CLOSE}), ScriptedFilter()])
            self.assertEqual(self.whole(), reply.FILTER_LATER)
            self.assertIsNone(self.mail())
            self.assertEqual(self.message()[1], RECEIVED + HEADER + b"\r\n" + BODY)

    def test_tooMany(self) -> None:
        """More answers than there were questions: that is seen at the end, when one of them
        has been taken for the last, as the manual warns."""
        self.begin([ScriptedFilter(script={b"L": answers.CONTINUE * 3}), ScriptedFilter()])
        self.assertEqual(self.whole()[1], RECEIVED + HEADER + b"\r\n" + BODY)
        self.assertIn("kind=broken", self.logged())
        self.assertTrue(self.wires[0].isLost)
        self.assertIsNone(self.mail())
