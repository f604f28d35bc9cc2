"""L{umbcmail.route.resolver}, C{answers} and C{cache}: what the DNS says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.dnsfakes import SOA, FakeServers, message, nothing, record
from tests.fakes import FakeResolver
from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.interfaces import IResolver
from umbcmail.route.answers import ADDRESSES, CHAIN, EXCHANGES, NEGATIVE, isAbout, wireName
from umbcmail.route.cache import LONGEST, Cache
from umbcmail.route.resolver import DNS, FAILED, DNSResolver


class ResolverCase(SynchronousTestCase):
    """With a resolver that asks a dictionary."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers = FakeServers()
        self.resolver = DNSResolver(self.clock, asked=self.servers)

    def know(self, name: str, kind: int, answer: Any) -> None:
        """What the servers say about a name."""
        self.servers.answers[(name.encode(), kind)] = answer

    def mx(self, name: str = "x.test") -> Any:
        """The mail hosts of a name."""
        return self.successResultOf(self.resolver.mailExchanges(name))

    def fails(self, deferred: Deferred[Any], *why: type[Exception]) -> None:
        """It does, and so."""
        self.failureResultOf(deferred, *why)


class DNSResolverTests(ResolverCase):
    """Questions have three kinds of answers."""

    def test_interface(self) -> None:
        """It is what router and rules expect; so is the one for tests."""
        verifyObject(IResolver, self.resolver)
        verifyObject(IResolver, FakeResolver())

    def test_exchanges(self) -> None:
        """Sorted, in lower case, without a dot at the end."""
        records = [record("x.test", dns.Record_MX(p, n)) for p, n in ((20, b"B.test"), (10, b"a.TEST"))]
        self.know("x.test", dns.MX, message(*records))
        self.assertEqual([(10, "a.test"), (20, "b.test")], self.mx("X.Test."))
        self.assertEqual([(b"x.test", dns.MX)], self.servers.asked)

    def test_nullMX(self) -> None:
        """The root is an empty name."""
        self.know("x.test", dns.MX, message(record("x.test", dns.Record_MX(0, b""))))
        self.assertEqual([(0, "")], self.mx())

    def test_listing(self) -> None:
        """What a list has for a name; that there is no such name counts at once."""
        self.know("2.0.0.127.l.test", dns.A, message(record("2.0.0.127.l.test", dns.Record_A("127.0.0.2"))))
        self.assertEqual(["127.0.0.2"], self.successResultOf(self.resolver.listing("2.0.0.127.l.test")))
        self.fails(self.resolver.listing("1.0.0.127.l.test"), NoSuchName)
        self.assertEqual([False, False], self.servers.twice)

    def test_texts(self) -> None:
        """The strings of a record belong together; octets that are no text become no error."""
        payloads = (dns.Record_TXT(b"See ", b"http://l.test/"), dns.Record_TXT(b"\xff"), dns.Record_TXT(b""))
        self.know("l.test", dns.TXT, message(*(record("l.test", payload) for payload in payloads)))
        self.assertEqual(["See http://l.test/", "\ufffd", ""], self.successResultOf(self.resolver.texts("l.test")))

    def test_noSuchName(self) -> None:
        """NXDOMAIN is a failure of its own, and asked for twice but for pointers."""
        self.fails(self.resolver.mailExchanges("gone.test"), NoSuchName)
        self.fails(self.resolver.addresses("gone.test"), NoSuchName)
        self.fails(self.resolver.pointers("192.0.2.1"), NoSuchName)
        self.assertEqual([True, True, True, False], self.servers.twice)

    def test_noData(self) -> None:
        """A name without such records has an empty list, with an SOA record or without."""
        for answer in (nothing(), message()):
            self.know("x.test", dns.MX, answer)
            self.know("x.test", dns.A, answer)
            self.know("x.test", dns.AAAA, answer)
            self.assertEqual([], self.mx())
            self.assertEqual([], self.successResultOf(self.resolver.addresses("x.test")))

    def test_noAnswer(self) -> None:
        """Don't know is a failure of its own, and asked again next time."""
        self.know("x.test", dns.MX, NoAnswer("x.test"))
        self.fails(self.resolver.mailExchanges("x.test"), NoAnswer)
        self.know("x.test", dns.MX, nothing())
        self.assertEqual([], self.mx())

    def test_referral(self) -> None:
        """A server that sends us elsewhere does not know."""
        self.know("x.test", dns.MX, message(authority=[record("test", dns.Record_NS(b"ns.test"))]))
        self.fails(self.resolver.mailExchanges("x.test"), NoAnswer)

    def test_impossibleNames(self) -> None:
        """Names that can't exist do not, without a question."""
        for name in ("", "a..test", "x" * 64 + ".test", ".".join(["abcdefgh"] * 30), "\u2488.test", "."):
            self.fails(self.resolver.mailExchanges(name), NoSuchName)
        self.fails(self.resolver.pointers("no address"), NoSuchName)
        self.assertEqual([], self.servers.asked)

    def test_internationalNames(self) -> None:
        """Names that are not ASCII are asked for by their A-label (RFC 5891): sharp s stays one letter."""
        self.assertEqual(b"xn--bcher-kva.test", wireName("B\xfccher.test"))
        self.assertEqual(b"xn--strae-oqa.test", wireName("stra\xdfe.test"))

    def test_addresses(self) -> None:
        """Both families, IPv4 first."""
        self.know("m.test", dns.A, message(*[record("m.test", dns.Record_A(f"192.0.2.{n}")) for n in (1, 2)]))
        self.know("m.test", dns.AAAA, message(record("m.test", dns.Record_AAAA("2001:DB8::1"))))
        found = self.successResultOf(self.resolver.addresses("m.test"))
        self.assertEqual(["192.0.2.1", "192.0.2.2", "2001:db8::1"], found)

    def test_oneFamily(self) -> None:
        """Only that one is asked for."""
        self.know("m.test", dns.AAAA, message(record("m.test", dns.Record_AAAA("2001:db8::1"))))
        self.assertEqual(["2001:db8::1"], self.successResultOf(self.resolver.addresses("m.test", 6)))
        self.fails(self.resolver.addresses("m.test", 4), NoSuchName)
        self.assertEqual([(b"m.test", dns.AAAA), (b"m.test", dns.A)], self.servers.asked)

    def test_familiesTogether(self) -> None:
        """Addresses of one family are enough.  Without any: don't know wins, and no
        such name is believed when it is said of both."""
        some, none, gone, dark = message(record("m.test", dns.Record_A("192.0.2.1"))), nothing(), None, NoAnswer()
        cases: list[tuple[Any, Any, Any]] = [
            (some, none, ["192.0.2.1"]),
            (some, gone, ["192.0.2.1"]),
            (some, dark, ["192.0.2.1"]),
            (none, none, []),
            (none, gone, []),
            (none, dark, NoAnswer),
            (gone, dark, NoAnswer),
            (gone, gone, NoSuchName),
        ]
        for number, (ipv4, ipv6, expected) in enumerate(cases):
            resolver = DNSResolver(self.clock, asked=self.servers)
            for kind, answer in ((dns.A, ipv4), (dns.AAAA, ipv6)):
                self.know("m.test", kind, answer or nothing(code=dns.ENAME))
            found = resolver.addresses("m.test")
            if isinstance(expected, list):
                self.assertEqual(expected, self.successResultOf(found), number)
            else:
                self.fails(found, expected)

    def test_pointers(self) -> None:
        """Names of an address, of both families."""
        self.know(
            "1.2.0.192.in-addr.arpa", dns.PTR, message(record("1.2.0.192.in-addr.arpa", dns.Record_PTR(b"A.test")))
        )
        ipv6 = "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
        self.know(ipv6, dns.PTR, message(record(ipv6, dns.Record_PTR(b"b.test"))))
        self.assertEqual(["a.test"], self.successResultOf(self.resolver.pointers("192.0.2.1")))
        self.assertEqual(["b.test"], self.successResultOf(self.resolver.pointers("2001:db8::1")))

    def test_caps(self) -> None:
        """Of endless answers a part is taken: the best mail hosts, the first addresses."""
        self.know(
            "x.test", dns.MX, message(*[record("x.test", dns.Record_MX(p, b"m.test")) for p in range(200, 0, -1)])
        )
        self.know("m.test", dns.A, message(*[record("m.test", dns.Record_A(f"192.0.2.{n}")) for n in range(200)]))
        self.assertEqual([(p, "m.test") for p in range(1, EXCHANGES + 1)], self.mx())
        self.assertEqual(ADDRESSES, len(self.successResultOf(self.resolver.addresses("m.test"))))

    def test_otherRecordsDontCount(self) -> None:
        """Records of other names in an answer are left out."""
        records = [record("z.test", dns.Record_MX(1, b"evil.test")), record("x.test", dns.Record_MX(2, b"m.test"))]
        self.know("x.test", dns.MX, message(*records))
        self.assertEqual([(2, "m.test")], self.mx())

    def test_bugIsNotHidden(self) -> None:
        """Errors that are no answer reach the caller, and nobody waits for ever."""
        self.know("x.test", dns.MX, ZeroDivisionError())
        for _ in range(2):
            self.fails(self.resolver.mailExchanges("x.test"), ZeroDivisionError)


