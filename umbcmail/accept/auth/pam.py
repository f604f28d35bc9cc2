"""Asks PAM whether a password is right and the account may be used: C{pam:SERVICE}.

Some processes (`pamchild`) do it, each for one question at a time; they are started
when they are needed, and killed when PAM takes longer than it may.  They run as the
user of the daemon: what needs root, C{/etc/shadow} above all, is for saslauthd.
"""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from zope.interface import implementer

from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.question import CantTell, Question, Turns, question

PASSWORD_LIMIT = 511
"""Octets that a password may have for PAM (PAM_MAX_RESP_SIZE)."""
QUESTIONS = 500
"""After which a process is replaced: modules leak."""

PROGRAM = str(Path(__file__).with_name("pamchild.py"))

_NO = {
    6: "permission denied",
    7: "wrong login or password",
    10: "no such user",
    11: "too many tries",
    12: "a new password is needed",
    13: "the account has expired",
    16: "the credentials have expired",
    27: "the password has expired",
}
"""Codes of Linux-PAM that are an answer; all others mean that it can't tell."""


def verdict(code: int) -> bool:
    """What a code means.

    @raise CantTell: it does not know.
    """
    if code == 0:
        return True
    if code in _NO:
        return False
    raise CantTell(f"PAM says code {code}")


class Child(ProcessProtocol):
    """A process that asks PAM.

    @ivar isDead: it can't be asked any more.
    @ivar count: questions that it has answered.
    """

    def __init__(self) -> None:
        self.isDead = False
        self.count = 0
        self._answer: Deferred[int] | None = None
        self._output = b""
        self._said = b""

    def ask(self, asked: Question) -> Deferred[int]:
        """Ask; it must have answered all before.

        @return: the code of PAM; when it is cancelled the process is killed.
        """
        record = {
            "login": asked.login,
            "password": b64encode(asked.password).decode(),
            "host": asked.client.address,
        }

        def cancelled(deferred: Deferred[int]) -> None:
            self._answer = None
            self.kill()

        self._output = b""
        found: Deferred[int] = Deferred(cancelled)
        self._answer = found
        self.transport.write(json.dumps(record).encode() + b"\n")  # type: ignore[union-attr]
        return found

    def outReceived(self, data: bytes) -> None:
        """Some of an answer."""
        self._output += data
        if len(self._output) > 1000:
            self.kill()
        elif self._output.endswith(b"\n") and self._answer is not None:
            answer, self._answer = self._answer, None
            self.count += 1
            found = re.fullmatch(rb'\{"code": (\d{1,4})\}\n', self._output)
            if found is None:
                self.kill()
                answer.errback(CantTell("PAM: an answer that makes no sense"))
            else:
                answer.callback(int(found[1]))

    def errReceived(self, data: bytes) -> None:
        """Why it could not begin."""
        self._said = (self._said + data)[-300:]

    def processEnded(self, reason: Any) -> None:
        """It has ended, or was killed."""
        self.isDead = True
        answer, self._answer = self._answer, None
        if answer is not None:
            said = self._said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            answer.errback(CantTell(f"PAM: its process ended: {said or reason.getErrorMessage()}"))

    def close(self) -> None:
        """Let it end."""
        self.isDead = True
        self.transport.closeStdin()  # type: ignore[union-attr]

    def kill(self) -> None:
        """End it."""
        self.isDead = True
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass


@implementer(ICredentialsChecker)
class PAM:
    """Checks passwords by PAM."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, reactor: Any, service: str, seconds: float, processes: int, log: Any) -> None:
        """
        @param seconds: that an answer may take.
        @param processes: the most at the same time.
        """
        self._reactor = reactor
        self._service = service
        self._log = log
        self._turns = Turns(reactor, seconds, processes)
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._begun = False

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""

        def answered(code: int) -> bytes | tuple[()]:
            if not verdict(code):
                raise UnauthorizedLogin
            return asked.login.encode()

        asked = question(credentials, PASSWORD_LIMIT)
        return self._turns.run(lambda: self._ask(asked), f"PAM, service {self._service}").addCallback(answered)

    def _ask(self, asked: Question) -> Deferred[int]:
        self._all = {each for each in self._all if not each.isDead}
        self._idle = [each for each in self._idle if not each.isDead]
        child = self._idle.pop() if self._idle else self._spawn()

        def done(result: Any) -> Any:
            if child.count >= QUESTIONS and not child.isDead:
                child.close()
            elif not child.isDead:
                self._idle.append(child)
            return result

        return child.ask(asked).addBoth(done)

    def _spawn(self) -> Child:
        if not self._begun:
            self._begun = True
            self._reactor.addSystemEventTrigger("after", "shutdown", self.stop)
            if not os.path.exists(f"/etc/pam.d/{self._service}"):
                self._log.trouble("-", "pam", f"/etc/pam.d/{self._service} is missing: PAM goes by /etc/pam.d/other")
        child = Child()
        argv = [sys.executable, "-P", PROGRAM, self._service]
        self._reactor.spawnProcess(child, sys.executable, argv, env=None)
        self._all.add(child)
        return child

    def stop(self) -> None:
        """The program ends; one that hangs in PAM would not."""
        for child in self._all:
            if not child.isDead:
                child.kill()


@implementer(ICheckerFactory)
class Factory:
    """C{pam:SERVICE}."""

    authType = "pam"
    argStringFormat = "name of a PAM service, a file in /etc/pam.d"
    authHelp = (
        "Asks PAM (auth and account) in processes of their own, as the user of the daemon.\n"
        "Modules that need root, such as pam_unix with /etc/shadow, are for saslauthd -a pam."
    )
    credentialInterfaces = PAM.credentialInterfaces

    def __init__(self, surroundings: Surroundings | None = None) -> None:
        self._surroundings = surroundings

    def generateChecker(self, argstring: str) -> PAM:
        """See L{ICheckerFactory.generateChecker}."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", argstring):
            raise ValueError("pam: needs the name of a service behind it, as in /etc/pam.d")
        if find_spec("pamela") is None:
            raise ValueError("pam: needs the package pamela, which is not installed")
        assert self._surroundings is not None
        settings = self._surroundings.settings
        return PAM(
            self._surroundings.reactor,
            argstring,
            settings["timeout"],
            settings["pam-processes"],
            self._surroundings.log,
        )
