"""L{umbcmail.aliases}: files of aliases, and what is wrong with them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import cli
from umbcmail.aliases import MISTAKES, Aliases, Kind, Target, membersOf, split


def aliases(text: str, **included: str) -> Aliases:
    """Those of a file; C{"f"} is the path of the file, and included ones are in C{/}."""

    def read(path: str) -> list[str]:
        if path == "f":
            return text.splitlines(True)
        try:
            return included[path[1:]].splitlines(True)
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    found = Aliases(read)
    found.addFile("f")
    found.check()
    return found


class ReadTests(SynchronousTestCase):
    """What lines mean."""

    def test_kinds(self) -> None:
        """Each kind of target."""
        found = aliases(
            'Staff: ann, "Bob B" <bob@x.test>,\\carl, |/usr/bin/prog, "|prog -a \\"b, c\\"", /var/mail/all, '
            ':include:/list, "|x"\n',
            list="",
        )
        self.assertEqual([], found.mistakes)
        kinds = [Kind.NAME, Kind.ADDRESS, Kind.MAILBOX, Kind.PROGRAM, Kind.PROGRAM, Kind.FILE, Kind.INCLUDE]
        texts = ["ann", "bob@x.test", "carl", "/usr/bin/prog", 'prog -a "b, c"', "/var/mail/all", "/list"]
        wanted = [*map(Target, kinds, texts), Target(Kind.PROGRAM, "x")]
        self.assertEqual(wanted, list(found.entries["staff"].targets))
        self.assertEqual(("Staff", "f:1"), (found.entries["staff"].name, found.entries["staff"].place))

    def test_lines(self) -> None:
        """Comments, empty lines, and lines that go on."""
        found = aliases('# c: d\n\na: b,\n  # not this\n\tc,\n\n d\n"x y": z\r\na@x.test: e\n')
        self.assertEqual([], found.mistakes)
        self.assertEqual(["a", '"x y"', "a@x.test"], list(found.entries))
        self.assertEqual(["b", "c", "d"], [target.text for target in found.entries["a"].targets])

    def test_split(self) -> None:
        """Commas in quotes separate nothing."""
        self.assertEqual(["a", "b, c", '"d, e"@x', "f"], split('a, "b, c",, "d, e"@x ,f'))
        self.assertRaises(ValueError, split, 'a, "b')

    def test_mistakes(self) -> None:
        """All are told, with their places; the rest is read."""
        found = aliases('  a: b\nb\nc:\nd: e f\ng: |\nh: :include:x\nA: b\na: c\n: x\ni: \x01\nj: k, "l\nm: n\n')
        places = [mistake.split(": ")[0] for mistake in found.mistakes]
        self.assertEqual([f"f:{number}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)], places)
        self.assertEqual(["a", "m"], list(found.entries))
        self.assertIn("a is there already (f:7)", "\n".join(found.mistakes))

    def test_many(self) -> None:
        """Mistakes without end are not kept."""
        self.assertEqual(MISTAKES, len(aliases("x\n" * 1000).mistakes))


class CheckTests(SynchronousTestCase):
    """Where aliases lead to."""

    def test_loops(self) -> None:
        """A circle is told once; an alias that names itself means the mailbox, and so does a backslash."""
        found = aliases("a: b\nb: C, x\nc: a\nself: self, a@x.test\nm: \\m2\nm2: m\nok: a\n")
        self.assertEqual(["f:3: these lead back to themselves: a -> b -> c -> a"], found.doubts)

    def test_long(self) -> None:
        """A chain may be long, and many may lead to the same."""
        text = "".join(f"n{number}: n{number + 1}\n" for number in range(20000))
        self.assertEqual([], aliases(text).doubts)
        text = "".join(f"n{number}: n{number + 1}, m{number + 1}\nm{number}: n{number + 1}\n" for number in range(2000))
        self.assertEqual([], aliases(text).doubts)

    def test_include(self) -> None:
        """Included files are read, and what is in them is followed."""
        found = aliases("a: :include:/list\nb: a\n", list="# all\nann, x@y.test\n\nB\n")
        self.assertEqual(["f:2: these lead back to themselves: a -> :include:/list -> b -> a"], found.doubts)
        self.assertEqual((Target(Kind.NAME, "ann"), Target(Kind.ADDRESS, "x@y.test")), found.included["/list"][:2])
        found = aliases("a: :include:/list, :include:/none\nb: :include:/list\n", list=":include:/other\na b\n")
        self.assertEqual(
            [
                "/list:2: 'a b' is no address, name, |program, /file or :include:",
                "f:1: :include:/none: No such file or directory",
            ],
            found.doubts,
        )
        self.assertEqual({"/list": None, "/none": None}, found.included)

    def test_nested(self) -> None:
        """Included files may include others, but not themselves; what is wrong with one is wrong
        with no other, and with no alias."""
        found = aliases(
            "a: :include:/l, b\nc: :include:/m\n", l=":include:/m\n:include:/n\n", m="x, :include:/m", n="a b"
        )
        self.assertEqual([], found.mistakes)
        self.assertEqual(
            [
                "/n:1: 'a b' is no address, name, |program, /file or :include:",
                "/m: these lead back to themselves: :include:/m -> :include:/m",
            ],
            found.doubts,
        )
        self.assertEqual(["a", "c"], list(found.entries))
        self.assertEqual((2, 2, None), tuple(v and len(v) for _, v in sorted(found.included.items())))

    def test_trust(self) -> None:
        """In an included file that others than the administrator can write no programs and
        files may stand."""
        read = {"f": ["a: :include:/l\n"], "/l": ["ann\n", "|prog\n", "/file\n"]}.__getitem__
        for isTrusted, wrong in ((True, 0), (False, 2)):
            found = Aliases(read, lambda path, said=isTrusted: said)  # type: ignore[misc]
            found.addFile("f")
            found.check()
            self.assertEqual(wrong, len(found.doubts), found.doubts)
            self.assertEqual(not wrong, found.included["/l"] is not None)

    def test_members(self) -> None:
        """A file of targets alone; all mistakes are told with their lines."""
        found, wrong = membersOf(["# c\n", "\\ann, |vacation ann\n", "\n", "bob@x.test, :include:/l\n", "a b"])
        self.assertEqual(["ann", "vacation ann", "bob@x.test", "/l"], [target.text for target in found])
        self.assertEqual([5], [line for line, _ in wrong])
        self.assertEqual(
            [(1, "includes may not stand in this file: /l")], membersOf([":include:/l"], [Kind.INCLUDE])[1]
        )


class CommandTests(SynchronousTestCase):
    """C{umbcmail aliases check}."""

    def run_(self, *argv: str) -> tuple[int, str, str]:
        """Status, output, and standard error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(argv)
        return status, out.getvalue(), err.getvalue()

    def test_check(self) -> None:
        """What is told, and the status."""
        path = self.mktemp()
        Path(path).write_text("a: b, c@x.test\n")
        self.assertEqual((0, "1 aliases; targets: address 1, name 1\n", ""), self.run_("aliases", "check", path))
        Path(path).write_text("a: b\nb: a\n")
        status, out, err = self.run_("aliases", "check", path)
        self.assertEqual((1, f"{path}:2: these lead back to themselves: a -> b -> a"), (status, out.splitlines()[0]))
        self.assertEqual("umbcmail: mistakes: 1\n", err)
        status, out, _ = self.run_("aliases", "check", "--json", path)
        self.assertEqual((1, 2), (status, json.loads(out)["aliases"]))

    def test_config(self) -> None:
        """The files of a configuration, read as the program reads them; what is not permitted is told too."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "aliases").write_text("a: |prog, /dev/null\n")
        (folder / "virtual").write_text("a@v.test b\nnobody\n")
        config = folder / "umbcmail.toml"
        config.write_text(
            f'[aliases]\nfiles = ["{folder.absolute()}/aliases"]\nvirtual = ["{folder.absolute()}/virtual"]\n[x]\n'
        )
        for path in (folder / "aliases", folder / "virtual"):
            path.chmod(0o644)
        status, out, _ = self.run_("aliases", "check", "--config", str(config))
        lines = [line.replace(f"{folder.absolute()}/", "") for line in out.splitlines()[:-1]]
        self.assertEqual(
            [
                "virtual:2: an address, blanks, and what it stands for are needed",
                "aliases:1: prog is refused as long as aliases.program-user is not set",
            ],
            lines,
        )
        self.assertEqual(1, status)
        (folder / "virtual").chmod(0o666)
        words = ("aliases", "check", "--config", str(config), "--set", "aliases.program-user=p")
        self.assertIn("others than its owner can write to it", self.run_(*words)[1])
        self.assertEqual(2, self.run_(*words, "file")[0])

    def test_noFile(self) -> None:
        """One that is not there, or is no text."""
        self.assertEqual(1, self.run_("aliases", "check", "/nonexistent/file")[0])
        path = self.mktemp()
        Path(path).write_bytes(b"a: \xff\n")
        self.assertIn("this is not UTF-8", self.run_("aliases", "check", path)[1])
