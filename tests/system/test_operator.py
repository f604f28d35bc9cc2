"""What a postmaster orders about waiting mail, while the system runs and when it does not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system.mailsystem import Umbcmail, environment, route, running
from tests.system.peers import Sink, send
from tests.system.programs import ROOT, freePort, until

CONTENT = b"Subject: wait\r\nFrom: s@z.test\r\n\r\nlater\r\n"
PATIENT = ('queue.remote.retry=["1h"]', 'queue.remote.poll="0.2s"')
EAGER = ('queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"')


def _system(tmp_path: Path, port: int, *sets: str, more: str = "") -> Umbcmail:
    """A system with a next hop."""
    return Umbcmail(tmp_path, route("next.test", port) + more, sets)


def _queued(mail: Umbcmail, *recipients: str, **more: str) -> str:
    """Send a message that has to wait.  @return: its id"""
    answer = send(mail.port, CONTENT, *recipients, **more)
    assert b"queued as" in answer, answer
    return answer.split()[-1].decode()


def test_whyNot(tmp_path: Path) -> None:
    """C{why}, C{summary} and C{show --content} tell it, whether the system runs or not."""
    port = freePort()
    mail = _system(tmp_path, port, *PATIENT)

    def look() -> None:
        text = mail.tool("queue", "why", id)
        assert "It waits: the next attempt is due in " in text and "It is given up in 4d23h" in text
        assert f"a@next.test: tried once; 127.0.0.1[127.0.0.1]:{port} connect: 451 4.4.1 Connection refused" in text
        assert re.search(r"\n    20\S+Z  a@next.test: 127.0.0.1\[127.0.0.1\]:\d+ connect: 451", text), text
        assert 'next.test: by [[route]] domain = "next.test", courier smtp' in text
        assert f"        127.0.0.1[127.0.0.1]:{port}: " in text
        assert json.loads(mail.tool("queue", "why", id, "--json"))["routes"][0]["domain"] == "next.test"
        rows = [json.loads(line) for line in mail.tool("queue", "summary", "--json").splitlines()]
        assert [(row["destination"], row["total"]) for row in rows] == [(None, 1), ("next.test", 1)]
        assert mail.tool("queue", "show", id, "--content").replace("\r\n", "\n").endswith("\n\nlater\n")

    with running(mail):
        id = _queued(mail, "a@next.test")
        look()
    look()


def test_removedWhileItIsTried(tmp_path: Path) -> None:
    """The attempt may finish; it is not tried again, and does not come back (case B95)."""
    sink = Sink()
    sink.stall = {"DATA"}
    mail = _system(tmp_path, sink.port, *EAGER, 'agent.delivery.mode="background"')
    with running(mail):
        id = _queued(mail, "a@next.test")
        until(sink.stalled.is_set, "the attempt is in the air")
        (entry,) = mail.queue()
        assert entry["owner"]
        assert mail.tool("queue", "list", "--state", "claimed", "--json")
        assert mail.tool("queue", "bounce", id, status=1) == ""
        assert mail.tool("queue", "remove", id) == "1 entry removed\n"
        assert mail.queue() == []
        sink.goOn.set()
        mail.logged(f" stale id={id}")
        assert sink.recipients() == ["a@next.test"]
        _queued(mail, "b@next.test")
        until(lambda: sink.recipients() == ["a@next.test", "b@next.test"], "later mail is delivered")
        mail.emptied()
    sink.close()


def test_edited(tmp_path: Path) -> None:
    """It goes to the new address, and the one that its sender knows goes with it."""
    port, sink = freePort(), Sink(offers=(b"PIPELINING", b"DSN"))
    mail = _system(tmp_path, port, *PATIENT, more=route("new.test", sink.port))
    with running(mail):
        _queued(mail, "ann@next.test", "bob@next.test")
        assert mail.tool("queue", "edit", "--recipient", "ann@next.test", "--to", "*@new.test", "--dry-run").endswith(
            "\n1 entry would be readdressed to *@new.test\n"
        )
        assert mail.tool("queue", "edit", "--recipient", "ann@next.test", "--to", "ann@new.test").startswith("1 entry")
        message = sink.arrived("ann@new.test")
        assert message.recipients == ["ann@new.test"] and "ORCPT=rfc822;ann@next.test" in message.commands[1]
        until(lambda: [len(entry["recipients"]) for entry in mail.queue()] == [1], "the other one waits")
        assert mail.queue()[0]["recipients"][0]["address"] == "bob@next.test"
    sink.close()


def test_bounced(tmp_path: Path) -> None:
    """Its sender is told, with the reason, also when the system did not run then."""
    port, sink = freePort(), Sink()
    mail = _system(tmp_path, port, *PATIENT, more=route("z.test", sink.port))
    with running(mail):
        id = _queued(mail, "a@next.test")
        assert mail.tool("queue", "bounce", id, "--reason", "Sent to the wrong list").startswith("1 entry given up")
        report = sink.arrived("s@z.test")
        assert report.sender == "" and b"Sent to the wrong list" in report.content
        assert b"Final-Recipient: rfc822; a@next.test" in report.content and b"Action: failed" in report.content
        mail.emptied()
        id = _queued(mail, "b@next.test")
    assert mail.tool("queue", "bounce", "--domain", "next.test", "--older", "0s").startswith("1 entry given up")
    assert "All its recipients have failed" in mail.tool("queue", "why", id)
    with running(mail):
        report = sink.arrived("s@z.test")
        assert b"The postmaster has taken it out of the queue" in report.content
        mail.emptied()
    sink.close()


def test_moved(tmp_path: Path) -> None:
    """A class with a next hop of its own takes what is moved there."""
    sink = Sink()
    mail = _system(tmp_path, freePort(), *PATIENT, f'queue.slow.next-hops=["127.0.0.1:{sink.port}"]')
    with running(mail):
        for recipient in ("a@next.test", "b@next.test"):
            _queued(mail, recipient)
        assert mail.tool("queue", "move", "--recipient", "a@next.test", "--to", "slow") == "1 entry moved to slow\n"
        mail.tool("queue", "retry", "--class", "slow")
        sink.arrived("a@next.test")
        until(lambda: [entry["queue"] for entry in mail.queue()] == ["remote"], "the other one stays")
    sink.close()


def test_ordersInTheLog(tmp_path: Path) -> None:
    """Each change has its line in the mail log, with who has ordered it, whether the system runs or not."""
    mail = _system(tmp_path, freePort(), *PATIENT)
    with running(mail):
        ids = [_queued(mail, recipient) for recipient in ("a@next.test", "b@next.test")]
        mail.tool("queue", "hold", *ids)
    mail.tool("queue", "remove", "--state", "held", "--dry-run")
    mail.tool("queue", "remove", "--state", "held")
    held, removed = mail.events("ordered")
    assert f'what="queue hold" user=root uid={os.getuid()}' in held or os.getuid()
    assert f'entry="{ids[0]} {ids[1]}" entries=2' in held
    assert 'what="queue remove"' in removed and 'selection="--state held" entries=2' in removed


def test_damagedAndRepaired(tmp_path: Path) -> None:
    """What has lost its content is named, saved as far as it is there, and gone from the spool."""
    sink = Sink()
    mail = _system(tmp_path, sink.port, *EAGER)
    sink.refuse = {"a@next.test": b"451 later"}
    content = CONTENT + (b"y" * 70 + b"\r\n") * 20_000
    with running(mail):
        id = send(mail.port, content, "a@next.test").split()[-1].decode()
        [file] = [path for path in (tmp_path / "spool" / "content").rglob("*") if path.is_file()]
        file.unlink()
        sink.refuse.clear()
        until(lambda: mail.tool("queue", "damaged") != "0 entries\n", "it has been found")
        assert mail.tool("queue", "damaged").startswith(id)
        assert "It is damaged and has been put aside: " in mail.tool("queue", "why", id)
        assert mail.tool("queue", "repair", id) == "1 entry repaired\n"
        assert mail.queue() == []
    saved = json.loads((tmp_path / "spool" / "damaged" / f"{id}.json").read_text())
    assert "a@next.test" in json.dumps(saved)
    sink.close()


def test_damagedRows(tmp_path: Path) -> None:
    """Rows that can't be read, some in a class that nobody looks after, stop nothing else and are not
    overlooked: a list says that there are such, C{damaged} what they are, C{repair} saves what is left."""
    sink = Sink()
    sink.refuse = dict.fromkeys([f"u{n}@next.test" for n in range(8)], b"451 later")
    mail = _system(tmp_path, sink.port, *PATIENT)
    damage = [
        "UPDATE message SET envelope = '{' WHERE id = ?",
        "UPDATE delivery SET status = 'nonsense' WHERE entry = ?",
        "UPDATE delivery SET text = x'ff', code = 450 WHERE entry = ?",
        "UPDATE entry SET queue = x'ff00' WHERE id = ?",
        "UPDATE entry SET created = 'yesterday' WHERE id = ?",
        "DELETE FROM message WHERE id = ?",
        "DELETE FROM delivery WHERE entry = ?",
    ]
    with running(mail):
        ids = [_queued(mail, recipient) for recipient in sink.refuse]
        until(lambda: not any(entry["owner"] for entry in mail.queue()), "all wait")
        with contextlib.closing(sqlite3.connect(tmp_path / "spool" / "spool.db", 20)) as database, database:
            for id, statement in zip(ids, damage, strict=False):
                database.execute(statement, (id,))
        done = subprocess.run(_argv(mail, "queue", "list"), capture_output=True, text=True, env=environment())
        assert done.returncode == 0 and "\n1 entry, " in done.stdout and ids[7] in done.stdout, done.stderr
        said = f"{len(damage)} entries can't be read and will not be shown, see umbcmail queue damaged"
        assert done.stderr == f"umbcmail: {said}\n"
        found = [json.loads(line) for line in mail.tool("queue", "damaged", "--json").splitlines()]
        assert [each["id"] for each in found] == sorted(ids[:7]) and all(each["why"] for each in found)
        for word in ("show", "why"):
            mail.tool("queue", word, ids[0], status=75)
        sink.refuse.clear()
        mail.tool("queue", "retry", "--all")
        until(lambda: sink.recipients() == ["u7@next.test"], "the other one is delivered")
        assert mail.tool("queue", "repair", "--all") == f"{len(damage)} entries repaired\n"
        mail.emptied()
        assert mail.tool("queue", "damaged") == "0 entries\n"
        assert send(mail.port, CONTENT, "new@next.test").startswith(b"250 2.0.0 OK, delivered")
    saved = {path.name for path in (tmp_path / "spool" / "damaged").iterdir()}
    assert saved == {f"{id}.json" for id in ids[:7]} | {f"{id}.eml" for id in [*ids[:5], ids[6]]}
    sink.close()


def test_enough(tmp_path: Path) -> None:
    """Who reads only the beginning ends the command without a complaint."""
    mail = _system(tmp_path, freePort(), *PATIENT)
    with running(mail):
        id = send(mail.port, CONTENT + b"text\r\n" * 200_000, "a@next.test").split()[-1].decode()
    for words in (("show", id, "--content"), ("list", "--json")):
        with subprocess.Popen(
            _argv(mail, "queue", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as program:
            assert program.stdout and program.stderr and program.stdout.read(10)
            program.stdout.close()
            assert program.stderr.read() == b""
        assert program.returncode in (0, 141, -13)


def _argv(mail: Umbcmail, *words: str) -> list[str]:
    """C{umbcmail WORDS…}"""
    return [sys.executable, "-m", "umbcmail", *words, "--config", str(mail.config)]


LEFT_ALONE = ('hosts.first-look="1h"', 'hosts.longest-look="1h"')


def _hosts(mail: Umbcmail) -> list[Any]:
    """C{umbcmail hosts list --json}"""
    return [json.loads(line) for line in mail.tool("hosts", "list", "--json").splitlines()]


def test_hostSuspended(tmp_path: Path) -> None:
    """Nothing goes to a host that is suspended, whether that was said to a running system or before its start;
    what has waited goes when it is resumed."""
    sink = Sink()
    mail = _system(tmp_path, sink.port, *EAGER)
    host = f"127.0.0.1[127.0.0.1]:{sink.port}"
    with running(mail):
        mail.tool("hosts", "suspend", host, "--reason", "moves today")
        assert [(each["host"], each["suspended"], each["down"]) for each in _hosts(mail)] == [
            (host, "moves today", False)
        ]
        until(lambda: b"queued as" in send(mail.port, CONTENT, "a@next.test"), "the system has heard of it")
        waiting = len(mail.queue())
        assert "suspended: moves today" in mail.tool("queue", "why", mail.queue()[0]["id"])
    sink.messages.clear()
    with running(mail):
        assert b"queued as" in send(mail.port, CONTENT, "b@next.test")
        assert sink.messages == []
        assert mail.tool("hosts", "resume", "127.0.0.1") == "1 host resumed\n"
        until(lambda: len(sink.messages) == waiting + 1, "all are delivered")
        mail.emptied()
        assert _hosts(mail) == []
    what = [re.findall(r'what="([^"]+)".* host=(\S+)', line)[0] for line in mail.events("ordered")]
    assert what == [("hosts suspend", host), ("hosts resume", host)]
    sink.close()


def test_hostDown(tmp_path: Path) -> None:
    """It is shown, and C{queue retry} does not wait until it is time to look at it."""
    port = freePort()
    mail = _system(tmp_path, port, *PATIENT, *LEFT_ALONE)
    with running(mail):
        _queued(mail, "a@next.test")
        [host] = until(lambda: _hosts(mail), "it is known that the host is down")
        assert host["down"] and host["why"] == "Connection refused" and not host["suspended"]
        assert "because:      Connection refused" in mail.tool("hosts", "show", "127.0.0.1")
        sink = Sink(port)
        assert mail.tool("queue", "retry", "--domain", "next.test").startswith("1 entry")
        sink.arrived("a@next.test")
        mail.emptied()
    sink.close()


MANY = 20_000
FILL = """
import sys, time
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import react
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.queue.spool.sqlite import SqliteSpool

