"""STARTTLS, and TLS from the first octet, with other people's clients."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink
from tests.system.programs import HOST, freePort, need

CONTENT = b"Subject: secret\r\n\r\ntext\r\n"
Pem = tuple[Path, Path]


class Ports:
    """A system with a port of each kind.

    @ivar first: TLS from the first octet.
    @ivar required: nothing before STARTTLS.
    """

    def __init__(self, folder: Path, pem: Pem, sink: Sink) -> None:
        self.first, self.required = freePort(), freePort()
        self.context = ssl.create_default_context(cafile=str(pem[0]))
        self.context.check_hostname = False  # we connect to an address
        self.mail = Umbcmail(
            folder,
            route("next.test", sink.port)
            + f"""
[tls]
certificate = "{pem[0]}"
key = "{pem[1]}"
[agent.delivery.port.first]
endpoint = "tcp:{self.first}:interface={HOST}"
tls = "first"
[agent.delivery.port.required]
endpoint = "tcp:{self.required}:interface={HOST}"
tls = "require"
""",
        )


@pytest.fixture()
def ports(tmp_path: Path, pem: Pem, sink: Sink) -> Iterator[Ports]:
    """Runs while the test does."""
    ports = Ports(tmp_path, pem, sink)
    with running(ports.mail):
        yield ports


def _checkSecured(sink: Sink) -> None:
    (message,) = sink.messages
    assert message.content.endswith(b"text\r\n")
    top = message.content.partition(b"Subject:")[0]
    assert b"with ESMTPS id " in top and b"(TLSv1." in top


@pytest.mark.parametrize("port", ["mx", "required"])
def test_swaksStartTLS(ports: Ports, sink: Sink, port: str) -> None:
    """swaks sends by STARTTLS, and Received says so."""
    number = ports.required if port == "required" else ports.mail.port
    argv = [need("swaks"), "--server", f"{HOST}:{number}", "--tls", "--from", "s@z.test", "--to", "a@next.test"]
    done = subprocess.run([*argv, "--data", "Subject: x\n\ntext"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TLS started" in done.stdout and "~> MAIL FROM" in done.stdout
    sink.messages[0].content = sink.messages[0].content.rstrip(b"\r\n") + b"\r\n"
    _checkSecured(sink)


def test_smtplibStartTLS(ports: Ports, sink: Sink) -> None:
    """smtplib sends by STARTTLS with the certificate checked; it is offered once."""
    with smtplib.SMTP(HOST, ports.mail.port, timeout=20) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=ports.context)
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 503
        client.sendmail("s@z.test", ["a@next.test"], CONTENT)
    _checkSecured(sink)


def test_smtplibTLSFirst(ports: Ports, sink: Sink) -> None:
    """smtplib sends to a port that begins with TLS (RFC 8314 section 3.3)."""
    with smtplib.SMTP_SSL(HOST, ports.first, context=ports.context, timeout=20) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail("s@z.test", ["a@next.test"], CONTENT)
    _checkSecured(sink)


def test_required(ports: Ports) -> None:
    """Before TLS the port says 530 to mail, and goes on."""
    talk = Conversation(ports.required)
    talk.expect(b"EHLO c.test", b"250")
    talk.expect(b"MAIL FROM:<s@z.test>", b"530 5.7.0")
    talk.expect(b"NOOP", b"250")
    talk.expect(b"QUIT", b"221")
    talk.close()


def test_injectedInClear(ports: Ports, sink: Sink) -> None:
    """What stands in clear behind STARTTLS is not obeyed after it (RFC 3207
    section 6), and what was said before is forgotten."""
    talk = Conversation(ports.mail.port)
    talk.expect(b"EHLO c.test", b"250")
    talk.expect(b"MAIL FROM:<before@z.test>", b"250")
    talk.socket.sendall(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@z.test>\r\nRCPT TO:<a@next.test>\r\n")
    assert talk.reply().startswith(b"220")
    secure = ports.context.wrap_socket(talk.socket)
    talk.socket, talk.stream = secure, secure.makefile("rb")
    talk.expect(b"RCPT TO:<b@next.test>", b"503 5.5.1")
    talk.expect(b"MAIL FROM:<s@z.test>", b"503 5.5.1 Say HELO")
    talk.begin("b@next.test")
    assert talk.message(CONTENT).startswith(b"250")
    talk.close()
    assert [(message.sender, message.recipients) for message in sink.messages] == [("s@z.test", ["b@next.test"])]


def test_brokenHandshakes(ports: Ports, sink: Sink) -> None:
    """Nonsense in place of a handshake, and clients that go away in it, harm nobody."""
    for port in (ports.first, ports.mail.port):
        for octets in (b"EHLO c.test\r\n" * 5, b"\x16\x03\x01\x02\x00\x01\x00", bytes(range(256)) * 10, b""):
            talk = socket.create_connection((HOST, port), 20)
            talk.settimeout(20)
            if port != ports.first:
                stream = talk.makefile("rwb")
                stream.readline()
                stream.write(b"STARTTLS\r\n")
                stream.flush()
                stream.readline()
            talk.sendall(octets)
            talk.shutdown(socket.SHUT_WR)
            while _received(talk):
                pass
            talk.close()
    test_smtplibTLSFirst(ports, sink)
    assert not ports.mail.events("bug")


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1000)
    except ConnectionResetError:
        return b""
