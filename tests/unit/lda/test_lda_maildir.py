"""L{umbcmail.lda.mailbox}, C{quota} and C{duplicates}: into a Maildir, as the user who we are."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import mailfolder
from umbcmail.lda import duplicates, mailbox, quota

MESSAGE = b"Return-Path: <s@x>\nSubject: x\n\nHello\n"


class MailboxCase(SynchronousTestCase):
    """A home."""

    def setUp(self) -> None:
        """It is empty, and ours."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name, "home")
        self.home.mkdir(mode=0o700)
        self.maildir = self.home / "Maildir"
        self.number = 0

    def deliver(self, data: bytes = MESSAGE, file: int = -1, **more: Any) -> dict[str, Any]:
        """Deliver."""
        self.number += 1
        order = {
            "path": ["Maildir"],
            "create": True,
            "strict": True,
            "name": f"1.{self.number}.host",
            "quota": "",
            "refuse": False,
            "known": [],
            "body": 0,
            "remember": 0,
            **more,
        }
        return mailbox.deliver({"home": str(self.home)}, order, data, file)

    def messages(self, below: str = "Maildir") -> list[bytes]:
        """What is in C{new}."""
        return [path.read_bytes() for path in sorted((self.home / below / "new").glob("*"))]


class DeliverTests(MailboxCase):
    """A message."""

    def test_delivered(self) -> None:
        """It is in C{new}, for nobody else to be read, and nothing is in C{tmp}."""
        self.assertEqual({"result": "delivered", "size": len(MESSAGE)}, self.deliver())
        self.assertEqual([MESSAGE], self.messages())
        [path] = (self.maildir / "new").iterdir()
        self.assertEqual(f"1.1.host,S={len(MESSAGE)}", path.name)
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        for folder in (self.maildir, *(self.maildir / name for name in ("tmp", "new", "cur"))):
            self.assertEqual(0o700, stat.S_IMODE(folder.stat().st_mode))
        self.assertEqual([], list((self.maildir / "tmp").iterdir()))

    def test_file(self) -> None:
        """A large one comes from a file; its place in there does not matter."""
        with tempfile.TemporaryFile() as file:
            file.write(b"y" * 700_000)
            file.flush()
            self.deliver(b"top\n", file.fileno())
        self.assertEqual([b"top\n" + b"y" * 700_000], self.messages())

    def test_below(self) -> None:
        """The Maildir may be further down."""
        self.deliver(path=["mail", "in"])
        self.assertEqual([MESSAGE], self.messages("mail/in"))

    def test_missing(self) -> None:
        """Without C{create} mail waits until there is a Maildir; a home is never made."""
        self.assertEqual("trouble", self.deliver(create=False)["result"])
        self.home.rmdir()
        self.assertEqual("trouble", self.deliver()["result"])
        self.assertFalse(self.home.exists())

    def test_stepsFail(self) -> None:
        """Whatever fails: nothing is left, and the answer says what it was."""
        self.deliver()
        for call in ("open", "write", "fsync", "rename"):
            for number, result in ((errno.ENOSPC, "no-storage"), (errno.EDQUOT, "full"), (errno.EIO, "trouble")):
                with self.broken(call, number):
                    self.assertEqual(result, self.deliver()["result"], (call, number))
        self.assertEqual([MESSAGE], self.messages())
        self.assertEqual([], list((self.maildir / "tmp").iterdir()))

    def broken(self, call: str, number: int) -> Any:
        """A system call fails."""

        def failing(*args: Any, **more: Any) -> Any:
            raise OSError(number, os.strerror(number))

        patched = SimpleNamespace(**{**vars(os), call: failing})
        patch = self.patch(mailfolder, "os", patched)

        class Restoring:
            def __enter__(self) -> None:
                pass

            def __exit__(self, *what: object) -> None:
                patch.restore()

        return Restoring()

    def test_stable(self) -> None:
        """File, then name, then folder: each before the next."""
        steps: list[str] = []
        real = SimpleNamespace(**vars(os))

        def fsync(fd: int) -> None:
            steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")

        def rename(*args: Any, **more: Any) -> None:
            steps.append("rename")
            real.rename(*args, **more)

        self.deliver()
        self.patch(mailfolder, "os", SimpleNamespace(**{**vars(os), "fsync": fsync, "rename": rename}))
        self.deliver()
        self.assertEqual(["file", "rename", "folder"], steps)