class AliasTests(ResolverCase):
    """CNAME records are followed."""

    def test_inTheAnswer(self) -> None:
        """By the server, in whatever order and case the records are."""
        answer = message(
            record("c.test", dns.Record_MX(10, b"m.test")),
            record("b.test", dns.Record_CNAME(b"C.test")),
            record("x.test", dns.Record_CNAME(b"b.test")),
        )
        self.know("x.test", dns.MX, answer)
        self.assertEqual([(10, "m.test")], self.mx())

    def test_byQuestions(self) -> None:
        """By us, when the server does not."""
        self.know("x.test", dns.MX, message(record("x.test", dns.Record_CNAME(b"d.test"))))
        self.know("d.test", dns.MX, message(record("d.test", dns.Record_MX(10, b"m.test"))))
        self.assertEqual([(10, "m.test")], self.mx())

    def test_toNothing(self) -> None:
        """An alias of a name without such records, or of no name."""
        alias = record("x.test", dns.Record_CNAME(b"d.test"))
        self.know("x.test", dns.MX, message(alias, authority=[record("test", SOA)]))
        self.assertEqual([], self.mx())
        self.know("y.test", dns.MX, message(record("y.test", dns.Record_CNAME(b"d.test")), code=dns.ENAME))
        self.fails(self.resolver.mailExchanges("y.test"), NoSuchName)

    def test_loops(self) -> None:
        """Loops end, with don't know; in an answer and over several."""
        ring = [("x.test", b"y.test"), ("y.test", b"x.test")]
        records = [record(name, dns.Record_CNAME(to)) for name, to in ring]
        self.know("x.test", dns.MX, message(*records))
        self.fails(self.resolver.mailExchanges("x.test"), NoAnswer)
        for (name, _), one in zip(ring, records, strict=True):
            self.know(name, dns.A, message(one))
        self.fails(self.resolver.addresses("x.test", 4), NoAnswer)

    def test_longestChain(self) -> None:
        """Eight aliases are followed, nine are not."""
        for count, isFound in ((CHAIN, True), (CHAIN + 1, False)):
            links = [record(f"{n}.x.test", dns.Record_CNAME(f"{n + 1}.x.test".encode())) for n in range(count)]
            end = record(f"{count}.x.test", dns.Record_A("192.0.2.1"))
            self.know("0.x.test", dns.A, message(*links, end))
            found = DNSResolver(self.clock, asked=self.servers).addresses("0.x.test", 4)
            if isFound:
                self.assertEqual(["192.0.2.1"], self.successResultOf(found))
            else:
                self.fails(found, NoAnswer)


