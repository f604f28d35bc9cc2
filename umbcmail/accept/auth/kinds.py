"""The kinds of checkers that are ours, by the name that C{--auth} and
C{[auth] checkers} call them: C{file:PATH}, C{dovecot:SOCKET} and so on.

L{CHECKERS} is the registry: a name, and the module that has a class C{Factory},
which provides L{ICheckerFactory} and is made with L{Surroundings}, or without
anything where its texts are only shown.  A module is imported when its kind is asked
for, so packages that only one kind needs may be missing.  `checkers` and `tap` call
L{findFactory}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.strcred import InvalidAuthType, findCheckerFactories, findCheckerFactory
from twisted.internet.defer import Deferred

from umbcmail.interfaces import IGssapiCredentials, IScramCredentials

CHECKERS: dict[str, str] = {
    "file": "umbcmail.accept.auth.users",
    "dovecot": "umbcmail.accept.auth.dovecot",
    "saslauthd": "umbcmail.accept.auth.saslauthd",
    "pam": "umbcmail.accept.auth.pam",
    "krb5": "umbcmail.accept.auth.krb5",
}

SUPPORTED = (IUsernamePassword, IScramCredentials, IUsernameHashedPassword, IGssapiCredentials)
"""Interfaces of credentials for which there are mechanisms."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a checker may need; a factory gets L{None} in place of it when nothing
    is going to be made.

    @ivar reactor: reactor.
    @ivar log: L{umbcmail.maillog.MailLog}.
    @ivar inThread: C{deferToThread} or the like.
    @ivar salts: secret octets that all hosts may share, for what is made up for
        logins that don't exist.
    @ivar settings: values of the section C{[auth]}, by name of the option.
    @ivar hostName: our name.
    """

    reactor: Any
    log: Any
    inThread: Callable[..., Deferred[Any]]
    salts: bytes = b""
    settings: Mapping[str, Any] = field(default_factory=dict)
    hostName: str = ""


def findFactory(kind: str, surroundings: Surroundings | None = None) -> Any:
    """The maker of a kind of checkers: ours, or one of L{twisted.cred.strcred}.

    @raise ValueError: there is none, a package is missing, or it has nothing that a
        mechanism can use.
    """
    module = CHECKERS.get(kind)
    if module is not None:
        try:
            return import_module(module).Factory(surroundings)
        except ModuleNotFoundError as why:
            raise ValueError(f"the checker {kind} needs the package {why.name}, which is not installed") from None
    try:
        factory = findCheckerFactory(kind)
    except InvalidAuthType:
        raise ValueError(f"there is no checker {kind}") from None
    if not isUsable(factory):
        raise ValueError(f"the checker {kind} knows nothing that a mechanism of SMTP can use")
    return factory


def isUsable(factory: Any) -> bool:
    """Whether there is a mechanism for what it knows."""
    return bool(set(factory.credentialInterfaces) & set(SUPPORTED))


def allFactories() -> Iterator[Any]:
    """The makers of all kinds: ours, as far as their packages are installed, then
    others."""
    for kind in CHECKERS:
        try:
            yield findFactory(kind)
        except ValueError:
            continue
    for factory in findCheckerFactories():
        if factory.authType not in CHECKERS and isUsable(factory):
            yield factory
