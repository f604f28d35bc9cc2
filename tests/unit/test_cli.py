"""Tests of `umbcmail.cli`: the operator's command as a whole, with a spool in memory and no real reactor."""

from __future__ import annotations

import io
import os
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail

from tests.clicase import SECTIONS, CommandTestCase, FakeReactor
from umbcmail import cli
from umbcmail.config import Config, ConfigError
from umbcmail.entry import SpoolError
from umbcmail.queue.spool.memory import MemorySpool


class MainTests(CommandTestCase):
    """The command as a whole."""

    def test_stopsTheSpool(self) -> None:
        """The spool is started and stopped, also when the action fails, and the reactor runs once."""
        reactor = FakeReactor()
        self.queue("list", reactor=reactor)
        self.queue("show", "k9")
        self.assertEqual((self.store.living, len(self.opened), reactor.runs), ({"test"}, 2, 1))

    def test_usage(self) -> None:
        """A wrong command is one line and status 2."""
        for argv in (
            (),
            ("queue",),
            ("queue", "lsit"),
            ("queue", "show"),
            ("queue", "list", "--limit", "x"),
            ("que",),
            ("queue", "move", "k1"),
            ("hosts", "suspend"),
            ("queue", "list", "--nothing"),
        ):
            status, out, err = self.run_(*argv)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1), argv)
            self.assertTrue(err.startswith("umbcmail: "), err)

    def test_help(self) -> None:
        """Help and version are no errors."""
        for argv in (("--help",), ("queue", "--help"), ("queue", "remove", "--help"), ("--version",)):
            status, out, err = self.run_(*argv)
            self.assertEqual((status, err), (0, ""))
            self.assertIn("umbcmail", out)

    def test_configuration(self) -> None:
        """A wrong configuration is status 78 with a line for each mistake, and no spool is opened."""
        status, out, err = self.queue("list", "--set", "spool.ulr=x", "--set", "spool.url=''")
        self.assertEqual((status, out, self.opened), (78, "", []))
        self.assertEqual(
            err.splitlines(),
            [
                'umbcmail: --set: spool.ulr = "x": unknown key (did you mean url?)',
                'umbcmail: --set: spool.url = "": must not be empty',
            ],
        )
        self.assertEqual(self.run_("queue", "list", "--config", "/nonexistent/x")[0], 78)

    def test_set(self) -> None:
        """--set changes a setting for this run."""
        seen = []

        def opener(config: Config, reactor: Any) -> MemorySpool:
            seen.append(config.section("spool")["url"])
            return MemorySpool("tool", store=self.store)

        self.assertEqual(self.queue("list", "--set", "spool.url=memory:b", opener=opener)[0], 0)
        self.assertEqual(seen, ["memory:b"])

    def test_wrongSpool(self) -> None:
        """A spool that can't be made by its url is a mistake in the configuration."""

        def opener(config: Config, reactor: Any) -> MemorySpool:
            raise ConfigError([config.problem("spool.url", "is nonsense")])

        self.assertEqual(
            self.queue("list", opener=opener),
            (78, "", f'umbcmail: {self.config}: spool.url = "memory:test": is nonsense\n'),
        )

    def test_spoolFails(self) -> None:
        """A spool that can't be opened, or does not do what it is asked for, is status 75."""
        busy = MemorySpool("test", store=self.store)
        status, out, err = self.queue("list", opener=lambda config, reactor: busy)
        self.assertEqual((status, out), (75, ""))
        self.assertTrue(err.startswith("umbcmail: the spool: another one uses"), err)

        broken = MemorySpool("tool", store=self.store)
        broken.retry = lambda selection, now: fail(SpoolError("no room"))  # type: ignore[method-assign]
        self.assertEqual(
            self.queue("retry", "--all", opener=lambda config, reactor: broken),
            (75, "", "umbcmail: the spool: no room\n"),
        )
        self.assertNotIn("tool", self.store.living)

    def test_interrupted(self) -> None:
        """When the reactor ends before the spool has answered (Ctrl-C), that is no success."""
        spool = MemorySpool("tool", store=self.store)
        spool.listing = lambda *args: Deferred()  # type: ignore[method-assign]
        self.assertEqual(self.queue("list", opener=lambda config, reactor: spool), (130, "", ""))

    def test_readerGone(self) -> None:
        """When who reads the output has gone, the command ends quietly."""
        self.commit("k1")
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as out, mock.patch("sys.stdout", out):
            status = cli.main(
                ["queue", "list", "--config", self.config],
                sections=SECTIONS,
                openSpool=self.open,
                reactor=FakeReactor(),
            )
        self.assertEqual(status, 0)

    def test_asciiTerminal(self) -> None:
        """An address that the terminal has no letters for is escaped and does not end the command."""
        self.commit("k1", "müller@b.example")
        raw = io.BytesIO()
        with io.TextIOWrapper(raw, encoding="ascii", write_through=True) as out, mock.patch("sys.stdout", out):
            cli.main(
                ["queue", "list", "--config", self.config],
                sections=SECTIONS,
                openSpool=self.open,
                reactor=FakeReactor(),
            )
            self.assertIn(b"m\\xfcller@b.example", raw.getvalue())
