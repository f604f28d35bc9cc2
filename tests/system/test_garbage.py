"""Whatever is thrown at a port: it goes on answering, and no error is met that
nobody expected (a C{bug} line; L{running} looks for them)."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import HOST, until

CONTENT = b"Subject: after all\r\n\r\ntext\r\n"


@pytest.fixture()
def mail(tmp_path: Path, sink: Sink) -> Iterator[Umbcmail]:
    """Runs while the test does, and takes mail at its end."""
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        yield mail
        assert send(mail.port, CONTENT, "a@next.test").startswith(b"250 2.0.0 OK, delivered")
        assert sink.recipients() == ["a@next.test"]
        # Some may be taken only now that their clients have gone.
        until(lambda: len(mail.events("disconnected")) == len(mail.events("connected")), "no connection is left behind")
        mail.emptied()


def _throw(port: int, octets: bytes) -> bytes:
    """Send and stop sending.  @return: what came back until the other side closed."""
    with socket.create_connection((HOST, port), 20) as connection:
        connection.settimeout(20)
        said = b""
        try:
            connection.sendall(octets)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                said += piece
        except (ConnectionResetError, BrokenPipeError):
            pass  # it had enough
        return said


def test_randomOctets(mail: Umbcmail) -> None:
    """Octets of all kinds, and commands of random arguments, seed fixed."""
    dice = random.Random(20261125)
    verbs = [
        b"MAIL FROM:",
        b"RCPT TO:",
        b"EHLO ",
        b"HELO ",
        b"VRFY ",
        b"RSET",
        b"STARTTLS",
        b"HELP ",
        b"BDAT ",
        b"AUTH ",
    ]
    for _ in range(40):
        _throw(mail.port, dice.randbytes(dice.randrange(1, 20_000)))
        lines = [dice.choice(verbs) + dice.randbytes(dice.randrange(40)) + b"\r\n" for _ in range(50)]
        said = _throw(mail.port, b"".join(lines))
        assert said.startswith(b"220 ") and b"\r\n5" in said


def test_lineWithoutEnd(mail: Umbcmail) -> None:
    """A million octets without a line end: one error, and the session goes on."""
    talk = Conversation(mail.port)
    before = mail.memory()
    for _ in range(16):
        talk.socket.sendall(b"x" * 65536)
    assert talk.say(b"").startswith(b"500 5.5.2")
    talk.begin("a@next.test")
    talk.socket.sendall(b"y" * (1 << 20))
    talk.close()
    assert mail.memory() - before < 32 << 20


@pytest.mark.parametrize("hard", [False, True])
def test_cutInEachState(mail: Umbcmail, hard: bool) -> None:
    """A client that is gone, by FIN or RST, at any point of a session."""
    steps = [b"EHLO c.test\r\n", b"MAIL FROM:<s@z.test>\r\n", b"RCPT TO:<gone@next.test>\r\n", b"DATA\r\n"]
    steps += [b"Subject: x\r\n\r\n", b"z" * 400_000, b"\r\n", b"."]
    for count in range(len(steps) + 1):
        for waits in (False, True):
            talk = Conversation(mail.port)
            for step in steps[:count]:
                talk.socket.sendall(step)
                if waits and step in steps[:4]:
                    talk.reply()
            if hard:
                talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            talk.close()


def test_cutBeforeTheReply(tmp_path: Path, sink: Sink) -> None:
    """A client that is gone when its message has been delivered: nobody is to be
    told, and nothing is kept."""
    sink.stall.add(".")
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        talk = Conversation(mail.port)
        talk.begin("a@next.test")
        talk.socket.sendall(CONTENT + b".\r\n")
        assert sink.stalled.wait(20)
        talk.close()
        sink.goOn.set()
        until(lambda: mail.events("delivered"), "it is delivered")
        mail.emptied()
        assert send(mail.port, CONTENT, "b@next.test").startswith(b"250")


def test_fakeEnds(mail: Umbcmail, sink: Sink) -> None:
    """Only CRLF.CRLF ends a message (SMTP smuggling): all else is refused as a whole
    and never becomes a second message."""
    second = b"MAIL FROM:<evil@z.test>\r\nRCPT TO:<evil@next.test>\r\nDATA\r\nevil\r\n.\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n\n.\r\n", b"\r\n\x00.\n"):
        talk = Conversation(mail.port)
        talk.begin("smuggled@next.test")
        talk.socket.sendall(b"Subject: x\r\n\r\ntext" + end + second)
        assert talk.reply().startswith(b"550 5.5.2"), end
        talk.expect(b"NOOP", b"250")
        talk.close()
    assert not sink.messages


def test_manyConnections(mail: Umbcmail) -> None:
    """Over the limit for one client: 421, and room again when some are gone."""
    talks = [Conversation(mail.port) for _ in range(200)]
    with socket.create_connection((HOST, mail.port), 20) as one:
        assert one.recv(100).startswith(b"421 4.7.0")
    for talk in talks:
        talk.close()
    until(lambda: len(mail.events("disconnected")) == 200, "all are gone")
