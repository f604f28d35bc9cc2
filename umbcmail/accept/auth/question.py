"""What the checkers have in common that ask another program: the question, how long
it may take, and what "can't tell" is.

`dovecot`, `saslauthd` and `pam` use it, and `krb5` the question alone.  A login or a password that could be read as
something else on the way never leaves here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredSemaphore, fail
from twisted.internet.interfaces import IReactorTime

from umbcmail.accept.auth.saslprep import saslprep
from umbcmail.envelope import Client

LOGIN_LIMIT = 255
"""Octets of a login."""
PASSWORD_LIMIT = 1000
"""Octets of a password; saslauthd takes no longer ones, and a line to Dovecot must
stay below 8192."""
WAITING = 1000
"""Questions that may wait for their turn."""

T = TypeVar("T")


class CantTell(OSError):
    """Whoever was asked can't say yes or no; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a password is that of a login.

    @ivar login: prepared (RFC 4013), not empty, without control characters.
    @ivar password: not empty, without NUL.
    @ivar client: who asks.
    """

    login: str
    password: bytes
    client: Client

    def __repr__(self) -> str:
        return f"<Question {self.login!r}>"


def question(credentials: Any, limit: int = PASSWORD_LIMIT) -> Question:
    """The question of credentials of L{IUsernamePassword}; their C{client} is known
    where `authentication` has them.

    @param limit: octets that a password may have.
    @raise UnauthorizedLogin: nobody has such a login or password.
    """
    password = credentials.password
    try:
        login = saslprep(credentials.username.decode())
    except ValueError:
        raise UnauthorizedLogin from None
    octets = len(login.encode("utf-8", "surrogatepass"))
    if not 0 < octets <= LOGIN_LIMIT or not 0 < len(password) <= limit or b"\0" in password:
        # An empty password is right for anybody where a directory takes it for "no password given".
        raise UnauthorizedLogin
    return Question(login, password, getattr(credentials, "client", None) or Client())


class Turns:
    """Some questions at a time, each answered by a deadline, that counts from the
    moment when it was asked for."""

    def __init__(self, clock: IReactorTime, seconds: float, atOnce: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._places = DeferredSemaphore(atOnce)

    def run(self, ask: Callable[[], Deferred[T]], whom: str) -> Deferred[T]:
        """Ask, when it is one's turn.

        @param ask: what it returns is cancelled when the time is over.
        @param whom: for the log.
        @return: fails with L{CantTell} when it takes too long.
        """
        if len(self._places.waiting) >= WAITING:
            return fail(CantTell(f"{whom}: too many wait for an answer"))

        def late(result: Any, seconds: float) -> Any:
            raise CantTell(f"{whom}: no answer within {seconds:g} seconds")

        asked: Deferred[T] = self._places.run(ask)
        return asked.addTimeout(self._seconds, self._clock, late)
