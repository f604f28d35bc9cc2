"""What users and strangers try with the local delivery agent, and what it may be at all:
real users, real processes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.directories import childrenOf
from tests.system.localusers import LDA, LocalUsers, brokenDirectory, running
from tests.system.programs import missing, need, until
from tests.system.test_lda import address

MODULES = {
    "umbcmail",
    "umbcmail.address",
    "umbcmail.alone",
    "umbcmail.config",
    "umbcmail.config.host",
    "umbcmail.config.layers",
    "umbcmail.config.mistakes",
    "umbcmail.config.schema",
    "umbcmail.config.tomltext",
    "umbcmail.credentials",
    "umbcmail.envelope",
    "umbcmail.figure",
    "umbcmail.findings",
    "umbcmail.hostoptions",
    "umbcmail.interfaces",
    "umbcmail.interfaces.mail",
    "umbcmail.interfaces.module",
    "umbcmail.interfaces.part",
    "umbcmail.interfaces.refresh",
    "umbcmail.interfaces.spool",
    "umbcmail.interfaces.state",
    "umbcmail.lda",
    "umbcmail.lda.children",
    "umbcmail.lda.delivery",
    "umbcmail.lda.figures",
    "umbcmail.lda.dialogue",
    "umbcmail.lda.forking",
    "umbcmail.lda.frames",
    "umbcmail.lda.letter",
    "umbcmail.lda.placeholders",
    "umbcmail.lda.quota",
    "umbcmail.lda.server",
    "umbcmail.lda.session",
    "umbcmail.lda.settings",
    "umbcmail.lda.statuses",
    "umbcmail.lda.tokens",
    "umbcmail.lda.users",
    "umbcmail.localaddress",
    "umbcmail.maillog",
    "umbcmail.options",
    "umbcmail.outcome",
    "umbcmail.postman",
    "umbcmail.postman.settings",
    "umbcmail.reply",
    "umbcmail.steadytime",
    "umbcmail.succession",
    "umbcmail.supervision",
    "umbcmail.tap",
    "umbcmail.unixsocket",
    "umbcmail.wire",
}
"""All of ours that the process of the role loads, apart from the plugin that names it."""
FORKER_MODULES = {
    "umbcmail",
    "umbcmail.lda",
    "umbcmail.lda.child",
    "umbcmail.lda.command",
    "umbcmail.lda.dotforward",
    "umbcmail.lda.duplicates",
    "umbcmail.lda.files",
    "umbcmail.lda.forker",
    "umbcmail.lda.frames",
    "umbcmail.lda.mailbox",
    "umbcmail.lda.privileges",
    "umbcmail.lda.programs",
    "umbcmail.lda.quota",
    "umbcmail.mailfolder",
}


@pytest.fixture(scope="module")
def users() -> Iterator[LocalUsers]:
    """Two users, one below the others, and one without a home."""
    with contextlib.closing(LocalUsers()) as users:
        users.add("ann")
        users.add("bob")
        users.add("sys", "--uid", str(freeUid()), "--non-unique")
        users.add("roo", "--uid", "0", "--non-unique")
        yield users


def freeUid() -> int:
    """One of the system, below those of people."""
    taken = {int(line.split(":")[2]) for line in Path("/etc/passwd").read_text().splitlines()}
    return next(uid for uid in range(700, 999) if uid not in taken)


@pytest.fixture()
def lda(clean: LocalUsers, tmp_path: Path) -> Iterator[LDA]:
    """For Maildirs."""
    with running(LDA(tmp_path, f'program-folder = "{clean.folder}/programs"\nprocess-idle = "5s"\n')) as lda:
        yield lda


# Homes and Maildirs


def refused(lda: LDA, users: LocalUsers, why: str) -> None:
    """Mail for ann waits, the log says why, and another user's mail is delivered all the same."""
    said = lda.send(address(users, "ann"), address(users, "bob"))
    assert [reply[:9] for reply in said] == ["451 4.2.0", "250 2.1.5"]
    until(lambda: why in "".join(lda.mail.events("local-delayed")[-1:]), f"{why!r} in the log")


