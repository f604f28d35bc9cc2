"""What the role C{schedule} sweeps, by itself and by command."""

from __future__ import annotations

from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import freePort, until

CONTENT = b"Subject: wait\r\nFrom: s@z.test\r\n\r\nlater\r\n"
RULE = '[[munge]]\nfrom = ["remote"]\nolder = "0s"\nto = "slow"\n'


def test_munged(tmp_path: Path) -> None:
    """By itself: what could not be delivered is moved, tried from there, and delivered once."""
    sink = Sink()
    sink.refuse["a@next.test"] = b"451 4.7.1 Not now"
    sets = ['schedule.munge="0.5s"', 'queue.slow.retry=["1s"]', 'queue.slow.poll="0.2s"']
    sets.append(f'queue.slow.next-hops=["127.0.0.1:{sink.port}"]')  # all mail of slow goes to where the class says
    mail = Umbcmail(tmp_path, RULE + route("next.test", sink.port), sets)
    with running(mail):
        assert b"queued" in send(mail.port, CONTENT, "a@next.test")
        id = mail.queue()[0]["id"]
        assert "queue=remote to=slow" in mail.logged(f" moved id={id} ")
        assert mail.queue()[0]["queue"] == "slow"
        sink.refuse.clear()
        assert mail.tool("queue", "retry", "--all").startswith("1 entry")
        until(lambda: sink.recipients() == ["a@next.test"], "it is delivered")
        mail.emptied()
        sink.close()


def test_byCommand(tmp_path: Path) -> None:
    """While the system runs, and when it does not."""
    mail = Umbcmail(tmp_path, RULE + route("next.test", freePort()), ['schedule.munge="0s"'])
    with running(mail):
        assert b"queued" in send(mail.port, CONTENT, "a@next.test")
        assert "remote -> slow" in mail.tool("munge", "--dry-run")
        assert [entry["queue"] for entry in mail.queue()] == ["remote"]
        assert "remote -> slow" in mail.tool("munge")
        assert [entry["queue"] for entry in mail.queue()] == ["slow"]
        assert b"queued" in send(mail.port, CONTENT, "b@next.test")
    assert "remote -> slow" in mail.tool("munge")
    assert [entry["queue"] for entry in mail.queue()] == ["slow"] * 2
    assert len(mail.events("moved")) == 2
    assert mail.tool("clean") == ""
