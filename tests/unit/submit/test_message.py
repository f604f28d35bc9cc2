"""Tests of L{umbcmail.submit.message}."""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import parseaddr

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.address import AddressError
from umbcmail.submit.message import fields, recipientsOf, separated, taken, withFrom


class TakenTests(SynchronousTestCase):
    """What a program has written."""

    def test_lineEnds(self) -> None:
        """All become CRLF, also what has been made CR CR LF; the last line has one."""
        self.assertEqual(b"A: b\r\n\r\nc\r\nd\r\ne\r\n", taken(b"A: b\r\r\n\r\nc\nd\re", False))

    def test_dot(self) -> None:
        """A dot on its own line ends it, or does not."""
        text = b"A: b\n\nc\n..\n.\nd\n"
        self.assertEqual(b"A: b\r\n\r\nc\r\n..\r\n", taken(text, True))
        self.assertEqual(b"A: b\r\n\r\nc\r\n..\r\n.\r\nd\r\n", taken(text, False))
        for end in (b".", b".\r\n", b".\n"):
            self.assertEqual(b"A: b\r\n\r\n", taken(b"A: b\n\n" + end, True))
        self.assertEqual(b"\r\n", taken(b".\nx", True))
        self.assertEqual(b"A: b\r\n\r\nc .\r\n.d\r\n", taken(b"A: b\n\nc .\n.d\n", True))

    def test_header(self) -> None:
        """An empty line stands behind the header, which ends where something is that is no field."""
        for text, expected in (
            (b"", b"\r\n"),
            (b"hello\n", b"\r\nhello\r\n"),
            (b"A: b\n", b"A: b\r\n\r\n"),
            (b"A: b\n c\nhello: there my: friend\nbody\n", b"A: b\r\n c\r\nhello: there my: friend\r\n\r\nbody\r\n"),
            (b" folded\nA: b\n", b"\r\n folded\r\nA: b\r\n"),
            (b"\nA: b\n", b"\r\nA: b\r\n"),
        ):
            self.assertEqual(expected, taken(text, True))

    def test_fromLine(self) -> None:
        """The line that separates messages in a folder of mbox is none of it."""
        self.assertEqual(b"A: b\r\n\r\nFrom x\r\n", taken(b"From root Mon Jan 1\nA: b\n\nFrom x\n", True))

    @given(st.binary())
    def test_anything(self, data: bytes) -> None:
        """There is no bare CR or LF in it, and a header and an empty line before the body."""
        for dotEnds in (True, False):
            found = taken(data, dotEnds)
            self.assertNotIn(b"\r", found.replace(b"\r\n", b""))
            self.assertNotIn(b"\n", found.replace(b"\r\n", b""))
            self.assertTrue(found.startswith(b"\r\n") or b"\r\n\r\n" in found)
            self.assertEqual(found, separated(found))


class RecipientsTests(SynchronousTestCase):
    """Recipients of the header."""

    def test_fields(self) -> None:
        """To, Cc and Bcc count, folded or not, each address once; those of the body do not."""
        text = taken(b"to: a,\n b@x.test\nCC : c@x.test, a\nBcc: d\nX-To: e\nSubject: To: f\n\nTo: g\n", False)
        self.assertEqual(["a@d.test", "b@x.test", "c@x.test", "d@d.test"], recipientsOf(text, "d.test"))
        self.assertEqual((b"to", b"a, b@x.test"), fields(text)[0])

    def test_resent(self) -> None:
        """A message that is sent again goes to those only who it is sent to again."""
        text = taken(b"To: a\nResent-To: b\nResent-Bcc: c\n\n", False)
        self.assertEqual(["b@d.test", "c@d.test"], recipientsOf(text, "d.test"))

    def test_wrong(self) -> None:
        """The field is named."""
        for line in (b"To: a b", b"Cc: \xff@x.test"):
            with self.assertRaisesRegex(AddressError, f"^{line[:2].decode()}: "):
                recipientsOf(line + b"\r\n\r\n", "d.test")


class FromTests(SynchronousTestCase):
    """A message has a From."""

    def added(self, name: str) -> str:
        """The display name that a mail program sees."""
        data = withFrom(b"Subject: x\r\n\r\n", "a@x.test", name)
        phrase, address = parseaddr(message_from_bytes(data)["From"])
        self.assertEqual("a@x.test", address)
        self.assertTrue(data.isascii() and max(map(len, data.split(b"\r\n"))) < 78, data)
        return str(make_header(decode_header(phrase)))

    def test_names(self) -> None:
        """Any name is read again as it was."""
        for name in ("", "Cron Daemon", "J. Doe", 'a "b" \\c', "Jörg Ö", "é" * 60, "<evil@x.test>", "日本語テスト" * 8):
            self.assertEqual(name, self.added(name))

    def test_lineEnds(self) -> None:
        """Nothing in a name becomes a field."""
        self.assertEqual("a Bcc: b", self.added("a\r\nBcc: b"))

    def test_there(self) -> None:
        """One that is there stays."""
        for header in (b"From: b@x.test\r\n\r\n", b"fRoM : x\r\n\r\n"):
            self.assertEqual(header, withFrom(header, "a@x.test", "n"))
        self.assertIn(b"From: a@x.test", withFrom(b"\r\nFrom: b@x.test\r\n", "a@x.test", ""))
