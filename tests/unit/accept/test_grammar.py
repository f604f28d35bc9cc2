"""L{umbcmail.accept.grammar} and L{umbcmail.address}: commands as values."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import reply
from umbcmail.accept.grammar import CommandError, Mail, checkVrfy, parseMail, parseRcpt, splitLine
from umbcmail.accept.leniency import LENIENCIES, Leniency, mended
from umbcmail.address import AddressError, checkHelo, domainOf, parseAddress, parsePath
from umbcmail.envelope import Recipient

ALL = frozenset(("SIZE", "8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "FUTURERELEASE"))
NONE: frozenset[str] = frozenset()


def leniently(lenient: Leniency, argument: str, offered: frozenset[str] = NONE) -> Mail:
    """The argument of MAIL as a dialogue takes it."""
    try:
        return parseMail(argument, offered)
    except CommandError as why:
        return lenient.parsed(argument, lambda text: parseMail(text, offered), why)


class SplitLineTests(SynchronousTestCase):
    """A line as verb and argument."""

    def test_verbInAnyCase(self) -> None:
        """Verbs have no case, blanks at the end do not matter."""
        self.assertEqual(splitLine(b"mAiL from:<a@b>  "), ("MAIL", "from:<a@b>"))
        self.assertEqual(splitLine(b"QUIT"), ("QUIT", ""))
        self.assertEqual(splitLine(b"DATA \t "), ("DATA", ""))

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

    def test_lettersThatBecomeASCII(self) -> None:
        """A verb is ASCII before its case is looked at, too."""
        with self.assertRaises(CommandError) as caught:
            splitLine("\u017fTARTTLS".encode())
        self.assertIs(caught.exception.reply, reply.UNKNOWN_COMMAND)


class ParseMailTests(SynchronousTestCase):
    """C{MAIL FROM}."""

    def refused(self, argument: str, offered: frozenset[str] = ALL) -> int:
        """The code of the reply to a wrong command."""
        with self.assertRaises(CommandError) as caught:
            parseMail(argument, offered)
        return caught.exception.reply.code

    def test_plain(self) -> None:
        """A sender, and the null sender."""
        self.assertEqual(parseMail("FROM:<a@b.test>", NONE), Mail("a@b.test"))
        self.assertEqual(parseMail("from:<>", NONE), Mail(""))

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
            "SMTPUTF8=1", "SMTPUTF8=", "BODY=BINARYMIME", "BODY=7B\u0131T", "RET=HDR\u017f", "S\u0131ZE=1", "RET=SOME",
            "RET=", "ENVID=a+ZZb", "ENVID=a+2", "ENVID=", "SIZE=1 SIZE=1", "=x", "A=b=c",
            "SIZE=1\t", "SIZE=\x01", "SIZE=1\x7f", "ENVID=a\x80b", "ENVID=\u00e9", "ENVID=a+2b", "ENVID=" + "a" * 301,
            "RET=HDRS RET=FULL", "ENVID=a envid=a", "SIZE=\u0663", "-A=1", "A_B=1", "SIZE =1", "SIZE= 1", "REQUIRETLS=",
            "REQUIRETLS REQUIRETLS", "SIZE=1 " * 100,
        ):  # fmt: skip
            self.assertIn(self.refused(f"FROM:<a@b.test> {parameter}"), (501, 555), parameter)

    def test_badSenders(self) -> None:
        """What is no path is refused."""
        for path in (
            "a@b.test",
            "<a@b.test",
            "<a b@c.test>",
            "<postmaster>",
            "<a@b>x",
            "",
            "<a@b..c>",
            "< a@b.test>",
            " <a@b.test>",
        ):
            self.assertEqual(self.refused(f"FROM:{path}"), 501, path)
        self.assertEqual(self.refused("TO:<a@b.test>"), 501)

    def test_requireTLS(self) -> None:
        """REQUIRETLS is a word alone."""
        self.assertTrue(parseMail("FROM:<a@b.test> requiretls", ALL).requireTLS)
        self.assertEqual(self.refused("FROM:<a@b.test> REQUIRETLS", NONE), 555)

    def test_holdUntil(self) -> None:
        """Seconds, or a date in any zone."""
        self.assertEqual(parseMail("FROM:<a@b.test> HOLDFOR=3600", ALL).holdFor, 3600)
        for value in ("2027-01-01T00:00:00Z", "2027-01-01T01:30:00+01:30", "2026-12-31T23:00:00.000-01:00"):
            self.assertEqual(parseMail(f"FROM:<a@b.test> HOLDUNTIL={value}", ALL).holdUntil, 1798761600.0, value)
        for parameter in (
            "HOLDFOR", "HOLDFOR=", "HOLDFOR=-1", "HOLDFOR=1234567890", "HOLDFOR=1.5", "HOLDUNTIL", "HOLDUNTIL=tomorrow",
            "HOLDUNTIL=2027-02-30T00:00:00Z", "HOLDUNTIL=2027-01-01T25:00:00Z", "HOLDUNTIL=2027-01-01",
            "HOLDUNTIL=2027-01-01T00:00:00", "HOLDUNTIL=2027-01-01T00:00:00+99:00", "HOLDUNTIL=2027-01-01T00:00:60Z",
        ):  # fmt: skip
            self.assertEqual(self.refused(f"FROM:<a@b.test> {parameter}"), 501, parameter)

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
        found = parseRcpt("TO:<a@b.test> notify=Never orcpt=X-Odd_Type;a+2Bb+3Dc", ALL, False)
        self.assertEqual(found, Recipient("a@b.test", "NEVER", "X-Odd_Type;a+2Bb+3Dc"))

    def test_wideORCPT(self) -> None:
        """An original recipient beyond ASCII only of its own type, and only in a
        transaction of RFC 6531."""
        command = "TO:<a@b.test> ORCPT=utf-8;n\u00e9@b.test"
        self.assertEqual(parseRcpt(command, ALL, True).orcpt, "utf-8;n\u00e9@b.test")
        for wrong, smtputf8 in ((command, False), (command.replace("utf-8", "rfc822"), True)):
            with self.assertRaises(CommandError):
                parseRcpt(wrong, ALL, smtputf8)

    def test_bad(self) -> None:
        """NEVER stands alone; there is no null recipient; what is not offered is not taken."""
        for argument in (
            "TO:<>", "TO:<a@b.test> NOTIFY=NEVER,FAILURE", "TO:<a@b.test> NOTIFY=", "TO:<a@b.test> NOTIFY=SOMETIMES",
            "TO:<a@b.test> NOTIFY=DELAY,DELAY", "TO:<a@b.test> ORCPT=x",
            "TO:<a@b.test> NOTIFY=SUCCESS,", "TO:<a@b.test> NOTIFY=,SUCCESS", "TO:<a@b.test> NOTIFY=NEVER,NEVER",
            "TO:<a@b.test> NOTIFY=\u017fUCCESS", "TO:<a@b.test> NOTIFY", "TO:<a@b.test> ORCPT=rfc822;",
            "TO:<a@b.test> ORCPT=;x",
            "TO:<a@b.test> ORCPT=rfc822;a+2b", "TO:<a@b.test> ORCPT=rfc822;a+", "TO:<a@b.test> ORCPT=rfc 822;a",
            "TO:<a@b.test> ORCPT=rfc822;a ORCPT=rfc822;a", "TO:<a@b.test> ORCPT=rfc822;" + "a" * 500,
            "TO:<a@b.test> NOTIFY=DELAY NOTIFY=DELAY", "TO:<a@b.test>NOTIFY=DELAY", "TO:<a@b.test> RET=FULL",
            "TO:<a@b.test> SIZE=1", "TO:<\u00e9@b.test>",
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

    @settings(max_examples=500, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["SIZE", "body", "SMTPUTF8", "RET", "ENVID", "REQUIRETLS", "HOLDFOR", "HOLDUNTIL", "X"]
                ),
                st.sampled_from(["", "=", " =", "="]),
                st.text(alphabet="0129TZ:-+.=;,aA\u00e9\u0663 \t\x00", max_size=25),
            ),
            max_size=4,
        )
    )
    def test_parametersRaiseCommandError(self, parts: list[tuple[str, str, str]]) -> None:
        """Whatever the parameters, they are values or L{CommandError}."""
        text = "".join(f" {keyword}{sign}{value}" for keyword, sign, value in parts)
        for parse in (
            lambda: parseMail("FROM:<a@b.test>" + text, ALL),
            lambda: parseRcpt("TO:<a@b>" + text, ALL, True),
        ):
            try:
                parse()
            except CommandError as error:
                self.assertGreaterEqual(error.reply.code, 500)

    @settings(max_examples=500, deadline=None)
    @given(st.text(alphabet='<>@"\\ .:,aA1-\u00e9\x00\t', max_size=30))
    def test_leniencyRaisesCommandError(self, path: str) -> None:
        """With all leniencies there is an address that the strict grammar takes, or
        L{CommandError}; what was right stays as it is."""
        used: list[str] = []
        lenient = Leniency(frozenset(LENIENCIES), used.append)
        try:
            found = leniently(lenient, "FROM:" + path, ALL)
        except CommandError:
            return
        self.assertEqual(parsePath(f"<{found.sender}>")[0], found.sender)
        if not used:
            self.assertEqual(found, parseMail("FROM:" + path, ALL))


class LeniencyTests(SynchronousTestCase):
    """What is wrong and taken all the same."""

    def test_each(self) -> None:
        """Each leniency takes its own mistake, alone and with the others."""
        dots, space, bare = "dots-in-local-part", "space-after-colon", "no-brackets"
        for argument, right, names in (
            ("FROM: <a@b.test> SIZE=1", "FROM:<a@b.test> SIZE=1", (space,)),
            ("to:  <>", "to:<>", (space,)),
            ("TO:a@b.test NOTIFY=NEVER", "TO:<a@b.test> NOTIFY=NEVER", (bare,)),
            ("TO:<.a@b.test>", 'TO:<".a"@b.test>', (dots,)),
            ("TO:<a.@b.test> X", 'TO:<"a."@b.test> X', (dots,)),
            ("TO: a..b@c.test", 'TO:<"a..b"@c.test>', (space, bare, dots)),
        ):
            self.assertEqual(mended(argument, frozenset(names)), (right, names))
            self.assertEqual(mended(argument, frozenset(LENIENCIES)), (right, names))
            self.assertEqual(mended(argument, frozenset()), (argument, ()))

    def test_whatIsWorse(self) -> None:
        """Other mistakes stay mistakes."""
        lenient = Leniency(frozenset(LENIENCIES), self.fail)
        for path in (
            "<a@b..c>",
            "a@b>",
            "<a@b",
            "",
            " ",
            "< a@b>",
            "a b@c.test",
            "\t<a@b>",
            "<..@>",
            '<"a@b>',
            "<a..b>",
        ):
            with self.assertRaises(CommandError):
                leniently(lenient, "FROM:" + path)

    def test_toldOnce(self) -> None:
        """The first use of each in a session is told."""
        used: list[str] = []
        lenient = Leniency(frozenset(("space-after-colon",)), used.append)
        for _ in range(3):
            self.assertEqual(leniently(lenient, "FROM: <a@b>"), Mail("a@b"))
        self.assertEqual(used, ["space-after-colon"])


class VrfyTests(SynchronousTestCase):
    """C{VRFY}."""

    def test_arguments(self) -> None:
        """Something must be asked for, and 8-bit text must be said to be such."""
        for argument in ("bob", "bob@y.test", "\u00fc SMTPUTF8", "\u00fc b smtputf8", "bob SMTPUTF8"):
            checkVrfy(argument, ALL)
        for argument, offered in (("", ALL), ("SMTPUTF8", ALL), ("\u00fc", ALL), ("\u00fc SMTPUTF8", NONE)):
            with self.assertRaises(CommandError):
                checkVrfy(argument, offered)

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
