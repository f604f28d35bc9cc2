"""Aliases, virtual addresses and C{.forward} for tests: read from texts, and answered at once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from umbcmail.aliases import DontKnow
from umbcmail.interfaces import IForwards
from umbcmail.maillog import MailLog
from umbcmail.route.aliasfiles import AliasFiles
from umbcmail.route.expander import Expander
from umbcmail.route.meaning import Meaning, Terms
from umbcmail.route.walk import Bounds


@implementer(IForwards)
class Forwards:
    """What users have in their C{.forward}.

    @ivar files: by address; an exception is why that can't be told.
    @ivar asked: addresses.
    @ivar waiting: addresses whose answer a test fires.
    """

    def __init__(self, **files: Any) -> None:
        self.files = {f"{name}@x.test": text for name, text in files.items()}
        self.asked: list[str] = []
        self.waiting: dict[str, Deferred[str | None]] = {}

    def forwardOf(self, address: str) -> Deferred[str | None]:
        """See L{IForwards.forwardOf}."""
        self.asked.append(address)
        if address in self.waiting:
            return self.waiting[address]
        found = self.files.get(address)
        return fail(DontKnow(str(found))) if isinstance(found, Exception) else succeed(found)


class Tables:
    """Files in a folder.

    @ivar lines: the log.
    """

    def __init__(self, aliases: str = "", virtual: str = "", **included: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        os.chmod(self.folder, 0o755)
        self.clock = Clock()
        self.lines: list[bytes] = []
        for name, text in (("aliases", aliases), ("virtual", virtual), *included.items()):
            self.write(name, text)
        paths = [str(self.folder / name) for name in ("aliases", "virtual")]
        self._log = MailLog(self.lines.append, self.clock)
        self.files = AliasFiles(paths[:1], paths[1:], "+", 10.0, self.clock, self._log, maybeDeferred)

    def write(self, name: str, text: str) -> None:
        """Write a file; C{DIR} in it is the folder."""
        path = self.folder / name
        path.write_text(text.replace("DIR", str(self.folder)))
        os.chmod(path, 0o644)

    @property
    def log(self) -> str:
        """All of it."""
        self._log.flush()
        return b"".join(self.lines).decode()


def expander(
    tables: Tables,
    forwards: IForwards | None = None,
    bounds: Bounds = Bounds(),  # noqa: B008
    **terms: Any,
) -> Expander:
    """One that reads the tables now; C{x.test} is ours."""
    mistakes = tables.files.load()
    if mistakes:
        raise ValueError(mistakes)
    usual = {
        "isOurs": lambda domain: domain in ("x.test", "y.test"),
        "isVirtual": lambda domain: domain == "v.test",
        "home": "x.test",
        "programUser": "mailprog",
        "folders": ("/var/mail/lists",),
    }
    return Expander(Meaning(tables.files, Terms(**{**usual, **terms}), forwards), bounds, "x.test")
