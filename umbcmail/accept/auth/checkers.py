"""Who may log in: the checkers that the configuration names, behind one portal.

`service` calls L{makePortal}.  C{file:PATH} is ours (`users`); other names are those
of L{twisted.cred.strcred}.  Several checkers are asked in order: who is unknown to
one may be known to the next, but if one can't tell, "no" of another is no answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import ICheckerFactory, InvalidAuthType, StrcredException, findCheckerFactory
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from zope.interface import implementer

from umbcmail.accept.auth.authentication import Terms
from umbcmail.accept.auth.guesses import Guesses
from umbcmail.accept.auth.sasl import MECHANISMS, available
from umbcmail.accept.auth.users import UsersFile
from umbcmail.interfaces import ILogin, IScramChecker, IScramCredentials
from umbcmail.options import PATH, WORD, Option, Section, choice, duration, integer, listOf

AUTH = Section(
    "auth",
    "Authentication of clients.",
    (
        Option("checkers", listOf(WORD), [], "Who knows the passwords, in order: file:PATH, or a checker of Twisted."),
        Option(
            "mechanisms",
            listOf(choice(*MECHANISMS)),
            ["PLAIN", "LOGIN", "SCRAM-SHA-256"],
            "Mechanisms on offer, as far as the checkers know them.",
        ),
        Option("delay", duration(0, 60), "1s", "Time after which a failure is answered, or a multiple of it."),
        Option("session-failures", integer(1), 10, "Failures after which a client is sent away."),
        Option(
            "login-failures", integer(1), 10, "Failures for one login from a network over which it is put off there."
        ),
        Option("network-failures", integer(1), 100, "Failures of all from a network over which it is put off."),
        Option("forget", duration(1), "10m", "Time in which the counts of failures halve."),
        Option("salts", PATH, None, "File with secret octets for SCRAM; not set: others at each start."),
    ),
)

SUPPORTED = (IUsernamePassword, IScramCredentials, IUsernameHashedPassword)
"""Interfaces of credentials for which there are mechanisms."""


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


@implementer(ICredentialsChecker, IScramChecker)
class Checkers:
    """Several checkers as one."""

    def __init__(self, checkers: Sequence[Any]) -> None:
        self._checkers = tuple(checkers)
        found = {interface for checker in checkers for interface in checker.credentialInterfaces}
        if not any(IScramChecker.providedBy(checker) for checker in checkers):
            found.discard(IScramCredentials)
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


@implementer(ICheckerFactory)
class UsersFactory:
    """C{file:PATH} in the lists of C{--help-auth}."""

    authType = "file"
    argStringFormat = "path of a file of users"
    authHelp = "A line for each user: login:{PLAIN}password, or {SCRAM-SHA-256} or {ARGON2ID} and what follows."
    credentialInterfaces = UsersFile.credentialInterfaces

    def __init__(self, inThread: Any = None, log: Any = None, salts: bytes = b"") -> None:
        self._tools = (inThread, log, salts)

    def generateChecker(self, argstring: str) -> UsersFile:
        """See L{ICheckerFactory.generateChecker}."""
        if not argstring.startswith("/"):
            raise ValueError("file: needs an absolute path behind it")
        return UsersFile(argstring, *self._tools)


def findFactory(kind: str, ours: UsersFactory) -> Any:
    """The maker of a kind of checkers.

    @raise ValueError: there is none, or it has nothing that a mechanism can use.
    """
    if kind == ours.authType:
        return ours
    try:
        factory = findCheckerFactory(kind)
    except InvalidAuthType:
        raise ValueError(f"there is no checker {kind}") from None
    if not set(factory.credentialInterfaces) & set(SUPPORTED):
        raise ValueError(f"the checker {kind} knows nothing that a mechanism of SMTP can use")
    return factory


def _makeChecker(description: str, ours: UsersFactory) -> Any:
    kind, _, argument = description.partition(":")
    try:
        checker: Any = findFactory(kind, ours).generateChecker(argument)
    except StrcredException as why:
        raise ValueError(f"{kind}: {why}") from None
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse):
        # Its maker keeps str, and compares with bytes.
        checker.users = {_octets(name): _octets(password) for name, password in checker.users.items()}
    return checker


def _octets(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def makePortal(
    descriptions: Iterable[str], salts: str | None, inThread: Callable[..., Deferred[Any]], log: Any
) -> Portal | None:
    """The portal of some checkers, L{None} without any.

    @param salts: path of a file, for checkers of our own.
    @raise ValueError: one of them can't be made.
    """
    octets = os.urandom(32)
    if salts:
        try:
            with open(salts, "rb") as file:
                octets = file.read(4096)
        except OSError as why:
            raise ValueError(f"{salts}: {why.strerror}") from None
        if len(octets) < 16:
            raise ValueError(f"{salts}: at least 16 octets are needed")
    ours = UsersFactory(inThread, log, octets)
    checkers = [_makeChecker(description, ours) for description in descriptions]
    return Portal(Realm(), [Checkers(checkers)]) if checkers else None


def makeTerms(portal: Portal, settings: Mapping[str, Any], clock: Any) -> Callable[[bool], Terms]:
    """What makes the terms of a port; counts are the same for all.

    @param settings: of L{AUTH}.
    @raise ValueError: no mechanism is left.
    """
    mechanisms = available(portal, settings["mechanisms"])
    if not mechanisms:
        raise ValueError("there is no mechanism that the checkers know")
    guesses = Guesses(clock, settings["login-failures"], settings["network-failures"], settings["forget"])
    return lambda needed: Terms(
        portal, mechanisms, needed, settings["delay"], settings["session-failures"], guesses, clock
    )
