"""AUTH in real sessions under TLS, with real directories behind it."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.directories import DIRECTORIES, PASSWORD, Directory, PAMDirectory, childrenOf
from tests.system.mailsystem import MAILDIRS, Umbcmail, running
from tests.system.programs import HOST, need, until

TIMEOUT = 3.0
_CONFIG = """
[auth]
checkers = ["{checker}"]
timeout = "{timeout}s"
delay = "0.1s"
login-failures = 1000
network-failures = 1000
[tls]
certificate = "{pem[0]}"
key = "{pem[1]}"
[agent.delivery.port.submission]
endpoint = "tcp:0:interface=127.0.0.1"
tls = "require"
auth = "require"
"""


@dataclass
class Meeting:
    """umbcmail and a directory."""

    mail: Umbcmail
    directory: Directory

    @contextlib.contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A session under TLS."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = smtplib.SMTP(HOST, self.mail.ports["submission"], "c.test", timeout=30)
        with contextlib.closing(client):
            client.starttls(context=context)
            client.ehlo()
            yield client

    def login(self, login: str, password: str = PASSWORD, mechanism: str = "PLAIN") -> int:
        """The code of the last reply to AUTH."""
        with self.client() as client:
            if mechanism == "PLAIN":
                response = f"\0{login}\0{password}".encode()
                return client.docmd("AUTH", "PLAIN " + b64encode(response).decode())[0]
            code = client.docmd("AUTH", "LOGIN")[0]
            for word in (login, password):
                if code == 334:
                    code = client.docmd(b64encode(word.encode()).decode())[0]
            return code


@pytest.fixture(params=list(DIRECTORIES))
def meeting(request: pytest.FixtureRequest, tmp_path: Path, pem: tuple[Path, Path]) -> Iterator[Meeting]:
    """Both run while the test does."""
    yield from _meet(request.param, tmp_path, pem)


@pytest.fixture(params=[name for name in DIRECTORIES if name != "file"])
def other(request: pytest.FixtureRequest, tmp_path: Path, pem: tuple[Path, Path]) -> Iterator[Meeting]:
    """The same, where another program is asked."""
    yield from _meet(request.param, tmp_path, pem)


def _meet(kind: str, folder: Path, pem: tuple[Path, Path]) -> Iterator[Meeting]:
    (folder / "maildirs").mkdir()
    directory = DIRECTORIES[kind](folder)
    with contextlib.ExitStack() as stack:
        stack.callback(directory.stop)
        try:
            config = _CONFIG.format(checker=directory.checker, timeout=int(TIMEOUT), pem=pem)
            mail = Umbcmail(folder, config, base=MAILDIRS)
            with running(mail):
                yield Meeting(mail, directory)
                assert PASSWORD not in mail.log() + mail.running.output()
        except BaseException:
            sys.stderr.write(directory.output()[-3000:])
            raise


def test_logins(meeting: Meeting) -> None:
    """The right password lets in, and lets send; a wrong one, an unknown name and a
    locked account are told apart by nobody."""
    for mechanism in ("PLAIN", "LOGIN"):
        assert meeting.login("ann", mechanism=mechanism) == 235
        assert meeting.login("j\u00fcrgen", mechanism=mechanism) == 235
        assert meeting.login("ann", "wrong", mechanism) == 535
        assert meeting.login("nobody-here", PASSWORD, mechanism) == 535
        assert meeting.login("ann", PASSWORD + "x", mechanism) == 535
    assert meeting.login("locked") == (535 if meeting.directory.knowsLocked else 235)
    name = "ann@canonical.test" if "dovecot:" in meeting.directory.checker else "ann"
    assert f" login={name} " in meeting.mail.logged(" authenticated ") + " "
    with meeting.client() as client:
        client.user, client.password = "ann", PASSWORD
        assert client.mail("s@z.test")[0] == 530
        assert client.docmd("AUTH", "PLAIN " + b64encode(f"\0ann\0{PASSWORD}".encode()).decode())[0] == 235
        assert client.mail("s@z.test")[0] == 250
        assert client.rcpt("a@anywhere.test")[0] == 250


def test_injection(meeting: Meeting) -> None:
    """Names and passwords with separators of the protocols behind us let nobody in,
    and leave the next one alone."""
    for login, password in (
        ("ann\tresp=x", PASSWORD),
        ("ann\nAUTH\t9\tPLAIN\tservice=smtp\tresp=AGFubgBz", PASSWORD),
        ("ann\r", PASSWORD),
        ("ann\x01", PASSWORD),
        ("ann", PASSWORD + "\n"),
        ("ann", PASSWORD + "\tuser=ann"),
        ("ann", "x" * 6000),
        ("a" * 300, PASSWORD),
    ):
        assert meeting.login(login, password) == 535, (login, password)
    for login, password in (("ann\0x", PASSWORD), ("ann", PASSWORD + "\0"), ("ann", "\0")):
        assert meeting.login(login, password, "LOGIN") in (501, 535), (login, password)
        assert meeting.login(login, password) in (501, 535)
    assert meeting.login("ann") == 235


def test_swaks(meeting: Meeting) -> None:
    """Another client gets in, and out."""
    server = f"{HOST}:{meeting.mail.ports['submission']}"
    argv = [need("swaks"), "--server", server, "--tls", "--auth", "PLAIN", "--auth-user", "ann"]
    argv += ["--from", "s@z.test", "--to", "a@y.test", "--data", "Subject: x\n\ntext"]
    done = subprocess.run([*argv, "--auth-password", PASSWORD], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"with ESMTPSA id" in meeting.mail.arrived("a")
    done = subprocess.run([*argv, "--auth-password", "wrong"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 28 and "535 5.7.8" in done.stdout, done.stdout


def test_hung(other: Meeting) -> None:
    """It hangs: 454 when the time is over, and meanwhile nobody else waits.  When it
    goes on, logins go on."""
    assert other.login("ann") == 235
    other.directory.freeze(other.mail)
    began = time.monotonic()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(other.login("ann"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    quick = time.monotonic()
    with other.client() as client:
        assert client.noop()[0] == 250
    assert time.monotonic() - quick < 1.5, "the reactor is free"
    for thread in threads:
        thread.join()
    assert found == [454] * 8
    assert TIMEOUT - 0.5 < time.monotonic() - began < 3 * TIMEOUT
    other.directory.thaw(other.mail)
    until(lambda: other.login("ann") == 235, "logins work again", 30)
    assert other.login("ann", "wrong") == 535


def test_killed(other: Meeting) -> None:
    """It dies while it is asked: 454.  Nobody gets a 535 until it is back."""
    assert other.login("ann") == 235
    other.directory.freeze(other.mail)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(other.login("ann")))
    thread.start()
    time.sleep(1)
    other.directory.kill(other.mail)
    thread.join()
    assert found == [454]
    assert other.login("ann", "wrong") in (454, 535)
    other.directory.again(other.mail)

    def works() -> bool:
        code = other.login("ann")
        assert code in (235, 454)
        return code == 235

    until(works, "logins work again", 30)
    assert other.login("ann", "wrong") == 535


@pytest.mark.parametrize("checker", ["dovecot:/no/such/socket", "saslauthd:/no/such/socket"])
def test_away(checker: str, tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """Nobody is there at all: 454, and quickly, again and again."""
    config = _CONFIG.format(checker=checker, timeout=int(TIMEOUT), pem=pem)
    mail = Umbcmail(tmp_path, config, base=MAILDIRS)
    with running(mail):
        meeting = Meeting(mail, Directory())
        for _ in range(3):
            began = time.monotonic()
            assert meeting.login("ann") == 454
            assert time.monotonic() - began < TIMEOUT
        assert "/no/such/socket" in mail.log()


def test_pamBroken(tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """A module of PAM that fails is no answer: 454.  No process stays when the program
    ends."""
    found = _meet("pam", tmp_path, pem)
    meeting = next(found)
    directory = meeting.directory
    assert isinstance(directory, PAMDirectory)
    try:
        (directory.folder / "broken").touch()
        assert meeting.login("ann") == meeting.login("ann", "wrong") == 454
        (directory.folder / "broken").unlink()
        assert meeting.login("ann") == 235
        children = [pid for pid, line in childrenOf(meeting.mail.running.process.pid) if "pamchild" in line]
        assert children
    finally:
        next(found, None)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the processes have ended")


def test_option(tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """C{--auth} takes them too; what can't be is told before the program starts."""
    mail = Umbcmail(tmp_path, _CONFIG.format(checker="saslauthd:/x", timeout=3, pem=pem), base=MAILDIRS)
    assert mail.attempt("--check", "--auth", "dovecot:/run/x", "--auth", "pam:smtp").returncode == 0
    for wrong in ("dovecot:auth", "saslauthd:/x:nothing", "pam:../x", "nothing:x"):
        assert mail.attempt("--check", "--auth", wrong).returncode != 0
    said = mail.attempt("--help-auth").stdout
    for kind in DIRECTORIES:
        assert f"--auth {kind}:" in said