@pytest.mark.parametrize("place", ["Maildir", "Maildir/new", "Maildir/tmp"])
@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "elsewhere", "../bob", "/no/such"])
def test_links(clean: LocalUsers, lda: LDA, place: str, target: str) -> None:
    """No symbolic link is followed, wherever it leads: not even to a folder of the same user."""
    ann, before = clean.user("ann"), Path("/etc/passwd").read_bytes()
    elsewhere = clean.home("ann") / "elsewhere"
    for path in (elsewhere, elsewhere / "new", elsewhere / "tmp", elsewhere / "cur", clean.home("ann") / "Maildir"):
        if path.name != place:
            path.mkdir(mode=0o700)
            os.chown(path, ann.pw_uid, ann.pw_gid)
    (clean.home("ann") / place).symlink_to(target if target != "elsewhere" else elsewhere)
    refused(lda, clean, "symbolic link")
    assert Path("/etc/passwd").read_bytes() == before
    assert not [path for path in elsewhere.rglob("*") if path.is_file()]
    assert len(clean.new("bob")) == 1


@pytest.mark.parametrize("place", [".", "Maildir", "Maildir/new"])
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_writable(clean: LocalUsers, lda: LDA, place: str, bit: int) -> None:
    """Nothing is put where a group or all others can write."""
    lda.send(address(clean, "ann"))
    path = clean.home("ann") / place
    path.chmod(0o700 | bit)
    refused(lda, clean, "can be written by others")
    assert len(clean.new("ann")) == 1
    path.chmod(0o700)
    assert lda.send(address(clean, "ann"))[0][:3] == "250"


def test_othersHome(clean: LocalUsers, lda: LDA) -> None:
    """A home of somebody else gets no mail, even where it could be written."""
    os.chown(clean.home("ann"), clean.user("bob").pw_uid, clean.user("bob").pw_gid)
    clean.home("ann").chmod(0o755)
    refused(lda, clean, "belongs to uid")
    os.chown(clean.home("ann"), clean.user("ann").pw_uid, clean.user("ann").pw_gid)


def test_noHome(clean: LocalUsers, lda: LDA) -> None:
    """A home that is not there (perhaps not mounted) is not made: mail waits."""
    moved = clean.home("ann").rename(clean.folder / "moved")
    refused(lda, clean, "No such file")
    assert not clean.home("ann").exists()
    moved.rename(clean.home("ann"))
    assert lda.send(address(clean, "ann"))[0][:3] == "250"


def test_race(clean: LocalUsers, lda: LDA) -> None:
    """A user who swaps a folder for a link while mail comes gets nothing out of the home."""
    elsewhere = clean.folder / "elsewhere"
    elsewhere.mkdir(mode=0o777, exist_ok=True)
    elsewhere.chmod(0o777)
    swap = (
        f"cd {clean.home('ann')}; mkdir -p -m 700 Maildir real; end=$(($(date +%s) + 3));"
        f" while [ $(date +%s) -lt $end ]; do mv Maildir real/m; ln -s {elsewhere} Maildir;"
        " rm Maildir; mv real/m Maildir; done"
    )
    swapper = subprocess.Popen(["/bin/sh", "-c", swap], user=clean.names["ann"], group=clean.names["ann"], umask=0o077)
    said = set()
    while swapper.poll() is None:
        said.add(lda.send(address(clean, "ann"))[0][:3])
    assert said <= {"250", "451"}
    assert list(elsewhere.iterdir()) == []
    shutil.rmtree(elsewhere)


# Addresses and users


def test_names(clean: LocalUsers, lda: LDA) -> None:
    """Names that lead elsewhere name nobody."""
    ann = clean.names["ann"]
    for local in (
        "..",
        "../ann",
        f"../{ann}",
        f"{ann}/../root",
        "-d",
        "/etc/passwd",
        f"|{ann}",
        f"{ann};id",
        ":include:x",
    ):
        assert lda.send(f'"{local}"@y.test')[0][:3] == "550", local
    assert lda.send(f'"{ann}+../../etc"@y.test')[0][:3] == "250"
    assert [path.name for path in clean.home("ann").iterdir()] == ["Maildir"]


def test_system(clean: LocalUsers, lda: LDA) -> None:
    """Neither root nor who is root by another name, nor users of the system."""
    for name in ("root", clean.names["roo"], "daemon", "mail", clean.names["sys"]):
        assert lda.send(f"{name}@y.test")[0][:9] == "550 5.1.1", name
    assert list(clean.home("roo").iterdir()) == []
    assert not Path("/root/Maildir").exists()


