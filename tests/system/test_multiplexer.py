"""Mail through the role filter: its modules, with real scanners behind them."""

from __future__ import annotations

import base64
import contextlib
import email
import re
import zipfile
from email.message import Message
from io import BytesIO
from typing import Any

import dkim

from tests.system.mailsystem import MAILDIRS, MailCase, Umbcmail, running
from tests.system.milterdaemons import EICAR, GTUBE, Daemons
from tests.system.peers import send
from tests.system.test_milters import realMessages

CONFIG = """
[networks]
trusted = ["127.0.0.1"]
[dns]
servers = ["127.0.0.1:9"]
timeout = "1s"
[agent.delivery]
filters = ["unix:{folder}/mx-filter"]
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
[filter.mx]
listen = "unix:{folder}/mx-filter"
memory = "20KiB"
folder = "{folder}"
"""
PLAIN = b"From: a@example.net\r\nTo: ann@y.test\r\nSubject:  two\r\n\tlines \r\n\r\ntext\r\n"


ON_TOP = re.compile(
    rb"Return-Path: [^\n]*\nDelivered-To: [^\n]*\nReceived: from client\.test [^\n]*\n(?:\t[^\n]*\n)+"
    rb"(?:X-(?:Virus|Spam|Umbcmail)-[A-Za-z]+: [^\n]*\n(?:\t[^\n]*\n)*)+"
)


def forwarded(content: bytes) -> bytes:
    """A message in a message."""
    header = b"From: a@b.test\r\nSubject: fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n"
    return header + b"\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n" + content + b"\r\n--outer--\r\n"


def part(octets: bytes) -> bytes:
    """A message with an attachment in base64."""
    mime = b"Subject: v\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=x.zip\r\n"
    text = b"\r\n".join(base64.encodebytes(octets).split(b"\n"))
    return mime + b"Content-Transfer-Encoding: base64\r\n\r\n" + text


