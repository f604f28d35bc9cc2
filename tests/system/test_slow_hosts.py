"""A host that takes little, in a running system."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
SETS = ["agent.delivery.load=0", 'agent.delivery.mode="background"', 'queue.remote.poll="0.2s"']


def _began(line: str) -> float:
    """When an attempt began, by its line in the log: seconds."""
    ended = datetime.fromisoformat(line.partition(" ")[0].replace("Z", "+00:00"))
    return ended.timestamp() - float(line.partition(" seconds=")[2].partition(" ")[0])


def test_rate(tmp_path: Path) -> None:
    """A host that gets one message in two seconds: five go at those times, no attempt is made
    in vain, and what waits keeps its number of attempts and its age (case B94)."""
    sink = Sink()
    sets = [*SETS, 'queue.remote.destination-rate="1/2s"', 'queue.remote.retry=["1h"]']
    with running(Umbcmail(tmp_path, route("next.test", sink.port), sets)) as mail:
        for number in range(5):
            assert send(mail.port, CONTENT, f"u{number}@next.test").startswith(b"250")
        created = {entry["id"]: entry["created"] for entry in mail.queue()}
        for number in range(1, 6):
            until(lambda: len(sink.messages) >= number, "the next one has come")  # noqa: B023
            for entry in mail.queue():
                assert not entry["attempts"] and not entry["warned"] and created[entry["id"]] == entry["created"]
        mail.emptied()
        delivered = mail.events("delivered")
        assert len(delivered) == 5 and not mail.events("failed")
        assert sink.recipients() == [f"u{number}@next.test" for number in range(5)]
    waits = [after - before for before, after in pairwise(map(_began, delivered))]
    assert all(wait > 1.9 for wait in waits) and sum(waits) < 15, waits
    sink.close()
