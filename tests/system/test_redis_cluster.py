"""Two mail hosts that share their state in Redis, as an operator runs them."""

from __future__ import annotations

import contextlib
import smtplib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import TestCase

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink
from tests.system.programs import HOST, freePort, until
from tests.system.redisservers import Server
from umbcmail.drac.client import Server as DracClient

CLIENT = "192.0.2.77"
SECRET = "a secret with # in it"

_QUESTION = ("--port", "mx", "--from", "s@z.test", "--to", "ann@far.test", "--client", "192.0.2.99")
_CONFIG = """
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
[spool]
url = "sqlite:{folder}/spool"
[log]
file = "{folder}/mail.log"
[dns]
servers = ["127.0.0.1:9"]
timeout = "1s"
[queue.local]
next-hops = ["unix:{folder}/lmtp"]
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface={host}"
relay = ["drac"]
proxy = ["127.0.0.9"]
"""


class ClusterTests(TestCase):
    """The hosts are called one and two."""

    def setUp(self) -> None:
        """A Redis with a password, a next hop, and the hosts."""
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umbcmail-test-")))
        self.redis = Server(self.folder / "redis", password=SECRET)
        stack.callback(self.redis.stop)
        self.sink = Sink()
        stack.callback(self.sink.close)
        self.drac = freePort()
        secret = self.folder / "redis.password"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        state = f'[state]\nurl = "redis://{HOST}:{self.redis.port}/2"\npassword-file = "{secret}"\ntimeout = "1s"\n'
        state += route("far.test", self.sink.port)
        listen = f'[drac]\nlisten = ["{HOST}:{self.drac}"]\nclients = ["{HOST}"]\nrpcbind = false\n'
        watch = '[watch]\nlisten = ["unix:{folder}/watch"]\n'
        self.one = Umbcmail(self.folder / "one", state + listen + watch, base=_CONFIG)
        self.two = Umbcmail(self.folder / "two", state + watch, base=_CONFIG)
        for mail in (self.one, self.two):
            stack.enter_context(running(mail))

    @contextlib.contextmanager
    def client(self, mail: Umbcmail, address: str = CLIENT) -> Iterator[smtplib.SMTP]:
        """A client, by a load balancer."""
        client = _Proxied(address)
        client.connect(HOST, mail.port)
        with client:
            client.ehlo("client.test")
            client.mail("s@z.test")
            yield client

    def answer(self, mail: Umbcmail, address: str = CLIENT) -> int:
        """What a client hears that wants to relay."""
        with self.client(mail, address) as client:
            return client.rcpt("ann@far.test")[0]

    def add(self, address: str = CLIENT) -> str:
        """A POP host tells the first one.  @return: what it hears."""
        return DracClient(HOST, port=self.drac).add([address], time.monotonic() + 10)[address].text

    def test_shared(self) -> None:
        """A login that one host was told of lets the client relay at the other, at once, and
        until it is removed."""
        self.assertEqual(self.answer(self.two), 550)
        self.assertEqual(self.add(), "add succeeded")
        self.assertEqual(self.answer(self.two), 250)
        with self.client(self.two) as client:
            client.rcpt("ann@far.test")
            self.assertEqual(client.data(b"Subject: x\r\n\r\ny\r\n")[0], 250)
        until(lambda: len(self.sink.messages) == 1, "it has been relayed")
        self.assertIn(CLIENT, self.two.tool("drac", "list"))
        self.two.tool("drac", "remove", CLIENT)
        for mail in (self.one, self.two):
            until(lambda mail=mail: self.answer(mail) == 550, "it may not relay any more", 2)

    def test_away(self) -> None:
        """While Redis is away both relay for whom they know and say that they are degraded; of
        others they don't know, so they delay; POP hosts hear of it.  Then all is well by itself,
        and what was acknowledged is there."""
        self.add()
        self.assertEqual(self.answer(self.two), 250)
        self.redis.kill()
        for mail in (self.one, self.two):
            until(lambda mail=mail: "Redis is away" in mail.log() or "connection" in mail.log(), "it is told")
            self.assertEqual(self.answer(mail), 250)
            self.assertEqual(self.answer(mail, "192.0.2.78"), 451)
            self.assertIn("Redis is away since", mail.tool("status", status=1))
        self.assertEqual(self.add("192.0.2.79"), "system error")
        self.assertEqual(self.answer(self.one, "192.0.2.79"), 250)
        self.assertEqual(self.answer(self.two, "192.0.2.79"), 451)
        self.one.tool("drac", "list", status=75)
        self.assertIn("connection refused", self.one.tool("explain", *_QUESTION, status=1))
        self.redis.start()
        for mail in (self.one, self.two):
            mail.logged('why="is there" away=')
        self.assertEqual(self.add("192.0.2.80"), "add succeeded")
        for mail in (self.one, self.two):
            self.assertEqual(self.answer(mail), 250)
            self.assertEqual(self.answer(mail, "192.0.2.78"), 550)
            self.assertEqual(len([line for line in mail.events("trouble") if "where=redis" in line]), 1)
            mail.tool("status")
        # What failed was not forgotten.
        self.assertEqual(self.answer(self.two, "192.0.2.79"), 250)
        self.assertEqual(self.answer(self.two, "192.0.2.80"), 250)

    def test_awayAtStart(self) -> None:
        """A host that starts while Redis is away accepts mail all the same."""
        self.two.stop()
        self.redis.kill()
        self.two.start()
        with self.client(self.two) as client:
            self.assertEqual(client.rcpt("ann@y.test")[0], 250)
            self.assertEqual(client.rcpt("ann@far.test")[0], 451)
        self.redis.start()
        self.two.logged('why="is there" away=')
        self.assertEqual(self.answer(self.two), 550)


class _Proxied(smtplib.SMTP):
    """A client whose connection comes from a load balancer, which says whose it is."""

    def __init__(self, address: str) -> None:
        super().__init__(timeout=20, source_address=("127.0.0.9", 0))
        self._address = address

    def _get_socket(self, host: str, port: int, timeout: float) -> object:
        found = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        found.sendall(f"PROXY TCP4 {self._address} 198.51.100.1 4000 25\r\n".encode())
        return found