def test_directoryDown(clean: LocalUsers, tmp_path: Path) -> None:
    """A directory of users that can't tell, or hangs, never means that there is no such user."""
    with running(LDA(tmp_path / "m", 'look-up-time = "1s"\n', brokenDirectory(tmp_path))) as lda:
        said = lda.send("ann@y.test", "slow@y.test", "bob@y.test")
        assert [reply[:9] for reply in said] == ["451 4.3.0"] * 3
        assert "Connection refused" in lda.mail.logged("where=lda")


NSS = """
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
enum nss_status _nss_away_getpwnam_r(const char *n, struct passwd *p, char *b, size_t s, int *e) {
  if (strncmp(n, "none", 4) == 0) { *e = ENOENT; return NSS_STATUS_NOTFOUND; }
  *e = strcmp(n, "again") == 0 ? EAGAIN : ECONNREFUSED;
  return *e == EAGAIN ? NSS_STATUS_TRYAGAIN : NSS_STATUS_UNAVAIL;
}
"""


def test_directoryModule(tmp_path: Path) -> None:
    """With a real module of the C library behind /etc/passwd, which says yes, no, that its server is away, or that it
    is busy: each comes out as what it is, and whoever is in /etc/passwd is there all the same."""
    (tmp_path / "away.c").write_text(NSS)
    library = tmp_path / "libnss_away.so.2"
    subprocess.run([need("gcc"), "-shared", "-fPIC", "-o", library, tmp_path / "away.c"], check=True, timeout=60)
    names = tmp_path / "nsswitch.conf"
    names.write_text("passwd: files away\ngroup: files\n")
    alone = [need("unshare"), "-m", "sh", "-c", f'mount --bind {names} /etc/nsswitch.conf && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True, timeout=60).returncode:
        missing("no file may be mounted over another one here")
    show = (
        "import sys; from umbcmail.lda.users import DontKnow, find\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, getattr(find(name), 'uid', None))\n"
        "    except DontKnow as why: print(name, why)\n"
    )
    argv = [*alone, sys.executable, "-c", show, "root", "none-such", "ann", "again"]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    )
    assert done.stdout.splitlines() == [
        "root 0",
        "none-such None",
        "ann the directory of users: Connection refused",
        "again the directory of users: Resource temporarily unavailable",
    ], done.stderr


# Programs


@pytest.fixture()
def programs(clean: LocalUsers) -> Path:
    """A folder with one program."""
    folder = clean.folder / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "vacation").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >$HOME/ran; cat >>$HOME/ran\n')
    (folder / "vacation").chmod(0o755)
    return folder


def xtext(line: str) -> str:
    """As a parameter."""
    return "".join(char if char.isalnum() else f"+{ord(char):02X}" for char in line)


def run(lda: LDA, users: LocalUsers, line: str) -> str:
    """The reply for a program in place of the mailbox."""
    return lda.send(f"{address(users, 'ann')}> XPROGRAM={xtext(line)}")[0][:9]


def test_program(clean: LocalUsers, lda: LDA, programs: Path) -> None:
    """One of the folder runs as the user, whatever folder is written before it."""
    assert run(lda, clean, "/usr/bin/vacation -a x ann") == "250 2.1.5"
    ran = clean.home("ann") / "ran"
    assert ran.read_text().startswith("-a\nx\nann\nFrom s@x.test ")
    assert ran.stat().st_uid == clean.user("ann").pw_uid


@pytest.mark.parametrize(
    "line",
    [
        "/bin/sh",
        "sh -c id",
        "vacation; id",
        "vacation `id`",
        "vacation $(id)",
        "vacation >x",
        "vacation | sh",
        "a&b",
        "../sh",
    ]
    + [
        "vacation\nid",
        "vacation 'a'",
        '"vacation"',
        "vacation ~root",
        "vacation *",
        "vacation $HOME",
        "./../../bin/sh",
    ],
)
def test_programRefused(clean: LocalUsers, lda: LDA, programs: Path, line: str) -> None:
    """No shell, nothing for a shell, no other program."""
    assert run(lda, clean, line) == "550 5.7.1"
    assert list(clean.home("ann").iterdir()) == []


