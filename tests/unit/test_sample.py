"""Tests of `etc/umbcmail/umbcmail.toml`: the sample says what the declarations say.

In the sample each setting has its sentence in a comment above it where it first
stands.  A setting in effect is written C{key = value}, one that is not C{#key = value},
which shows the default if there is one; but all in a C{#[table]} is an example.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.config import load
from umbcmail.config.schema import Schema, optionOf, starsOf
from umbcmail.config.tomltext import parseToml
from umbcmail.options import WORD, Option, Section, duration
from umbcmail.sections import sections

SAMPLE = Path(__file__).parents[2] / "etc" / "umbcmail" / "umbcmail.toml"

_TABLE = re.compile(r"(#?)\[\[?([a-z0-9.-]+)\]?\]")
_SETTING = re.compile(r"(#?)([a-z0-9-]+) = (.+)")


class Shown:
    """A setting as it stands in a sample.

    @ivar isDefault: it is meant to show the default.
    @ivar above: the comment above it.
    """

    def __init__(self, table: str, name: str, text: str, isDefault: bool, above: str) -> None:
        self.table = table
        self.name = name
        self.text = text
        self.isDefault = isDefault
        self.above = above


def settingsOf(text: str) -> Iterator[Shown]:
    """All settings of a sample, with the comment above each."""
    table, isExample, above = "", False, ""
    for line in text.splitlines():
        if found := _TABLE.fullmatch(line):
            table, isExample, above = found[2], bool(found[1]), ""
        elif found := _SETTING.fullmatch(line):
            yield Shown(table, found[2], found[3], bool(found[1]) and not isExample, above)
            above = ""
        elif line.startswith("# "):
            above = f"{above} {line[2:]}".strip()
        else:
            above = ""


def sampleProblems(text: str, sections: Sequence[Section]) -> list[str]:
    """Where a sample and the declarations differ."""
    schema = Schema(sections)
    found, seen = [], set()
    for shown in settingsOf(text):
        path = tuple(shown.table.split("."))
        section = schema.table(path) or schema.array(path)
        option = optionOf(section, shown.name)
        if section is None or option is None:
            found.append(f"{shown.table}.{shown.name} is not declared")
            continue
        found += [f"{shown.table}.{shown.name} {wrong}" for wrong in _wrong(shown, section, option, path, schema)]
        if (section.name, option.name) not in seen and not shown.above.startswith(option.doc):
            found.append(f"{shown.table}.{shown.name} has another comment: {shown.above}")
        seen.add((section.name, option.name))
    missing = [f"{s.name}.{o.name} is missing" for s in sections for o in s.options if (s.name, o.name) not in seen]
    return found + missing


def _wrong(shown: Shown, section: Section, option: Option, path: tuple[str, ...], schema: Schema) -> list[str]:
    """What is wrong with a value."""
    raw = parseToml(f"x = {shown.text}")["x"]
    try:
        value = option.kind.parse(raw)
    except ValueError as why:
        return [str(why)]
    own = section.defaultsFor(starsOf(schema.pattern(section), path), {})
    default = own.get(option.name, option.default)
    if shown.isDefault and default is not None and option.kind.parse(default) != value:
        return [f"is shown as {shown.text}, the default is {default!r}"]
    return []


class SampleTests(SynchronousTestCase):
    """The sample that is installed."""

    def test_declarations(self) -> None:
        """Every option is in the sample with its sentence, and its default where it is not in effect."""
        problems = sampleProblems(SAMPLE.read_text("utf-8"), sections())
        self.assertEqual(problems, [], "\n" + "\n".join(problems))

    def test_loads(self) -> None:
        """The sample is a configuration without a mistake."""
        config = load(sections(), str(SAMPLE))
        self.assertEqual(config.source("spool.url"), str(SAMPLE))

    def test_loadsInFull(self) -> None:
        """So is the sample with all of its comments taken away from settings and tables."""
        lines = SAMPLE.read_text("utf-8").splitlines()
        bare = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines]
        with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
            file.write("\n".join(bare))
            file.flush()
            self.assertTrue(load(sections(), file.name).array("route"))


class RuleTests(SynchronousTestCase):
    """The check finds what it is for."""

    sections = (
        Section("a", "A.", (Option("b", duration(), "5m", "How long."), Option("c", WORD, None, "What."))),
        Section("q.*", "Q.", (Option("d", WORD, "x", "Word."),), ("n",), (("n", (("d", "y"),)),)),
        Section("r[]", "R.", (Option("e", WORD, "x", "Of a row."),)),
    )
    good = (
        "# About a.\n[a]\n# How long.\n# More of it.\n#b = \"5m\"\n# What.\n#c = 'any'\n\n[q.n]\n# Word.\n#d = 'y'\n"
        "#[q.m]\n#d = 'other'\n#[[r]]\n# Of a row.\ne = 'z'\n"
    )

    def check(self, old: str = "", new: str = "") -> list[str]:
        """Problems of the good sample after a change."""
        self.assertIn(old, self.good)
        return sampleProblems(self.good.replace(old, new, 1), self.sections)

    def test_good(self) -> None:
        """Nothing is found where nothing is wrong; a value in effect need not be the default."""
        self.assertEqual(self.check(), [])
        self.assertEqual(self.check('#b = "5m"', 'b = "6m"'), [])
        self.assertEqual(self.check('#b = "5m"', '#b = "300s"'), [])

    def test_found(self) -> None:
        """Missing, unknown, other default, other sentence, wrong value."""
        self.assertEqual(self.check('# How long.\n# More of it.\n#b = "5m"\n'), ["a.b is missing"])
        self.assertEqual(self.check("#c", "#cc"), ["a.cc is not declared", "a.c is missing"])
        self.assertEqual(self.check("[a]", "[aa]")[0], "aa.b is not declared")
        self.assertEqual(self.check('"5m"', '"6m"'), ["a.b is shown as \"6m\", the default is '5m'"])
        self.assertEqual(self.check("'y'", "'x'"), ["q.n.d is shown as 'x', the default is 'y'"])
        self.assertEqual(self.check("# How long.", "# How far."), ["a.b has another comment: How far. More of it."])
        self.assertEqual(self.check("'z'", "''"), ["r.e must not be empty"])
