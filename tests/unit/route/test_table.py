"""L{umbcmail.route.table}: configured next hops."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeResolver
from umbcmail.destination import Hop, NoAnswer, Route
from umbcmail.reply import NO_NEXT_HOP
from umbcmail.route.table import RouteTable, StaticRoute


class RouteTableTests(SynchronousTestCase):
    """Operators say where mail goes."""

    def table(self, *routes: StaticRoute, kinds: Any = None, **addresses: Any) -> RouteTable:
        """A table, and a DNS in C{self.dns} that knows hosts in C{y.test}."""
        self.dns = FakeResolver(addresses={f"{name}.y.test": found for name, found in addresses.items()})
        return RouteTable(routes, self.dns, kinds)

    def routeOf(self, table: RouteTable, domain: str) -> Any:
        """The route of a domain that is in the table."""
        found = table.find(domain)
        assert found is not None
        route = found.route()
        return route if isinstance(route, Route) else self.successResultOf(route)

    def test_addressesNeedNoLookup(self) -> None:
        """Addresses and sockets are a route at once, always the same object."""
        table = self.table(
            StaticRoute("x.test", "smtp", (("192.0.2.1", 0), ("2001:db8::1", 2525), ("unix:/run/lmtp", 0)))
        )
        found = table.find("x.test")
        assert found is not None
        hops = (
            Hop("192.0.2.1", "192.0.2.1", 25),
            Hop("2001:db8::1", "2001:db8::1", 2525),
            Hop("unix:/run/lmtp", "/run/lmtp", 0),
        )
        self.assertEqual(Route("smtp", hops), found.route())
        self.assertIs(found.route(), found.route())
        self.assertEqual([], self.dns.asked)

    def test_defaultPorts(self) -> None:
        """Port 25 for SMTP, 24 for LMTP, also under another name."""
        routes = [StaticRoute(f"{c}.test", c, (("192.0.2.1", 0),)) for c in ("smtp", "lmtp", "dovecot")]
        table = self.table(*routes, kinds={"dovecot": "lmtp"})
        ports = [self.routeOf(table, f"{c}.test").hops[0].port for c in ("smtp", "lmtp", "dovecot")]
        self.assertEqual([25, 24, 24], ports)

    def test_namesAreLookedUp(self) -> None:
        """Hops keep the configured order, with all addresses of a name."""
        table = self.table(
            StaticRoute("x.test", "smtp", (("b.y.test", 26), ("192.0.2.9", 0), ("a.y.test", 0))),
            a=["192.0.2.1"],
            b=["192.0.2.2", "2001:db8::2"],
        )
        hops = self.routeOf(table, "x.test").hops
        self.assertEqual(
            ["b.y.test[192.0.2.2]:26", "b.y.test[2001:db8::2]:26", "192.0.2.9[192.0.2.9]:25", "a.y.test[192.0.2.1]:25"],
            [str(hop) for hop in hops],
        )

    def test_lookedUpEveryTime(self) -> None:
        """A host that moves is found at the next attempt."""
        table = self.table(StaticRoute("x.test", "smtp", (("a.y.test", 0),)), a=["192.0.2.1"])
        self.routeOf(table, "x.test")
        self.dns.records["A"]["a.y.test"] = ["192.0.2.2"]
        self.assertEqual("192.0.2.2", self.routeOf(table, "x.test").hops[0].address)

    def test_missingHopIsSkipped(self) -> None:
        """A hop that the DNS does not know, or can't tell, leaves the others."""
        hops = (("gone.y.test", 0), ("none.y.test", 0), ("dark.y.test", 0), ("a.y.test", 0))
        table = self.table(StaticRoute("x.test", "smtp", hops), a=["192.0.2.1"], none=[], dark=NoAnswer())
        self.assertEqual((Hop("a.y.test", "192.0.2.1", 25),), self.routeOf(table, "x.test").hops)

    def test_neverFailsForGood(self) -> None:
        """When no hop can be found the mail waits, whatever the DNS says."""
        table = self.table(StaticRoute("x.test", "smtp", (("gone.y.test", 0), ("none.y.test", 0))), none=[])
        route = self.routeOf(table, "x.test")
        self.assertEqual(Route("smtp", (), NO_NEXT_HOP), route)
        self.assertTrue(route.problem.isTransient)

    def test_localhost(self) -> None:
        """C{localhost} is this host without asking anybody (RFC 6761)."""
        table = self.table(StaticRoute("x.test", "lmtp", (("localhost", 0),)))
        self.assertEqual(["127.0.0.1", "::1"], [hop.address for hop in self.routeOf(table, "x.test").hops])
        self.assertEqual([], self.dns.asked)

    def test_patterns(self) -> None:
        """The best pattern counts, of equal ones the first."""
        table = self.table(
            StaticRoute("*", "a"), StaticRoute("*.x.test", "b"), StaticRoute("x.test", "c"), StaticRoute("x.test", "d")
        )
        couriers = [table.find(domain).courier for domain in ("m.x.test", "x.test")]  # type: ignore[union-attr]
        self.assertEqual(["b", "c", "a"], [*couriers, table.rest.courier])  # type: ignore[union-attr]
        self.assertEqual([None, None], [table.find(""), table.find("z.test")])

    def test_withoutHops(self) -> None:
        """Only an SMTP courier without hops goes by MX."""
        table = self.table(StaticRoute("x.test", "smtp"), StaticRoute("z.test", "maildir"))
        self.assertEqual([True, False], [table.find(d).goesByMX for d in ("x.test", "z.test")])  # type: ignore[union-attr]
        self.assertEqual(Route("maildir"), self.routeOf(table, "z.test"))

    def test_bugIsNotHidden(self) -> None:
        """An error that is no answer of the DNS reaches the caller as it is."""
        table = self.table(StaticRoute("x.test", "smtp", (("a.y.test", 0),)), a=ZeroDivisionError())
        found = table.find("x.test")
        assert found is not None
        self.failureResultOf(found.route(), ZeroDivisionError)  # type: ignore[arg-type]
