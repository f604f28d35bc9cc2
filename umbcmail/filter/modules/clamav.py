"""The module C{clamav}: has messages scanned by clamd, whole, so that it unpacks what is in
them; and watches how old the signatures are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError, inlineCallbacks
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.examination import Action, Examined, ModuleError, Opinion, Rank
from umbcmail.figure import Figure
from umbcmail.filter.modules import clamd
from umbcmail.filter.modules.daemon import Daemon
from umbcmail.filter.modules.question import Question
from umbcmail.filter.multiplexer.settings import CONCURRENCY, DAEMON, OVERSIZE, SCAN_LIMIT
from umbcmail.interfaces import IModule, IWatched
from umbcmail.maillog import MailLog
from umbcmail.options import Option, choice, duration

SOCKET = "unix:/run/clamav/clamd.ctl"
LIMIT = 25 * 1024 * 1024
LOOK = 300.0
"""Seconds between two looks at the signatures."""
LOOK_TIME = 20.0

OPTIONS = (
    DAEMON,
    CONCURRENCY,
    SCAN_LIMIT,
    OVERSIZE,
    Option(
        "infected",
        choice("refuse", "discard", "quarantine", "tag"),
        "refuse",
        "What becomes of infected mail: refuse (550), throw away with a 250, put aside, accept with a tag.",
    ),
    Option(
        "signature-age",
        duration(0),
        "1d",
        "Age of clamd's signatures over which the module is degraded; 0s: it does not matter.",
    ),
)

_ACTIONS = {
    "refuse": Action.REFUSE,
    "discard": Action.DISCARD,
    "quarantine": Action.QUARANTINE,
    "tag": Action.ACCEPT,
}


@implementer(IModule, IWatched)
class ClamAV(Daemon, Service):
    """The module."""

    mark = "X-Virus-Status"
    claims = (b"x-virus-",)

    def __init__(self, settings: Mapping[str, Any], hostName: str, reactor: Any, log: MailLog) -> None:
        """
        @param settings: of the module, and its C{name}.
        """
        self.name: str = f"module {settings['name']}"
        Daemon.__init__(self, settings, reactor, SOCKET, LIMIT)
        self._hostName = hostName
        self._log = log
        self._version: clamd.Version | None = None
        self._trouble = ""
        self._isOld = False
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor

    # Messages

    def _judge(self, examined: Examined) -> Deferred[Opinion]:
        question = Question(clamd.SCAN, examined.content, clamd.END, clamd.chunk)
        return self._ask(question).addCallback(self._said)

    def _said(self, reply: bytes) -> Opinion:
        found = clamd.foundIn(reply)
        scanned = ("X-Virus-Scanned", f"{self._program} at {self._hostName}")
        if not found:
            return Opinion(headers=(scanned, (self.mark, "Clean")))
        action = _ACTIONS[self._settings["infected"]]
        # The name has been chosen by who made the signature, which need not be ASCII.
        return Opinion(
            Rank.VIRUS,
            action,
            found,
            f"Message infected: {found}",
            headers=(scanned, (self.mark, f"Infected, {found}")),
        )

    @property
    def _program(self) -> str:
        return f"ClamAV {self._version.program}" if self._version is not None else "ClamAV"

    # Signatures

    def startService(self) -> None:
        """Look at the signatures, now and from time to time."""
        Service.startService(self)
        if not self._loop.running:
            self._loop.start(LOOK)

    def stopService(self) -> None:
        """No more."""
        Service.stopService(self)
        if self._loop.running:
            self._loop.stop()

    @inlineCallbacks
    def look(self) -> Any:
        """Ask for the version.  @return: L{Deferred} that never fails."""
        try:
            asked = self._ask(Question(clamd.VERSION))
            reply = yield asked.addTimeout(LOOK_TIME, self._reactor)
            self._version = clamd.versionIn(reply)
            self._trouble = ""
        except (ModuleError, TimeoutError) as why:
            self._note(str(why) or "no answer in time")
        except Exception:
            self._log.bug("-", self.name, Failure())
            self._note("broken, see the log")
        self._watchAge()

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._log.trouble("-", self.name, f"clamd can't be asked for its version: {trouble}")
        self._trouble = trouble

    def _watchAge(self) -> None:
        isOld = bool(self._tooOld())
        if isOld and not self._isOld:
            self._log.trouble("-", self.name, self._tooOld())
        self._isOld = isOld

    def _age(self) -> float | None:
        """Seconds, L{None}: clamd does not say."""
        if self._version is None or self._version.made is None:
            return None
        return max(self._reactor.seconds() - self._version.made, 0.0)

    def _tooOld(self) -> str:
        limit, age = self._settings["signature-age"], self._age()
        if not limit or self._version is None:
            return ""
        if age is None:
            return "clamd has no official signatures, or does not say how old they are"
        return f"the signatures are {age / 3600:.0f} hours old" if age > limit else ""

    # How it is

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"clamd: {self._trouble}" if self._trouble else self._tooOld()

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        labels = (("module", self._settings["name"]),)
        age = self._age()
        if age is not None:
            yield Figure("clamav_signature_age_seconds", age, "Age of clamd's signatures.", labels)


def make(settings: Mapping[str, Any], tools: Any) -> ClamAV:
    """The module; see L{umbcmail.interfaces.IPart.make}."""
    return ClamAV(settings, tools.hostName, tools.reactor, tools.log)
