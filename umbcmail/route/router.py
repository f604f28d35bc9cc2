"""The way of the mail for one domain, found anew at every attempt.

Asked by the attempts of intake and queue.  In this order: the next hops of the
queue class, the static routes, the courier of the class, and, for SMTP, the MX
records.  Where everything is configured by address the answer is a dictionary
look-up.  A bug here delays the mail of the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.address import AddressError, checkLiteral
from umbcmail.destination import Hop, Route
from umbcmail.interfaces import IResolver, IRouter
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, NO_NEXT_HOP, NO_SUCH_DOMAIN, Reply, notYet
from umbcmail.route.classes import Classes
from umbcmail.route.exchanges import Exchanges
from umbcmail.route.ownaddress import isOwnAddress
from umbcmail.route.table import NextHops, RouteTable

ABSENT = ("5.1.2", "5.4.4")
"""Enhanced codes of what is not there, as the DNS says: neither domain nor mail host.
A zone that is half loaded or half edited says the same, so it must say so twice."""
BY_DOMAIN = frozenset(("local", "internal", "remote"))
"""Classes that mail gets into by its domain; into others it is put."""


@implementer(IRouter)
class Router:
    """Says where mail goes."""

    def __init__(
        self,
        classes: Classes,
        table: RouteTable,
        resolver: IResolver,
        couriers: Mapping[str, str],
        hops: Mapping[str, Sequence[tuple[str, int]]],
        shuffle: Callable[[list[Any]], None],
        hostName: str,
        ownNames: Iterable[str] = (),
        isOwn: Callable[[str], bool] = isOwnAddress,
        allowLoopback: bool = False,
        kinds: Mapping[str, str] | None = None,
        log: MailLog | None = None,
        port: int = 25,
        patience: float = 0.0,
    ) -> None:
        """
        @param couriers: queue class to the name of its courier.
        @param hops: queue class to its next hops, as in L{StaticRoute.hops}: for
            mail that no static route but C{*} is there for; of a class that mail
            is put into, for all.
        @param shuffle: brings a list in some order, in place.
        @param hostName: our name.
        @param ownNames: more names by which MX records may call this system.
        @param isOwn: whether an IP address is one of this host.
        @param allowLoopback: let MX records lead to loopback and own addresses.
        @param kinds: name of a courier to its type, as for L{RouteTable}.
        @param log: for bugs; L{None} is Twisted's log.
        @param port: TCP port of hosts found by MX.
        @param patience: seconds after which what is not there must still not be
            there, before that is final; 0: it counts at once.
        """
        kinds = kinds or {}
        self._classes = classes
        self._table = table
        self._log = log
        self._patience = patience
        own = {name.lower().removesuffix(".") for name in (hostName, *ownNames)}
        self._exchanges = Exchanges(resolver, shuffle, own, isOwn, allowLoopback, port)
        self._ways = {
            queue: NextHops(courier, kinds.get(courier, courier), hops.get(queue, ()), resolver, f"[queue.{queue}]")
            for queue, courier in couriers.items()
        }
        self._fixed = {queue: way for queue, way in self._ways.items() if hops.get(queue)}

    def classify(self, domain: str) -> str:
        """See L{IRouter.classify}."""
        return self._classes.classify(domain)

    def route(self, domain: str, queue: str) -> Route | Deferred[Route]:
        """See L{IRouter.route}."""
        courier = ""
        domain = domain or self._classes.home
        try:
            way = self.way(domain, queue)
            courier = way.courier
            route = self._byMX(domain, courier) if way.goesByMX else way.route()
        except Exception:
            return self._bug(Failure(), domain, courier)
        if isinstance(route, Deferred):
            route.addErrback(self._bug, domain, courier)
        return route

    def way(self, domain: str, queue: str) -> NextHops:
        """What is configured for a domain, in the order of C{docs/flow.md}.  Mail that
        has been moved to slow goes the way of its domain like all other, unless slow
        has next hops of its own."""
        if queue not in BY_DOMAIN and queue in self._fixed:
            return self._fixed[queue]
        found = self._table.find(domain)
        if found is not None:
            return found
        own = self._classes.classify(domain)
        if own in self._fixed:
            return self._fixed[own]
        if own != "local" and self._table.rest is not None:
            return self._table.rest
        return self._ways[own]

    def _byMX(self, domain: str, courier: str) -> Route | Deferred[Route]:
        if not domain:  # the bare postmaster is ours, but no domain is
            return Route(courier, problem=NO_NEXT_HOP)
        if domain.startswith("["):
            try:
                return _route(self._exchanges.literal(checkLiteral(domain)), courier)
            except AddressError:
                return Route(courier, problem=NO_SUCH_DOMAIN)
        found: Deferred[Any] = self._exchanges.find(domain)
        return found.addCallback(_route, courier, self._patience)

    def _bug(self, failure: Failure, domain: str, courier: str) -> Route:
        if self._log is not None:
            self._log.bug("-", f"route {domain}", failure)
        else:
            Logger().failure("route {domain}", failure, domain=domain)
        return Route(courier, problem=LOCAL_ERROR)


def _route(found: tuple[Hop, ...] | Reply, courier: str, patience: float = 0.0) -> Route:
    if not isinstance(found, Reply):
        return Route(courier, found)
    if patience and found.enhanced in ABSENT:
        return Route(courier, problem=notYet(found), final=found, patience=patience)
    return Route(courier, problem=found)
