"""L{umbcmail.queue.bounce}: what the sender is told."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import reply
from umbcmail.entry import Delivery, Status
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import Report, bounceContent, wants

ORIGINAL = b"Received: x\r\nMessage-ID: <m1@z.test>\r\nSubject: s\r\n\r\nbody\r\n--id/mx--\r\n"
UNKNOWN = reply.reply(550, "5.1.1", "No such user", "Look elsewhere")
NO_USER = Outcome(UNKNOWN, "mx.x.test[192.0.2.1]:25", "RCPT TO", True)


def report(*deliveries: Delivery, action: str = "failed", **values: object) -> Report:
    """A report about some deliveries."""
    envelope = Envelope("c1-1", "s@z.test", tuple(d.recipient for d in deliveries), 1_700_000_000.0, envid="E+2B1")
    made = Report("b1-1", "mx.y.test", action, envelope, deliveries, 1_700_000_600.0, 1_700_432_000.0)
    return replace(made, **values)  # type: ignore[arg-type]


def failed(address: str, outcome: Outcome = NO_USER, **values: str) -> Delivery:
    """A delivery that has failed."""
    return Delivery(Recipient(address, **values), Status.FAILED, 1, outcome)


class BounceTests(SynchronousTestCase):
    """The message."""

    def parsed(self, made: Report, original: bytes = ORIGINAL, whole: bool = True) -> EmailMessage:
        """The notification, as a mail program reads it; lines are all proper ones."""
        data = bounceContent(made, original, whole)
        self.assertEqual((data.count(b"\r"), data.count(b"\n")), (data.count(b"\r\n"),) * 2)
        ours = data.partition(original)[0] if original else data
        self.assertTrue(all(len(line) <= 998 for line in ours.split(b"\r\n")))
        return cast(EmailMessage, message_from_bytes(data, policy=policy.default))

    def fields(self, message: EmailMessage, part: int = 0) -> dict[str, str]:
        """The fields of one block of the part for programs."""
        status = list(message.iter_parts())[1]
        blocks = cast("list[EmailMessage]", status.get_payload())
        return {name: " ".join(str(value).split()) for name, value in blocks[part].items()}

    def test_header(self) -> None:
        """Null sender's marks: automatic, a reference, a report (RFC 3464, 3834)."""
        message = self.parsed(report(failed("a@x.test")))
        self.assertEqual(message["To"], "s@z.test")
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        self.assertEqual(message["References"], "<m1@z.test>")
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        kinds = [part.get_content_type() for part in message.iter_parts()]
        self.assertEqual(kinds, ["text/plain", "message/delivery-status", "message/rfc822"])

    def test_forPrograms(self) -> None:
        """A block for the message, and one for each recipient, from the real reply."""
        message = self.parsed(report(failed("a@x.test", orcpt="rfc822;o@x.test"), failed("b@x.test")))
        whole = self.fields(message)
        self.assertEqual(whole["Reporting-MTA"], "dns; mx.y.test")
        self.assertEqual(whole["Original-Envelope-Id"], "E+1")  # xtext decoded (RFC 3461 section 6.3)
        first = self.fields(message, 1)
        self.assertEqual(first["Original-Recipient"], "rfc822; o@x.test")
        self.assertEqual(first["Final-Recipient"], "rfc822; a@x.test")
        self.assertEqual((first["Action"], first["Status"]), ("failed", "5.1.1"))
        self.assertEqual(first["Remote-MTA"], "dns; mx.x.test")
        self.assertEqual(first["Diagnostic-Code"], "smtp; 550 5.1.1 No such user Look elsewhere")
        self.assertEqual(self.fields(message, 2)["Final-Recipient"], "rfc822; b@x.test")

    def test_forPeople(self) -> None:
        """To whom, why in plain words, what the other side said, what to do."""
        text = next(self.parsed(report(failed("a@x.test"))).iter_parts()).get_content()
        text = " ".join(text.split())
        for words in (
            "could not be delivered to: <a@x.test>",
            "there is no such mailbox",
            "The mail host mx.x.test said, in answer to RCPT TO: > 550 5.1.1 No such user Look elsewhere",
            "What you can do: check how the address is written",
        ):
            self.assertIn(words, text)

    def test_ownWords(self) -> None:
        """What we say ourselves is not put into the mouth of another host."""
        outcome = Outcome(reply.NO_SUCH_DOMAIN, command="route")
        message = self.parsed(report(failed("a@x.test", outcome)))
        fields = self.fields(message, 1)
        self.assertTrue(fields["Diagnostic-Code"].startswith("x-umbcmail; 550 5.1.2"))
        self.assertNotIn("Remote-MTA", fields)

    def test_original(self) -> None:
        """The message comes back whole, or its header when that is asked for, or
        when it is large; 8-bit content is said to be so."""
        original = b"Subject: \xe9\r\n\r\nbody\r\n"
        part = list(self.parsed(report(failed("a@x.test")), original).iter_parts())[2]
        self.assertEqual(part["Content-Transfer-Encoding"], "8bit")
        self.assertIn(b"Subject: \xe9\r\n\r\nbody\r\n", bounceContent(report(failed("a@x.test")), original, True))
        headersOnly = report(failed("a@x.test"))
        headersOnly = replace(headersOnly, envelope=replace(headersOnly.envelope, ret="HDRS"))
        for made, content, whole in (
            (headersOnly, ORIGINAL, True),
            (report(failed("a@x.test")), ORIGINAL + b"x" * 60_000, True),
            (report(failed("a@x.test")), ORIGINAL, False),
        ):
            part = list(self.parsed(made, content, whole).iter_parts())[2]
            self.assertEqual(part.get_content_type(), "text/rfc822-headers")
            self.assertNotIn(b"\r\nbody\r\n", bounceContent(made, content, whole))

    def test_boundary(self) -> None:
        """What stands in the message does not end a part of the notification."""
        made = report(failed("a@x.test"))
        hostile = ORIGINAL + b"--b1-1/mx.y.test--\r\nevil\r\n"
        self.assertEqual(len(list(self.parsed(made, hostile).iter_parts())), 3)

    def test_delayed(self) -> None:
        """A warning says until when it will be tried."""
        message = self.parsed(report(failed("a@x.test"), action="delayed"))
        self.assertIn("Will-Retry-Until", self.fields(message, 1))
        self.assertIn("need not do anything", next(message.iter_parts()).get_content())

    def test_wideAddress(self) -> None:
        """The part for programs stays 7-bit (RFC 6533)."""
        message = self.parsed(report(failed("\u00e9@x.test")))
        self.assertEqual(self.fields(message, 1)["Final-Recipient"], "utf-8; \\x{E9}@x.test")

    def test_noMessageID(self) -> None:
        """A message without a proper id is referred to by nothing."""
        for original in (b"\r\nbody\r\n", b"Message-ID: <" + b"x" * 2000 + b">\r\n\r\n", b""):
            self.assertIsNone(self.parsed(report(failed("a@x.test")), original)["References"])


class WantsTests(SynchronousTestCase):
    """Who is to be told (RFC 3461)."""

    def test_notify(self) -> None:
        """Failures and delays by default; otherwise what was asked for."""
        for notify, failure, delay in (
            ("", True, True),
            ("NEVER", False, False),
            ("FAILURE", True, False),
            ("DELAY", False, True),
            ("SUCCESS", False, False),
            ("SUCCESS,FAILURE,DELAY", True, True),
        ):
            recipient = Recipient("a@x.test", notify)
            self.assertEqual((wants(recipient, "failed"), wants(recipient, "delayed")), (failure, delay), notify)
