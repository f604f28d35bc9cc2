"""Mail through real filters: clamav-milter, spamass-milter, OpenDKIM, OpenDMARC, a script."""

from __future__ import annotations

import base64
import email
import importlib.util
import re
import zipfile
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any

import dkim

from tests.system.mailsystem import MailCase, Umbcmail
from tests.system.milterdaemons import EICAR, GTUBE, Daemons
from tests.system.peers import Conversation, send
from tests.system.programs import missing, until

CONFIG = """
[networks]
trusted = ["127.0.0.1"]
[dns]
servers = ["127.0.0.1:9"]
timeout = "1s"
[agent.delivery]
filters = [{filters}]
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
"""
_TRACE = re.compile(
    rb"\A(?:Return-Path: [^\n]*\nDelivered-To: [^\n]*\n)(Authentication-Results: [^\n]*\n(?:[ \t][^\n]*\n)*)?"
    rb"Received: from client\.test [^\n]*\n(?:\t[^\n]*\n)+"
)
_ADDED = re.compile(rb"(?<=\n)X-Virus-(?:Scanned|Status): [^\n]*\n")
SAMPLES = Path("/usr/share/doc/spamassassin/examples")
PLAIN = b"From: a@example.net\r\nTo: ann@y.test\r\nSubject:  two\r\n\tlines \r\nX-Virus-Status: forged\r\n\r\ntext\r\n"


def realMessages() -> dict[str, bytes]:
    """Those of CPython's own tests and of SpamAssassin, with the line ends that clients send."""
    found = importlib.util.find_spec("test.test_email")
    if found is None or found.origin is None:
        missing("CPython's own tests are not installed (script/bootstrap --dev as root)")
    paths = [*Path(found.origin).parent.glob("data/msg_*.txt"), *SAMPLES.glob("sample-*.txt")]
    contents = {path.name: re.sub(rb"\r\n|\r|\n", b"\r\n", path.read_bytes()) for path in sorted(paths)}
    return {name: content if content.endswith(b"\r\n") else content + b"\r\n" for name, content in contents.items()}


class MilterCase(MailCase):
    """A system with filters."""

    def setUp(self) -> None:
        """And a folder for each of the daemons."""
        MailCase.setUp(self)

    def daemons(self) -> Daemons:
        """A folder for daemons."""
        return Daemons(self.addCleanup)

    def through(self, *sockets: str) -> Umbcmail:
        """umbcmail with these filters."""
        return self.start(CONFIG.replace("{filters}", ", ".join(f'"{each}"' for each in sockets)))

    def send(self, mail: Umbcmail, content: bytes = PLAIN, *recipients: str, sender: str = "s@z.test") -> str:
        """@return: the last reply."""
        said = send(mail.ports["mx"], content, *(recipients or ("ann@y.test",)), sender=sender)
        return said.decode()

    def got(self, mail: Umbcmail, user: str = "ann") -> Message:
        """What has arrived."""
        return email.message_from_bytes(mail.arrived(user))


