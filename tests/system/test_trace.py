"""The Received field that we put on top, and mail that goes in circles."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from tests.system.mailsystem import MAILDIRS, Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import until

CONTENT = b"Subject: s\r\n\r\nbody\r\n"
TRACE = b"Received: from a.test by b.test; Mon, 5 Jan 2026 10:00:00 +0000\r\n"
CONFIG = """
[tls]
certificate = "{pem}"
key = "{key}"
[auth]
checkers = ["file:{{folder}}/users"]
[agent.delivery.port.auth]
endpoint = "tcp:0:interface=127.0.0.1"
auth = "offer"
relay = ["networks", "auth"]
[agent.delivery.port.filters]
endpoint = "tcp:0:interface=127.0.0.1"
xclient = ["127.0.0.1"]
"""
WITH = re.compile(rb"\AReceived: from (\S+) \((?:\S+ )?\[[^]]+\]\)\r\n\tby mx\.y\.test with (\S+) id (\S+?)[;\r]")


@pytest.fixture()
def mail(tmp_path: Path, pem: tuple[Path, Path], sink: Sink) -> Iterator[Umbcmail]:
    """Delivers to the sink at once."""
    (tmp_path / "users").write_text("ann:{plain}secret\n")
    (tmp_path / "users").chmod(0o600)
    mail = Umbcmail(tmp_path, route("next.test", sink.port) + CONFIG.format(pem=pem[0], key=pem[1]))
    with running(mail):
        yield mail


def _offer(talk: Conversation, *recipients: str, content: bytes = CONTENT, sender: bytes = b"s@z.test") -> bytes:
    """A transaction in a session.  @return: the last reply."""
    talk.expect(b"MAIL FROM:<" + sender + b">", b"250")
    for recipient in recipients:
        talk.expect(f"RCPT TO:<{recipient}>".encode(), b"250")
    talk.expect(b"DATA", b"354")
    return talk.message(content)


def _secure(talk: Conversation, pem: Path) -> None:
    """STARTTLS."""
    talk.expect(b"STARTTLS", b"220")
    context = ssl.create_default_context(cafile=str(pem))
    context.check_hostname = False  # we connect to an address
    talk.socket = context.wrap_socket(talk.socket)
    talk.stream = talk.socket.makefile("rb")


# Loops


@pytest.mark.parametrize("sender", [b"s@z.test", b""], ids=["sender", "null"])
def test_count(mail: Umbcmail, sink: Sink, sender: bytes) -> None:
    """As many fields as are allowed, 100, are taken and nothing of them is changed; one more is
    refused while the client waits, so that nobody is told but by it."""
    talk = Conversation(mail.port)
    talk.expect(b"EHLO c.test", b"250")
    for number in (0, 1, 49, 50, 51, 99, 100):
        content = TRACE * number + CONTENT
        assert _offer(talk, f"n{number}@next.test", content=content, sender=sender).startswith(b"250"), number
        field, isThere, rest = sink.arrived(f"n{number}@next.test").content.partition(content)
        assert field.count(b"Received:") == 1 and isThere and not rest, number
    for number in (101, 150, 1000):
        for content in (TRACE * number + CONTENT, TRACE.upper() * number + CONTENT + b"large\r\n" * 60_000):
            answer = _offer(talk, f"n{number}@next.test", content=content, sender=sender)
            assert answer.startswith(b"554 5.4.6 "), (number, answer)
    # In the text they are none.
    assert _offer(talk, "text@next.test", content=CONTENT + TRACE * 200, sender=sender).startswith(b"250")
    sink.arrived("text@next.test")
    talk.expect(b"MAIL FROM:<" + sender + b">", b"250")
    talk.expect(b"RCPT TO:<chunk@next.test>", b"250")
    chunk = TRACE * 101 + CONTENT
    talk.socket.sendall(b"BDAT %d LAST\r\n" % len(chunk) + chunk)
    assert talk.reply().startswith(b"554 5.4.6 ")
    talk.close()
    assert not sink.messages and not mail.queue()


def test_limit(tmp_path: Path, sink: Sink) -> None:
    """The operator's number counts."""
    mail = Umbcmail(tmp_path, route("next.test", sink.port), ["agent.delivery.hop-limit=50"])
    with running(mail):
        assert send(mail.port, TRACE * 50 + CONTENT, "a@next.test").startswith(b"250")
        assert send(mail.port, TRACE * 51 + CONTENT, "b@next.test").startswith(b"554 5.4.6 ")
    assert sink.recipients() == ["a@next.test"]


