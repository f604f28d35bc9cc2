"""Whether there are the credentials that deliveries run with, and the tokens (AFS) that are
made of them.

Looks at what the role C{postman} puts down (L{umbcmail.credentials}).  The command that
makes tokens is run by the forker, for each new ticket, and again when the forker had to be
started anew: what it gets is there for the processes of all users, which inherit it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from umbcmail import credentials
from umbcmail.maillog import MailLog

LOOK = 1.0
"""Seconds between looks."""
AGAIN = 10.0
"""Seconds after which a token command that has failed is run again."""
GRACE = 10.0
"""Seconds that it gets beyond its time, to be ended in."""
ANSWER_LIMIT = 64 * 1024


class Tokens:
    """See the module.

    @ivar condition: why nothing can be delivered, C{""} when it can.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        owners: Collection[int],
        fork: Callable[[Mapping[str, Any], int], None],
        reactor: Any,
        log: MailLog,
        came: Callable[[], object],
    ) -> None:
        """
        @param settings: of the section C{postman}.
        @param owners: uids of those who may have made the ticket cache.
        @param fork: see L{umbcmail.lda.children.Children}.
        @param came: called when deliveries may begin, or go on.
        """
        self.condition = "nobody has looked yet"
        self._settings = settings
        self._owners = owners
        self._fork = fork
        self._reactor = reactor
        self._log = log
        self._came = came
        self._tick: Any = None
        self._isRunning = False
        self._got = self._until = self._notBefore = 0.0
        self._trouble = ""
        self._generation = 0

    @property
    def areThere(self) -> bool:
        """Something can be delivered now."""
        return self._until > self._reactor.seconds()

    def start(self) -> None:
        """Look, from now on."""
        self._tick = self._reactor.callLater(LOOK, self.start)
        self._look()
        self._tell()

    def stop(self) -> None:
        """Look no more."""
        if self._tick is not None and self._tick.active():
            self._tick.cancel()

    def forget(self) -> None:
        """Whatever tokens there were, the process that has them is another one now."""
        self._generation += 1
        self._got = self._until = self._notBefore = 0.0
        self._isRunning = False

    def _look(self) -> None:
        """Whether there is a ticket, and a new one."""
        cache, now = self._settings["cache"], self._reactor.seconds()
        try:
            known = credentials.read(cache)
            trouble = _NO_RECORD.format(credentials.recordAt(cache)) if known is None else known.trouble(now)
        except OSError as why:
            known, trouble = None, f"{credentials.recordAt(cache)}: {why.strerror}"
        trouble = trouble or credentials.unsafe(cache, self._owners)
        if trouble or known is None:
            # The same ticket may be good again later: tokens are made of it once more then.
            self._trouble, self._got, self._until = trouble, 0.0, 0.0
        elif known.got != self._got and not self._isRunning and now >= self._notBefore:
            self._make(known.got, known.expires)

    def _make(self, got: float, expires: float) -> None:
        """Make tokens of a ticket."""
        argv = self._settings["token-command"]
        if not argv:
            self._have(got, expires)
            return
        order = {
            "argv": argv,
            "environment": credentials.environment(self._settings["cache"]),
            "time": self._settings["timeout"],
        }
        self._isRunning, generation = True, self._generation

        def ended(answer: Any) -> None:
            if generation != self._generation:
                return
            self._isRunning = False
            if isinstance(answer, dict) and (answer.get("result"), answer.get("status")) == ("exit", 0):
                self._have(got, expires)
            else:
                self._failed(answer)
            self._tell()

        self._ask(order).addBoth(ended)

    def _have(self, got: float, expires: float) -> None:
        self._got, self._until, self._trouble = got, expires, ""

    def _failed(self, answer: Any) -> None:
        """The tokens that are there stay, for as long as their ticket lives."""
        self._notBefore = self._reactor.seconds() + AGAIN
        why = _why(answer) if isinstance(answer, dict) else answer.getErrorMessage()
        what = " ".join(self._settings["token-command"])
        cache = self._settings["cache"]
        remedy = "install it, or set postman.token-command = [] where there is no AFS"
        if not isinstance(answer, dict) or answer.get("result") != "missing":
            remedy = f"try: KRB5CCNAME=FILE:{cache} {what}"
        self._trouble = f"no tokens, {what}: {why}; {remedy}"
        if self.areThere:
            self._log.trouble("-", "lda", self._trouble)

    def _tell(self) -> None:
        """Whoever wants to know, when it has changed."""
        before, wasThere = self.condition, not self.condition
        self.condition = "" if self.areThere else self._trouble or "the tokens are being made"
        if self.condition and self._trouble and self.condition != before:
            self._log.trouble("-", "lda", f"no local deliveries: {self.condition}")
        elif not self.condition and not wasThere:
            self._log.event("credentials", "-", where="lda", seconds=round(self._until - self._reactor.seconds()))
            self._came()

    def _ask(self, order: Mapping[str, Any]) -> Deferred[Any]:
        """Have the forker run it.  @return: fails with L{OSError} or L{TimeoutError}."""
        question = _Question()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                self._fork(order, theirs.fileno())
            except OSError as why:
                question.told.errback(why)
                return question.told
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _Once(question))
        return question.told.addTimeout(order["time"] + GRACE, self._reactor)


_NO_RECORD = "there is no {}: the role postman does not run (twistd umbcmail run --role postman)"


def _why(answer: Mapping[str, Any]) -> str:
    """What has become of the command."""
    result = answer.get("result")
    ended = {"exit": f"status {answer.get('status')}", "signal": f"signal {answer.get('signal')}"}
    return f"{ended.get(str(result), result)} {answer.get('why', '')}".strip()


class _Question(Protocol):
    """Waits for one answer.

    @ivar told: L{Deferred} of it.
    """

    def __init__(self) -> None:
        self.told: Deferred[Any] = Deferred(lambda _: self._close())
        self._ahead = b""

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self._ahead += data
        if b"\n" in self._ahead or len(self._ahead) > ANSWER_LIMIT:
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        if not self.told.called:
            try:
                self.told.callback(json.loads(self._ahead.partition(b"\n")[0]))
            except ValueError:
                self.told.errback(OSError("the process that was to run it has ended"))

    def _close(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


class _Once(Factory):
    noisy = False

    def __init__(self, question: _Question) -> None:
        self._question = question

    def buildProtocol(self, address: Any) -> _Question:
        """See L{Factory}."""
        return self._question
