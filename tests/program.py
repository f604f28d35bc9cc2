"""umbcmail as a program of its own, for system tests of its ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent

BASE = """\
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
[spool]
url = "sqlite:{folder}/spool"
[log]
file = "{folder}/mail.log"
[[route]]
domain = "y.test"
courier = "maildir"
[courier.maildir]
base = "{folder}/maildirs/%user"
"""


def until(found: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Wait until something is there, and give it."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < end, f"still waiting for {what}"
        time.sleep(0.02)


class Program:
    """One that runs.

    @ivar folder: all of its files.
    @ivar ports: by name, the agent's left out.
    """

    def __init__(self, folder: Path, config: str) -> None:
        """
        @param config: what comes behind L{BASE}; C{{folder}} stands for the folder.
        """
        self.folder = folder
        path = folder / "umbcmail.toml"
        path.write_text((BASE + config).replace("{folder}", str(folder)))
        (folder / "maildirs").mkdir(exist_ok=True)
        argv = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "umbcmail", "run", "-c", str(path)]
        with (folder / "console").open("wb") as console:
            self.process = subprocess.Popen(
                argv, stdout=console, stderr=console, cwd=folder, env=dict(os.environ, PYTHONPATH=str(ROOT))
            )
        until(self._isUp, "the start")
        found = re.findall(r" listening .* port=agent\.\w+\.port\.(\S+) address=\S+:(\d+)", self.log())
        self.ports = {name: int(port) for name, port in found}

    def _isUp(self) -> bool:
        assert self.process.poll() is None, (self.folder / "console").read_text()
        return " started " in self.log()

    def log(self) -> str:
        """The log so far."""
        path = self.folder / "mail.log"
        return path.read_text() if path.exists() else ""

    def logged(self, text: str) -> str:
        """Wait for a line with a text in it."""
        return str(until(lambda: next((e for e in self.log().splitlines() if text in e), ""), f"{text!r} in the log"))

    def arrived(self, user: str) -> bytes:
        """Wait for the only message of a user, and take it away."""
        folder = self.folder / "maildirs" / user / "new"
        [path] = until(lambda: list(folder.glob("*")) if folder.exists() else [], f"mail for {user}")
        content = bytes(path.read_bytes())
        path.unlink()
        return content

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class ProgramCase(TestCase):
    """A folder, and programs that end with the test."""

    def setUp(self) -> None:
        """A folder of its own."""
        folder = tempfile.TemporaryDirectory(prefix="umbcmail-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, config: str) -> Program:
        """Start umbcmail."""
        program = Program(self.folder, config)
        self.addCleanup(program.stop)
        return program


def certificate(folder: Path, name: str, days: int = 90, file: str = "") -> tuple[str, str]:
    """A certificate that signs itself.

    @return: paths of certificate and key.
    """
    paths = str(folder / f"{file or name}.pem"), str(folder / f"{file or name}.key")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-subj", f"/CN={name}", "-days", str(days), "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(argv, check=True, capture_output=True)
    return paths
