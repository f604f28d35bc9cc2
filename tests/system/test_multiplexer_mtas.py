"""The multiplexer as the filter of other people's MTAs: Postfix and Sendmail."""

from __future__ import annotations

import re
import smtplib
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import TestCase

from tests.system.interop import Way
from tests.system.mailsystem import Umbcmail, running
from tests.system.milterdaemons import EICAR, Daemons
from tests.system.postfix import Postfix
from tests.system.programs import HOST, until
from tests.system.sendmail import Sendmail
from tests.system.servers import SmtpSink

ALONE = """
[host]
name = "filter.y.test"
[spool]
url = "memory:"
[state]
url = "memory:"
[log]
file = "{folder}/mail.log"
[filter.unix]
listen = "unix:{folder}/filter"
mode = "0666"
modules = ["clamav"]
[filter.tcp]
listen = "inet:{port}@{host}"
modules = ["aside"]
[module.aside]
type = "clamav"
infected = "quarantine"
"""
FORGED = b"X-Virus-Status: Clean\r\n"
PLAIN = b"From: a@z.test\r\nTo: x@y.test\r\n" + FORGED + b"Subject:  two\r\n\tlines \r\n" + FORGED + b"\r\ntext\r\n"
MARKED = b"From: a@z.test\r\nSubject: v\r\n\r\nUMBCMAIL-TEST-VIRUS-MARKER\r\n"


class MTACase(TestCase):
    """A multiplexer, clamd, and a next hop that keeps what it gets."""

    def setUp(self) -> None:
        """All of it is up."""
        folder = tempfile.TemporaryDirectory(prefix="umbcmail-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.folder.chmod(0o755)
        daemons = Daemons(self.addCleanup)
        self.clamd = daemons.clamd()
        self.sink = SmtpSink(self.folder / "sink")
        self.addCleanup(self.sink.stop)
        socket = f'socket = "unix:{daemons.folder}/clamd.sock"\n'
        self.filter = Umbcmail(self.folder / "filter", f"{socket}[module.clamav]\n{socket}", base=ALONE)
        (self.folder / "filter").chmod(0o755)
        started = running(self.filter, "--role", "filter")
        started.__enter__()
        self.addCleanup(started.__exit__, None, None, None)
        self.unix = f"{self.filter.folder}/filter"

    def arrived(self) -> bytes:
        """What the next hop has got, but for what it has added itself; once."""
        [path] = until(lambda: list(self.sink.dump.glob("*")), "a message has arrived")
        until(lambda: path.read_bytes().endswith(b"\n\n"), "it is all there")
        content = path.read_bytes()
        path.unlink()
        return content.replace(b"\r\n", b"\n")

    def check(self, port: int, output: Callable[[], str]) -> None:
        """What every MTA has to do with it, on one connection and on several."""
        try:
            with smtplib.SMTP(HOST, port, "client.test", timeout=60) as client:
                self.assertPassed(client)
                self.assertRefused(client, b"550 5.7.1 Message infected: Local.Marker", MARKED)
                client.rset()
                client.mail("a@z.test")
                client.rset()
                self.assertPassed(client)
                self.assertRefused(client, b"550 5.7.1 Message infected: Local.Eicar", b"Subject: v\r\n\r\n" + EICAR)
                large = PLAIN + b"a long message\r\n" * 60_000
                self.assertPassed(client, large)
                self.assertRefused(client, b"Local.Marker", b"X-A: b\r\n" + large + MARKED)
            self.clamd.stop()
            with smtplib.SMTP(HOST, port, "client.test", timeout=60) as client:
                self.assertRefused(client, b"451 4.7.1", PLAIN)
        except BaseException:
            print(output()[-5000:], self.filter.log()[-5000:])
            raise

    def assertPassed(self, client: smtplib.SMTP, content: bytes = PLAIN) -> None:
        """It arrives as it was, but for the fields that were forged, and ours."""
        self.assertEqual({}, client.sendmail("a@z.test", ["x@y.test"], content))
        arrived = self.arrived()
        header, _, body = arrived.partition(b"\n\n")
        self.assertEqual(re.findall(rb"(?mi)^x-virus-status: (.*)$", header), [b"Clean"])
        self.assertIn(b"at filter.y.test", header)
        self.assertIn(b"\nSubject:  two\n\tlines ", header)
        self.assertEqual(content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n").rstrip(), body.rstrip())

    def assertRefused(self, client: smtplib.SMTP, why: bytes, content: bytes) -> None:
        """The client hears why."""
        client.mail("a@z.test")
        client.rcpt("x@y.test")
        code, text = client.data(content)
        self.assertIn(why, b"%d %b" % (code, text))
        self.assertEqual(list(self.sink.dump.glob("*")), [])


class PostfixTests(MTACase):
    """Postfix."""

    def postfix(self, milter: str) -> Postfix:
        """With this filter."""
        nobody = Path("/dev/null")
        ways = [Way("y.test", self.sink.port, "clear")]
        postfix = Postfix((nobody, nobody), ways, f"smtpd_milters = {milter}\nmilter_default_action = tempfail\n")
        self.addCleanup(postfix.stop)
        return postfix

    def test_postfix(self) -> None:
        """Mail passes, and viruses don't."""
        postfix = self.postfix(f"unix:{self.unix}")
        self.check(postfix.clear, postfix.output)

    def test_quarantine(self) -> None:
        """Infected mail is put on hold; by TCP."""
        postfix = self.postfix(f"inet:{HOST}:{self.filter.port}")
        with smtplib.SMTP(HOST, postfix.clear, "client.test", timeout=60) as client:
            self.assertEqual({}, client.sendmail("a@z.test", ["x@y.test"], MARKED))
            self.assertPassed(client)
        [held] = (postfix.folder / "queue" / "hold").iterdir()
        self.assertIn(b"UMBCMAIL-TEST-VIRUS-MARKER", held.read_bytes())
        self.assertRegex(postfix.output(), "milter-hold: .*triggers HOLD action")


class SendmailTests(MTACase):
    """Sendmail."""

    def sendmail(self, milter: str) -> Sendmail:
        """With this filter."""
        sendmail = Sendmail(self.sink.port, milter)
        self.addCleanup(sendmail.stop)
        return sendmail

    def test_sendmail(self) -> None:
        """Mail passes, and viruses don't."""
        sendmail = self.sendmail(f"unix:{self.unix}")
        self.check(sendmail.port, sendmail.output)

    def test_quarantine(self) -> None:
        """Infected mail is put into its quarantine; by TCP."""
        sendmail = self.sendmail(f"inet:{self.filter.port}@{HOST}")
        with smtplib.SMTP(HOST, sendmail.port, "client.test", timeout=60) as client:
            self.assertEqual({}, client.sendmail("a@z.test", ["x@y.test"], MARKED))
            self.assertPassed(client)
        [held] = sendmail.queue.glob("hf*")
        self.assertIn(b"\nqLocal.Marker.UNOFFICIAL\n", held.read_bytes())
