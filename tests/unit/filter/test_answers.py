"""What filters answer, and what clients are told then."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred, succeed
from zope.interface.verify import verifyObject

from tests.milters import ScriptedFilter
from tests.unit.filter.filtercase import BODY, CLIENT, HEADER, RECEIVED, FilterCase
from umbcmail import reply
from umbcmail.envelope import Recipient
from umbcmail.filter import answers
from umbcmail.filter.codec import MilterError, packet
from umbcmail.filter.negotiation import RCPT_REJ, SKIP, Negotiation
from umbcmail.filter.wording import replyOf
from umbcmail.interfaces import IFilters, IFilterSession, IWatched

WHOLE = RECEIVED + HEADER + b"\r\n" + BODY


class StageTests(FilterCase):
    """Answers at each stage."""

    def test_interfaces(self) -> None:
        """They keep their interfaces."""
        self.begin(ScriptedFilter())
        verifyObject(IFilters, self.chain)
        verifyObject(IWatched, self.chain)
        verifyObject(IFilterSession, self.session)

    def test_refused(self) -> None:
        """A no is the answer to the command, or to the end of the message; the next message
        is asked about anew."""
        words = {
            answers.REJECT: reply.FILTER_REFUSES,
            answers.TEMPFAIL: reply.FILTER_LATER,
            packet(b"4"): reply.FILTER_CLOSES,
            answers.replyCode(b"452 4.2.2 full"): reply.reply(452, "4.2.2", "full"),
        }
        for letter in (b"M", b"R", b"T", b"L", b"N", b"B", b"E"):
            for octets, expected in words.items():
                self.setUp()
                filter = ScriptedFilter(script={letter: octets})
                self.begin(filter)
                self.assertEqual(self.whole(), expected, letter)
                self.assertEqual(filter.letters()[-1], "E" if letter == b"E" else "A")
                filter.script = {}
                self.assertIsNone(self.mail())
                self.assertEqual(self.message()[1], WHOLE)
                self.assertEqual(len(self.wires), 1)

    def test_client(self) -> None:
        """A no to the client is said to each MAIL, and nothing more is asked."""
        for letter in (b"C", b"H"):
            self.setUp()
            filter, other = ScriptedFilter(script={letter: answers.replyCode(b"554 5.7.1 Go away")}), ScriptedFilter()
            self.begin(filter, other)
            self.assertEqual(str(self.whole()), "554 5.7.1 Go away")
            self.assertEqual(str(self.whole()), "554 5.7.1 Go away")
            self.assertEqual(filter.letters(), "OC" if letter == b"C" else "OCH")
            self.assertEqual(other.letters(), "OCHH")

    def test_ignored(self) -> None:
        """Nobody can be discarded before there is a message."""
        for letter in (b"C", b"H"):
            self.setUp()
            self.begin(ScriptedFilter(script={letter: answers.DISCARD}))
            self.assertEqual(self.whole()[1], WHOLE)

    def test_accepted(self) -> None:
        """The filter hears no more of the message, of the client when it was that; the others
        do, and so does it of the next one."""
        for letter, rest in ((b"C", ""), (b"H", ""), (b"M", "A"), (b"R", "A"), (b"T", "A"), (b"L", "A"), (b"B", "A")):
            self.setUp()
            filter, other = ScriptedFilter(script={letter: answers.ACCEPT}), ScriptedFilter()
            self.begin(filter, other)
            self.assertEqual(self.whole()[1], WHOLE)
            self.assertTrue(filter.letters().endswith(letter.decode() + rest), letter)
            self.assertEqual(other.letters(), "OCHMRTLLLLLNBE")
            filter.script = {}
            heard = len(filter.heard)
            self.assertIsNone(self.mail())
            self.assertEqual(len(filter.heard) == heard, letter in (b"C", b"H"))

    def test_discarded(self) -> None:
        """The client hears yes, all filters forget the message, and nobody gets it."""
        for letter in (b"M", b"R", b"T", b"L", b"N", b"B", b"E"):
            self.setUp()
            filter, other = ScriptedFilter(script={letter: answers.DISCARD}), ScriptedFilter()
            self.begin(filter, other)
            self.assertEqual(self.whole(), reply.queued("c0-1"), letter)
            self.assertEqual(len(self.discarded), 1)
            self.assertNotIn("E", other.letters())
            self.assertIn("discarded id=c0-1 recipient=<x@y.test>", self.logged())
            filter.script = {}
            self.assertIsNone(self.mail())
            self.assertEqual(self.message()[1], WHOLE)

    def test_oneRecipient(self) -> None:
        """Of two recipients one is refused; the message goes on, and a later filter never
        hears of that one."""

        def answer(data: bytes) -> bytes:
            return answers.REJECT if b"bad" in data else answers.CONTINUE

        filter, other = ScriptedFilter(script={b"R": answer}), ScriptedFilter()
        self.begin(filter, other)
        self.hello()
        self.mail()
        self.assertEqual(self.rcpt("bad@y.test"), reply.FILTER_REFUSES)
        self.assertIsNone(self.rcpt("good@y.test"))
        self.assertEqual(self.message()[1], WHOLE)
        self.assertEqual(len(filter.said(b"R")), 2)
        self.assertEqual(other.said(b"R"), [b"<good@y.test>\0"])

    def test_refusedByUs(self) -> None:
        """Who wants to know of recipients that we refuse is told, and can't save them."""
        filter, other = ScriptedFilter(Negotiation(6, 0, RCPT_REJ)), ScriptedFilter()
        self.begin(filter, other)
        self.hello()
        self.mail()
        self.assertIsNone(self.answer(self.session.refused(Recipient("x@z.test"), reply.RELAYING_DENIED)))
        macros = filter.macros(b"R")
        self.assertEqual(macros[b"{rcpt_mailer}"], b"error")
        self.assertEqual(macros[b"{rcpt_host}"], b"5.7.1")
        self.assertEqual(macros[b"{rcpt_addr}"], b"Relaying denied")
        self.assertEqual(other.said(b"R"), [])
        self.assertIsNone(self.rcpt())

    def test_saysNoToRefused(self) -> None:
        """What a filter says to a recipient that is refused anyway has no effect."""
        filter = ScriptedFilter(Negotiation(6, 0, RCPT_REJ), {b"R": answers.DISCARD})
        self.begin(filter)
        self.hello()
        self.mail()
        self.assertIsNone(self.answer(self.session.refused(Recipient("x@z.test"), reply.RELAYING_DENIED)))
        filter.script = {}
        self.assertIsNone(self.rcpt())
        self.assertEqual(self.message()[1], WHOLE)

    def test_skip(self) -> None:
        """Nothing more of a kind; elsewhere it is a yes."""
        for letter, heard in ((b"L", "OCHMRRTLNBE"), (b"B", "OCHMRRTLLLLLNBE"), (b"R", "OCHMRTLLLLLNBE")):
            self.setUp()
            filter = ScriptedFilter(Negotiation(6, 0, SKIP), {letter: answers.SKIP})
            self.begin(filter)
            self.hello()
            self.mail()
            self.assertIsNone(self.rcpt())
            self.assertIsNone(self.rcpt("z@y.test"))
            body = bytes(100_000)
            self.assertTrue(self.message(body=body)[1].endswith(body))
            if letter != b"B":
                heard = heard.replace("B", "BB")
            self.assertEqual(filter.letters(), heard)
        self.setUp()
        self.begin(ScriptedFilter(Negotiation(6, 0, SKIP), dict.fromkeys((b"M", b"T", b"N"), answers.SKIP)))
        self.assertEqual(self.whole()[1], WHOLE)

    def test_unknown(self) -> None:
        """Filters may have words for a command that there is not, and nothing else."""
        for octets, expected in (
            (answers.CONTINUE, None),
            (answers.REJECT, None),
            (answers.replyCode(b"500 5.5.2 What?"), reply.reply(500, "5.5.2", "What?")),
        ):
            self.setUp()
            filter = ScriptedFilter(script={b"U": octets})
            self.begin(filter)
            self.assertIsNone(self.answer(self.session.unknown(b"VERB")), "it has not heard of the client yet")
            self.hello()
            self.assertEqual(self.answer(self.session.unknown(b"VERB one two")), expected)
            self.assertEqual(filter.said(b"U"), [b"VERB one two\0"])
            self.assertEqual(self.whole()[1], WHOLE)

    def test_quarantineEarly(self) -> None:
        """It may come with any answer."""
        filter = ScriptedFilter(script={b"M": answers.quarantine(b"odd") + answers.CONTINUE})
        self.begin(filter)
        self.assertEqual(self.whole()[0].hold, "filter f0: odd")
        filter.script = {}
        self.assertIsNone(self.mail())
        self.assertEqual(self.message()[0].hold, "")