class ScannerTests(MilterCase):
    """Viruses and spam."""

    def test_clamav(self) -> None:
        """Clean mail passes with the marks of the filter, and the virus does not: plain, in
        a MIME part, in an archive.  While clamd is away mail is put off."""
        daemons = self.daemons()
        clamd = daemons.clamd()
        daemons.clamavMilter()
        mail = self.through(f"unix:{daemons.folder}/milter.sock")
        self.assertIn("250 2.0.0", self.send(mail))
        found = self.got(mail)
        self.assertEqual(["Clean"], found.get_all("X-Virus-Status"))
        self.assertEqual("text\n", found.get_payload())
        archive = BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr("eicar.com", EICAR)
        for octets in (EICAR, archive.getvalue()):
            part = b"\r\n".join(base64.encodebytes(octets).split(b"\n"))
            mime = b"Subject: v\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=x.zip\r\n"
            said = self.send(mail, mime + b"Content-Transfer-Encoding: base64\r\n\r\n" + part)
            self.assertIn("550 5.7.1 Message infected: Local.Eicar", said)
        self.assertIn("Message infected", self.send(mail, b"Subject: v\r\n\r\n" + EICAR))
        self.assertIn("Local.Marker", self.send(mail, b"Subject: v\r\n\r\nUMBCMAIL-TEST-VIRUS-MARKER\r\n"))
        mail.logged("verdict=refused")
        clamd.stop()
        self.assertIn("451 4.7.1", self.send(mail))

    def test_realMessages(self) -> None:
        """Messages that others have made pass as they are, but for the fields that the filters
        add: the header line for line, the body octet for octet."""
        virus, dmarc = self.daemons(), self.daemons()
        virus.clamd()
        virus.clamavMilter()
        dmarc.opendmarc()
        mail = self.through(f"unix:{virus.folder}/milter.sock", f"unix:{dmarc.folder}/milter.sock")
        messages = realMessages()
        self.assertGreater(len(messages), 40)
        for name, content in messages.items():
            self.assertIn("250 2.0.0", self.send(mail, content), name)
            header, _, body = _TRACE.sub(b"", mail.arrived("ann"), 1).partition(b"\n\n")
            self.assertIn(b"X-Virus-Status: Clean", header)
            kept = _ADDED.sub(b"", b"\n" + header + b"\n").removeprefix(b"\n")
            sent = content.replace(b"\r\n", b"\n")
            if sent.startswith(b"\n"):
                self.assertEqual(kept + b"\n" + body, sent, name)
            elif kept + b"\n" + body != sent:
                # No field, so the header ends before it; an empty line says so now.
                self.assertEqual(kept + body, sent, name)
                self.assertNotRegex(body.partition(b"\n")[0], rb"^[!-9;-~]+[ \t]*:")

    def test_spamassassin(self) -> None:
        """Spam is refused or marked, and other mail is not."""
        daemons = self.daemons()
        daemons.spamd()
        daemons.spamassMilter()
        mail = self.through(f"unix:{daemons.folder}/sam.sock")
        self.assertIn("250 2.0.0", self.send(mail))
        self.assertIn("No, score=", str(self.got(mail)["X-Spam-Status"]))
        self.assertIn("250 2.0.0", self.send(mail, b"X-Test: yes\r\n" + PLAIN))
        self.assertIn("Yes, score=6.0", str(self.got(mail)["X-Spam-Status"]))
        self.assertRegex(self.send(mail, b"Subject: s\r\n\r\n" + GTUBE + b"\r\n"), "^5[0-9]{2} 5.7.1 ")

    def test_rspamd(self) -> None:
        """It refuses and marks spam, and lets other mail pass."""
        daemons = self.daemons()
        daemons.rspamd()
        mail = self.through(f"unix:{daemons.folder}/rspamd.sock")
        self.assertIn("250 2.0.0", self.send(mail))
        self.assertNotIn("X-Spam", self.got(mail))
        self.assertIn("250 2.0.0", self.send(mail, b"X-Test: yes\r\n" + PLAIN))
        self.assertEqual("Yes", self.got(mail)["X-Spam"])
        self.assertIn("554 5.7.1 Gtube pattern", self.send(mail, PLAIN + GTUBE + b"\r\n"))

    def test_rspamdKept(self) -> None:
        """It can do with several clients on a connection, and tells them apart."""
        daemons = self.daemons()
        rspamd = daemons.rspamd()
        config = CONFIG + f'[milter.rspamd]\nsocket = "unix:{daemons.folder}/rspamd.sock"\nkeep-connections = true\n'
        mail = self.start(config.replace("{filters}", '"rspamd"'))
        for content in (PLAIN, PLAIN + GTUBE + b"\r\n", PLAIN):
            said = self.send(mail, content)
            self.assertIn("554 5.7.1 Gtube" if GTUBE in content else "250 2.0.0", said)
        pattern = r"got connection from (127\.0\.0\.1:[0-9]+)"
        until(lambda: len(set(re.findall(pattern, rspamd.output()))) == 3, "it has heard of three clients")
        self.assertEqual(rspamd.output().count("accepted milter connection"), 2, "one of them was for the test")


