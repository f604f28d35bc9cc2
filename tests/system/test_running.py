"""Start, stop, and several processes: what an operator meets."""

from __future__ import annotations

import signal
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import HOST, freePort, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
QUICK = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"']


def test_check(tmp_path: Path) -> None:
    """C{--check} prints what is in effect and from where, as a file that could be
    used itself, opens nothing, and ends with 0."""
    mail = Umbcmail(tmp_path, sets=["agent.delivery.attempts=7"])
    done = mail.attempt("--check")
    assert (done.returncode, done.stderr) == (0, "")
    found = tomllib.loads(done.stdout)
    assert found["agent"]["delivery"]["attempts"] == 7
    assert found["domains"]["local"] == ["local.test"]
    assert "attempts = 7  # --set" in done.stdout
    assert f'name = "mx.y.test"  # from {mail.config}' in done.stdout
    assert '"100MiB"  # default' in done.stdout
    assert not (tmp_path / "spool").exists()


def test_mistakes(tmp_path: Path) -> None:
    """All mistakes come at once: file, key, value, reason and a guess, status 78."""
    config = """
[queue.remote]
retri = ["1m"]
expire = "soon"
[agent.delivery]
mode = "interactiv"
[[route]]
domain = "next.test"
courier = "pigeon"
"""
    mail = Umbcmail(tmp_path, config, ["agent.relay.size-limit=huge"])
    for words in ([], ["--check"]):
        done = mail.attempt(*words)
        assert done.returncode == 78, done
        lines = done.stderr.splitlines()
        assert all(line.startswith("umbcmail: ") for line in lines), lines
        wanted = [
            f'{mail.config}: queue.remote.retri = ["1m"]: unknown key (did you mean retry?)',
            f'{mail.config}: queue.remote.expire = "soon": ',
            f'{mail.config}: agent.delivery.mode = "interactiv": must be one of interactive, background (did you mean',
            '--set: agent.relay.size-limit = "huge": a size such as',
        ]
        for text in wanted:
            assert any(text in line for line in lines), (text, lines)
    assert not (tmp_path / "spool").exists()


def test_mistakesOfComposition(tmp_path: Path) -> None:
    """What only the parts know is told in the same way."""
    config = """
[agent.delivery.port.other]
endpoint = "tcp:0"
relay = ["networks", "friends"]
tls = "require"
[[route]]
domain = "next.test"
courier = "pigeon"
"""
    done = Umbcmail(tmp_path, config, ["spool.url=ftp:/x"]).attempt("--check")
    assert done.returncode == 78
    for text in (
        'route[1].courier = "pigeon": there is no such courier',
        "agent.delivery.port.other.relay",
        '"friends"',
        'agent.delivery.port.other.tls = "require": needs tls.certificate',
        '--set: spool.url = "ftp:/x"',
    ):
        assert text in done.stderr, (text, done.stderr)


def test_unknownRole(tmp_path: Path) -> None:
    """The roles that exist are named."""
    done = Umbcmail(tmp_path).attempt("--role", "delivry")
    assert done.returncode != 0
    assert "no role delivry; there are: delivery, relay, queue, schedule" in done.stdout + done.stderr


