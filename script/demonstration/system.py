"""umbcmail as an operator runs it, in a folder of the demonstration.

It is started by C{twistd} with a configuration file, on ports that the kernel
chooses (the log says which), and ended by its process id.
"""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from nexthop import HOST, NextHop
from samples import DOWN, INTERNAL, LOCAL, Sample

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = Path(sys.executable).parent

CONFIG = """\
[host]
name = "mx.{local}"

[domains]
local = ["{local}"]
internal = ["{internal}"]

[networks]
trusted = ["127.0.0.1"]

[spool]
url = "sqlite:{folder}/spool"

[state]
url = "sqlite:{folder}/state"

[log]
file = "{folder}/mail.log"

[agent.delivery]
mode = "interactive"
load = 0
filters = ["unix:{folder}/filter"]

[filter.demo]
listen = "unix:{folder}/filter"
modules = ["pattern"]

[agent.delivery.port.mx]
endpoint = "tcp:0:interface={host}"

[agent.relay.port.mx]
endpoint = "tcp:0:interface={host}"

[queue.internal]
next-hops = ["{host}:{lab}"]

[queue.remote]
poll = "0.5s"

[courier.maildir]
base = "{folder}/maildirs/%user"

[[route]]
domain = "{local}"
courier = "maildir"

[[route]]
domain = "{down}"
next-hops = ["{host}:{patient}"]

# Nothing leaves this machine.
[[route]]
domain = "*"
next-hops = ["{host}:{away}"]
"""


class Failed(Exception):
    """The system does not do what it should; says why."""


class System:
    """The running mail system.

    @ivar folder: all of its files.
    @ivar ports: by the name of the agent, once it is up.
    """

    def __init__(self, folder: Path, lab: NextHop, away: NextHop, patient: NextHop) -> None:
        self.folder = folder
        self.config = folder / "umbcmail.toml"
        self.log = folder / "mail.log"
        self.maildirs = folder / "maildirs"
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.maildirs.mkdir()
        domains = {"local": LOCAL, "internal": INTERNAL, "down": DOWN}
        hops = {"lab": lab.port, "away": away.port, "patient": patient.port}
        self.config.write_text(CONFIG.format(folder=folder, host=HOST, **domains, **hops))

    def start(self) -> None:
        """Start it, and wait until it is up.

        @raise Failed: it does not come up.
        """
        argv = [str(PROGRAMS / "twistd"), "-n", "--pidfile=", "umbcmail", "run", "--config", str(self.config)]
        with (self.folder / "console.log").open("wb") as console:
            # A session of its own: Ctrl-C is for us, and we end it when we are done.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,
            )
        end = time.monotonic() + 20
        while not self.lines(" started "):
            if not self.isRunning or time.monotonic() > end:
                raise Failed("umbcmail does not start:\n" + (self.folder / "console.log").read_text()[-3000:])
            time.sleep(0.05)
        for line in self.lines(" listening "):
            found = re.search(r"port=agent\.(\w+)\.port\.mx address=\S+:(\d+)", line)
            if found:
                self.ports[found[1]] = int(found[2])

    @property
    def isRunning(self) -> bool:
        """It has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def send(self, sample: Sample) -> bytes:
        """Give it a message, as a mail client does.

        @return: its last reply, as text in one line.
        """
        options = [f"SIZE={len(sample.content)}"] + (["BODY=8BITMIME"] if sample.body8 else [])
        with smtplib.SMTP(HOST, self.ports[sample.agent], "client.campus.test", timeout=60) as client:
            client.ehlo()
            steps = [
                partial(client.mail, sample.sender, options),
                *(partial(client.rcpt, recipient) for recipient in sample.recipients),
                partial(client.data, sample.content),
            ]
            code, text = 0, b""
            for step in steps:
                code, text = step()
                if code >= 400:
                    break
            return b"%d %s" % (code, text.replace(b"\n", b" "))

    def tool(self, *words: str) -> str:
        """C{umbcmail WORDS...}: what it prints.

        @raise Failed: it ends with an error.
        """
        argv = [*toolCommand(), *words, "--config", str(self.config)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=_environment(), cwd=self.folder)
        if done.returncode:
            raise Failed(f"{' '.join(argv)} ends with {done.returncode}: {done.stderr}")
        return done.stdout

    def lines(self, text: str) -> list[str]:
        """The lines of the log that have a text in them."""
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text("utf-8", "replace").splitlines() if text in line]


def toolCommand() -> list[str]:
    """How the operator's tool is called here."""
    installed = PROGRAMS / "umbcmail"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "umbcmail"]


def _environment() -> dict[str, str]:
    """This checkout goes before what is installed."""
    return dict(os.environ, PYTHONPATH=str(ROOT))
