"""L{umbcmail.aliases}: files of aliases, and what is wrong with them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import cli
from umbcmail.aliases import MISTAKES, Aliases, Kind, Target, split


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
        self.assertEqual(["f:3: these lead back to themselves: a -> b -> c -> a"], found.mistakes)

    def test_long(self) -> None:
        """A chain may be long, and many may lead to the same."""
        text = "".join(f"n{number}: n{number + 1}\n" for number in range(20000))
        self.assertEqual([], aliases(text).mistakes)
        text = "".join(f"n{number}: n{number + 1}, m{number + 1}\nm{number}: n{number + 1}\n" for number in range(2000))
        self.assertEqual([], aliases(text).mistakes)

    def test_include(self) -> None:
        """Included files are read, and what is in them is followed."""
        found = aliases("a: :include:/list\nb: a\n", list="# all\nann, x@y.test\n\nB\n")
        self.assertEqual(["f:2: these lead back to themselves: a -> b -> a"], found.mistakes)
        found = aliases("a: :include:/list, :include:/none\nb: :include:/list\n", list=":include:/other\na b\n")
        self.assertEqual(
            [
                "/list:1: an included file may not include others",
                "/list:2: 'a b' is no address, name, |program, /file or :include:",
                "f:1: :include:/none: No such file or directory",
            ],
            found.mistakes,
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

    def test_noFile(self) -> None:
        """One that is not there, or is no text."""
        self.assertEqual(1, self.run_("aliases", "check", "/nonexistent/file")[0])
        path = self.mktemp()
        Path(path).write_bytes(b"a: \xff\n")
        self.assertIn("this is not UTF-8", self.run_("aliases", "check", path)[1])
