"""C{krb5:REALM}: passwords are tried at a KDC, and tickets are taken (GSSAPI).

A checker of L{twisted.cred}; `kinds` has it.  It needs the package C{gssapi} and a
keytab with a key of our own (`kerberos` says what for).  The library blocks, for half
a minute where a KDC is silent, so it runs in threads of its own; passwords and tickets
each have theirs, since the latter need no KDC.  A login is C{user} or C{user@REALM};
other realms and C{user/instance} are not let in, the latter unless the argument says so.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.accept.auth.kerberos import Acceptance, Kerberos, Unusable
from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.ownthreads import OwnThreads
from umbcmail.accept.auth.question import question
from umbcmail.interfaces import IGssapiChecker, IGssapiCredentials
from umbcmail.maillog import MailLog

PASSWORDS_AT_A_TIME = 8
TICKETS_AT_A_TIME = 2
WAITING = 64
"""Attempts that may wait for a thread, of either kind."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands behind C{krb5:}, as L{FORMAT} says.

    @ivar realm: in upper case, as a rule.
    @ivar keytab: path.
    @ivar service: our principal without the realm; empty: smtp on this host.
    @ivar passwords: take passwords.
    @ivar tickets: take tickets; L{None}: if there is a key for it.
    @ivar instances: let C{user/instance} in.
    @ivar timeout: seconds.
    """

    realm: str
    keytab: str
    service: str = ""
    passwords: bool = True
    tickets: bool | None = None
    instances: bool = False
    timeout: float = 10.0

    @classmethod
    def parse(cls, text: str) -> Argument:
        """@raise ValueError: it makes no sense."""
        realm, *words = text.split(",")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", realm):
            raise ValueError(f"krb5: {FORMAT} is needed, not {text}")
        values: dict[str, Any] = {"keytab": os.environ.get("KRB5_KTNAME", "") or "/etc/krb5.keytab"}
        for word in words:
            key, _, value = word.partition("=")
            if key not in _READERS:
                raise ValueError(f"krb5: {key} is not known; there are {', '.join(_READERS)}")
            try:
                values.update(_READERS[key](value))
            except ValueError as why:
                raise ValueError(f"krb5: {word}: {why}") from None
        values["keytab"] = values["keytab"].removeprefix("FILE:")
        return cls(realm, **values)


FORMAT = "REALM[,keytab=/PATH][,service=smtp/HOST][,only=passwords|tickets][,instances=yes][,timeout=SECONDS]"


def _keytab(value: str) -> dict[str, Any]:
    if not value.removeprefix("FILE:").startswith("/"):
        raise ValueError("an absolute path is needed")
    return {"keytab": value}


def _service(value: str) -> dict[str, Any]:
    if not re.fullmatch(r"[A-Za-z0-9._-]+[/@][A-Za-z0-9._-]+", value):
        raise ValueError("service/host is needed, without the realm")
    return {"service": value.replace("@", "/")}


def _only(value: str) -> dict[str, Any]:
    if value not in ("passwords", "tickets"):
        raise ValueError("it is passwords or tickets")
    return {"passwords": value == "passwords", "tickets": value == "tickets"}


def _instances(value: str) -> dict[str, Any]:
    if value not in ("yes", "no"):
        raise ValueError("it is yes or no")
    return {"instances": value == "yes"}


def _timeout(value: str) -> dict[str, Any]:
    if not re.fullmatch(r"[0-9]{1,3}s?", value) or not 1 <= int(value.rstrip("s")) <= 120:
        raise ValueError("1 to 120 seconds are needed")
    return {"timeout": float(value.rstrip("s"))}


_READERS = {"keytab": _keytab, "service": _service, "only": _only, "instances": _instances, "timeout": _timeout}


class Names:
    """Which principals are logins of ours."""

    def __init__(self, realm: str, instances: bool) -> None:
        self._realm = realm
        self._instances = instances

    def user(self, login: str) -> str:
        """The principal of a login, without its realm.

        @param login: prepared.
        @raise UnauthorizedLogin: there is none.
        """
        user, at, realm = login.partition("@")
        if at and realm.casefold() != self._realm.casefold():
            raise UnauthorizedLogin("another realm")
        return self._allowed(user)

    def login(self, principal: str) -> str:
        """The login of a principal.

        @param principal: with its realm, as the library writes it.
        @raise UnauthorizedLogin: there is none.
        """
        user, at, realm = principal.rpartition("@")
        if not at or realm != self._realm:
            raise UnauthorizedLogin(f"{principal} is of another realm")
        return self._allowed(user)

    def _allowed(self, user: str) -> str:
        # What the library would take for more than a letter, in either direction.
        if not user or len(user.encode()) > 255 or re.search(r"[\0-\x1f\x7f\\@]", user):
            raise UnauthorizedLogin("not a name")
        if "/" in user and (not self._instances or user.startswith("WELLKNOWN/") or "" in user.split("/")):
            raise UnauthorizedLogin(f"{user} has an instance")
        return user


@implementer(ICredentialsChecker, IGssapiChecker)
class Krb5Checker:
    """Checks logins by a realm of Kerberos."""

    def __init__(
        self,
        kerberos: Kerberos,
        names: Names,
        interfaces: tuple[Any, ...],
        passwords: OwnThreads,
        tickets: OwnThreads,
        log: MailLog,
    ) -> None:
        """
        @param interfaces: of the credentials that are taken.
        @param passwords: where passwords are tried.
        @param tickets: where tickets are opened.
        """
        self.credentialInterfaces = interfaces
        self._kerberos = kerberos
        self._names = names
        self._passwords = passwords
        self._tickets = tickets
        self._log = log

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        if IGssapiCredentials.providedBy(credentials):
            return succeed(credentials.username)
        asked = question(credentials)
        user = self._names.user(asked.login)
        # The KDC may know somebody by several names; whoever it says is who logs in.
        verified = self._passwords.run(partial(self._kerberos.verify, user, asked.password))
        verified.addCallback(lambda principal: self._names.login(principal).encode())
        return verified.addErrback(self._refused, user)

    def _refused(self, failure: Failure, user: str) -> Failure:
        """Users who have the right password ask why they are not let in."""
        if failure.check(Unusable):
            self._log.event("refused-by-kdc", "-", login=user, why=failure.getErrorMessage())
        return failure

    def accept(self, token: bytes) -> Deferred[Any]:
        """See L{IGssapiChecker.accept}."""
        return self._accept(None, token)

    def _accept(self, context: Any, token: bytes) -> Deferred[Any]:
        return self._tickets.run(partial(self._kerberos.accept, context, token)).addCallback(self._accepted)

    def _accepted(self, acceptance: Acceptance) -> Acceptance:
        acceptance.resume = self._accept
        if acceptance.isComplete:
            acceptance.login = self._names.login(acceptance.principal)
        return acceptance


@implementer(ICheckerFactory)
class Factory:
    """C{krb5:REALM} in the lists of C{--help-auth}."""

    authType = "krb5"
    argStringFormat = FORMAT
    authHelp = "Passwords are tried at the KDC of a realm of Kerberos; tickets are taken too (GSSAPI)."
    credentialInterfaces = (IUsernamePassword, IGssapiCredentials)

    def __init__(self, surroundings: Surroundings | None = None, library: Any = None) -> None:
        """
        @param library: not given: C{gssapi.raw}.
        @raise ModuleNotFoundError: it is not installed.
        """
        self._surroundings = surroundings
        self._library = library or import_module("gssapi.raw")

    def generateChecker(self, argstring: str) -> Krb5Checker:
        """See L{ICheckerFactory.generateChecker}."""
        surroundings = self._surroundings
        assert surroundings is not None
        argument = Argument.parse(argstring)
        service = argument.service or f"smtp/{surroundings.hostName.lower()}"
        kerberos = Kerberos(self._library, argument.realm, service, argument.keytab)
        interfaces: list[Any] = []
        if argument.passwords:
            kerberos.check()
            interfaces.append(IUsernamePassword)
        if argument.tickets is not False:
            if kerberos.takesTickets():
                interfaces.append(IGssapiCredentials)
            elif argument.tickets:
                raise ValueError(f"krb5: the keytab {argument.keytab} has no key of smtp/HOST")
        threads = partial(OwnThreads, surroundings.reactor, waiting=WAITING, deadline=argument.timeout)
        return Krb5Checker(
            kerberos,
            Names(argument.realm, argument.instances),
            tuple(interfaces),
            threads(f"the KDC of {argument.realm}", size=PASSWORDS_AT_A_TIME),
            threads(f"the tickets of {argument.realm}", size=TICKETS_AT_A_TIME),
            surroundings.log,
        )
