"""Who the users are: asked of the system's directory (NSS: files, LDAP, SSSD), in
threads, with three kinds of answers.

C{pwd.getpwnam} of the standard library says of an LDAP server that is down that there is
no such user.  So the C library is asked itself, which tells the one from the other.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

WAITING = 100
"""Questions that may wait for an answer."""
REMEMBERED = 10_000
"""Users that are remembered."""
_LARGEST = 1 << 20


class DontKnow(Exception):
    """The directory does not answer; says why."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of this host.

    @ivar groups: all of its groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


class _Passwd(ctypes.Structure):
    """C{struct passwd} of glibc."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    ]


def find(name: str) -> User | None:
    """Look up a user.  Blocks.

    @return: L{None}: there is none.
    @raise DontKnow: it can't be told.
    """
    getpwnam_r = ctypes.CDLL(None).getpwnam_r
    entry, found, size = _Passwd(), ctypes.c_void_p(), 4096
    while True:
        memory = ctypes.create_string_buffer(size)
        said = getpwnam_r(os.fsencode(name), ctypes.byref(entry), memory, ctypes.c_size_t(size), ctypes.byref(found))
        if said != errno.ERANGE or size >= _LARGEST:
            break
        size *= 4
    if said:
        raise DontKnow(f"the directory of users: {os.strerror(said)}")
    if not found.value:
        return None
    theName = os.fsdecode(entry.name)
    try:
        groups = tuple(sorted(set(os.getgrouplist(theName, entry.gid))))
    except OSError as why:
        raise DontKnow(f"groups of {theName}: {why.strerror}") from None
    home, shell = os.fsdecode(entry.home or b""), os.fsdecode(entry.shell or b"")
    return User(theName, entry.uid, entry.gid, groups, home, shell)


class Directory:
    """Asks in threads, and remembers whom it has found.

    @ivar asked: questions so far that went to the system.
    @ivar unanswered: those of them that were not answered.
    @ivar waiting: those that wait for an answer, late ones too.
    """

    def __init__(
        self,
        inThread: Callable[..., Deferred[Any]],
        clock: Any,
        limit: float,
        remember: float,
        find: Callable[[str], User | None] = find,
    ) -> None:
        """
        @param limit: seconds to wait for an answer.
        @param remember: seconds that a user is remembered.
        """
        self.asked = self.unanswered = 0
        self._inThread = inThread
        self._clock = clock
        self._limit = limit
        self._remember = remember
        self._find = find
        self._known: OrderedDict[str, tuple[float, User]] = OrderedDict()
        self.waiting = 0

    def lookUp(self, name: str) -> User | Deferred[User | None]:
        """The user of a name.

        @return: a L{User} that is remembered, or a L{Deferred} of one or L{None};
            it fails with L{DontKnow}.
        """
        known = self._known.get(name)
        if known is not None and known[0] > self._clock.seconds():
            return known[1]
        if self.waiting >= WAITING:
            self.unanswered += 1
            return fail(DontKnow("the directory of users has too many questions to answer"))
        self.asked += 1
        self.waiting += 1
        asked: Deferred[User | None] = self._inThread(self._find, name)
        asked.addBoth(self._answered)
        told: Deferred[User | None] = Deferred()
        asked.addBoth(lambda result: told.callback(result) if not told.called else None)
        told.addTimeout(self._limit, self._clock, lambda result, seconds: _late(seconds))
        return told.addCallbacks(self._found, self._failed, callbackArgs=(name,))

    def _answered(self, result: Any) -> Any:
        self.waiting -= 1
        return result

    def _found(self, user: User | None, name: str) -> User | None:
        self._known.pop(name, None)
        if user is not None and self._remember:
            self._known[name] = (self._clock.seconds() + self._remember, user)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return user

    def _failed(self, failure: Failure) -> Failure:
        self.unanswered += 1
        return failure


def _late(seconds: float) -> Any:
    raise DontKnow(f"the directory of users has not answered within {seconds:g} seconds")