class UnsafeTests(MailboxCase):
    """Where no mail is put."""

    def assertUnsafe(self, **more: Any) -> None:
        """It is refused, and nothing is written anywhere."""
        self.assertEqual("unsafe", self.deliver(**more)["result"])

    def test_linkInPath(self) -> None:
        """No folder may be a symbolic link, wherever it leads."""
        elsewhere = self.home.parent / "elsewhere"
        for place in ("Maildir", "Maildir/new", "Maildir/tmp"):
            for target in (elsewhere, self.home, Path("/etc/passwd"), Path("/no/such")):
                with self.subTest(place=place, target=target):
                    elsewhere.mkdir(exist_ok=True)
                    path = self.home / place
                    path.parent.mkdir(mode=0o700, exist_ok=True)
                    path.symlink_to(target)
                    said = self.deliver()
                    self.assertIn(said["result"], ("unsafe", "trouble"))
                    self.assertEqual([], list(elsewhere.iterdir()))
                    path.unlink()

    def test_dots(self) -> None:
        """No component leads upwards."""
        for path in (["..", "x"], ["a", "..", "..", "x"], ["."], [""], ["a/b"]):
            self.assertUnsafe(path=path)
        self.assertEqual(["home"], os.listdir(self.home.parent))

    def test_writableByOthers(self) -> None:
        """Neither the home nor a folder on the way may be written to by others, unless modes don't count."""
        self.deliver()
        for path in (self.home, self.maildir, self.maildir / "new", self.maildir / "tmp"):
            for bit in (0o020, 0o002):
                path.chmod(0o700 | bit)
                self.assertUnsafe()
                self.assertEqual("delivered", self.deliver(strict=False)["result"])
                path.chmod(0o700)

    def test_owner(self) -> None:
        """It belongs to the user."""
        status = os.stat_result((0o40700, 1, 1, 1, 12345, 0, 0, 0, 0, 0))
        self.assertRaises(mailbox.Unsafe, mailbox.checkOwner, status, "Maildir", (54321, 0))
        mailbox.checkOwner(status, "Maildir", (12345,))

    def test_noFolder(self) -> None:
        """A file in place of a folder."""
        self.maildir.write_text("")
        self.assertUnsafe()


class QuotaTests(MailboxCase):
    """Maildir++."""

    def size(self) -> str:
        """The file."""
        return (self.maildir / "maildirsize").read_text()

    def test_counted(self) -> None:
        """What is delivered is added; at first all that is there is counted."""
        self.deliver()
        n = len(MESSAGE)
        self.assertFalse((self.maildir / "maildirsize").exists())
        for path, size in ((".Sent/cur/1.x,S=100:2,S", 1), (".Sent/new/2.x", 7), ("cur/3.x,S=50:2,ST", 50)):
            (self.maildir / path).parent.mkdir(parents=True, exist_ok=True)
            (self.maildir / path).write_bytes(b"x" * size)
        (self.maildir / ".Trash" / "cur").mkdir(parents=True)
        (self.maildir / ".Trash" / "cur" / "4.x,S=1000:2,").write_bytes(b"")
        self.assertEqual("delivered", self.deliver(quota="10000S,10C")["result"])
        self.assertEqual(f"10000S,10C\n{n + 107} 3\n{n} 1\n", self.size())

    def test_full(self) -> None:
        """Over the quota mail waits or is refused; one that fits into no mailbox is refused."""
        n = len(MESSAGE)
        self.assertEqual("delivered", self.deliver(quota=f"{2 * n}S")["result"])
        self.assertEqual("delivered", self.deliver(quota=f"{2 * n}S")["result"])
        self.assertEqual("full", self.deliver(quota=f"{2 * n}S")["result"])
        self.assertEqual("refused-full", self.deliver(quota=f"{2 * n}S", refuse=True)["result"])
        self.assertEqual("refused-full", self.deliver(quota=f"{n - 1}S")["result"])
        self.assertEqual("full", self.deliver(quota="2C")["result"])
        self.assertEqual("delivered", self.deliver(quota="3C")["result"])

    def test_removed(self) -> None:
        """What has been taken away without a word is found when the sum is over the quota."""
        n = len(MESSAGE)
        for _ in range(2):
            self.deliver(quota=f"{2 * n}S")
        for path in (self.maildir / "new").iterdir():
            path.unlink()
        self.assertEqual("delivered", self.deliver(quota=f"{2 * n}S")["result"])

    def test_ofTheMaildir(self) -> None:
        """A Maildir that has a quota keeps it; what others have written is added up."""
        self.deliver()
        n = len(MESSAGE)
        (self.maildir / "maildirsize").write_text(f"{3 * n}S\n{5 * n} 5\n{-4 * n} -4\n")
        self.assertEqual("delivered", self.deliver()["result"])
        self.assertEqual("delivered", self.deliver()["result"])
        self.assertEqual("full", self.deliver()["result"])

    def test_garbage(self) -> None:
        """A file that nobody understands is no quota, and no trouble; a link is trouble."""
        self.deliver()
        for text in ("", "what\n", "1Q\nx y\n", "0S\n", "\xff\xfe\n", "5000S\n" + "x\n" * 4000):
            (self.maildir / "maildirsize").write_text(text, "latin-1")
            self.assertEqual("delivered", self.deliver()["result"], text[:10])
        (self.maildir / "maildirsize").unlink()
        (self.maildir / "maildirsize").symlink_to("/etc/passwd")
        self.assertEqual("unsafe", self.deliver()["result"])

    def test_parse(self) -> None:
        """A quota as it is written."""
        self.assertEqual((1000, 5), quota.parse("1000S,5C"))
        self.assertEqual((0, 0), quota.parse(""))
        for text in ("1000", "S", "-1S", "1S,", "1M"):
            self.assertRaises(ValueError, quota.parse, text)


