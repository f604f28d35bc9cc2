"""HAProxy in front of umbcmail, on all kinds of ports, with both versions of its protocol."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

from tests.system.mailsystem import MailCase
from tests.system.programs import HOST, certificate, freePort, listens, need, until

BALANCER = "127.0.0.9"
CLIENT = "127.0.0.5"

CONFIG = """
[tls]
certificate = "{folder}/mx.y.test.pem"
key = "{folder}/mx.y.test.key"
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["127.0.0.9"]
[agent.delivery.port.tls]
endpoint = "tcp:0:interface=127.0.0.1"
tls = "first"
proxy = ["127.0.0.9"]
"""

FRONT = """
listen {name}
    mode tcp
    bind 127.0.0.1:{front}
    source {balancer}
    server it 127.0.0.1:{back} {how} check inter 200ms
"""

TOP = """
global
    maxconn 100
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""


class HAProxyTests(MailCase):
    """What clients see through a balancer, and we of them."""

    def setUp(self) -> None:
        """umbcmail, and HAProxy before it."""
        super().setUp()
        certificate(self.folder, "mx.y.test")
        self.mail = self.start(CONFIG)
        self.fronts = {}
        text = TOP
        for port in ("mx", "tls"):
            for how in ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"):
                front = self.fronts[port, how] = freePort()
                back = self.mail.ports[port]
                text += FRONT.format(name=f"{port}-{how}", front=front, balancer=BALANCER, back=back, how=how)
        path = Path(self.folder, "haproxy.cfg")
        path.write_text(text)
        with Path(self.folder, "haproxy.log").open("wb") as log:
            balancer = subprocess.Popen([need("haproxy"), "-db", "-f", str(path)], stdout=log, stderr=log)
        self.addCleanup(balancer.wait, 20)
        self.addCleanup(balancer.terminate)
        for front in self.fronts.values():
            until(lambda at=front: listens(at), "HAProxy")

    def send(self, client: smtplib.SMTP, user: str) -> bytes:
        """Send a message, and give what has arrived."""
        with client:
            client.sendmail("s@z.test", [f"{user}@y.test"], "Subject: s\r\n\r\nhello\r\n")
        return self.mail.arrived(user)

    def test_client(self) -> None:
        """Whatever version and port, it is the client whose address counts, and TLS
        works behind the header, by STARTTLS and from the first octet."""
        unchecked = ssl._create_unverified_context()
        for (port, how), front in self.fronts.items():
            with self.subTest(port=port, how=how):
                source = (CLIENT, 0)
                if port == "tls":
                    client: smtplib.SMTP = smtplib.SMTP_SSL(
                        HOST, front, "c.test", timeout=20, source_address=source, context=unchecked
                    )
                else:
                    client = smtplib.SMTP(HOST, front, "c.test", timeout=20, source_address=source)
                    client.starttls(context=unchecked)
                arrived = self.send(client, f"{port}-{how}")
                self.assertIn(b"from c.test ([127.0.0.5])", arrived)
                self.assertIn(b"with ESMTPS ", arrived)
        self.mail.logged(" connected ")
        self.assertIn(f"client={CLIENT} ", self.mail.log())
        self.assertIn(f"balancer={BALANCER}", self.mail.log())

    def test_healthChecks(self) -> None:
        """HAProxy finds us well: the checks of version 2 are LOCAL and keep the
        balancer's address."""
        self.mail.logged(f"client={BALANCER}")
        self.assertNotIn("unproxied", self.mail.log().replace('why="no PROXY header in time"', ""))
        self.assertNotIn(b"DOWN", Path(self.folder, "haproxy.log").read_bytes())

    def test_directly(self) -> None:
        """From elsewhere no header is looked for: it is an unknown command, and the
        address is the connection's."""
        with smtplib.SMTP(HOST, self.mail.ports["mx"], timeout=20) as client:
            self.assertEqual(client.docmd("PROXY TCP4 192.0.2.1 192.0.2.2 1 2")[0], 500)
            client.ehlo("c.test")
            self.assertIn(b"([127.0.0.1])", self.send(client, "direct"))

    def test_headerIsNeeded(self) -> None:
        """A listed balancer that sends no header is cut off without a word."""
        with socket.create_connection((HOST, self.mail.ports["mx"]), 20, (BALANCER, 0)) as link:
            link.sendall(b"EHLO c.test\r\n")
            try:
                self.assertEqual(link.recv(100), b"")
            except ConnectionResetError:
                pass
        self.mail.logged('why="no PROXY header"')
