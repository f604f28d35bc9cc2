"""L{umbcmail.queue.spool.room}: nothing more is taken before the disk is full."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.entry import SpoolError, SpoolFull
from umbcmail.queue.spool import room
from umbcmail.queue.spool.incoming import IncomingContent
from umbcmail.queue.spool.room import Rest, Room


class RoomCase(SynchronousTestCase):
    """A disk of blocks of one octet."""

    def setUp(self) -> None:
        """It is empty."""
        self.free, self.inodes, self.hasInodes = 10_000, 10_000, True
        self.patch(room.os, "statvfs", self.statvfs)
        self.changes: list[Rest] = []
        self.connection: Any = mock.Mock(side_effect=AssertionError("not asked"))
        self.room = Room("/spool", 1000, 100, self.changes.append)

    def statvfs(self, folder: str) -> Any:
        """See L{os.statvfs}."""
        self.assertEqual(folder, "/spool")
        return mock.Mock(f_bavail=self.free, f_frsize=1, f_files=10**6 * self.hasInodes, f_favail=self.inodes)


class LookTests(RoomCase):
    """What is said of the disk."""

    def low(self) -> bool:
        """Look."""
        return self.room.look().isLow

    def test_space(self) -> None:
        """With less than what is to be kept nothing is taken, until a tenth more is free;
        each change is told once."""
        seen = []
        for self.free in (1001, 1000, 999, 1000, 1099, 1100, 1099, 1000, 999):
            seen.append(self.low())
        self.assertEqual(seen, [False, False, True, True, True, False, False, False, True])
        self.assertEqual([(rest.isLow, rest.free) for rest in self.changes], [(True, 999), (False, 1100), (True, 999)])
        self.assertEqual(self.changes[0].lacking, "0B are left on the disk, 1000B are to be kept free")

    def test_inodes(self) -> None:
        """Likewise for inodes."""
        seen = []
        for self.inodes in (100, 99, 100, 109, 110, 100):
            seen.append(self.low())
        self.assertEqual(seen, [False, True, True, True, False, False])
        self.assertEqual(self.changes[0].lacking, "99 inodes are left on the disk, 100 are to be kept free")

    def test_explained(self) -> None:
        """What SQLite can't do on a full disk is said to be that."""
        why = SpoolError("OperationalError: disk I/O error")
        self.assertIs(self.room.explained(why), why)
        self.free = 0
        self.assertEqual(str(self.room.explained(why)), f"no room is left on the disk of /spool ({why})")
        self.free, self.inodes = 9, 0
        self.assertIsInstance(self.room.explained(why), SpoolFull)
        self.assertTrue(str(self.room.explained(why)).startswith("no inode is left "))
        self.hasInodes = False
        self.assertIs(self.room.explained(why), why)

    def test_noInodes(self) -> None:
        """File systems without a number of inodes have enough of them."""
        self.hasInodes, self.inodes = False, 0
        self.assertEqual((self.low(), self.room.look().inodes), (False, None))

    def test_pages(self) -> None:
        """Free pages of the database count, where it matters."""
        connection = sqlite3.connect(":memory:")
        self.addCleanup(connection.close)
        self.free = 900
        self.assertFalse(self.room.isLeft(connection))
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        connection.execute("DELETE FROM t")
        self.assertTrue(self.room.isLeft(connection))
        self.assertFalse(self.room.look().isLow)

    def test_unbounded(self) -> None:
        """Nothing is asked of a disk of which nothing is to be kept."""
        free = Room("/nowhere", 0)
        self.assertTrue(free.isLeft(self.connection))
        free.check()
        self.assertFalse(free.isFull(1 << 60))


class SizeTests(RoomCase):
    """Messages whose size is known before they come."""

    def test_isFull(self) -> None:
        """A message has to fit into what is free but not to be kept; nothing is known
        before somebody has looked."""
        self.assertFalse(self.room.isFull(1 << 60))
        self.room.look()
        self.assertEqual([self.room.isFull(size) for size in (0, 9000, 9001)], [False, False, True])
        self.free = 999
        self.assertFalse(self.room.isFull(0))  # as it was seen
        self.room.look()
        self.assertTrue(self.room.isFull(0))

    def incoming(self, size: int, inThread: Callable[..., Deferred[Any]] = execute) -> IncomingContent:
        """A large content that is going to come."""
        path = os.path.abspath(self.mktemp())
        self.addCleanup(lambda: self.assertFalse(os.path.exists(path)))
        return IncomingContent(path, inThread, None, self.room, size)

    def test_severalAtOnce(self) -> None:
        """What has begun to come is counted with all of its size, and less as it comes;
        who comes when there is no room left for all of it is refused at once."""
        self.room.look()
        first = self.incoming(5000)
        self.assertEqual([self.room.isFull(size) for size in (4000, 4001)], [False, True])
        self.failureResultOf(self.incoming(4001).write(b"x"), SpoolFull)
        second = self.incoming(4000)
        self.assertTrue(self.room.isFull(1))
        first.abort()
        self.assertEqual(self.room.promised, 4000)
        second.abort()
        self.assertEqual(self.room.promised, 0)

    def test_kept(self) -> None:
        """What has come, or is not going to come, is not promised any more."""
        self.room.look()
        content = self.incoming(500_000)
        self.assertEqual(self.room.promised, 0)  # there is no room for so much
        self.failureResultOf(content.finish(), SpoolFull)
        self.free = 10_000_000
        self.room.look()
        content = self.incoming(500_000)
        self.assertEqual(self.room.promised, 500_000)
        self.successResultOf(content.write(b"x" * 100_000))
        self.assertEqual(self.room.promised, 400_000)
        whole = self.successResultOf(content.finish())
        self.assertEqual((self.room.promised, whole.size), (0, 100_000))
        os.unlink(whole.path)  # type: ignore[attr-defined]

    def test_floor(self) -> None:
        """Large content stops at what is to be kept, also when nobody has said how much
        comes; nothing of it stays."""
        content = self.incoming(0)
        self.successResultOf(content.write(b"x" * 100_000))
        self.free = 999
        self.failureResultOf(content.write(b"x" * 100_000), SpoolFull)
        self.failureResultOf(content.finish(), SpoolFull)

    def test_inodes(self) -> None:
        """The same for inodes."""
        self.inodes = 99
        self.failureResultOf(self.incoming(0).write(b"x" * 100_000), SpoolFull)
