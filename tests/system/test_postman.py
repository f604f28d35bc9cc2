"""The role `postman` against MIT's KDC, and the local delivery agent that needs its ticket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.kdc import REALM, Realm
from tests.system.localusers import LDA, LocalUsers
from tests.system.localusers import running as agentRunning
from tests.system.mailsystem import Umbcmail
from tests.system.programs import Program, need, until
from umbcmail import credentials

PRINCIPAL = "postman/mx1"
NICE = str(os.nice(0) + 7)

CONFIG = """
[host]
name = "mx1.y.test"
[log]
file = "{folder}/mail.log"
[postman]
keytab = "{folder}/postman.keytab"
cache = "{folder}/run/postman.cache"
retry = "0.5s"
longest-retry = "1s"
timeout = "5s"
"""


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm in which the postman has a principal."""
    realm = Realm(tmp_path_factory.mktemp("realm"))
    try:
        realm.add(PRINCIPAL)
        yield realm
    finally:
        realm.stop()


class Postman:
    """The role in a folder.

    @ivar folder: its files.
    @ivar mail: its configuration and log.
    """

    def __init__(self, folder: Path, realm: Realm, config: str = "", base: str = CONFIG) -> None:
        self.folder, self.realm = folder, realm
        (folder / "run").mkdir(mode=0o755, parents=True)
        self.mail = Umbcmail(folder, base=base)
        with self.mail.config.open("a") as file:
            file.write(config.replace("{folder}", str(folder)))
        self.keytab = folder / "postman.keytab"
        self.cache = folder / "run" / "postman.cache"
        self.program: Program | None = None

    def key(self) -> None:
        """Put a new key into the keytab, as an operator does: the file is replaced."""
        new = self.realm.keytab(self.folder / "new.keytab", PRINCIPAL)
        new.replace(self.keytab)

    def start(self) -> None:
        """Start the role."""
        with self.realm.joined():
            self.program = self.mail.another("--role", "postman")

    def stop(self) -> None:
        """End it."""
        if self.program is not None and not self.program.ended:
            assert self.program.stop() == 0

    def status(self, status: int = 0) -> dict[str, object]:
        """C{umbcmail postman status}."""
        found: dict[str, object] = json.loads(self.mail.tool("postman", "status", "--json", status=status))
        return found

    def events(self, name: str) -> int:
        """How many there were."""
        return len(self.mail.events(name))

    def ticket(self, number: int = 1) -> None:
        """Wait for a ticket after there was none, or a try has failed."""
        until(lambda: self.events("ticket") == number, f"ticket {number}", 40)

    def logged(self, *words: str) -> str:
        """Wait for a line with all of some words."""

        def find() -> str:
            return next((line for line in self.mail.log().splitlines() if all(w in line for w in words)), "")

        return str(until(find, f"{words} in the log", 30))


@contextlib.contextmanager
def running(postman: Postman) -> Iterator[Postman]:
    """It runs, and its log is shown when the test fails."""
    try:
        postman.start()
        yield postman
        assert not postman.mail.events("bug")
    except BaseException:
        print(postman.mail.log()[-6000:])
        raise
    finally:
        postman.stop()


def test_ticket(realm: Realm, tmp_path: Path) -> None:
    """A ticket is had, in a file that nobody else can read, and klist knows it."""
    postman = Postman(tmp_path, realm)
    postman.key()
    with running(postman):
        postman.ticket()
        [line] = postman.mail.events("ticket")
        assert f"principal={PRINCIPAL}@{REALM}" in line
        assert stat.S_IMODE(postman.cache.stat().st_mode) == 0o600
        said = realm._run(need("klist"), tickets=postman.cache)
        assert f"Default principal: {PRINCIPAL}@{REALM}" in said
        status = postman.status()
        assert (status["valid"], status["failure"], status["renewals"]) == (True, "", 1)
        assert "ends in" in postman.mail.tool("postman", "status")
        # One that somebody removes is got again.
        postman.cache.unlink()
        postman.ticket(2)
        assert postman.status()["valid"] is True
    # The ticket outlives the process.
    assert postman.cache.exists()
    assert postman.status()["valid"] is True
    postman.cache.unlink()
    assert postman.status(status=1)["valid"] is False


def test_noKey(realm: Realm, tmp_path: Path) -> None:
    """Without a keytab the log says what to do, and no restart is needed when it is done."""
    postman = Postman(tmp_path, realm)
    with running(postman):
        line = postman.logged("trouble", "where=postman")
        for words in (f"no keytab {postman.keytab}", PRINCIPAL, "addprinc -randkey", f"ktadd -k {postman.keytab}"):
            assert words in line
        assert postman.status(status=1)["valid"] is False
        postman.key()
        postman.ticket()
        until(lambda: postman.status()["valid"], "the ticket")


