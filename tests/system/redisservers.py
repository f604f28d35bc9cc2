"""Redis and Sentinel as they are, on loopback, each in a folder of its own."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

from tests.system.programs import HOST, Program, freePort, need, until


def ask(port: int, *words: str, password: str = "", seconds: float = 5.0) -> str:
    """What a server answers to a command, as it comes."""
    with socket.create_connection((HOST, port), seconds) as connection:
        connection.settimeout(seconds)
        commands = [("AUTH", password)] if password else []
        for command in (*commands, words):
            octets = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
            connection.sendall(b"*%d\r\n" % len(command) + octets)
            answer = connection.recv(65536).decode()
    return answer


class Server:
    """A server that can be ended, stopped and started again, with what it has kept."""

    program = "redis-server"

    def __init__(self, folder: Path, *lines: str, port: int = 0, password: str = "", isTLS: bool = False) -> None:
        """
        @param lines: of the configuration.
        """
        self.folder = folder
        self.port = port or freePort()
        self.socket = folder / "redis.sock"
        self.password = password
        folder.mkdir(parents=True, exist_ok=True)
        # Sentinel writes into its own.
        self._config = folder / "redis.conf"
        self._config.write_text("\n".join((*self._base(isTLS), *lines, "")))
        self._process: Program | None = None
        self._isTLS = isTLS
        self.start()

    def _base(self, isTLS: bool) -> list[str]:
        port = [f"port {0 if isTLS else self.port}", *([f"tls-port {self.port}"] if isTLS else [])]
        common = [*port, f"bind {HOST}", f"dir {self.folder}", "daemonize no", 'logfile ""']
        if self.password:
            common += [f'requirepass "{self.password}"', f'masterauth "{self.password}"']
        if self.program != "redis-server":
            return common
        return [*common, f"unixsocket {self.socket}", 'save ""', "appendonly yes", "appendfsync always"]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        more = ["--sentinel"] if self.program == "redis-sentinel" else []
        argv = [need(self.program), str(self._config), *more]
        self._process = Program(argv, self.folder / "console.log", cwd=self.folder)
        try:
            until(lambda: self._answers() or self._running.ended, f"{self.program} is up")
            assert not self._running.ended
        except BaseException:
            self.stop()
            raise AssertionError(self._running.output()[-2000:]) from None

    def _answers(self) -> bool:
        try:
            if self._isTLS:
                socket.create_connection((HOST, self.port), 2).close()
                return True
            return "PONG" in ask(self.port, "PING", password=self.password)
        except OSError:
            return False

    @property
    def _running(self) -> Program:
        assert self._process is not None
        return self._process

    def ask(self, *words: str, **named: Any) -> str:
        """See L{ask}."""
        return ask(self.port, *words, password=self.password, **named)

    def isReplica(self) -> bool:
        """Whether it is one by now; who makes it one ends its connections."""
        try:
            return "role:slave" in self.ask("INFO", "replication")
        except OSError:
            return False

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._running.process.send_signal(number)

    def kill(self) -> None:
        """It ends as by the loss of power."""
        self._running.stop(signal.SIGKILL)

    def stop(self) -> None:
        """End it, also when it has been stopped by a signal."""
        if not self._running.ended:
            self.signal(signal.SIGCONT)
            self._running.stop(signal.SIGKILL)


class Sentinel(Server):
    """A Sentinel that watches a master, called C{mail}; two have to agree."""

    program = "redis-sentinel"

    def __init__(self, folder: Path, master: int, after: int = 1000, password: str = "") -> None:
        """
        @param master: its port.
        @param after: milliseconds after which the master counts as down.
        """
        lines = [
            f"sentinel monitor mail {HOST} {master} 2",
            f"sentinel down-after-milliseconds mail {after}",
            "sentinel failover-timeout mail 2000",
        ]
        if password:
            lines.append(f"sentinel auth-pass mail {password}")
        super().__init__(folder, *lines)

    @property
    def master(self) -> int:
        """The port of the master, by this one."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mail").split("\r\n")[4])
