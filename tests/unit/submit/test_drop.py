"""Tests of L{umbcmail.submit.drop}: the folder for mail while the system is down."""

from __future__ import annotations

import fcntl
import json
import os

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.submit.client import Order
from umbcmail.submit.drop import Damaged, Drop, Unfinished, leave

CONTENT = b"Subject: x\r\n\r\n" + b"line\r\n" * 50_000


class DropTests(SynchronousTestCase):
    """Files of the folder."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        os.mkdir(self.path)
        self.folder = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, self.folder)

    def left(self, order: Order, content: bytes = CONTENT) -> str:
        """Leave something.  @return: its name."""
        before = set(os.listdir(self.path))
        leave(self.path, order, content)
        [name] = set(os.listdir(self.path)) - before
        return name

    def order(self, **more: object) -> Order:
        """An order of L{CONTENT}."""
        return Order("a@x.test", ["b@y.test", "ö@y.test"], len(CONTENT), True, **more)  # type: ignore[arg-type]

    def read(self, name: str, limit: int = 1 << 20) -> tuple[Order, bytes, int]:
        """Read it."""
        drop = Drop(self.folder, name, limit)
        try:
            return drop.order, b"".join(drop.pieces()), drop.uid
        finally:
            drop.close()

    def test_roundTrip(self) -> None:
        """What was left is read, whole and as it was; only its owner may change it, and only its group read it."""
        order = self.order(notify="FAILURE,DELAY", ret="HDRS", envid="id+1")
        name = self.left(order)
        self.assertEqual((order, CONTENT, os.geteuid()), self.read(name))
        self.assertEqual(0o100640, os.stat(os.path.join(self.path, name)).st_mode)
        self.assertEqual("", self.read(self.left(Order("", ["b@y.test"], 0), b""))[0].sender)

    def test_users(self) -> None:
        """In whose name it is sent may be said by the system itself only."""
        name = self.left(self.order(onBehalfOf="bob"))
        self.assertEqual("bob", self.read(name)[0].onBehalfOf)
        if os.geteuid():
            return
        os.chown(os.path.join(self.path, name), 12345, 0)
        self.assertEqual("", self.read(name)[0].onBehalfOf)
        self.assertEqual(12345, self.read(name)[2])

    def test_incomplete(self) -> None:
        """At whatever place it is cut off, or changed, it is no message."""
        name = self.left(self.order())
        path = os.path.join(self.path, name)
        with open(path, "rb") as file:
            data = file.read()
        line = data.index(b"\n")
        for wrong in (
            *(data[:at] for at in (0, 1, line, line + 1, line + 9, len(data) - 1)),
            data + b"x",
            data[:-2] + b"x\n",
        ):
            with open(path, "wb") as file:
                file.write(wrong)
            self.assertRaises(Damaged, self.read, name)

    def test_locked(self) -> None:
        """While somebody has it, it is left alone."""
        name = self.left(self.order())
        with open(os.path.join(self.path, name)) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertRaises(Unfinished, self.read, name)
        self.read(name)

    def test_odd(self) -> None:
        """What is no plain file with one name is not read: links, pipes, folders."""
        name = self.left(self.order())
        path = os.path.join(self.path, name)
        os.link(path, os.path.join(self.path, "hard"))
        self.assertRaises(Damaged, self.read, name)
        os.unlink(os.path.join(self.path, "hard"))
        os.symlink(path, os.path.join(self.path, "soft"))
        self.assertRaises(OSError, self.read, "soft")
        os.mkfifo(os.path.join(self.path, "pipe"))
        self.assertRaises(Damaged, self.read, "pipe")
        os.mkdir(os.path.join(self.path, "folder"))
        self.assertRaises(Damaged, self.read, "folder")
        self.assertRaises(Damaged, self.read, name, 1000)

    def test_envelope(self) -> None:
        """An envelope in which anything is not as it is written here is not read; least of all what would
        become a command."""
        good = json.loads(self._line(self.left(self.order(), CONTENT)))
        self.assertEqual(1, good["version"])
        for change in (
            {"version": 2}, {"sender": "a\r\nRCPT TO:<x@y.test>"}, {"sender": 7}, {"recipients": []},
            {"recipients": ["a@b>\r\nDATA"]}, {"recipients": ["a"]}, {"recipients": "a@b.test"},
            {"recipients": ["a@b.test"] * 10_001}, {"notify": "NEVER,SUCCESS"}, {"notify": "X\r\nY"}, {"ret": "ALL"},
            {"envid": "a b"}, {"envid": "x" * 101}, {"size": "1"}, {"size": -1}, {"digest": None}, {"onBehalfOf": 3},
        ):  # fmt: skip
            self.assertRaises(Damaged, self.read, self._written({**good, **change}))
        for missing in good:
            if missing != "is8bit":
                self.assertRaises(Damaged, self.read, self._written({k: v for k, v in good.items() if k != missing}))
        self.assertRaises(Damaged, self.read, self._raw(b"[" * 100_000 + b"\n"))
        self.assertRaises(Damaged, self.read, self._raw(b"null\n"))

    def _line(self, name: str) -> bytes:
        with open(os.path.join(self.path, name), "rb") as file:
            return file.readline()

    def _written(self, record: object) -> str:
        return self._raw(json.dumps(record).encode() + b"\n" + CONTENT)

    def _raw(self, data: bytes) -> str:
        with open(os.path.join(self.path, "raw"), "wb") as file:
            file.write(data)
        return "raw"

    def test_unwritable(self) -> None:
        """What can't be left leaves nothing."""
        self.assertRaises(OSError, leave, os.path.join(self.path, "none"), self.order(), CONTENT)
        self.assertEqual([], os.listdir(self.path))
