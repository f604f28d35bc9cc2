"""L{umbcmail.postman.service}: when a ticket is got, and what is told when it can't be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.postman.test_postman_cache import cache, credential
from umbcmail import credentials
from umbcmail.maillog import MailLog
from umbcmail.postman.kinit import Failed
from umbcmail.postman.service import LOOK, Postman
from umbcmail.postman.settings import POSTMAN


class PostmanTests(SynchronousTestCase):
    """The role, with C{kinit} in the hands of the test."""

    def setUp(self) -> None:
        """A folder, a keytab, a clock."""
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock, delay=0)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(0o755)
        self.keytab = self.folder / "keytab"
        self.keytab.write_text("k")
        self.keytab.chmod(0o600)
        self.asked: list[Deferred[None]] = []
        self.postman = self.make()

    def make(self) -> Postman:
        """The role."""
        settings: dict[str, Any] = {o.name: o.kind.parse(o.default) for o in POSTMAN.options if o.default is not None}
        settings |= {"keytab": str(self.keytab), "cache": str(self.folder / "cache")}
        postman = Postman(settings, "postman/mx1", -1, self.clock, self.log, self.run_, lambda: 0.5)
        self.addCleanup(lambda: postman.stopService() if postman.running else None)
        return postman

    def run_(self, *arguments: Any) -> Deferred[None]:
        """C{kinit} has been started."""
        self.new = Path(arguments[3])
        self.assertFalse(self.new.exists())
        self.asked.append(Deferred())
        return self.asked[-1]

    def got(self, life: int = 900, begins: float = 0) -> None:
        """It has a ticket."""
        now = int(begins or self.clock.seconds())
        self.new.write_bytes(cache(credential("krbtgt/Y.TEST", now, now + life)))
        self.asked[-1].callback(None)

    def failed(self) -> None:
        """It has none."""
        self.asked[-1].errback(Failed("kinit says no"))

    def said(self) -> str:
        """What is in the log."""
        self.log.flush()
        return b"".join(self.lines).decode()

    def wait(self, seconds: float) -> int:
        """Let time go by.  @return: how often kinit was started so far."""
        for _ in range(round(seconds / LOOK)):
            self.clock.advance(LOOK)
        return len(self.asked)

    def test_renewal(self) -> None:
        """After two thirds of its life another ticket is got."""
        self.postman.startService()
        self.got(900)
        self.assertEqual(1, self.wait(598))
        self.assertEqual(2, self.wait(4))
        self.got(900)
        known = credentials.read(str(self.folder / "cache"))
        assert known is not None
        self.assertEqual((2, 0, ""), (known.renewals, known.failures, known.failure))
        self.assertEqual(0o600, (self.folder / "cache").stat().st_mode & 0o777)

    def test_backOff(self) -> None:
        """Failures are tried again at growing intervals; the ticket that is there stays, and is told of."""
        self.postman.startService()
        self.got(100000)
        before = (self.folder / "cache").read_bytes()
        self.wait(66670)
        times = []
        for _ in range(9):
            self.failed()
            times.append(self.postman.known.next - self.clock.seconds())
            self.wait(times[-1] + LOOK)
        self.assertEqual([5, 10, 20, 40, 80, 160, 300, 300, 300], times)
        self.assertIn("kinit says no; the ticket that is there is good for", self.said())
        self.assertEqual(before, (self.folder / "cache").read_bytes())
        self.got()
        self.assertEqual(2, self.log.counts["ticket"])
        self.wait(602)
        self.failed()
        self.assertEqual(5, self.postman.known.next - self.clock.seconds())

    def test_newKeytab(self) -> None:
        """A keytab that has changed is tried at once; not while one is being tried."""
        self.postman.startService()
        self.keytab.write_text("kk")
        self.assertEqual(1, self.wait(10))
        self.failed()
        self.assertEqual(2, self.wait(LOOK))
        self.got()
        self.assertEqual(2, self.wait(100))
        self.keytab.write_text("kkk")
        self.assertEqual(3, self.wait(LOOK))

    def test_noKeytab(self) -> None:
        """Nothing is started without one; it is when there is one."""
        self.keytab.unlink()
        self.postman.startService()
        self.assertEqual(0, self.wait(60))
        self.assertIn("there is none: local mail waits", self.said())
        self.keytab.write_text("k")
        self.assertEqual(1, self.wait(LOOK))

    def test_clock(self) -> None:
        """A clock that differs is told, and a ticket that has ended by ours is none."""
        self.postman.startService()
        self.got(begins=self.clock.seconds() + 1000)
        self.assertIn("the clock of this host is 1000 s behind that of the KDC", self.said())
        self.assertEqual(1, self.postman.known.renewals)
        self.keytab.write_text("kk")
        self.wait(LOOK)
        self.got(900, begins=self.clock.seconds() - 2000)
        self.assertIn("2000 s ahead of that of the KDC, so that the ticket has ended", self.said())
        self.assertEqual(1, self.postman.known.failures)

    def test_badCache(self) -> None:
        """What kinit has written may make no sense."""
        self.postman.startService()
        self.new.write_text("x")
        self.asked[-1].callback(None)
        self.assertIn("what kinit has written can't be used", self.said())
        self.assertFalse((self.folder / "cache").exists())

    def test_bug(self) -> None:
        """Whatever goes wrong is tried again."""
        self.postman.startService()
        self.asked[-1].errback(ZeroDivisionError("x"))
        self.assertEqual(1, self.log.counts["bug"])
        self.assertEqual(2, self.wait(6))

    def test_folder(self) -> None:
        """A folder that others may write is none for a ticket."""
        self.folder.chmod(0o777)
        self.postman.startService()
        self.assertEqual([], self.asked)
        self.assertIn(f"chmod go-w {self.folder}", self.said())
        self.folder.chmod(0o755)
        self.assertEqual(1, self.wait(6))

    def test_again(self) -> None:
        """A process that comes after another knows of its ticket."""
        self.postman.startService()
        self.got(900)
        self.postman.stopService()
        self.said()
        self.clock.advance(0)
        self.assertEqual([], self.clock.getDelayedCalls())
        later = self.make()
        later.startService()
        self.failed()
        self.assertEqual("", later.known.trouble(self.clock.seconds()))
        self.assertIn("good for 900 s", self.said())

    def test_removed(self) -> None:
        """A ticket that somebody removes is got again at once, and what is told of it is that there is none."""
        self.postman.startService()
        self.got(90000)
        (self.folder / "cache").unlink()
        self.assertEqual(2, self.wait(LOOK))
        self.assertIn("somebody has removed the ticket", self.said())
        self.failed()
        known = credentials.read(str(self.folder / "cache"))
        assert known is not None
        self.assertIn("there is no ticket", known.trouble(self.clock.seconds()))
        self.assertIn("there is none: local mail waits", self.said())
        self.assertEqual(2, self.wait(4))
        self.assertEqual(3, self.wait(LOOK))
        self.got(90000)
        self.assertEqual("", self.postman.known.trouble(self.clock.seconds()))
        # Nor is one that was removed while no process of the role ran.
        self.postman.stopService()
        (self.folder / "cache").unlink()
        later = self.make()
        later.startService()
        self.failed()
        self.assertNotEqual("", later.known.trouble(self.clock.seconds()))

    def test_jitter(self) -> None:
        """Renewals and further tries are up to a tenth earlier or later, at random, each anew."""
        numbers = iter((0.0, 1.0, 0.0, 1.0))
        self.postman._number = lambda: next(numbers)
        self.postman.startService()
        waits = []
        for end in (lambda: self.got(900), lambda: self.got(900), self.failed, self.failed):
            end()
            waits.append(self.postman.known.next - self.clock.seconds())
            self.wait(waits[-1] + LOOK)
        self.assertEqual([540, 660, 4.5, 11], [round(wait, 3) for wait in waits])

    def test_group(self) -> None:
        """The ticket can be read by a group where one is named, and by nobody else."""
        self.postman._group = os.getegid()
        self.postman.startService()
        self.got()
        status = (self.folder / "cache").stat()
        self.assertEqual((0o640, os.getegid()), (status.st_mode & 0o777, status.st_gid))

    def test_left(self) -> None:
        """What a try before has left behind is no hindrance."""
        (self.folder / "cache.new").write_text("x")
        os.symlink(self.folder / "elsewhere", self.folder / "cache.json.new")
        self.postman.startService()
        self.got()
        self.assertEqual(1, self.postman.known.renewals)
        self.assertFalse((self.folder / "elsewhere").exists())
        self.assertFalse((self.folder / "cache.json").is_symlink())
