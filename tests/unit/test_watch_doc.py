"""Tests of `docs/watch.md`: each figure that the program shows has its line there.

What is missing is printed as the line that belongs into the table.  Figures are
found in two ways: the whole program is made and asked, and all modules are
searched for figures that only other configurations show.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import umbcmail
from tests.unit.test_auth_config import certificate
from umbcmail import roles, service
from umbcmail.config import load
from umbcmail.entry import Count
from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed
from umbcmail.sections import sections
from umbcmail.watch.exposition import exposition
from umbcmail.watch.picture import About, Part, Picture, metricName

DOC = Path(__file__).parents[2] / "docs" / "watch.md"
SOURCE = Path(umbcmail.__file__).parent

CONFIG = """
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
[spool]
url = "sqlite:{folder}/spool"
[state]
url = "sqlite:{folder}/state"
[queue.local]
courier = "maildir"
[tls]
certificate = "{pem}"
key = "{pem}"
[agent.delivery.port.mx]
endpoint = "tcp:25"
[agent.relay.port.mx]
endpoint = "tcp:26"
[watch]
listen = ["tcp:8025:interface=127.0.0.1"]
"""


class Reactor(MemoryReactorClock):
    """One that is asked for threads, and never runs any."""

    def getThreadPool(self) -> Any:
        """Nothing."""


def lineOf(name: str, kind: str, labels: Iterable[str], meaning: str) -> str:
    """A line of the table."""
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {kind} | {shown} | {meaning} |"


def documented(text: str) -> list[str]:
    """The lines of the table of figures."""
    return [line for line in text.splitlines() if re.match(r"\| `[a-z0-9_]+` \| (counter|gauge) \|", line)]


def missing(figures: Iterable[Figure], text: str) -> list[str]:
    """Lines that a text has to have, and has not."""
    lines = documented(text)
    wanted = [
        lineOf(
            metricName(figure.name),
            "counter" if figure.grows else "gauge",
            [n for n, _ in figure.labels],
            figure.meaning,
        )
        for figure in figures
    ]
    return [line for line in dict.fromkeys(wanted) if line not in lines]


def namesIn(text: str) -> Iterator[str]:
    """Names of figures that a module makes, where they stand in it as such."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Figure":
            first = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "name"), None)
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def undocumented(texts: Iterable[str], doc: str) -> list[str]:
    """Names of figures in modules that have no line."""
    known = {line.split("`")[1] for line in documented(doc)}
    names = [metricName(name) for text in texts for name in namesIn(text)]
    return [name for name in dict.fromkeys(names) if name not in known]


class DocTests(SynchronousTestCase):
    """The doc that is installed."""

    def picture(self) -> Picture:
        """All parts of a program with everything on."""
        folder, path = os.path.abspath(self.mktemp()), self.mktemp()
        pem = os.path.abspath(self.mktemp())
        certificate(pem)
        Path(path).write_text(CONFIG.format(folder=folder, pem=pem))
        watched: list[Any] = []

        def make(findings: Any, tools: Any, wanted: Sequence[str], parts: list[Any]) -> Any:
            watched.append(parts)
            return roles.makeServices(findings, tools, wanted, parts)

        with mock.patch.object(service, "makeServices", make):
            service.makeApplication(load(sections(), path), Reactor())
        (parts,) = watched
        for part in parts:
            if IRefreshed.providedBy(part) and part.name == "spool":  # what it would have been told
                part._counts = {"remote": Count()}
                part._room = mock.Mock(free=1, reserve=1, isLow=False, inodes=1, inodeReserve=1)
        found = tuple([Part(part.name, "", tuple(part.figures())) for part in parts])
        self.assertIn("certificates", [part.name for part in found])
        return Picture(About("h", "v", (), 0.0), 1, 2.0, found, "")

    def test_figures(self) -> None:
        """Every figure has its line: name, kind, labels, meaning."""
        lines = missing(self.picture().figures(), DOC.read_text("utf-8"))
        self.assertEqual(lines, [], "docs/watch.md needs these lines:\n" + "\n".join(lines))

    def test_source(self) -> None:
        """So has every figure that other configurations show."""
        texts = [path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py"))]
        names = undocumented(texts, DOC.read_text("utf-8"))
        self.assertEqual(names, [], "docs/watch.md has no line for these figures:\n" + "\n".join(names))

    def test_exposed(self) -> None:
        """Every figure has a place in both formats for Prometheus: no two of them clash."""
        figures = list(self.picture().figures())
        for asOpen in (False, True):
            lines = [line for line in exposition(figures, asOpen).decode().splitlines() if not line.startswith("#")]
            self.assertEqual(len(lines), len(figures))


class RuleTests(SynchronousTestCase):
    """The checks find what they are for."""

    doc = (
        "# X\n\n| figure | kind | labels | meaning |\n|---|---|---|---|\n| `umbcmail_a` | gauge |  | A. |\n"
        "| `umbcmail_b_total` | counter | `x`, `y` | B. |\n"
    )

    def test_missing(self) -> None:
        """A line that is not there is told as it should be; each once."""
        good = [Figure("a", 1, "A."), Figure("b_total", 1, "B.", (("x", "1"), ("y", "2")), True)]
        self.assertEqual(missing(good, self.doc), [])
        other = [Figure("a", 1, "Other."), Figure("c", 1, "C.", (("x", "1"),)), Figure("c", 1, "C.", (("x", "2"),))]
        self.assertEqual(
            missing(good + other, self.doc),
            ["| `umbcmail_a` | gauge |  | Other. |", "| `umbcmail_c` | gauge | `x` | C. |"],
        )

    def test_source(self) -> None:
        """Figures are found wherever they stand in a module."""
        text = "def f():\n  yield figure.Figure('a', 1, '')\n  return [Figure(name='n'), Figure(x, 1), Other('o')]"
        self.assertEqual(list(namesIn(text)), ["a", "n"])
        self.assertEqual(undocumented([text], self.doc), ["umbcmail_n"])
