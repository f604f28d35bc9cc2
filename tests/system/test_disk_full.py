"""A full disk: the client is told to try again, and nothing that was taken is lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink
from tests.system.programs import freePort, missing, need, until


def _alone(mail: Umbcmail) -> None:
    """Let it run with a disk of 24 MiB that only it sees."""
    spool = mail.folder / "spool"
    spool.mkdir(mode=0o700)
    mount = f'mount -t tmpfs -o size=24m,mode=700 tmpfs {spool} && exec "$@"'
    user = [] if os.geteuid() == 0 else ["-r"]
    alone = [need("unshare"), *user, "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        missing("no file system may be mounted here")
    mail.twistd = [*alone, *mail.twistd]


@pytest.mark.parametrize("lines", [400, 6000])
def test_full(tmp_path: Path, lines: int) -> None:
    """Small (in the database) and large messages (in files): 452 when the disk is
    full, the session goes on, and when the next hop is up again all that had a 250
    is delivered, once, and there is room again."""
    port = freePort()
    sets = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', "queue.remote.concurrency=2"]
    sets.append('spool.reserve="8MiB"')
    mail = Umbcmail(tmp_path, route("next.test", port), sets)
    _alone(mail)
    content = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * lines
    with running(mail):
        talk = Conversation(mail.port)
        taken: list[str] = []
        for count in range(1000):
            talk.begin(f"u{count}@next.test")
            answer = talk.message(content)
            if not answer.startswith(b"250"):
                break
            taken.append(f"u{count}@next.test")
        assert taken and answer.startswith(b"452 4.3.1"), answer
        talk.expect(b"NOOP", b"250")
        sink = Sink(port)
        until(lambda: set(sink.recipients()) >= set(taken), "all are delivered", 60)
        until(lambda: len(mail.events("removed")) == len(taken), "all are recorded", 60)
        talk.begin("again@next.test")
        assert talk.message(content).startswith(b"250")
        talk.close()
        assert sorted(sink.recipients()) == sorted([*taken, "again@next.test"])
        assert all(message.content.endswith(content) for message in sink.messages)
        sink.close()
