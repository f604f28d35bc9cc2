"""A host that says nothing, in a running system."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import HOST, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
SETS = ["agent.delivery.load=0", 'agent.delivery.mode="background"', 'queue.remote.poll="0.2s"']
PATIENCE = 4
"""Seconds for a connection."""
MANY = 300


@contextlib.contextmanager
def hole() -> Iterator[int]:
    """A port that answers no connection, since those who ask are too many already."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        port = server.getsockname()[1]
        stack.enter_context(socket.create_connection((HOST, port), 10))  # it fills the backlog
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((HOST, port))
        yield port


def _knocking(port: int) -> int:
    """How many connections to a port are being tried, without those of L{hole}."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(fields[2].endswith(f":{port:04X}") and fields[3] == "02" for fields in lines)


def test_blackHole(tmp_path: Path) -> None:
    """Many messages for a host that says nothing do not keep those for others; then one at a time
    looks whether it answers; when it does, what has waited goes at a bounded rate (case B93)."""
    good = Sink()
    sets = [*SETS, "queue.remote.concurrency=5", 'queue.remote.retry=["1h"]', "queue.remote.release=5"]
    sets += [f'courier.smtp.connect-timeout="{PATIENCE}s"', 'hosts.first-look="0.5s"', 'hosts.longest-look="1s"']
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(contextlib.ExitStack())
        port = silent.enter_context(hole())
        own = _knocking(port)
        mail = Umbcmail(tmp_path, route("hole.test", port) + route("good.test", good.port), sets)
        stack.enter_context(running(mail))
        for number in range(MANY):
            assert send(mail.port, CONTENT, f"u{number}@hole.test").startswith(b"250")
        began = time.monotonic()
        for number in range(10):
            assert send(mail.port, CONTENT, f"u{number}@good.test").startswith(b"250")
        until(lambda: len(good.messages) == 10, "the others are out", 2 * PATIENCE)
        assert time.monotonic() - began < PATIENCE
        until(lambda: mail.events("host-down"), "it is known that it does not answer", 3 * PATIENCE)
        until(lambda: _knocking(port) <= own + 1, "the first attempts are over", 2 * PATIENCE)
        most, end = 0, time.monotonic() + 3 * PATIENCE
        while time.monotonic() < end:
            most = max(most, _knocking(port) - own)
            time.sleep(0.02)
        assert most == 1 and len(mail.queue()) == MANY
        silent.close()
        sink = Sink(port)
        until(lambda: sink.messages, "it is seen that it answers", 3 * PATIENCE)
        time.sleep(1)
        # 5 in the first second and 10 in the next; and those that were looking.
        assert len(sink.messages) < 30
        until(lambda: len(sink.messages) == MANY, "all are out", 60)
        mail.emptied()
        sink.close()
    assert sorted(sink.recipients()) == sorted(f"u{number}@hole.test" for number in range(MANY))
    good.close()