class RememberedTests(ResolverCase):
    """Answers are kept as long as they say."""

    def asks(self, seconds: float) -> bool:
        """Whether it is asked again so long after the first time."""
        self.resolver = DNSResolver(self.clock, asked=self.servers)
        self.resolver.mailExchanges("x.test").addErrback(lambda _: None)
        del self.servers.asked[:]
        self.clock.advance(seconds)
        self.resolver.mailExchanges("x.test").addErrback(lambda _: None)
        return bool(self.servers.asked)

    def test_timeToLive(self) -> None:
        """The shortest of all records counts, of aliases too."""
        alias, mx = record("x.test", dns.Record_CNAME(b"d.test"), 50), dns.Record_MX(1, b"m.test")
        self.know("x.test", dns.MX, message(alias, record("d.test", mx, 100), record("d.test", mx, 200)))
        self.assertEqual([False, True], [self.asks(49), self.asks(50)])

    def test_zero(self) -> None:
        """0 is asked every time, and so is what RFC 2181 section 8 makes 0."""
        for ttl in (0, (1 << 31) + 5):
            self.know("x.test", dns.MX, message(record("x.test", dns.Record_MX(1, b"m.test"), ttl)))
            self.assertTrue(self.asks(0))

    def test_longest(self) -> None:
        """A week is cut to a day."""
        self.know("x.test", dns.MX, message(record("x.test", dns.Record_MX(1, b"m.test"), 604800)))
        self.assertEqual([False, True], [self.asks(LONGEST - 1), self.asks(LONGEST)])

    def test_negative(self) -> None:
        """By the SOA record: its minimum, its own time to live, 15 minutes at the most."""
        for code in (dns.OK, dns.ENAME):
            self.know("x.test", dns.MX, nothing(code=code))
            self.assertEqual([False, True], [self.asks(119), self.asks(120)])
            self.know("x.test", dns.MX, nothing(ttl=30, code=code))
            self.assertEqual([False, True], [self.asks(29), self.asks(30)])
        long = dns.Record_SOA(b"ns.test", b"admin.test", 1, 60, 60, 60, minimum=604800)
        self.know("x.test", dns.MX, message(authority=[record("test", long, 604800)]))
        self.assertEqual([False, True], [self.asks(NEGATIVE - 1), self.asks(NEGATIVE)])

    def test_negativeWithoutSOA(self) -> None:
        """Is not kept (RFC 2308 section 5)."""
        self.know("x.test", dns.MX, message())
        self.assertTrue(self.asks(0))

    def test_noAnswerIsNotKept(self) -> None:
        """Don't know is asked again."""
        self.know("x.test", dns.MX, NoAnswer())
        self.assertTrue(self.asks(0))

    def test_silenceIsKept(self) -> None:
        """Who had to wait in vain spares the others the same for ten times as long, up to a minute."""
        for waited, kept in ((0.5, 5.0), (20.0, FAILED)):
            waiting: Deferred[Any] = Deferred()
            self.know("x.test", dns.MX, waiting)
            asked = self.resolver.mailExchanges("x.test")
            self.clock.advance(waited)
            waiting.errback(NoAnswer())
            self.fails(asked, NoAnswer)
            del self.servers.asked[:]
            self.clock.advance(kept - 0.1)
            self.fails(self.resolver.mailExchanges("x.test"), NoAnswer)
            self.assertEqual([], self.servers.asked)
            self.clock.advance(0.1)
            self.know("x.test", dns.MX, message(record("x.test", dns.Record_MX(1, b"m.test"), 0)))
            self.assertEqual([(1, "m.test")], self.mx())

    def test_bugIsNotKept(self) -> None:
        """A bug is no answer of the DNS."""
        waiting: Deferred[Any] = Deferred()
        self.know("x.test", dns.MX, waiting)
        asked = self.resolver.mailExchanges("x.test")
        self.clock.advance(20)
        waiting.errback(ZeroDivisionError())
        self.fails(asked, ZeroDivisionError)
        self.know("x.test", dns.MX, nothing())
        self.assertEqual([], self.mx())

    def test_callersCantChangeIt(self) -> None:
        """What a caller does to its list is its own business."""
        self.know("x.test", dns.MX, message(record("x.test", dns.Record_MX(1, b"m.test"))))
        self.mx().clear()
        self.assertEqual([(1, "m.test")], self.mx())

    def test_askedOnce(self) -> None:
        """Equal questions at the same time are one question, whoever fails or not."""
        for answer in (message(record("x.test", dns.Record_MX(1, b"m.test"), 0)), NoAnswer()):
            del self.servers.asked[:]
            waiting: Deferred[Any] = Deferred()
            self.know("x.test", dns.MX, waiting)
            several = [self.resolver.mailExchanges(name) for name in ("x.test", "X.test", "x.test.")]
            self.assertEqual(1, len(self.servers.asked))
            waiting.errback(answer) if isinstance(answer, Exception) else waiting.callback(answer)
            for each in several:
                if isinstance(answer, Exception):
                    self.fails(each, NoAnswer)
                else:
                    self.assertEqual([(1, "m.test")], self.successResultOf(each))