async def fill(reactor):
    spool = SqliteSpool(sys.argv[1], reactor, "fill")
    await spool.start()
    for first in range(0, int(sys.argv[2]), 1000):
        waits = []
        for n in range(first, first + 1000):
            to = (Recipient(f"u{n}@d{n % 100}.test"),)
            whole = Envelope(f"m{n}", "s@z.test", to, time.time(), size=3)
            draft = Draft(("remote", "slow")[n % 2], (Delivery(to[0]),), time.time() + 3600)
            waits.append(spool.commit(whole, MemoryContent(b"a\\r\\n"), [draft], time.time() - n))
        await gatherResults(waits)
    await spool.stop()

react(lambda reactor: ensureDeferred(fill(reactor)))
"""
LIST = """
import re, sys
from umbcmail import cli
status = cli.main()
with open("/proc/self/status") as file:
    sys.stderr.write(re.findall(r"VmHWM:\\s+(\\d+)", file.read())[0])
sys.exit(status)
"""


def test_aLongList(tmp_path: Path) -> None:
    """A list of many entries is whole, in order, and takes little memory: it is read by pages."""
    mail = _system(tmp_path, freePort())
    named = {"env": environment(), "cwd": ROOT, "check": True, "timeout": 120}
    subprocess.run([sys.executable, "-c", FILL, str(tmp_path / "spool"), str(MANY)], **named)
    for words in (["--json"], []):
        argv = [sys.executable, "-c", LIST, "queue", "list", *words, "--config", str(mail.config)]
        done = subprocess.run(argv, capture_output=True, text=True, **named)
        assert int(done.stderr) < 100_000, "KiB"
        lines = done.stdout.splitlines()
        if words:
            assert [json.loads(line)["id"] for line in lines] == [f"m{n}" for n in reversed(range(MANY))]
        else:
            assert lines[-1].startswith(f"{MANY} entries, ") and len(lines) == 2 * MANY + 2
