"""SMTP AUTH in one session (RFC 4954): from the command to the portal and back.

`dialogue` makes an L{Authentication} at the first AUTH command, and gives it lines
while an exchange is under way.  Whoever fails is answered after a common time, with
the same words for an unknown login and a wrong password; when the checker can't
tell, the answer is 454, never 535.  Nothing that may hold a secret is logged.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.accept.auth.exchange import Asked, Challenge, Exchange, Finished, KeysNeeded, SASLError, Step, unbase64
from umbcmail.accept.auth.guesses import Attempt, Guesses
from umbcmail.accept.auth.sasl import Mechanism
from umbcmail.envelope import Client
from umbcmail.interfaces import ILogin, IScramCredentials
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply

LINE_LIMIT = 12288
"""Octets of a line of AUTH (RFC 4954 section 4)."""
LOGIN_LIMIT = 255
"""Octets of a login; nobody has a longer one."""

Answered = Reply | Deferred[Reply]

_AUTH = re.compile(rb"(?i)^auth|[\s\0]auth[\s\0]")


def withoutSecrets(line: bytes) -> bytes:
    """A line for the log: of AUTH only the mechanism, of whatever else looks like
    it nothing."""
    if _AUTH.search(line) is None:
        return line
    found = re.match(rb"(?i)auth(?: +[A-Za-z0-9_-]{1,20}(?= |$))?", line)
    return found[0] if found else b"(not shown)"


def verbOf(line: bytes) -> str:
    """What a line begins with in upper case, for looking only."""
    return line[:20].partition(b" ")[0].decode("latin-1").upper()


def refusal(client: Client, inMail: bool) -> Reply | None:
    """What speaks against AUTH as such (RFC 4954 section 4).

    @param inMail: a transaction is under way.
    """
    if not client.esmtp:
        return reply.NEED_EHLO
    if not client.tls:
        return reply.AUTH_NEEDS_TLS
    if client.login:
        return reply.AUTH_ACTIVE
    return reply.AUTH_IN_MAIL if inMail else None


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for AUTH on a port.

    @ivar portal: knows the checkers.
    @ivar mechanisms: those on offer, by name.
    @ivar needed: nobody may send mail without.
    @ivar delay: seconds; failures are answered after a multiple of it.
    @ivar failureLimit: failures of a session after which it is ended.
    @ivar guesses: counts of all failures.
    @ivar clock: for the delay.
    @ivar keyword: the line of EHLO.
    """

    portal: Portal
    mechanisms: Mapping[str, Mechanism]
    needed: bool
    delay: float
    failureLimit: int
    guesses: Guesses
    clock: IReactorTime
    keyword: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keyword", " ".join(["AUTH", *self.mechanisms]))