class CacheTests(SynchronousTestCase):
    """A bounded memory."""

    def test_bound(self) -> None:
        """What was not asked for the longest time goes first."""
        cache = Cache(2, Clock().seconds)
        for key in "ab":
            cache.put(key, key, 10)
        cache.get("a")
        cache.put("c", "c", 10)
        self.assertEqual(["a", None, "c"], [cache.get(key) for key in "abc"])
        self.assertEqual(2, len(cache))

    def test_clockStepsBack(self) -> None:
        """Nothing is kept longer than a day because a clock was wrong."""
        clock = Clock()
        clock.rightNow = 10 * LONGEST
        cache = Cache(2, clock.seconds)
        cache.put("a", "a", 10)
        clock.rightNow = 0.0
        self.assertIsNone(cache.get("a"))

    @given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100), st.floats(0, 50)), max_size=60))
    def test_neverOldNeverMore(self, steps: list[tuple[int, float, float]]) -> None:
        """Never more than the bound, never anything after its time."""
        clock, ends = Clock(), {}
        cache = Cache(5, clock.seconds)
        for key, seconds, wait in steps:
            cache.put(key, key, seconds)
            ends[key] = clock.seconds() + seconds
            clock.advance(wait)
            self.assertLessEqual(len(cache), 5)
            for each, end in ends.items():
                if cache.get(each) is not None:
                    self.assertLess(clock.seconds(), end)


