"""Where Redis is: the url of C{[state]}, as values.

C{redis://HOST:PORT/DB}, C{redis+unix:/PATH?db=DB}, or by Sentinels,
C{redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB}; C{rediss} in place of C{redis} is TLS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail.options import hostPort

PORT = 6379
SENTINEL_PORT = 26379
SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+unix")


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis is.

    @ivar hosts: pairs of host and port: of the server, or of the Sentinels.
    @ivar service: by what name the Sentinels know the master; C{""} without them.
    @ivar path: of the socket, in place of hosts.
    @ivar db: number of the database.
    @ivar isTLS: TLS from the first octet, also with the Sentinels.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    path: str = ""
    db: int = 0
    isTLS: bool = False


def placeOf(url: str) -> Place:
    """The place that a url names.

    @raise ValueError: it names none, and why.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "redis+unix":
        found = re.fullmatch(r"(/(?!/)[^?]+)(?:\?db=([0-9]{1,5}))?", rest)
        if found is None:
            raise ValueError("must be redis+unix:/PATH or redis+unix:/PATH?db=NUMBER")
        return Place(path=found[1], db=int(found[2] or 0))
    bySentinel = scheme.endswith("+sentinel")
    form = f"{scheme}://HOST:PORT,HOST:PORT/SERVICE" if bySentinel else f"{scheme}://HOST:PORT"
    if scheme not in SCHEMES or not rest.startswith("//"):
        raise ValueError(f"must be {form} or {form}/NUMBER")
    names, *words = rest[2:].split("/")
    if "@" in names:
        raise ValueError("no name or password belongs here, see state.password-file")
    service = words.pop(0) if bySentinel and words else ""
    number = words.pop(0) if words else "0"
    if words or (bySentinel and not service) or not re.fullmatch("[0-9]{1,5}", number):
        raise ValueError(f"must be {form} or {form}/NUMBER")
    if not names:
        raise ValueError(f"must be {form}")
    hosts = [hostPort(name) for name in names.split(",")]
    if len(hosts) > 1 and not bySentinel:
        raise ValueError("several hosts need Sentinels, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
    if any(host.startswith("unix:") for host, _ in hosts):
        raise ValueError(f"must be {form}")
    usual = SENTINEL_PORT if bySentinel else PORT
    places = tuple((host, port or usual) for host, port in hosts)
    return Place(places, service, db=int(number), isTLS=scheme.startswith("rediss"))


def written(host: str, port: int) -> str:
    """Host and port for people."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
