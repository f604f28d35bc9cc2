"""Who may log in: the checkers that the configuration names, behind one portal.

`service` calls L{makePortal}; `kinds` knows which there are.  Several checkers are asked in order: who is unknown to
one may be known to the next, but if one can't tell, "no" of another is no answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import StrcredException
from twisted.internet.defer import inlineCallbacks, maybeDeferred
from zope.interface import implementer

from umbcmail.accept.auth.authentication import Terms
from umbcmail.accept.auth.exchange import SASLError
from umbcmail.accept.auth.guesses import Guesses
from umbcmail.accept.auth.kinds import CHECKERS, SUPPORTED, Surroundings, findFactory
from umbcmail.accept.auth.sasl import MECHANISMS, available
from umbcmail.interfaces import (
    ICounters,
    IGssapiChecker,
    IGssapiCredentials,
    ILogin,
    IScramChecker,
    IScramCredentials,
)
from umbcmail.maillog import MailLog
from umbcmail.options import PATH, WORD, Option, Section, choice, duration, integer, listOf

AUTH = Section(
    "auth",
    "Authentication of clients.",
    (
        Option(
            "checkers",
            listOf(WORD),
            [],
            "Who knows the passwords, in order: " + ", ".join(f"{kind}:…" for kind in CHECKERS) + ", or a plugin.",
        ),
        Option(
            "mechanisms",
            listOf(choice(*MECHANISMS)),
            ["PLAIN", "LOGIN", "SCRAM-SHA-256", "GSSAPI"],
            "Mechanisms on offer, as far as the checkers know them.",
        ),
        Option("delay", duration(0, 60), "1s", "Time after which a failure is answered, or a multiple of it."),
        Option("session-failures", integer(1), 10, "Failures after which a client is sent away."),
        Option(
            "login-failures", integer(1), 10, "Failures for one login from a network over which it is put off there."
        ),
        Option("network-failures", integer(1), 100, "Failures of all from a network over which it is put off."),
        Option("forget", duration(1), "10m", "Time in which the counts of failures halve."),
        Option("timeout", duration(1, 300), "30s", "Time in which a checker that asks others must know an answer."),
        Option("pam-processes", integer(1, 64), 4, "Processes that ask PAM at the same time, for each service."),
        Option("salts", PATH, None, "File with secret octets for SCRAM; not set: others at each start."),
    ),
)


@implementer(ILogin)
class Login:
    """The avatar."""

    def __init__(self, name: str) -> None:
        self.name = name


@implementer(IRealm)
class Realm:
    """Everybody who is known is a L{Login}."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """See L{IRealm.requestAvatar}."""
        if ILogin not in interfaces:
            raise NotImplementedError("only ILogin")
        name = avatarId.decode() if isinstance(avatarId, bytes) else avatarId
        if not name:
            raise LoginDenied("nobody in particular")
        return ILogin, Login(name), lambda: None


class _Unknown(UnauthorizedLogin):
    """There is no such login.

    @ivar keys: made up for it.
    """

    def __init__(self, keys: Any) -> None:
        UnauthorizedLogin.__init__(self)
        self.keys = keys


@inlineCallbacks
def askInOrder(checkers: Iterable[Any], ask: Callable[[Any], Any]) -> Any:
    """Ask checkers until one says yes.

    @param ask: asks one; L{UnauthorizedLogin} is no, all else that is raised "can't
        tell".  What the client got wrong itself (L{SASLError}) is so for all of them.
    @return: L{Deferred} of the yes; fails with the first that can't be told, or else
        with the first no.
    """
    trouble: Exception | None = None
    refused: Exception | None = None
    for checker in checkers:
        try:
            found = yield maybeDeferred(ask, checker)
        except UnauthorizedLogin as why:
            refused = refused or why
        except SASLError:
            raise
        except Exception as why:
            trouble = trouble or why
        else:
            return found
    raise trouble or refused or UnauthorizedLogin()


@implementer(ICredentialsChecker, IScramChecker, IGssapiChecker)
class Checkers:
    """Several checkers as one."""

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._checkers = tuple(checkers)
        self._keepers = [each for each in checkers if IScramChecker.providedBy(each)]
        ticketed = (each for each in checkers if IGssapiCredentials in each.credentialInterfaces)
        self._acceptors = [each for each in ticketed if IGssapiChecker.providedBy(each)]
        found = {interface for checker in checkers for interface in checker.credentialInterfaces}
        if not self._keepers:
            found.discard(IScramCredentials)
        if not self._acceptors:
            found.discard(IGssapiCredentials)
        self.credentialInterfaces = tuple(each for each in SUPPORTED if each in found)

    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker.requestAvatarId}."""
        able = [
            checker
            for checker in self._checkers
            if any(interface.providedBy(credentials) for interface in checker.credentialInterfaces)
        ]
        return askInOrder(able, lambda checker: checker.requestAvatarId(credentials))

    @inlineCallbacks
    def scramKeys(self, login: str) -> Any:
        """See L{IScramChecker.scramKeys}."""

        @inlineCallbacks
        def ask(checker: Any) -> Any:
            exists, keys = yield checker.scramKeys(login)
            if not exists:
                raise _Unknown(keys)
            return keys

        try:
            keys = yield askInOrder(self._keepers, ask)
        except _Unknown as why:
            return False, why.keys
        return True, keys

    def accept(self, token: bytes) -> Any:
        """See L{IGssapiChecker.accept}."""
        return askInOrder(self._acceptors, lambda checker: checker.accept(token))


def _makeChecker(description: str, surroundings: Surroundings) -> Any:
    kind, _, argument = description.partition(":")
    try:
        checker: Any = findFactory(kind, surroundings).generateChecker(argument)
    except StrcredException as why:
        raise ValueError(f"{kind}: {why}") from None
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # Its maker keeps str, and compares with bytes.
        checker.users = {_octets(name): _octets(password) for name, password in checker.users.items()}
    return checker


def _octets(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def makePortal(descriptions: Iterable[str], surroundings: Surroundings) -> Portal | None:
    """The portal of some checkers, L{None} without any.

    @param surroundings: its C{salts} are read here, or made.
    @raise ValueError: one of them can't be made.
    """
    octets = os.urandom(32)
    salts = surroundings.settings["salts"]
    if salts:
        try:
            with open(salts, "rb") as file:
                octets = file.read(4096)
        except OSError as why:
            raise ValueError(f"{salts}: {why.strerror}") from None
        if len(octets) < 16:
            raise ValueError(f"{salts}: at least 16 octets are needed")
    surroundings = replace(surroundings, salts=octets)
    checkers = [_makeChecker(description, surroundings) for description in descriptions]
    return Portal(Realm(), [Checkers(checkers)]) if checkers else None


def makeTerms(
    portal: Portal,
    settings: Mapping[str, Any],
    clock: Any,
    counters: ICounters | None = None,
    log: MailLog | None = None,
) -> Callable[[bool], Terms]:
    """What makes the terms of a port; counts are the same for all.

    @param settings: of L{AUTH}.
    @param counters: for failures; L{None}: they are counted here alone.
    @raise ValueError: no mechanism is left.
    """
    mechanisms = available(portal, settings["mechanisms"])
    if not mechanisms:
        raise ValueError("there is no mechanism that the checkers know")
    limits = settings["login-failures"], settings["network-failures"]
    guesses = Guesses(clock, *limits, settings["forget"], counters, log)
    return lambda needed: Terms(
        portal, mechanisms, needed, settings["delay"], settings["session-failures"], guesses, clock
    )
