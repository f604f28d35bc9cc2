"""Tests of L{umbcmail.state.sqlitehosts}: what a file and other processes add to the contract."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contracts.state import HOST, SHARED
from tests.fakes import FakeLog
from umbcmail.hoststatus import FORGOTTEN, KEPT, USUAL, HostStatus
from umbcmail.sighting import StateError
from umbcmail.state import sqlite
from umbcmail.state.sqlite import SqliteState


class SqliteHostsTests(TestCase):
    """Hosts in a folder."""

    timeout = 60

    def setUp(self) -> None:
        """A folder."""
        self.folder = tempfile.mkdtemp(prefix="umbcmail-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.log = FakeLog()
        self.now = round(time.time(), 3)
        self.patch(sqlite, "LOOK", 0.05)

    def tearDown(self) -> None:
        """No test passes that met a bug."""
        self.assertEqual([str(failure) for _, _, failure in self.log.bugs], [])

    async def open(self) -> SqliteState:
        """A state that is stopped in the end."""
        state = SqliteState(self.folder, reactor, self.log)  # type: ignore[arg-type]
        await state.start()
        self.addCleanup(state.stop)
        return state

    def sql(self, *statements: str) -> list[Any]:
        """Somebody meddles with the database.  @return: what the last statement finds."""
        connection = sqlite3.connect(os.path.join(self.folder, "state-1.db"), isolation_level=None)
        try:
            return [connection.execute(statement).fetchall() for statement in statements][-1]
        finally:
            connection.close()

    async def until(self, ask: Any, wanted: Any = True) -> None:
        """Ask again and again until the answer is the one that is wanted."""
        end = time.monotonic() + 10
        while (found := ask()) != wanted:
            if time.monotonic() > end:
                raise AssertionError(f"{wanted!r} expected, still {found!r}")
            await deferLater(reactor, 0.01)

    async def test_versionOne(self) -> None:
        """A file that was made before hosts were in it is taken over, with all that it has."""
        self.sql(*_VERSION_1)
        states = await gatherResults([ensureDeferred(self.open()) for _ in range(3)])
        found = await states[0].roster.listing(self.now)
        self.assertEqual([each.address for each in found], ["192.0.2.7"])
        await states[0].hosts.failed(HOST, "refused", self.now)
        await self.until(lambda: [each.hosts.find(HOST, self.now) is not None for each in states], [True] * 3)
        self.assertEqual(self.sql("PRAGMA user_version"), [(2,)])
        self.assertIs(await states[1].roster.remove("192.0.2.7"), True)

    async def test_fewWrites(self) -> None:
        """A host that fails a hundred times within a wait, in two processes, is written
        once or twice; nobody who only looks writes, or reads."""
        states = [await self.open(), await self.open()]
        await gatherResults([each.hosts.failed(HOST, "refused", self.now) for each in states for _ in range(50)])
        await self.until(lambda: states[1].hosts.find(HOST, self.now) is not None)
        await gatherResults([each.hosts.failed(HOST, "timeout", self.now + 1) for each in states for _ in range(50)])
        [(number,)] = self.sql("SELECT number FROM host")
        self.assertEqual(number % (1 << 40), 1)
        counts = [each.database.count for each in states]
        self.assertLessEqual(sum(counts), 2)
        for _ in range(1000):
            states[0].hosts.find(HOST, self.now)
            self.assertIs(self.successResultOf(states[0].hosts.claimProbe(HOST, self.now, 900.0)), False)
        await deferLater(reactor, 0.2)
        self.assertEqual([each.database.count for each in states], counts)

    async def test_swept(self) -> None:
        """What is forgotten goes from the file and from memory; a suspended host never."""
        state = await self.open()
        await state.hosts.failed(HOST, "refused", self.now)
        await state.hosts.failed("b.example:25", "refused", self.now)
        await state.hosts.answered("b.example:25", self.now)
        await state.hosts.suspend("c.example:25", "moves", self.now)
        await deferLater(reactor, 0.2)  # its own changes have been read
        for later, left in ((KEPT + 1, [(HOST,), ("c.example:25",)]), (FORGOTTEN + 1, [("c.example:25",)])):
            state.now = lambda later=later: self.now + later
            state._sweepAt = 0.0
            await self.until(lambda: self.sql("SELECT host FROM host ORDER BY host = 'c.example:25'"), left)
            await self.until(lambda left=left: len(state.hosts._copy), len(left))

    async def test_full(self) -> None:
        """While nothing can be written each process knows what it finds out by itself; when
        there is room again all know it."""
        state, other = await self.open(), await self.open()
        await state.hosts.failed("b.example:25", "refused", self.now)
        await self.until(lambda: other.hosts.find("b.example:25", self.now) is not None)
        await state.database.write(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())
        why = "x" * 5000  # more than there is room for in what is allocated
        self.assertEqual((await state.hosts.failed(HOST, why, self.now)).failures, 1)
        self.assertIn("full", state.condition())
        self.assertIs(await state.hosts.claimProbe(HOST, self.now + USUAL.first, 900.0), True)
        self.assertIs(await state.hosts.claimProbe(HOST, self.now + USUAL.first, 900.0), False)
        known = state.hosts.find(HOST, self.now)
        await deferLater(reactor, 0.2)
        self.assertEqual((state.hosts.find(HOST, self.now), other.hosts.find(HOST, self.now)), (known, None))
        await state.database.write(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
        await self.until(lambda: other.hosts.find(HOST, self.now), known)
        self.assertEqual(state.condition(), "")

    async def test_damaged(self) -> None:
        """When the file is damaged all that is known goes into the next one, also what an
        operator has suspended."""
        states = [await self.open(), await self.open()]
        await states[0].hosts.failed(HOST, "refused", self.now)
        await states[1].hosts.suspend("b.example:25", "moves", self.now)
        for n in range(200):
            await states[0].counters.add("auth.login", str(n), 1.0, 100.0, self.now)
        await self.until(lambda: [len(each.hosts._copy) for each in states], [2, 2])
        await states[0].database.checkpoint()
        for name in ("state-1.db", "state-1.db-wal"):
            path = os.path.join(self.folder, name)
            with open(path, "r+b") as file:
                file.write(b"x" * os.stat(path).st_size)
        # Somebody comes across it: the reader has nothing of that table in its memory.
        found = states[0].database.read(lambda connection: connection.execute("SELECT * FROM counter").fetchall())
        await self.assertFailure(found, StateError)
        await self.until(lambda: os.path.exists(os.path.join(self.folder, "state-2.db")))
        third = await self.open()
        await self.until(lambda: sorted(third.hosts._copy), ["b.example:25", HOST])
        await self.until(lambda: {each.hosts._read >> 40 for each in states}, {2})
        await self.until(lambda: [each.hosts._unshared for each in states], [set(), set()])
        self.assertEqual([each.host for each in await third.hosts.listing(self.now)], ["b.example:25", HOST])
        self.assertIs(await third.hosts.resume("b.example:25"), True)
        await self.until(lambda: [each.hosts.find("b.example:25", self.now) for each in states], [None] * 2)
        await deferLater(reactor, 0.2)
        self.assertEqual([each.host for each in await third.hosts.listing(self.now)], [HOST])

    # Other processes

    def child(self, program: str) -> subprocess.Popen[bytes]:
        """Another process, with what is in L{_CHILD}."""
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD + program, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for each in (child.stdout.close, child.stdin.close, child.wait, child.kill):
            self.addCleanup(each)
        return child

    async def test_processSees(self) -> None:
        """What one process says of a host another one knows in time."""
        state = await self.open()
        child = self.child("run(sees)")
        self.assertEqual(await deferToThread(child.stdout.readline), b"ready\n")
        for change in (
            lambda: state.hosts.failed(HOST, "refused", self.now),
            lambda: state.hosts.suspend(HOST, "moves", self.now),
            lambda: state.hosts.resume(HOST),
        ):
            await change()
            begin = time.monotonic()
            told = await deferToThread(child.stdout.readline)
            self.assertLess(time.monotonic() - begin, SHARED)
            found = state.hosts.find(HOST, self.now)
            self.assertEqual(told.decode().strip(), found.text() if found else "fine")

    async def test_processesClaim(self) -> None:
        """Of several processes that want to probe a host one may."""
        state = await self.open()
        hosts = [f"mx{n}.example[192.0.2.1]:25" for n in range(50)]
        for host in hosts:
            await state.hosts.failed(host, "refused", self.now - USUAL.first)
        children = [self.child("run(claims)") for _ in range(3)]
        for child in children:
            self.assertEqual(await deferToThread(child.stdout.readline), b"ready\n")
        for child in children:
            child.stdin.write(b"go\n")
            child.stdin.flush()
        own = [host for host in hosts if await state.hosts.claimProbe(host, self.now, 900.0)]
        told = [(await deferToThread(child.stdout.readline)).decode().split() for child in children]
        self.assertEqual(sorted([*own, *(host for hosts in told for host in hosts)]), sorted(hosts))

    async def test_killedProber(self) -> None:
        """A process that is killed while it looks keeps nobody from looking for longer than
        it has said."""
        state = await self.open()
        known = await state.hosts.failed(HOST, "refused", self.now - USUAL.first)
        child = self.child("run(claims)")
        self.assertEqual(await deferToThread(child.stdout.readline), b"ready\n")
        child.stdin.write(b"go\n")
        child.stdin.flush()
        self.assertEqual(await deferToThread(child.stdout.readline), f"{HOST}\n".encode())
        child.kill()
        await self.until(lambda: state.hosts.find(HOST, self.now).probed > self.now)
        probed = state.hosts.find(HOST, self.now).probed
        self.assertEqual(state.hosts.find(HOST, self.now), replace(known, probed=probed))
        self.assertIs(await state.hosts.claimProbe(HOST, probed - 1, 900.0), False)
        self.assertIs(await state.hosts.claimProbe(HOST, probed, 900.0), True)
        self.assertIsInstance(state.hosts.find(HOST, self.now), HostStatus)


_VERSION_1 = (
    "PRAGMA page_size = 1024",
    "PRAGMA journal_mode = WAL",
    """CREATE TABLE sighting (
        address TEXT PRIMARY KEY NOT NULL, expires INTEGER NOT NULL, reporter TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE removal (
        number INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, at INTEGER NOT NULL)""",
    """CREATE TABLE counter (
        name TEXT NOT NULL, key BLOB NOT NULL, number REAL NOT NULL, at INTEGER NOT NULL, gone INTEGER NOT NULL,
        PRIMARY KEY (name, key)) WITHOUT ROWID""",
    "INSERT INTO sqlite_sequence VALUES ('removal', 1099511627776)",
    "INSERT INTO sighting VALUES ('192.0.2.7', 9000000000000000, '198.51.100.1')",
    "PRAGMA user_version = 1",
)
"""The tables of version 1, as it has made them."""

_CHILD = """
import sys, time
from twisted.internet import reactor, defer, task, threads
from umbcmail.state.sqlite import SqliteState

HOST = "mx.example[192.0.2.1]:25"

async def sees(state):
    before = None
    print("ready", flush=True)
    while True:
        known = state.hosts.find(HOST, time.time())
        if known != before:
            print(known.text() if known else "fine", flush=True)
        before = known
        await task.deferLater(reactor, 0.01)

async def claims(state):
    hosts = [each.host for each in await state.hosts.listing(time.time())]
    print("ready", flush=True)
    await threads.deferToThread(sys.stdin.readline)
    now = time.time()
    won = await defer.gatherResults([state.hosts.claimProbe(host, now, 900.0) for host in hosts])
    print(*[host for host, isOurs in zip(hosts, won) if isOurs], flush=True)
    await threads.deferToThread(sys.stdin.readline)

async def main(what):
    state = SqliteState(sys.argv[1], reactor)
    await state.start()
    await what(state)
    await state.stop()
    reactor.stop()

def run(what):
    reactor.callWhenRunning(lambda: defer.ensureDeferred(main(what)))
    reactor.run()

"""
