"""The local delivery agent with real users: Maildirs that Dovecot reads, commands, procmail,
and the delivery agent before it."""

from __future__ import annotations

import contextlib
import grp
import imaplib
import json
import os
import re
import smtplib
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.localusers import LDA, Imap, LocalUsers, running
from tests.system.programs import HOST, missing, need, until


@pytest.fixture(scope="module")
def users() -> Iterator[LocalUsers]:
    """Two users."""
    with contextlib.closing(LocalUsers()) as users:
        users.add("ann")
        users.add("bob")
        yield users


def address(users: LocalUsers, label: str, detail: str = "") -> str:
    """Of a user."""
    return f"{users.names[label]}{'+' + detail if detail else ''}@y.test"


def withCommand(users: LocalUsers, script: str, *arguments: str, more: str = "") -> str:
    """Configuration: delivery by a shell script."""
    path = users.folder / "mda"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    words = ", ".join(f'"{word}"' for word in (path, *arguments))
    return f'deliver = "command"\ncommand = [{words}]\n{more}'


# Maildirs


def test_maildir(clean: LocalUsers, tmp_path: Path) -> None:
    """Each recipient gets a file of its own, as its user, and Dovecot shows it."""
    with running(LDA(tmp_path)) as lda:
        said = lda.send(address(clean, "ann"), "nobody-here@y.test", address(clean, "bob", "detail"))
        assert [reply[:9] for reply in said] == ["250 2.1.5", "550 5.1.1", "250 2.1.5"]
    for label, detail in (("ann", ""), ("bob", "detail")):
        [path] = clean.new(label)
        status, user = path.stat(), clean.user(label)
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (user.pw_uid, user.pw_gid, 0o600)
        assert stat.S_IMODE((clean.home(label) / "Maildir").stat().st_mode) == 0o700
        top = f"Return-Path: <s@x.test>\nDelivered-To: {address(clean, label, detail)}\n"
        assert path.read_text() == top + "Subject: x\n\nHello\n"
    with contextlib.ExitStack() as stack:
        imap = Imap()
        stack.callback(imap.stop)
        client = imaplib.IMAP4(HOST, imap.port, 20)
        client.login(clean.names["ann"], "any")
        assert client.select()[1] == [b"1"]
        [(_, content), _] = client.fetch("1", "(BODY[])")[1]
        assert content.endswith(b"Subject: x\r\n\r\nHello\r\n")
        client.logout()


def test_large(clean: LocalUsers, tmp_path: Path) -> None:
    """A large message is in no process's memory as a whole, and each recipient gets all of it."""
    with running(LDA(tmp_path)) as lda:
        line = b"x" * 998 + b"\r\n"
        before = memory(lda.running.process.pid)
        said = lda.send(
            *[address(clean, label) for label in ("ann", "bob", "ann")], body=b"A: b\r\n\r\n" + line * 40_000
        )
        assert [reply[:3] for reply in said] == ["250"] * 3
        assert memory(lda.running.process.pid) - before < 12 << 20
    for label, number in (("ann", 2), ("bob", 1)):
        paths = clean.new(label)
        assert len(paths) == number
        for path in paths:
            assert path.read_bytes().partition(b"y.test\n")[2] == b"A: b\n\n" + (b"x" * 998 + b"\n") * 40_000


