"""A filter, played by swaks, speaks for its clients by XCLIENT."""

from __future__ import annotations

import subprocess

from tests.system.mailsystem import MailCase
from tests.system.programs import need

CONFIG = """
[networks]
trusted = ["198.51.100.0/24"]
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
xclient = ["127.0.0.2"]
[agent.delivery.port.submission]
endpoint = "tcp:0:interface=127.0.0.1"
xclient = ["127.0.0.2"]
tls = "never"
auth = "never"
submission = true
sender-login = "match"
"""


class FilterTests(MailCase):
    """What a filter may say, and what comes of it."""

    def send(self, port: int, *words: str, source: str = "127.0.0.2") -> str:
        """All that swaks prints."""
        argv = [need("swaks"), "--server", f"127.0.0.1:{port}", "--local-interface", source, "--helo", "c.test"]
        done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def test_xclient(self) -> None:
        """Address, name and login are the client's; others are not offered it."""
        mail = self.start(CONFIG)
        words = ("--to", "ann@y.test", "--from", "bob@y.test")
        xclient = ("--xclient", "ADDR=198.51.100.7 NAME=c.z.test LOGIN=bob")
        said = self.send(mail.ports["mx"], *words, *xclient)
        self.assertIn("XCLIENT NAME ADDR PORT PROTO HELO LOGIN", said)
        self.assertIn(b"from c.test (c.z.test [198.51.100.7])\n", mail.arrived("ann"))
        self.assertNotIn("XCLIENT NAME", self.send(mail.ports["mx"], *words, source="127.0.0.3"))
        mail.arrived("ann")

    def test_submission(self) -> None:
        """On a port for mail programs the header is mended and the sender must be the
        login's."""
        mail = self.start(CONFIG)
        xclient = ("--xclient", "ADDR=198.51.100.7 LOGIN=bob")
        words = ("--to", "ann@y.test", "--data", "Bcc: hidden@y.test\\nSubject: s\\n\\nhello\\n")
        said = self.send(mail.ports["submission"], *words, "--from", "eve@y.test", *xclient)
        self.assertIn("553 5.7.1", said)
        self.send(mail.ports["submission"], *words, "--from", "bob@y.test", *xclient)
        arrived = mail.arrived("ann")
        self.assertNotIn(b"hidden", arrived)
        self.assertIn(b"\nDate: ", arrived)
        self.assertIn(b"@mx.y.test>\nSubject: s\n\nhello\n", arrived)
