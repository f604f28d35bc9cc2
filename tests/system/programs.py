"""Programs that system tests start, and what tests need of the machine.

All of it on 127.0.0.1 and free ports, with files in a folder of the test; what
was started is ended by its pid.  What is missing on the machine is said, and only
the test that needs it is skipped; under C{CI=true} it fails instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import pytest

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent.parent
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/dovecot"


def need(program: str) -> str:
    """The path of a program, or the test is skipped (fails in CI)."""
    found = shutil.which(program, path=PATH)
    if not found:
        missing(f"{program} is not installed (script/bootstrap --dev as root)")
    return found


def missing(why: str) -> NoReturn:
    """Something that the test needs is not there."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def _ports() -> Iterator[int]:
    """Ports that are tried, each once in a long while: below those that the kernel gives to
    clients, and of those that run tests beside each other (C{pytest -n}) each has its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    count = 20_000 if not worker else 2_000
    first = 10_000 + (int(worker.removeprefix("gw")) % 10 * count if worker else 0)
    at = int.from_bytes(os.urandom(4), "big")
    while True:
        at += 1
        yield first + at % count


_PORTS = _ports()


def freePort() -> int:
    """A port that nobody uses, for TCP and UDP."""
    for port in islice(_PORTS, 500):
        with socket.socket() as s, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind((HOST, port))
                datagrams.bind((HOST, port))
                return port
    raise RuntimeError("no free port")


def until(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Wait for something to become true; say what did not."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Somebody takes connections on the port."""
    try:
        socket.create_connection((HOST, port), 2).close()
    except OSError:
        return False
    return True


def answers(port: int, begin: bytes = b"220") -> bool:
    """Somebody greets on the port."""
    try:
        with socket.create_connection((HOST, port), 2) as s:
            s.settimeout(5)
            return s.recv(200).startswith(begin)
    except OSError:
        return False


class Program:
    """A program that was started; ended by its pid."""

    def __init__(self, argv: Sequence[str], log: Path, **named: Any) -> None:
        """
        @param log: file for what it says.
        @param named: for L{subprocess.Popen}.
        """
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **named
            )

    @property
    def ended(self) -> bool:
        """It runs no more."""
        return self.process.poll() is not None

    def stop(self, how: int = signal.SIGTERM, seconds: float = 40.0) -> int:
        """End it.  @return: its status."""
        if not self.ended:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.process.args!r} did not end:\n{self.output()[-3000:]}") from None

    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text("utf-8", "replace")


def certificate(
    folder: Path, name: str = "mx.y.test", days: int = 90, file: str = "", address: str = ""
) -> tuple[Path, Path]:
    """A certificate that signs itself, made by openssl.

    @param file: name of its files, without ending; not given: its own name.
    @param address: that it is for, in place of the name.
    @return: paths of certificate and key.
    """
    pem, key = folder / f"{file or name}.pem", folder / f"{file or name}.key"
    argv = [need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    argv += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={f'IP:{address}' if address else f'DNS:{name}'}"]
    argv += ["-days", str(days), "-out", str(pem), "-keyout", str(key)]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return pem, key
