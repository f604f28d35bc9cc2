"""C{--resolver} of L{umbcmail.tap}."""

from __future__ import annotations

import os

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.config import ConfigError
from umbcmail.tap import RunOptions, readConfig


class ResolverOptionTests(SynchronousTestCase):
    """Name servers by the command line."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        with open(self.path, "w") as file:
            file.write('[dns]\nservers = ["192.0.2.9"]\n')

    def servers(self, *arguments: str) -> tuple[tuple[str, int], ...]:
        """What is in effect."""
        options = RunOptions()
        options.parseOptions(["--config", self.path, *arguments])
        found: tuple[tuple[str, int], ...] = readConfig(options).section("dns")["servers"]
        return found

    def test_repeated(self) -> None:
        """All that are given, in their order, in place of those of the file and of C{--set}."""
        self.assertEqual((("192.0.2.9", 0),), self.servers())
        found = self.servers(
            "--resolver", "127.0.0.1:5353", "--set", 'dns.servers=["192.0.2.8"]', "--resolver", "[::1]"
        )
        self.assertEqual((("127.0.0.1", 5353), ("::1", 0)), found)

    def test_wrong(self) -> None:
        """A name server has an address; what is none is told at once, and adds nothing to other mistakes."""
        for wrong in ("", "ns.test", "unix:/run/dns", "192.0.2.1:0", "192.0.2.1:x", '192.0.2.1"]', "::1"):
            why = self.assertRaises(UsageError, RunOptions().parseOptions, ["--resolver", wrong])
            self.assertTrue(str(why).startswith(f"--resolver {wrong}: "), why)
        error = self.assertRaises(ConfigError, self.servers, "--resolver", "192.0.2.1", "--set", "dns.x=1")
        self.assertEqual(["dns.x"], [problem.key for problem in error.problems])
