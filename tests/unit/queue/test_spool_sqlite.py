"""Tests of L{umbcmail.queue.spool.sqlite}: what a disk adds to the contract."""

from __future__ import annotations

import errno
import json
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
from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.contracts.spool import DELAYED, LEASE, NOW, SENT, SpoolContract, change, draft, envelope, octets
from umbcmail.content import FileContent, MemoryContent
from umbcmail.entry import ContentDamaged, SpoolError, SpoolFull
from umbcmail.outcome import Outcome
from umbcmail.queue.spool import owners, reads, schema
from umbcmail.queue.spool.files import ORPHAN_AGE
from umbcmail.queue.spool.sqlite import SqliteSpool
from umbcmail.reply import reply
from umbcmail.selection import Selection


class Troubles:
    """Remembers what would be logged."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.bugs: list[Any] = []

    def trouble(self, id: str, where: str, why: str) -> None:
        """See L{umbcmail.maillog.MailLog.trouble}."""
        self.seen.append((id, why))

    def bug(self, id: str, where: str, failure: Any) -> None:
        """See L{umbcmail.maillog.MailLog.bug}."""
        self.bugs.append(failure)


class SqliteSpoolTests(SpoolContract, TestCase):
    """The spool in a folder keeps the promises, and some more."""

    timeout = 20

    def makeSpool(self, owner: str) -> SqliteSpool:
        """One that shares the folder of this test."""
        if not hasattr(self, "folder"):
            self.folder = os.path.join(self.place(), "spool")
            self.log = Troubles()
            self.patch(owners, "PATIENCE", 0.1)
        return SqliteSpool(self.folder, reactor, owner, LEASE, log=self.log)

    def place(self) -> str:
        """A folder that goes with the test."""
        folder = tempfile.mkdtemp(prefix="umbcmail-test-")
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def crash(self, spool: SqliteSpool) -> None:
        """The kernel takes the lock away."""
        spool._folder.abandon()

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Somebody meddles with the database."""
        connection = sqlite3.connect(os.path.join(self.folder, "spool.db"), isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def files(self, name: str) -> list[str]:
        """What is in a folder of the spool."""
        return sorted(os.listdir(os.path.join(self.folder, name)))

    async def large(self, id: str = "mx1-1", size: int = 300_000) -> FileContent:
        """Finished content in a file."""
        writer = self.spool.newContent(id)
        await writer.write(b"x" * size)
        return await writer.finish()

    async def blockWriter(self) -> threading.Event:
        """All that is asked for until the event is set becomes one group."""
        begun, goOn = threading.Event(), threading.Event()

        def wait(connection: Any) -> None:
            begun.set()
            goOn.wait(10)

        self.spool._database.write(wait)
        await deferToThread(begun.wait, 10)
        return goOn

    # The folder

    def test_private(self) -> None:
        """Only the owner of the folder may look into it."""
        self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)

    async def test_powerLoss(self) -> None:
        """Each transaction is fsynced: write-ahead log, synchronous FULL."""
        ask = self.spool._database.write
        self.assertEqual(await ask(lambda c: c.execute("PRAGMA synchronous").fetchone()), (2,))
        self.assertEqual(await ask(lambda c: c.execute("PRAGMA journal_mode").fetchone()), ("wal",))

    async def test_startTogether(self) -> None:
        """Processes that start at once on a folder that is not there make one spool."""
        folder = os.path.join(self.place(), "new", "spool")
        spools = [SqliteSpool(folder, reactor, f"host.{n}", log=self.log) for n in range(6)]
        await gatherResults([spool.start() for spool in spools])
        for spool in spools:
            self.addCleanup(spool.stop)
        for n, spool in enumerate(spools):
            await spool.commit(envelope(f"m{n}"), MemoryContent(b"x"), [draft(envelope(f"m{n}"))], NOW)
        self.assertEqual(len(await spools[0].listing(Selection(), 10)), 6)

    async def test_reserve(self) -> None:
        """With less room left than is to be kept no message is taken, small or
        large, but what is there can go."""
        await self.put("mx1-1")
        spool = SqliteSpool(self.folder, reactor, "host.4.d", reserve=1 << 62)
        await spool.start()
        self.addCleanup(spool.stop)
        small = spool.commit(envelope("m2"), MemoryContent(b"x"), [draft(envelope("m2"))], NOW)
        await self.fails(small, SpoolFull)
        await self.fails(spool.newContent("m3").write(b"x" * 300_000), SpoolFull)
        self.assertTrue(spool.isFull(0))
        self.assertEqual(self.files("content"), [])
        [claim] = await spool.claim("remote", 9, NOW)
        bounce = (envelope("b-1"), MemoryContent(b"b"), draft(envelope("b-1")))
        await spool.record(claim, change(claim, SENT), NOW, [bounce])
        self.assertEqual([entry.id for entry in await spool.listing(Selection(), 9)], ["b-1"])

    async def test_newerVersion(self) -> None:
        """A spool that a newer program has made is refused and left alone."""
        self.sql("PRAGMA user_version = 99")
        spool = self.makeSpool("host.4.d")
        why = await self.fails(spool.start())
        self.assertIn("version 99", str(why))
        self.assertEqual(self.sql("PRAGMA user_version"), [(99,)])
        self.assertNotIn("host.4.d", self.files("owners"))

    async def test_noDatabase(self) -> None:
        """A file that is no database is told as a problem of the spool."""
        folder = self.place()
        with open(os.path.join(folder, "spool.db"), "wb") as file:
            file.write(b"this is not a database, whatever its name is\n" * 100)
        await self.fails(SqliteSpool(folder, reactor, "host.5.e").start())

    async def test_stopLeavesNothing(self) -> None:
        """A process that stops takes its lock and its folder away."""
        self.assertEqual(self.files("owners"), ["host.1.a", "host.2.b"])
        await self.spool.stop()
        self.assertEqual((self.files("owners"), self.files("incoming")), (["host.2.b"], ["host.2.b"]))

    def test_badOwner(self) -> None:
        """The name of an owner becomes that of a file."""
        for owner in ("", "..", "a/b"):
            self.assertRaises(ValueError, SqliteSpool, "/nonexistent", reactor, owner)

    # Group commit

    async def test_groupCommit(self) -> None:
        """All that waits becomes one transaction."""
        goOn = await self.blockWriter()
        before = self.spool.transactions
        committed = [
            self.spool.commit(envelope(f"m{n}"), MemoryContent(b"x"), [draft(envelope(f"m{n}"))], NOW, True)
            for n in range(150)
        ]
        goOn.set()
        claims = [claims[0] for claims in await gatherResults(committed)]
        self.assertEqual(self.spool.transactions, before + 2)  # the one that waited, and the group
        goOn = await self.blockWriter()
        recorded = [self.spool.record(claim, change(claim, SENT), NOW) for claim in claims]
        goOn.set()
        await gatherResults(recorded)
        self.assertEqual(self.spool.transactions, before + 4)
        for table in ("message", "entry", "delivery"):
            self.assertEqual(self.sql(f"SELECT count(*) FROM {table}"), [(0,)])

    async def test_groupWithFailures(self) -> None:
        """Who fails in a group does not harm the others, and orders in it are done
        in the order in which they were given."""
        await self.put("taken")
        await self.spool.claim("remote", 1, NOW)
        goOn = await self.blockWriter()
        asked = [
            self.spool.commit(envelope(id), MemoryContent(b"x"), [draft(envelope(id))], NOW)
            for id in ("m1", "taken", "m2")
        ]
        held = self.spool.hold(Selection(ids=("m1", "m3")))
        last = self.spool.commit(envelope("m3"), MemoryContent(b"x"), [draft(envelope("m3"))], NOW)
        goOn.set()
        results = await DeferredList([*asked, last], consumeErrors=True)
        self.assertEqual([good for good, _ in results], [True, False, True, True])
        self.assertIs(type(results[1][1].value), SpoolError)
        self.assertEqual(await held, 1)
        self.assertEqual(await self.ids(), ["m1", "m2", "m3", "taken"])
        self.assertEqual(await self.ids(held=True), ["m1"])

    async def test_bug(self) -> None:
        """An error that nobody expected is logged as such, fails its own job only,
        and the thread goes on."""
        goOn = await self.blockWriter()
        bad = self.spool._database.write(lambda connection: {}["x"])
        good = self.spool.commit(envelope("m1"), MemoryContent(b"x"), [draft(envelope("m1"))], NOW)
        goOn.set()
        await self.fails(bad)
        await good
        self.assertEqual([bug.type for bug in self.log.bugs], [KeyError])

    async def test_unstorable(self) -> None:
        """A reply that is no proper text does not stop a record; such an address
        can't be committed."""
        bad = envelope("m1", "\udcff@x")
        await self.fails(self.spool.commit(bad, MemoryContent(b"x"), [draft(bad)], NOW))
        await self.put("m2")
        [claim] = await self.spool.claim("remote", 1, NOW)
        outcome = Outcome(reply(450, "4.0.0", "\udcff"), "\udcfe[::1]:25", "\udcfd")
        await self.spool.record(claim, change(claim, outcome), NOW)
        [entry] = await self.spool.listing(Selection(), 9)
        self.assertEqual(entry.deliveries[0].outcome.host, "?[::1]:25")

    async def test_waitsForOthers(self) -> None:
        """Another process that holds the database for a moment is waited for."""
        connection = sqlite3.connect(os.path.join(self.folder, "spool.db"), isolation_level=None)
        self.addCleanup(connection.close)
        connection.execute("BEGIN IMMEDIATE")
        waiting = self.spool.commit(envelope("m1"), MemoryContent(b"x"), [draft(envelope("m1"))], NOW)
        self.assertEqual(await self.ids(), [])  # readers do not wait
        self.assertFalse(waiting.called)
        connection.execute("COMMIT")
        await waiting
        self.assertEqual(await self.ids(), ["m1"])

    # No room

    async def test_full(self) -> None:
        """When the disk is full the message is refused, those that fit are kept,
        and there is room again when others have gone."""
        await self.spool.stop()
        connect = schema.connect

        def small(path: str) -> sqlite3.Connection:
            connection = connect(path)
            connection.execute("PRAGMA max_page_count = 100")
            return connection

        self.patch(schema, "connect", small)
        self.spool = await self.open("host.6.f")
        goOn = await self.blockWriter()
        wholes = [envelope(f"m{n}") for n in range(5)]
        content = MemoryContent(b"x" * 100_000)
        asked = [self.spool.commit(whole, content, [draft(whole)], NOW) for whole in wholes]
        goOn.set()
        results = await DeferredList(asked, consumeErrors=True)
        kept = [whole.id for whole, (good, _) in zip(wholes, results, strict=True) if good]
        self.assertEqual(kept, ["m0", "m1", "m2"])
        self.assertEqual({type(why.value) for good, why in results if not good}, {SpoolFull})
        self.assertEqual(await self.ids(), kept)
        await self.spool.remove(Selection(ids=("m0",)))
        await self.spool.commit(wholes[4], content, [draft(wholes[4])], NOW)
        self.assertEqual(await self.ids(), ["m1", "m2", "m4"])

    async def test_fullFile(self) -> None:
        """No room for large content: SpoolFull, and nothing stays behind."""

        write = os.write

        def full(fd: int, data: bytes) -> int:
            if len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(fd, data)  # the reactor wakes itself with an octet

        writer = self.spool.newContent("mx1-1")
        await writer.write(b"x" * 100_000)
        self.patch(os, "write", full)
        await self.fails(writer.write(b"x" * 100_000), SpoolFull)
        await self.fails(writer.write(b"x"), SpoolFull)
        await self.fails(writer.finish(), SpoolFull)
        writer.abort()
        await self.spool.stop()
        self.assertNotIn("host.1.a", self.files("incoming"))

    # Files

    async def test_fileLives(self) -> None:
        """The file of a large content moves with the commit, and goes when the
        message has gone."""
        content = await self.large()
        self.assertEqual((self.files("incoming/host.1.a"), self.files("content")), (["mx1-1"], []))
        [claim] = await self.spool.commit(envelope(), content, [draft(envelope())], NOW, True)
        self.assertEqual((self.files("incoming/host.1.a"), self.files("content")), ([], ["mx1-1"]))
        self.assertEqual(self.sql("SELECT content FROM message"), [(None,)])
        await self.spool.record(claim, change(claim, SENT), NOW)
        self.assertEqual(self.files("content"), [])

    async def test_fileRemoved(self) -> None:
        """The operator's remove takes the file along, with the last entry."""
        whole = envelope("mx1-1", "a@x")
        await self.spool.commit(whole, await self.large(), [draft(whole), draft(whole, "slow")], NOW)
        await self.spool.remove(Selection(queues=("slow",)))
        self.assertEqual(self.files("content"), ["mx1-1"])
        await self.spool.remove(Selection())
        self.assertEqual(self.files("content"), [])

    async def test_fileOfFailedCommit(self) -> None:
        """A commit that fails takes its file along, and never that of another."""
        await self.put("m1")
        await self.fails(self.spool.commit(envelope("m1"), await self.large("m1"), [draft(envelope("m1"))], NOW))
        self.assertEqual((self.files("incoming/host.1.a"), self.files("content")), ([], []))
        [claim] = await self.spool.commit(envelope("m2"), await self.large("m2"), [draft(envelope("m2"))], NOW)
        await self.fails(self.spool.commit(envelope("m2"), await self.large("m2", 9), [draft(envelope("m2"))], NOW))
        self.assertEqual((self.files("incoming/host.1.a"), self.files("content")), ([], ["m2"]))
        self.assertEqual((await self.spool.content(claim.entry)).size, 300_000)

    async def test_fileCut(self) -> None:
        """A file that lacks octets is never committed, and not handed out."""
        content = await self.large("m1")
        os.truncate(content.path, 1000)
        await self.fails(self.spool.commit(envelope("m1"), content, [draft(envelope("m1"))], NOW))
        [claim] = await self.spool.commit(envelope("m2"), await self.large("m2"), [draft(envelope("m2"))], NOW)
        os.truncate(os.path.join(self.folder, "content", "m2"), 1000)
        await self.fails(self.spool.content(claim.entry), ContentDamaged)
        os.unlink(os.path.join(self.folder, "content", "m2"))
        await self.fails(self.spool.content(claim.entry), ContentDamaged)

    async def test_discard(self) -> None:
        """Content that is not committed goes when it is discarded; a file that is
        not there is no trouble; that of a committed message stays."""
        content = await self.large()
        self.spool.discard(content)
        self.spool.discard(content)
        [claim] = await self.spool.commit(envelope("m2"), await self.large("m2"), [draft(envelope("m2"))], NOW)
        self.spool.discard(await self.spool.content(claim.entry))
        await self.spool.stop()
        self.assertEqual((self.files("incoming"), self.files("content")), (["host.2.b"], ["m2"]))

    async def test_abortRemoves(self) -> None:
        """An aborted content leaves no file, also when a write is under way."""
        writer = self.spool.newContent("mx1-1")
        writing = writer.write(b"x" * 1_000_000)
        writer.abort()
        await self.fails(writing)
        await self.spool.stop()
        self.assertNotIn("host.1.a", self.files("incoming"))

    async def test_sameContentTwice(self) -> None:
        """Two contents of one id do not write into each other."""
        first, second = self.spool.newContent("m1"), self.spool.newContent("m1")
        await first.write(b"1" * 100_000)
        await self.fails(second.write(b"2" * 100_000))
        self.assertEqual(await octets(await first.finish()), b"1" * 100_000)

    async def test_orphans(self) -> None:
        """Files without a message go after an hour, all others stay."""
        await self.spool.commit(envelope("m1"), await self.large("m1"), [draft(envelope("m1"))], NOW)
        with open(os.path.join(self.folder, "content", "orphan"), "wb"):
            pass
        await self.spool.recover(time.time())
        self.assertEqual(self.files("content"), ["m1", "orphan"])
        await self.spool.recover(time.time() + ORPHAN_AGE + 1)
        self.assertEqual(self.files("content"), ["m1"])

    async def test_recoverCleans(self) -> None:
        """What a dead process was receiving goes; what a living one is receiving
        stays; an owner without a file is dead."""
        await self.large("mine")
        os.makedirs(os.path.join(self.folder, "incoming", "host.7.g"))
        with open(os.path.join(self.folder, "incoming", "host.7.g", "m9"), "wb"):
            pass
        await self.put("m1")
        self.sql("UPDATE entry SET owner = 'host.8.h', lease = ?", 1 << 62)
        self.assertEqual(await self.other.recover(NOW), 1)
        self.assertEqual(self.files("incoming"), ["host.1.a", "host.2.b"])
        self.assertEqual(self.files("owners"), ["host.1.a", "host.2.b"])
        self.assertEqual(self.files("incoming/host.1.a"), ["mine"])

    # Damage

    async def test_damaged(self) -> None:
        """Entries that can't be read are put aside and logged once; the others go
        through.  A hand can still remove them."""
        for id in ("a", "b", "c", "d", "e", "f"):
            await self.put(id)
        self.sql("UPDATE message SET envelope = '{\"id\":' WHERE id = 'a'")
        self.sql("UPDATE delivery SET text = x'ff00', code = 450 WHERE entry = 'b'")
        self.sql("DELETE FROM message WHERE id = 'c'")
        self.sql("UPDATE delivery SET status = 'nonsense' WHERE entry = 'e'")
        self.sql("UPDATE message SET version = 2 WHERE id = 'f'")
        claims = await self.spool.claim("remote", 10, NOW)
        self.assertEqual([claim.entry.id for claim in claims], ["d"])
        self.assertEqual(await self.ids(), ["d"])
        self.assertEqual(await self.spool.claim("remote", 10, NOW + LEASE - 1), [])
        self.assertEqual(sorted(id for id, _ in self.log.seen), ["a", "b", "c", "e", "f"])
        held = self.sql("SELECT id FROM entry WHERE held = 1 AND owner = ''")
        self.assertEqual(sorted(held), [("a",), ("b",), ("c",), ("e",), ("f",)])
        self.assertEqual(await self.spool.remove(Selection(held=True)), 5)
        self.assertEqual(self.log.bugs, [])

    async def test_damageIsListed(self) -> None:
        """Who lists entries puts aside what can't be read, whatever its class, and that is logged
        once; what somebody is working on stays his."""
        await self.put("busy")
        await self.spool.claim("remote", 1, NOW)
        for id in ("a", "b", "c"):
            await self.put(id)
        self.sql("UPDATE entry SET queue = x'ff00' WHERE id = 'a'")
        self.sql("UPDATE delivery SET status = 'nonsense' WHERE entry IN ('b', 'busy')")
        for id, column, value in (("e", "created", "'long ago'"), ("f", "created", "x'ff'"), ("g", "due", "'soon'")):
            await self.put(id)
            self.sql(f"UPDATE entry SET queue = 'slow', {column} = {value} WHERE id = '{id}'")
        self.sql("UPDATE entry SET queue = 'local' WHERE id = 'g'")
        self.assertEqual(None, await self.spool.nextDue("local"))
        found = await self.spool.counts(NOW)
        self.assertEqual((2, None), (found["slow"].waiting, found["slow"].oldest))
        self.assertEqual(["c"], await self.ids())
        self.assertEqual(["c"], await self.ids())
        self.assertEqual(["a", "b", "e", "f", "g"], [each.id for each in await self.other.damaged()])
        self.assertEqual(["a", "b", "e", "f", "g"], sorted(id for id, _ in self.log.seen))
        self.assertEqual([("remote", 0)], self.sql("SELECT queue, held FROM entry WHERE id = 'busy'"))
        self.assertEqual(["c"], [claim.entry.id for claim in await self.spool.claim("remote", 9, NOW)])
        self.assertEqual(5, await self.spool.repair([], self.mktemp(), NOW))
        self.assertEqual([], await self.spool.damaged())

    async def test_damagedPage(self) -> None:
        """A part of the database that can't be read costs what is in it, and nothing else."""
        for number in range(300):
            await self.put(f"m{number:03}")
        await self.spool.stop()
        await self.other.stop()
        path = os.path.join(self.folder, "spool.db")
        with open(path, "r+b") as file:
            data = file.read()
            size = int.from_bytes(data[16:18], "big")
            leaves = [at for at in range(0, len(data), size) if data[at] == 10 and b"waiting" in data[at : at + size]]
            file.seek(leaves[len(leaves) // 2])
            file.write(bytes(size))
        spool = await self.open("host.3.c")
        claims: list[str] = []
        while page := await spool.claim("remote", 50, NOW):
            claims += [claim.entry.id for claim in page]
        damaged = [each.id for each in await spool.damaged()]
        self.assertEqual([f"m{number:03}" for number in range(300)], sorted(claims + damaged))
        self.assertTrue(0 < len(damaged) < 100, damaged)
        self.assertEqual(damaged, sorted(id for id, _ in self.log.seen))
        self.assertEqual(len(claims), len(await spool.listing(Selection(), 500)))

    def test_brokenDisk(self) -> None:
        """A disk that can't be read says nothing of the entries: none is put aside."""

        class Broken:
            def execute(self, *args: Any) -> Any:
                why = sqlite3.OperationalError("disk I/O error")
                why.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
                raise why

        self.assertRaises(sqlite3.OperationalError, reads.entries, Broken(), ["a", "b"])

    async def test_damagedContent(self) -> None:
        """Content that is not whole is not handed out."""
        claim = await self.put()
        self.sql("UPDATE message SET content = x'00'")
        await self.fails(self.spool.content(claim.entry), ContentDamaged)
        self.sql("UPDATE message SET content = NULL, file = '../../etc/passwd'")
        await self.fails(self.spool.content(claim.entry), ContentDamaged)

    async def test_repair(self) -> None:
        """What can be read again goes back; of the rest all that is left is saved, and it goes."""
        await self.put("a")
        content = await self.large("b")
        await self.spool.commit(envelope("b"), content, [draft(envelope("b"))], NOW)
        await self.spool.commit(envelope("c"), await self.large("c"), [draft(envelope("c"))], NOW)
        for claim in await self.spool.claim("remote", 9, NOW):
            await self.spool.setAside(claim, "test")
        self.sql("UPDATE message SET envelope = '{' WHERE id = 'a'")
        os.truncate(os.path.join(self.folder, "content", "b"), 1000)
        folder = os.path.join(self.mktemp(), "saved")
        self.assertEqual(3, await self.spool.repair([], folder, NOW))
        self.assertEqual(["a.eml", "a.json", "b.eml", "b.json"], sorted(os.listdir(folder)))
        self.assertEqual([0o600] * 4, [os.stat(os.path.join(folder, n)).st_mode & 0o777 for n in os.listdir(folder)])
        with open(os.path.join(folder, "a.json")) as file:
            left = json.load(file)
        self.assertEqual("{", left["message"][0]["envelope"])
        self.assertEqual("ann@example.net", left["delivery"][0]["address"])
        with open(os.path.join(folder, "a.eml"), "rb") as saved:
            self.assertEqual(b"a\r\n\0\xff", saved.read())
        self.assertEqual(1000, os.stat(os.path.join(folder, "b.eml")).st_size)
        self.assertEqual([], await self.spool.damaged())
        self.assertEqual(["c"], [claim.entry.id for claim in await self.spool.claim("remote", 9, NOW)])
        self.assertEqual(["c"], os.listdir(os.path.join(self.folder, "content")))

    async def test_repairCantSave(self) -> None:
        """What could not be saved stays."""
        await self.put("a")
        [claim] = await self.spool.claim("remote", 9, NOW)
        await self.spool.setAside(claim, "test")
        self.sql("UPDATE message SET envelope = '{'")
        with open(path := self.mktemp(), "w"):
            pass
        await self.fails(self.spool.repair([], path, NOW))
        self.assertEqual(["a"], [entry.id for entry in await self.spool.damaged()])

    async def test_versionOne(self) -> None:
        """A spool of version 1 is taken over with all that is in it."""
        await self.spool.stop()
        await self.other.stop()
        os.unlink(os.path.join(self.folder, "spool.db"))
        for statement in _VERSION_1:
            self.sql(statement)
        spool = await self.open("host.3.c")
        self.assertEqual(self.sql("PRAGMA user_version"), [(schema.SCHEMA_VERSION,)])
        [entry] = await spool.listing(Selection(sender="from@example.org", sizeOver=6, bounces=True), 9)
        self.assertEqual(("m1", "example.net"), (entry.id, entry.lane))
        self.assertEqual(1, await spool.hasten("remote", ["example.net"], 9, entry.due - 1))
        self.assertEqual([], await spool.history("m1"))
        [claim] = await spool.claim("remote", 9, entry.due)
        await spool.record(claim, change(claim, DELAYED), NOW)
        await self.open("host.4.d")

    async def test_versionTwo(self) -> None:
        """A spool of version 2, which knows nothing of what recipients were made of, is taken over."""
        whole = envelope("m2")
        await self.spool.commit(whole, MemoryContent(b"x"), [draft(whole)], NOW)
        await self.spool.stop()
        await self.other.stop()
        self.sql("ALTER TABLE delivery DROP COLUMN origin")
        for index in ("message_deadline", "entry_waiting"):
            self.sql(f"DROP INDEX {index}")
        self.sql("CREATE INDEX entry_lane ON entry (queue, lane, due) WHERE held = 0 AND owner = ''")
        self.sql("PRAGMA user_version = 2")
        spool = await self.open("host.3.c")
        self.assertEqual(self.sql("PRAGMA user_version"), [(schema.SCHEMA_VERSION,)])
        [claim] = await spool.claim("remote", 9, NOW)
        self.assertEqual(claim.entry.deliveries, draft(whole).deliveries)
        await spool.record(claim, change(claim, DELAYED), NOW)

    # Death

    async def test_killed(self) -> None:
        """All that a killed process had been told is committed is there, and what
        it had claimed is free, but not before it is dead."""
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, self.folder],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        said = await deferToThread(child.stdout.readline)
        self.assertEqual(said, b"20 committed, 5 claimed\n")
        self.assertEqual(await self.spool.recover(NOW), 0)
        self.assertEqual(len(await self.spool.claim("remote", 50, NOW)), 15)
        os.kill(child.pid, signal.SIGKILL)
        await deferToThread(child.wait)
        self.assertEqual(await self.spool.recover(NOW), 5)
        claims = await self.spool.claim("remote", 50, NOW)
        self.assertEqual(len(claims), 5)
        self.assertEqual(await octets(await self.spool.content(claims[0].entry)), b"x" * 300_000)
        self.assertEqual(self.files("incoming"), ["host.1.a", "host.2.b"])


_CHILD = """
import sys
from twisted.internet import reactor, defer
from tests.contracts.spool import NOW, draft, envelope
from umbcmail.content import MemoryContent
from umbcmail.queue.spool.sqlite import SqliteSpool

async def main():
    spool = SqliteSpool(sys.argv[1], reactor, "host.9.child")
    await spool.start()
    writer = spool.newContent("k0")
    await writer.write(b"x" * 300000)
    await spool.commit(envelope("k0"), await writer.finish(), [draft(envelope("k0"), due=NOW - 1)], NOW)
    await defer.gatherResults([
        spool.commit(envelope(f"k{n}"), MemoryContent(b"x"), [draft(envelope(f"k{n}"))], NOW) for n in range(1, 20)])
    await spool.newContent("half").write(b"y" * 100000)
    claims = await spool.claim("remote", 5, NOW)
    print("20 committed,", len(claims), "claimed", flush=True)

reactor.callWhenRunning(lambda: defer.Deferred.fromCoroutine(main()))
reactor.run()
"""


_VERSION_1 = (
    """CREATE TABLE message (
        id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, envelope TEXT NOT NULL,
        content BLOB, file TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL)""",
    """CREATE TABLE entry (
        id TEXT PRIMARY KEY NOT NULL, message TEXT NOT NULL, queue TEXT NOT NULL, created INTEGER NOT NULL,
        due INTEGER NOT NULL, attempts INTEGER NOT NULL, held INTEGER NOT NULL, warned INTEGER NOT NULL,
        owner TEXT NOT NULL, lease INTEGER NOT NULL, token INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE delivery (
        entry TEXT NOT NULL, n INTEGER NOT NULL, address TEXT NOT NULL, domain TEXT NOT NULL,
        notify TEXT NOT NULL, orcpt TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
        code INTEGER NOT NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL, host TEXT NOT NULL,
        command TEXT NOT NULL, remote INTEGER NOT NULL, uncertain INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (entry, n)) WITHOUT ROWID""",
    "CREATE INDEX entry_message ON entry (message)",
    "CREATE INDEX entry_due ON entry (queue, due) WHERE held = 0 AND owner = ''",
    "CREATE INDEX entry_lease ON entry (queue, lease) WHERE owner <> ''",
    """INSERT INTO message VALUES ('m1', 1, '{"id":"m1","sender":"from@example.org","arrived":1.5,"size":7,
        "agent":"bounce"}', x'61', '', 1)""",
    "INSERT INTO entry VALUES ('m1', 'm1', 'remote', 1, 1000000000, 1, 0, 0, '', 0, 3)",
    """INSERT INTO delivery VALUES ('m1', 0, 'b@Example.net', 'example.net', '', '', 'waiting', 1,
        451, '4.0.0', '["Later"]', '', '', 0, 0, 1)""",
    "PRAGMA user_version = 1",
)
"""How umbcmail made a spool before there were histories."""
