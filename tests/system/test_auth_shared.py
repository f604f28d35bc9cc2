"""Two processes of one configuration, with AUTH: guesses at one stop at the other."""

from __future__ import annotations

import contextlib
import re
import signal
import smtplib
import sqlite3
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import MAILDIRS, Umbcmail, running
from tests.system.programs import HOST, until
from tests.system.redisservers import Server

FAR = "127.0.1.1"
"""In another network than L{HOST}."""
PASSWORD = "open sesame"
_CONFIG = """
[auth]
checkers = ["file:{folder}/users"]
delay = "0.1s"
login-failures = 5
[tls]
certificate = "{pem[0]}"
key = "{pem[1]}"
[agent.delivery.port.submission]
endpoint = "tcp:0:interface=127.0.0.1"
"""


def login(port: int, login: str, password: str = PASSWORD, source: str = HOST) -> int:
    """The code that a log-in is answered with."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.closing(smtplib.SMTP(HOST, port, "c.test", 30, (source, 0))) as client:
        client.starttls(context=context)
        client.ehlo()
        client.user, client.password = login, password
        try:
            code = client.auth("PLAIN", client.auth_plain)[0]
        except smtplib.SMTPAuthenticationError as refused:
            code = refused.smtp_code
    return code


def ports(mail: Umbcmail) -> list[int]:
    """Where its processes listen, in the order of their start."""
    return [int(port) for port in re.findall(r" listening .*\.submission address=\S+:(\d+)", mail.log())]


def system(folder: Path, pem: tuple[Path, Path], base: str = MAILDIRS) -> Umbcmail:
    """umbcmail with some users."""
    (folder / "maildirs").mkdir(parents=True)
    (folder / "users").write_text("".join(f"{name}:{{PLAIN}}{PASSWORD}\n" for name in ("ann", "bob", "cid")))
    config = _CONFIG.replace("{pem[0]}", str(pem[0])).replace("{pem[1]}", str(pem[1]))
    return Umbcmail(folder, config, base=base)


@pytest.fixture()
def mail(tmp_path: Path, pem: tuple[Path, Path]) -> Iterator[Umbcmail]:
    """One that runs."""
    with running(system(tmp_path, pem)) as mail:
        yield mail


def test_guesses(mail: Umbcmail) -> None:
    """Failures are counted in one place; what that stops is stopped at both, also after a
    crash, and nobody else is."""
    second = mail.another()
    try:
        one, other = ports(mail)
        assert [login(port, "ann") for port in (one, other)] == [235, 235]
        assert [login(port, "ann", "guess") for port in (one, other, one, other, one)] == [535] * 5
        assert [login(port, "ann") for port in (other, one)] == [454, 454]
        assert [login(port, "ann", source=FAR) for port in (one, other)] == [235, 235]
        assert [login(port, "bob") for port in (one, other)] == [235, 235]
        second.stop(signal.SIGKILL)
        second = mail.another()
        again = ports(mail)[-1]
        assert [login(port, "ann") for port in (again, one)] == [454, 454]
    finally:
        second.stop()


def test_forgiven(mail: Umbcmail) -> None:
    """Who logs in begins anew, wherever the failures were."""
    second = mail.another()
    try:
        one, other = ports(mail)
        for port in (one, other, one):
            assert [login(port, "cid", "guess") for _ in range(4)] == [535] * 4
            assert login(other if port == one else one, "cid") == 235
    finally:
        second.stop()


def test_slowState(mail: Umbcmail) -> None:
    """While the state can't be written nobody waits for it for long, and each process
    counts for itself; it knows that afterwards too."""
    second = mail.another()
    [file] = (mail.folder / "state").glob("state-*.db")
    locks = sqlite3.connect(file, isolation_level=None)
    try:
        one, other = ports(mail)
        locks.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert [login(one, "bob") for _ in range(3)] == [235] * 3
        assert [login(one, "ann", "guess") for _ in range(6)] == [535] * 5 + [454]
        assert time.monotonic() - began < 20, "ten log-ins that do not wait for the state"
        locks.execute("ROLLBACK")
        until(lambda: login(other, "bob", "guess") == 454, "guesses stop at the other")
        until(lambda: login(one, "bob") == 454, "and here")
        assert login(one, "ann") == 454
    finally:
        locks.close()
        second.stop()


@pytest.mark.parametrize("fault", ["hangs", "dies"])
def test_hosts(tmp_path: Path, pem: tuple[Path, Path], fault: str) -> None:
    """Two hosts share their guesses in Redis.  While it is away each counts for itself, and
    log-ins do not wait; when it is back the other hears of it."""
    with contextlib.ExitStack() as stack:
        redis = Server(tmp_path / "redis")
        stack.callback(redis.stop)
        base = MAILDIRS.replace("sqlite:{folder}/state", f"redis://{HOST}:{redis.port}/0")
        hosts = [stack.enter_context(running(system(tmp_path / name, pem, base))) for name in ("one", "two")]
        one, other = (ports(host)[0] for host in hosts)
        assert [login(port, "ann", "guess") for port in (one, other, one, other, one)] == [535] * 5
        assert [login(port, "ann") for port in (one, other)] == [454, 454]
        redis.kill() if fault == "dies" else redis.signal(signal.SIGSTOP)
        began = time.monotonic()
        assert [login(one, "bob", "guess") for _ in range(6)] == [535] * 5 + [454]
        assert [login(one, "bob"), login(other, "cid"), login(one, "bob", source=FAR)] == [454, 235, 235]
        assert time.monotonic() - began < 20, "nine log-ins that do not wait for the state"
        redis.start() if fault == "dies" else redis.signal(signal.SIGCONT)
        if fault == "dies":
            for host in hosts:  # each connects when it is its time
                host.logged('why="is there" away=')
        until(lambda: "bob" in redis.ask("KEYS", "*auth.login*"), "what was counted is shared")
        assert [login(port, "bob") for port in (one, other)] == [454, 454]
