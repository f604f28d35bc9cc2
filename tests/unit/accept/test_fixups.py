"""L{umbcmail.accept.fixups}, and L{umbcmail.accept.body} where it mends headers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.body import MEMORY_LIMIT, Body
from umbcmail.accept.fixups import fixedHeader, headerEnd, mender, namesSender, ownsSender
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.interfaces import IContent

DATE = "Mon, 02 Nov 2026 10:00:00 +0000"
ID = "<1@mx.y.test>"
ADDED = f"Date: {DATE}\r\nMessage-ID: {ID}\r\n".encode()
FULL = b"Date: today\r\nMessage-ID: <a@b>\r\n"


def fixed(header: bytes) -> bytes:
    """The header as it goes on."""
    return fixedHeader(header, DATE, ID)


class HeaderTests(SynchronousTestCase):
    """What goes on of a header."""

    def test_complete(self) -> None:
        """With both fields, and no Bcc, nothing changes, not an octet."""
        for header in (FULL, b"Subject: a\r\n b\r\n" + FULL + b"X:\r\n", b"dATE : x\r\nmessage-id:\r\n <a@b>\r\n"):
            self.assertEqual(fixed(header), header)

    def test_missing(self) -> None:
        """What is missing or empty is there then, once."""
        self.assertEqual(fixed(b""), ADDED)
        self.assertEqual(fixed(b"Subject: a\r\n"), ADDED + b"Subject: a\r\n")
        self.assertEqual(fixed(b"Date:\r\nSubject: a\r\nMessage-Id: \t\r\n \r\n"), ADDED + b"Subject: a\r\n")
        self.assertEqual(fixed(b"Date: x\r\n"), f"Message-ID: {ID}\r\nDate: x\r\n".encode())
        self.assertEqual(fixed(b"Date: x"), f"Message-ID: {ID}\r\nDate: x".encode(), "without an end")

    def test_bcc(self) -> None:
        """Bcc goes, with all of its lines, wherever it stands and however it is
        written; what only looks like it stays."""
        for hidden in (b"Bcc: a@b\r\n", b"BCC:\r\n", b"bcc : a@b,\r\n\tc@d,\r\n \r\n e@f\r\n", b"Resent-Bcc: a\r\n"):
            self.assertEqual(fixed(hidden + FULL + hidden), FULL)
        for kept in (b"X-Bcc: a\r\n", b"Subject: a\r\n Bcc: b\r\n", b"Bccc: a\r\n", b"To: x\r\n\tBcc: y\r\n"):
            self.assertEqual(fixed(FULL + kept), FULL + kept)

    def test_noField(self) -> None:
        """Behind a line that is no field nothing is header."""
        self.assertEqual(fixed(FULL + b"hello\r\nBcc: a\r\n"), FULL + b"hello\r\nBcc: a\r\n")

    def test_beginsInTheMiddle(self) -> None:
        """Lines that go on from nothing belong to the field that stands above the
        message, and hide nothing."""
        self.assertEqual(fixed(b" y\r\nBcc: x\r\n" + FULL), b" y\r\n" + FULL)
        self.assertEqual(fixed(b" y\r\n\tz\r\nTo: x\r\n"), b" y\r\n\tz\r\n" + ADDED + b"To: x\r\n")

    def test_end(self) -> None:
        """The first empty line ends the header."""
        self.assertEqual(headerEnd(b"\r\nA: b\r\n\r\n"), 0)
        self.assertEqual(headerEnd(b"A: b\r\n\r\n\r\n"), 6)
        self.assertEqual(headerEnd(b"A: b\r\n\n\r\r\n \r\n"), -1)

    @given(st.lists(st.sampled_from([b"Bcc: x", b" y", b"Date:", b"Date: z", b"To: w", b"nothing", b"", b"\xff:"])))
    def test_twice(self, lines: list[bytes]) -> None:
        """Once mended a header is right: no field that is needed is missing, and
        doing it again changes nothing."""
        header = b"".join(line + b"\r\n" for line in lines if line)
        once = fixed(header)
        self.assertEqual(fixed(once), once)


class OwnerTests(SynchronousTestCase):
    """Whose a sender address is."""

    def test_owner(self) -> None:
        """A login owns itself as an address, or in local domains when it has none."""
        owns = ownsSender(lambda domain: domain == "y.test")
        for login, sender in (
            ("ann@y.test", "Ann@Y.test"),
            ("ann", "ann@y.test"),
            ("Ann", "ann@Y.TEST"),
            ("ann@other.test", "ann@other.test"),
            ("ann", ""),
        ):
            self.assertTrue(owns(login, sender), (login, sender))
        for login, sender in (
            ("ann", "bob@y.test"),
            ("ann", "ann@other.test"),
            ("ann@y.test", "ann@other.test"),
            ("ann@y.test", "ann@sub.y.test"),
            ("y.test", "@y.test"),
        ):
            self.assertFalse(owns(login, sender), (login, sender))

    def test_note(self) -> None:
        """A user of this host may name any sender; one that is not its own is noted, unless the user is trusted.
        Nothing in a name becomes a field."""
        names = namesSender(lambda domain: domain == "y.test", "Mx.test", {"root"})
        for login, sender, isNoted in (
            ("ann", "ann@y.test", False),
            ("ann", "ann@mx.test", False),
            ("ann", "", False),
            ("root", "bob@z.test", False),
            ("ann", "bob@y.test", True),
            ("ann", "ann@z.test", True),
        ):
            envelope = Envelope("1", sender, (Recipient("a@b.test"),), 0.0, Client(login=login))
            text = mender(envelope, "Mx.test", names)(b"A: b\r\n")
            note = f"X-Authentication-Warning: Mx.test: {login} set sender to {sender} using -f\r\n".encode()
            plain = mender(envelope, "Mx.test")(b"A: b\r\n")
            self.assertEqual((note if isNoted else b"") + plain, text)
        envelope = Envelope("1", "x@z.test", (), 0.0, Client(login="a\r\nBcc: b"))
        text = mender(envelope, "h", names)(b"Date: d\r\nMessage-ID: <i>\r\n")
        self.assertTrue(text.startswith(b"X-Authentication-Warning: h: a??Bcc:?b set sender"), text)
        self.assertEqual(3, text.count(b"\r\n"))


class _Writer:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> Deferred[None]:
        self.data += data
        return succeed(None)

    def finish(self) -> Deferred[IContent]:
        return succeed(MemoryContent(self.data))

    def abort(self) -> None:
        self.data = b"aborted"


class BodyTests(SynchronousTestCase):
    """Headers are mended before a message goes anywhere."""

    def collect(self, data: bytes, piece: int) -> tuple[Body, bytes]:
        """The body and content of a message that comes in pieces."""
        body = Body(b"Received: x\r\n", 10_000_000, _Writer, lambda on: None, fixed)  # type: ignore[arg-type]
        for at in range(0, len(data), piece):
            body.add(data[at : at + piece])
        body.mend()
        size = body.contentSize
        content = body.finish()
        if isinstance(content, Deferred):
            content = self.successResultOf(content)
        self.assertTrue(body.isHeaderTooLarge or size == content.size)
        return body, content.data

    def test_small(self) -> None:
        """In memory, however it is cut."""
        for piece in (1, 3, 10, 100):
            _, data = self.collect(b"Bcc: a\r\nTo: b\r\n\r\nBcc: body\r\n", piece)
            self.assertEqual(data, b"Received: x\r\n" + ADDED + b"To: b\r\n\r\nBcc: body\r\n")
        self.assertEqual(self.collect(b"\r\nhello\r\n", 2)[1], b"Received: x\r\n" + ADDED + b"\r\nhello\r\n")
        self.assertEqual(self.collect(b"Bcc: a\r\n", 2)[1], b"Received: x\r\n" + ADDED)

    def test_large(self) -> None:
        """In a file."""
        rest = b"To: b\r\n\r\n" + b"Bcc: x\r\n" * (MEMORY_LIMIT // 4)
        for piece in (1000, 65_536, MEMORY_LIMIT * 10):
            _, data = self.collect(b"Bcc: a\r\n" + rest, piece)
            self.assertEqual(data, b"Received: x\r\n" + ADDED + rest)

    def test_tooLarge(self) -> None:
        """A header that does not end in the part that is held in memory is told of."""
        body, _ = self.collect(b"To: b\r\n" * MEMORY_LIMIT, 65_536)
        self.assertTrue(body.isHeaderTooLarge)
