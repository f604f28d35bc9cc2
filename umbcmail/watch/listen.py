"""Where the status page listens, and how to get there.

The option is declared here; C{umbcmail status} makes of the same endpoints the way
to the program that runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from umbcmail.options import WORD, Option, Section, listOf

WATCH = Section(
    "watch",
    "The status page and the metrics, over HTTP.",
    (
        Option(
            "listen",
            listOf(WORD),
            [],
            "Where to listen, as Twisted endpoints: tcp:8025:interface=127.0.0.1, or unix:/run/umbcmail/watch.",
        ),
    ),
)

_PIECE = re.compile(r"(?:\\.|[^\\:])*", re.DOTALL)
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody listens.

    @ivar path: of a UNIX socket, C{""} for TCP.
    @ivar host: address.
    @ivar port: TCP port.
    """

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def placeOf(endpoint: str) -> Place | None:
    """Where a server endpoint of Twisted can be reached from this host; L{None}
    for kinds whose description does not tell (C{systemd:}), and for port 0."""
    kind, words, named = _pieces(endpoint)
    if kind == "unix":
        path = named.get("address", words[0] if words else "")
        return Place(path=path) if path else None
    if kind not in ("tcp", "tcp4", "tcp6"):
        return None
    port = named.get("port", words[0] if words else "")
    if not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
        return None
    host = named.get("interface", words[1] if len(words) > 1 else "")
    if not host and kind == "tcp6":
        host = "::1"
    return Place(host=_ANY.get(host, host), port=int(port))


def _pieces(endpoint: str) -> tuple[str, list[str], dict[str, str]]:
    """Kind, values and named values; a backslash takes its meaning from what follows."""
    pieces, at = [], 0
    while True:
        found = _PIECE.match(endpoint, at)
        assert found is not None
        pieces.append(found[0])
        at = found.end() + 1
        if at > len(endpoint):
            break
    words, named = [], {}
    for piece in pieces[1:]:
        name, equals, value = piece.partition("=")
        if equals and re.fullmatch("[a-z]+", name, re.IGNORECASE):
            named[name] = _plain(value)
        else:
            words.append(_plain(piece))
    return pieces[0], words, named


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def isPrivate(host: str) -> bool:
    """Whether only programs of this host get to an address."""
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def hostsOf(addresses: Sequence[object]) -> list[str]:
    """The hosts of addresses of Twisted that are not private."""
    hosts = [str(getattr(address, "host", "127.0.0.1")) for address in addresses]
    return [host for host in hosts if not isPrivate(host)]
