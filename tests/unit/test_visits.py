"""L{umbcmail.storage}: what the operator's tool looks into while the program runs."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import storage
from umbcmail.config import Config, ConfigError, load
from umbcmail.sections import sections
from umbcmail.state.memory import MemoryState


class StateTests(SynchronousTestCase):
    """A visit to the state."""

    def setUp(self) -> None:
        """A state on a disk, of which is only known that it was opened."""
        self.opened: list[str] = []
        self.patch(storage, "openState", self.open)

    def open(self, config: Config, reactor: Any, log: Any = None) -> Any:
        """In place of the real one."""
        self.opened.append(config.section("state")["url"])
        return self

    def visit(self, url: str) -> Any:
        """What is opened for an url."""
        return storage.visitState(load(sections(), None, [f"state.url={url}"]), MemoryReactorClock())

    def test_there(self) -> None:
        """What is there is opened."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        self.assertIs(self, self.visit(f"sqlite:{folder}"))

    def test_notThere(self) -> None:
        """What is not there yet is empty, and is not made."""
        folder = os.path.abspath(self.mktemp())
        self.assertIsInstance(self.visit(f"sqlite:{folder}"), MemoryState)
        self.assertFalse(os.path.exists(folder))

    def test_unreachable(self) -> None:
        """What can't be looked at is a mistake of the configuration."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w"):
            pass
        error = self.assertRaises(ConfigError, self.visit, f"sqlite:{path}/state")
        self.assertEqual(["state.url"], [problem.key for problem in error.problems])

    def test_owner(self) -> None:
        """Root becomes whom it belongs to, so that no file in it comes to belong to root."""
        folder, said = os.path.abspath(self.mktemp()), []
        os.mkdir(folder)
        self.patch(os, "geteuid", lambda: 0)
        self.patch(os, "stat", lambda path: os.stat_result((0, 0, 0, 0, 8, 9, 0, 0, 0, 0)))
        for name in ("setgroups", "setgid", "setuid"):
            self.patch(os, name, lambda value, name=name: said.append((name, value)))
        self.visit(f"sqlite:{folder}")
        self.assertEqual([("setgroups", []), ("setgid", 9), ("setuid", 8)], said)

    def test_elsewhere(self) -> None:
        """A state that is on no disk here is opened as ever."""
        self.assertIs(self, self.visit("redis://192.0.2.1"))
