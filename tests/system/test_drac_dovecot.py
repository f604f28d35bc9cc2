"""Logins to a real Dovecot feed DRAC, by the sample in C{etc/dovecot}."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.system.dracd import Dracd
from tests.system.logins import Logins
from tests.system.programs import HOST, freePort, until


@pytest.fixture(scope="module")
def dracd() -> Iterator[Dracd]:
    """Who is told.  To be had from another that has C{port} and C{added}."""
    with contextlib.closing(Dracd()) as server:
        yield server


@pytest.fixture(scope="module")
def dovecot(dracd: Dracd) -> Iterator[Logins]:
    """Dovecot, which tells it."""
    dovecot = Logins("")
    try:
        yield dovecot
    finally:
        sys.stderr.write(dovecot.output()[-3000:])
        dovecot.stop()


def settings(dracd: Dracd, more: str = "") -> str:
    """Tell the server; addresses of loopback are told, but for those of the load balancer."""
    return f'HOSTS="{HOST}:{dracd.port}" SKIP="127.0.1.*"\n{more}'


def told(dracd: Dracd, source: str, times: int = 1) -> None:
    """Wait until the server has been told of an address."""
    until(lambda: dracd.added.count(source) >= times, f"{source} is told")


def test_imap(dracd: Dracd, dovecot: Logins) -> None:
    """A login by IMAP."""
    dovecot.set(settings(dracd))
    client = dovecot.byIMAP("127.0.2.1")
    told(dracd, "127.0.2.1")
    assert client.select()[0] == "OK"
    client.logout()


def test_pop3(dracd: Dracd, dovecot: Logins) -> None:
    """A login by POP3."""
    dovecot.set(settings(dracd))
    client = dovecot.byPOP3("127.0.2.2")
    told(dracd, "127.0.2.2")
    assert client.stat() == (0, 0)
    client.quit()


def test_skipped(dracd: Dracd, dovecot: Logins) -> None:
    """Webmail and the like are not told."""
    dovecot.set(settings(dracd))
    dovecot.byIMAP("127.0.1.1").logout()
    dovecot.byIMAP("127.0.2.3").logout()
    told(dracd, "127.0.2.3")
    assert "127.0.1.1" not in dracd.added


def test_stamps(dracd: Dracd, dovecot: Logins) -> None:
    """With stamps an address is told once in a while only, and again when that failed."""
    stamps = dovecot.folder / "stamps"
    stamps.mkdir(mode=0o777)
    dead = f'HOSTS="{HOST}:{freePort()}" TIMEOUT=0.5 SKIP="" STAMPS="{stamps}" EVERY=5'
    dovecot.set(dead)
    dovecot.byIMAP("127.0.2.4").logout()
    time.sleep(1.5)
    assert not list(stamps.iterdir())
    dovecot.set(settings(dracd, f'STAMPS="{stamps}" EVERY=5'))
    dovecot.byIMAP("127.0.2.4").logout()
    until(lambda: (stamps / "127.0.2.4").exists(), "a stamp")
    dovecot.byIMAP("127.0.2.4").logout()
    dovecot.byIMAP("127.0.2.5").logout()
    told(dracd, "127.0.2.5")
    assert dracd.added.count("127.0.2.4") == 1


@pytest.mark.parametrize(
    "broken",
    [
        "HOSTS={silent} TIMEOUT=30",
        "HOSTS=nosuch..host",
        "UMBCMAIL=/nonexistent",
        "UMBCMAIL=/bin/false",
        "exit 1",
        "sleep 30",
        "if (",
        "TIMEOUT='x y' STAMPS=/nonexistent",
    ],
)
def test_neverInTheWay(dracd: Dracd, dovecot: Logins, broken: str) -> None:
    """Whatever is wrong with DRAC, users get in, and at once."""
    with contextlib.closing(Dracd()) as silent:
        silent.lost = 1000
        dovecot.set(settings(dracd, broken.format(silent=f"{HOST}:{silent.port}")))
        begin = time.monotonic()
        one, other = dovecot.byIMAP("127.0.2.6"), dovecot.byPOP3("127.0.2.6")
        assert one.noop()[0] == "OK"
        assert other.stat() == (0, 0)
        one.logout()
        other.quit()
        assert time.monotonic() - begin < 5
    assert "127.0.2.6" not in dracd.added


def test_noProcess(dovecot: Logins) -> None:
    """Not even when no process can be started any more."""

    def limit() -> None:
        # The limit comes last: to become a user who is over it already makes the exec fail.
        if os.geteuid() == 0:
            os.setgid(dovecot.user.pw_gid)
            os.setuid(dovecot.user.pw_uid)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    argv = [str(dovecot.scripts / "drac-login"), "/bin/echo", "goes on"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"IP": "127.0.2.9"}, preexec_fn=limit, cwd="/")
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr
    assert "fork" in done.stderr


def test_renew(dracd: Dracd, dovecot: Logins) -> None:
    """Who stays logged in is told again by drac-renew, who has left is not."""
    dovecot.set(settings(dracd))
    stays, skipped, left = (dovecot.byIMAP(source) for source in ("127.0.2.7", "127.0.1.7", "127.0.2.8"))
    told(dracd, "127.0.2.7")
    told(dracd, "127.0.2.8")
    left.logout()
    time.sleep(0.5)
    dovecot._settings = settings(dracd)
    done = dovecot.renew()
    assert (done.returncode, done.stderr) == (0, ""), done
    counts = [dracd.added.count(source) for source in ("127.0.2.7", "127.0.1.7", "127.0.2.8")]
    assert counts == [2, 0, 1]
    stays.logout()
    skipped.logout()
    until(lambda: not dovecot.renew().stderr, "renewing nobody is no error")