def memory(pid: int) -> int:
    """The most that a process had so far, octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def test_quota(clean: LocalUsers, tmp_path: Path) -> None:
    """A full mailbox delays, or refuses where that is wanted; mail that is removed makes room."""
    with running(LDA(tmp_path, 'quota = "2C"\nover-quota = "refuse"\n')) as lda:
        to = address(clean, "ann")
        assert [lda.send(to)[0][:9] for _ in range(3)] == ["250 2.1.5", "250 2.1.5", "552 5.2.2"]
        [removed, _] = clean.new("ann")
        with (clean.home("ann") / "Maildir" / "maildirsize").open("a") as file:
            file.write(f"-{removed.stat().st_size} -1\n")  # as programs that read mail do
        removed.unlink()
        assert lda.send(to)[0][:9] == "250 2.1.5"


def test_duplicates(clean: LocalUsers, tmp_path: Path) -> None:
    """A message that comes again is taken, and not delivered again."""
    body = b"Message-ID: <1@x.test>\r\n\r\nHello\r\n"
    with running(LDA(tmp_path, 'duplicates = "1d"\n')) as lda:
        for label in ("ann", "ann", "bob"):
            assert lda.send(address(clean, label), body=body)[0][:3] == "250"
        assert "result=delivered" in lda.why()
    assert (len(clean.new("ann")), len(clean.new("bob"))) == (1, 1)


def test_diskFull(clean: LocalUsers, tmp_path: Path) -> None:
    """A home on a disk that is full: mail waits, nothing of it is left, and what fits is delivered."""
    home, user = clean.home("ann"), clean.user("ann")
    mount = f'mount -t tmpfs -o size=256k,mode=700,uid={user.pw_uid},gid={user.pw_gid} tmpfs {home} && exec "$@"'
    alone = [need("unshare"), "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True, timeout=60).returncode:
        missing("no file system may be mounted here")
    agent = LDA(tmp_path)
    agent.mail.twistd = [*alone, *agent.mail.twistd]
    with running(agent) as lda:
        assert lda.send(address(clean, "ann"), body=b"A: b\r\n\r\n" + b"x" * 400_000 + b"\r\n")[0][:9] == "452 4.3.1"
        assert lda.send(address(clean, "ann"))[0][:3] == "250"
        maildir = Path(f"/proc/{lda.running.process.pid}/root{home}/Maildir")
        assert [len(list((maildir / name).iterdir())) for name in ("tmp", "new")] == [0, 1]


# Commands


def test_asTheUser(clean: LocalUsers, tmp_path: Path) -> None:
    """A command runs as the user and nothing else: ids, groups, capabilities, environment, folder, limits, files."""
    script = (
        "exec >out; id -u; id -g; id -G; grep ^Cap /proc/self/status; pwd; umask; ulimit -n; ulimit -v; ulimit -t;"
        " ls -l /proc/$$/fd | grep -c socket; env"
    )
    with running(LDA(tmp_path, withCommand(clean, script))) as lda:
        assert lda.send(address(clean, "ann"))[0][:3] == "250"
    user, home = clean.user("ann"), clean.home("ann")
    lines = (home / "out").read_text().splitlines()
    assert lines[:3] == [str(user.pw_uid), str(user.pw_gid), str(user.pw_gid)]
    capabilities = dict(re.findall(r"^(Cap\w+):\s+(\w+)$", "\n".join(lines), re.M))
    assert {capabilities[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert lines[8:13] == [str(home), "0077", "256", str(1 << 20), "120"]
    assert lines[13] == "0"
    assert sorted(lines[14:]) == [
        f"HOME={home}",
        "LANG=C.UTF-8",
        f"LOGNAME={user.pw_name}",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        f"PWD={home}",
        "SHELL=/bin/sh",
        f"USER={user.pw_name}",
    ]


def test_groups(users: LocalUsers, tmp_path: Path) -> None:
    """It has the groups of its user, and none of ours."""
    users.add("mem", "--groups", "games,audio")
    with running(LDA(tmp_path, withCommand(users, "id -G >out"))) as lda:
        assert lda.send(address(users, "mem"))[0][:3] == "250"
    wanted = {users.user("mem").pw_gid, grp.getgrnam("games").gr_gid, grp.getgrnam("audio").gr_gid}
    assert {int(word) for word in (users.home("mem") / "out").read_text().split()} == wanted


BEHAVIOURS = """
case "$1" in
killed*) kill -${1#killed} $$;;
deaf) exit 0;;
closed) exec <&-; sleep 0.3; exit 0;;
flood) cat >/dev/null; head -c 1048576 /dev/zero | tr '\\0' x >&2; echo >&2; echo enough >&2; exit 69;;
forks) cat >/dev/null; sleep 20 & exit 0;;
slow) cat >/dev/null; sleep 60;;
*) cat >/dev/null; echo "status $1" >&2; exit $1;;
esac
"""


def test_statuses(clean: LocalUsers, tmp_path: Path) -> None:
    """What becomes of each way in which a command can end."""
    config = withCommand(
        clean, BEHAVIOURS, "%detail", more='limit-time = "2s"\nstatuses = ["69=fail", "70=fail", "78=delay"]\n'
    )
    wanted = {"0": "250 2.1.5", "deaf": "250 2.1.5", "closed": "250 2.1.5", "forks": "250 2.1.5"}
    wanted |= dict.fromkeys(["64", "66", "71", "72", "73", "74", "75", "76", "78", "1", "111", "127"], "451 4.3.0")
    wanted |= dict.fromkeys(["killed9", "killed15", "slow"], "451 4.3.0")
    wanted |= {"65": "554 5.6.0", "67": "550 5.1.1", "68": "550 5.1.2", "77": "554 5.7.1", "100": "554 5.3.0"}
    wanted |= {"69": "554 5.3.0", "70": "554 5.3.0", "flood": "554 5.3.0"}
    with running(LDA(tmp_path, config)) as lda:
        body = b"A: b\r\n\r\n" + b"x" * 500 + b"\r\n" * 100_000
        said = {}
        for detail in wanted:
            said[detail] = lda.send(address(clean, "ann", detail), body=body)[0][:9]
            if detail == "flood":
                assert "why=enough" in lda.why()
        assert said == wanted
        assert 'why="status 127"' in lda.mail.log()


def test_missing(clean: LocalUsers, tmp_path: Path) -> None:
    """A program that is not there delays, and the log says which."""
    with running(LDA(tmp_path, 'deliver = "command"\ncommand = ["no-such-mda"]\n')) as lda:
        assert lda.send(address(clean, "ann"))[0][:9] == "451 4.3.0"
        assert "no-such-mda" in lda.why()


def test_arguments(clean: LocalUsers, tmp_path: Path) -> None:
    """Whatever strangers write is one argument each."""
    script = 'printf "%s\\n" $# "$@" >out; cat >>out'
    with running(LDA(tmp_path, withCommand(clean, script, "%detail", "-f", "%sender", "%recipient"))) as lda:
        name = clean.names["ann"]
        for detail in ("", "a b;$(id)|x..-d", "..", "a/../../b"):
            with contextlib.closing(lda.client()) as client:
                said = client.send(f'"{name}+{detail}"@y.test', body=b"A: b\r\n\r\n", sender="")
            assert said[0][:3] == "250", said
            lines = (clean.home("ann") / "out").read_text().splitlines()
            assert lines[:4] == ["4", detail, "-f", ""]
            assert lines[5].startswith("From MAILER-DAEMON ")
            assert lines[6] == "Return-Path: <>"
        assert lda.send(f'"{name}+-d"@y.test')[0][:9] == "550 5.1.3"


def test_limits(clean: LocalUsers, tmp_path: Path) -> None:
    """What takes too much time, memory or CPU is ended, and the mail waits."""
    script = (
        'case "$1" in cpu) while :; do :; done;; file) head -c 3000000 /dev/zero >big || exit 73;;'
        " memory) dd if=/dev/zero of=/dev/null bs=1G count=1 || exit 70;; esac; exit 0"
    )
    more = 'limit-cpu = "1s"\nlimit-file = "1MiB"\nlimit-memory = "256MiB"\nlimit-time = "20s"\n'
    with running(LDA(tmp_path, withCommand(clean, script, "%detail", more=more))) as lda:
        for detail in ("cpu", "file", "memory"):
            assert lda.send(address(clean, "ann", detail))[0][:9] == "451 4.3.0", detail
        assert lda.send(address(clean, "ann", "none"))[0][:9] == "250 2.1.5"
    assert (clean.home("ann") / "big").stat().st_size <= 1 << 20


def test_perUser(clean: LocalUsers, tmp_path: Path) -> None:
    """Commands of one user don't take all places from another."""
    script = "cat >/dev/null; echo $$ >>running; sleep 3"
    with running(LDA(tmp_path, withCommand(clean, script, more="processes-per-user = 2\n"))) as lda:
        clients = [lda.client() for _ in range(4)]
        for client in clients:
            client.ask("LHLO x")
            client.socket.sendall(f"MAIL FROM:<>\r\nRCPT TO:<{address(clean, 'ann')}>\r\nDATA\r\n.\r\n".encode())
        started = clean.home("ann") / "running"
        until(lambda: started.exists() and len(started.read_text().split()) == 2, "two run")
        begun = time.monotonic()
        assert lda.send(address(clean, "bob"))[0][:3] == "250"
        assert time.monotonic() - begun < 6
        for client in clients:
            assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
            client.close()