class QuestionTests(SynchronousTestCase):
    """Answers must be about the question."""

    def test_isAbout(self) -> None:
        """Same name in any case, same type, one question, and marked as an answer."""

        def made(name: bytes, kind: int = dns.MX, answer: int = 1, times: int = 1) -> Any:
            answered = dns.Message(1, answer=answer)
            answered.queries = [dns.Query(name, kind, dns.IN)] * times
            return answered

        right = made(b"X.test")
        wrong = [
            made(b"y.test"),
            made(b"x.test", dns.A),
            made(b"x.test", answer=0),
            made(b"x.test", times=2),
            made(b"", times=0),
        ]
        self.assertTrue(isAbout(right, b"x.test", dns.MX))
        self.assertEqual([False] * 5, [isAbout(each, b"x.test", dns.MX) for each in wrong])


class OptionsTests(SynchronousTestCase):
    """What an operator can set."""

    def test_servers(self) -> None:
        """Name servers are addresses, with a port or without; a name is refused."""
        kind = next(option.kind for option in DNS.options if option.name == "servers")
        self.assertEqual((("192.0.2.1", 0), ("2001:db8::1", 5353)), kind.parse(["192.0.2.1", "[2001:db8::1]:5353"]))
        for wrong in ("ns.test", "unix:/run/dns", "192.0.2.300"):
            self.assertRaises(ValueError, kind.parse, [wrong])
