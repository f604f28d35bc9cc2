"""L{umbcmail.lda.tokens}: deliveries only while there is a ticket, and what is made of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import credentials
from umbcmail.credentials import Credentials
from umbcmail.lda.tokens import AGAIN, GRACE, LOOK, Tokens
from umbcmail.maillog import MailLog


class Reactor(MemoryReactorClock):
    """One that keeps what it adopts."""

    adopted: Any = None

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        """The socket of a child."""
        self.adopted = adopted = factory.buildProtocol(None)
        transport = StringTransport()
        transport.abortConnection = lambda: adopted.connectionLost()  # type: ignore[method-assign]
        adopted.makeConnection(transport)


class TokenTests(SynchronousTestCase):
    """With a cache in a folder."""

    def setUp(self) -> None:
        """A cache without a record."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.cache = folder / "cache"
        self.cache.touch(0o600)
        self.reactor = Reactor()
        self.reactor.advance(1000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.reactor, delay=0)
        self.orders: list[Mapping[str, Any]] = []
        self.came = 0
        self.tokens = self.make(["aklog", "-x"])

    def make(self, command: list[str]) -> Tokens:
        """Those of a token command."""
        settings = {"cache": str(self.cache), "token-command": command, "timeout": 30.0}
        return Tokens(settings, [os.geteuid()], self.fork, self.reactor, self.log, self.cameNow)

    def cameNow(self) -> None:
        """Deliveries may begin."""
        self.came += 1

    def fork(self, order: Mapping[str, Any], link: int) -> None:
        """A child is asked for."""
        self.orders.append(order)
        os.fstat(link)

    def ticket(self, life: float = 900, **more: Any) -> None:
        """The role postman has one."""
        now = self.reactor.seconds()
        known = Credentials("postman/mx1", "/k", str(self.cache), now, now + life, now + life, **more)
        credentials.write(known)

    def answer(self, **what: Any) -> None:
        """The child answers."""
        self.reactor.adopted.dataReceived(json.dumps(what).encode())
        self.reactor.adopted.dataReceived(b"\n")

    def said(self) -> str:
        """What is in the log."""
        self.log.flush()
        return b"".join(self.lines).decode()

    def test_noRecord(self) -> None:
        """Nobody has put anything down: it is said once what to do."""
        self.tokens.start()
        self.reactor.pump([LOOK] * 10)
        self.assertEqual(1, self.said().count("--role postman"))
        self.assertFalse(self.tokens.areThere)
        self.tokens.stop()

    def test_withoutCommand(self) -> None:
        """Where there is no AFS the ticket is enough; it ends by itself, to the second."""
        self.tokens = self.make([])
        self.ticket(100)
        self.tokens.start()
        self.assertEqual((True, 1, ""), (self.tokens.areThere, self.came, self.tokens.condition))
        self.reactor.pump([LOOK] * 99)
        self.assertTrue(self.tokens.areThere)
        self.reactor.rightNow += LOOK  # nobody has looked yet
        self.assertFalse(self.tokens.areThere)
        self.reactor.pump([LOOK])
        self.assertIn("has ended", self.said())
        self.ticket()
        self.reactor.pump([LOOK])
        self.assertEqual((True, 2), (self.tokens.areThere, self.came))
        self.tokens.stop()

    def test_command(self) -> None:
        """It is run once for each ticket, with the cache in its environment."""
        self.ticket()
        self.tokens.start()
        self.assertFalse(self.tokens.areThere)
        self.reactor.pump([LOOK] * 3)
        [order] = self.orders
        self.assertEqual(["aklog", "-x"], order["argv"])
        self.assertEqual(f"FILE:{self.cache}", order["environment"]["KRB5CCNAME"])
        self.answer(result="exit", status=0, why="")
        self.assertEqual((True, 1), (self.tokens.areThere, self.came))
        self.reactor.pump([LOOK] * 3)
        self.ticket()
        self.reactor.pump([LOOK] * 3)
        self.assertEqual(2, len(self.orders))
        self.assertTrue(self.tokens.areThere)
        self.answer(result="exit", status=1, why="no cell")
        self.assertTrue(self.tokens.areThere)
        self.assertIn("status 1 no cell; try: KRB5CCNAME=FILE:", self.said())
        self.reactor.pump([LOOK] * int(AGAIN + 1))
        self.assertEqual(3, len(self.orders))
        self.assertEqual(1, self.came)
        self.tokens.stop()

    def test_failures(self) -> None:
        """Whatever becomes of it but status 0 is none; it is tried again, and told."""
        for count, (answer, words) in enumerate(
            (
                ({"result": "missing", "why": "aklog is not there"}, "token-command = [] where there is no AFS"),
                ({"result": "signal", "signal": 9, "why": ""}, "signal 9"),
                ({"result": "timeout", "why": ""}, "timeout"),
                ({}, "None"),
            ),
            1,
        ):
            if count == 1:
                self.ticket()
                self.tokens.start()
            self.assertEqual(count, len(self.orders))
            self.answer(**answer)
            self.assertFalse(self.tokens.areThere)
            self.assertIn(words, self.said())
            self.reactor.pump([LOOK] * int(AGAIN + 1))
        self.reactor.adopted.connectionLost()
        self.assertIn("the process that was to run it has ended", self.said())
        self.reactor.pump([LOOK] * int(AGAIN + 1))
        self.reactor.pump([LOOK] * int(30 + GRACE + AGAIN + 2))
        self.assertEqual(7, len(self.orders))
        self.tokens.stop()

    def test_forgotten(self) -> None:
        """When the process that had them is gone nothing is delivered before they are had again; an
        answer about those before does not count."""
        self.ticket()
        self.tokens.start()
        old = self.reactor.adopted
        self.tokens.forget()
        self.reactor.pump([LOOK])
        self.assertEqual(2, len(self.orders))
        old.dataReceived(b'{"result": "exit", "status": 0}\n')
        self.assertFalse(self.tokens.areThere)
        self.answer(result="exit", status=0)
        self.assertTrue(self.tokens.areThere)
        self.tokens.forget()
        self.assertFalse(self.tokens.areThere)
        self.tokens.stop()

    def test_noFork(self) -> None:
        """No process can be made now."""

        def fork(order: Mapping[str, Any], link: int) -> None:
            raise OSError(0, "not now")

        self.tokens._fork = fork
        self.ticket()
        self.tokens.start()
        self.assertIn("not now", self.said())
        self.tokens.stop()

    def test_strangers(self) -> None:
        """A cache that others can write to is not used."""
        self.ticket()
        self.cache.chmod(0o666)
        self.tokens.start()
        self.assertEqual([], self.orders)
        self.assertIn("chmod 600", self.said())
        self.tokens.stop()

    def test_mended(self) -> None:
        """What was wrong with the cache, or kept us from reading the record, is over: the ticket that
        was there before is good again, and another one is not waited for."""
        record = Path(credentials.recordAt(str(self.cache)))
        away = record.with_name("away")
        for command, breaks, mends in (
            ([], lambda: self.cache.chmod(0o644), lambda: self.cache.chmod(0o600)),
            (["aklog"], lambda: self.cache.rename(away), lambda: away.rename(self.cache)),
            ([], lambda: record.rename(away), lambda: away.rename(record)),
        ):
            self.tokens = self.make(command)
            self.ticket()
            self.tokens.start()
            if command:
                self.answer(result="exit", status=0)
            self.assertTrue(self.tokens.areThere)
            breaks()
            self.reactor.pump([LOOK])
            self.assertFalse(self.tokens.areThere)
            mends()
            self.reactor.pump([LOOK])
            if command:
                self.answer(result="exit", status=0)
            self.assertEqual((True, ""), (self.tokens.areThere, self.tokens.condition))
            self.tokens.stop()