def test_wrongKeys(realm: Realm, tmp_path: Path) -> None:
    """Each mistake with the key has its own remedy in the log."""
    postman = Postman(tmp_path, realm)
    realm.add("other/mx1")
    realm.keytab(tmp_path / "other.keytab", "other/mx1").replace(postman.keytab)
    with running(postman):
        postman.logged("trouble", f"ktadd -k {postman.keytab} {PRINCIPAL}")
        postman.key()
        postman.ticket()
        # A new key in the KDC that has not found its way into the keytab.
        realm.admin(f"cpw -randkey {PRINCIPAL}")
        os.utime(postman.keytab)
        postman.logged("trouble", "is not that of the KDC", "the ticket that is there is good for")
        assert postman.status(status=1)["valid"] is True
        postman.key()
        postman.ticket(2)
        assert postman.status()["failure"] == ""


def test_rotated(realm: Realm, tmp_path: Path) -> None:
    """A keytab with a new key is used at once; the ticket is that of the new key."""
    postman = Postman(tmp_path, realm)
    postman.key()
    with running(postman):
        postman.ticket()
        before = postman.cache.read_bytes()
        postman.key()
        until(lambda: postman.events("ticket-renewed"), "another ticket")
        assert postman.cache.read_bytes() != before
        assert not postman.mail.events("trouble")


def test_renewal(realm: Realm, tmp_path: Path) -> None:
    """There is always a ticket, however short its life."""
    postman = Postman(tmp_path, realm, 'lifetime = "9s"\n')
    postman.key()
    with running(postman):
        postman.ticket()
        end = time.monotonic() + 60
        while postman.events("ticket-renewed") < 2 and time.monotonic() < end:
            known = credentials.read(str(postman.cache))
            assert known is not None
            assert known.trouble(time.time()) == ""
            time.sleep(0.05)
        assert postman.events("ticket-renewed") >= 2
        assert not postman.mail.events("trouble")


def test_noKdc(tmp_path: Path) -> None:
    """Without a KDC the ticket lives to its end, the log is loud, and all is well when the KDC is back."""
    realm = Realm(tmp_path / "realm")
    with contextlib.ExitStack() as stack:
        stack.callback(realm.stop)
        realm.add(PRINCIPAL)
        postman = Postman(tmp_path / "postman", realm, 'lifetime = "6s"\n')
        postman.key()
        stack.enter_context(running(postman))
        postman.ticket()
        realm.running.process.send_signal(signal.SIGKILL)
        realm.running.process.wait()
        assert "see whether the KDC runs" in postman.logged("trouble", "KDC", "the ticket that is there is good for")
        postman.logged("trouble", "there is none: local mail waits")
        assert ", ended " in postman.mail.tool("postman", "status", status=1)
        realm.start()
        postman.ticket(2)
        assert postman.status()["valid"] is True
        # One that takes what is sent and says nothing.
        realm.freeze()
        postman.logged("trouble", "kinit has not ended within 5 s")
        realm.thaw()
        postman.ticket(3)


def test_alone(tmp_path: Path, realm: Realm) -> None:
    """It shares its process with no other role, and every mistake is told."""
    mail = Postman(tmp_path, realm).mail
    done = mail.attempt("--role", "postman", "--role", "queue")
    assert done.returncode != 0
    assert "a process of its own" in done.stdout + done.stderr
    done = mail.attempt("--role", "postman", "--set", "postman.group=no-such-group")
    assert (done.returncode, "postman.group" in done.stderr) == (78, True)


# With the local delivery agent


@pytest.fixture(scope="module")
def users() -> Iterator[LocalUsers]:
    """One user."""
    with contextlib.closing(LocalUsers()) as users:
        users.add("ann")
        yield users


def agent(postman: Postman, users: LocalUsers, config: str = "") -> LDA:
    """The agent that needs the ticket; the command for tokens is a script that records."""
    script = postman.folder / "aklog"
    script.write_text(
        f'#!/bin/sh\necho "$(nice) $KRB5CCNAME $(id -u) $*" >>{postman.folder}/tokens\n'
        f'[ ! -e {postman.folder}/no-tokens ] || {{ echo "no cell" >&2; exit 3; }}\n'
    )
    script.chmod(0o755)
    postman.folder.chmod(0o755)
    pag = postman.folder / "pagsh"
    pag.write_text('#!/bin/sh\nexec nice -n 7 "$@"\n')  # what is inherited as a PAG is, and can be seen
    pag.chmod(0o755)
    folder = postman.folder / "agent"
    folder.mkdir()
    own = f"""needs-postman = true
{config}
[postman]
cache = "{postman.cache}"
token-command = ["{script}", "-noprdb"]
pag-command = ["{pag}"]
"""
    return LDA(folder, own)