# procmail


def test_procmail(clean: LocalUsers, tmp_path: Path) -> None:
    """Real procmail as configured by default, with recipes."""
    need("procmail")
    clean.write(
        "ann",
        ".procmailrc",
        "MAILDIR=$HOME\nDEFAULT=$HOME/Maildir/\nLOGFILE=$HOME/log\n"
        ":0\n* ^Subject: list\n$HOME/Maildir/.list/\n"
        ":0\n* ^Subject: unknown\n{ EXITCODE=67\n:0\n/dev/null\n}\n"
        ":0\n* ^Subject: wait\n{ EXITCODE=75\n:0\n/dev/null\n}\n"
        ":0\n* ^Subject: detail\n* ! ARG ?? ^^^^\nfile-$ARG\n".replace("ARG", "1"),
    )
    (clean.home("ann") / "Maildir").mkdir(mode=0o700)
    os.chown(clean.home("ann") / "Maildir", clean.user("ann").pw_uid, clean.user("ann").pw_gid)
    with running(LDA(tmp_path, 'deliver = "command"\n')) as lda:
        for subject, code, to in (
            ("plain", "250 2.1.5", address(clean, "ann")),
            ("list of things", "250 2.1.5", address(clean, "ann")),
            ("unknown", "550 5.1.1", address(clean, "ann")),
            ("wait", "451 4.3.0", address(clean, "ann")),
            ("detail", "250 2.1.5", address(clean, "ann", "box")),
        ):
            assert lda.send(to, body=f"Subject: {subject}\r\n\r\n>From\r\n".encode())[0][:9] == code, subject
    [plain], [listed] = clean.new("ann"), clean.new("ann", "Maildir/.list")
    assert re.match(r"Return-Path: <s@x.test>\nDelivered-To: .*\nSubject: plain\n\n", plain.read_text())
    assert plain.stat().st_uid == clean.user("ann").pw_uid
    assert "Subject: list" in listed.read_text()
    assert (clean.home("ann") / "file-box").read_text().startswith("From s@x.test ")