class Authentication:
    """The AUTH commands of a session.

    @ivar login: whom the client has authenticated as, C{""} before.
    """

    def __init__(self, id: str, hostName: str, terms: Terms, log: MailLog) -> None:
        self.login = ""
        self._id = id
        self._hostName = hostName
        self._terms = terms
        self._log = log
        self._client = Client()
        self._mechanism = ""
        self._exchange: Exchange | None = None
        self._passed: tuple[str, Callable[[], Any]] | None = None
        self._failures = 0
        self._waits: IDelayedCall | None = None
        self._isLost = False

    @property
    def mechanism(self) -> str:
        """Name of the one in use, or used last."""
        return self._mechanism

    # What the dialogue calls

    def begin(self, client: Client, argument: str) -> Answered:
        """The command, when there is no L{refusal}.

        @param argument: what stands behind the verb.
        @return: the reply; 334 asks for a line, 235 is success.
        """
        mechanism, *initials = argument.split(" ", 1) if argument else [""]
        found = self._terms.mechanisms.get(mechanism.upper())
        initial = initials[0].strip(" ") if initials else None
        if not mechanism or (initial is not None and " " in initial):
            return reply.BAD_SYNTAX
        if found is None:
            return reply.AUTH_MECHANISM
        exchange = found.make(self._hostName)
        if initial is not None and not exchange.takesInitial:
            return reply.AUTH_NO_INITIAL
        self._client = client
        self._mechanism = found.name
        self._exchange = exchange
        try:
            # A single = is a response of no octets (RFC 4954 section 4).
            octets = None if initial is None else b"" if initial == "=" else unbase64(initial.encode())
        except SASLError:
            return self._over(reply.AUTH_BASE64)
        return self._step(exchange.begin, octets)

    def line(self, line: bytes) -> Answered:
        """What the client sent to a 334."""
        line = line.strip(b" ")
        if line == b"*":
            return self._over(reply.AUTH_CANCELLED)
        try:
            octets = unbase64(line)
        except SASLError:
            return self._over(reply.AUTH_BASE64)
        if self._passed is not None:
            return self._acknowledged(octets)
        assert self._exchange is not None
        return self._step(self._exchange.respond, octets)

    def cancel(self) -> None:
        """The exchange has ended in another way."""
        self._over(reply.AUTH_CANCELLED)

    def lost(self) -> None:
        """The client is gone."""
        self._isLost = True
        if self._waits is not None and self._waits.active():
            self._waits.cancel()
        self._over(reply.AUTH_CANCELLED)

    # The exchange

    def _over(self, answer: Reply) -> Reply:
        self._exchange = None
        if self._passed is not None:
            passed, self._passed = self._passed, None
            passed[1]()
        return answer

    def _step(self, function: Callable[[Any], Step], argument: Any) -> Answered:
        """One step of the exchange, and what it asks for."""
        try:
            step = function(argument)
        except SASLError:
            return self._over(reply.AUTH_MALFORMED)
        except Exception:
            self._log.bug(self._id, f"mechanism {self._mechanism}", Failure())
            return self._over(reply.AUTH_LATER)
        if isinstance(step, Challenge):
            return _challenge(step.octets)
        if isinstance(step, KeysNeeded):
            return self._findKeys(step.login)
        if isinstance(step, Asked):
            return self._ask(step)
        return self._finish(step)

    def _findKeys(self, login: str) -> Deferred[Reply]:
        """Where the keys come from the client can't tell whether the login exists."""
        began = self._terms.clock.seconds()
        if self._terms.guesses.blocks(login[:LOGIN_LIMIT], self._client.address):
            return self._later(self._tooMany(login), began)
        checker: Any = self._terms.portal.checkers[IScramCredentials]
        found: Deferred[Any] = maybeDeferred(checker.scramKeys, login)
        found.addCallback(lambda pair: self._told(pair[1]))
        return found.addErrback(self._unknown, login)

    def _told(self, keys: Any) -> Answered:
        if self._exchange is None:  # the client is gone
            return reply.AUTH_CANCELLED
        return self._step(self._exchange.keys, keys)

    def _ask(self, asked: Asked) -> Deferred[Reply]:
        """What a checker has to say before the client has said all, and who it is."""
        began = self._terms.clock.seconds()

        def told(answer: Any, attempt: Attempt) -> Answered:
            attempt.right()
            return reply.AUTH_CANCELLED if self._exchange is None else self._step(asked.then, answer)

        def failed(failure: Failure, attempt: Attempt) -> Answered:
            if failure.check(SASLError):
                attempt.unknown()
                return self._over(reply.AUTH_MALFORMED)
            if failure.check(UnauthorizedLogin, LoginDenied):
                return self._later(self._refused(attempt, "", f"not let in: {failure.getErrorMessage()}"), began)
            attempt.unknown()
            self._failures += 1
            return self._later(self._unknown(failure, ""), began)

        def begun(attempt: Attempt | None) -> Answered:
            if attempt is None:
                return self._later(self._tooMany(""), began)
            if self._isLost:
                attempt.unknown()
                return reply.AUTH_CANCELLED
            answer: Deferred[Any] = maybeDeferred(asked.ask, self._terms.portal.checkers[asked.interface])
            return answer.addCallbacks(told, failed, (attempt,), errbackArgs=(attempt,))

        return self._terms.guesses.begin("", self._client.address).addCallback(begun)

    # The end

    def _finish(self, step: Finished) -> Deferred[Reply]:
        began = self._terms.clock.seconds()
        begun = self._terms.guesses.begin(step.login[:LOGIN_LIMIT], self._client.address)
        tried: Deferred[Any] = begun.addCallback(self._try, step)
        return tried.addCallback(self._later, began)

    def _try(self, attempt: Attempt | None, step: Finished) -> Answered:
        """Ask the portal, if there were not too many failures."""
        login = step.login
        if attempt is None:
            return self._tooMany(login)
        if self._isLost:
            attempt.unknown()
            return reply.AUTH_CANCELLED
        if step.credentials is None or len(login.encode()) > LOGIN_LIMIT:
            return self._refused(attempt, login, "impossible credentials")
        # A checker may want to tell others where the question comes from.
        step.credentials.client = self._client
        answer: Deferred[Any] = maybeDeferred(self._terms.portal.login, step.credentials, None, ILogin)
        answer.addCallback(self._right, attempt, step)
        return answer.addErrback(self._wrong, attempt, login)

    def _right(self, found: Any, attempt: Attempt, step: Finished) -> Reply:
        """The portal has let it in."""
        _, avatar, logout = found
        attempt.right()
        self._passed = (avatar.name, logout)
        if self._isLost:
            return self._over(reply.AUTH_CANCELLED)
        if step.last:
            # SMTP has no data with success: the client must say that it has it.
            return _challenge(step.last)
        return self._acknowledged(b"")

    def _acknowledged(self, octets: bytes) -> Reply:
        if octets or self._passed is None:
            return self._over(reply.AUTH_MALFORMED)
        self._exchange = None
        self.login = self._passed[0]
        self._log.authenticated(self._id, self._client, self.login, self._mechanism)
        return reply.AUTHENTICATED

    def _wrong(self, failure: Failure, attempt: Attempt, login: str) -> Reply:
        if failure.check(UnauthorizedLogin, LoginDenied) is None:
            attempt.unknown()
            return self._unknown(failure, login)
        return self._refused(attempt, login, "wrong login or password")

    def _refused(self, attempt: Attempt, login: str, why: str) -> Reply:
        """No."""
        attempt.wrong()
        self._failures += 1
        return self._no(login, reply.AUTH_FAILED, why)

    def _tooMany(self, login: str) -> Reply:
        """Nobody is asked."""
        self._failures += 1
        return self._no(login, reply.AUTH_LATER, "too many failures")

    def _unknown(self, failure: Failure, login: str) -> Reply:
        """The checker can't tell."""
        if failure.check(OSError):
            self._log.trouble(self._id, "auth", failure.getErrorMessage())
        else:
            self._log.bug(self._id, "auth", failure)
        return self._no(login, reply.AUTH_LATER, "the checker can't tell")

    def _no(self, login: str, answer: Reply, why: str) -> Reply:
        if self._failures > self._terms.failureLimit:
            answer = reply.TOO_MANY_FAILURES
        self._log.authFailed(self._id, self._client, login, self._mechanism, answer, why)
        return self._over(answer)

    def _later(self, answer: Reply, began: float) -> Deferred[Reply]:
        """An answer when it is due: success now, all else at a multiple of the
        delay, so that time tells nothing about what was looked up."""
        due: Deferred[Reply] = Deferred()
        clock, delay = self._terms.clock, self._terms.delay
        if answer.code < 400 or self._isLost or not delay:
            due.callback(answer)
        else:
            waits = ceil((clock.seconds() - began) / delay + 1e-9) * delay + began - clock.seconds()
            self._waits = clock.callLater(max(waits, 0.0), due.callback, answer)
        return due


def _challenge(octets: bytes) -> Reply:
    return Reply(334, "", (b64encode(octets).decode(),))