def test_portTaken(tmp_path: Path, sink: Sink) -> None:
    """One clear line with the key of the port, and a status that says so."""
    mail = Umbcmail(tmp_path)
    mail.port = sink.port
    text = mail.config.read_text()
    begin = text.index('endpoint = "tcp:')
    mail.config.write_text(
        text[:begin] + f'endpoint = "tcp:{sink.port}:interface={HOST}"' + text[text.index("\n", begin) :]
    )
    done = mail.attempt()
    assert done.returncode not in (0, None)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("umbcmail: ")]
    assert "agent.delivery.port.mx.endpoint" in line and "in use" in line
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("place", ["a file is in the way", "no such device"])
def test_spoolCantBeMade(tmp_path: Path, place: str) -> None:
    """A folder that can't be made or written: one clear line, and a status."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "spool" if place == "a file is in the way" else Path("/proc/spool")
    done = Umbcmail(tmp_path, sets=[f"spool.url=sqlite:{folder}"]).attempt()
    assert done.returncode not in (0, None)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("umbcmail: ")]
    assert str(folder) in line
    assert "Traceback" not in done.stderr + done.stdout


def test_stopInGoodOrder(tmp_path: Path, sink: Sink) -> None:
    """SIGTERM during an attempt: the client still gets its answer, idle ones are
    told, nobody new is let in, and the status is 0."""
    sink.stall.add(".")
    mail = Umbcmail(tmp_path, route("next.test", sink.port))
    with running(mail), ThreadPoolExecutor() as threads:
        idle = Conversation(mail.port)
        answer = threads.submit(send, mail.port, CONTENT, "a@next.test")
        assert sink.stalled.wait(20)
        mail.running.process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith(b"421 4.3.2")
        with pytest.raises(ConnectionRefusedError):
            until(lambda: Conversation(mail.port).close(), "the port is closed")
        sink.goOn.set()
        assert answer.result(20).startswith(b"250 2.0.0 OK, delivered")
        assert mail.running.process.wait(20) == 0
    assert [line.split()[1] for line in mail.log().splitlines()][-1] == "stopped"
    assert len(sink.messages) == 1
    assert not mail.queue()


def test_stopWhileTheQueueRuns(tmp_path: Path) -> None:
    """SIGTERM during an attempt from the queue: it is recorded before the end."""
    port = freePort()
    mail = Umbcmail(tmp_path, route("next.test", port), QUICK)
    with running(mail):
        assert b"queued" in send(mail.port, CONTENT, "a@next.test")
        sink = Sink(port)
        sink.stall.add(".")
        assert sink.stalled.wait(20)
        mail.running.process.send_signal(signal.SIGTERM)
        until(lambda: mail.events("stopping"), "it has begun to stop")
        sink.goOn.set()
        assert mail.running.process.wait(20) == 0
    assert not mail.queue() and len(sink.messages) == 1
    sink.close()


def test_rolesApart(tmp_path: Path) -> None:
    """One process takes mail in, another one delivers what is queued."""
    port = freePort()
    mail = Umbcmail(tmp_path, route("next.test", port), [*QUICK, 'agent.delivery.mode="background"'])
    other = mail.another("--role", "queue", "--role", "schedule")
    try:
        with running(mail, "--role", "delivery", "--role", "relay"):
            for count in range(20):
                assert b"queued" in send(mail.port, CONTENT, f"u{count}@next.test")
            until(lambda: mail.events("delayed"), "the other process tries")
            sink = Sink(port)
            until(lambda: len(sink.messages) >= 20, "all are delivered")
            mail.emptied()
            assert sorted(sink.recipients()) == sorted(f"u{count}@next.test" for count in range(20))
            sink.close()
    finally:
        assert other.stop() == 0


def test_relayHandsOn(tmp_path: Path, sink: Sink) -> None:
    """The relay agent answers at once and hands all mail to the delivery agents;
    what they don't take now it keeps, and tries again quickly."""
    port = freePort()
    config = f'[queue.handon]\nnext-hops = ["{HOST}:{port}"]\nretry = ["1s"]\npoll = "0.2s"\n'
    mail = Umbcmail(tmp_path, config, ['agent.relay.queue="handon"'])
    with running(mail):
        for domain in ("foreign.test", "local.test"):
            assert send(mail.relayPort, CONTENT, f"a@{domain}").startswith(b"250 2.0.0 OK, queued")
        until(lambda: len(mail.events("delayed")) >= 2, "both have been tried")
        assert {entry["queue"] for entry in mail.queue()} == {"handon"}
        late = Sink(port)
        mail.emptied()
        assert sorted(late.recipients()) == ["a@foreign.test", "a@local.test"]
        late.close()
