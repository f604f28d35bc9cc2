"""SIGHUP: another process takes over the sockets, and no connection notices; what is told to systemd."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from unittest import mock

from tests.system.mailsystem import MAILDIRS, MailCase, Umbcmail
from tests.system.peers import Conversation
from tests.system.programs import HOST, freePort, until

_CONFIG = """
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface=127.0.0.1"
[agent.relay.port.local]
endpoint = "unix:{folder}/submit:mode=620"
[filter.mx]
listen = "unix:{folder}/filter"
mode = "0600"
modules = ["pattern"]
[watch]
listen = ["tcp:{watch}:interface=127.0.0.1"]
[drac]
listen = ["127.0.0.1:{drac}"]
rpcbind = false
clients = ["127.0.0.1"]
"""


class Systemd:
    """What systemd does with C{Type=notify}: a socket for notifications."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._told: list[list[str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while data := self._socket.recv(4096):
            self._told.append(data.decode().split("\n"))

    def until(self, line: str) -> None:
        """Wait for a line, and forget it and what was told before."""
        until(lambda: any(line in told for told in self._told), line)
        while line not in self._told.pop(0):
            pass

    def close(self) -> None:
        """No more."""
        self._socket.shutdown(socket.SHUT_RDWR)


class ReloadTests(MailCase):
    """The program with its ports."""

    def setUp(self) -> None:
        MailCase.setUp(self)
        self.folder.chmod(0o755)
        self.mail = Umbcmail(self.folder, base=MAILDIRS)
        self.watch, self.drac = freePort(), freePort()
        more = _CONFIG.format(folder=self.folder, port=self.mail.port, watch=self.watch, drac=self.drac)
        self.mail.config.write_text(self.mail.config.read_text() + more)
        self.systemd = Systemd(str(self.folder / "notify"))
        self.addCleanup(self.systemd.close)
        variables = {
            "NOTIFY_SOCKET": self.systemd.path,
            "WATCHDOG_USEC": "400000",
            "UMBCMAIL_PIDFILE": str(self.folder / "pid"),
        }
        patched = mock.patch.dict(os.environ, variables)
        patched.start()
        self.addCleanup(patched.stop)
        self.pids: list[int] = []
        self.addCleanup(self.end)

    def end(self) -> None:
        """Whatever process is the last one."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_(self) -> int:
        """Start it.  @return: its process."""
        self.mail.start()
        self.addCleanup(lambda: self.mail.running.ended or self.mail.stop())
        pid = self.mail.running.process.pid
        self.systemd.until("READY=1")
        self.assertEqual(str(pid), self.pid())
        return pid

    def pid(self) -> str:
        """What stands in the file with the process id."""
        return (self.folder / "pid").read_text().strip()

    def change(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.mail.config.read_text()
        assert old in text
        self.mail.config.write_text(text.replace(old, new))

    def reload(self, pid: int) -> int:
        """Send SIGHUP.  @return: the process that has taken over."""
        before = len(self.mail.events("succeeded"))
        os.kill(pid, signal.SIGHUP)
        until(lambda: len(self.mail.events("succeeded")) > before, "another process takes over", 60)
        found = int(re.findall(r" by=(\d+)", self.mail.events("succeeded")[-1])[0])
        self.pids.append(found)
        self.systemd.until(f"MAINPID={found}")
        return found

    def greeting(self) -> str:
        """What a new client hears."""
        with socket.create_connection((HOST, self.mail.port), 20) as client:
            return client.recv(200).decode()

    def test_reload(self) -> None:
        """New clients find the new configuration, those who are there are served to the end, and nobody is
        turned away meanwhile, at whatever socket, however often it is done."""
        pid = self.start_()
        old = Conversation(self.mail.port)
        old.begin("bob@y.test")
        modes = {name: (self.folder / name).stat().st_mode for name in ("submit", "filter")}
        failures: list[object] = []
        ends = threading.Event()
        self.addCleanup(ends.set)
        places = [(HOST, self.mail.port), (HOST, self.watch), str(self.folder / "submit"), str(self.folder / "filter")]
        threads = [threading.Thread(target=self.knock, args=(place, ends, failures)) for place in places]
        for thread in threads:
            thread.start()
        self.change("mx.y.test", "new.y.test")
        second = self.reload(pid)
        self.assertIn("220 new.y.test", self.greeting())
        self.assertEqual(str(second), self.pid())
        self.assertIsNone(self.mail.running.process.poll())
        self.assertTrue(old.message(b"Subject: old\r\n\r\nx\r\n").startswith(b"250"))
        self.assertIn(b"by mx.y.test", self.mail.arrived("bob"))
        old.close()
        self.assertEqual(0, self.mail.running.process.wait(30))
        self.change("new.y.test", "newer.y.test")
        third = self.reload(second)
        until(lambda: self.gone(second), "the second process has ended")
        self.assertIn("220 newer.y.test", self.greeting())
        ends.set()
        for thread in threads:
            thread.join(20)
        self.assertEqual([], failures)
        self.assertEqual(modes, {name: (self.folder / name).stat().st_mode for name in modes})
        with socket.create_connection((HOST, self.drac), 5):
            pass
        self.systemd.until("WATCHDOG=1")
        self.systemd.until("WATCHDOG=1")
        os.kill(third, signal.SIGTERM)
        self.systemd.until("STOPPING=1")
        until(lambda: self.gone(third), "the third process has ended")
        self.assertFalse((self.folder / "submit").exists())
        self.assertEqual([], self.mail.events("bug"))

    def knock(self, place: object, ends: threading.Event, failures: list[object]) -> None:
        """A client that comes again and again."""
        family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
        while not ends.wait(0.01):
            try:
                with socket.socket(family) as client:
                    client.settimeout(20)
                    client.connect(place)  # type: ignore[arg-type]
                    if isinstance(place, str) and place.endswith("filter"):
                        continue  # it says nothing by itself
                    client.sendall(b"GET /live HTTP/1.0\r\n\r\n" if place == (HOST, self.watch) else b"")
                    if not client.recv(200):
                        failures.append((place, "closed"))
            except OSError as why:
                failures.append((place, why))

    def gone(self, pid: int) -> bool:
        """A process that is no child of ours has ended."""
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def test_mistake(self) -> None:
        """A configuration that is wrong changes nothing, and is told; so is one that the new process can't begin
        with."""
        pid = self.start_()
        good = self.mail.config.read_text()
        self.change('modules = ["pattern"]', 'modules = ["patern"]')
        os.kill(pid, signal.SIGHUP)
        self.assertIn("filter.mx.modules", self.mail.logged("where=reload"))
        self.mail.config.write_text(good)
        # A name that no folder can have is seen when the spool is opened.
        self.change(f"sqlite:{self.folder}/spool", f"sqlite:{self.folder}/mail.log/spool")
        os.kill(pid, signal.SIGHUP)
        self.mail.logged("all goes on as it was")
        self.assertIn("220 mx.y.test", self.greeting())
        self.assertEqual((str(pid), None), (self.pid(), self.mail.running.process.poll()))
        self.mail.config.write_text(good)
        second = self.reload(pid)
        self.assertIn("220 mx.y.test", self.greeting())
        self.assertEqual(0, self.mail.running.process.wait(30))
        os.kill(second, signal.SIGTERM)
        until(lambda: self.gone(second), "the second process has ended")

    def test_foreign(self) -> None:
        """Signs of life that another process is to give are none of ours, and a listener that has gone does no harm."""
        with mock.patch.dict(os.environ, {"WATCHDOG_PID": "1"}):
            pid = self.start_()
        self.systemd.close()
        os.unlink(self.systemd.path)
        self.assertIn("220 mx.y.test", self.greeting())
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(0, self.mail.running.process.wait(30))
