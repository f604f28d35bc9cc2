"""Where a message goes next: hops and routes, as values.

Made by `route/` anew for every attempt and never stored, so that a changed
configuration also frees mail that waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from umbcmail.reply import Reply


@dataclass(frozen=True, slots=True)
class Hop:
    """One place to connect to.

    @ivar name: host name as configured or as in the MX record; for a UNIX
        socket C{"unix:/path"}.
    @ivar address: IP address, or the path of a UNIX socket.
    @ivar port: TCP port, 0 for a UNIX socket.
    """

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.name
        return f"{self.name}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class TLSRule:
    """How the way to a next hop is to be protected.

    @ivar level: C{"none"}; C{"may"} (where it is offered, and in clear where it does
        not work); C{"encrypt"}; C{"verify"} (with a certificate that is checked).
    @ivar names: what the certificate may be for, host names or C{*.domain};
        empty: the name of the next hop.
    """

    level: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """How the mail for one domain travels.

    @ivar courier: name of the courier that carries it.
    @ivar hops: in order of preference, may be empty for couriers without hops.
    @ivar problem: there is no way: a 5xx says never, a 4xx says not now.
    @ivar final: what a 4xx becomes when it is met again, L{None}: it stays.
    @ivar patience: seconds that must be between the first time and that one.
    """

    courier: str
    hops: tuple[Hop, ...] = ()
    problem: Reply | None = None
    final: Reply | None = None
    patience: float = 0.0


class NoSuchName(Exception):
    """The DNS says that a name does not exist (NXDOMAIN)."""


class NoAnswer(Exception):
    """The DNS could not tell: time-out, SERVFAIL, REFUSED or nonsense."""