class ClientTests(FilterCase):
    """What filters hear of the client."""

    def test_hello(self) -> None:
        """HELO is said again, with TLS for instance; CONNECT is not."""
        filter = ScriptedFilter()
        self.begin(filter)
        self.hello()
        tls = replace(CLIENT, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
        self.session.introduced(tls)
        self.session.introduced(tls)
        self.pump()
        self.assertEqual(filter.letters(), "OCHHH"[: len(filter.letters())])
        macros = filter.macros(b"H")
        self.assertEqual(macros[b"{cipher}"], b"TLS_AES_256_GCM_SHA384")
        self.assertEqual(macros[b"{cipher_bits}"], b"256")
        self.assertEqual(macros[b"{tls_version}"], b"TLSv1.3")
        login = replace(tls, login="ann")
        self.answer(self.session.mail("c0-1", login, "PLAIN", "", []))
        self.assertEqual(filter.macros(b"M")[b"{auth_authen}"], b"ann")
        self.assertEqual(filter.macros(b"M")[b"{auth_type}"], b"PLAIN")
        self.assertEqual(filter.macros(b"M")[b"{mail_addr}"], b"")
        self.assertEqual(filter.said(b"M"), [b"<>\0"])

    def test_other(self) -> None:
        """Another client, by XCLIENT, is another connection."""
        filters = [ScriptedFilter(), ScriptedFilter()]
        self.begin(list(filters))
        self.hello()
        self.session.introduced(replace(CLIENT, address="2001:db8::1", name="", port=7))
        self.pump()
        self.assertEqual([each.letters() for each in filters], ["OCHQ", "OCH"])
        self.assertEqual(filters[1].said(b"C"), [b"[2001:db8::1]\x006\0\x072001:db8::1\0"])
        self.assertEqual(filters[1].macros(b"C")[b"{client_addr}"], b"IPv6:2001:db8::1")
        self.assertEqual(filters[1].macros(b"C")[b"{client_name}"], b"unknown")

    def test_name(self) -> None:
        """A name is looked up for filters that want to hear of connections, once."""
        asked: list[str] = []
        waiting: Deferred[str] = Deferred()

        def nameOf(address: str) -> Deferred[str]:
            asked.append(address)
            return waiting

        filters = [ScriptedFilter(), ScriptedFilter(Negotiation(6, 0, 1)), ScriptedFilter()]
        self.begin(*filters, nameOf=nameOf)
        nameless = replace(CLIENT, name="")
        self.session.introduced(nameless)
        self.pump()
        self.assertEqual([each.letters() for each in filters], ["O", "OH", "O"])
        waiting.callback("c.z.test")
        self.pump()
        self.assertEqual(asked, ["192.0.2.1"])
        self.assertTrue(filters[0].said(b"C")[0].startswith(b"c.z.test\0"))
        self.assertEqual(filters[2].macros(b"C")[b"_"], b"c.z.test [192.0.2.1]")
        self.begin(ScriptedFilter(), nameOf=lambda address: succeed(""))
        self.session.introduced(nameless)
        self.pump()
        self.assertEqual(self.filters["f0"].said(b"C")[0][:12], b"[192.0.2.1]\0")

    def test_gone(self) -> None:
        """The client is gone while a filter thinks: its connection is closed, and what it
        says then is for nobody.  A message that is complete is still dealt with."""
        filter = ScriptedFilter(script={b"R": b""})
        self.begin(filter)
        self.hello()
        self.mail()
        asked = self.session.recipient(Recipient("x@y.test"))
        self.pump()
        self.session.ended()
        self.session.closed()
        self.pump()
        self.assertNoResult(asked)
        self.assertTrue(self.wires[0].isLost)
        self.setUp()
        filter = ScriptedFilter(script={b"E": b""})
        self.begin(filter)
        self.hello()
        self.mail()
        asked = self.session.message(*self.content())
        self.pump()
        self.session.closed()
        self.wires[0].mta.dataReceived(answers.ACCEPT)
        self.assertIsInstance(self.successResultOf(asked), tuple)
        self.pump()
        self.assertEqual(filter.letters()[-1], "Q")

    def test_refusedAtTheEnd(self) -> None:
        """A message that is refused is counted as one, and not as a command."""
        self.begin(ScriptedFilter(script={b"E": answers.REJECT}))
        self.assertEqual(self.whole().code, 550)
        [(_, tally, _)] = self.chain._filters
        self.assertEqual((tally.commands, tally.results["refused"]), (0, 1))

    def test_figures(self) -> None:
        """What has happened is counted, and trouble is a condition until it works again."""
        self.begin(None, down="accept")
        self.whole()
        self.assertIn("f0 is down: ", self.chain.condition())
        self.filters["f0"] = ScriptedFilter(script={b"E": answers.addHeader(b"X", b"y") + answers.ACCEPT})
        self.clock.advance(5)
        self.whole()
        self.assertEqual(self.chain.condition(), "")
        found = {(each.name, each.labels[-1][1]): each.value for each in self.chain.figures()}
        self.assertEqual(found[("filter_messages_total", "accepted")], 1)
        self.assertEqual(found[("filter_messages_total", "unfiltered")], 1)
        self.assertEqual(found[("filter_edits_total", "f0")], 1)
        self.assertEqual(found[("filter_connections", "f0")], 1)
        self.assertEqual(found[("filter_troubles_total", "down")], 1)
        self.session.closed()
        self.pump()
        found = {(each.name, each.labels[-1][1]): each.value for each in self.chain.figures()}
        self.assertEqual(found[("filter_connections", "f0")], 0)


class WordingTests(FilterCase):
    """Words of a filter for the client."""

    def test_replies(self) -> None:
        """One line or several, percent signs, no enhanced code."""
        for octets, wire in (
            (b"550 5.7.1 no", b"550 5.7.1 no\r\n"),
            (b"550 no", b"550 no\r\n"),
            (b"550", b"550 \r\n"),
            (b"451 4.7.1 100%% of %s", b"451 4.7.1 100% of s\r\n"),
            (b"550-5.7.1 one\r\n550 5.7.1 two", b"550-5.7.1 one\r\n550 5.7.1 two\r\n"),
            (b"550-5.7.1 one\n550 two\n", b"550-5.7.1 one\r\n550 5.7.1 two\r\n"),
            (b"550 5.7.1 \x07\xff\x1b[1m", b"550 5.7.1 ????[1m\r\n".replace(b"????", b"???")),
        ):
            self.assertEqual(replyOf(octets).wire, wire, octets)

    def test_malformed(self) -> None:
        """The usual words for the first digit."""
        for octets in (
            b"550 4.7.1 class",
            b"550-one\r\n551 two",
            b"550 one\r\n550 two",
            b"5xx",
            b"5500 x",
            b"550-5.7.1 a\r\n550 5.7.2 b",
            b"550_x",
        ):
            self.assertEqual(replyOf(octets), reply.FILTER_REFUSES, octets)
        self.assertEqual(replyOf(b"4"), reply.FILTER_LATER)
        for octets in (b"", b"250 ok", b"354", b"\xff"):
            self.assertRaises(MilterError, replyOf, octets)

    def test_long(self) -> None:
        """Neither more lines nor longer ones than a client must take."""
        found = replyOf(b"\r\n".join([b"550-5.7.1 " + b"x" * 2000] * 99 + [b"550 5.7.1 end"]))
        self.assertEqual(len(found.lines), 32)
        self.assertLess(max(map(len, found.wire.split(b"\r\n"))), 512)
