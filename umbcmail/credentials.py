"""What is known of the credentials that local deliveries run with: a record beside the
ticket cache, which the role C{postman} writes, and all who need them read.

The record says when the tickets end, and what went wrong when there are none, so that
nobody else has to know what is in a cache.  Times are seconds since 1970.  Nothing but
the standard library here.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Container
from dataclasses import asdict, dataclass

PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where the programs are looked for."""
_HANDED_ON = ("KRB5_CONFIG", "KRB5_TRACE")
"""What of our environment they get: where krb5.conf is, and what an operator traces with."""
LIMIT = 64 * 1024
"""Octets of a record."""
LATE = 120.0
"""Seconds after which a try that was due and has not been seen means that nobody tries."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How it stands.

    @ivar principal: whose they are.
    @ivar keytab: where its key is.
    @ivar cache: where they are.
    @ivar got: when they were had, 0: never.
    @ivar expires: when they end.
    @ivar next: when somebody tries again.
    @ivar failure: why that failed the last time, and what to do; C{""} when it did not.
    @ivar renewals: how often it went well, since the role has begun.
    @ivar failures: how often it did not.
    """

    principal: str
    keytab: str
    cache: str
    got: float = 0.0
    expires: float = 0.0
    next: float = 0.0
    failure: str = ""
    renewals: int = 0
    failures: int = 0

    def trouble(self, now: float) -> str:
        """Why there are none, C{""} when there are."""
        if self.expires > now:
            return ""
        when = f"the ticket of {self.principal} has ended" if self.got else f"there is no ticket of {self.principal}"
        return f"{when}: {self.failure or 'the role postman does not run'}"

    def warning(self, now: float) -> str:
        """What is going to become a trouble, C{""} for nothing."""
        if self.failure:
            return f"the ticket of {self.principal} can't be renewed: {self.failure}"
        if self.next + LATE < now:
            return f"the ticket of {self.principal} is not renewed: the role postman does not run"
        return ""


def recordAt(cache: str) -> str:
    """The path of the record of a cache."""
    return f"{cache}.json"


def write(what: Credentials) -> None:
    """Put down a record; all may read it.

    @raise OSError: it can't be written.
    """
    path = recordAt(what.cache)
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    with open(new, "x", encoding="utf-8") as file:
        file.write(json.dumps(asdict(what)) + "\n")
        os.fchmod(file.fileno(), 0o644)
    os.replace(new, path)


def read(cache: str) -> Credentials | None:
    """The record of a cache; L{None} where there is none that makes sense.  It speaks of no
    tickets when the cache is not there: somebody has removed it.

    @raise OSError: it is there, and can't be read.
    """
    try:
        with open(recordAt(cache), encoding="utf-8") as file:
            found = json.loads(file.read(LIMIT))
        principal, keytab, place = (str(found[name]) for name in ("principal", "keytab", "cache"))
        got, expires, next = (float(found[name]) for name in ("got", "expires", "next"))
        if not os.path.lexists(cache):
            got = expires = 0.0
        counts = int(found["renewals"]), int(found["failures"])
        return Credentials(principal, keytab, place, got, expires, next, str(found["failure"]), *counts)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def environment(cache: str = "") -> dict[str, str]:
    """For programs that have to do with tickets.

    @param cache: path, for C{KRB5CCNAME}.
    """
    found = {"PATH": PATH, "LC_ALL": "C", **{name: os.environ[name] for name in _HANDED_ON if name in os.environ}}
    return {**found, "KRB5CCNAME": f"FILE:{cache}"} if cache else found


def unsafe(cache: str, owners: Container[int]) -> str:
    """Why a cache must not be used, C{""}: it may.

    @param owners: uids of those who may have made it.
    """
    try:
        found = os.lstat(cache)
    except OSError as why:
        return f"{cache}: {why.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{cache} is no file"
    if found.st_uid not in owners:
        return f"{cache} belongs to uid {found.st_uid}, who is neither root nor in lda.users"
    if found.st_mode & 0o027:
        return f"{cache} can be read or written by others (chmod 600 {cache})"
    return ""
