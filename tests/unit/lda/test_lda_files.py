"""L{umbcmail.lda.dotforward} and L{umbcmail.lda.files}: what users have in C{.forward}, and files in
place of mailboxes; as the user who we are."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.lda import dotforward, files

FROM = b"From s@x Mon Jan  1 00:00:00 2024\n"
MESSAGE = FROM + b"Return-Path: <s@x>\nDelivered-To: a@y\nSubject: x\n\nHello\nFrom here\n"


class Case(SynchronousTestCase):
    """A home, and a folder beside it."""

    def setUp(self) -> None:
        """They are ours."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home, self.lists = Path(folder.name, "home"), Path(folder.name, "lists")
        for path in (self.home, self.lists):
            path.mkdir(mode=0o755)


class ForwardTests(Case):
    """The user's file."""

    def read(self, detail: str = "", **more: Any) -> dict[str, Any]:
        """Read it."""
        order = {"detail": detail, "delimiter": "+", "strict": True, "create": False, **more}
        return dotforward.read({"home": str(self.home)}, order)

    def write(self, text: str = "a@z.test\n", name: str = ".forward", mode: int = 0o600) -> Path:
        """Write it."""
        path = self.home / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def assertUnsafe(self, why: str) -> None:
        """It is not read."""
        found = self.read()
        self.assertEqual("unsafe", found["result"], found)
        self.assertIn(why, found["why"])

    def test_read(self) -> None:
        """All of it, or that there is none; also when nobody else can read it."""
        self.assertEqual({"result": "none"}, self.read())
        self.write("é@z.test\n")
        self.assertEqual({"result": "forward", "text": "é@z.test\n"}, self.read())

    def test_detail(self) -> None:
        """The file of the detail comes first; no detail can be a path."""
        self.write("plain")
        self.write("special", ".forward+list")
        (self.home / ".forward+..").mkdir()
        self.write("evil", ".forward+../x")
        self.assertEqual("special", self.read("list")["text"])
        for detail in ("other", "../x", "..", ""):
            self.assertEqual("plain", self.read(detail)["text"], detail)
        self.assertEqual("plain", self.read("list", delimiter="")["text"])

    def test_modes(self) -> None:
        """A file or a home that others can write to is not believed."""
        path = self.write(mode=0o620)
        self.assertUnsafe(".forward can be written by others")
        self.assertEqual("forward", self.read(strict=False)["result"])
        path.chmod(0o602)
        self.assertUnsafe(".forward can be written by others")
        path.chmod(0o600)
        self.home.chmod(0o775)
        self.assertUnsafe("the home can be written by others")

    def test_links(self) -> None:
        """Neither a link nor a folder nor a pipe is read, wherever it leads."""
        secret = self.lists / "passwd"
        secret.write_text("root:x:0:0\n")
        os.symlink(secret, self.home / ".forward")
        self.assertUnsafe("a symbolic link")
        (self.home / ".forward").unlink()
        (self.home / ".forward").mkdir()
        self.assertUnsafe("is no file")
        (self.home / ".forward").rmdir()
        os.mkfifo(self.home / ".forward")
        self.assertUnsafe("is no file")

    def test_owner(self) -> None:
        """A file of somebody else is not believed, also by another name (hard link)."""
        if os.geteuid():
            self.skipTest("only root can give files away")
        other = self.lists / "x"
        other.write_text("a@z.test\n")
        os.chown(other, 12345, 12345)
        os.link(other, self.home / ".forward")
        self.assertUnsafe(".forward belongs to uid 12345")

    def test_content(self) -> None:
        """Too long, and no text."""
        self.write("x" * (dotforward.SIZE_LIMIT + 1))
        self.assertUnsafe("longer than")
        (self.home / ".forward").write_bytes(b"\xff")
        self.assertUnsafe("not UTF-8")

    def test_noHome(self) -> None:
        """A home that is not there may be away: it can't be told."""
        self.home.rmdir()
        self.assertEqual("trouble", self.read()["result"])


