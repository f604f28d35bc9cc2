"""The form of notifications, clause by clause: RFC 3461 section 6, RFC 3464 section 2,
RFC 3834, RFC 6533; as Python's email package reads them."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import reply
from umbcmail.deliverby import DeliverBy
from umbcmail.entry import Delivery, Status
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import bounceContent
from umbcmail.queue.report import Report
from umbcmail.send.sevenbit import sevenBit

ARRIVED, NOW, TRIED, UNTIL = 1_700_000_000.0, 1_700_432_000.0, 1_700_431_000.0, 1_700_500_000.0
ORIGINAL = b"Message-ID: <m1@z.test>\r\nSubject: s\r\n\r\nbody\r\n"
UNKNOWN = Outcome(reply.reply(550, "5.1.1", "No such user"), "mx.x.test[192.0.2.1]:25", "RCPT TO", True)
LATER = Outcome(reply.reply(451, "4.7.1", "Greylisted"), "mx.x.test[192.0.2.1]:25", "RCPT TO", True)
REFUSED = Outcome(reply.reply(451, "4.4.1", "Connection refused"), "mx.x.test[192.0.2.1]:25", "connect")


def failed(address: str = "a@x.test", outcome: Outcome | None = UNKNOWN, **values: str) -> Delivery:
    """A recipient that has failed."""
    return Delivery(Recipient(address, **values), Status.FAILED, 1, outcome, TRIED if outcome is not None else 0.0)


class FormCase(SynchronousTestCase):
    """Notifications."""

    def report(self, *deliveries: Delivery, action: str = "failed", sender: str = "s@z.test", **values: Any) -> Report:
        """About some recipients."""
        deliveries = deliveries or (failed(),)
        envelope = Envelope("c1-1", sender, tuple(d.recipient for d in deliveries), ARRIVED, **values)
        return Report("b1-1", "mx.y.test", action, envelope, deliveries, NOW, UNTIL)

    def made(self, *deliveries: Delivery, original: bytes = ORIGINAL, whole: bool = True, **values: Any) -> bytes:
        """A notification, octet by octet."""
        return bounceContent(self.report(*deliveries, **values), original, whole)

    def read(self, *deliveries: Delivery, **values: Any) -> tuple[EmailMessage, list[EmailMessage]]:
        """The whole, and its three parts."""
        message = cast(EmailMessage, message_from_bytes(self.made(*deliveries, **values), policy=policy.default))
        self.assertEqual(message.defects, [])
        parts = cast("list[EmailMessage]", list(message.iter_parts()))
        self.assertEqual([part.defects for part in parts], [[], [], []])
        return message, parts

    def blocks(self, *deliveries: Delivery, **values: Any) -> list[EmailMessage]:
        """The blocks for programs."""
        return cast("list[EmailMessage]", self.read(*deliveries, **values)[1][1].get_payload())

    def text(self, *deliveries: Delivery, **values: Any) -> str:
        """The text for people, unfolded."""
        return " ".join(self.read(*deliveries, **values)[1][0].get_content().split())


class HeaderTests(FormCase):
    """Of the notification itself."""

    def test_fields(self) -> None:
        """To the sender; by a program, in answer, whatever is told (RFC 3834 section 5);
        a report of three parts (RFC 6522)."""
        for action in ("failed", "delayed", "relayed", "delivered"):
            message, parts = self.read(action=action)
            self.assertEqual(message["To"], "s@z.test")
            self.assertEqual(message["Auto-Submitted"], "auto-replied")
            self.assertEqual(message["In-Reply-To"], "<m1@z.test>")
            self.assertEqual(message["Message-ID"], "<b1-1@mx.y.test>")
            self.assertEqual(message.get_content_type(), "multipart/report")
            self.assertEqual(message.get_param("report-type"), "delivery-status")
            self.assertEqual(parts[0].get_content_type(), "text/plain")
            self.assertEqual(parts[1].get_content_type(), "message/delivery-status")

    def test_references(self) -> None:
        """Those of the message and its own id, in 998 octets at most (RFC 5322 sections
        2.1.1 and 3.6.4); nothing that is no id comes in."""
        ids = [f"<{n}.{'x' * 60}@z.test>" for n in range(100)]
        for given, wanted in (
            ("<1@z>\r\n\t<2@z>", ["<1@z>", "<2@z>", "<m1@z.test>"]),
            ("<1@z> junk\x00 <m1@z.test>", ["<1@z>", "<m1@z.test>"]),
            (" ".join(ids), None),
        ):
            original = f"References: {given}\r\n".encode() + ORIGINAL
            value = str(self.read(original=original, whole=False)[0]["References"])
            found = value.split()
            self.assertEqual(found[-1], "<m1@z.test>")
            self.assertLessEqual(len("References: " + value), 998)
            if wanted is not None:
                self.assertEqual(found, wanted)
            else:
                self.assertEqual((found[0], found[-2]), (ids[0], ids[-1]))
                self.assertGreater(len(found), 8)


class MessageFieldsTests(FormCase):
    """RFC 3464 section 2.2."""

    def test_all(self) -> None:
        """All that is known of the message; ENVID without its coding."""
        client = Client("192.0.2.9", 1, "client.z.test", "client.z.test")
        [whole, _] = self.blocks(envid="QQ+2B314", client=client)
        self.assertEqual(whole["Original-Envelope-Id"], "QQ+314")
        self.assertEqual(whole["Reporting-MTA"], "dns; mx.y.test")
        self.assertEqual(whole["Received-From-MTA"], "dns; client.z.test ([192.0.2.9])")
        self.assertEqual(parsedate_to_datetime(whole["Arrival-Date"]).timestamp(), ARRIVED)

    def test_unknown(self) -> None:
        """What is not known is not there; the reporting MTA always is."""
        [whole, _] = self.blocks()
        self.assertEqual(sorted(whole.keys()), ["Arrival-Date", "Reporting-MTA"])


class RecipientFieldsTests(FormCase):
    """RFC 3464 section 2.3: a block for each recipient, from the real reply."""

    def test_failed(self) -> None:
        """One block for each; Original-Recipient from ORCPT only."""
        [_, first, second] = self.blocks(failed(orcpt="rfc822;A+2Ba@x.test"), failed("b@x.test"))
        self.assertEqual(first["Original-Recipient"], "rfc822; A+a@x.test")
        self.assertEqual(first["Final-Recipient"], "rfc822; a@x.test")
        self.assertEqual((first["Action"], first["Status"]), ("failed", "5.1.1"))
        self.assertEqual(first["Remote-MTA"], "dns; mx.x.test")
        self.assertEqual(first["Diagnostic-Code"], "smtp; 550 5.1.1 No such user")
        self.assertEqual(parsedate_to_datetime(first["Last-Attempt-Date"]).timestamp(), TRIED)
        self.assertIsNone(first["Will-Retry-Until"])
        self.assertEqual(second["Final-Recipient"], "rfc822; b@x.test")
        self.assertIsNone(second["Original-Recipient"])

    def test_statusClass(self) -> None:
        """The class of Status is that of the reply, whatever else is known."""
        for outcome, status in (
            (UNKNOWN, "5.1.1"),
            (replace(UNKNOWN, reply=reply.Reply(554, "", ("no",))), "5.0.0"),
            (LATER, "4.4.7"),
            (None, "4.4.7"),
        ):
            [_, block] = self.blocks(failed(outcome=outcome))
            self.assertEqual((block["Action"], block["Status"]), ("failed", status))

    def test_withoutEnhancedCode(self) -> None:
        """What the other side has not said is not told as its words."""
        [_, block] = self.blocks(failed(outcome=replace(UNKNOWN, reply=reply.reply(553, "5.0.0", "go away"))))
        self.assertEqual((block["Status"], block["Diagnostic-Code"]), ("5.0.0", "smtp; 553 go away"))

    def test_givenUp(self) -> None:
        """Given up by ourselves: what was said last is told as it was, with its time;
        by the sender's own limit the class is 5 (RFC 2852 section 4.1.3)."""
        [_, block] = self.blocks(failed(outcome=LATER))
        self.assertEqual(block["Diagnostic-Code"], "smtp; 451 4.7.1 Greylisted")
        self.assertEqual(block["Remote-MTA"], "dns; mx.x.test")
        self.assertEqual(parsedate_to_datetime(block["Last-Attempt-Date"]).timestamp(), TRIED)
        [_, block] = self.blocks(failed(outcome=None))
        self.assertEqual(block["Diagnostic-Code"], "x-umbcmail; 451 4.4.7 Could not be delivered in the time allowed")
        self.assertEqual((block["Remote-MTA"], block["Last-Attempt-Date"]), (None, None))
        [_, block] = self.blocks(failed(outcome=LATER), deliverBy=DeliverBy(NOW - 1, True, False).text)
        self.assertEqual(block["Status"], "5.4.7")

    def test_delayed(self) -> None:
        """Until when it will be tried; the class is 4, also before the first attempt."""
        for outcome, status in ((LATER, "4.7.1"), (REFUSED, "4.4.1"), (None, "4.4.0")):
            [_, block] = self.blocks(replace(failed(outcome=outcome), status=Status.WAITING), action="delayed")
            self.assertEqual((block["Action"], block["Status"]), ("delayed", status))
            self.assertEqual(parsedate_to_datetime(block["Will-Retry-Until"]).timestamp(), UNTIL)

    def test_ownWords(self) -> None:
        """What we say ourselves is not put into the mouth of another host; one that was
        not reached is named all the same."""
        [_, block] = self.blocks(failed(outcome=Outcome(reply.NO_SUCH_DOMAIN, command="route")))
        self.assertEqual(block["Diagnostic-Code"], "x-umbcmail; 550 5.1.2 This domain does not exist")
        self.assertIsNone(block["Remote-MTA"])
        [_, block] = self.blocks(failed(outcome=REFUSED), action="delayed")
        self.assertEqual(block["Remote-MTA"], "dns; mx.x.test")

    def test_hosts(self) -> None:
        """A host without a name is an address in brackets (RFC 3464 section 2.1.2); a
        socket is nobody's business."""
        for host, wanted in (
            ("192.0.2.1[192.0.2.1]:25", "dns; [192.0.2.1]"),
            ("2001:db8::1[2001:db8::1]:25", "dns; [IPv6:2001:db8::1]"),
            ("unix:/run/dovecot/lmtp", None),
        ):
            made = failed(outcome=replace(UNKNOWN, host=host))
            self.assertEqual(self.blocks(made)[1]["Remote-MTA"], wanted)
            self.assertNotIn("dovecot", self.text(made))

    def test_folded(self) -> None:
        """A long reply is folded; all of it is in lines that everybody takes."""
        words = "word " * 120
        long = replace(UNKNOWN, reply=reply.reply(550, "5.1.1", words, "y" * 512))
        data = self.made(failed(outcome=long), failed("x" * 64 + "@" + "é" * 90 + ".test", outcome=long))
        self.assertTrue(all(len(line) <= 998 for line in data.split(b"\r\n")))
        self.assertIn("550 5.1.1 word word", self.blocks(failed(outcome=long))[1]["Diagnostic-Code"])

    def test_sevenBit(self) -> None:
        """The part for programs is 7-bit, whatever the other side has said."""
        odd = replace(UNKNOWN, reply=reply.reply(550, "5.1.1", "n\u00f6"))
        [_, status, _] = self.read(failed(outcome=odd))[1]
        self.assertEqual(status["Content-Transfer-Encoding"], "7bit")
        self.assertEqual(self.blocks(failed(outcome=odd))[1]["Diagnostic-Code"], "smtp; 550 5.1.1 n?")


