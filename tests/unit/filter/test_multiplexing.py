"""Tests of what is made of the configuration of the multiplexer: L{umbcmail.multiplexing}."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import service
from umbcmail.config import ConfigError, load
from umbcmail.filter.multiplexer.server import Multiplexer
from umbcmail.sections import sections

CONFIG = """
[host]
name = "mx.y.test"
[spool]
url = "memory:"
[state]
url = "memory:"
"""
GOOD = """
[filter.mx]
listen = "unix:{folder}/mx"
modules = ["lenient", "spamassassin"]
[filter.relay]
listen = "inet:8899@127.0.0.1"
modules = ["lenient"]
[module.lenient]
type = "clamav"
infected = "tag"
"""


class Reactor(MemoryReactorClock):
    """One that is asked for threads, and never runs any."""

    def getThreadPool(self) -> Any:
        """Nothing."""


class ConfigTests(SynchronousTestCase):
    """What can be wrong, and what is made."""

    def setUp(self) -> None:
        """A folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def application(self, text: str) -> service.Application:
        """The program, for the role alone."""
        path = Path(self.folder) / "umbcmail.toml"
        path.write_text(CONFIG + text.replace("{folder}", self.folder))
        return service.makeApplication(load(sections(), str(path)), Reactor(), ("filter",))

    def problems(self, text: str) -> str:
        """What is wrong."""
        error = self.assertRaises(ConfigError, self.application, text)
        return "\n".join(map(str, error.problems))

    def test_made(self) -> None:
        """Two sockets may share a module; parts that nobody uses are not made."""
        [made] = self.application(GOOD)._services
        assert isinstance(made, Multiplexer)
        self.assertEqual(len(made.parts), 2)
        self.assertEqual([gate.name for gate in made._gates], ["mx", "relay"])
        self.assertEqual(self.application("")._services, [])

    def test_wrong(self) -> None:
        """All mistakes are told."""
        found = self.problems(
            '[filter.a]\nlisten = "unix:/x"\nmodules = ["clamv", "seal"]\ngroup = "no-such-group"\n'
            '[filter.b]\nlisten = "unix:/y"\nmodules = ["odd"]\n[module.odd]\ntype = "od"\n'
            '[filter.c]\nlisten = "unix:/z"\n'
        )
        self.assertIn("filter.a.modules", found)
        self.assertIn("clamav", found)
        self.assertIn("secret must be set", found)
        self.assertIn("no-such-group", found)
        self.assertIn("module.odd.type", found)
        self.assertIn("filter.c.modules", found)

    def test_freshclam(self) -> None:
        """A program that is not there is told of at the start."""
        path = Path(self.folder) / "umbcmail.toml"
        path.write_text(CONFIG + '[freshclam]\ncommand = ["no-such-program"]\n')
        config = load(sections(), str(path))
        error = self.assertRaises(ConfigError, service.makeApplication, config, Reactor(), ("schedule",))
        self.assertIn("freshclam.command", str(error.problems[0]))
