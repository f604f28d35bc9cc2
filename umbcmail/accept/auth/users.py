"""Logins and passwords from a file, a line for each: C{login:{KIND}secret}, or as
C{htpasswd} and Dovecot's passwd-files have them.

A checker of L{twisted.cred}; `kinds` has it as C{file:PATH}.  The file is read
in a thread, again when it has changed, and passwords are verified there too, a few
at a time.  When the file can't be read any more, or has a line that makes no sense,
what was read before stays in effect and the log says so.  A login that does not
exist costs the same work as one that does.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, DeferredSemaphore
from zope.interface import implementer

from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.saslprep import saslprep
from umbcmail.accept.auth.scram import ITERATIONS, ScramKeys
from umbcmail.accept.auth.secret import Secret, secret
from umbcmail.filestamp import stampOf
from umbcmail.interfaces import IScramChecker, IScramCredentials
from umbcmail.maillog import MailLog

AT_A_TIME = 4
"""Passwords that are verified at the same time: others need threads too."""


def parseUsers(text: str) -> dict[str, Secret]:
    """The users of a file; empty lines and those that begin with C{#} are none.

    @raise ValueError: names the line that makes no sense, but nothing of it.
    """
    found: dict[str, Secret] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, kept = line.partition(":")
        try:
            login = saslprep(name)
            if not login or not colon:
                raise ValueError("login:{KIND}secret is needed")
            if login in found:
                raise ValueError("this login has a line already")
            found[login] = secret(kept)
        except ValueError as why:
            raise ValueError(f"line {number}: {why}") from None
    return found


class Users:
    """The users of a file as it was at a time.

    @ivar signature: tells whether the file is another one now.
    @ivar isForScram: SCRAM can be used with some of the secrets, or there are none.
    """

    def __init__(self, secrets: Mapping[str, Secret], signature: Any, salts: bytes) -> None:
        """
        @param salts: secret octets that salts are made with.
        """
        self.signature = signature
        self._secrets = secrets
        self._all = tuple(secrets.values())
        self._salts = salts
        self.isForScram = not secrets or any(each.isForScram for each in self._all)

    @classmethod
    def read(cls, path: str, salts: bytes) -> Users:
        """Read the file.

        @raise ValueError: see L{parseUsers}.  @raise OSError: it can't be read.
        """
        with open(path, "rb") as file:
            status = stampOf(os.fstat(file.fileno()))
            return cls(parseUsers(file.read().decode()), status, salts)

    def salt(self, login: str) -> bytes:
        """The salt of a login that has none of its own."""
        return hmac.digest(self._salts, b"salt " + login.encode(), "sha256")[:16]

    def find(self, login: str) -> tuple[bool, Secret | None]:
        """Whether there is a login, and its secret; for one that does not exist
        that of somebody else, always the same, so that as much work is done."""
        found = self._secrets.get(login)
        if found is not None or not self._all:
            return found is not None, found
        number = int.from_bytes(hmac.digest(self._salts, b"twin " + login.encode(), "sha256")[:8], "big")
        return False, self._all[number % len(self._all)]

    def scramKeys(self, login: str) -> tuple[bool, ScramKeys]:
        """See L{IScramChecker.scramKeys}."""
        exists, kept = self.find(login)
        salt = self.salt(login)
        keys = kept.scramKeys(salt) if kept is not None else None
        if exists and keys is not None:
            return True, keys
        nothing = hmac.digest(self._salts, b"keys " + login.encode(), "sha256")
        if keys is None:
            return False, ScramKeys(salt, ITERATIONS, nothing, nothing)
        return False, replace(keys, salt=(salt * 16)[: len(keys.salt)], storedKey=nothing, serverKey=nothing)

    def verify(self, credentials: Any) -> str | None:
        """The login, if the credentials are right."""
        try:
            login = saslprep(credentials.username.decode())
        except ValueError:
            return None
        exists, kept = self.find(login)
        if kept is None:
            return None
        if IUsernamePassword.providedBy(credentials):
            right = kept.verify(credentials.password)
        elif IScramCredentials.providedBy(credentials):
            exists, keys = self.scramKeys(login)
            right = credentials.checkKeys(keys)
        else:
            right = bool(credentials.checkPassword(kept.password or b"")) and kept.password is not None
        return login if right and exists else None


@implementer(ICredentialsChecker, IScramChecker)
class UsersFile:
    """Checks logins by a file."""

    credentialInterfaces: tuple[Any, ...] = (IUsernamePassword, IScramCredentials, IUsernameHashedPassword)

    def __init__(self, path: str, inThread: Callable[..., Deferred[Any]], log: MailLog, salts: bytes) -> None:
        """Read it, at once.

        @raise ValueError: it can't be read, or used.
        """
        self._path = path
        self._inThread = inThread
        self._log = log
        self._salts = salts
        self._lock = Lock()
        self._complaint = self._complained = ""
        self._turns = DeferredSemaphore(AT_A_TIME)
        try:
            self._users = Users.read(path, salts)
        except OSError as why:
            raise ValueError(f"{path}: {why.strerror}") from None
        except ValueError as why:
            raise ValueError(f"{path}: {why}") from None
        if not self._users.isForScram:
            # A client would choose SCRAM where it is on offer, and never get in.
            self.credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""

        def verified(login: str | None) -> bytes | tuple[()]:
            if login is None:
                raise UnauthorizedLogin
            return login.encode()

        return self._run(lambda users: users.verify(credentials)).addCallback(verified)

    def scramKeys(self, login: str) -> Deferred[Any]:
        """See L{IScramChecker.scramKeys}."""

        def find(users: Users) -> tuple[bool, ScramKeys]:
            try:
                return users.scramKeys(saslprep(login))
            except ValueError:
                return False, users.scramKeys(login)[1]

        return self._run(find)

    def _run(self, function: Callable[[Users], Any]) -> Deferred[Any]:
        """Run something on the users as they are now, in a thread."""
        return self._turns.run(self._inThread, lambda: function(self._current())).addBoth(self._reported)

    def _current(self) -> Users:
        """The users, read again if the file has changed.  In a thread."""
        with self._lock:
            try:
                if stampOf(os.stat(self._path)) != self._users.signature:
                    self._users = Users.read(self._path, self._salts)
                self._complaint = ""
            except OSError as why:
                self._complaint = f"{self._path}: {why.strerror}"
            except ValueError as why:
                self._complaint = f"{self._path}: {why}"
            return self._users

    def _reported(self, result: Any) -> Any:
        """What went wrong in a thread is logged here, once."""
        complaint = self._complaint
        if complaint != self._complained:
            self._complained = complaint
            self._log.trouble("-", "users", complaint or f"{self._path}: can be read again")
        return result


@implementer(ICheckerFactory)
class Factory:
    """C{file:PATH}."""

    authType = "file"
    argStringFormat = "path of a file of users"
    authHelp = (
        "A line for each user, login:secret. A secret is {SCRAM-SHA-256}, {ARGON2ID}, {CRYPT}, {BLF-CRYPT},\n"
        "{SHA512-CRYPT} or {SHA256-CRYPT} and a hash, a bare hash ($2b$, $2y$, $5$, $6$, $y$), or {PLAIN}password."
    )
    credentialInterfaces = UsersFile.credentialInterfaces

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings

    def generateChecker(self, argstring: str) -> UsersFile:
        """See L{ICheckerFactory.generateChecker}."""
        if not argstring.startswith("/"):
            raise ValueError("file: needs an absolute path behind it")
        assert self._surroundings is not None
        return UsersFile(argstring, self._surroundings.inThread, self._surroundings.log, self._surroundings.salts)