# With a delivery agent before it


def smtp(lda: LDA) -> smtplib.SMTP:
    """A client of the delivery agent."""
    return smtplib.SMTP(HOST, lda.mail.port, "c.test", timeout=60)


def test_interactive(clean: LocalUsers, tmp_path: Path) -> None:
    """A message is in the Maildir before the client hears 250; what the agent refuses it hears itself."""
    with running(LDA(tmp_path)) as lda:
        lda.mail.start()
        with smtp(lda) as client:
            assert (
                client.sendmail("s@x.test", [address(clean, "ann"), address(clean, "bob")], "Subject: x\n\nHello\n")
                == {}
            )
            assert (len(clean.new("ann")), len(clean.new("bob"))) == (1, 1)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail("s@x.test", ["no-such-user@y.test"], "Subject: x\n\nHello\n")
            assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (550, b"5.1.1")
        assert lda.mail.queue() == []
        id = re.findall(rb"with ESMTP id ([^;\s]+)", clean.new("ann")[0].read_bytes())[0].decode()
        lda.mail.logged(f"local-delivered id={id} ")


def test_status(clean: LocalUsers, tmp_path: Path) -> None:
    """The status of the mail system tells of the agent, and when it is away."""
    watch = f'[watch]\nlisten = ["unix:{tmp_path}/watch"]\n'
    with running(LDA(tmp_path, watch)) as lda:
        lda.mail.start()
        lda.send(address(clean, "ann"))
        status = json.loads(lda.mail.tool("status", "--json"))
        [part] = [part for part in status["parts"] if part["name"] == "lda"]
        values = {figure["name"]: figure["value"] for figure in part["figures"] if not figure["labels"]}
        assert part["condition"] == ""
        assert values["umbcmail_lda_processes"] == 1
        lda.running.stop()
        time.sleep(5)  # for so long an answer is good
        status = json.loads(lda.mail.tool("status", "--json", status=1))
        assert status["degraded"] == ["lda"]


def test_down(clean: LocalUsers, tmp_path: Path) -> None:
    """Without the agent mail waits in the queue, and goes on when it is back."""
    with running(LDA(tmp_path)) as lda:
        lda.mail.start()
        assert lda.running.stop() == 0
        with smtp(lda) as client:
            client.sendmail("s@x.test", [address(clean, "ann")], "Subject: x\n\nHello\n")
        assert clean.new("ann") == []
        lda.start()
        until(lambda: clean.new("ann"), "the message")
        lda.mail.emptied()