class SignatureTests(MilterCase):
    """DKIM, DMARC."""

    def verified(self, content: bytes, record: bytes) -> bool:
        """Whether the signature is good."""
        return bool(dkim.verify(content, dnsfunc=lambda name, timeout=5: record))

    def test_signed(self) -> None:
        """What OpenDKIM signs in front of others that add to the header verifies when it
        arrives."""
        for canonicalization in ("simple/simple", "relaxed/relaxed"):
            signer, other = self.daemons(), self.daemons()
            signer.opendkim(canonicalization)
            other.opendmarc()
            mail = self.through(f"local:{signer.folder}/milter.sock", f"unix:{other.folder}/milter.sock")
            self.assertIn("250 2.0.0", self.send(mail, PLAIN, sender="a@example.net"))
            arrived = mail.arrived("ann").replace(b"\n", b"\r\n")
            self.assertIn(b"DKIM-Signature:", arrived)
            self.assertIn(b"Authentication-Results:", arrived)
            self.assertTrue(self.verified(arrived, signer.dkimRecord()), arrived)
            mail.stop()
            self.doCleanups()
            self.setUp()

    def test_passed(self) -> None:
        """Signatures of others are still good after a chain of filters, whatever they count: OpenDKIM
        says so at its end, and dkimpy of what has arrived."""
        virus, spam, dmarc, key, verifier = (self.daemons() for _ in range(5))
        virus.clamd()
        virus.clamavMilter()
        spam.spamd()
        spam.spamassMilter()
        dmarc.opendmarc()
        key.opendkim()
        verifier.opendkimVerifier(key.dkimRecord())
        sockets = [f"{virus.folder}/milter.sock", f"{spam.folder}/sam.sock", f"{dmarc.folder}/milter.sock"]
        sockets.append(f"{verifier.folder}/milter.sock")
        mail = self.through(*(f"unix:{path}" for path in sockets))
        private = (key.folder / "sel.private").read_bytes()
        for way in ((b"simple", b"simple"), (b"relaxed", b"relaxed"), (b"simple", b"relaxed")):
            named: dict[str, Any] = {"include_headers": [b"from", b"subject", b"to"], "canonicalize": way}
            plain = PLAIN.replace(b"X-Virus-Status: forged\r\n", b"")
            signature = dkim.sign(plain, b"sel", b"example.net", private, **named)
            self.assertIn("250 2.0.0", self.send(mail, signature + plain))
            arrived = mail.arrived("ann").replace(b"\n", b"\r\n")
            self.assertIn(b"X-Virus-Status: Clean", arrived)
            self.assertIn(b"X-Spam-Status: No", arrived)
            self.assertRegex(arrived, rb"Authentication-Results: verifier\.test;\s+dkim=pass ")
            self.assertTrue(self.verified(arrived, key.dkimRecord()), arrived)
        self.assertIn("250 2.0.0", self.send(mail, signature + plain.replace(b"text", b"other")))
        self.assertIn(b"dkim=fail", mail.arrived("ann"))


class ScriptTests(MilterCase):
    """A filter on libmilter that changes all there is."""

    def test_edits(self) -> None:
        """Header, body, recipients and sender are changed, and other recipients refused."""
        daemons = self.daemons()
        daemons.script()
        mail = self.through(f"unix:{daemons.folder}/milter.sock")
        self.assertIn("250 2.0.0", self.send(mail, PLAIN, sender="old@z.test"))
        octets = mail.arrived("ann")
        self.assertIn(b"\nSubject: changed\n\tand folded\n", octets)
        [id] = re.findall(r" accepted id=(\S+) ", mail.logged(" accepted "))
        self.assertIn(f"\nX-Queue: {id}\n".encode(), octets)
        self.assertLess(octets.index(b"Received: "), octets.index(b"X-Top: yes"))
        self.assertLess(octets.index(b"X-Top: yes"), octets.index(b"From: "))
        mail.logged("sender=<new@z.test>")
        self.assertIn("250 2.0.0", self.send(mail, b"Subject: s\r\n\r\nnew body: old, progress\r\n", "gone@y.test"))
        self.assertTrue(mail.arrived("more").endswith(b"\n\nnew body: new, progress\nend\n"))
        talk = Conversation(mail.ports["mx"])
        for line in (b"EHLO client.test", b"MAIL FROM:<s@z.test>", b"RCPT TO:<ann@y.test>"):
            talk.expect(line, b"250")
        talk.expect(b"RCPT TO:<grey@y.test>", b"451 4.7.1 Come again, 100% sure\r\n")
        talk.expect(b"DATA", b"354")
        self.assertTrue(talk.message(b"Subject: s\r\n\r\nx\r\n").startswith(b"250"))
        talk.close()
        mail.arrived("ann")
        self.assertIn("250 2.0.0", self.send(mail, b"Subject: s\r\n\r\nquarantine\r\n"))
        [held] = until(mail.queue, "the message is in the queue")
        self.assertIn("looks odd", held["hold"])

    def test_large(self) -> None:
        """A message that is a file here passes, and a new body that is one."""
        daemons = self.daemons()
        daemons.script()
        mail = self.through(f"unix:{daemons.folder}/milter.sock")
        lines = b"".join(b"%06d old line\r\n" % n for n in range(100_000))
        self.assertIn("250 2.0.0", self.send(mail, b"Subject: s\r\n\r\n" + lines))
        self.assertTrue(mail.arrived("ann").endswith(lines.replace(b"\r\n", b"\n")))
        self.assertIn("250 2.0.0", self.send(mail, b"Subject: s\r\n\r\nnew body\r\n" + lines))
        octets = mail.arrived("ann")
        self.assertTrue(
            octets.endswith(b"new body\n" + lines.replace(b"\r\n", b"\n").replace(b"old", b"new") + b"end\n")
        )
        mail.emptied()
