"""The state in a folder: the roster of POP-before-SMTP lives on, and is that of all processes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.logins import proxyHeader
from tests.system.mailsystem import MAILDIRS, Umbcmail, running
from tests.system.peers import Conversation
from tests.system.programs import HOST, freePort, missing, need, until
from umbcmail.drac.client import Answer, Server

ADDED = Answer(True, True, "add succeeded")
SYSTEM_ERROR = Answer(False, True, "system error")
SEEN, OTHER = "198.51.100.7", "2001:db8::7"

CONFIG = """
[drac]
listen = ["127.0.0.1:{drac}"]
clients = ["127.0.0.1"]
rpcbind = false
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
relay = ["drac"]
proxy = ["127.0.0.1"]
[queue.remote]
next-hops = ["127.0.0.1:9"]
"""


class System:
    """The mail system, with the role C{drac}."""

    def __init__(self, folder: Path) -> None:
        (folder / "maildirs").mkdir()
        self.drac = freePort()
        self.mail = Umbcmail(folder, CONFIG.replace("{drac}", str(self.drac)), base=MAILDIRS)

    def add(self, *addresses: str) -> list[Answer]:
        """Somebody logs in from there.  @return: what our POP host is told."""
        answers = Server(HOST, self.drac, True).add(addresses, time.monotonic() + 20)
        return [answers[address] for address in addresses]

    def asks(self, address: str) -> str:
        """What a client with an address is told that wants to relay."""
        talk = Conversation.__new__(Conversation)
        talk.socket = socket.create_connection((HOST, self.mail.ports["mx"]), 20)
        talk.socket.settimeout(30)
        talk.stream = talk.socket.makefile("rb")
        talk.socket.sendall(proxyHeader(address))
        with contextlib.closing(talk):
            assert talk.reply().startswith(b"220")
            talk.expect(b"EHLO c.test", b"250")
            talk.expect(b"MAIL FROM:<s@z.test>", b"250")
            return talk.say(b"RCPT TO:<ann@other.test>").decode()

    def mayRelay(self, address: str) -> bool:
        """Whether it may."""
        answer = self.asks(address)
        assert answer.startswith(("250 2.1.5", "550 5.7.1")), answer
        return answer.startswith("250")

    def listed(self) -> list[str]:
        """What C{umbcmail drac list} shows."""
        return [json.loads(line)["address"] for line in self.mail.tool("drac", "list", "--json").splitlines()]


@pytest.fixture()
def system(tmp_path: Path) -> Iterator[System]:
    """The system, not yet started; it ends with the test."""
    system = System(tmp_path)
    yield system
    if system.mail.program is not None and not system.mail.running.ended:
        system.mail.stop()
    assert not system.mail.events("bug")


def test_restart(system: System) -> None:
    """Who may relay may still do so after the program was stopped, and after it was
    killed the moment the add was answered."""
    system.mail.start()
    assert not system.mayRelay(SEEN)
    assert system.add(SEEN) == [ADDED]
    assert system.mayRelay(SEEN)
    assert system.mail.stop() == 0
    assert system.listed() == [SEEN]  # also while nothing runs
    system.mail.start()
    assert system.mayRelay(SEEN)
    assert system.add(OTHER) == [ADDED]
    system.mail.kill()
    system.mail.start()
    assert system.mayRelay(OTHER)
    assert not system.mayRelay("198.51.100.8")
    assert system.listed() == [SEEN, OTHER]


def test_processes(system: System) -> None:
    """What a process with the role drac adds holds at once in one with the role delivery;
    what the operator removes holds no more soon after."""
    system.mail.start("--role", "delivery")
    drac = system.mail.another("--role", "drac")
    try:
        for n in range(10):
            address = f"198.51.100.{n}"
            assert not system.mayRelay(address)
            assert system.add(address) == [ADDED]
            assert system.mayRelay(address)
        system.mail.tool("drac", "remove", "198.51.100.0")
        until(lambda: not system.mayRelay("198.51.100.0"), "the removal is seen", 10)
        assert system.mayRelay("198.51.100.1")
    finally:
        assert drac.stop() == 0


def test_full(system: System) -> None:
    """A disk that is full: the POP host hears of it and so does the operator; who is in the
    roster may relay; and all is well by itself when there is room."""
    folder = system.mail.folder / "state"
    folder.mkdir(mode=0o700)
    mount = f'mount -t tmpfs -o size=2m,mode=700 tmpfs {folder} && exec "$@"'
    alone = [need("unshare"), *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        missing("no file system may be mounted here")
    system.mail.twistd = [*alone, *system.mail.twistd]
    system.mail.sets.append(f'watch.listen=["tcp:{freePort()}:interface={HOST}"]')
    with running(system.mail) as mail:
        filler = Path(f"/proc/{mail.running.process.pid}/root{folder}/filler")
        assert system.add(SEEN) == [ADDED]
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1024))
        more = [f"10.0.{n >> 8}.{n & 255}" for n in range(20_000)]
        answers: list[Answer] = []
        while SYSTEM_ERROR not in answers:
            answers, more = system.add(*more[:500]), more[500:]
        assert set(answers) <= {ADDED, SYSTEM_ERROR}
        assert system.mayRelay(SEEN)
        mail.logged("drac-refused")
        assert "can't be written: OperationalError: database or disk is full" in mail.tool("status", status=1)
        filler.unlink()
        until(lambda: system.add(OTHER) == [ADDED], "the disk is written to again", 20)
        assert system.mayRelay(OTHER)
        mail.tool("status", status=0)


def test_cantBeOpened(system: System) -> None:
    """A state that can't be opened is named, with the reason, and the program ends."""
    (system.mail.folder / "file").write_text("")
    system.mail.sets.append(f"state.url=sqlite:{system.mail.folder}/file/state")
    done = system.mail.attempt()
    assert done.returncode == 1
    assert "umbcmail: state.url: the state can't be opened: NotADirectoryError" in done.stderr
