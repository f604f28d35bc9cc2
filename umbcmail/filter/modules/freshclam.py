"""Has the signatures of ClamAV renewed from time to time, by the command that the
configuration names; for the role C{schedule}.

The command runs beside us and is not waited for.  What it says goes to the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import WORD, Option, Section, duration, listOf

FRESHCLAM = Section(
    "freshclam",
    "Renews the signatures of ClamAV, by the role schedule of one process of the host.",
    (
        Option("command", listOf(WORD), [], "The program and its arguments; with none nothing is run."),
        Option("every", duration(60), "15m", "Time between two runs."),
        Option("limit", duration(1), "10m", "Time after which a run is ended."),
    ),
)

OUTPUT = 4096
"""Octets of its output that are kept, the last ones."""


class _Run(ProcessProtocol):
    """One run."""

    transport: Any

    def __init__(self, owner: Freshclam) -> None:
        self._owner = owner
        self._said = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Some output."""
        self._said = (self._said + data)[-OUTPUT:]

    def processEnded(self, reason: Failure) -> None:
        """That was it."""
        lines = [line for line in self._said.decode("utf-8", "replace").splitlines() if line.strip()]
        self._owner.ended(reason.value, lines[-1].strip() if lines else "")


@implementer(IWatched)
class Freshclam(Service):
    """Runs it."""

    name = "freshclam"

    def __init__(self, command: Sequence[str], every: float, limit: float, reactor: Any, log: MailLog) -> None:
        """
        @param every: seconds between two runs.
        @param limit: seconds of one.
        """
        self._command = tuple(command)
        self._limit = limit
        self._every = every
        self._reactor = reactor
        self._log = log
        self._run: _Run | None = None
        self._timer: Any = None
        self._began = 0.0
        self._counts: Counter[str] = Counter()
        self._trouble = ""
        self._loop = LoopingCall(self._begin)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Run it now, and from time to time."""
        Service.startService(self)
        self._loop.start(self._every)

    def stopService(self) -> None:
        """No more; a run that is under way is ended."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()
        self._kill("TERM")

    def _begin(self) -> None:
        if self._run is not None:
            return
        self._began = self._reactor.seconds()
        run = _Run(self)
        try:
            self._reactor.spawnProcess(run, self._command[0], self._command, env=None)
        except OSError as why:
            self._result("failed", str(why))
            return
        self._run = run
        self._timer = self._reactor.callLater(self._limit, self._kill, "KILL")

    def _kill(self, signal: str) -> None:
        if self._run is not None:
            try:
                self._run.transport.signalProcess(signal)
            except ProcessExitedAlready:
                pass

    def ended(self, why: Any, line: str) -> None:
        """A run has.  @param line: the last of its output."""
        self._run = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if why.exitCode == 0:
            self._result("ok", line)
        else:
            how = f"signal {why.signal}" if why.signal else f"status {why.exitCode}"
            self._result("failed", f"{how}: {line}" if line else how)

    def _result(self, result: str, text: str) -> None:
        self._counts[result] += 1
        self._trouble = text if result == "failed" else ""
        seconds = f"{self._reactor.seconds() - self._began:.1f}"
        self._log.event("freshclam", "-", result=result, why=text[:300], seconds=seconds)

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"the last run failed: {self._trouble}" if self._trouble else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        for result in ("ok", "failed"):
            meaning = "Runs of freshclam, by result."
            yield Figure("freshclam_runs_total", self._counts[result], meaning, (("result", result),), True)
