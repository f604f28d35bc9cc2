"""What becomes of mail by what the DNS says: a table, from answers of name servers to
the route, with all that is between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from tests.dnsfakes import FakeServers, message, nothing, record
from tests.fakes import FakeLog
from umbcmail import reply
from umbcmail.destination import NoAnswer, Route
from umbcmail.route.answers import ADDRESSES, CHAIN
from umbcmail.route.cache import LONGEST
from umbcmail.route.classes import Classes
from umbcmail.route.exchanges import ENOUGH, PER_HOST
from umbcmail.route.resolver import DNSResolver
from umbcmail.route.router import Router
from umbcmail.route.table import RouteTable, StaticRoute

OWN = "198.51.100.7"
PATIENCE = 300.0
GONE = nothing(code=dns.ENAME)
NONE = nothing()
DARK = NoAnswer("x.test")

Answers = Mapping[str, Any]
"""By C{"MX name"}, C{"A name"}, C{"AAAA name"}; whatever is not in it does not exist."""


def mx(*records: str, name: str = "x.test") -> Any:
    """Records as in C{"10 a.test"}."""
    pairs = [text.split() for text in records]
    return message(*(record(name, dns.Record_MX(int(p), b"" if h == "." else h.encode())) for p, h in pairs))


def a(name: str, *addresses: str) -> Any:
    """Address records of either family."""
    kinds = [dns.Record_AAAA if ":" in address else dns.Record_A for address in addresses]
    return message(*(record(name, kind(address)) for kind, address in zip(kinds, addresses, strict=True)))


def alias(name: str, target: str) -> Any:
    """A CNAME record."""
    return record(name, dns.Record_CNAME(target.encode()))


def host(name: str, *addresses: str) -> dict[str, Any]:
    """A host with addresses, and none of the other family."""
    four, six = [x for x in addresses if ":" not in x], [x for x in addresses if ":" in x]
    return {f"A {name}": a(name, *four) if four else NONE, f"AAAA {name}": a(name, *six) if six else NONE}


NO_SUCH_DOMAIN, NO_MAIL_HOST = reply.noSuchDomain("x.test"), reply.noMailHost("x.test")
_OWN = {f"A {n}.test": a(f"{n}.test", f"192.0.2.{n}") for n in (1, 2, 3)}
_CHAIN = [alias(f"{n}.test", f"{n + 1}.test") for n in range(CHAIN + 1)]

WAYS: dict[str, tuple[Answers, list[str]]] = {
    "null MX beside others": ({"MX x.test": mx("0 .", "10 m.test"), **host("m.test", "192.0.2.1")}, ["192.0.2.1"]),
    "no MX, an address": ({"MX x.test": NONE, **host("x.test", "192.0.2.5")}, ["192.0.2.5"]),
    "no MX, IPv6 only": ({"MX x.test": NONE, **host("x.test", "2001:db8::5")}, ["2001:db8::5"]),
    "first host does not exist": (
        {"MX x.test": mx("10 a.test", "20 b.test"), **host("b.test", "192.0.2.2")},
        ["192.0.2.2"],
    ),
    "first host has no answer": (
        {"MX x.test": mx("10 a.test", "20 b.test"), "A a.test": DARK, "AAAA a.test": DARK}
        | host("b.test", "192.0.2.2"),
        ["192.0.2.2"],
    ),
    "host is an alias": (
        {
            "MX x.test": mx("10 a.test"),
            "A a.test": message(alias("a.test", "c.test"), *a("c.test", "192.0.2.3").answers),
        },
        ["192.0.2.3"],
    ),
    "host is an alias that the server does not follow": (
        {"MX x.test": mx("10 a.test"), "A a.test": message(alias("a.test", "c.test")), **host("c.test", "192.0.2.3")},
        ["192.0.2.3"],
    ),
    "domain is an alias": (
        {"MX x.test": message(alias("x.test", "d.test"), *mx("10 m.test", name="d.test").answers)}
        | host("m.test", "192.0.2.1"),
        ["192.0.2.1"],
    ),
    "domain is an alias that the server does not follow": (
        {"MX x.test": message(alias("x.test", "d.test")), "MX d.test": mx("10 m.test", name="d.test")}
        | host("m.test", "192.0.2.1"),
        ["192.0.2.1"],
    ),
    "we are among them": ({"MX x.test": mx("10 1.test", "20 me.test", "30 3.test"), **_OWN}, ["192.0.2.1"]),
    "we are among them, by address": (
        {"MX x.test": mx("10 1.test", "20 alias.test", "30 3.test"), **_OWN, **host("alias.test", OWN)},
        ["192.0.2.1"],
    ),
    "IPv6 is link-local": ({"MX x.test": mx("10 a.test"), **host("a.test", "fe80::1", "192.0.2.1")}, ["192.0.2.1"]),
    "IPv6 has no answer": (
        {"MX x.test": mx("10 a.test"), "A a.test": a("a.test", "192.0.2.1"), "AAAA a.test": DARK},
        ["192.0.2.1"],
    ),
    "IPv6 is denied with the name": (
        {"MX x.test": mx("10 a.test"), "A a.test": a("a.test", "192.0.2.1"), "AAAA a.test": GONE},
        ["192.0.2.1"],
    ),
    "IPv4 has no answer": (
        {"MX x.test": mx("10 a.test"), "A a.test": DARK, "AAAA a.test": a("a.test", "2001:db8::1")},
        ["2001:db8::1"],
    ),
    "loopback beside a real address": (
        {"MX x.test": mx("10 a.test"), **host("a.test", "127.0.0.1", "192.0.2.1")},
        ["192.0.2.1"],
    ),
}
"""Case to what the DNS says, and the addresses that mail goes to."""

PROBLEMS: dict[str, tuple[Answers, reply.Reply]] = {
    "null MX": ({"MX x.test": mx("0 ."), **host("x.test", "192.0.2.5")}, reply.NULL_MX),
    "null MX of another preference": ({"MX x.test": mx("10 .")}, reply.NULL_MX),
    "no such domain": (host("x.test", "192.0.2.5"), NO_SUCH_DOMAIN),
    "neither MX nor address": ({"MX x.test": NONE, **host("x.test")}, NO_MAIL_HOST),
    "no answer": ({"MX x.test": DARK, **host("x.test", "192.0.2.5")}, reply.NO_ROUTE_YET),
    "no MX, no answer for the address": (
        {"MX x.test": NONE, "A x.test": DARK, "AAAA x.test": NONE},
        reply.NO_ROUTE_YET,
    ),
    "host has no address": (
        {"MX x.test": mx("10 a.test"), **host("a.test"), **host("x.test", "192.0.2.5")},
        NO_MAIL_HOST,
    ),
    "host does not exist": ({"MX x.test": mx("10 a.test"), **host("x.test", "192.0.2.5")}, NO_MAIL_HOST),
    "host has no answer": (
        {"MX x.test": mx("10 a.test", "20 gone.test"), "A a.test": DARK, "AAAA a.test": DARK}
        | host("x.test", "192.0.2.5"),
        reply.NO_ROUTE_YET,
    ),
    "host is an address": ({"MX x.test": mx("10 192.0.2.7"), **host("192.0.2.7", "192.0.2.7")}, NO_MAIL_HOST),
    "host is a long chain of aliases": (
        {"MX x.test": mx("10 0.test"), "A 0.test": message(*_CHAIN), "AAAA 0.test": message(*_CHAIN)},
        reply.NO_ROUTE_YET,
    ),
    "host is a loop of aliases": (
        {"MX x.test": mx("10 a.test")}
        | {f"{kind} a.test": message(alias("a.test", "b.test"), alias("b.test", "a.test")) for kind in ("A", "AAAA")},
        reply.NO_ROUTE_YET,
    ),
    "domain is a loop of aliases": (
        {"MX x.test": message(alias("x.test", "y.test")), "MX y.test": message(alias("y.test", "x.test"))},
        reply.NO_ROUTE_YET,
    ),
    "a referral": (
        {"MX x.test": message(authority=[record("test", dns.Record_NS(b"ns.test"))])},
        reply.NO_ROUTE_YET,
    ),
    "we are the best": ({"MX x.test": mx("10 me.test", "20 2.test"), **_OWN}, reply.LOOPS_BACK),
    "we are the best, by address": (
        {"MX x.test": mx("10 a.test", "20 2.test"), **host("a.test", OWN), **_OWN},
        reply.LOOPS_BACK,
    ),
    **{
        f"host is {address}": ({"MX x.test": mx("10 a.test"), **host("a.test", address)}, reply.LOOPS_BACK)
        for address in ("127.0.0.1", "127.255.0.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", OWN)
    },
    "IPv6 is link-local, and there is nothing else": (
        {"MX x.test": mx("10 a.test"), **host("a.test", "fe80::1")},
        NO_MAIL_HOST,
    ),
}
"""Case to what the DNS says, and the reply that says why there is no way."""

MAYBE_LATER = (NO_SUCH_DOMAIN, NO_MAIL_HOST)
"""Failures that must be met twice."""


class CasesCase(SynchronousTestCase):
    """A router that asks a dictionary, by a real resolver."""

    def router(self, answers: Answers, patience: float = PATIENCE, **more: Any) -> Router:
        """C{self.clock} and C{self.servers} are what it uses."""
        self.clock, self.servers, self.log = Clock(), FakeServers(), FakeLog()
        self.clock.advance(1_000_000)
        kinds = {"MX": dns.MX, "A": dns.A, "AAAA": dns.AAAA}
        for question, answer in answers.items():
            kind, name = question.split()
            self.servers.answers[name.encode(), kinds[kind]] = answer
        self.resolver = DNSResolver(self.clock, asked=self.servers, negative=patience / 2)
        return Router(
            Classes(),
            RouteTable(more.pop("routes", ()), self.resolver),
            self.resolver,
            {"local": "smtp", "remote": "smtp"},
            {},
            list.sort,
            "me.test",
            isOwn=OWN.__eq__,
            log=self.log,  # type: ignore[arg-type]
            patience=patience,
            **more,
        )

    def route(self, answers: Answers, patience: float = PATIENCE) -> Route:
        """The route of C{x.test}."""
        return self.routed(self.router(answers, patience))

    def routed(self, router: Router) -> Route:
        """The route of C{x.test}, which may be known at once."""
        route = router.route("x.test", "remote")
        found: Route = self.successResultOf(route) if isinstance(route, Deferred) else route
        self.assertEqual([], self.log.bugs)
        return found


class TableTests(CasesCase):
    """The tables above."""

    def test_ways(self) -> None:
        """There is a way, and nothing is tried that is none."""
        for case, (answers, addresses) in WAYS.items():
            route = self.route(answers)
            self.assertEqual((addresses, None), ([hop.address for hop in route.hops], route.problem), case)

    def test_problems(self) -> None:
        """There is none, for good or for now."""
        for case, (answers, problem) in PROBLEMS.items():
            route = self.route(answers, patience=0)
            self.assertEqual(((), problem, None), (route.hops, route.problem, route.final), case)

    def test_secondLook(self) -> None:
        """What the servers say is not there delays at first, and says what it may become; what they
        say is there, and is no good, fails at once."""
        for case, (answers, problem) in PROBLEMS.items():
            route = self.route(answers)
            if problem in MAYBE_LATER:
                self.assertEqual((problem, PATIENCE), (route.final, route.patience), case)
                assert route.problem is not None
                self.assertTrue(route.problem.isTransient, case)
                self.assertEqual(problem.enhanced[1:], route.problem.enhanced[1:], case)
                self.assertIn(problem.text, route.problem.text)
            else:
                self.assertEqual((problem, None), (route.problem, route.final), case)

    def test_onlyAbsenceIsFinal(self) -> None:
        """As soon as a needed answer is missing nothing is missing for good: each case again, with each of its
        answers taken away in turn."""
        for case, (answers, _) in PROBLEMS.items():
            for question in answers:
                route = self.route({**answers, question: DARK})
                kind, name = question.split()
                if (name.encode(), {"MX": dns.MX, "A": dns.A, "AAAA": dns.AAAA}[kind]) in self.servers.asked:
                    self.assertIn(route.problem, (None, reply.NO_ROUTE_YET, reply.LOOPS_BACK), (case, question))
                if question == "MX x.test":
                    self.assertEqual(reply.NO_ROUTE_YET, route.problem, case)

    def test_plainWords(self) -> None:
        """Who reads it knows which domain is meant, also where it is written in letters that a reply can't have."""
        self.assertEqual("550 5.1.2 The domain x.test does not exist", str(self.route({}).final))
        router = self.router({})
        found = self.successResultOf(router.route("b\xfccher.test", "remote"))  # type: ignore[arg-type]
        self.assertEqual("550 5.1.2 The domain xn--bcher-kva.test does not exist", str(found.final))
        long = ".".join(["a" * 62] * 4)
        found = self.successResultOf(router.route(long, "remote"))  # type: ignore[arg-type]
        self.assertLess(len(found.problem.wire), 512)
        found = self.successResultOf(router.route("a" * 70 + ".test", "remote"))  # type: ignore[arg-type]
        self.assertEqual(reply.NO_SUCH_DOMAIN, found.final)

    def test_manyRecords(self) -> None:
        """Of 200 MX records, hosts with 100 addresses each, some are tried: few questions, few hops."""
        names = [f"m{n}.test" for n in range(200)]
        answers = {"MX x.test": mx(*(f"{n} {name}" for n, name in enumerate(names)))}
        for name in names:
            answers |= host(name, *(f"192.0.2.{n}" for n in range(1, 101)))
        route = self.route(answers)
        self.assertLessEqual(len(route.hops), ENOUGH + 3 * PER_HOST)
        self.assertLess(len(self.servers.asked), 10)
        self.assertEqual(ADDRESSES, len(self.successResultOf(self.resolver.addresses("m0.test"))))

    def test_changed(self) -> None:
        """The way is computed anew each time: when the records have changed, and their time is over, mail goes to
        the new host."""
        new = {"MX x.test": mx("10 b.test"), **host("b.test", "192.0.2.2")}
        router = self.router(
            {"MX x.test": mx("10 a.test"), **host("a.test", "192.0.2.1"), **host("b.test", "192.0.2.2")}
        )
        self.assertEqual("192.0.2.1", self.routed(router).hops[0].address)
        self.servers.answers[b"x.test", dns.MX] = new["MX x.test"]
        self.clock.advance(299)
        self.assertEqual("192.0.2.1", self.routed(router).hops[0].address)
        self.clock.advance(1)
        self.assertEqual("192.0.2.2", self.routed(router).hops[0].address)

    def test_timeToLive(self) -> None:
        """0 is asked for every time, a week is a day."""
        for ttl, wait, isAsked in ((0, 0, True), (604_800, LONGEST - 1, False), (604_800, LONGEST, True)):
            answers = {"MX x.test": message(record("x.test", dns.Record_MX(10, b"m.test"), ttl))}
            router = self.router({**answers, **host("m.test", "192.0.2.1")})
            self.routed(router)
            del self.servers.asked[:]
            self.clock.advance(wait)
            self.routed(router)
            self.assertEqual(isAsked, (b"x.test", dns.MX) in self.servers.asked, (ttl, wait))

    def test_secondLookIsOne(self) -> None:
        """The second look is not answered by what was remembered of the first one, whatever the SOA says."""
        soa = dns.Record_SOA(b"ns.test", b"admin.test", 1, 60, 60, 60, minimum=86_400)
        gone = message(authority=[record("test", soa, 86_400)], code=dns.ENAME)
        for patience in (1.0, 60.0, 300.0, 1200.0):
            router = self.router({"MX x.test": gone}, patience)
            for after in (0.0, patience / 4, patience):
                self.clock.advance(after)
                del self.servers.asked[:]
                self.assertIsNotNone(self.routed(router).final)
                self.assertEqual(after != patience / 4, bool(self.servers.asked), (patience, after))


class ConfiguredTests(CasesCase):
    """Next hops that an operator has named."""

    def test_neverFail(self) -> None:
        """Whatever the DNS says of them the mail waits, and no second look changes that."""
        hops = (("a.test", 0), ("b.test", 0))
        for answer in (GONE, NONE, DARK):
            answers = {f"{kind} {name}.test": answer for kind in ("A", "AAAA") for name in "ab"}
            router = self.router(answers, routes=[StaticRoute("x.test", "smtp", hops)])
            route = self.routed(router)
            self.assertEqual(((), reply.NO_NEXT_HOP, None), (route.hops, route.problem, route.final))
            self.assertTrue(reply.NO_NEXT_HOP.isTransient)
            for name in ("a", "b"):
                answers |= host(f"{name}.test", "192.0.2.9") if name == "b" else {}
            route = self.routed(self.router(answers, routes=[StaticRoute("x.test", "smtp", hops)]))
            self.assertEqual(["192.0.2.9"], [hop.address for hop in route.hops])