def tokens(postman: Postman) -> list[list[str]]:
    """What the command for tokens was run with."""
    path = postman.folder / "tokens"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_agentWaits(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """The agent does not listen before there is a ticket; the rest of the mail system runs, and mail waits."""
    users.clean("ann")
    postman = Postman(tmp_path, realm)
    with running(postman), agentRunning(agent(postman, users)) as lda:
        assert "no keytab" in lda.mail.logged("no local deliveries")
        lda.mail.start()
        to = f"{users.names['ann']}@y.test"
        with smtplib.SMTP("127.0.0.1", lda.mail.port, "c.test", timeout=60) as client:
            client.sendmail("s@x.test", [to], "Subject: x\n\nHello\n")
        assert not lda.socket.exists()
        assert users.new("ann") == []
        postman.key()
        until(lambda: users.new("ann"), "the message", 30)
        [found] = tokens(postman)
        assert found == [NICE, f"FILE:{postman.cache}", str(os.geteuid()), "-noprdb"]


def test_runsOut(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """When the ticket has ended recipients hear 451, and nothing fails; with a new one all goes on."""
    users.clean("ann")
    postman = Postman(tmp_path, realm, 'lifetime = "9s"\n')
    postman.key()
    to = f"{users.names['ann']}@y.test"
    with running(postman), agentRunning(agent(postman, users)) as lda:
        until(lda.socket.exists, "the agent answers")
        assert lda.send(to)[0][:3] == "250"
        postman.keytab.rename(tmp_path / "away")
        lda.mail.logged("no local deliveries")
        assert lda.send(to)[0].startswith("451 4.3.0")
        watch = json.loads(xstatus(lda))
        assert "local mail waits" in watch["condition"]
        assert f"ktadd -k {postman.keytab}" in watch["condition"]
        postman.key()
        until(lambda: lda.send(to)[0][:3] == "250", "it goes on", 30)
        assert len(users.new("ann")) == 2
        assert len(tokens(postman)) >= 2


def test_tokens(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """Without tokens nothing is delivered, and the log says why; they are had again for each
    ticket, and when the process that has them was lost."""
    users.clean("ann")
    postman = Postman(tmp_path, realm)
    postman.key()
    (tmp_path / "no-tokens").touch()
    to = f"{users.names['ann']}@y.test"
    command = f"deliver = 'command'\ncommand = ['{users.folder}/mda']\n"
    (users.folder / "mda").write_text('#!/bin/sh\necho "$(nice) ${KRB5CCNAME-none}" >"$HOME/out"\n')
    (users.folder / "mda").chmod(0o755)
    with running(postman), agentRunning(agent(postman, users, command)) as lda:
        line = lda.mail.logged("no local deliveries: no tokens")
        assert "status 3 no cell" in line
        assert not lda.socket.exists()
        (tmp_path / "no-tokens").unlink()
        until(lda.socket.exists, "the agent answers", 30)
        number = len(tokens(postman))
        assert lda.send(to)[0][:3] == "250"
        # The command of a user has the tokens, and not the ticket.
        assert (users.home("ann") / "out").read_text() == f"{NICE} none\n"
        forker = forkerOf(lda)
        os.kill(forker, signal.SIGKILL)
        until(lambda: len(tokens(postman)) == number + 1, "tokens once more", 30)
        until(lambda: lda.send(to)[0][:3] == "250", "it goes on", 30)
        postman.key()
        until(lambda: len(tokens(postman)) == number + 2, "tokens of the new ticket", 30)


def test_strangersTicket(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """A ticket cache that somebody else has made is not used."""
    postman = Postman(tmp_path, realm)
    postman.key()
    with running(postman):
        postman.ticket()
    os.chown(postman.cache, users.user("ann").pw_uid, -1)
    with agentRunning(agent(postman, users)) as lda:
        assert "belongs to uid" in lda.mail.logged("no local deliveries")
        os.chown(postman.cache, 0, -1)
        postman.cache.chmod(0o644)
        lda.mail.logged(f"chmod 600 {postman.cache}")
        postman.cache.chmod(0o600)
        until(lda.socket.exists, "the agent answers")


def test_noAfs(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """Programs that are not there are told at once, with what to do."""
    postman = Postman(tmp_path, realm)
    lda = agent(postman, users)
    done = lda.mail.attempt("--role", "lda", "--set", "postman.token-command=['no-aklog']")
    assert done.returncode == 78
    assert "postman.token-command" in done.stderr
    assert "no AFS" in done.stderr


def test_watch(realm: Realm, users: LocalUsers, tmp_path: Path) -> None:
    """The status page tells of the ticket."""
    postman = Postman(tmp_path, realm)
    postman.key()
    lda = agent(postman, users)
    with lda.mail.config.open("a") as file:
        file.write(f'[watch]\nlisten = ["unix:{tmp_path}/watch"]\n')
    with running(postman), agentRunning(lda):
        until(lda.socket.exists, "the agent answers")
        lda.mail.start()
        status = json.loads(lda.mail.tool("status", "--json"))
        [part] = [part for part in status["parts"] if part["name"] == "postman"]
        assert part["condition"] == ""
        values = {figure["name"]: figure["value"] for figure in part["figures"] if not figure["labels"]}
        assert values["umbcmail_postman_ticket_seconds"] > 3600


def xstatus(lda: LDA) -> str:
    """What the agent tells of itself."""
    with contextlib.closing(lda.client()) as client:
        return client.ask("XSTATUS")[4:]


def forkerOf(lda: LDA) -> int:
    """The process that makes those of users."""
    pid = lda.running.process.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(found) == 1
    return int(found[0])
