"""What a port is for, and so what holds there unless the operator says otherwise.

Sockets of the file system are for programs of this host, which the system tells apart by
their users.  The three ports of a mail host: 25 for mail from everybody, 587 for mail programs that
log in (RFC 6409), 465 with TLS from the first octet (RFC 8314).  The TCP port of the
endpoint tells them apart; where that is none of the three (behind a balancer, for
tests) the name of the port does.  Pure; asked by `config` for the section of a port.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SMTP, SUBMISSION, SUBMISSIONS, LOCAL = "smtp", "submission", "submissions", "local"

DEFAULTS: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = (
    (SUBMISSION, (("tls", "require"), ("relay", ["auth"]), ("auth", "require"))),
    (SUBMISSIONS, (("tls", "first"),)),
    (LOCAL, (("tls", "never"), ("relay", ["auth"]), ("auth", "never"), ("submission", True))),
)
"""Where they differ from those of the options, which are for mail from everybody."""

_NUMBERS = {25: SMTP, 587: SUBMISSION, 465: SUBMISSIONS}
_NAMES = {
    SUBMISSION: SUBMISSION,
    "msa": SUBMISSION,
    "587": SUBMISSION,
    SUBMISSIONS: SUBMISSIONS,
    "smtps": SUBMISSIONS,
    "465": SUBMISSIONS,
}
_PART = re.compile(r"(?:\\.|[^\\:])*", re.DOTALL)


def tcpPort(endpoint: str) -> int | None:
    """The TCP port of a Twisted endpoint (C{tcp:25:interface=192.0.2.1}), L{None}
    where it has none that can be seen (C{systemd:…})."""
    parts = [part[0] for part in _PART.finditer(endpoint.removeprefix("haproxy:")) if part[0]]
    if not parts or parts.pop(0) not in ("tcp", "tcp6", "ssl"):
        return None
    named = [part[5:] for part in parts if part.startswith("port=")]
    bare = [part for part in parts if "=" not in part]
    try:
        return int((named or bare)[0])
    except (IndexError, ValueError):
        return None


def listenAt(endpoint: str, address: str | None) -> str:
    """An endpoint with the address of its agent, where it is of TCP and names none itself.

    @param address: IPv4 or IPv6; L{None}: there is none.
    """
    if address is None or tcpPort(endpoint) is None or isBound(endpoint):
        return endpoint
    return endpoint + ":interface=" + address.replace(":", "\\:")


def isBound(endpoint: str) -> bool:
    """Whether an endpoint names the address that it listens at."""
    parts = [part[0] for part in _PART.finditer(endpoint.removeprefix("haproxy:")) if part[0]]
    return any(part.startswith("interface=") for part in parts) or len([p for p in parts if "=" not in p]) > 2


def isLocal(endpoint: str) -> bool:
    """Whether it is a UNIX socket: who connects there is a user of this host."""
    return endpoint.startswith("unix:")


def kindOf(name: str, given: Mapping[str, Any]) -> str:
    """What a port is for.

    @param name: C{agent.port}.
    @param given: what is configured for it, by option name.
    """
    if isLocal(given.get("endpoint") or ""):
        return LOCAL
    number = tcpPort(given.get("endpoint") or "")
    return _NUMBERS.get(number or 0) or _NAMES.get(name.rpartition(".")[2], SMTP)
