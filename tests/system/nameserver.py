"""A name server for tests: that of Twisted, as a program of its own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from twisted.names import dns

from tests.system.programs import HOST, Program, freePort, until


class NameServer:
    """Answers for some zones, and knows of no other names.

    @ivar port: over UDP and TCP, on loopback.
    """

    def __init__(self, folder: Path, **zones: Iterable[str]) -> None:
        """
        @param zones: names with underscores for dots, and records as C{twistd dns}
            reads them: C{"A('a.test', '192.0.2.1')"}.
        """
        self.port = freePort()
        argv = [
            str(Path(sys.executable).parent / "twistd"),
            "-n",
            "--pidfile=",
            "dns",
            "-i",
            HOST,
            "-p",
            str(self.port),
        ]
        for name, records in zones.items():
            zone = name.replace("_", ".")
            soa = f"SOA('{zone}', mname='ns.test', rname='a.test', serial=1, refresh=9, retry=9, expire=9, minimum=9)"
            (folder / f"{zone}.zone").write_text(f"zone = [{', '.join((soa, *records))}]\n")
            argv += ["--pyzone", f"{zone}.zone"]
        self.program = Program(argv, folder / "nameserver.log", cwd=folder)
        until(self._answers, "the name server is up")

    def _answers(self) -> bool:
        assert not self.program.ended, self.program.output()
        message = dns.Message(id=1)
        message.addQuery(b"test")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            try:
                s.sendto(message.toStr(), (HOST, self.port))
                return bool(s.recv(512))
            except OSError:
                return False

    def stop(self) -> None:
        """End it."""
        self.program.stop()
