"""Keeps a connection to Redis: connects again by itself, and says when it is away.

It knows nothing of what is kept there.  What needs Redis gives L{RedisClient} scripts to
run, and something to do each time before Redis counts as there again (C{recoveries}):
load a copy, hand in what could not be handed in.  There are two conditions only: Redis
is there and does all that is asked of it, or it is away.  An error that it answers
(it has become a replica, has no replicas, no memory, no disk) is a reason to connect
again, and what does the recovery finds out whether that helps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks
from twisted.python.failure import Failure

from umbcmail.maillog import MailLog
from umbcmail.sighting import StateError
from umbcmail.state.redissession import Dialler, Session, reasonOf

FIRST, LAST = 0.1, 5.0
"""Seconds until the next attempt, after the first that has failed and in the end."""
SENTINELS = 5
"""The Sentinels are asked at each such look."""

Recovery = Callable[[Session], Deferred[Any]]


class RedisClient:
    """Redis, when it is there.

    @ivar why: why it is away, C{""} when it is there.
    @ivar since: seconds since 1970, since when that is so.
    @ivar connections: how often it has come to be there.
    @ivar recoveries: called with the session each time before it counts as there; when
        the Deferred of one fails it does not.
    @ivar gains: called each time when it is there.
    @ivar losses: called each time when it is away.
    @ivar listeners: what is called with the messages of the channel, by their first word.
    @ivar timeout: seconds that an answer may take.
    """

    def __init__(
        self,
        dialler: Dialler,
        prefix: str,
        db: int,
        timeout: float,
        reactor: Any,
        log: MailLog | None,
        random: Callable[[], float] | None = None,
    ) -> None:
        """
        @param prefix: all keys and the channel begin with it.
        @param timeout: seconds, also between two looks whether it is still there.
        """
        self.why = "is not open"
        self.since = 0.0
        self.connections = 0
        self.recoveries: list[Recovery] = []
        self.gains: list[Callable[[], None]] = []
        self.losses: list[Callable[[], None]] = []
        self.listeners: dict[bytes, Callable[[bytes], None]] = {}
        self.channel = f"{prefix}{db}:news"  # channels belong to no database
        self._dialler = dialler
        self._prefix = prefix
        self.timeout = timeout
        self._reactor = reactor
        self._log = log
        self._random = random or Random().random
        self._session: Session | None = None
        self._life = b""
        self._attempts = 0
        self._looks = 0
        self._timer: Any = None
        self._attempt: Deferred[Any] | None = None
        self._seen: Deferred[Any] | None = None
        self._first: Deferred[None] | None = None
        self._isRunning = False
        self._isTold = False
        self._underWay = 0
        self._idle: Deferred[None] | None = None

    def key(self, name: str) -> str:
        """The name of a key of ours."""
        return self._prefix + name

    @property
    def isThere(self) -> bool:
        """It can be asked."""
        return self._session is not None

    @property
    def trouble(self) -> str:
        """What is wrong though Redis is there: a Sentinel is away; or C{""}."""
        return self._dialler.trouble

    def script(self, text: str, keys: list[Any], arguments: list[Any]) -> Deferred[Any]:
        """Run a script.  @return: L{Deferred} of its answer; fails with L{StateError}."""
        if self._session is None:
            return fail(self.error())
        self._underWay += 1
        return self._session.script(text, keys, arguments).addBoth(self._done)

    def error(self) -> StateError:
        """What to fail with while it is away."""
        return StateError(f"Redis {self.why or 'is away'}")

    def _done(self, result: Any) -> Any:
        self._underWay -= 1
        if not self._underWay and self._idle is not None:
            # What waits for the answer goes first.
            self._reactor.callLater(0, self._idle.callback, None)
            self._idle = None
        return result

    # Coming and going

    def start(self) -> Deferred[None]:
        """Begin.  @return: fires when Redis is there, or the first attempt has failed."""
        self._isRunning = True
        self.why = "has not answered yet"
        self.since = self._reactor.seconds()
        self._first = Deferred()
        first = self._first
        self._try()
        return first

    @inlineCallbacks
    def stop(self) -> Any:
        """Wait for what is under way, and close.  @return: L{Deferred}"""
        self._isRunning = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._attempt is not None:
            self._attempt.cancel()
        if self._underWay:
            self._idle = Deferred()
            yield self._idle
        session, self._session = self._session, None
        self.why = "is closed"
        if self._seen is not None:
            self._seen.cancel()
        if session is not None:
            session.end(self.why)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = self._reactor.callLater(seconds, call)

    def _try(self) -> None:
        self._timer = None
        self._attempt = self._open()
        self._attempt.addErrback(self._failed).addErrback(self._bug)

    @inlineCallbacks
    def _open(self) -> Any:
        session = yield self._dialler.open(self.channel, self._hear)
        try:
            life = secrets.token_hex(8)
            yield session.command("SET", self.key("life"), life, "NX")
            self._life = yield session.command("GET", self.key("life"))
            for recovery in self.recoveries:
                yield recovery(session)
        except BaseException as why:
            session.end(str(why) or type(why).__name__)
            raise
        if session.why:
            raise StateError(f"{session.server}: {session.why}")
        self._opened(session)

    def _hear(self, message: bytes) -> None:
        word, _, rest = message.partition(b" ")
        try:
            if word in self.listeners:  # versions to come may have more to say
                self.listeners[word](rest)
        except Exception:
            self._bug(Failure())
            if self._session is not None:
                self._session.end("what was published makes no sense")

    def _opened(self, session: Session) -> None:
        """All that has to be done before has been done."""
        self._session = session
        self._attempt = None
        self._attempts = self._looks = 0
        self.connections += 1
        if self._log is not None:
            lasted = int(self._reactor.seconds() - self.since) if self._isTold else None
            self._log.event("redis", "-", server=session.server, why="is there", away=lasted)
        self._isTold = False
        self.why = ""
        self.since = self._reactor.seconds()
        session.ended.addCallback(lambda why: self._lost(session, why))
        self._later(self.timeout, self._look)
        for gain in self.gains:
            gain()
        self._begun()

    def _lost(self, session: Session, why: str) -> None:
        if self._session is not session:
            return
        self._session = None
        if self._timer is not None:
            self._timer.cancel()
        self._away(f"{session.server}: {why}")
        for loss in self.losses:
            loss()
        if self._isRunning:
            self._later(FIRST * self._random(), self._try)

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if not self._isRunning:
            self._begun()
            return
        if not failure.check(StateError, CancelledError):
            self._bug(failure)
        self._attempts += 1
        self._away(reasonOf(failure))
        self._later(min(LAST, FIRST * 2.0 ** min(self._attempts - 1, 20)) * (0.5 + self._random()), self._try)
        self._begun()

    def _away(self, why: str) -> None:
        """It is away; the log says so once."""
        if not self.why:
            self.since = self._reactor.seconds()
        self.why = why
        if self._log is not None and not self._isTold:
            self._log.trouble("-", "redis", why)
        self._isTold = True

    def _begun(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.callback(None)

    def _bug(self, failure: Failure) -> None:
        if self._log is not None:
            self._log.bug("-", "redis", failure)

    # Whether it is still there, and is still the same

    def _look(self) -> None:
        self._timer = None
        if self._session is not None:
            self._seen = self._see(self._session)
            self._seen.addErrback(lambda failure: failure.trap(StateError, CancelledError)).addErrback(self._bug)

    @inlineCallbacks
    def _see(self, session: Session) -> Any:
        life = yield session.command("GET", self.key("life"))
        yield session.listening()
        if life != self._life:
            session.end("has been emptied")
        self._looks += 1
        if self._dialler.hasSentinels and self._looks % SENTINELS == 0:
            yield self._follow(session)
        if self._session is session and self._isRunning:
            self._later(self.timeout, self._look)

    @inlineCallbacks
    def _follow(self, session: Session) -> Any:
        """Whether the Sentinels still mean this server."""
        try:
            master = yield self._dialler.master()
        except StateError:
            return  # it is told as a trouble
        if master != session.address:
            session.end("is the master no more, the Sentinels say")