def test_bothWays(tmp_path: Path) -> None:
    """Two systems that send a message to each other: it comes to its end, and its sender is told
    once; of one from the null sender nobody hears anything, and it is put aside."""
    with_, back = Sink(), 'queue.remote.retry=["1h"]'
    one, two = (Umbcmail(tmp_path / name, "", [back, 'agent.delivery.mode="background"']) for name in ("one", "two"))
    for here, there in ((one, two), (two, one)):
        with here.config.open("a") as config:
            config.write(route("loop.test", there.port) + route("z.test", with_.port))
    with running(one), running(two):
        for sender in ("s@z.test", ""):
            assert send(one.port, CONTENT, "a@loop.test", sender=sender).startswith(b"250")
            until(lambda: one.events("failed") + two.events("failed"), "it has come to its end", 60)
            if sender:
                told = with_.arrived("s@z.test")
                one.emptied()
                two.emptied()
                assert told.sender == "" and b"5.4.6" in told.content
                assert len(one.events("delivered") + two.events("delivered")) == 101  # and the notification
        until(lambda: one.events("dead") + two.events("dead"), "it is put aside", 60)
        assert [entry["queue"] for entry in one.queue() + two.queue()] == ["dead"]
    assert not with_.messages
    with_.close()


@pytest.mark.parametrize("mode", ["interactive", "background"])
def test_deliveredTo(tmp_path: Path, mode: str, sink: Sink) -> None:
    """What has been in this mailbox goes into it no more: the client hears of it, or the sender
    is told, but not the null sender.  Another one's mailbox is no loop."""
    (tmp_path / "maildirs").mkdir()
    config = '[networks]\ntrusted = ["127.0.0.1"]\n[agent.delivery.port.mx]\nendpoint = "tcp:0:interface=127.0.0.1"\n'
    mail = Umbcmail(tmp_path, config + route("z.test", sink.port), [f'agent.delivery.mode="{mode}"'], base=MAILDIRS)
    with running(mail):
        port = mail.ports["mx"]
        for sender in ("s@z.test", ""):
            assert send(port, b"Delivered-To: bob@y.test\r\n" + CONTENT, "ann@y.test", sender=sender).startswith(b"250")
            arrived = mail.arrived("ann")
            again = arrived.replace(b"\n", b"\r\n").replace(b"ann@", b"ANN@")
            answer = send(port, again, "ann@y.test", sender=sender)
            if mode == "interactive":
                assert answer.startswith(b"554 5.4.6 ")
            elif sender:
                told = sink.arrived("s@z.test")
                assert told.sender == "" and b"Status: 5.4.6" in told.content
            else:
                until(lambda: mail.events("dead"), "it is put aside")
        assert [entry["queue"] for entry in mail.queue()] == (["dead"] if mode == "background" else [])
        assert not list((tmp_path / "maildirs" / "ann" / "new").iterdir())
    assert not sink.messages


# The field


def test_with(mail: Umbcmail, sink: Sink, pem: tuple[Path, Path]) -> None:
    """The protocol is that of the moment: by HELO, by EHLO, right after STARTTLS, right after
    AUTH, and by HELO again."""
    found = []

    def offer() -> None:
        assert _offer(talk, "a@next.test").startswith(b"250")
        head = WITH.match(sink.arrived("a@next.test").content)
        assert head
        found.append((head[1], head[2]))

    talk = Conversation(mail.ports["auth"])
    for greeting in (b"HELO old.test", b"EHLO new.test"):
        talk.expect(greeting, b"250")
        offer()
    _secure(talk, pem[0])
    talk.expect(b"MAIL FROM:<s@z.test>", b"503 5.5.1")  # the name has been forgotten (RFC 3207 section 4.2)
    talk.expect(b"EHLO secure.test", b"250")
    offer()
    talk.expect(b"AUTH PLAIN " + base64.b64encode(b"\0ann\0secret"), b"235")
    offer()
    talk.expect(b"EHLO again.test", b"250")
    offer()
    talk.expect(b"HELO plain.test", b"250")
    offer()
    talk.close()
    talk = Conversation(mail.ports["filters"])  # a login without TLS is known of a filter only
    talk.expect(b"EHLO filter.test", b"250")
    talk.expect(b"XCLIENT ADDR=127.0.0.7 LOGIN=bob HELO=client.test PROTO=ESMTP", b"220")
    offer()
    talk.close()
    assert found == [
        (b"old.test", b"SMTP"),
        (b"new.test", b"ESMTP"),
        (b"secure.test", b"ESMTPS"),
        (b"secure.test", b"ESMTPSA"),
        (b"again.test", b"ESMTPSA"),
        (b"plain.test", b"SMTP"),
        (b"client.test", b"ESMTPA"),
    ]