class FileTests(Case):
    """A file in place of the mailbox."""

    def deliver(self, path: str | Path, data: bytes = MESSAGE, file: int = -1) -> dict[str, Any]:
        """Deliver."""
        order = {
            "path": str(path),
            "folders": [str(self.lists)],
            "line": len(FROM),
            "create": True,
            "strict": True,
            "name": "1.1.host",
            "quota": "",
            "refuse": False,
            "known": [],
            "body": 0,
            "remember": 0,
        }
        return files.deliver({"home": str(self.home)}, order, data, file)

    def test_mbox(self) -> None:
        """At its end, with quoted From lines and an empty line behind; for nobody else to be read."""
        box = self.home / "mail"
        for _ in range(2):
            self.assertEqual("delivered", self.deliver(box)["result"])
        self.assertEqual((MESSAGE.replace(b"\nFrom h", b"\n>From h") + b"\n") * 2, box.read_bytes())
        self.assertEqual(0o600, box.stat().st_mode & 0o777)
        self.assertEqual("delivered", self.deliver(self.lists / "all")["result"])

    def test_maildir(self) -> None:
        """With a slash at its end it is a Maildir, without the From line."""
        self.assertEqual("delivered", self.deliver(f"{self.home}/in/")["result"])
        [path] = (self.home / "in" / "new").iterdir()
        self.assertEqual(MESSAGE[len(FROM) :], path.read_bytes())

    def test_place(self) -> None:
        """Nothing is written elsewhere."""
        for path in ("/etc/passwd", f"{self.home}/../lists2", f"{self.home}", f"{self.lists}/", f"{self.home}x/y", "x"):
            self.assertEqual("no-file", self.deliver(path)["result"], path)
        self.assertEqual("no-file", files.deliver({"home": "/"}, {"path": "/etc/x", "folders": []}, b"", -1)["result"])

    def test_unsafe(self) -> None:
        """Neither through links, nor into what is no file, has two names, or can be written by others."""
        victim = self.lists / "victim"
        victim.write_text("keep")
        box = self.home / "box"
        os.symlink(victim, box)
        self.assertEqual("unsafe", self.deliver(box)["result"])
        box.unlink()
        os.link(victim, box)
        self.assertEqual("unsafe", self.deliver(box)["result"])
        box.unlink()
        os.symlink(self.lists, self.home / "sub")
        self.assertEqual("unsafe", self.deliver(self.home / "sub" / "victim")["result"])
        os.mkfifo(box)
        self.assertEqual("unsafe", self.deliver(box)["result"])
        box.unlink()
        box.write_text("")
        box.chmod(0o622)
        self.assertEqual("unsafe", self.deliver(box)["result"])
        self.assertEqual("keep", victim.read_text())

    def test_locked(self) -> None:
        """A file that somebody else has locked waits, and nothing is written."""
        box = self.home / "box"
        box.write_text("keep")
        box.chmod(0o600)
        with box.open() as other, mock.patch.object(files, "PATIENCE", 0.0):
            fcntl.flock(other, fcntl.LOCK_EX)
            self.assertEqual("trouble", self.deliver(box)["result"])
        self.assertEqual("keep", box.read_text())
        self.assertEqual("delivered", self.deliver(box)["result"])

    def test_trouble(self) -> None:
        """What can't be written whole leaves nothing behind."""
        box = self.home / "box"
        self.deliver(box)
        before = box.read_bytes()
        with mock.patch.object(files.os, "fsync", side_effect=OSError(28, "No space left")):
            self.assertEqual("no-storage", self.deliver(box)["result"])
        self.assertEqual(before, box.read_bytes())

    def test_large(self) -> None:
        """What comes as a file follows."""
        box = self.home / "box"
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 300_000 + b"\nFrom y")
            file.flush()
            self.assertEqual("delivered", self.deliver(box, FROM, file.fileno())["result"])
        self.assertEqual(FROM + b"x" * 300_000 + b"\n>From y\n\n", box.read_bytes())

    @given(st.lists(st.sampled_from([b"From ", b"\n", b"F", b"rom ", b"x", b">"]), max_size=20), st.data())
    def test_quoting(self, words: list[bytes], data: Any) -> None:
        """The same, wherever it is cut."""
        whole = FROM + b"".join(words)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        end = b"\n" if whole.endswith(b"\n") else b"\n\n"
        self.assertEqual(whole.replace(b"\nFrom ", b"\n>From ") + end, b"".join(files._quoted(iter(pieces))))
