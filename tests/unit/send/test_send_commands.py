"""Tests of L{umbcmail.send.commands}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.commands import Extensions, mailCommand, parseExtensions, wireAddress


class WireAddressTests(SynchronousTestCase):
    """Addresses go out verbatim or not at all."""

    def test_verbatim(self) -> None:
        """What can be sent is sent as it is."""
        for address in ("a@b.example", '"a,b"@c', '"a b"@c', r'"a\"b<"@c', "postmaster", "é@é.example", "a@[IPv6:::1]"):
            self.assertEqual(wireAddress(address), address.encode())

    def test_refused(self) -> None:
        """What could end the command, or be two addresses, is not sent."""
        for address in (
            "a b@c",
            "a>@c",
            "a<b@c",
            "a\r\nDATA@c",
            "a\0@c",
            'a"b@c',
            '"a"b"@c',
            "a@b c",
            "",
            "a\x85@c",
            '"a\n"@c',
        ):
            self.assertIsNone(wireAddress(address), address)
        self.assertIsNone(wireAddress("a\ud800@c"))


class ExtensionsTests(SynchronousTestCase):
    """EHLO replies are read leniently, MAIL says what is offered."""

    def test_parse(self) -> None:
        """Keywords in any case; odd lines are passed over; the first is a name."""
        lines = [b"STARTTLS", b"", b"pipelining", b"size 2000", b"AUTH=LOGIN", b"8bitmime ", b"X-", b"SmtpUtf8"]
        self.assertEqual(parseExtensions(lines), Extensions(True, True, 2000, True, True, False))

    def test_size(self) -> None:
        """SIZE 0, without number, or with nonsense is no known limit."""
        for line in (b"SIZE", b"SIZE 0", b"SIZE abc", b"SIZE -5", b"SIZE " + b"9" * 5000):
            offered = parseExtensions([b"x", line])
            self.assertEqual((offered.size, offered.sizeLimit), (True, 0))

    def test_mail(self) -> None:
        """Parameters only where they are offered."""
        everything = Extensions(True, True, 0, True, True)
        self.assertEqual(mailCommand(b"", 5, True, True, everything), b"MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8\r\n")
        self.assertEqual(mailCommand(b"a@b", 5, True, False, Extensions()), b"MAIL FROM:<a@b>\r\n")
        self.assertEqual(mailCommand(b"a@b", 5, False, False, everything), b"MAIL FROM:<a@b> SIZE=5\r\n")
