"""Tests of L{umbcmail.hostoptions}, and of the same options in L{umbcmail.tap}."""

from __future__ import annotations

import os

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import hostoptions
from umbcmail.accept.portkinds import listenAt
from umbcmail.config import Config
from umbcmail.tap import RunOptions, readConfig

ALL = (
    "--host=mx1.y.test",
    "--delivery-address",
    "192.0.2.1",
    "--relay-address",
    "2001:db8::1",
    "--spool",
    "/srv/spool",
    "--state=redis://r.test/2",
)


class OptionTests(SynchronousTestCase):
    """C{twistd umbcmail run --host …}."""

    def config(self, *arguments: str) -> Config:
        """What is in effect."""
        options = RunOptions()
        options.parseOptions(arguments)
        return readConfig(options)

    def test_all(self) -> None:
        """Each is short for C{--set} of its setting; a folder is one of SQLite."""
        config = self.config(*ALL)
        self.assertEqual("mx1.y.test", config.section("host")["name"])
        self.assertEqual("192.0.2.1", config.section("agent.delivery")["address"])
        self.assertEqual("2001:db8::1", config.section("agent.relay")["address"])
        self.assertEqual("sqlite:/srv/spool", config.section("spool")["url"])
        self.assertEqual("redis://r.test/2", config.section("state")["url"])
        self.assertEqual("--set", config.source("spool.url"))

    def test_order(self) -> None:
        """The last one counts, as with C{--set}, whatever its spelling."""
        config = self.config("--host", "a.test", "--set", "host.name=b.test")
        self.assertEqual("b.test", config.section("host")["name"])
        config = self.config("--set", "host.name=b.test", "--host", "c.test")
        self.assertEqual("c.test", config.section("host")["name"])

    def test_wrong(self) -> None:
        """What makes no sense is told by the name of the setting, an empty value by that of the option."""
        self.assertRaises(UsageError, RunOptions().parseOptions, ["--spool", ""])
        for option, key in (("--delivery-address", "agent.delivery.address"), ("--host", "host.name")):
            with self.assertRaisesRegex(Exception, key.replace(".", "[.]")):
                self.config(option, 'a"b\\ c')


class SavedTests(SynchronousTestCase):
    """The file of the package."""

    def saved(self, text: str) -> list[str]:
        """What is set by a file."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(text)
        return hostoptions.saved(path)

    def test_sameAsTheProgram(self) -> None:
        """What C{run} would set, in the same order; other options and variables are passed over."""
        text = 'X=1\n# UMBCMAIL_OPTIONS="--host no"\nUMBCMAIL_OPTIONS="--workers 2 ' + " ".join(ALL) + ' -s a.b=1"\n'
        options = RunOptions()
        options.parseOptions([*ALL, "-s", "a.b=1"])
        self.assertEqual(options["set"], self.saved(text))

    def test_quotes(self) -> None:
        """Quotes are those of the shell, and within the value those of a command line; lines may be continued."""
        text = 'export UMBCMAIL_OPTIONS="--set \'x.y=\\"a b\\"\' \\\n --host h.test"  # of this host\n'
        self.assertEqual(['x.y="a b"', 'host.name="h.test"'], self.saved(text))

    def test_nothing(self) -> None:
        """Without the file, or the variable, nothing is set."""
        self.assertEqual([], hostoptions.saved(os.path.abspath(self.mktemp())))
        self.assertEqual([], self.saved("UMBCMAIL_OPTIONS=\nOTHER=--host\n"))

    def test_wrong(self) -> None:
        """What makes no sense names the file."""
        for wrong in ('"--host', "--host", "\"--spool ''\"", '"--set \'x"'):
            with self.assertRaisesRegex(ValueError, "^/.*: UMBCMAIL_OPTIONS: "):
                self.saved(f"UMBCMAIL_OPTIONS={wrong}\n")


class EndpointTests(SynchronousTestCase):
    """Where a port listens."""

    def test_listenAt(self) -> None:
        """TCP ports that name no address get that of their agent; others stay as they are."""
        for endpoint, expected in (
            ("tcp:25", "tcp:25:interface=192.0.2.1"),
            ("tcp:port=25:backlog=9", "tcp:port=25:backlog=9:interface=192.0.2.1"),
            ("tcp:25:interface=127.0.0.1", "tcp:25:interface=127.0.0.1"),
            ("tcp:25:127.0.0.1", "tcp:25:127.0.0.1"),
            ("unix:/run/x", "unix:/run/x"),
            ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
        ):
            self.assertEqual(expected, listenAt(endpoint, "192.0.2.1"))
            self.assertEqual(endpoint, listenAt(endpoint, None))
        self.assertEqual("tcp:25:interface=2001\\:db8\\:\\:1", listenAt("tcp:25", "2001:db8::1"))
