"""`umbcmail.cli.audit`: who has ordered something, and where that is written down."""

from __future__ import annotations

import io
import json
import os
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.cli import audit
from umbcmail.cli.audit import Audit, Operator, openLog, whoAsks


def config(file: str, format: str = "text") -> Any:
    """A configuration with a mail log."""
    return SimpleNamespace(section=lambda name: {"file": file, "format": format})


class AuditTests(SynchronousTestCase):
    """Lines and where they go."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def write(self, file: str, format: str = "text") -> None:
        """One line, at once."""
        log = Audit(lambda: openLog(config(file, format), Clock()), Operator("root", 0, "ann"))
        log.wrote("hosts resume", host="x", reason="")

    def read(self) -> str:
        """What is in the file."""
        with open(self.path) as file:
            return file.read()

    def test_file(self) -> None:
        """In the mail log, as the program writes it."""
        with open(self.path, "w") as file:
            file.write("before\n")
        self.write(self.path)
        self.write(self.path, "json")
        lines = self.read().splitlines()
        self.assertEqual('ordered id=- what="hosts resume" user=root uid=0 sudo=ann host=x', lines[1].partition(" ")[2])
        self.assertEqual(("ordered", "ann"), tuple(json.loads(lines[2])[key] for key in ("event", "sudo")))

    def test_rootMakesNoFile(self) -> None:
        """The program could not write into it."""
        self.patch(audit, "SOCKET", "/nonexistent")
        for uid, isThere in ((0, False), (1000, True)):
            err = io.StringIO()
            with mock.patch("os.geteuid", lambda uid=uid: uid), mock.patch("sys.stderr", err):
                self.write(self.path)
            self.assertEqual((isThere, not isThere), (os.path.exists(self.path), "ordered" in err.getvalue()))

    def test_syslog(self) -> None:
        """Where the program writes to its standard output, and syslog is there."""
        self.patch(audit, "SOCKET", "/")
        told: list[Any] = []
        self.patch(audit.syslog, "openlog", lambda *args: told.append(args))
        self.patch(audit.syslog, "syslog", lambda *args: told.append(args))
        self.write("-")
        self.assertEqual([("umbcmail", 0, audit.syslog.LOG_MAIL)], told[:1])
        self.assertEqual((audit.syslog.LOG_INFO, True), (told[1][0], "ordered id=-" in told[1][1]))

    def test_who(self) -> None:
        """The real user, and who is behind sudo."""
        self.patch(audit.os, "getuid", lambda: 0)
        with mock.patch.dict(os.environ, {"SUDO_USER": "ann"}):
            self.assertEqual(Operator("root", 0, "ann"), whoAsks())
        self.patch(audit.os, "getuid", lambda: 4_000_000_000)
        with mock.patch.dict(os.environ, clear=True):
            self.assertEqual(Operator("", 4_000_000_000), whoAsks())
