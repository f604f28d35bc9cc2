"""The operator's command in unit tests: with spool and state in memory, and no real reactor."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import cli
from umbcmail.cli import hostparser, queueparser
from umbcmail.cli.audit import Operator
from umbcmail.config import Config
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft, Entry
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent
from umbcmail.maillog import MailLog
from umbcmail.options import WORD, Option, Section
from umbcmail.queue.schedule import QUEUE
from umbcmail.queue.spool.memory import MemorySpool, MemoryStore
from umbcmail.selection import Selection
from umbcmail.state.memory import MemoryState

NOW = 1_700_000_000.0
HEADER = b"Subject: test\r\nX-Long: a\r\n\tb\r\n"
URL = Option("url", WORD, "memory:", "Where.")
SECTIONS = (Section("spool", "Spool.", (URL,)), Section("state", "State.", (URL,)), QUEUE)
WHO = Operator("root", 0, "ann")


class FakeReactor:
    """As much of a reactor as C{react} needs; runs what is to be called at once."""

    def __init__(self) -> None:
        self.isRunning = False
        self.runs = 0
        self._calls: list[Callable[[], Any]] = []
        self._triggers: list[Callable[[], Any]] = []

    def callWhenRunning(self, call: Callable[..., Any], *args: Any) -> None:
        """See L{IReactorCore.callWhenRunning}."""
        self._calls.append(lambda: call(*args))

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[..., Any], *args: Any) -> None:
        """See L{IReactorCore.addSystemEventTrigger}."""
        self._triggers.append(lambda: call(*args))

    def seconds(self) -> float:
        """See L{IReactorTime.seconds}."""
        return NOW

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> None:
        """See L{IReactorTime.callLater}; a command is over before that."""

    def getThreadPool(self) -> Any:
        """Nothing: nobody runs anything in a thread."""

    def run(self) -> None:
        """Do what waits, until there is nothing, which stands for a signal."""
        self.runs += 1
        self.isRunning = True
        while self._calls and self.isRunning:
            self._calls.pop(0)()
        if self.isRunning:
            self.stop()

    def stop(self) -> None:
        """End."""
        self.isRunning = False
        for trigger in self._triggers:
            trigger()


class PieceContent:
    """Content that comes in pieces, and counts how often its readers are closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.size = 0
        self.data = None
        self.pieces = list(pieces)
        self.closed = 0

    def open(self) -> PieceContent:
        """See L{IContent.open}."""
        return self

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        piece = self.pieces.pop(0) if self.pieces else b""
        return fail(piece) if isinstance(piece, Exception) else succeed(piece)

    def close(self) -> None:
        """See L{IContentReader.close}."""
        self.closed += 1


class Shared:
    """A state that is not in the memory of another process, as far as one can see."""

    def __init__(self, state: MemoryState) -> None:
        self.hosts = state.hosts
        self.start = state.start
        self.stop = state.stop


class CommandTestCase(SynchronousTestCase):
    """Runs the command on a spool in memory."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.spool = MemorySpool("test", store=self.store)
        self.successResultOf(self.spool.start())
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.config = os.path.join(folder, "umbcmail.toml")
        with open(self.config, "w") as file:
            file.write("[spool]\nurl = 'memory:test'\n")
        self.opened: list[MemorySpool] = []
        self.stdin: Any = io.StringIO()
        self.state = MemoryState()
        self.successResultOf(self.state.start())
        self.logged: list[str] = []
        self.patch(hostparser, "whoAsks", lambda: WHO)
        self.patch(queueparser, "whoAsks", lambda: WHO)

    def commit(self, id: str, *recipients: str, queue: str = "remote", content: IContent | None = None) -> None:
        """Put a message into the spool, due in four minutes."""
        to = tuple(Recipient(address) for address in recipients or ("x@b.example",))
        envelope = Envelope(id, f"{id}@umbc.edu", to, NOW - 60, size=2 << 20)
        draft = Draft(queue, tuple(Delivery(r) for r in to), NOW + 240)
        data = content or MemoryContent(HEADER + b"\r\nbody\r\n")
        self.successResultOf(self.spool.commit(envelope, data, [draft], NOW - 60 + len(self.store.entries)))

    def entries(self, **what: Any) -> list[Entry]:
        """What is in the spool."""
        return self.successResultOf(self.spool.listing(Selection(**what), 100))

    def ids(self, **what: Any) -> list[str]:
        """Ids of what is in the spool."""
        return [entry.id for entry in self.entries(**what)]

    def open(self, config: Config, reactor: Any) -> MemorySpool:
        """Open another spool on the same store, as another process would."""
        self.assertEqual(config.section("spool")["url"], "memory:test")
        self.opened.append(MemorySpool("tool", store=self.store))
        return self.opened[-1]

    def run_(
        self, *argv: str, opener: Any = None, reactor: Any = None, sections: Sequence[Section] = SECTIONS
    ) -> tuple[int, str, str]:
        """Exit status, output and errors of a command."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch("sys.stdout", out), mock.patch("sys.stderr", err), mock.patch("sys.stdin", self.stdin):
            status = cli.main(
                argv,
                sections=sections,
                openSpool=opener or self.open,
                openState=lambda config, reactor: Shared(self.state),
                openLog=self.log,
                reactor=reactor or FakeReactor(),
                now=lambda: NOW,
            )
        return status, out.getvalue(), err.getvalue()

    def log(self, config: Config, reactor: Any) -> MailLog:
        """The mail log."""
        return MailLog(lambda data: self.logged.append(data.decode().partition(" ")[2].rstrip()), Clock())

    def queue(self, action: str, *argv: str, **more: Any) -> tuple[int, str, str]:
        """The same for C{umbcmail queue}."""
        return self.run_("queue", action, "--config", self.config, *argv, **more)
