"""Tests of L{umbcmail.state.sqlite}: what a disk adds to the contract."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contracts.state import V4, V6, StateContract
from umbcmail.sighting import StateError
from umbcmail.sqlite import connection
from umbcmail.state import database, sqlite
from umbcmail.state.sqlite import SqliteState


class Troubles:
    """Remembers what would be logged."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.bugs: list[Any] = []

    def trouble(self, id: str, where: str, why: str) -> None:
        """See L{umbcmail.maillog.MailLog.trouble}."""
        self.seen.append(why)

    def bug(self, id: str, where: str, failure: Any) -> None:
        """See L{umbcmail.maillog.MailLog.bug}."""
        self.bugs.append(failure)


class SqliteStateTests(StateContract, TestCase):
    """The state in a folder keeps the promises, and some more."""

    timeout = 60

    def makeState(self) -> SqliteState:
        """One that shares the folder of this test."""
        if not hasattr(self, "folder"):
            place = tempfile.mkdtemp(prefix="umbcmail-test-")
            self.addCleanup(shutil.rmtree, place)
            self.folder = os.path.join(place, "lib", "state")
            self.log = Troubles()
            self.patch(sqlite, "LOOK", 0.05)
        return SqliteState(self.folder, reactor, self.log)  # type: ignore[arg-type]

    def path(self, name: str = "state-1.db") -> str:
        """A file in the folder."""
        return os.path.join(self.folder, name)

    def sql(self, statement: str, *values: Any, name: str = "state-1.db") -> list[Any]:
        """Somebody meddles with the database."""
        connection = sqlite3.connect(self.path(name), isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def child(self, program: str) -> subprocess.Popen[bytes]:
        """Another process, with the functions of L{_CHILD}."""
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD + program, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for each in (child.stdout.close, child.stdin.close, child.wait, child.kill):
            self.addCleanup(each)
        return child

    async def blockWriter(self) -> threading.Event:
        """All that is to be written until the event is set becomes one group."""
        begun, goOn = threading.Event(), threading.Event()

        def wait(connection: Any) -> None:
            begun.set()
            goOn.wait(10)

        self.state.database.write(wait)
        await deferToThread(begun.wait, 10)
        return goOn

    async def isOnDisk(self, address: str = V4) -> bool:
        """Whether the database has an address without its log, as after the loss of power."""
        copy = os.path.join(tempfile.mkdtemp(dir=os.path.dirname(self.folder)), "copy.db")
        shutil.copyfile(self.path(), copy)
        connection = sqlite3.connect(f"file:{copy}?immutable=1", uri=True)
        try:
            return bool(connection.execute("SELECT 1 FROM sighting WHERE address = ?", (address,)).fetchall())
        except sqlite3.OperationalError:
            return False  # not even a table
        finally:
            connection.close()

    def test_private(self) -> None:
        """Only the owner of the folder may look into it."""
        self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)

    async def test_toDisk(self) -> None:
        """What has been written gets to the disk without anybody's doing."""
        await self.add()
        await self.until(self.isOnDisk, True)

    async def test_known(self) -> None:
        """What this process has added or found is answered at once; all else is looked up."""
        await self.add()
        self.assertEqual(self.state.roster.find(V4, self.now), self.sighting())
        self.assertIsInstance(self.other.roster.find(V4, self.now), Deferred)
        self.assertEqual(await self.find(state=self.other), self.sighting())
        self.assertEqual(self.other.roster.find(V4, self.now), self.sighting())

    async def test_groupCommit(self) -> None:
        """All that waits becomes one transaction."""
        goOn = await self.blockWriter()
        before = self.state.database.count
        asked = [self.state.roster.add(self.sighting(f"192.0.2.{n}"), self.now) for n in range(250)]
        asked += [self.state.roster.remove("192.0.2.7"), self.state.roster.add(self.sighting("192.0.2.7"), self.now)]
        goOn.set()
        self.assertEqual(await gatherResults(asked), [True] * 252)
        self.assertEqual(self.state.database.count, before + 2)  # the one that waited, and the group

    async def test_groupWithFailures(self) -> None:
        """Who fails in a group does not harm the others; a bug is logged as such."""
        goOn = await self.blockWriter()
        asked = [
            self.state.roster.add(self.sighting(), self.now),
            self.state.database.write(lambda connection: {}["x"]),
            self.state.roster.add(self.sighting(V6), self.now),
        ]
        goOn.set()
        results = await DeferredList(asked, consumeErrors=True)
        self.assertEqual([good for good, _ in results], [True, False, True])
        self.assertIs(results[1][1].type, StateError)
        self.assertEqual([bug.type for bug in self.log.bugs], [KeyError])
        self.assertEqual(await self.listed(self.other), [V4, V6])

    async def test_sweep(self) -> None:
        """What has expired or faded goes from the file and from memory; the rest stays."""
        self.patch(sqlite, "PORTION", 3)
        for n in range(10):
            await self.add(f"192.0.2.{n}", seconds=60)
        await self.add(V6)
        await self.add("192.0.2.99", seconds=60)
        await self.state.roster.remove("192.0.2.99")
        await self.count(1.0)
        await self.count(1.0, key="bob", later=2 * 86400)
        self.state.now = lambda: self.now + 120
        self.state._sweepAt = 0.0
        await self.until(self.entriesLeft, [(V6,)])
        await self.until(self.knownHere, 1)
        self.state.now = lambda: self.now + 86400
        self.state._sweepAt = 0.0
        await self.until(self.entriesLeft, [])
        await self.until(self.countersLeft, [(b"bob",)])
        self.assertEqual(self.sql("SELECT * FROM removal"), [])
        self.assertEqual(self.log.bugs, [])

    async def entriesLeft(self) -> list[Any]:
        """Addresses in the file."""
        return self.sql("SELECT address FROM sighting")

    async def countersLeft(self) -> list[Any]:
        """Keys in the file."""
        return self.sql("SELECT key FROM counter")

    async def knownHere(self) -> int:
        """How many addresses the process remembers."""
        return len(self.state.known)

    async def test_logBeginsAnew(self) -> None:
        """A log that is long is begun anew, though others write all the time."""
        self.patch(database, "LOG", 0)
        for n in range(50):
            adds = [self.state.roster.add(self.sighting(f"10.0.{n}.{m}"), self.now) for m in range(20)]
            await gatherResults([*adds, self.other.database.checkpoint()])
        self.assertLess(os.stat(self.path("state-1.db-wal")).st_size, 1 << 20)
        self.assertEqual(len(await self.listed()), 1000)

    async def test_newerVersion(self) -> None:
        """A state that a newer program has made is refused and left alone."""
        self.sql("PRAGMA user_version = 99")
        with self.assertRaisesRegex(StateError, r"state-1\.db is of version 99"):
            await self.makeState().start()
        self.assertEqual(self.sql("PRAGMA user_version"), [(99,)])

    async def test_noFolder(self) -> None:
        """Where no folder can be made there is no start, and stopping is no trouble."""
        state = SqliteState(self.path("state-1.db"), reactor)
        await self.fails(state.start)
        await state.stop()

    # No room

    async def test_full(self) -> None:
        """When the disk is full an add fails, and it shows; what is known holds, and by
        itself all is well again when there is room."""
        await self.add()
        self.assertEqual(self.state.condition(), "")
        write = self.state.database.write
        await write(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())
        adds = [self.state.roster.add(self.sighting(f"10.0.0.{n}"), self.now) for n in range(200)]
        results = await DeferredList(adds, consumeErrors=True)
        failed = [why for good, why in results if not good]
        self.assertTrue(failed)
        self.assertEqual({why.type for why in failed}, {StateError})
        self.assertIn("full", self.state.condition())
        self.assertEqual(self.state.roster.find(V4, self.now), self.sighting())
        kept = [f"10.0.0.{n}" for n, (good, _) in enumerate(results) if good]
        self.assertEqual(await self.listed(), sorted([V4, *kept]))
        await write(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
        await self.until(self.conditions, ["", ""])
        self.assertIs(await self.add(V6), True)

    async def conditions(self) -> list[str]:
        """How both are."""
        return [self.state.condition(), self.other.condition()]

    async def test_busy(self) -> None:
        """Who holds the database for too long makes adds fail, and nothing else."""
        self.patch(connection, "BUSY_TIMEOUT", 0.1)
        state = await self.open()
        blocker = sqlite3.connect(self.path(), isolation_level=None)
        self.addCleanup(blocker.close)
        blocker.execute("BEGIN IMMEDIATE")
        await self.fails(state.roster.add, self.sighting(), self.now)
        self.assertIn("can't be written: OperationalError: database is locked", state.condition())
        self.assertIsNone(await self.find(state=state))
        blocker.execute("ROLLBACK")
        self.assertIs(await self.add(state=state), True)
        self.assertEqual(state.condition(), "")

    # Damage

    def spoil(self) -> None:
        """A disk fails: all of the database is overwritten, and of its log."""
        for path in (self.path(), self.path("state-1.db-wal")):
            if os.path.exists(path):
                with open(path, "r+b") as file:
                    file.write((b"this is not a database " * (os.stat(path).st_size // 20))[: os.stat(path).st_size])

    async def test_damagedBefore(self) -> None:
        """A file that is damaged at the start stays where it is, and a new one is begun."""
        await self.add()
        await self.state.stop()
        await self.other.stop()
        self.spoil()
        states = [await self.open(), await self.open()]
        self.assertEqual(await self.listed(states[0]), [])
        self.assertIs(await self.add(state=states[0]), True)
        self.assertEqual(await self.find(state=states[1]), self.sighting())
        with open(self.path(), "rb") as file:
            self.assertEqual(file.read(4), b"this")
        [line] = self.log.seen
        self.assertIn(f"{self.path()} is damaged", line)
        self.assertIn(f"{self.path()} was damaged", states[0].condition())
        [count] = [each.value for each in states[0].figures() if each.name == "state_damaged_total"]
        self.assertEqual(count, 1)
        states[0].now = lambda: self.now + 86400
        self.assertEqual(states[0].condition(), "")

    async def test_damagedBetween(self) -> None:
        """One that is damaged while all use it is left by all, and who adds does not notice."""
        await gatherResults([self.state.roster.add(self.sighting(f"10.0.0.{n}"), self.now) for n in range(200)])
        await self.state.database.checkpoint()
        await self.state.roster.remove("10.0.0.1")
        await self.state.database.checkpoint()
        self.spoil()
        await gatherResults([each.roster.add(self.sighting(), self.now) for each in (self.state, self.other)])
        for state in (self.state, self.other):
            self.assertEqual(await self.find(state=state), self.sighting())
            self.assertEqual(await self.listed(state), [V4])
        self.assertEqual(self.sql("SELECT address FROM sighting", name="state-2.db"), [(V4,)])
        self.assertEqual(len(self.log.seen), 1)
        # Removals are seen in the new one as in the old one.
        await self.other.roster.remove(V4)
        await self.until(self.find, None)
        self.assertEqual(self.log.bugs, [])

    async def test_damageThatReadersMeet(self) -> None:
        """It is left too when nobody writes."""
        await gatherResults([self.state.roster.add(self.sighting(f"10.0.0.{n}"), self.now) for n in range(200)])
        await self.state.database.checkpoint()
        self.spoil()
        await self.until(lambda: self.quiet(self.other), [])
        self.assertEqual(len(self.log.seen), 1)

    async def quiet(self, state: Any) -> Any:
        """The listing, or that there is none."""
        try:
            return await self.listed(state)
        except StateError as why:
            return str(why)

    async def test_noHealing(self) -> None:
        """Where each new file is damaged too there is no start, and no end of trying."""
        await self.state.stop()
        await self.other.stop()
        for n in range(1, 9):
            with open(self.path(f"state-{n}.db"), "wb") as file:
                file.write(b"x" * 4096)
        self.patch(database.StateFolder, "next", lambda folder: None)
        await self.fails(self.makeState().start)

    # Other processes

    async def test_killed(self) -> None:
        """All adds that were answered are there when the process is killed."""
        child = self.child("run(addAndTell)")
        told = [await deferToThread(child.stdout.readline) for _ in range(300)]
        os.kill(child.pid, signal.SIGKILL)
        told += await deferToThread(child.stdout.readlines)
        addresses = sorted(line.decode().strip() for line in told if line.endswith(b"\n"))
        state = await self.open()
        found = await state.roster.listing(time.time())
        self.assertTrue(set(addresses) <= {each.address for each in found})
        self.assertEqual(state.condition(), "")

    async def test_processes(self) -> None:
        """An add in one process is found in another at once, without a second question."""
        child = self.child("run(addWhenAsked)")
        for n in range(20):
            address = f"10.1.1.{n}"
            self.assertIsNone(await self.find(address))
            child.stdin.write(f"{address}\n".encode())
            child.stdin.flush()
            self.assertEqual(await deferToThread(child.stdout.readline), f"{address}\n".encode())
            self.assertEqual((await self.find(address)).address, address)


_CHILD = """
import sys, time
from twisted.internet import reactor, defer, threads
from umbcmail.sighting import Sighting
from umbcmail.state.sqlite import SqliteState

async def add(state, address):
    await state.roster.add(Sighting(address, time.time() + 600), time.time())
    print(address, flush=True)

async def addAndTell(state):
    for n in range(250):
        await defer.gatherResults([defer.ensureDeferred(add(state, f"10.{m}.0.{n}")) for m in range(100)])

async def addWhenAsked(state):
    while address := (await threads.deferToThread(sys.stdin.readline)).strip():
        await add(state, address)

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
