"""L{umbcmail.route.aliasfiles}: files are read when they change, and what is wrong harms nobody else."""

from __future__ import annotations

import os
import shutil

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.route.aliascase import Tables
from umbcmail.interfaces import IWatched
from umbcmail.route.virtual import VirtualTable


class FilesTests(SynchronousTestCase):
    """Alias files, tables, included files."""

    def tables(self, aliases: str = "", virtual: str = "", **included: str) -> Tables:
        """Files that are removed afterwards; they are watched when they have been loaded."""
        tables = Tables(aliases, virtual, **included)
        self.addCleanup(shutil.rmtree, tables.folder)
        self.assertEqual([], tables.files.load())
        tables.files.startService()
        self.addCleanup(tables.files.stopService)
        return tables

    def later(self, tables: Tables) -> list[str]:
        """Names of aliases after the next look."""
        tables.clock.advance(10)
        return sorted(tables.files.known.aliases.entries)

    def test_change(self) -> None:
        """What has changed is read again, and nothing else is."""
        tables = self.tables("a: b\n", "x@v.test b\n")
        self.assertTrue(verifyObject(IWatched, tables.files))
        before = tables.files.known
        self.later(tables)
        self.assertIs(before, tables.files.known)
        tables.write("aliases", "a: b\nc: d\n")
        self.assertEqual(["a", "c"], self.later(tables))
        self.assertEqual("", tables.files.condition())
        self.assertEqual({"aliases_entries": 3, "aliases_doubts": 0}, {f.name: f.value for f in tables.files.figures()})

    def test_broken(self) -> None:
        """A file with mistakes leaves what was read before in force, and the log and the
        condition say so, until it is mended."""
        tables = self.tables("a: b\n")
        tables.write("aliases", "c: d\ne e\n")
        self.assertEqual(["a"], self.later(tables))
        self.assertIn("aliases:2: name: target, target is needed (1 in all)", tables.files.condition())
        self.assertIn("what was read before stays in force", tables.log)
        log = tables.log
        self.later(tables)
        self.assertEqual(log, tables.log)
        tables.write("aliases", "c: d\n")
        self.assertEqual((["c"], ""), (self.later(tables), tables.files.condition()))
        (tables.folder / "aliases").unlink()
        self.assertEqual(["c"], self.later(tables))
        self.assertIn("No such file", tables.files.condition())
        tables.write("virtual", "x@v.test\n")
        tables.write("aliases", "f: g\n")
        self.assertEqual(["c"], self.later(tables))

    def test_include(self) -> None:
        """Included files are watched too; one that is wrong keeps what was in it, and others
        change all the same."""
        tables = self.tables("a: :include:DIR/l\nb: :include:DIR/none\n", l="ann\n")
        path = str(tables.folder / "l")
        self.assertIn("none: No such file", tables.log)
        self.assertIn("none: No such file", tables.files.condition())
        tables.write("l", "ann, bob\n")
        self.later(tables)
        self.assertEqual(2, len(tables.files.known.included(path) or ()))
        tables.write("l", "a b\n")
        tables.write("none", "carl\n")
        self.later(tables)
        self.assertEqual(2, len(tables.files.known.included(path) or ()))
        self.assertEqual(1, len(tables.files.known.included(str(tables.folder / "none")) or ()))
        self.assertIn(f"{path}: what was in it before stays in force", tables.log)

    def test_modes(self) -> None:
        """Files that others than their owner can write to are not read, nor those in a folder where others could
        put another one in their place, nor what is no file."""
        tables = self.tables("a: :include:DIR/l\nb: :include:DIR/in/m\nc: :include:DIR\n", l="ann\n")
        (tables.folder / "in").mkdir()
        tables.write("in/m", "bob\n")
        os.chmod(tables.folder / "l", 0o664)
        self.later(tables)
        os.chmod(tables.folder / "in", 0o777)
        tables.write("in/m", "bob, carl\n")
        self.later(tables)
        self.assertIn("others than its owner can write to it (chmod go-w)", tables.log)
        self.assertIn(f"others than its owner can write to {tables.folder}/in", tables.log)
        self.assertIn("Is a directory", tables.log)
        self.assertEqual(1, len(tables.files.known.included(str(tables.folder / "in/m")) or ()))
        os.chmod(tables.folder / "aliases", 0o666)
        self.later(tables)
        self.assertIn("aliases: others than its owner can write to it", tables.files.condition())

    def test_owner(self) -> None:
        """A list that belongs to a user may have addresses in it, and no programs."""
        if os.geteuid():
            self.skipTest("only root can give files away")
        tables = self.tables("a: :include:DIR/l\n", l="ann\n")
        path = str(tables.folder / "l")
        os.chown(path, 12345, 12345)
        tables.write("l", "ann, bob\n")
        self.later(tables)
        self.assertEqual(2, len(tables.files.known.included(path) or ()))
        tables.write("l", "|prog\n")
        self.later(tables)
        self.assertIn("l:1: programs may not stand in this file: prog", tables.log)


class VirtualTests(SynchronousTestCase):
    """L{umbcmail.route.virtual}."""

    def test_mistakes(self) -> None:
        """What makes no sense is told."""
        for text, why in (
            ("a@v.test", "an address, blanks, and what it stands for are needed"),
            ("a@v.test ,", "an address, blanks, and what it stands for are needed"),
            ("ann bob", "'ann' has no domain: user@domain, @domain or @.domain is needed"),
            ("a@v..test bob", "'a@v..test' is not user@domain, @domain or @.domain"),
            ("a@v.test |prog", "'|prog' can't stand here, only addresses, names and error:nouser"),
            ("a@v.test :include:/l", "':include:/l' can't stand here, only addresses, names and error:nouser"),
            ('a@v.test "b', "a quote has no end"),
            ("@v..test x", ""),
            ("a@v.test b c", ""),
        ):
            error = self.assertRaises(ValueError, VirtualTable().add, text, "f:1")
            self.assertIn(why, str(error), text)
        table = VirtualTable()
        table.add("A@v.test b", "f:1")
        error = self.assertRaises(ValueError, table.add, "a@V.test c", "f:2")
        self.assertEqual("a@V.test is there already (f:1)", str(error))
