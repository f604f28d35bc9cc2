"""umbcmail as an operator runs it, with a configuration of its own for each test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import TestCase

from tests.system.programs import HOST, ROOT, Program, freePort, until

_CONFIG = """
[host]
name = "mx.y.test"
[domains]
local = ["local.test"]
internal = ["internal.test"]
[networks]
trusted = ["127.0.0.1"]
[dns]
servers = ["127.0.0.1:9"]
timeout = "1s"
[spool]
url = "sqlite:{folder}/spool"
[hosts]
first-look = "0.5s"
longest-look = "1s"
[state]
url = "sqlite:{folder}/state"
[log]
file = "{folder}/mail.log"
[queue.local]
next-hops = ["unix:{folder}/lmtp"]
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface={host}:backlog=500"
[agent.relay.port.mx]
endpoint = "tcp:{relayPort}:interface={host}"
"""

MAILDIRS = """
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
[spool]
url = "sqlite:{folder}/spool"
[hosts]
first-look = "0.5s"
longest-look = "1s"
[state]
url = "sqlite:{folder}/state"
[log]
file = "{folder}/mail.log"
[[route]]
domain = "y.test"
courier = "maildir"
[courier.maildir]
base = "{folder}/maildirs/%user"
"""
"""No ports, no trusted networks, and Maildirs: a base for tests that say the rest."""


def environment(paths: Sequence[Path] = ()) -> dict[str, str]:
    """For programs of ours: the checkout first.

    @param paths: folders with drop-ins.
    """
    path = os.pathsep.join(map(str, (ROOT, *paths)))
    return dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")


def route(domain: str, port: int | str, courier: str = "smtp") -> str:
    """Configuration: the mail of a domain goes to a port of this host, or to
    C{unix:/path}."""
    hop = port if isinstance(port, str) else f"{HOST}:{port}"
    return f'[[route]]\ndomain = "{domain}"\ncourier = "{courier}"\nnext-hops = ["{hop}"]\n'


class Umbcmail:
    """The mail system.

    @ivar folder: all of its files.
    @ivar port: delivery agent, mx.
    @ivar relayPort: relay agent.
    @ivar ports: when it runs, all ports of the delivery agent by name.
    @ivar config: path of the configuration file.
    @ivar sets: C{section.key=value} for C{--set}.
    @ivar twistd: what is run in place of C{twistd}.
    @ivar paths: folders with drop-ins.
    """

    def __init__(self, folder: Path, config: str = "", sets: Sequence[str] = (), base: str = _CONFIG) -> None:
        """
        @param config: more configuration.
        @param base: what the configuration begins with.
        """
        self.folder = folder
        self.port = freePort()
        self.relayPort = freePort()
        self.config = folder / "umbcmail.toml"
        self.sets = list(sets)
        self.paths: list[Path] = []
        self.twistd: Sequence[str] = (str(Path(sys.executable).parent / "twistd"),)
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            base.format(folder=folder, port=self.port, relayPort=self.relayPort, host=HOST)
            + config.replace("{folder}", str(folder))
        )
        self.program: Program | None = None

    # Life

    def argv(self, *words: str) -> list[str]:
        """The command line."""
        sets = [word for text in self.sets for word in ("--set", text)]
        return [*self.twistd, "-n", "--pidfile=", "umbcmail", "run", "--config", str(self.config), *sets, *words]

    def start(self, *words: str) -> Umbcmail:
        """Start it, and wait until it is ready."""
        self.program = self.another(*words)
        return self

    def another(self, *words: str) -> Program:
        """Start a process of it, and wait until it is ready."""
        before = self.log().count(" started ")
        console = self.folder / "console.log"
        program = Program(self.argv(*words), console, cwd=self.folder, env=environment(self.paths))
        until(lambda: self.log().count(" started ") > before or program.ended, "umbcmail is up")
        assert not program.ended, program.output()[-3000:] + self.log()[-3000:]
        return program

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Start it where it is going to end by itself."""
        return subprocess.run(
            self.argv(*words), capture_output=True, text=True, timeout=30, env=environment(self.paths), cwd=self.folder
        )

    @property
    def running(self) -> Program:
        """The process."""
        assert self.program is not None
        return self.program

    def stop(self) -> int:
        """End it as an operator would.  @return: its status."""
        return self.running.stop()

    def kill(self) -> None:
        """End it as the loss of power does."""
        self.running.stop(signal.SIGKILL)

    def memory(self, what: str = "VmRSS") -> int:
        """Its memory now, or C{VmHWM}: the most that it had so far; octets."""
        status = Path(f"/proc/{self.running.process.pid}/status").read_text()
        return int(re.findall(rf"{what}:\s+(\d+) kB", status)[0]) * 1024

    # Log and queue

    def log(self) -> str:
        """The mail log."""
        path = self.folder / "mail.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def ports(self) -> dict[str, int]:
        """See above."""
        found = re.findall(r" listening .* port=agent\.delivery\.port\.(\S+) address=\S+:(\d+)", self.log())
        return {name: int(port) for name, port in found}

    def logged(self, text: str) -> str:
        """Wait for a line with a text in it."""
        return str(until(lambda: next((e for e in self.log().splitlines() if text in e), ""), f"{text!r} in the log"))

    def events(self, name: str) -> list[str]:
        """The lines of one kind of event."""
        return [line for line in self.log().splitlines() if line.split(" ")[1:2] == [name]]

    def tool(self, *words: str, status: int = 0) -> str:
        """C{umbcmail WORDS…}: what it prints."""
        sets = [word for text in self.sets for word in ("--set", text)]
        argv = [sys.executable, "-m", "umbcmail", *words, "--config", str(self.config), *sets]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, env=environment(self.paths), cwd=self.folder
        )
        assert done.returncode == status, (argv, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def queue(self) -> list[dict[str, Any]]:
        """C{umbcmail queue list --json}."""
        return [json.loads(line) for line in self.tool("queue", "list", "--json").splitlines()]

    def arrived(self, user: str) -> bytes:
        """Wait for the only message in a Maildir of L{MAILDIRS}, and take it away."""
        folder = self.folder / "maildirs" / user / "new"
        [path] = until(lambda: list(folder.glob("*")) if folder.exists() else [], f"mail for {user}")
        content = bytes(path.read_bytes())
        path.unlink()
        return content

    def emptied(self, seconds: float = 20.0) -> None:
        """Wait until nothing is on the spool, neither a row nor a file."""
        until(lambda: not self.queue(), "the queue is empty", seconds)
        folders = [self.folder / "spool" / "content", self.folder / "spool" / "incoming"]
        until(lambda: not [f for d in folders for f in d.rglob("*") if f.is_file()], "the files are gone", seconds)


@contextlib.contextmanager
def running(mail: Umbcmail, *words: str) -> Iterator[Umbcmail]:
    """umbcmail while the test runs; its log is shown when the test fails, and no
    test passes that met a bug."""
    mail.start(*words)
    try:
        yield mail
        assert not mail.events("bug")
    except BaseException:
        sys.stderr.write(mail.log()[-6000:])
        sys.stderr.write(mail.running.output()[-4000:])
        raise
    finally:
        if not mail.running.ended:
            mail.stop()


class MailCase(TestCase):
    """A folder, and systems with L{MAILDIRS} that end with the test."""

    def setUp(self) -> None:
        """A folder of its own."""
        folder = tempfile.TemporaryDirectory(prefix="umbcmail-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "maildirs").mkdir()

    def start(self, config: str) -> Umbcmail:
        """Start umbcmail."""
        mail = Umbcmail(self.folder, config, base=MAILDIRS)
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(running(mail))
        return mail
