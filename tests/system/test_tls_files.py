"""Certificates and keys in files, as OpenSSL's s_client sees them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.system.mailsystem import MailCase, Umbcmail
from tests.system.programs import certificate, need, until

CONFIG = """
[tls]
poll = "0.2s"
certificate = "{folder}/mx.y.test.pem"
key = "{folder}/mx.y.test.key"
[[tls-name]]
name = "mail.y.test"
certificate = "{folder}/mail.y.test.pem"
key = "{folder}/mail.y.test.key"
[[tls-name]]
name = "*.lists.test"
certificate = "{folder}/lists.test.pem"
key = "{folder}/lists.test.key"
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
[agent.delivery.port.tls]
endpoint = "tcp:0:interface=127.0.0.1"
tls = "first"
"""


class TLSFilesTests(MailCase):
    """What a client gets."""

    def setUp(self) -> None:
        """Certificates, and umbcmail."""
        super().setUp()
        for name in ("mx.y.test", "mail.y.test", "lists.test"):
            certificate(self.folder, name)

    def ask(self, mail: Umbcmail, *words: str, port: str = "tls", says: str = "QUIT\r\n") -> str:
        """All that s_client prints of one connection."""
        argv = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{mail.ports[port]}", "-crlf", *words]
        if port == "mx":
            argv += ["-starttls", "smtp"]
        done = subprocess.run(argv, input=says.replace("\r\n", "\n"), capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    def subject(self, mail: Umbcmail, *words: str, port: str = "tls") -> str:
        """The name in the certificate that is shown."""
        said = self.ask(mail, *words, port=port)
        found = re.search(r"subject=CN ?= ?(\S+)", said)
        assert found is not None, said
        return found[1]

    def test_names(self) -> None:
        """The name that is asked for chooses the certificate, on both kinds of ports;
        other names, and none, get the first."""
        mail = self.start(CONFIG)
        for port in ("tls", "mx"):
            for name, expected in (
                ("mail.y.test", "mail.y.test"),
                ("MAIL.Y.TEST", "mail.y.test"),
                ("a.b.lists.test", "lists.test"),
                ("lists.test", "mx.y.test"),
                ("other.test", "mx.y.test"),
            ):
                self.assertEqual(self.subject(mail, "-servername", name, port=port), expected, (port, name))
            self.assertEqual(self.subject(mail, "-noservername", port=port), "mx.y.test")

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, 1.1 is not; nothing without forward secrecy."""
        mail = self.start(CONFIG)
        self.assertIn("Protocol  : TLSv1.2", self.ask(mail, "-tls1_2"))
        self.assertIn("TLSv1.3, Cipher is TLS_AES", self.ask(mail, "-tls1_3"))
        self.assertIn(
            "ECDHE-ECDSA-AES256-GCM-SHA384", self.ask(mail, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")
        )
        self.assertIn("alert protocol version", self.ask(mail, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))
        self.assertIn(
            "Cipher is (NONE)", self.ask(mail, "-tls1_2", "-cipher", "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
        )

    def test_renegotiation(self) -> None:
        """It is refused: the client's R gets no new handshake."""
        mail = self.start(CONFIG)
        said = self.ask(mail, "-tls1_2", says="R\nQUIT\r\n")
        self.assertIn("RENEGOTIATING", said)
        self.assertRegex(said, "no renegotiation|handshake failure")

    def test_swap(self) -> None:
        """New files are taken without a restart; wrong ones are told of in the log
        and change nothing."""
        mail = self.start(CONFIG)
        mail.logged(" certificate id=- file=" + str(self.folder / "mx.y.test.pem") + " days=89")
        certificate(self.folder, "new.y.test", 10)
        os.rename(self.folder / "new.y.test.pem", self.folder / "mx.y.test.pem")
        mail.logged(" certificate-refused ")
        self.assertEqual(self.subject(mail), "mx.y.test", "half of a pair is none")
        os.rename(self.folder / "new.y.test.key", self.folder / "mx.y.test.key")
        mail.logged("days=9 why=new")
        mail.logged(" certificate-expires ")
        self.assertEqual(self.subject(mail), "new.y.test")
        self.assertEqual(self.subject(mail, "-servername", "mail.y.test"), "mail.y.test")
        certificate(self.folder, "newer.test", file="mail.y.test")
        until(lambda: self.subject(mail, "-servername", "mail.y.test") == "newer.test", "the certificate of a name")
        Path(self.folder, "mx.y.test.key").write_text("nonsense")
        until(lambda: mail.log().count(" certificate-refused ") == 2, "the second refusal")
        self.assertEqual(self.subject(mail), "new.y.test")
