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
from umbcmail.accept.auth.guesses import Guesses
from umbcmail.accept.auth.kinds import CHECKERS, SUPPORTED, Surroundings, findFactory
from umbcmail.accept.auth.sasl import MECHANISMS, available
from umbcmail.accept.auth.tickets import acceptInOrder
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


@implementer(ICredentialsChecker, IScramChecker, IGssapiChecker)
class Checkers:
    """Several checkers as one."""

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._checkers = tuple(checkers)
        found = {interface for checker in checkers for interface in checker.credentialInterfaces}
        if not any(IScramChecker.providedBy(checker) for checker in checkers):
            found.discard(IScramCredentials)
        ticketed = (each for each in checkers if IGssapiCredentials in each.credentialInterfaces)
        self._acceptors = [each for each in ticketed if IGssapiChecker.providedBy(each)]
        if not self._acceptors:
            found.discard(IGssapiCredentials)
        self.credentialInterfaces = tuple(each for each in SUPPORTED if each in found)

    @inlineCallbacks
    def requestAvatarId(self, credentials: Any) -> Any:
        """See L{ICredentialsChecker.requestAvatarId}."""
        trouble: Exception | None = None
        for checker in self._checkers:
            if not any(interface.providedBy(credentials) for interface in checker.credentialInterfaces):
                continue
            try:
                found = yield maybeDeferred(checker.requestAvatarId, credentials)
            except UnauthorizedLogin:
                continue
            except Exception as why:
                trouble = trouble or why
                continue
            return found
        raise trouble or UnauthorizedLogin()

    @inlineCallbacks
    def scramKeys(self, login: str) -> Any:
        """See L{IScramChecker.scramKeys}."""
        madeUp: Any = None
        trouble: Exception | None = None
        for checker in self._checkers:
            if IScramChecker.providedBy(checker):
                try:
                    exists, keys = yield checker.scramKeys(login)
                except Exception as why:
                    trouble = trouble or why
                    continue
                if exists:
                    return True, keys
                madeUp = madeUp or keys
        if trouble is not None:
            raise trouble
        return False, madeUp

    def accept(self, token: bytes) -> Any:
        """See L{IGssapiChecker.accept}."""
        return acceptInOrder(self._acceptors, token)


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
