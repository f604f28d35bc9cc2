"""What can't be delivered is queued, can be seen and changed, and goes when it can."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import freePort, until

CONTENT = b"Subject: wait\r\nFrom: s@z.test\r\n\r\nlater\r\n"


def _queued(tmp_path: Path, *sets: str) -> tuple[Umbcmail, int]:
    """A system with a next hop that is down."""
    port = freePort()
    return Umbcmail(tmp_path, route("next.test", port) + route("other.test", port), sets), port


def test_visibleWhileTheNextHopIsDown(tmp_path: Path) -> None:
    """The list says who waits for what, for people and for programs; so does show."""
    mail, port = _queued(tmp_path)
    with running(mail):
        answer = send(mail.port, CONTENT, "a@next.test", "b@next.test")
        assert answer.startswith(b"250 2.0.0 OK, queued as ")
        id = answer.split()[-1].decode()
        (entry,) = mail.queue()
        assert entry["message"] == id and entry["sender"] == "s@z.test"
        assert entry["queue"] == "remote" and entry["attempts"] == 1 and not entry["held"]
        assert [r["address"] for r in entry["recipients"]] == ["a@next.test", "b@next.test"]
        assert {r["status"] for r in entry["recipients"]} == {"waiting"}
        assert f"[127.0.0.1]:{port}" in entry["recipients"][0]["host"] and entry["recipients"][0]["reply"]
        text = mail.tool("queue", "list")
        assert entry["id"] in text and "b@next.test  next attempt in" in text and "1 entry" in text
        shown = mail.tool("queue", "show", entry["id"])
        assert "Subject: wait" in shown and "a@next.test" in shown
        assert json.loads(mail.tool("queue", "show", id, "--json"))["id"] == entry["id"]


def test_retryWhenItIsUpAgain(tmp_path: Path) -> None:
    """C{retry} does not wait for the schedule; by domain it takes only those."""
    mail, port = _queued(tmp_path, 'queue.remote.retry=["1h"]', 'queue.remote.poll="1s"')
    other = freePort()
    mail.config.write_text(mail.config.read_text().replace(route("other.test", port), route("other.test", other)))
    with running(mail):
        for recipient in ("a@next.test", "b@other.test"):
            assert b"queued" in send(mail.port, CONTENT, recipient)
        sink, second = Sink(port), Sink(other)
        assert mail.tool("queue", "retry", "--domain", "next.test").startswith("1 entry")
        until(lambda: sink.recipients() == ["a@next.test"], "the one is delivered")
        until(lambda: len(mail.queue()) == 1, "and recorded")
        assert second.recipients() == []
        assert mail.tool("queue", "retry", "--all").startswith("1 entry")
        until(lambda: second.recipients() == ["b@other.test"], "the other is delivered")
        mail.emptied()
        assert sink.messages[0].content.endswith(CONTENT)
        sink.close()
        second.close()


def test_deliveredBySchedule(tmp_path: Path) -> None:
    """Nobody has to do anything: the retry schedule sees to it."""
    mail, port = _queued(tmp_path, 'queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"')
    with running(mail):
        assert b"queued" in send(mail.port, CONTENT, "a@next.test")
        until(lambda: len(mail.events("delayed")) >= 2, "it has been tried again in vain")
        sink = Sink(port)
        until(lambda: sink.recipients() == ["a@next.test"], "it is delivered")
        mail.emptied()
        assert len(mail.events("delivered")) == 1
        sink.close()


def test_heldReleasedRemoved(tmp_path: Path) -> None:
    """What is held stays though it could go; what is removed never goes."""
    mail, port = _queued(tmp_path, 'queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"')
    with running(mail):
        ids = [send(mail.port, CONTENT, r).split()[-1].decode() for r in ("a@next.test", "b@next.test", "c@next.test")]
        assert mail.tool("queue", "hold", ids[0], ids[1]).startswith("2 entries held")
        sink = Sink(port)
        until(lambda: sink.recipients() == ["c@next.test"], "what is not held is delivered")
        until(lambda: len(mail.queue()) == 2, "and recorded")
        assert [entry["held"] for entry in mail.queue()] == [True, True]
        assert "held" in mail.tool("queue", "list", "--state", "held")
        assert mail.tool("queue", "remove", ids[1], "--json") == '{"removed": 1}\n'
        assert mail.tool("queue", "release", "--all").startswith("1 entry released")
        until(lambda: sorted(sink.recipients()) == ["a@next.test", "c@next.test"], "what was held is delivered")
        mail.emptied()
        assert sorted(sink.recipients()) == ["a@next.test", "c@next.test"]
        mail.tool("queue", "show", ids[1], status=1)
        sink.close()


def test_whileTheSystemIsStopped(tmp_path: Path) -> None:
    """The tool opens the spool by itself, and what it did holds after the start."""
    mail, port = _queued(tmp_path, 'queue.remote.retry=["1h"]')
    with running(mail):
        for recipient in ("a@next.test", "b@next.test"):
            assert b"queued" in send(mail.port, CONTENT, recipient)
    entries = mail.queue()
    assert [entry["recipients"][0]["address"] for entry in entries] == ["a@next.test", "b@next.test"]
    assert "Subject: wait" in mail.tool("queue", "show", entries[0]["id"])
    mail.tool("queue", "remove", entries[0]["id"])
    mail.tool("queue", "hold", entries[1]["id"])
    mail.tool("queue", "release", entries[1]["id"])
    assert len(mail.queue()) == 1
    sink = Sink(port)
    with running(mail):
        until(lambda: sink.recipients() == ["b@next.test"], "released: it is due at once")
        mail.emptied()
    sink.close()