def test_programFolder(clean: LocalUsers, lda: LDA, programs: Path) -> None:
    """A folder that others can write to has no programs."""
    programs.chmod(0o775)
    assert run(lda, clean, "vacation") == "550 5.7.1"
    programs.chmod(0o755)
    assert run(lda, clean, "vacation") == "250 2.1.5"


# Processes


def processes(lda: LDA) -> tuple[int, list[int]]:
    """The program that makes processes, and those that it has made."""
    [forker] = [pid for pid, _ in childrenOf(lda.running.process.pid)]
    return forker, [pid for pid, _ in childrenOf(forker)]


def test_dropped(clean: LocalUsers, lda: LDA) -> None:
    """A process that is kept is its user's for good: no uid, group or capability of root, and no way to
    look into it."""
    lda.send(address(clean, "ann"))
    _, [child] = processes(lda)
    user, status = clean.user("ann"), Path(f"/proc/{child}/status").read_text()
    for field in ("Uid", "Gid"):
        [ids] = re.findall(rf"^{field}:\t(.*)$", status, re.M)
        assert set(ids.split()) == {str(user.pw_uid if field == "Uid" else user.pw_gid)}
    assert re.findall(r"^Groups:\t(.*?) *$", status, re.M) == [str(user.pw_gid)]
    assert set(re.findall(r"^Cap(?:Inh|Prm|Eff|Amb):\t(\w+)$", status, re.M)) == {"0" * 16}
    peek = subprocess.run(["cat", f"/proc/{child}/environ"], capture_output=True, user=user.pw_name, group=user.pw_name)
    assert peek.returncode != 0
    files = {os.readlink(path) for path in Path(f"/proc/{child}/fd").iterdir()}
    assert {path for path in files if not path.startswith("socket:")} == {"/dev/null"}
    assert len(files) == 2


def test_killed(clean: LocalUsers, lda: LDA) -> None:
    """A user who kills its process only delays its own mail."""
    lda.send(address(clean, "ann"))
    _, [child] = processes(lda)
    subprocess.run(["kill", "-9", str(child)], user=clean.names["ann"], group=clean.names["ann"], check=True)
    until(lambda: not processes(lda)[1], "it is gone")
    assert lda.send(address(clean, "ann"))[0][:3] == "250"


def test_stopped(clean: LocalUsers, tmp_path: Path) -> None:
    """One who stops it is given up, and the process ended, when the time is over."""
    with running(LDA(tmp_path, 'limit-time = "1s"\n')) as lda:
        lda.send(address(clean, "ann"))
        _, [child] = processes(lda)
        subprocess.run(["kill", "-STOP", str(child)], user=clean.names["ann"], group=clean.names["ann"], check=True)
        assert lda.send(address(clean, "ann"))[0][:9] == "451 4.3.0"
        until(lambda: child not in processes(lda)[1], "it is gone")
        assert lda.send(address(clean, "ann"))[0][:3] == "250"


def test_forkerKilled(clean: LocalUsers, lda: LDA) -> None:
    """The program that makes processes is started again."""
    forker, _ = processes(lda)
    os.kill(forker, signal.SIGKILL)
    lda.mail.logged("has ended")
    until(lambda: lda.send(address(clean, "ann"))[0][:3] == "250", "delivered")
    assert processes(lda)[0] != forker


