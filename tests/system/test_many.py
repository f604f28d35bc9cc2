"""Many messages at once: each arrives, each once, and nothing is left behind."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.programs import HOST, need, until
from tests.system.servers import SmtpSink


def _pour(port: int, count: int, sessions: int = 20) -> None:
    """Postfix's smtp-source: a new connection for each message, each to a
    recipient of its own (C{-N} puts a number in front, or behind in later versions)."""
    argv = [need("smtp-source"), "-s", str(sessions), "-m", str(count), "-l", "4096", "-N", "-f", "s@z.test"]
    argv += ["-t", "u@next.test", f"inet:{HOST}:{port}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize(("mode", "count"), [("interactive", 5000), ("background", 1000)])
def test_allArriveOnce(tmp_path: Path, mode: str, count: int) -> None:
    """From 20 sessions to smtp-sink: as many messages and recipients as were sent."""
    sink = SmtpSink(tmp_path / "sink", oneFile=True)
    sets = [f'agent.delivery.mode="{mode}"', "agent.delivery.load=0", 'queue.remote.retry=["1s"]']
    try:
        with running(Umbcmail(tmp_path, route("next.test", sink.port), sets)) as mail:
            _pour(mail.port, count)
            if mode == "interactive":
                assert sink.count() == count  # before the last client had its answer
                assert not mail.events("queued")
            until(lambda: sink.count() >= count, f"{count} messages have arrived: {sink.count()}", 60)
            mail.emptied()
            assert len(mail.events("accepted")) == len(mail.events("delivered")) == count
            assert not mail.events("delayed")
        assert sink.count() == count
    finally:
        sink.stop()
    found = Counter(re.findall(rb"^X-Rcpt-Args: <(\d*u\d*@next\.test)>$", sink.dump.read_bytes(), re.M))
    assert len(found) == count and set(found.values()) == {1}
