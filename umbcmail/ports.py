"""Makes of the configuration what several ports share, and checks what only the
whole configuration can tell about one of them.  Part of the composition: called by
`service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from umbcmail.accept.portkinds import isBound, isLocal, listenAt, tcpPort
from umbcmail.accept.tls import Files, Pair, ServerTLS, readPair
from umbcmail.check.networks import NetworkSet
from umbcmail.config import Config, Problem
from umbcmail.unixsocket import userName


def makeTLS(config: Config, problems: list[Problem]) -> ServerTLS | None:
    """TLS of all ports; L{None} when there is none, or something is wrong with it.

    @param problems: what is wrong is added to it.
    """
    default = config.section("tls")
    if not default["certificate"] or not default["key"]:
        return None
    pairs: dict[Files, Pair] = {}
    names: dict[str, Files] = {}

    def read(key: str, settings: Mapping[str, Any]) -> Files | None:
        files = Files(settings["certificate"], settings["key"])
        try:
            pairs[files] = pairs.get(files) or readPair(files)
        except ValueError as why:
            problems.append(config.problem(f"{key}.certificate", str(why)))
            return None
        return files

    first = read("tls", default)
    for at, settings in enumerate(config.array("tls-name"), 1):
        name = settings["name"]
        if not name or not settings["certificate"] or not settings["key"]:
            continue  # what is missing has been told
        if name in names:
            problems.append(config.problem(f"tls-name[{at}].name", "there is a certificate for this name already"))
        files = read(f"tls-name[{at}]", settings)
        if files is not None:
            names[name] = files
    return ServerTLS(first, names, pairs) if first is not None else None


def portTLS(config: Config, key: str, serverTLS: ServerTLS | None, problems: list[Problem]) -> Callable[[], Any] | None:
    """Makes the TLS of a port, where it has any.

    @param key: of the port's section.
    @param problems: what is wrong is added to it.
    """
    tls = config.section("tls")
    wanted = config.section(key)["tls"]
    if wanted == "never" or (wanted == "offer" and not tls["certificate"]):
        return None
    if not tls["certificate"] or not tls["key"]:
        problems.append(config.problem(f"{key}.tls", "needs tls.certificate and tls.key", value=wanted))
        return None
    return lambda: serverTLS


def checkPort(config: Config, key: str) -> list[Problem]:
    """@param key: of the port's section."""
    port = config.section(key)
    problems = _checkAddress(config, key)
    # Mail between hosts must not be changed (RFC 6409 section 8).
    if port["submission"] and tcpPort(port["endpoint"] or "") == 25:
        problems.append(config.problem(f"{key}.submission", "is not for port 25"))
    return problems


def _checkAddress(config: Config, key: str) -> list[Problem]:
    """An address that no port of its agent heeds is a mistake; told with the last port."""
    agent = key.rpartition(".port.")[0]
    names = config.names(f"{agent}.port.*")
    bound = [isBound(config.section(f"{agent}.port.{name}")["endpoint"] or "") for name in names]
    if config.section(agent)["address"] is None or key != f"{agent}.port.{names[-1]}" or not all(bound):
        return []
    return [config.problem(f"{agent}.address", "all ports of this agent name addresses of their own")]


def endpointOf(config: Config, key: str) -> str:
    """Where a port listens, as a Twisted endpoint.

    @param key: of the port's section.
    """
    address = config.section(key.rpartition(".port.")[0])["address"]
    return listenAt(config.section(key)["endpoint"], address)


def arrivals(port: Mapping[str, Any], inThread: Callable[..., Any]) -> tuple[Any, Any]:
    """Who must say first whom it speaks for, and what finds the names of users of this
    host; each L{None} where there are no such clients.

    @param port: settings of the port.
    @param inThread: C{deferToThread} or the like.
    """
    if isLocal(port["endpoint"] or ""):
        return None, lambda uid: inThread(userName, uid)
    return holder(port["proxy"]), None


def holder(networks: Sequence[Any]) -> Callable[[str], bool] | None:
    """Whether an address is in one of some networks; L{None} where there are none."""
    return NetworkSet(networks).holds if networks else None
