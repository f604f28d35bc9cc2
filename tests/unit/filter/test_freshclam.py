"""Tests of L{umbcmail.filter.modules.freshclam}."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.filter.modules.freshclam import Freshclam
from umbcmail.maillog import MailLog


class Process:
    """One that runs until a test ends it."""

    def __init__(self) -> None:
        self.signals: list[str] = []

    def signalProcess(self, signal: str) -> None:
        """Note it."""
        self.signals.append(signal)


class Reactor(Clock):
    """One that makes such processes."""

    def __init__(self) -> None:
        Clock.__init__(self)
        self.runs: list[tuple[Any, Process, Any]] = []
        self.problem: OSError | None = None

    def spawnProcess(self, protocol: Any, program: str, arguments: Any, env: Any) -> Process:
        """See L{IReactorProcess}."""
        if self.problem is not None:
            raise self.problem
        process = Process()
        protocol.makeConnection(process)
        self.runs.append((protocol, process, arguments))
        return process


class FreshclamTests(SynchronousTestCase):
    """It is run from time to time."""

    def setUp(self) -> None:
        """It has begun."""
        self.reactor = Reactor()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.reactor)
        self.service = Freshclam(("/bin/freshclam", "--quiet"), 900.0, 600.0, self.reactor, self.log)
        self.service.startService()

    def end(self, reason: Exception, output: bytes = b"") -> None:
        """The last run ends."""
        protocol = self.reactor.runs[-1][0]
        protocol.childDataReceived(1, output)
        protocol.processEnded(Failure(reason))

    def logged(self) -> str:
        """The log."""
        self.log.flush()
        return b"".join(self.lines).decode()

    def test_runs(self) -> None:
        """At once, then each quarter of an hour; what it says last is in the log."""
        self.assertEqual([arguments for _, _, arguments in self.reactor.runs], [("/bin/freshclam", "--quiet")])
        self.reactor.advance(3)
        self.end(ProcessDone(0), b"daily.cvd updated\ndaily.cvd is up to date\n\n")
        self.assertIn('freshclam id=- result=ok why="daily.cvd is up to date" seconds=3.0', self.logged())
        self.assertEqual(self.service.condition(), "")
        self.reactor.advance(897)
        self.assertEqual(len(self.reactor.runs), 2)

    def test_fails(self) -> None:
        """A run that fails is told of until the next one."""
        self.end(ProcessTerminated(52, None, 52), b"no network")
        self.assertEqual(self.service.condition(), "the last run failed: status 52: no network")
        self.assertEqual([figure.value for figure in self.service.figures()], [0, 1])
        self.reactor.problem = FileNotFoundError(2, "no such file")
        self.reactor.advance(900)
        self.assertIn("no such file", self.service.condition())
        self.reactor.problem = None
        self.reactor.advance(900)
        self.end(ProcessDone(0))
        self.assertEqual(self.service.condition(), "")

    def test_hangs(self) -> None:
        """Two never run at the same time; one that hangs is ended."""
        self.reactor.advance(599)
        _, process, _ = self.reactor.runs[0]
        self.assertEqual(process.signals, [])
        self.reactor.advance(301)
        self.assertEqual(process.signals, ["KILL"])
        self.assertEqual(len(self.reactor.runs), 1)
        self.end(ProcessTerminated(None, 9, 9))
        self.assertEqual(self.service.condition(), "the last run failed: signal 9")
        self.reactor.advance(900)
        self.assertEqual(len(self.reactor.runs), 2)

    def test_stops(self) -> None:
        """At the end a run is ended, and no other begun."""
        self.service.stopService()
        self.assertEqual(self.reactor.runs[0][1].signals, ["TERM"])
        self.end(ProcessTerminated(None, 15, 15))
        self.reactor.advance(2000)
        self.assertEqual(len(self.reactor.runs), 1)