def gone(*pids: int) -> bool:
    """Processes have ended."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended(clean: LocalUsers, tmp_path: Path, how: signal.Signals) -> None:
    """Idle processes end after a while; all do when the agent ends, however it does, and it can begin again."""
    lda = LDA(tmp_path, 'process-idle = "2s"\n').start()
    lda.send(address(clean, "ann"))
    until(lambda: not processes(lda)[1], "the idle one ends")
    lda.send(address(clean, "ann"))
    forker, [child] = processes(lda)
    lda.running.stop(how)
    until(lambda: gone(forker, child), "all have ended")
    assert lda.socket.exists() == (how == signal.SIGKILL)
    with running(lda):
        assert lda.send(address(clean, "ann"))[0][:3] == "250"


def test_many(clean: LocalUsers, tmp_path: Path) -> None:
    """With fewer places than users all are served, one after the other."""
    with running(LDA(tmp_path, "processes = 1\n")) as lda:
        said = lda.send(*[address(clean, label) for label in ("ann", "bob") * 5])
        assert [reply[:3] for reply in said] == ["250"] * 10
        assert len(processes(lda)[1]) <= 1
    assert (len(clean.new("ann")), len(clean.new("bob"))) == (5, 5)


# Who may connect


def test_peers(clean: LocalUsers, tmp_path: Path) -> None:
    """The socket is for its group, and for processes of listed users only."""
    with running(LDA(tmp_path, f'users = ["{clean.names["bob"]}"]\n')) as lda:
        assert stat.S_IMODE(lda.socket.stat().st_mode) == 0o660
        lda.socket.chmod(0o666)
        for path in (tmp_path, *tmp_path.parents):
            if not path.stat().st_mode & 0o001:
                path.chmod(0o755)
        lda.socket.parent.chmod(0o755)
        talk = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            " print(s.recv(99).decode(), end='')"
        )
        for label, greeting in (("bob", "220 mx.y.test LMTP"), ("ann", "421 4.7.1 Access denied")):
            name = clean.names[label]
            argv = ["/usr/bin/env", "python3", "-c", talk, str(lda.socket)]
            argv = [shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable, *argv[2:]]
            done = subprocess.run(argv, capture_output=True, text=True, user=name, group=name, cwd="/", timeout=30)
            assert done.stdout.strip() == greeting, done.stderr
        assert "not in lda.users" in lda.mail.logged("local-refused")


def test_socketTaken(clean: LocalUsers, lda: LDA) -> None:
    """A second agent does not take the socket from the first, and no file of another kind is removed."""
    done = lda.mail.attempt("--role", "lda")
    assert done.returncode != 0
    assert "somebody listens there" in done.stdout + done.stderr
    assert lda.send(address(clean, "ann"))[0][:3] == "250"
    other = lda.mail.folder / "file"
    other.write_text("precious")
    done = lda.mail.attempt("--role", "lda", "--set", f"lda.listen={other}")
    assert "no socket" in done.stdout + done.stderr
    assert other.read_text() == "precious"


# What it is


def test_noNetwork(clean: LocalUsers, lda: LDA) -> None:
    """None of its processes has a socket of the network."""
    lda.send(address(clean, "ann"))
    forker, children = processes(lda)
    for pid in (lda.running.process.pid, forker, *children):
        links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        assert inodes
        families = {socket.AF_UNIX: Path(f"/proc/{pid}/net/unix").read_text()}
        local = {line.split()[6] for line in families[socket.AF_UNIX].splitlines()[1:]}
        assert inodes <= local


def test_modules(clean: LocalUsers, tmp_path: Path) -> None:
    """The process that runs as root loads what it needs, and nothing else of ours."""
    with running(LDA(tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"})) as lda:
        assert lda.send(address(clean, "ann"), "nobody-here@y.test", "root@y.test")[0][:3] == "250"
        loaded = set(re.findall(r"\| +(umbcmail[\w.]*)$", lda.running.output(), re.M))
    # The plugins' cache is made anew by who comes first, which loads umbcmail.parts.
    assert loaded - {"umbcmail.parts"} == MODULES
    show = "import sys, umbcmail.lda.forker as f; print(*(m for m in sys.modules if m.split('.')[0] in sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", show, "umbcmail", "twisted", "zope"], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == FORKER_MODULES


def test_withOthers(tmp_path: Path) -> None:
    """It does not share a process with other roles, and is not among those that run by default."""
    from tests.system.localusers import CONFIG
    from tests.system.mailsystem import Umbcmail

    mail = Umbcmail(tmp_path, base=CONFIG)
    done = mail.attempt("--role", "lda", "--role", "queue")
    assert done.returncode != 0
    assert "a process of its own" in done.stdout + done.stderr
    done = mail.attempt("--role", "lda", "--set", "lda.users=['no-such-user']", "--set", "lda.group=no-such-group")
    assert done.returncode == 78
    assert "lda.users" in done.stderr
    assert "lda.group" in done.stderr
    done = mail.attempt("--role", "lda", "--check")
    assert done.returncode == 0
    assert re.findall(r"^\[(.*)\]$", done.stdout, re.M) == ["host", "log", "lda", "postman"]
