"""L{umbcmail.accept.grammar} and L{umbcmail.address}: commands as values."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import reply
from umbcmail.accept.grammar import CommandError, Mail, parseMail, parseRcpt, splitLine
from umbcmail.address import AddressError, checkHelo, domainOf, parseAddress, parsePath
from umbcmail.envelope import Recipient

ALL = frozenset(("SIZE", "8BITMIME", "SMTPUTF8", "DSN"))
NONE: frozenset[str] = frozenset()


class SplitLineTests(SynchronousTestCase):
    """A line as verb and argument."""

    def test_verbInAnyCase(self) -> None:
        """Verbs have no case, blanks at the end do not matter."""
        self.assertEqual(splitLine(b"mAiL from:<a@b>  "), ("MAIL", "from:<a@b>"))
        self.assertEqual(splitLine(b"QUIT"), ("QUIT", ""))

    def test_bareLineEnds(self) -> None:
        """A CR or LF inside of a line is an error of its own."""
        for line in (b"EHLO a\nX: y", b"EHLO a\rb", b"\nNOOP"):
            with self.assertRaises(CommandError) as caught:
                splitLine(line)
            self.assertIs(caught.exception.reply, reply.BARE_LINE_END)

    def test_notText(self) -> None:
        """Octets that are not UTF-8 get a reply, and no exception of another kind."""
        with self.assertRaises(CommandError) as caught:
            splitLine(b"\xff\xfe")
        self.assertEqual(caught.exception.reply.code, 500)


class ParseMailTests(SynchronousTestCase):
    """C{MAIL FROM}."""

    def refused(self, argument: str, offered: frozenset[str] = ALL) -> int:
        """The code of the reply to a wrong command."""
        with self.assertRaises(CommandError) as caught:
            parseMail(argument, offered)
        return caught.exception.reply.code

    def test_plain(self) -> None:
        """A sender, the null sender, and a blank behind the colon."""
        self.assertEqual(parseMail("FROM:<a@b.test>", NONE), Mail("a@b.test"))
        self.assertEqual(parseMail("from:<>", NONE), Mail(""))
        self.assertEqual(parseMail("FROM: <a@b.test>", NONE), Mail("a@b.test"))

    def test_parameters(self) -> None:
        """All parameters, in any case and order."""
        found = parseMail("FROM:<a@b.test> ret=hdrs smtputf8 envid=E+2B1 Size=000000500 body=8bitmime", ALL)
        self.assertEqual(found, Mail("a@b.test", 500, "8BITMIME", True, "HDRS", "E+2B1"))

    def test_notOffered(self) -> None:
        """What was not offered is not taken silently."""
        for parameter in ("SIZE=5", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x", "FOO=bar", "AUTH=<>"):
            self.assertEqual(self.refused(f"FROM:<a@b.test> {parameter}", NONE), 555, parameter)

    def test_badValues(self) -> None:
        """Values are checked one by one, and nothing is given twice."""
        for parameter in (
            "SIZE=-1", "SIZE=", "SIZE", "SIZE=1x", "SIZE=0x10", "SIZE=999999999999999999999", "BODY=9BIT", "BODY",
            "SMTPUTF8=1", "RET=SOME", "RET=", "ENVID=a+ZZb", "ENVID=a+2", "ENVID=", "SIZE=1 SIZE=1", "=x", "A=b=c",
        ):  # fmt: skip
            self.assertIn(self.refused(f"FROM:<a@b.test> {parameter}"), (501, 555), parameter)

    def test_badSenders(self) -> None:
        """What is no path is refused."""
        for path in ("a@b.test", "<a@b.test", "<a b@c.test>", "<postmaster>", "<a@b>x", "", "<a@b..c>", "< a@b.test>"):
            self.assertEqual(self.refused(f"FROM:{path}"), 501, path)
        self.assertEqual(self.refused("TO:<a@b.test>"), 501)

    def test_eightBitNeedsSMTPUTF8(self) -> None:
        """An address beyond ASCII is taken only in a transaction of RFC 6531."""
        self.assertEqual(self.refused("FROM:<n\u00e9@b.test>"), 501)
        self.assertEqual(parseMail("FROM:<n\u00e9@b.test> SMTPUTF8", ALL).sender, "n\u00e9@b.test")


class ParseRcptTests(SynchronousTestCase):
    """C{RCPT TO}."""

    def test_plain(self) -> None:
        """A recipient, and the bare postmaster in any case."""
        self.assertEqual(parseRcpt("TO:<a@b.test>", NONE, False), Recipient("a@b.test"))
        self.assertEqual(parseRcpt("TO:<PostMaster>", NONE, False), Recipient("PostMaster"))

    def test_dsn(self) -> None:
        """NOTIFY and ORCPT are kept."""
        found = parseRcpt("TO:<a@b.test> NOTIFY=failure,DELAY ORCPT=rfc822;root", ALL, False)
        self.assertEqual(found, Recipient("a@b.test", "FAILURE,DELAY", "rfc822;root"))

    def test_bad(self) -> None:
        """NEVER stands alone; there is no null recipient; what is not offered is not taken."""
        for argument in (
            "TO:<>", "TO:<a@b.test> NOTIFY=NEVER,FAILURE", "TO:<a@b.test> NOTIFY=", "TO:<a@b.test> NOTIFY=SOMETIMES",
            "TO:<a@b.test> NOTIFY=DELAY,DELAY", "TO:<a@b.test> ORCPT=x", "TO:<a@b.test> SIZE=1", "TO:<\u00e9@b.test>",
        ):  # fmt: skip
            with self.assertRaises(CommandError):
                parseRcpt(argument, ALL, False)
        with self.assertRaises(CommandError):
            parseRcpt("TO:<a@b.test> NOTIFY=NEVER", NONE, False)


class AddressTests(SynchronousTestCase):
    """Paths."""

    def test_forms(self) -> None:
        """Quotes, literals and source routes."""
        for text, address in {
            "<a@b.test>": "a@b.test",
            '<"a b"@c.test>': '"a b"@c.test',
            '<"a>b"@c.test>': '"a>b"@c.test',
            '<"x"@c.test>': "x@c.test",
            "<@r.test,@s.test:x@y.test>": "x@y.test",
            "<x@[192.0.2.1]>": "x@[192.0.2.1]",
            "<x@[IPv6:2001:db8::1]>": "x@[IPv6:2001:db8::1]",
        }.items():
            self.assertEqual(parsePath(text), (address, len(text)))

    def test_limits(self) -> None:
        """64 octets before the @, 63 in a label, 255 in a domain."""
        self.assertEqual(parseAddress("a" * 64 + "@b.test")[:64], "a" * 64)
        for text in ("a" * 65 + "@b.test", "a@" + "d" * 64 + ".test", "a@" + "ab." * 85 + "test"):
            self.assertRaises(AddressError, parseAddress, text)

    def test_wrong(self) -> None:
        """What is no address."""
        for text in (
            "x@y..test", "x@.test", "x@", "@y.test", ",@y.test", "a@@y.test", "(c)@y.test", "x@[192.0.2.999]",
            "x@[IPv6:::1::]", "x@[192.0.2.1", ".x@y.test", "x.@y.test", "x..y@z.test", "x@-a.test", "", "x",
        ):  # fmt: skip
            self.assertRaises(AddressError, parseAddress, text)

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet='<>@"\\ .:,[]aA1-\u00e9\x00\r\n;', max_size=40))
    def test_nothingElseIsRaised(self, text: str) -> None:
        """Whatever the text, it is an address or L{AddressError}; what is taken has
        no line end and no bracket outside of quotes."""
        try:
            address, end = parsePath(text)
        except AddressError:
            return
        self.assertLessEqual(end, len(text))
        self.assertFalse(set(address) & set("\r\n\x00"))
        if '"' not in address:
            self.assertFalse(set(address) & set("<> "))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=80))
    def test_commandsRaiseCommandError(self, line: bytes) -> None:
        """Whatever the line, it is a command or L{CommandError}."""
        try:
            _, argument = splitLine(line)
            parseMail("FROM:" + argument, ALL)
            parseRcpt("TO:" + argument, ALL, True)
        except CommandError as error:
            self.assertGreaterEqual(error.reply.code, 500)

    def test_helo(self) -> None:
        """Odd names that real clients send pass, what could break a header doesn't."""
        for name in ("localhost", "MY_PC", "my-pc-.office.test", "pc.test.", "[192.0.2.7]", "[IPv6:::1]"):
            self.assertEqual(checkHelo(name), name)
        for name in ("", "a b", "a\nb", "a(b)", "\u00fc.test", "a" * 256, "[]", "[abc]"):
            self.assertRaises(AddressError, checkHelo, name)

    def test_domain(self) -> None:
        """Domains have no case."""
        self.assertEqual(domainOf("A@B.Test"), "b.test")
        self.assertEqual(domainOf('"a@b"@C.test'), "c.test")
        self.assertEqual((domainOf(""), domainOf("postmaster")), ("", ""))
