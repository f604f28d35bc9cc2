"""Two processes, each with a spool of its own, that share in their state which hosts do not answer."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from pathlib import Path
from unittest import TestCase

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import HOST, freePort, until
from tests.system.redisservers import Server

MESSAGE = b"Subject: x\r\n\r\ny\r\n"
CONFIG = """
[queue.remote]
release = 5
"""
COUNT = 60
"""Messages for each process."""


class Hangup:
    """A next hop that takes connections, lets them wait, and closes them without a word.

    @ivar times: of each connection.
    @ivar most: connections at the same time.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self.times: list[float] = []
        self.most = 0
        self._seconds = seconds
        self._now = 0
        self._lock = threading.Lock()
        self._server = socket.create_server((HOST, port), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._hold, args=(connection,), daemon=True).start()

    def _hold(self, connection: socket.socket) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.times.append(time.monotonic())
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        connection.close()

    def close(self) -> None:
        """No more."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class SharedHosts:
    """What both stores promise."""

    def stateUrl(self) -> str:
        """Where the state is that both share."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Both processes, and a next hop that refuses connections."""
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="umbcmail-test-")))
        self.hop = freePort()
        sets = [f"state.url={self.stateUrl()}", "hosts.first-look=1s", "hosts.longest-look=1s"]
        self.both = [
            Umbcmail(self.folder / name, route("far.test", self.hop) + CONFIG, sets) for name in ("one", "two")
        ]
        for mail in self.both:
            self.stack.enter_context(running(mail))

    @property
    def host(self) -> str:
        """The next hop, as the state names it."""
        return f"{HOST}[{HOST}]:{self.hop}"

    def put(self, count: int) -> None:
        """So many messages for each."""
        for n in range(count):
            for mail in self.both:
                assert send(mail.port, MESSAGE, f"u{n}@far.test").startswith(b"250")

    def events(self, name: str) -> list[str]:
        """Lines of both logs about hosts."""
        return [line for mail in self.both for line in mail.events(name)]

    def sink(self) -> Sink:
        """The next hop answers."""
        sink = Sink(self.hop)
        self.stack.callback(sink.close)
        return sink

    def test_downAndBack(self) -> None:
        """One message of both looks at a time; one process says that it is down, and one that it
        answers again; then the mail of both goes, at a bounded rate."""
        self.put(COUNT)
        [line] = self.events("host-down")
        self.assertIn(f"host={self.host}", line)
        self.assertIn("refused", line)
        hangup = Hangup(self.hop, 0.5)
        self.stack.callback(hangup.close)
        until(lambda: len(hangup.times) >= 5, "somebody looks", 40)
        hangup.close()
        self.assertEqual(hangup.most, 1)
        gaps = [later - earlier for earlier, later in zip(hangup.times, hangup.times[1:], strict=False)]
        self.assertGreater(min(gaps), 1.0)
        self.assertEqual(self.events("host-answers"), [])
        sink = self.sink()
        until(lambda: sink.messages, "it is found that it answers", 20)
        began, counts = time.monotonic(), []
        while len(sink.messages) < 2 * COUNT and time.monotonic() < began + 40:
            counts.append((time.monotonic() - began, len(sink.messages)))
            time.sleep(0.02)
        self.assertEqual(len(sink.messages), 2 * COUNT)
        # 5 a second of each at first, which doubles: not all at once, but soon, and of both.
        self.assertLess(max(count for at, count in counts if at < 0.9), 30)
        self.assertLess(time.monotonic() - began, 30)
        for mail in self.both:
            mail.emptied()
        [line] = self.events("host-answers")
        self.assertIn(f"host={self.host}", line)
        self.assertEqual(len(self.events("host-down")), 1)

    def test_suspended(self) -> None:
        """An operator suspends a host that takes mail: within two seconds nothing goes to it from
        both, and what comes is taken and waits; when he resumes it all goes at once."""
        sink = self.sink()
        self.put(3)
        until(lambda: len(sink.messages) == 6, "mail goes")
        self.both[0].tool("hosts", "suspend", self.host, "--reason", "moves")
        time.sleep(2)
        count = len(sink.messages)
        self.put(5)
        time.sleep(2)
        self.assertEqual(len(sink.messages), count)
        for mail in self.both:
            self.assertEqual(len(mail.queue()), 5)
            self.assertIn("suspended by the postmaster", mail.tool("queue", "list", "--json"))
        self.both[1].tool("hosts", "resume", self.host)
        until(lambda: len(sink.messages) == count + 10, "mail goes again", 10)
        for mail in self.both:
            mail.emptied()
        self.assertEqual(self.events("host-down") + self.events("host-answers"), [])


class SqliteHostsTests(SharedHosts, TestCase):
    """In a folder."""

    def stateUrl(self) -> str:
        """Of both."""
        return f"sqlite:{self.folder}/state"


class RedisHostsTests(SharedHosts, TestCase):
    """In Redis."""

    def stateUrl(self) -> str:
        """A server."""
        server = Server(self.folder / "redis")
        self.stack.callback(server.stop)
        return f"redis://{HOST}:{server.port}"
