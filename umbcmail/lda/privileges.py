"""Root becomes a user, for good.  Nothing but the standard library here.

Called in a child right after it was made.  Each step is verified: a process that could
not drop everything ends instead of going on with what it should not have.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from typing import Any

UMASK = 0o077
_TOKENS = range(0x41000000, 0x42000000)
"""Gids that OpenAFS has a process show for the tokens that it has (PAG); they can't be dropped,
and belong to no group."""


class Refused(Exception):
    """Nothing is done as this user; says why."""


def become(uid: int, gid: int, groups: Sequence[int], lowest: int) -> None:
    """Become a user, and nothing else ever again.

    Without root it must be the user that we are already.

    @param lowest: of the uids that may be.
    @raise Refused: it can't or must not be.
    """
    if uid == 0 or gid == 0:
        raise Refused("nothing is delivered as root")
    if uid < lowest:
        raise Refused(f"uid {uid} is below lowest-uid")
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        if {gid for gid in os.getgroups() if gid not in _TOKENS} != set(groups):
            raise Refused("the groups could not be set")
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise Refused(f"uid and gid are not {uid} and {gid}")
    for regain in (os.setuid, os.setgid):
        try:
            regain(0)
        except PermissionError:
            continue
        raise Refused("root could be had again")


def limit(limits: Mapping[str, Any]) -> None:
    """Set the limits of this process and of what it starts; before L{become}.

    @param limits: C{cpu} in seconds, C{memory} and C{file} in octets, C{files}; 0: as
        they are.
    """
    os.umask(UMASK)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kinds = (
        ("cpu", resource.RLIMIT_CPU),
        ("memory", resource.RLIMIT_AS),
        ("file", resource.RLIMIT_FSIZE),
        ("files", resource.RLIMIT_NOFILE),
    )
    for name, kind in kinds:
        most = int(limits.get(name, 0))
        if most:
            _, hard = resource.getrlimit(kind)
            if hard != resource.RLIM_INFINITY:
                most = min(most, hard)
            resource.setrlimit(kind, (most, most))
