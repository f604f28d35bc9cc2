"""Tests of L{umbcmail.filter.codec}, L{umbcmail.filter.commands} and L{umbcmail.filter.answers}."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.filter import answers, commands
from umbcmail.filter.answers import Answer, Disposition, readAnswer
from umbcmail.filter.codec import DATA_LIMIT, MilterError, Packets, packet
from umbcmail.filter.commands import Bare, Command, readCommand
from umbcmail.filter.negotiation import Negotiation

_octets = st.binary(max_size=40)
_strings = _octets.map(lambda octets: octets.replace(b"\0", b"x"))
_numbers = st.integers(0, 2**32 - 1)


def command(octets: bytes) -> Command:
    """The value of one packet."""
    [(letter, data)] = Packets().feed(octets)
    return readCommand(letter, data)


def answer(octets: bytes) -> Answer:
    """The value of one packet."""
    [(letter, data)] = Packets().feed(octets)
    return readAnswer(letter, data)


class PacketTests(SynchronousTestCase):
    """The stream and its packets."""

    @given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), _octets), max_size=5), st.integers(1, 9))
    def test_cuts(self, packets: list[tuple[bytes, bytes]], step: int) -> None:
        """Packets come out as they went in, wherever the stream is cut."""
        stream = b"".join([packet(letter, data) for letter, data in packets])
        reader, found = Packets(), []
        for at in range(0, len(stream), step):
            found += reader.feed(stream[at : at + step])
        self.assertEqual(found, packets)
        self.assertTrue(reader.isEmpty)

    def test_lengths(self) -> None:
        """No packet is empty, and one over the limit is refused before it has come."""
        self.assertRaises(MilterError, Packets().feed, bytes(4))
        self.assertEqual(Packets(3).feed(b"\0\0\0\3abc"), [(b"a", b"bc")])
        self.assertRaises(MilterError, Packets(3).feed, b"\0\0\0\4a")

    def test_clamd(self) -> None:
        """The banner of a daemon that is no milter is an error at once."""
        self.assertRaises(MilterError, Packets().feed, b"UNKNOWN COMMAND\n")

    def test_isEmpty(self) -> None:
        """A packet that has only begun is seen."""
        reader = Packets()
        self.assertEqual(reader.feed(b"\0\0"), [])
        self.assertFalse(reader.isEmpty)


class CommandTests(SynchronousTestCase):
    """What an MTA says."""

    def test_golden(self) -> None:
        """The octets are those that Sendmail sends."""
        self.assertEqual(
            commands.connect(b"c.example", b"4", 1025, b"192.0.2.1"), b"\0\0\0\x18Cc.example\x004\x04\x01192.0.2.1\0"
        )
        self.assertEqual(commands.connect(b"[x]", b"U"), b"\0\0\0\6C[x]\0U")
        self.assertEqual(commands.mail(b"<>", [b"SIZE=1"]), b"\0\0\0\x0bM<>\0SIZE=1\0")
        self.assertEqual(commands.header(b"Subject", b"a\n\tb"), b"\0\0\0\x0eLSubject\0a\n\tb\0")
        self.assertEqual(commands.BEGIN_DATA + commands.ABORT + commands.QUIT, b"\0\0\0\1T\0\0\0\1A\0\0\0\1Q")

    def test_macros(self) -> None:
        """Names of one letter have no braces, and no packet is empty."""
        octets = commands.macros(b"M", {b"i": b"42", b"mail_addr": b""})
        self.assertEqual(octets, b"\0\0\0\x14DMi\x0042\0{mail_addr}\0\0")
        self.assertEqual(command(octets), commands.Macros(b"M", {b"i": b"42", b"mail_addr": b""}))
        self.assertEqual(commands.macros(b"M", {}), b"")
        self.assertEqual(command(packet(b"D", b"C{i}\0x\0")), commands.Macros(b"C", {b"i": b"x"}))

    @given(_strings, st.sampled_from([b"4", b"6", b"L"]), st.integers(0, 65535), _strings)
    def test_connect(self, name: bytes, family: bytes, port: int, address: bytes) -> None:
        """Families with an address."""
        assume(family != b"6" or not address.lower().startswith(b"ipv6:"))  # that may be left out, see below
        self.assertEqual(
            command(commands.connect(name, family, port, address)), commands.Connect(name, family, port, address)
        )

    def test_connectForms(self) -> None:
        """An IPv6 address may be written as in an address literal; without a family
        there is nothing."""
        found = command(commands.connect(b"x", b"6", 25, b"IPv6:2001:db8::1"))
        self.assertEqual(found, commands.Connect(b"x", b"6", 25, b"2001:db8::1"))
        self.assertEqual(command(commands.connect(b"x", b"U")), commands.Connect(b"x", b"U", 0, b""))

    @given(_strings, st.lists(_strings, max_size=3), _strings, _octets)
    def test_roundTrip(self, address: bytes, parameters: list[bytes], value: bytes, octets: bytes) -> None:
        """A filter reads what an MTA has written; 8-bit octets too."""
        self.assertEqual(command(commands.helo(address)), commands.Helo(address))
        self.assertEqual(command(commands.mail(address, parameters)), commands.Mail(address, tuple(parameters)))
        self.assertEqual(command(commands.rcpt(address, parameters)), commands.Rcpt(address, tuple(parameters)))
        self.assertEqual(command(commands.header(address, value)), commands.Header(address, value))
        self.assertEqual(command(commands.body(octets)), commands.Body(octets))
        self.assertEqual(command(commands.unknown(address)), commands.Unknown(address))

    def test_bare(self) -> None:
        """Commands of one letter, and an end of the body that has some of it."""
        for octets, letter in ((commands.BEGIN_DATA, b"T"), (commands.END_HEADER, b"N"), (commands.ABORT, b"A")):
            self.assertEqual(command(octets), Bare(letter))
        self.assertEqual(command(commands.QUIT_NEW_CONNECTION), Bare(b"K"))
        self.assertEqual(command(commands.END_BODY), commands.EndOfBody(b""))
        self.assertEqual(command(packet(b"E", b"last")), commands.EndOfBody(b"last"))

    def test_limits(self) -> None:
        """A header field that libmilter could not read, and a NUL, are errors here and
        not silence there."""
        commands.header(b"X", b"y" * (DATA_LIMIT - 3))
        self.assertRaises(MilterError, commands.header, b"X", b"y" * (DATA_LIMIT - 2))
        self.assertRaises(MilterError, commands.mail, b"<a\0b>")

    def test_headers(self) -> None:
        """Folds have bare LFs, NULs and blanks before the colon are not shown, and one space behind it
        is only where the filter has asked for it."""
        fields = [(b"A", b" 1"), (b"B \t", b"\t2\r\n\tmore\r\n  end"), (b"C", b"  3\0"), (b"D", b"")]
        shown = [command(octets) for octets in commands.headers(fields, True)]
        values = [b" 1", b"\t2\n\tmore\n  end", b"  3", b""]
        self.assertEqual(shown, [commands.Header(*each) for each in zip(b"A B C D".split(), values, strict=True)])
        values = [b"1", values[1], b" 3", b""]
        shown = [command(octets) for octets in commands.headers(fields, False)]
        self.assertEqual(shown, [commands.Header(*each) for each in zip(b"A B C D".split(), values, strict=True)])
        self.assertEqual(commands.headers(fields[:1], True), [commands.header(b"A", b" 1")])
        commands.headers([(b"X", b"y" * (DATA_LIMIT - 3))], True)
        self.assertRaises(MilterError, commands.headers, [(b"X", b"y" * (DATA_LIMIT - 2))], True)

    def test_wrong(self) -> None:
        """What is no command is an error of the protocol and nothing else."""
        for octets in (
            b"M",
            b"C",
            b"Cx\0",
            b"Cx\x004\0",
            b"Cx\x004\0\0no nul",
            b"DMx\0",
            b"D",
            b"Hx",
            b"Lx\0",
            b"X",
            b"O",
        ):
            with self.assertRaises(MilterError, msg=octets):
                readCommand(octets[:1], octets[1:])


class AnswerTests(SynchronousTestCase):
    """What a filter says."""

    def test_bare(self) -> None:
        """Each disposition has its letter, and no data."""
        for each in Disposition:
            self.assertIs(answer(packet(each.value)), each)
            self.assertRaises(MilterError, readAnswer, each.value, b"x")
        self.assertIs(answer(answers.CONTINUE), Disposition.CONTINUE)
        self.assertEqual(answer(answers.PROGRESS), answers.Progress())

    @given(_strings, _strings, _numbers, _octets)
    def test_roundTrip(self, name: bytes, value: bytes, index: int, octets: bytes) -> None:
        """An MTA reads what a filter has written."""
        self.assertEqual(answer(answers.replyCode(value)), answers.ReplyCode(value))
        self.assertEqual(answer(answers.quarantine(value)), answers.Quarantine(value))
        self.assertEqual(answer(answers.addHeader(name, value)), answers.AddHeader(name, value))
        self.assertEqual(answer(answers.insertHeader(index, name, value)), answers.InsertHeader(index, name, value))
        self.assertEqual(answer(answers.changeHeader(index, name, value)), answers.ChangeHeader(index, name, value))
        self.assertEqual(answer(answers.changeSender(name, value)), answers.ChangeSender(name, value))
        self.assertEqual(answer(answers.addRecipient(name, value)), answers.AddRecipient(name, value))
        self.assertEqual(answer(answers.deleteRecipient(name)), answers.DeleteRecipient(name))
        self.assertEqual(answer(answers.replaceBody(octets)), answers.ReplaceBody(octets))

    def test_body(self) -> None:
        """A large body is cut, and an empty one is said."""
        parts = Packets().feed(answers.replaceBody(b"x" * (DATA_LIMIT + 1)))
        self.assertEqual([len(data) for _, data in parts], [DATA_LIMIT, 1])
        self.assertEqual(Packets().feed(answers.replaceBody(b"")), [(b"b", b"")])

    def test_wrong(self) -> None:
        """What is no answer, a string without its NUL, and left-over octets are errors."""
        for octets in (
            b"y550",
            b"y",
            b"hx\0",
            b"ix\0",
            b"i\0\0\0\1x\0",
            b"+a\0b\0",
            b"2",
            b"q",
            b"Z",
            b"O\0",
            b"ha\0b\0c\0",
        ):
            with self.assertRaises(MilterError, msg=octets):
                readAnswer(octets[:1], octets[1:])

    def test_negotiation(self) -> None:
        """The answer to an offer is read as one."""
        self.assertEqual(answer(Negotiation(6, 1, 2).packet()), Negotiation(6, 1, 2))
