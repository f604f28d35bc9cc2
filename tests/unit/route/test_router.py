"""L{umbcmail.route.router} and L{umbcmail.route.exchanges}: the way of a domain."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog, FakeResolver
from umbcmail import reply
from umbcmail.destination import Hop, NoAnswer, NoSuchName, Route
from umbcmail.interfaces import IRouter
from umbcmail.route import ownaddress
from umbcmail.route.classes import Classes
from umbcmail.route.exchanges import ENOUGH, PER_HOST
from umbcmail.route.ownaddress import isOwnAddress
from umbcmail.route.router import Router
from umbcmail.route.table import RouteTable, StaticRoute

OWN = "198.51.100.7"
GONE, NOBODY = reply.noSuchDomain("x.test"), reply.noMailHost("x.test")
COURIERS = {"local": "lmtp", "internal": "smtp", "remote": "smtp", "slow": "smtp"}


class RouterCase(SynchronousTestCase):
    """Makes routers."""

    def router(self, dns: FakeResolver | None = None, routes: Any = (), hops: Any = None, **more: Any) -> Router:
        """A router; C{self.dns} and C{self.log} are what it uses."""
        self.dns = dns or FakeResolver()
        self.log = FakeLog()
        more.setdefault("isOwn", OWN.__eq__)
        return Router(
            Classes(more.pop("local", ("y.test",)), ("*.y.test",)),
            RouteTable(routes, self.dns),
            self.dns,
            more.pop("couriers", COURIERS),
            hops or {},
            more.pop("shuffle", list.sort),
            "me.test",
            log=self.log,  # type: ignore[arg-type]
            **more,
        )

    def byMX(self, exchanges: Any, addresses: Any = None, domain: str = "x.test", **more: Any) -> Route:
        """The route of C{x.test} by MX."""
        records = {} if exchanges is None else {domain: exchanges}
        router = self.router(FakeResolver(records, addresses), **more)
        route = router.route(domain, "remote")
        assert isinstance(route, Deferred)
        return self.successResultOf(route)

    def hosts(self, *parameters: Any, **more: Any) -> list[str]:
        """The addresses that mail for C{x.test} goes to."""
        route = self.byMX(*parameters, **more)
        self.assertIsNone(route.problem)
        return [hop.address for hop in route.hops]


class RouterTests(RouterCase):
    """Configuration comes first, in a fixed order."""

    def test_interface(self) -> None:
        """It is what intake and queue expect."""
        verifyObject(IRouter, self.router())

    def test_classify(self) -> None:
        """Classes are those of the configuration."""
        router = self.router()
        self.assertEqual(
            ["local", "internal", "remote", "local"], [router.classify(d) for d in ("y.test", "a.y.test", "x.test", "")]
        )

    def test_classHops(self) -> None:
        """Next hops of the class take what has no route of its own, before the
        route C{*}, and cost no look-up."""
        router = self.router(
            routes=[
                StaticRoute("x.test", "smtp", (("192.0.2.2", 0),)),
                StaticRoute("*", "smtp", (("192.0.2.3", 0),)),
            ],
            hops={"remote": (("192.0.2.1", 0),)},
        )
        self.assertEqual(Route("smtp", (Hop("192.0.2.2", "192.0.2.2", 25),)), router.route("x.test", "remote"))
        route = router.route("z.test", "remote")
        self.assertEqual(Route("smtp", (Hop("192.0.2.1", "192.0.2.1", 25),)), route)
        self.assertIs(route, router.route("u.test", "remote"))

    def test_theRest(self) -> None:
        """The route C{*} is for all but local mail."""
        router = self.router(routes=[StaticRoute("*", "smtp", (("192.0.2.3", 0),))])
        rest = Route("smtp", (Hop("192.0.2.3", "192.0.2.3", 25),))
        self.assertEqual([rest, rest], [router.route("x.test", "remote"), router.route("a.y.test", "internal")])
        self.assertEqual(Route("lmtp"), router.route("y.test", "local"))

    def test_movedMail(self) -> None:
        """Local mail that has been moved to slow is still local mail."""
        router = self.router(hops={"local": (("unix:/run/lmtp", 0),)})
        self.assertEqual(router.route("y.test", "local"), router.route("y.test", "slow"))

    def test_staticRouteComesNext(self) -> None:
        """A static route beats the courier of the class and the MX."""
        router = self.router(routes=[StaticRoute("x.test", "lmtp", (("192.0.2.2", 0),))])
        self.assertEqual(Route("lmtp", (Hop("192.0.2.2", "192.0.2.2", 24),)), router.route("x.test", "remote"))
        self.assertEqual([], self.dns.asked)

    def test_classCourier(self) -> None:
        """A courier that does not go by MX gets the mail without hops."""
        router = self.router()
        self.assertEqual(Route("lmtp"), router.route("y.test", "local"))
        self.assertEqual(Route("lmtp"), router.route("", "local"))

    def test_queueDecides(self) -> None:
        """Next hops of a class that mail is put into are for all of its mail."""
        router = self.router(
            [], [StaticRoute("x.test", "smtp", (("192.0.2.2", 0),))], hops={"slow": (("192.0.2.1", 0),)}
        )
        self.assertEqual("192.0.2.1", router.route("x.test", "slow").hops[0].address)  # type: ignore[union-attr]

    def test_ownCourierName(self) -> None:
        """An SMTP courier of any name goes by MX."""
        route = self.byMX(
            [(10, "m.test")],
            {"m.test": ["192.0.2.1"]},
            couriers={"remote": "careful"},
            kinds={"careful": "smtp"},
        )
        self.assertEqual(Route("careful", (Hop("m.test", "192.0.2.1", 25),)), route)

    def test_staticRouteWithoutHops(self) -> None:
        """A static route to SMTP without next hops goes by the domain's MX, by
        the courier of the route."""
        dns = FakeResolver({"y.test": [(10, "m.test")]}, {"m.test": ["192.0.2.1"]})
        route = self.router(dns, [StaticRoute("y.test", "smtp")]).route("y.test", "local")
        found = self.successResultOf(route)  # type: ignore[arg-type]
        self.assertEqual(Route("smtp", (Hop("m.test", "192.0.2.1", 25),)), found)

    def test_postmaster(self) -> None:
        """Mail for the bare postmaster goes where that of our first domain goes, by
        whatever way that is (RFC 5321 section 4.5.1)."""
        routes = [StaticRoute("y.test", "lmtp", (("192.0.2.9", 24),))]
        router = self.router(routes=routes, couriers={"local": "smtp"})
        self.assertEqual(Route("lmtp", (Hop("192.0.2.9", "192.0.2.9", 24),)), router.route("", "local"))
        router = self.router(
            FakeResolver({"y.test": [(10, "m.test")]}, {"m.test": ["192.0.2.1"]}), couriers={"local": "smtp"}
        )
        route = router.route("", "local")
        assert isinstance(route, Deferred)
        self.assertEqual(Route("smtp", (Hop("m.test", "192.0.2.1", 25),)), self.successResultOf(route))

    def test_postmasterWithoutWay(self) -> None:
        """Where no domain is ours by name, there is nobody to ask for a way."""
        router = self.router(couriers={"local": "smtp"}, local=("*.y.test",))
        self.assertEqual(Route("smtp", problem=reply.NO_NEXT_HOP), router.route("", "local"))

    def test_bugDelays(self) -> None:
        """Errors that nobody expected delay the mail and are logged, at once and
        later."""
        router = self.router(FakeResolver({"x.test": ZeroDivisionError(), "z.test": [(1, "m.test")]}, {"m.test": [7]}))
        for domain in ("x.test", "z.test"):
            found = self.successResultOf(router.route(domain, "remote"))  # type: ignore[arg-type]
            self.assertEqual(Route("smtp", problem=reply.LOCAL_ERROR), found)
        self.assertEqual(2, len(self.log.bugs))


class ExchangesTests(RouterCase):
    """The table of DNS answers."""

    def test_order(self) -> None:
        """Lower preference first, whatever order the answer has."""
        addresses = {"a.test": ["192.0.2.1"], "b.test": ["192.0.2.2"], "c.test": ["192.0.2.3"]}
        self.assertEqual(
            ["192.0.2.3", "192.0.2.1", "192.0.2.2"],
            self.hosts([(20, "b.test"), (5, "c.test"), (10, "a.test")], addresses),
        )

    def test_equalOnesAreShuffled(self) -> None:
        """Only among equal preferences (RFC 5321 section 5.1)."""
        addresses = {f"{n}.test": [f"192.0.2.{n}"] for n in (1, 2, 3)}
        found = self.hosts([(10, "1.test"), (10, "2.test"), (5, "3.test")], addresses, shuffle=list.reverse)
        self.assertEqual(["192.0.2.3", "192.0.2.2", "192.0.2.1"], found)

    def test_implicitMX(self) -> None:
        """A domain without MX records is its own mail host."""
        route = self.byMX([], {"x.test": ["192.0.2.5"]})
        self.assertEqual((Hop("x.test", "192.0.2.5", 25),), route.hops)

    def test_nothing(self) -> None:
        """Neither MX nor address: never."""
        for addresses in ({"x.test": []}, {}):
            self.assertEqual(NOBODY, self.byMX([], addresses).problem)

    def test_implicitMXUnknown(self) -> None:
        """No MX, address can't be told: later."""
        self.assertEqual(reply.NO_ROUTE_YET, self.byMX([], {"x.test": NoAnswer()}).problem)

    def test_noSuchDomain(self) -> None:
        """NXDOMAIN: never, and no address is asked for."""
        self.assertEqual(GONE, self.byMX(None, {"x.test": ["192.0.2.5"]}).problem)
        self.assertEqual([("MX", "x.test")], self.dns.asked)

    def test_noAnswer(self) -> None:
        """No MX answer: later, and never the address of the domain."""
        self.assertEqual(reply.NO_ROUTE_YET, self.byMX(NoAnswer(), {"x.test": ["192.0.2.5"]}).problem)
        self.assertEqual([("MX", "x.test")], self.dns.asked)

    def test_nullMX(self) -> None:
        """The domain takes no mail (RFC 7505)."""
        self.assertEqual(reply.NULL_MX, self.byMX([(0, "")], {"x.test": ["192.0.2.5"]}).problem)

    def test_nullMXBesideOthers(self) -> None:
        """Which RFC 7505 section 3 forbids: the others count."""
        self.assertEqual(["192.0.2.1"], self.hosts([(0, ""), (10, "m.test")], {"m.test": ["192.0.2.1"]}))

    def test_hostWithoutAddressIsSkipped(self) -> None:
        """NXDOMAIN, no address or no answer for one host: use the next one."""
        for problem in (NoSuchName(), [], NoAnswer()):
            addresses = {"a.test": problem, "b.test": ["192.0.2.2"]}
            self.assertEqual(["192.0.2.2"], self.hosts([(10, "a.test"), (20, "b.test")], addresses))

    def test_noHostHasAnAddress(self) -> None:
        """Certainly none of them: never, and never the domain's own address."""
        addresses = {"a.test": [], "x.test": ["192.0.2.5"]}
        self.assertEqual(NOBODY, self.byMX([(10, "a.test"), (10, "gone.test")], addresses).problem)

    def test_oneHostUnknown(self) -> None:
        """Not certain for one of them: later."""
        addresses = {"a.test": [], "b.test": NoAnswer()}
        self.assertEqual(reply.NO_ROUTE_YET, self.byMX([(10, "a.test"), (20, "b.test")], addresses).problem)

    def test_addressText(self) -> None:
        """An address in an MX record is not the name of a host."""
        self.assertEqual(NOBODY, self.byMX([(10, "192.0.2.7")], {"192.0.2.7": ["192.0.2.7"]}).problem)

    def test_loopback(self) -> None:
        """Mail hosts on addresses that mean "this host" loop back to us."""
        for address in ("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "::1", "::", OWN):
            self.assertEqual(reply.LOOPS_BACK, self.byMX([(10, "m.test")], {"m.test": [address]}).problem, address)
            self.assertEqual(reply.LOOPS_BACK, self.byMX([], {"x.test": [address]}).problem, address)

    def test_loopbackBesideOthers(self) -> None:
        """Such an address is left out, other hosts and addresses are used."""
        addresses = {"a.test": ["127.0.0.1", "192.0.2.1"], "b.test": ["192.0.2.2"]}
        self.assertEqual(["192.0.2.1", "192.0.2.2"], self.hosts([(10, "a.test"), (20, "b.test")], addresses))

    def test_loopbackAllowed(self) -> None:
        """Tests may send to this host."""
        addresses = {"m.test": ["127.0.0.1", OWN]}
        found = self.byMX([(10, "m.test")], addresses, allowLoopback=True, port=2525)
        self.assertEqual([("127.0.0.1", 2525), (OWN, 2525)], [(hop.address, hop.port) for hop in found.hops])

    def test_ownName(self) -> None:
        """We, our equals and worse ones are left out (RFC 5321 section 5.1)."""
        addresses = {f"{n}.test": [f"192.0.2.{n}"] for n in (1, 2, 3)} | {"me.test": ["203.0.113.1"]}
        records = [(10, "1.test"), (20, "me.test"), (20, "2.test"), (30, "3.test")]
        self.assertEqual(["192.0.2.1"], self.hosts(records, addresses))

    def test_ownNameIsBest(self) -> None:
        """Nobody is nearer to the domain than we are, and we don't know it: a loop."""
        records = [(10, "me.test"), (20, "1.test")]
        self.assertEqual(reply.LOOPS_BACK, self.byMX(records, {"1.test": ["192.0.2.1"]}).problem)

    def test_otherOwnNames(self) -> None:
        """More names can be ours."""
        self.assertEqual(reply.LOOPS_BACK, self.byMX([(10, "mx.y.test")], {}, ownNames=["MX.y.test."]).problem)

    def test_ownAddress(self) -> None:
        """A host with our address is us, whatever its name is."""
        addresses = {"1.test": ["192.0.2.1"], "alias.test": [OWN], "2.test": ["192.0.2.2"], "3.test": ["192.0.2.3"]}
        records = [(10, "1.test"), (20, "2.test"), (20, "alias.test"), (30, "3.test")]
        self.assertEqual(["192.0.2.1"], self.hosts(records, addresses))

    def test_ownAddressAndUnknownNearer(self) -> None:
        """Nearer hosts that can't be told: later; worse ones don't matter."""
        addresses = {"1.test": NoAnswer(), "alias.test": [OWN]}
        self.assertEqual(reply.NO_ROUTE_YET, self.byMX([(10, "1.test"), (20, "alias.test")], addresses).problem)
        self.assertEqual(reply.LOOPS_BACK, self.byMX([(20, "alias.test"), (30, "1.test")], addresses).problem)

    def test_unusableAddresses(self) -> None:
        """Link-local and multicast addresses lead nowhere, the others are used."""
        self.assertEqual(["192.0.2.1"], self.hosts([(1, "m.test")], {"m.test": ["fe80::1", "224.0.0.1", "192.0.2.1"]}))
        self.assertEqual(NOBODY, self.byMX([(1, "m.test")], {"m.test": ["fe80::1", "ff02::1"]}).problem)

    def test_translatedAddresses(self) -> None:
        """NAT64's prefix (RFC 6052) is an address like any other."""
        self.assertEqual(["64:ff9b::1"], self.hosts([(1, "m.test")], {"m.test": ["64:ff9b::1"]}))

    def test_manyAddresses(self) -> None:
        """A host with many addresses gets some tries, of both families."""
        addresses = {
            "m.test": [f"192.0.2.{n}" for n in range(1, 20)] + ["2001:db8::1", "2001:db8::2"],
            "n.test": ["192.0.2.99"],
        }
        found = self.hosts([(1, "m.test"), (2, "n.test")], addresses)
        self.assertEqual(["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"], found[:PER_HOST])
        self.assertEqual(["192.0.2.99"], found[PER_HOST:])

    def test_manyExchanges(self) -> None:
        """Of 50 mail hosts only as many are looked up as are needed."""
        records = [(n, f"m{n}.test") for n in range(50)]
        addresses = {f"m{n}.test": [f"192.0.2.{n + 1}"] for n in range(50)}
        self.assertEqual(ENOUGH, len(self.hosts(records, addresses)))
        self.assertEqual(1 + ENOUGH, len(self.dns.asked))

    def test_lastOfManyIsFound(self) -> None:
        """When only the last of many hosts exists, it is used."""
        records = [(n, f"m{n}.test") for n in range(50)]
        self.assertEqual(["192.0.2.1"], self.hosts(records, {"m49.test": ["192.0.2.1"]}))

    def test_literals(self) -> None:
        """An address literal is its own host, without any question."""
        for domain, address in (("[192.0.2.1]", "192.0.2.1"), ("[ipv6:2001:db8::1]", "2001:db8::1")):
            router = self.router()
            self.assertEqual(Route("smtp", (Hop(f"[{address}]", address, 25),)), router.route(domain, "remote"))
            self.assertEqual([], self.dns.asked)

    def test_badLiterals(self) -> None:
        """Literals that lead to us, nowhere, or are none."""
        expected = {
            "[127.0.0.1]": reply.LOOPS_BACK,
            f"[{OWN}]": reply.LOOPS_BACK,
            "[224.0.0.1]": reply.NO_MAIL_HOST,
            "[1.2.3]": reply.NO_SUCH_DOMAIN,
        }
        router = self.router()
        found = {domain: router.route(domain, "remote").problem for domain in expected}  # type: ignore[union-attr]
        self.assertEqual(expected, found)

    @given(
        st.one_of(
            st.sampled_from([NoSuchName(), NoAnswer()]),
            st.lists(
                st.tuples(st.integers(0, 3), st.sampled_from(["", "me.test", "a.test", "b.test", "c.test"])), max_size=5
            ),
        ),
        st.dictionaries(
            st.sampled_from(["x.test", "a.test", "b.test", "c.test"]),
            st.one_of(
                st.sampled_from([NoSuchName(), NoAnswer()]),
                st.lists(st.sampled_from(["192.0.2.1", "2001:db8::1", "127.0.0.1", OWN, "fe80::1"]), max_size=3),
            ),
        ),
    )
    def test_anyAnswers(self, exchanges: Any, addresses: Any) -> None:
        """Whatever the DNS says: a way or a reason, never a forbidden address, and
        never for good when an answer was missing that could have been a way."""
        route = self.byMX(exchanges, addresses)
        self.assertEqual([], self.log.bugs)
        self.assertEqual(bool(route.hops), route.problem is None)
        self.assertTrue({hop.address for hop in route.hops} <= {"192.0.2.1", "2001:db8::1"})
        if isinstance(exchanges, NoAnswer):
            self.assertEqual(reply.NO_ROUTE_YET, route.problem)


class OwnAddressTests(SynchronousTestCase):
    """The kernel knows which addresses are ours."""

    def test_loopbackIsOurs(self) -> None:
        """Every host has it."""
        self.assertTrue(isOwnAddress("127.0.0.1"))

    def test_othersAreNot(self) -> None:
        """Addresses for documentation, and what is no address."""
        for address in ("192.0.2.1", "2001:db8::1", "203.0.113.9", "no address"):
            self.assertFalse(isOwnAddress(address))

    def test_whereEverythingBinds(self) -> None:
        """With ip_nonlocal_bind the kernel can't tell, so nothing is ours: mail
        is not refused for that."""
        self.patch(ownaddress, "_FOREIGN", {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"})
        self.assertFalse(isOwnAddress("127.0.0.1"))
