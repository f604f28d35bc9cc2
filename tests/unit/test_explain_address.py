"""C{umbcmail explain ADDRESS}: what an address stands for; and C{[aliases]} of a configuration."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.test_explain import CONFIG, DNS, Reactor
from umbcmail.cli.addresscommand import explainAddress
from umbcmail.cli.command import Refusal
from umbcmail.cli.explaincommand import explain
from umbcmail.cli.explainparser import Question
from umbcmail.config import Config, ConfigError, load
from umbcmail.reply import PROGRAM_REFUSED
from umbcmail.sections import sections

ALIASES = """
[aliases]
files = ["{folder}/aliases"]
virtual = ["{folder}/virtual"]
virtual-domains = ["v.test"]
[recipients]
domains = ["y.test"]
tables = ["{folder}/recipients"]
"""


class AddressTests(SynchronousTestCase):
    """Questions to a configuration with aliases."""

    def setUp(self) -> None:
        """Its files."""
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder, 0o755)
        self.write("aliases", "info: ann, list\nlist: c@far.test, |prog\nowner-list: boss\nself: self2\nself2: self\n")
        self.write("virtual", "sales@v.test ann\n")
        self.write("recipients", "ann\n")
        self.write("umbcmail.toml", (CONFIG + ALIASES).replace("{folder}", self.folder))

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = Path(self.folder, name)
        path.write_text(text)
        path.chmod(0o644)

    def config(self, *sets: str) -> Config:
        """The configuration."""
        return load(sections(), os.path.join(self.folder, "umbcmail.toml"), sets)

    def asked(self, address: str, asJSON: bool = False, sender: str = "s@z.test") -> tuple[Any, int]:
        """What is printed, and the status."""
        out = io.StringIO()
        tools = SimpleNamespace(out=out, note=lambda text: None)
        done: Any = explainAddress(address, sender, self.config(), Reactor(), tools, asJSON, DNS)
        found: list[Any] = []
        done.addBoth(found.append)
        status = 0
        if found[0] is not None:
            found[0].trap(Refusal)
            status = found[0].value.status
        text = out.getvalue()
        return (json.loads(text) if asJSON else text.replace(self.folder, "DIR").splitlines()), status

    def test_steps(self) -> None:
        """Step by step, and where it ends."""
        lines, status = self.asked("info@y.test")
        self.assertEqual(
            [
                "steps:    info@y.test: DIR/aliases:1: info is ann, list",
                "            list@y.test: DIR/aliases:2: list is c@far.test, |prog",
                "            list@y.test: DIR/aliases:3: its owner owner-list@y.test is told what goes wrong",
                "              |prog: 550 5.7.1 This program may not be run here",
                "goes to:  ann@y.test; class local, by [queue.local]",
                "          c@far.test; class remote, by [queue.remote]; owner-list@y.test is told what goes wrong",
                f"          |prog (as list@y.test); owner-list@y.test is told what goes wrong; {PROGRAM_REFUSED}",
            ],
            lines,
        )
        self.assertEqual(0, status)

    def test_ends(self) -> None:
        """Itself, nobody, a loop; with the status."""
        for address, last, status in (
            ("bob@y.test", "goes to:  bob@y.test; class local, by [queue.local]", 0),
            ("nobody@v.test", "goes to:  nobody@v.test; 550 5.1.1 There is no such user here", 1),
            ("self@y.test", "goes to:  self@y.test; 554 5.4.6 The address leads back to itself", 1),
        ):
            lines, found = self.asked(address)
            self.assertEqual((last, status), (lines[-1], found))

    def test_json(self) -> None:
        """For programs."""
        record, _ = self.asked("sales@v.test", True)
        self.assertEqual(["sales@v.test: "], [step["found"][:14] for step in record["steps"]])
        self.assertEqual(
            ("ann@y.test", "local", True), (record["ends"][0]["address"], record["ends"][0]["class"], record["taken"])
        )

    def test_noAddress(self) -> None:
        """What is no address."""
        tools = SimpleNamespace(out=io.StringIO(), note=lambda text: None)
        done: Deferred[Any] = explainAddress("a b@c", "", self.config(), Reactor(), tools, False, DNS)
        self.assertEqual(2, self.failureResultOf(done, Refusal).value.status)

    def message(self, recipient: str) -> tuple[list[str], Any]:
        """Rules that have said something about a message from outside, and all of it."""
        out = io.StringIO()
        tools = SimpleNamespace(out=out, note=lambda text: None)
        question = Question("s@z.test", recipient, "198.51.100.1", helo="c.test")
        done: Deferred[Any] = explain(question, self.config(), Reactor(), tools, True, DNS)
        done.addErrback(lambda failure: failure.trap(Refusal))
        record = json.loads(out.getvalue())
        return [f"{rule['rule']}: {rule['answer']}" for rule in record["rules"]], record

    def test_recipients(self) -> None:
        """An alias is there though no table of recipients has it, an address of a virtual domain by its table
        alone; a domain with virtual addresses is ours."""
        for address, rule, isTaken in (
            ("info@y.test", "aliases: permit", True),
            ("ann@y.test", "recipients: no opinion", True),
            ("bob@y.test", "recipients: refuse", False),
            ("sales@v.test", "aliases: permit", True),
            ("ann@v.test", "aliases: refuse", False),
        ):
            rules, record = self.message(address)
            self.assertIn(rule, rules)
            self.assertEqual(isTaken, record["decision"]["taken"], address)
        self.assertEqual(4, len(self.message("info@y.test")[1]["aliases"]))

    def test_mistakes(self) -> None:
        """All mistakes of the files are told before a port opens; what needs the agent needs to know where it is."""
        self.write("aliases", "a b\nc:\n")
        self.write("virtual", "x y\n")
        config = self.config("aliases.forward=true", 'aliases.program-user="prog"')
        tools = SimpleNamespace(note=lambda text: None)
        done: Deferred[Any] = explainAddress("a@y.test", "", config, Reactor(), tools, False, DNS)
        error: Any = self.failureResultOf(done, ConfigError).value
        self.assertEqual(
            ["aliases", "aliases", "aliases", "aliases.forward", "aliases.program-user"],
            [problem.key for problem in error.problems],
        )