def archive(octets: bytes) -> bytes:
    """A file in a zip archive."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        zipped.writestr("eicar.com", octets)
    return made.getvalue()


class MultiplexerCase(MailCase):
    """A system that filters its mail by itself."""

    def daemons(self) -> Daemons:
        """A folder for daemons."""
        return Daemons(self.addCleanup)

    def through(self, modules: str, more: str = "") -> Umbcmail:
        """umbcmail with these modules."""
        return self.start(CONFIG + f"modules = [{modules}]\n" + more)

    def run_(self, mail: Umbcmail) -> None:
        """Start it; it ends with the test."""
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(running(mail))

    def send(self, mail: Umbcmail, content: bytes = PLAIN) -> str:
        """@return: the last reply."""
        return send(mail.ports["mx"], content, "ann@y.test", sender="s@z.test").decode()

    def got(self, mail: Umbcmail) -> Message:
        """What has arrived."""
        return email.message_from_bytes(mail.arrived("ann"))


class PatternTests(MultiplexerCase):
    """Without a daemon."""

    def test_pattern(self) -> None:
        """The test strings are refused, other mail is tagged as looked at for them only."""
        mail = self.through('"pattern"')
        self.assertIn("250 2.0.0", self.send(mail, b"X-Virus-Status: Clean\r\n" + PLAIN + 3000 * b"long line\r\n"))
        found = self.got(mail)
        self.assertEqual(["Unknown, only looked at for test strings"], found.get_all("X-Virus-Status"))
        self.assertEqual("two\n\tlines ", found["Subject"])
        self.assertIn("550 5.7.1 Message infected: EICAR", self.send(mail, b"Subject: v\r\n\r\n" + EICAR))
        self.assertIn("550 5.7.1 Message infected: EICAR", self.send(mail, part(EICAR)))
        self.assertIn("550 5.7.1 This is spam: GTUBE", self.send(mail, b"Subject: v\r\n\r\n" + GTUBE + b"\r\n"))
        mail.logged("examined")


class FreshclamTests(MultiplexerCase):
    """What the role schedule runs."""

    def test_command(self) -> None:
        """It runs beside the system, and what it says is in the log."""
        command = '["sh", "-c", "echo checking; sleep 0.3; echo daily.cvd is up to date"]'
        mail = self.through('"pattern"', f"[freshclam]\ncommand = {command}\n")
        self.assertIn("250 2.0.0", self.send(mail))
        self.assertIn('result=ok why="daily.cvd is up to date"', mail.logged(" freshclam "))


class ClamAVTests(MultiplexerCase):
    """With clamd."""

    def test_clamav(self) -> None:
        """Viruses are refused: plain, in a MIME part, in an archive.  Clean mail passes, in
        memory or not; forged marks don't.  While clamd is away mail is put off."""
        daemons = self.daemons()
        clamd = daemons.clamd()
        mail = self.through('"clamav"', f'[module.clamav]\nsocket = "unix:{daemons.folder}/clamd.sock"\n')
        for content in (PLAIN, PLAIN + 30000 * b"a long message\r\n"):
            forged = b"X-Virus-Status: Clean\r\nX-Virus-Whatever: x\r\nx-virus-status: Clean, really\r\n"
            self.assertIn("250 2.0.0", self.send(mail, forged + content))
            found = self.got(mail)
            self.assertEqual(["Clean"], found.get_all("X-Virus-Status"))
            self.assertIsNone(found["X-Virus-Whatever"])
            self.assertRegex(str(found["X-Virus-Scanned"]), r"ClamAV [\d.]+ at mx.y.test")
            self.assertEqual(content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n").decode(), found.get_payload())
        for infected in (b"Subject: v\r\n\r\n" + EICAR, part(EICAR), part(archive(EICAR))):
            self.assertIn("550 5.7.1 Message infected: Local.Eicar", self.send(mail, infected))
        marked = b"Subject: v\r\n\r\n" + 30000 * b"a long message\r\n" + b"UMBCMAIL-TEST-VIRUS-MARKER\r\n"
        self.assertIn("Local.Marker", self.send(mail, marked))
        mail.logged("rank=virus")
        clamd.stop()
        self.assertIn("451 4.7.1", self.send(mail))
        mail.logged("module clamav")


class SpamAssassinTests(MultiplexerCase):
    """With spamd."""

    def test_spamassassin(self) -> None:
        """Spam is refused or tagged, other mail is neither; the score goes with the message."""
        daemons = self.daemons()
        daemons.spamd()
        more = f'[module.spamassassin]\nsocket = "unix:{daemons.folder}/spamd.sock"\nrefuse-score = 15\n'
        mail = self.through('"spamassassin"', more + '[[route]]\ndomain = "z.test"\nnext-hops = ["127.0.0.1:9"]\n')
        forged = b"X-Spam-Score: -50\r\nX-Spam-Flag: NO\r\n"
        for content in (PLAIN, PLAIN + 3000 * b"a long message\r\n"):
            self.assertIn("250 2.0.0", self.send(mail, forged + content))
            found = self.got(mail)
            self.assertEqual(["No, score=0.0 required=5.0 tests=none"], found.get_all("X-Spam-Status"))
            self.assertEqual(["0.0"], found.get_all("X-Spam-Score"))
            self.assertIsNone(found["X-Spam-Flag"])
        self.assertIn("250 2.0.0", self.send(mail, forged + b"X-Test: yes\r\n" + PLAIN))
        found = self.got(mail)
        self.assertEqual(["Yes, score=6.0 required=5.0 tests=T_HDR"], found.get_all("X-Spam-Status"))
        self.assertEqual(["YES"], found.get_all("X-Spam-Flag"))
        spam = b"Subject: s\r\n\r\n" + GTUBE + b"\r\n"
        self.assertIn("550 5.7.1 This looks like spam, with a score of 1000.0", self.send(mail, spam))
        waits = send(mail.ports["mx"], forged + b"X-Test: yes\r\n" + PLAIN, "x@z.test", sender="s@z.test")
        self.assertIn(b"250 2.0.0", waits)
        [entry] = mail.queue()
        self.assertEqual(entry["score"], 6.0)

    def test_user(self) -> None:
        """The settings of the recipient count, where there is one only."""
        daemons = self.daemons()
        daemons.spamd({"ann": "required_score 5\n", "bob": "required_score 50\n"})
        more = f'[module.spamassassin]\nsocket = "unix:{daemons.folder}/spamd.sock"\nuser = "%user"\n'
        mail = self.through('"spamassassin"', more)
        for users, mark in ((("ann",), "Yes, score=6.0 required=5.0"), (("bob",), "No, score=6.0 required=50.0")):
            said = send(mail.ports["mx"], b"X-Test: yes\r\n" + PLAIN, *(f"{user}@y.test" for user in users))
            self.assertIn(b"250 2.0.0", said)
            for user in users:
                found = email.message_from_bytes(mail.arrived(user))
                self.assertTrue(str(found["X-Spam-Status"]).startswith(mark), (user, found["X-Spam-Status"]))


class SealTests(MultiplexerCase):
    """From one mail host to the next."""

    def test_seal(self) -> None:
        """What was examined once is not examined again, though clamd is away by then; changed, it
        is."""
        daemons = self.daemons()
        clamd = daemons.clamd()
        more = (
            f'[module.clamav]\nsocket = "unix:{daemons.folder}/clamd.sock"\n'
            '[module.seal]\nsecret = "{folder}/secret"\nold-secret = "{folder}/old"\nnetworks = ["127.0.0.1"]\n'
        )
        mail = Umbcmail(self.folder, CONFIG + 'modules = ["seal", "clamav"]\n' + more, base=MAILDIRS)
        self.assertIn("[filter", mail.config.read_text())
        self.assertIn("secret", mail.attempt("--check").stderr)
        self.assertRegex(mail.tool("seal", "new"), "secret [0-9a-f]{8} is in ")
        self.run_(mail)
        for content in (PLAIN, PLAIN + 3000 * b"a long message\r\n"):
            self.assertIn("250 2.0.0", self.send(mail, content))
            arrived = mail.arrived("ann").replace(b"\n", b"\r\n")
            sealed = re.sub(rb"(?m)^(Delivered-To|Return-Path): .*\r\n", b"", arrived)
            self.assertIn(b"X-Umbcmail-Seal: v=1;", sealed)
            clamd.stop()
            self.assertIn("250 2.0.0", self.send(mail, sealed))
            found = self.got(mail)
            self.assertEqual(["Clean"], found.get_all("X-Virus-Status"))
            self.assertEqual(1, len(found.get_all("X-Umbcmail-Seal") or ()))
            self.assertIn("451 4.7.1", self.send(mail, sealed.replace(b"two", b"three")))
            self.assertIn("451 4.7.1", self.send(mail, sealed + b"more"))
            clamd = daemons.clamd()


class CleanTests(MultiplexerCase):
    """Mail that nothing is wrong with, through all modules."""

    def setUp(self) -> None:
        """clamd, spamd, and a system with all modules."""
        MultiplexerCase.setUp(self)
        self.virus, spam = self.daemons(), self.daemons()
        self.virus.clamd()
        spam.spamd()
        more = (
            f'[module.clamav]\nsocket = "unix:{self.virus.folder}/clamd.sock"\n'
            f'[module.spamassassin]\nsocket = "unix:{spam.folder}/spamd.sock"\nrefuse-score = 15\n'
            '[module.seal]\nsecret = "{folder}/secret"\n'
        )
        modules = 'modules = ["seal", "clamav", "spamassassin"]\n'
        self.mail = Umbcmail(self.folder, CONFIG + modules + more, base=MAILDIRS)

    def test_realMessages(self) -> None:
        """Messages that others have made, as they are, forwarded, and as attachments, pass
        untouched but for the fields on top: octet for octet."""
        self.mail.tool("seal", "new")
        self.run_(self.mail)
        real = {name: content for name, content in realMessages().items() if GTUBE not in content}
        sent = {**real}
        sent |= {f"forwarded {name}": forwarded(content) for name, content in real.items()}
        sent |= {f"attached {name}": part(content) for name, content in real.items()}
        self.assertGreater(len(sent), 100)
        mended = []
        for name, content in sent.items():
            self.assertIn("250 2.0.0", self.send(self.mail, content), name)
            arrived = self.mail.arrived("ann")
            added = ON_TOP.match(arrived)
            assert added is not None, (name, arrived)
            self.assertEqual(len(re.findall(rb"(?m)^X-", added[0])), 5, name)
            content = content.replace(b"\r\n", b"\n")
            left = arrived[added.end() :]
            if left != content:
                # Its header ends without an empty line, so it gets one.
                left = left[1:] if left[:1] == b"\n" else left.replace(b"\n\n", b"\n", 1)
                mended.append(name)
            self.assertEqual(left, content, name)
        self.assertLess(len(mended), 6, mended)

    def test_signatures(self) -> None:
        """Signatures of others are good behind the modules, and so are those that OpenDKIM makes
        behind them, as OpenDKIM and dkimpy say."""
        self.mail.tool("seal", "new")
        signer, verifier = self.daemons(), self.daemons()
        signer.opendkim("relaxed/simple")
        verifier.opendkimVerifier(signer.dkimRecord())
        config = self.mail.config.read_text()
        self.mail.config.write_text(
            config.replace(
                '/mx-filter"]',
                f'/mx-filter", "local:{signer.folder}/milter.sock", "local:{verifier.folder}/milter.sock"]',
            )
        )
        self.run_(self.mail)
        private, record = (signer.folder / "sel.private").read_bytes(), signer.dkimRecord()
        for way in ((b"simple", b"simple"), (b"relaxed", b"relaxed"), (b"simple", b"relaxed")):
            named: dict[str, Any] = {"include_headers": [b"from", b"subject", b"to"], "canonicalize": way}
            signed = PLAIN + 4000 * b"long  lines \r\n"
            content = dkim.sign(signed, b"other", b"example.net", private, **named) + signed
            content = b"X-Virus-Status: forged\r\nX-Spam-Flag: NO\r\n" + content
            said = send(self.mail.ports["mx"], content, "ann@y.test", sender="a@example.net").decode()
            self.assertIn("250 2.0.0", said)
            arrived = self.mail.arrived("ann").replace(b"\n", b"\r\n")
            self.assertEqual(arrived.count(b"DKIM-Signature:"), 2)
            self.assertEqual(arrived.count(b"dkim=pass"), 2)
            verifier = dkim.DKIM(arrived)
            for at in range(2):
                self.assertTrue(verifier.verify(idx=at, dnsfunc=lambda name, timeout=5: record), (way, at, arrived))
