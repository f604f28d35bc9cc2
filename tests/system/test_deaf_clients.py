"""Clients that ask and never read: what waits for them stays bounded."""

from __future__ import annotations

import select
import socket
import ssl
import time

from tests.system.mailsystem import MailCase
from tests.system.programs import certificate

CONFIG = """
[tls]
certificate = "{folder}/mx.y.test.pem"
key = "{folder}/mx.y.test.key"
[agent.delivery]
command-limit = 100000000
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
[agent.delivery.port.tls]
endpoint = "tcp:0:interface=127.0.0.1"
tls = "first"
"""
LINE = b"HELP " + b"x" * 10 + b"\r\n"
ANSWER = b"214 2.0.0 See RFC 5321\r\n"


class DeafClientTests(MailCase):
    """One that only talks."""

    def flood(self, link: socket.socket) -> int:
        """Ask until nothing is taken for two seconds.  @return: questions that were taken whole."""
        data = memoryview(LINE * 20_000)
        sent, last = 0, time.monotonic()
        while time.monotonic() < last + 2:
            if not select.select([], [link], [], 0.1)[1]:
                continue
            try:
                sent += link.send(data[sent % len(LINE) :][:100_000])
                last = time.monotonic()
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                pass
            self.assertLess(sent, 60_000_000, "it reads on and on")
        return sent // len(LINE)

    def listen(self, link: socket.socket, answers: int) -> None:
        """Read so many answers."""
        found, rest = 0, b""
        end = time.monotonic() + 60
        while found < answers:
            self.assertLess(time.monotonic(), end)
            select.select([link], [], [], 0.1)
            try:
                data = link.recv(1 << 20)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            self.assertTrue(data, "closed")
            rest += data
            found += rest.count(ANSWER)
            rest = rest[-(len(ANSWER) - 1) :] if not rest.endswith(ANSWER) else b""

    def test_bounded(self) -> None:
        """Reading stops; others are served; and when the client reads at last, each
        question has its answer."""
        certificate(self.folder, "mx.y.test")
        mail = self.start(CONFIG)
        for port in ("mx", "tls"):
            link = socket.create_connection(("127.0.0.1", mail.ports[port]), 20)
            self.addCleanup(link.close)
            if port == "tls":
                link = ssl._create_unverified_context().wrap_socket(link)
                self.addCleanup(link.close)
            link.recv(1000)
            link.setblocking(False)
            questions = self.flood(link)
            with socket.create_connection(("127.0.0.1", mail.ports["mx"]), 5) as other:
                self.assertEqual(other.recv(3), b"220")
            self.listen(link, questions)
