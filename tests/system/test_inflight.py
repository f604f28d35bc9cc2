"""What an operator does while a message is being delivered, or between two attempts."""

from __future__ import annotations

from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import until

CONTENT = b"Subject: wait\r\nFrom: s@z.test\r\n\r\n" + b"text\r\n" * 100_000  # in a file
SETS = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', 'agent.delivery.mode="background"']


def test_removed(tmp_path: Path) -> None:
    """Removed during an attempt that is refused or taken then: nothing comes back, nobody
    is told, no file is left."""
    sink = Sink()
    with running(Umbcmail(tmp_path, route("next.test", sink.port), SETS)) as mail:
        for number, (stall, answer) in enumerate(
            (("RCPT", b"451 4.7.1 Not now"), ("RCPT", b"550 5.1.1 No"), (".", b"250 OK"))
        ):
            sink.refuse[f"u{number}@next.test"] = answer
            sink.stall.add(stall)
            sink.stalled.clear()
            sink.goOn.clear()
            assert send(mail.port, CONTENT, f"u{number}@next.test").startswith(b"250")
            assert sink.stalled.wait(20)
            assert mail.tool("queue", "remove", "--all").startswith("1 entry")
            sink.stall.clear()
            sink.goOn.set()
            until(lambda: len(mail.events("stale")) == number + 1, "the attempt has come to its end")  # noqa: B023
            mail.emptied()
        assert [len(mail.events(name)) for name in ("delayed", "failed", "delivered")] == [1, 1, 1]
        assert sink.recipients() == ["u2@next.test"]
    sink.close()


def test_newRoute(tmp_path: Path) -> None:
    """After a change of the configuration and a restart the next attempt uses it, also for
    what was queued before."""
    first, second = Sink(), Sink()
    first.refuse["a@next.test"] = b"451 4.7.1 Not now"
    mail = Umbcmail(tmp_path, route("next.test", first.port), SETS)
    with running(mail):
        assert send(mail.port, CONTENT, "a@next.test").startswith(b"250")
        until(lambda: mail.events("delayed"), "it has been tried")
    mail.config.write_text(mail.config.read_text().replace(f":{first.port}", f":{second.port}"))
    with running(mail):
        until(lambda: second.recipients() == ["a@next.test"], "it goes the new way")
        mail.emptied()
    assert not first.recipients()
    first.close()
    second.close()
