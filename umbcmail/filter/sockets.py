"""Where a filter listens, as operators of Sendmail, Postfix and Twisted write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from umbcmail.options import Kind, hostPort, word

_SENDMAIL = re.compile(r"([0-9]{1,5})(?:@(.+))?")


@dataclass(frozen=True, slots=True)
class Socket:
    """The address of a filter.

    @ivar text: as the operator has written it.
    @ivar path: of a UNIX socket, else C{""}.
    @ivar host: name or address.
    @ivar port: of TCP.
    """

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    def endpoint(self, reactor: Any, timeout: float) -> IStreamClientEndpoint:
        """What connects to it.  @param timeout: seconds that this may take."""
        if self.path:
            unix: IStreamClientEndpoint = UNIXClientEndpoint(reactor, self.path, int(timeout))
            return unix
        tcp: IStreamClientEndpoint = HostnameEndpoint(reactor, self.host, self.port, timeout)
        return tcp


def socketAddress(value: Any) -> Socket:
    """C{unix:/path} or C{local:/path}; C{inet:port@host} or C{inet6:port@host} as in
    Sendmail; C{inet:host:port} as in Postfix; C{tcp:host:port}.

    @raise ValueError: it is none of these.
    """
    text = word(value)
    kind, colon, rest = text.partition(":")
    if colon and kind in ("unix", "local"):
        if not rest.startswith("/"):
            raise ValueError(f"{kind}: needs an absolute path behind it")
        return Socket(text, path=rest)
    if colon and kind in ("inet", "inet6", "tcp"):
        sendmail = _SENDMAIL.fullmatch(rest)
        if sendmail is not None:
            host = sendmail[2] or "localhost"
            rest = f"[{host}]:{sendmail[1]}" if ":" in host else f"{host}:{sendmail[1]}"
        host, port = hostPort(rest)
        if not port:
            raise ValueError(f"{text[:80]!r} has no port")
        return Socket(text, host=host, port=port)
    raise ValueError(f"{text[:80]!r} is not unix:/path, inet:port@host, inet:host:port or tcp:host:port")


SOCKET = Kind("a socket: unix:/path, inet:port@host, inet:host:port or tcp:host:port", socketAddress)
