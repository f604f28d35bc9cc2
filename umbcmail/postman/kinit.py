"""Runs C{kinit} as a child process, and says what its complaints mean for an operator.

No shell, an environment with nothing in it but where the realm is told of, and a time in
which it has to be done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from umbcmail.credentials import PATH, environment

KEPT = 2000
"""Octets of what it says that are kept."""


class Failed(Exception):
    """It has not got a ticket; says why, and what to do."""


class _Child(ProcessProtocol):
    """It while it runs.

    @ivar ended: L{Deferred} of its status and what it has said; status -1: it was killed.
    """

    def __init__(self) -> None:
        self.ended: Deferred[tuple[int, str]] = Deferred(lambda _: self._kill())
        self._said = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See L{ProcessProtocol}."""
        self._said = (self._said + data)[-KEPT:]

    def processEnded(self, reason: Failure) -> None:
        """See L{ProcessProtocol}."""
        status = reason.value.exitCode if reason.value is not None else -1  # type: ignore[attr-defined]
        if not self.ended.called:
            said = " ".join(self._said.decode("utf-8", "replace").split())
            self.ended.callback((-1 if status is None else status, said))

    def _kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        except ProcessExitedAlready:
            pass


def run(reactor: Any, principal: str, keytab: str, cache: str, lifetime: float, seconds: float) -> Deferred[None]:
    """Get a ticket.

    @param cache: path of a file that must not be there yet.
    @param lifetime: that is asked for; 0: any.
    @param seconds: that it may take.
    @return: fails with L{Failed}.
    """
    path = shutil.which("kinit", path=PATH)
    if path is None:
        raise Failed(f"there is no program kinit in {PATH}; install krb5-user")
    argv = ["kinit", "-k", "-t", keytab, "-c", f"FILE:{cache}"]
    argv += ["-l", f"{max(1, round(lifetime))}s"] if lifetime else []
    child = _Child()
    reactor.spawnProcess(child, path, [*argv, principal], env=environment(), path="/")
    ended: Deferred[Any] = child.ended
    ended.addTimeout(seconds, reactor, lambda result, after: _late(after))

    def judge(result: tuple[int, str]) -> None:
        status, said = result
        if status:
            raise Failed(f"{said[:500] or f'kinit has ended with status {status}'}; {remedy(said, principal, keytab)}")

    return ended.addCallback(judge)


def _late(seconds: float) -> Any:
    raise Failed(f"kinit has not ended within {seconds:g} s; {_UNREACHABLE}")


_UNREACHABLE = "see whether the KDC runs, and whether /etc/krb5.conf or the DNS say where it is"


def makeKey(principal: str, keytab: str) -> str:
    """The commands that put the key of a principal into a keytab."""
    own = principal.partition("@")[0]
    return f"put its key there: kadmin -q 'ktadd -k {keytab} {own}'"


def makePrincipal(principal: str, keytab: str) -> str:
    """The commands for a principal that is not there yet."""
    own = principal.partition("@")[0]
    return f"make it: kadmin -q 'addprinc -randkey {own}'; then {makeKey(principal, keytab)}"


def remedy(said: str, principal: str, keytab: str) -> str:
    """What an operator should do about a complaint of C{kinit}."""
    for words, what in _remedies(principal, keytab):
        if any(word in said for word in words):
            return what
    return f"try: kinit -k -t {keytab} -c FILE:/tmp/try {principal}"


def _remedies(principal: str, keytab: str) -> Sequence[tuple[Sequence[str], str]]:
    own = principal.partition("@")[0]
    return (
        (("no suitable keys", "Key table entry not found", "Keytab contains no"), makeKey(principal, keytab)),
        (("not found in Kerberos database",), makePrincipal(principal, keytab)),
        (
            ("Preauthentication failed", "Decrypt integrity check", "Password incorrect", "Password read interrupted"),
            f"the key in {keytab} is not that of the KDC, {makeKey(principal, keytab)}",
        ),
        (("Clock skew",), "the clocks of this host and of the KDC differ: set them (chronyc makestep, timedatectl)"),
        (("Cannot contact any KDC", "Cannot find KDC", "Cannot resolve"), _UNREACHABLE),
        (("expired", "revoked", "locked"), f"look at it: kadmin -q 'getprinc {own}', and 'modprinc -expire never …'"),
        (("Bad format in keytab", "Unsupported key table"), f"{keytab} is no keytab: {makeKey(principal, keytab)}"),
    )


def keytabProblem(principal: str, keytab: str) -> str:
    """Why a keytab can't be used, C{""}: it can.  Blocks no longer than a look at a file."""
    try:
        with open(keytab, "rb") as file:
            return "" if file.read(1) else f"the keytab {keytab} is empty; {makeKey(principal, keytab)}"
    except FileNotFoundError:
        return (
            f"there is no keytab {keytab} with the key of {principal}; {makePrincipal(principal, keytab)}; "
            f"if the principal is there already, the second is enough; and chmod 600 {keytab}"
        )
    except OSError as why:
        return f"the keytab {keytab} can't be read ({why.strerror}): {_owner(keytab)}"


def _owner(path: str) -> str:
    return f"it must belong to uid {os.geteuid()}: chown {os.geteuid()} {path}; chmod 600 {path}"


def openness(keytab: str) -> str:
    """What is wrong with the mode of a keytab, C{""} for nothing."""
    try:
        mode = os.stat(keytab).st_mode
    except OSError:
        return ""
    return f"the keytab {keytab} can be read by others: chmod 600 {keytab}" if mode & 0o007 else ""
