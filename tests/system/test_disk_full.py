"""A full disk: the client is told to try again, before it has sent the message where
that is known by then, and nothing that was taken is lost."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink
from tests.system.programs import missing, need, until

RESERVE = 'spool.reserve="8MiB"'
SETS = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', "queue.remote.concurrency=2"]


class Later(dict[str, bytes]):
    """What is said to each RCPT as long as nobody is to be delivered to."""

    def get(self, address: str, default: bytes) -> bytes:  # type: ignore[override]
        """Not now."""
        return b"451 4.7.1 Not now"


@pytest.fixture()
def sink() -> Iterator[Sink]:
    """The next hop, which takes nothing yet."""
    sink = Sink()
    sink.refuse = Later()
    yield sink
    sink.close()


def _alone(mail: Umbcmail, options: str = "size=24m") -> None:
    """Let it run with a disk that only it sees.

    @param options: of C{mount}.
    """
    spool = mail.folder / "spool"
    spool.mkdir(mode=0o700)
    mount = f'mount -t tmpfs -o {options},mode=700 tmpfs {spool} && exec "$@"'
    user = [] if os.geteuid() == 0 else ["-r"]
    alone = [need("unshare"), *user, "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        missing("no file system may be mounted here")
    mail.twistd = [*alone, *mail.twistd]


def _offer(talk: Conversation, recipient: str, content: bytes, size: bool = False) -> bytes:
    """A transaction; the reply that ended it.

    @param size: say the size at MAIL.
    """
    announced = b" SIZE=%d" % len(content) if size else b""
    answer = talk.say(b"MAIL FROM:<s@z.test>" + announced)
    if not answer.startswith(b"250"):
        return b"MAIL: " + answer
    talk.expect(b"RCPT TO:<" + recipient.encode() + b">", b"250")
    talk.expect(b"DATA", b"354")
    return b"DATA: " + talk.message(content)


def _content(lines: int) -> bytes:
    return b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * lines


def _delivered(mail: Umbcmail, sink: Sink, taken: list[str]) -> None:
    """The next hop takes mail again: all that had a C{250} is delivered, once."""
    sink.refuse = {}
    until(lambda: set(sink.recipients()) >= set(taken), "all are delivered", 60)
    until(lambda: len(mail.events("removed")) == len(taken), "all are recorded", 60)
    assert sorted(sink.recipients()) == sorted(taken)


@pytest.mark.parametrize(
    ("lines", "options", "settings"),
    [
        (400, "size=24m", [RESERVE]),
        (6000, "size=24m", [RESERVE]),
        (6000, "size=200m,nr_inodes=300", [RESERVE, "spool.reserve-inodes=200"]),
    ],
    ids=["small", "large", "inodes"],
)
def test_full(tmp_path: Path, sink: Sink, lines: int, options: str, settings: list[str]) -> None:
    """Small (in the database) and large messages (in files), space and inodes: 452 when
    little is left, from then on at MAIL; the session goes on; when what was taken has been
    delivered there is room again."""
    mail = Umbcmail(tmp_path, route("next.test", sink.port), [*SETS, *settings])
    _alone(mail, options)
    content = _content(lines)
    with running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        taken: list[str] = []
        for count in range(1000):
            answer = _offer(talk, f"u{count}@next.test", content)
            if b": 250" not in answer:
                break
            taken.append(f"u{count}@next.test")
        assert taken and b": 452 4.3.1" in answer, answer
        assert _offer(talk, "more@next.test", content).startswith(b"MAIL: 452 4.3.1")
        talk.expect(b"NOOP", b"250")
        assert mail.events("disk-low")
        _delivered(mail, sink, taken)
        until(lambda: mail.events("disk-ok"), "there is room again")
        assert _offer(talk, "again@next.test", content).startswith(b"DATA: 250")
        talk.close()
        until(lambda: "again@next.test" in sink.recipients(), "it is delivered")
        assert all(message.content.endswith(content) for message in sink.messages)


def test_size(tmp_path: Path, sink: Sink) -> None:
    """A message of which it is known at MAIL that there is no room for it is refused
    there, and smaller ones are taken."""
    mail = Umbcmail(tmp_path, route("next.test", sink.port), [*SETS, RESERVE])
    _alone(mail)
    with running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        talk.expect(b"MAIL FROM:<s@z.test> SIZE=17000000", b"452 4.3.1")
        assert _offer(talk, "a@next.test", _content(6000), True).startswith(b"DATA: 250")
        talk.close()
        _delivered(mail, sink, ["a@next.test"])


@pytest.mark.parametrize("announced", [True, False])
def test_severalAtOnce(tmp_path: Path, sink: Sink, announced: bool) -> None:
    """Large ones at the same time, of which each alone would fit: as many as there is room
    for are taken, the others hear 452, and what is to be kept free is."""
    mail = Umbcmail(tmp_path, route("next.test", sink.port), [*SETS, RESERVE])
    _alone(mail)
    content, answers = _content(70_000), dict[str, bytes]()  # 5 MB
    begin = threading.Barrier(6)

    def client(name: str) -> None:
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        begin.wait(20)
        answers[name] = _offer(talk, name, content, announced)
        talk.close()

    with running(mail):
        threads = [threading.Thread(target=client, args=(f"u{n}@next.test",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        taken = [name for name, answer in answers.items() if answer.startswith(b"DATA: 250")]
        assert len(answers) == 6 and len(taken) <= 3, answers
        assert all(b": 452 4.3.1" in answer for name, answer in answers.items() if name not in taken), answers
        if announced:
            assert len(taken) >= 2, answers  # those that came first have a place
        _delivered(mail, sink, taken)
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        until(lambda: _offer(talk, "again@next.test", content, announced).startswith(b"DATA: 250"), "there is room", 20)
        talk.close()
