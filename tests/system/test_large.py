"""Large messages, long lists of recipients: what a process can carry, and at what cost."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import freePort, until

MIB = 1 << 20
LINE = b"0123456789abcdef" * 4095 + b"01234567890123\r\n"  # 64 KiB
assert len(LINE) == 65536


def _pour(talk: Conversation, size: int) -> tuple[bytes, bytes]:
    """Send so many octets, of which memory never holds more than a few.

    @return: the reply, and the SHA-256 of what was sent.
    """
    digest = hashlib.sha256()
    for _ in range(size // len(LINE)):
        talk.socket.sendall(LINE)
        digest.update(LINE)
    talk.socket.sendall(b".\r\n")
    return talk.reply(), digest.digest()


@pytest.fixture()
def hashing() -> Iterator[Sink]:
    """A next hop that does not keep content."""
    sink = Sink(hashes=True)
    yield sink
    sink.close()


@pytest.mark.parametrize("mode", ["interactive", "background"])
@pytest.mark.parametrize("size", [12, 100])
def test_memory(tmp_path: Path, hashing: Sink, size: int, mode: str) -> None:
    """12 and 100 MiB pass whole, and the process grows by less than 64 MiB."""
    with running(Umbcmail(tmp_path, route("next.test", hashing.port), [f'agent.delivery.mode="{mode}"'])) as mail:
        send(mail.port, b"Subject: first\r\n\r\n", "a@next.test")
        until(lambda: len(hashing.messages) == 1, "the first is there")
        before = mail.memory()
        talk = Conversation(mail.port)
        talk.begin("a@next.test", parameters=b" SIZE=%d" % (size * MIB))
        answer, sent = _pour(talk, size * MIB)
        assert answer.startswith(b"250")
        until(lambda: len(hashing.messages) == 2, "it has passed", 60)
        mail.emptied()
        assert hashing.messages[1].content == sent
        assert mail.memory("VmHWM") - before < 64 * MIB
        assert before < 120 * MIB
        talk.close()


def test_wholeInOrder(tmp_path: Path, sink: Sink) -> None:
    """A large message waits as a file, and comes out of the queue octet for octet."""
    port = freePort()
    sets = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"']
    content = b"Subject: large\r\n\r\n" + b"".join(b".%d line\r\n" % n for n in range(920_000))
    with running(Umbcmail(tmp_path, route("next.test", port), sets)) as mail:
        assert len(content) > 12 * MIB
        assert b"queued" in send(mail.port, content, "a@next.test")
        files = [f for f in (tmp_path / "spool" / "content").rglob("*") if f.is_file()]
        assert len(files) == 1 and files[0].read_bytes().endswith(content)
        late = Sink(port)
        until(lambda: late.messages, "it is delivered")
        assert late.messages[0].content.endswith(content)
        mail.emptied()
        late.close()


def test_overTheLimit(tmp_path: Path, hashing: Sink) -> None:
    """One line more than 1 MiB: 552 once, after the dot, and the session goes on."""
    with running(Umbcmail(tmp_path, route("next.test", hashing.port), ['agent.delivery.size-limit="1MiB"'])) as mail:
        talk = Conversation(mail.port)
        talk.begin("a@next.test")
        assert _pour(talk, MIB + len(LINE))[0].startswith(b"552 5.3.4")
        talk.begin("b@next.test")
        assert _pour(talk, MIB)[0].startswith(b"250")
        talk.expect(b"MAIL FROM:<s@z.test> SIZE=%d" % (MIB + 1), b"552 5.3.4")
        talk.close()
        mail.emptied()
    assert hashing.recipients() == ["b@next.test"]


def test_manyRecipients(tmp_path: Path, sink: Sink) -> None:
    """A thousand recipients of one message all get it once; one more is told 452."""
    names = [f"u{n}@next.test" for n in range(1000)]
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        talk = Conversation(mail.port)
        talk.expect(b"EHLO c.test", b"250")
        talk.expect(b"MAIL FROM:<s@z.test>", b"250")
        lines = b"".join(f"RCPT TO:<{name}>\r\n".encode() for name in names)
        talk.socket.sendall(lines)
        assert {talk.reply()[:10] for _ in names} == {b"250 2.1.5 "}
        talk.expect(b"RCPT TO:<more@next.test>", b"452 4.5.3")
        talk.expect(b"DATA", b"354")
        assert talk.message(b"Subject: all\r\n\r\nhello\r\n").startswith(b"250 2.0.0 OK, delivered")
        talk.close()
    assert Counter(sink.recipients()) == Counter(names)
    assert {message.content.partition(b"\r\nSubject")[2] for message in sink.messages} == {b": all\r\n\r\nhello\r\n"}
