"""Configured next hops: static routes, and those of a queue class.

The router asks this before the DNS.  A next hop that is an IP address or a UNIX
socket needs no look-up, and a route of only such hops is made once.  Host names
are looked up at every attempt; the DNS can delay a configured route, but never
make it fail for good: an operator has said that the mail goes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, gatherResults, succeed

from umbcmail.destination import Hop, NoAnswer, NoSuchName, Route
from umbcmail.interfaces import IResolver
from umbcmail.options import DOMAIN_PATTERN, HOST_PORT, WORD, Option, Section, listOf
from umbcmail.reply import NO_NEXT_HOP
from umbcmail.route.patterns import Patterns

ROUTE = Section(
    "route[]",
    "A static route, which comes before MX records and before the courier of the queue class.",
    (
        Option("domain", DOMAIN_PATTERN, None, "The domain, or a pattern for several.", required=True),
        Option("courier", WORD, "smtp", "The courier that carries the mail."),
        Option(
            "next-hops",
            listOf(HOST_PORT),
            [],
            "Where to, in order of preference; with none, smtp goes by the MX records of the domain.",
        ),
    ),
)

SMTP_PORT = 25
LMTP_PORT = 24
"""RFC 2033 forbids 25; 24 is for "any private mail system" (RFC 1700)."""


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """One line of the table.

    @ivar domain: domain pattern, lower case.
    @ivar courier: name of the courier.
    @ivar hops: pairs of host and port (0: the courier's own), in order of
        preference; the host is a name, an IP address or C{unix:/path}.
    """

    domain: str
    courier: str
    hops: Sequence[tuple[str, int]] = ()


class NextHops:
    """A courier and where it goes.

    @ivar courier: name of the courier.
    @ivar goesByMX: there are no hops, the DNS says where to.
    @ivar source: where this is configured, for people.
    """

    def __init__(
        self, courier: str, kind: str, hops: Sequence[tuple[str, int]], resolver: IResolver, source: str = ""
    ) -> None:
        """
        @param kind: type of the courier; C{smtp} and C{lmtp} differ in the port,
            and only C{smtp} goes by MX.
        """
        self.courier = courier
        self.source = source
        self.goesByMX = kind == "smtp" and not hops
        self._resolver = resolver
        port = LMTP_PORT if kind == "lmtp" else SMTP_PORT
        self._places = [_fixed(host, number or port) for host, number in hops]
        self._route: Route | None = None
        if not any(isinstance(place, tuple) for place in self._places):
            self._route = Route(courier, _flat(self._places))

    def route(self) -> Route | Deferred[Route]:
        """The way, at once where nothing must be looked up.

        @return: a L{Route}; its problem is a 4xx when no hop can be found.
        """
        if self._route is not None:
            return self._route
        waits = [succeed(p) if isinstance(p, list) else self._found(*p) for p in self._places]
        return gatherResults(waits, consumeErrors=True).addCallbacks(self._made, _inner)

    def _found(self, name: str, port: int) -> Deferred[list[Hop]]:
        found: Deferred[Any] = self._resolver.addresses(name)
        found.addCallback(lambda addresses: [Hop(name, address, port) for address in addresses])
        return found.addErrback(_nothing)

    def _made(self, places: list[Any]) -> Route:
        hops = _flat(places)
        return Route(self.courier, hops, None if hops else NO_NEXT_HOP)


def _nothing(failure: Any) -> list[Hop]:
    """This hop can't be found now, or is not there: go on to the next one."""
    failure.trap(NoSuchName, NoAnswer)
    return []


def _inner(failure: Any) -> Any:
    """The failure inside of what L{gatherResults} reports."""
    return failure.value.subFailure


def _fixed(host: str, port: int) -> list[Hop] | tuple[str, int]:
    """The hops of a host that needs no look-up, or else host and port."""
    if host.startswith("unix:"):
        return [Hop(host, host[5:], 0)]
    if isIPAddress(host) or isIPv6Address(host):
        return [Hop(host, host, port)]
    if host == "localhost":  # RFC 6761 section 6.3: not a question for the DNS
        return [Hop(host, "127.0.0.1", port), Hop(host, "::1", port)]
    return (host, port)


def _flat(places: Iterable[Any]) -> tuple[Hop, ...]:
    return tuple(hop for place in places for hop in place)


class RouteTable:
    """The static routes.

    @ivar rest: what is configured for C{*}, or L{None}.
    """

    def __init__(
        self, routes: Iterable[StaticRoute], resolver: IResolver, kinds: Mapping[str, str] | None = None
    ) -> None:
        """
        @param routes: of several with the same pattern the first one counts.
        @param kinds: name of a courier to its type; one that is not in it is of
            the type that its name says.
        """
        kinds = kinds or {}
        rows = [
            (
                each.domain,
                NextHops(
                    each.courier,
                    kinds.get(each.courier, each.courier),
                    each.hops,
                    resolver,
                    f'[[route]] domain = "{each.domain}"',
                ),
            )
            for each in routes
        ]
        self.rest = next((way for pattern, way in rows if pattern == "*"), None)
        self._patterns = Patterns(row for row in rows if row[0] != "*")

    def find(self, domain: str) -> NextHops | None:
        """What is configured for a domain (lower case) by its name or a pattern
        other than C{*}, or L{None}."""
        return self._patterns.find(domain)
