"""The genuine programs of DRAC, rpcbind, clients in C, and a machine of their own for them.

The genuine server and its clients know one port of rpcbind and one place of their files,
so they get a network and a mount namespace, for which it takes root.  The programs
themselves are put into C{.venv/drac} by script/bootstrap.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.system.mailsystem import MAILDIRS, Umbcmail, environment, running
from tests.system.programs import HOST, PATH, ROOT, Program, missing, need, until
from umbcmail.drac.line import randomXid
from umbcmail.drac.program import ADD, encodeAddress
from umbcmail.drac.record import mark
from umbcmail.drac.rpc import decodeReply, encodeCall

PROGRAM = "900101"
OTHER = "192.0.2.1"
"""An address of a L{Machine} that is not loopback."""
LISTED = "255.0.0.0 127.0.0.0\n"
"""C{dracd.allow}: loopback may add."""
PORT = 20101

_UNPACKED = ROOT / ".venv" / "drac"
_NEW_NETWORK = 0x40000000
_FILES = ("passwd", "group", "hosts", "nsswitch.conf", "netconfig", "protocols", "services", "rpc", "localtime")
_SETUP = """
set -e
mount --make-rprivate /
mount --bind "$0/etc" /etc
mount -t tmpfs none /run
ip link set lo up
ip address add {other}/32 dev lo
touch "$0/ready"
exec sleep 1000000
"""


def dracProgram(name: str) -> str:
    """The path of a program in C{.venv/drac}: C{mapped}, C{direct}, C{library},
    C{authdrac} or C{rpc.dracd}."""
    places = {"authdrac": "usr/lib/courier/authlib/authdrac", "rpc.dracd": "usr/sbin/rpc.dracd"}
    path = _UNPACKED / places.get(name, f"bin/{name}")
    if not path.exists():
        missing(f"{path} is not there (script/bootstrap --dev)")
    return str(path)


class Machine:
    """A machine with loopback only, and files of its own in C{/etc} and C{/run}.

    @ivar folder: for files of the programs.
    """

    def __init__(self, folder: Path, allow: str | None = LISTED) -> None:
        """
        @param allow: C{dracd.allow}, if there is one.
        """
        if os.geteuid() != 0:
            missing("root is needed for network namespaces")
        self.folder = folder
        etc = folder / "etc"
        (etc / "drac").mkdir(parents=True)
        for name in _FILES:
            if Path("/etc", name).exists():
                shutil.copy(Path("/etc", name), etc)
        if allow is not None:
            (etc / "drac" / "dracd.allow").write_text(allow)
        need("ip")
        setup = _SETUP.format(other=OTHER)
        argv = [need("unshare"), "--net", "--mount", "sh", "-c", setup, str(folder)]
        self._first = Program(argv, folder / "machine.log", env=dict(os.environ, PATH=PATH))
        until(lambda: (folder / "ready").exists() or self._first.ended, "the namespaces are there")
        if self._first.ended:
            missing(f"no namespaces: {self._first.output()[-300:]}")
        self._network = os.readlink(f"/proc/{self._first.process.pid}/ns/net")

    def argv(self, *words: str) -> list[str]:
        """The command line of a program there; its pid is the one that is seen here."""
        return ["nsenter", f"--target={self._first.process.pid}", "--net", "--mount", *words]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program there.

        @param more: of the environment.
        """
        return subprocess.run(
            self.argv(*words),
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(environment(), PATH=PATH, **more),
            cwd=self.folder,
        )

    def mapped(self) -> set[str]:
        """What its rpcbind has of DRAC: version, netid, address and owner."""
        lines = [line.split() for line in self.run("rpcinfo").stdout.splitlines()]
        return {" ".join([*words[1:4], words[-1]]) for words in lines if words[:1] == [PROGRAM]}

    def mappedPorts(self) -> set[str]:
        """The same without its socket, so without IPv6 and owners: version, netid and port."""
        lines = [line.split() for line in self.run("rpcinfo", "-p", HOST).stdout.splitlines()]
        return {" ".join(words[1:4]) for words in lines if words[:1] == [PROGRAM]}

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that are made meanwhile by this thread are there."""
        libc = ctypes.CDLL(None, use_errno=True)
        here = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self._first.process.pid}/ns/net", os.O_RDONLY)
        try:
            assert libc.setns(there, _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
            yield
        finally:
            back = libc.setns(here, _NEW_NETWORK)
            os.close(here)
            os.close(there)
            assert back == 0

    def pids(self, name: str = "") -> list[int]:
        """The processes there, by name."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                isHere = os.readlink(path / "ns" / "net") == self._network
                if isHere and name in ("", (path / "comm").read_text().strip()):
                    found.append(int(path.name))
        return found

    def stop(self) -> None:
        """End everything there."""
        for pid in [each for each in self.pids() if each != self._first.process.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._first.stop(signal.SIGKILL)


class Rpcbind:
    """rpcbind of a machine; it forgets everything when it ends."""

    def __init__(self, machine: Machine, *options: str) -> None:
        need("rpcbind")
        self._machine = machine
        self._program = Program(
            machine.argv("rpcbind", "-f", *options), machine.folder / "rpcbind.log", env=dict(os.environ, PATH=PATH)
        )
        until(lambda: machine.run("rpcinfo", "-T", "tcp", HOST, "portmapper").returncode == 0, "rpcbind is up")

    def hide(self) -> None:
        """Take its socket away."""
        self._machine.run("rm", "/run/rpcbind.sock")

    def stop(self) -> None:
        """End it."""
        self._program.stop()


class Genuine:
    """rpc.dracd; there must be an rpcbind.

    @ivar ports: by transport.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._database = machine.folder / "dracd.db"
        # It closes all descriptors that there might be.
        start = f"ulimit -n 256; exec {dracProgram('rpc.dracd')} -i -e 5 {self._database}"
        done = machine.run("sh", "-c", start)
        assert done.returncode == 0, done
        mapped = until(lambda: len(machine.mappedPorts()) == 4 and machine.mappedPorts(), "dracd is registered")
        self.ports = {netid: int(port) for _, netid, port in map(str.split, mapped)}

    def has(self, address: str) -> bool:
        """Whether an address has been added, ever."""
        return address.encode() in self._database.read_bytes()

    def stop(self) -> None:
        """End it; its registration stays."""
        for pid in self._machine.pids("rpc.dracd"):
            os.kill(pid, signal.SIGTERM)
        until(lambda: not self._machine.pids("rpc.dracd"), "dracd has ended")


DRAC = f"""
[drac]
listen = ["{HOST}", "::1", "{OTHER}"]
clients = ["127.0.0.0/8", "::1"]
rpcbind-interval = "1s"
"""


@contextlib.contextmanager
def ours(machine: Machine, config: str = DRAC, name: str = "ours", sets: Sequence[str] = ()) -> Iterator[Umbcmail]:
    """umbcmail on a machine, while the test runs; nothing goes wrong in it that we did not know of."""
    mail = Umbcmail(machine.folder / name, config, sets, MAILDIRS)
    (mail.folder / "maildirs").mkdir()
    mail.twistd = machine.argv(str(Path(sys.executable).parent / "twistd"))
    with running(mail):
        yield mail
    assert "Traceback" not in mail.running.output(), mail.running.output()


def udp(to: tuple[str, int], source: str = "") -> socket.socket:
    """A connected socket.

    @param source: address that it comes from.
    """
    made = socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(5)
    if source:
        made.bind((source, 0))
    made.connect(to)
    return made


def tcp(to: tuple[str, int], source: str = "", **named: Any) -> socket.socket:
    """A connection."""
    return socket.create_connection(to, 5, (source, 0) if source else None, **named)


def call(connection: socket.socket, address: str) -> int:
    """Add an address.  @return: what is answered."""
    version, arguments = encodeAddress(address)
    message = encodeCall(randomXid(), int(PROGRAM), version, ADD, arguments)
    isStream = connection.type == socket.SOCK_STREAM
    connection.sendall(mark(message) if isStream else message)
    reply = decodeReply(connection.recv(100)[4 * isStream :])
    assert reply.isSuccess and message.startswith(reply.xid.to_bytes(4, "big"))
    return int.from_bytes(reply.results, "big")