class DuplicateTests(MailboxCase):
    """Messages that come again."""

    message = b"Received: a\nMessage-ID: <1@x>\n\nbody\n"

    def again(self, data: bytes = message, **more: Any) -> str:
        """Deliver with a memory."""
        order = {"known": ["<1@x>", "s@x", "r@y"], "body": data.index(b"\n\n"), "remember": 86400, **more}
        return str(self.deliver(data, **order)["result"])

    def test_again(self) -> None:
        """The same message for the same recipient comes once, whatever way it took."""
        self.assertEqual("delivered", self.again())
        self.assertEqual("duplicate", self.again())
        self.assertEqual("duplicate", self.again(b"Received: b\n" + self.message))
        self.assertEqual(1, len(self.messages()))

    def test_others(self) -> None:
        """Another id, envelope or body is another message."""
        self.again()
        for more in (["<2@x>", "s@x", "r@y"], ["<1@x>", "", "r@y"], ["<1@x>", "s@x", "r+d@y"], ["<1@x>s@x", "", "r@y"]):
            self.assertEqual("delivered", self.again(known=more))
        self.assertEqual("delivered", self.again(self.message + b"x"))

    def test_file(self) -> None:
        """It does not matter whether it comes from memory or from a file."""
        self.again()
        with tempfile.TemporaryFile() as file:
            file.write(self.message[5:])
            file.flush()
            order = {"known": ["<1@x>", "s@x", "r@y"], "body": self.message.index(b"\n\n"), "remember": 86400}
            self.assertEqual("duplicate", self.deliver(self.message[:5], file.fileno(), **order)["result"])

    def test_forgets(self) -> None:
        """After the time it is another message; the file does not grow without end."""
        self.again()
        known = self.maildir / duplicates.NAME
        old = b"%010d %064d\n" % (time.time() - 90000, 0)
        known.write_bytes(known.read_bytes().replace(b"%d" % (int(time.time()) // 1000), b"%d" % 1000, 1))
        self.assertEqual("delivered", self.again())
        known.write_bytes(old * 5000 + known.read_bytes())
        self.assertEqual("duplicate", self.again())
        self.assertLess(known.stat().st_size, 1000)

    def test_failed(self) -> None:
        """What could not be delivered has not been there."""
        (self.maildir / "new").mkdir(parents=True, mode=0o777)
        (self.maildir / "new").chmod(0o777)
        self.maildir.chmod(0o700)
        self.assertEqual("unsafe", self.again())
        (self.maildir / "new").chmod(0o700)
        self.assertEqual("delivered", self.again())

    def test_noSum(self) -> None:
        """It is remembered, too, when its octets can't be added to those of the quota."""

        def failing(self: quota.Quota, size: int) -> None:
            raise OSError(errno.EIO, "not now")

        self.patch(quota.Quota, "add", failing)
        self.assertEqual("delivered", self.again(quota="10C"))
        self.assertEqual("duplicate", self.again(quota="10C"))

    def test_link(self) -> None:
        """The file is no link to somewhere else."""
        self.deliver()
        (self.maildir / duplicates.NAME).symlink_to(self.home / "other")
        self.assertEqual("unsafe", self.again())
        self.assertFalse((self.home / "other").exists())
