"""L{umbcmail.accept.received}: the trace field."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from email.utils import parsedate_to_datetime

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.received import countReceived, protocolName, receivedField
from umbcmail.envelope import Client, Envelope, Recipient

CLIENT = Client("192.0.2.7", 4000, "pc.a.test", "pc", True)
ENVELOPE = Envelope("id1-1", "a@b.test", (Recipient("x@y.test"),), 1_700_000_000.0, CLIENT)


class ReceivedTests(SynchronousTestCase):
    """The field on top."""

    def test_whole(self) -> None:
        """It parses as one field and says who, by whom, how, for whom and when."""
        message = message_from_bytes(receivedField(ENVELOPE, "mx.y.test") + b"\r\n")
        self.assertEqual(len(message.items()), 1)
        text = " ".join(message["Received"].split())
        self.assertEqual(
            text,
            "from pc (pc.a.test [192.0.2.7]) by mx.y.test with ESMTP id id1-1 for <x@y.test>; "
            "Tue, 14 Nov 2023 22:13:20 +0000",
        )
        self.assertEqual(parsedate_to_datetime(text.rpartition("; ")[2]).timestamp(), 1_700_000_000)

    def test_user(self) -> None:
        """A program of this host is named by its user."""
        client = Client(helo="mx.y.test", esmtp=True, login="ann (x)\r\n")
        field = receivedField(replace(ENVELOPE, client=client), "mx.y.test")
        self.assertTrue(field.startswith(b"Received: by mx.y.test (umbcmail, from user ann??x???) id id1-1\r\n"), field)
        self.assertEqual(3, field.count(b"\r\n"))

    def test_forOneOnly(self) -> None:
        """Several recipients do not learn of each other."""
        two = ENVELOPE.withRecipients((Recipient("x@y.test"), Recipient("z@y.test")))
        self.assertNotIn(b"for <", receivedField(two, "mx.y.test"))

    def test_protocol(self) -> None:
        """The keywords of RFC 3848 and RFC 6531."""
        for client, utf8, name in (
            (replace(CLIENT, esmtp=False), False, "SMTP"),
            (replace(CLIENT, tls="TLSv1.3 X"), False, "ESMTPS"),
            (replace(CLIENT, tls="TLSv1.3 X", login="ann"), False, "ESMTPSA"),
            (replace(CLIENT, login="ann"), False, "ESMTPA"),
            (CLIENT, True, "UTF8SMTP"),
        ):
            self.assertEqual(protocolName(replace(ENVELOPE, client=client, smtputf8=utf8)), name)

    def test_heloCannotBreakOut(self) -> None:
        """Whatever the client calls itself, it stays inside of its place."""
        field = receivedField(replace(ENVELOPE, client=replace(CLIENT, helo="a\r\nX: y (")), "mx.y.test")
        self.assertIn(b"from a??X:?y?? (", field)

    def test_count(self) -> None:
        """Only fields of the header count, in any case."""
        text = b"Received: a\r\nRECEIVED : b\r\nX-Received: no\r\nSubject: s\r\n\r\nReceived: body\r\n"
        self.assertEqual(countReceived(text), 2)
        self.assertEqual(countReceived(b"Received: a\r\n" * 3), 3)