class ReturnedTests(FormCase):
    """RFC 3461 section 4.3: what comes back."""

    def test_ret(self) -> None:
        """RET=HDRS: the header; FULL or nothing: all, unless it is too large; never all
        of it where nothing has failed."""
        large = ORIGINAL + b"x" * 60_000 + b"\r\n"
        for ret, original, whole, action, wanted in (
            ("", ORIGINAL, True, "failed", "message/rfc822"),
            ("FULL", ORIGINAL, True, "failed", "message/rfc822"),
            ("HDRS", ORIGINAL, True, "failed", "text/rfc822-headers"),
            ("FULL", large, True, "failed", "text/rfc822-headers"),
            ("FULL", ORIGINAL, False, "failed", "text/rfc822-headers"),
            ("FULL", ORIGINAL, True, "delayed", "text/rfc822-headers"),
            ("FULL", ORIGINAL, True, "relayed", "text/rfc822-headers"),
        ):
            part = self.read(ret=ret, original=original, whole=whole, action=action)[1][2]
            self.assertEqual(part.get_content_type(), wanted)
        data = bounceContent(replace(self.report(ret="FULL"), limit=100_000), large, True)
        self.assertIn(large, data)

    def test_labels(self) -> None:
        """UTF-8 in the header makes it message/global (RFC 6532); other octets there
        don't, since they are no UTF-8: they come back as they came, said to be 8-bit."""
        for value, full, header in (
            (b"plain", "message/rfc822", "text/rfc822-headers"),
            ("\u00e9".encode(), "message/global", "message/global-headers"),
            (b"\xe9", "message/rfc822", "text/rfc822-headers"),
        ):
            original = b"Subject: " + value + b"\r\n\r\nbody\r\n"
            encoding = "7bit" if value.isascii() else "8bit"
            for ret, kind in (("FULL", full), ("HDRS", header)):
                data = self.made(ret=ret, original=original)
                self.assertIn(b"Subject: " + value + b"\r\n", data)
                head = data.partition(b"\r\n\r\n")[0].decode()
                self.assertEqual("Content-Transfer-Encoding: 8bit" in head, encoding == "8bit")  # RFC 2045 section 6.4
                label = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"
                self.assertIn(label.encode(), data)

    def test_cutHeader(self) -> None:
        """A header that is longer than what was read is cut between two lines."""
        original = b"Subject: s\r\nX: " + "\u00e9".encode() * 5
        data = self.made(original=original[:-1], whole=False)
        self.assertTrue(data.endswith(b"\r\n\r\nSubject: s\r\n\r\n--b1-1/mx.y.test--\r\n"))
        self.assertIn(b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit", data)

    def test_converted(self) -> None:
        """To a host without 8BITMIME it can go in another form, and still be read."""
        for original in ("Subject: \u00e9\r\n\r\nbody\r\n".encode(), b"Subject: \xe9\r\n\r\nb\xe9\r\n", ORIGINAL):
            for ret in ("FULL", "HDRS"):
                data = self.made(failed("\u00e9@x.test"), ret=ret, original=original)
                made = sevenBit(data)
                self.assertTrue(made.isascii())
                message = cast(EmailMessage, message_from_bytes(made, policy=policy.default))
                text = cast(EmailMessage, next(message.iter_parts()))
                self.assertIn("<\u00e9@x.test>", text.get_content())


class WideTests(FormCase):
    """RFC 6533."""

    def test_narrowSender(self) -> None:
        """A recipient beyond ASCII is written in ASCII for a sender within it."""
        [_, block] = self.blocks(failed("\u00e9@x.test", orcpt="utf-8;\u00e9+2Bb@x.test"))
        self.assertEqual(block["Final-Recipient"], "utf-8; \\x{E9}@x.test")
        self.assertEqual(block["Original-Recipient"], "utf-8; \\x{E9}+b@x.test")

    def test_wideSender(self) -> None:
        """Who has an address beyond ASCII gets it as it is, in a part that is labelled so."""
        made = self.made(failed("\u00e9@x.test", orcpt="utf-8;\u00e9+2Bb@x.test"), sender="j\u00f6@z.test").decode()
        self.assertIn("\r\nTo: <j\u00f6@z.test>\r\n", made)
        label = "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"
        self.assertIn(label, made)
        self.assertIn("\r\nFinal-Recipient: utf-8; \u00e9@x.test\r\n", made)
        self.assertIn("\r\nOriginal-Recipient: utf-8; \u00e9+b@x.test\r\n", made)


class TextTests(FormCase):
    """For people."""

    def test_why(self) -> None:
        """Why in plain words, by the class of the status."""
        for code, enhanced, text, command, words in (
            (550, "5.1.1", "no", "RCPT TO", "there is no such mailbox"),
            (552, "5.2.2", "no", "RCPT TO", "the mailbox is full"),
            (552, "5.3.4", "no", "end of DATA", "larger than the mail system there takes"),
            (554, "5.7.1", "Message looks like SPAM", "end of DATA", "takes it for spam"),
            (550, "5.7.1", "Relaying denied", "RCPT TO", "refuses it by its rules"),
            (550, "5.7.26", "no", "end of DATA", "nothing proves that the message comes from your domain"),
            (550, "5.7.30", "no", "EHLO", "REQUIRETLS"),
            (530, "5.7.0", "Log in first", "MAIL FROM", "wants our mail system to log in"),
            (550, "5.1.2", "no", "route", "the domain of the address does not exist"),
            (556, "5.1.10", "no", "route", "takes no mail at all"),
            (550, "5.0.0", "no", "RCPT TO", "takes no mail for this address"),
            (554, "5.0.0", "no", "end of DATA", "does not take this message"),
            (550, "5.7.999", "no", "end of DATA", "refuses it by its rules"),
        ):
            text = self.text(failed(outcome=Outcome(reply.reply(code, enhanced, text), "mx.x.test", command, True)))
            self.assertIn(words, text.partition("Why: ")[2].partition(" What you can do")[0])
            self.assertIn("What you can do: ", text)

    def test_howLong(self) -> None:
        """What has been tried in vain for days says for how many, and what was in the way."""
        text = self.text(failed(outcome=REFUSED))
        self.assertIn("it could not be delivered within 5 days; the last time, the mail host does not answer", text)
        self.assertIn("What happened at the mail host mx.x.test: > 451 4.4.1 Connection refused", text)

    def test_grouped(self) -> None:
        """What has happened to many is told once."""
        text = self.text(*(failed(f"u{n}@x.test") for n in range(50)), failed("b@x.test", outcome=REFUSED))
        self.assertEqual(text.count("No such user"), 1)
        self.assertIn("<u48@x.test> <u49@x.test> Why: there is no such mailbox", text)

    def test_quoted(self) -> None:
        """The other side's words are marked as such in each line, and not too many."""
        said = replace(UNKNOWN, reply=reply.reply(550, "5.1.1", "Click here. " * 200))
        lines = self.read(failed(outcome=said))[1][0].get_content().splitlines()
        words = [line for line in lines if "Click" in line]
        self.assertTrue(all(line.startswith("    > ") for line in words))
        self.assertLess(sum(map(len, words)), 1200)

    def test_nothingInside(self) -> None:
        """Addresses that only we can reach, ports and paths are not told; those that
        everybody can see are."""
        text = self.text(failed(outcome=replace(UNKNOWN, host="imap.y.test[10.1.2.3]:24")))
        self.assertIn("The mail host imap.y.test said", text)
        for host in ("10.1.2.3[10.1.2.3]:24", "unix:/run/dovecot/lmtp"):
            text = self.text(failed(outcome=replace(UNKNOWN, host=host)))
            self.assertNotIn("10.1", text)
            self.assertNotIn("/run", text)
        text = self.text(failed(outcome=replace(UNKNOWN, host="mx.x.test[8.8.8.8]:25")))
        self.assertIn("The mail host mx.x.test [8.8.8.8] said", text)

    def test_contact(self) -> None:
        """Who can be asked, and what he must be told to find it."""
        self.assertIn("say the number of the message: c1-1.", self.text())
        made = replace(self.report(), contact="Write to help@y.test.")
        text = " ".join(bounceContent(made, ORIGINAL, True).decode().split())
        self.assertIn("If you need help: Write to help@y.test. Please say the number of the message, c1-1.", text)