def test_helo(mail: Umbcmail, sink: Sink) -> None:
    """Whatever a client calls itself: a name that has no place in a field is refused, others
    stand in it as they are, and there is one field."""
    odd = (b"my_pc", b"pc.test.", b"[127.0.0.9]", b"[IPv6:2001:db8::1]", b"-", b"a" * 255)
    bad = (
        b"",
        b"a b",
        b"a(b",
        b"a\\",
        b"<a>",
        b"a;b",
        b"a\x00b",
        b"a\rX: y",
        b"a\tb",
        b"\xff",
        b"\xc3\xbc",
        b"a" * 256,
    )
    for verb in (b"EHLO ", b"HELO "):
        talk = Conversation(mail.port)
        for name in bad:
            assert talk.say(verb + name).startswith(b"50"), name
        talk.expect(b"MAIL FROM:<s@z.test>", b"503")
        for name in odd:
            talk.expect(verb + name, b"250")
            assert _offer(talk, "a@next.test").startswith(b"250")
            content = sink.arrived("a@next.test").content
            fields = message_from_bytes(content, policy=policy.default)
            head = WITH.match(content)
            assert head and head[1] == name and fields.keys() == ["Received", "Subject"] and not fields.defects
        talk.close()


def test_for(mail: Umbcmail, sink: Sink) -> None:
    """The recipient is named when there is one; of several nobody learns of the others."""
    talk = Conversation(mail.port)
    talk.expect(b"EHLO c.test", b"250")
    assert _offer(talk, "only@next.test").startswith(b"250")
    assert b"\r\n\tfor <only@next.test>;" in sink.arrived("only@next.test").content
    assert _offer(talk, "a@next.test", "b@next.test").startswith(b"250")
    for recipient in ("a@next.test",):
        content = sink.arrived(recipient).content
        assert b"for <" not in content and b"@next.test" not in content
    talk.expect(b"MAIL FROM:<s@z.test>", b"250")
    talk.expect(b"RCPT TO:<one@next.test>", b"250")
    talk.expect(b"RCPT TO:<bad address@next.test>", b"50")
    talk.expect(b"DATA", b"354")
    assert talk.message(CONTENT).startswith(b"250")
    assert b"for <one@next.test>;" in sink.arrived("one@next.test").content
    talk.close()


@pytest.mark.parametrize("mode", ["interactive", "background"])
def test_id(tmp_path: Path, sink: Sink, mode: str) -> None:
    """The id in the field is the one in the C{250}, in the log and in the queue; and of several
    messages in a session each has one field of ours on top, its own."""
    held = 'queue.remote.retry=["1h"]'
    sink.refuse["later@next.test"] = b"451 4.7.1 Not now"
    mail = Umbcmail(tmp_path, route("next.test", sink.port), [f'agent.delivery.mode="{mode}"', held])
    with running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO c.test", b"250")
        ids, sizes = [], set()
        for number in range(20):
            if number % 3 == 1:  # what was given up leaves nothing
                talk.expect(b"MAIL FROM:<s@z.test>", b"250")
                talk.expect(b"RCPT TO:<never@next.test>", b"250")
                talk.expect(b"RSET", b"250")
            if number % 3 == 2:
                assert _offer(talk, "loop@next.test", content=TRACE * 101 + CONTENT).startswith(b"554")
            answer = _offer(talk, f"m{number:02d}@next.test")
            id = re.findall(rb" as (\S+)\r\n", answer)[0]
            content = sink.arrived(f"m{number:02d}@next.test").content
            head = WITH.match(content)
            assert head and head[3] == id, (answer, content)
            assert content.count(b"Received:") == 1 and content.endswith(b"\r\n" + CONTENT)
            ids.append(id)
            sizes.add(len(content) - len(id))
            mail.logged(f" accepted id={id.decode()} ")
        assert len(set(ids)) == 20 and len(sizes) == 1, sizes
        answer = _offer(talk, "later@next.test")
        id = re.findall(rb" as (\S+)\r\n", answer)[0].decode()
        [entry] = mail.queue()
        assert entry["id"] == id or entry["id"].startswith(id + "."), (entry["id"], id)
        talk.close()
