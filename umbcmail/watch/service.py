"""The service of the role C{watch}: binds the ports, and measures the event loop.

Its ports answer from the beginning, so that who looks sees what a start waits for,
and until the sessions have ended.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from umbcmail.maillog import MailLog
from umbcmail.watch.listen import hostsOf
from umbcmail.watch.process import Lag
from umbcmail.watch.site import StatusSite


class WatchService(Service):
    """See the module.

    @ivar ports: those that are open.
    """

    def __init__(self, endpoints: Sequence[str], site: StatusSite, lag: Lag, log: MailLog, reactor: Any) -> None:
        """
        @param endpoints: of Twisted, where to listen.
        """
        self.ports: list[Any] = []
        self._endpoints = endpoints
        self._site = site
        self._lag = lag
        self._log = log
        self._reactor = reactor

    def privilegedStartService(self) -> None:
        """Bind the ports.

        @raise CannotListenError, ValueError, TypeError, OSError: one can't be bound;
            its text names it.
        """
        Service.privilegedStartService(self)
        for endpoint in self._endpoints:
            try:
                self._bind(endpoint)
            except (CannotListenError, ValueError, TypeError, OSError) as why:
                raise ValueError(f"watch.listen {endpoint!r}: {why}") from why

    def _bind(self, endpoint: str) -> None:
        found: list[Any] = []
        serverFromString(self._reactor, endpoint).listen(self._site).addBoth(found.append)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        self.ports.append(found[0])

    def startService(self) -> None:
        """Tell where it listens."""
        Service.startService(self)
        self._lag.start()
        addresses = [port.getHost() for port in self.ports]
        for address in addresses:
            isTCP = hasattr(address, "port")
            shown = f"{address.host}:{address.port}" if isTCP else f"unix:{os.fsdecode(address.name)}"
            self._log.listening("watch.listen", shown)
        for host in hostsOf(addresses):
            about = f"watch.listen at {host}: everybody who can reach it can read it"
            self._log.trouble("-", "watch", about)

    def stopService(self) -> Deferred[Any]:
        """Close the ports.  @return: L{Deferred}"""
        Service.stopService(self)
        self._lag.stop()
        ports, self.ports = self.ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])
