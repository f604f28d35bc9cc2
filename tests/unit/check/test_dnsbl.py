"""L{umbcmail.check.dnsbl}, C{dnslist} and C{dnslists}: what lists in the DNS say of clients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeResolver
from umbcmail.check.dnsbl import OPTIONS, DNSBLRule, make
from umbcmail.check.dnslists import DEFAULT, isAsked, isError, octetsOf, plainText, questionOf, spec
from umbcmail.destination import NoAnswer
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule, IResolver, IWatched
from umbcmail.maillog import MailLog
from umbcmail.verdict import Answer, Verdict

SIX = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
ONE = "1" + SIX[1:]


def settings(**values: Any) -> dict[str, Any]:
    """The options, as the configuration gives them."""
    kinds = {option.name: option.kind for option in OPTIONS}
    made = {option.name: option.kind.parse(option.default) for option in OPTIONS}
    made.update({name.replace("_", "-"): kinds[name.replace("_", "-")].parse(value) for name, value in values.items()})
    return made


class SpecTests(SynchronousTestCase):
    """How lists are written."""

    def test_forms(self) -> None:
        """A zone, answers, a weight, a name."""
        found = spec("Zen.Example.")
        self.assertEqual(
            ("zen.example", "zen.example", DEFAULT, 1), (found.zone, found.label, found.answers, found.weight)
        )
        found = spec("key.zen.example=127.0.[0;2..3].[2..11;100]*-20 as zen.example")
        self.assertEqual(("key.zen.example", "zen.example", -20), (found.zone, found.label, found.weight))
        for answer, counts in (
            ("127.0.0.2", True),
            ("127.0.2.11", True),
            ("127.0.3.100", True),
            ("127.0.1.2", False),
            ("127.0.0.12", False),
            ("127.1.0.2", False),
        ):
            self.assertEqual(counts, found.counts(answer), answer)

    def test_wrong(self) -> None:
        """Whatever else."""
        for text in (
            "",
            "zen example",
            "zen..example",
            "zen.example=",
            "zen.example=127.0.0",
            "zen.example=127.0.0.2.3",
            "zen.example=127.0.0.",
            "zen.example=.127.0.0.2",
            "zen.example=127.0.0.256",
            "zen.example=127.0.0.[]",
            "zen.example=127.0.0.[3..2]",
            "zen.example=127.0.0.[2..]",
            "zen.example=127.0.0.[2;;3]",
            "zen.example=128.0.0.2",
            "zen.example=[126..127].0.0.2",
            "zen.example*0",
            "zen.example*1001",
            "zen.example*x",
            "zen.example*2=127.0.0.2",
            "zen.example as",
            "zen.example as a b",
            "a" * 60 + ".b" * 70 + ".example",
            1,
        ):
            self.assertRaises(ValueError, spec, text)

    @given(st.text(alphabet="127.0[];x*=- as", max_size=30))
    def test_garbage(self, text: str) -> None:
        """Any text is a list or a mistake."""
        try:
            spec(text)
        except ValueError:
            pass

    @given(st.text(alphabet="0123456789.;[]", max_size=30))
    def test_garbageAnswers(self, text: str) -> None:
        """So are answers."""
        try:
            found = octetsOf(text)
        except ValueError:
            return
        self.assertEqual((4, {127}), (len(found), found[0]))

    def test_defaultAnswers(self) -> None:
        """127.0.0.2 to 127.0.0.254; what is an error never counts, whatever is configured."""
        some = spec("z.example")
        everything = spec("z.example=127.[0..255].[0..255].[0..255]")
        for answer, byDefault, ever in (
            ("127.0.0.2", True, True),
            ("127.0.0.254", True, True),
            ("127.0.0.255", False, True),
            ("127.0.0.0", False, True),
            ("127.0.1.2", False, True),
            ("127.0.0.1", False, False),
            ("127.255.255.252", False, False),
            ("127.255.255.254", False, False),
            ("127.255.255.255", False, False),
            ("127.255.255.1", False, False),
            ("203.0.113.5", False, False),
            ("128.0.0.2", False, False),
            ("12.7.0.2", False, False),
        ):
            self.assertEqual((byDefault, ever), (some.counts(answer), everything.counts(answer)), answer)
            self.assertEqual(not ever, isError(answer))

    def test_questions(self) -> None:
        """Octets backwards, nibbles backwards."""
        self.assertEqual("9.2.0.192.z.example", questionOf("192.0.2.9", "z.example"))
        self.assertEqual(
            "b.a.9.8.7.6.5.4.3.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.z.example",
            questionOf("2001:db8::123:4567:89ab", "z.example"),
        )

    @given(st.ip_addresses())
    def test_sameAsIpaddress(self, address: Any) -> None:
        """They are those of reverse names."""
        name = address.reverse_pointer.removesuffix("in-addr.arpa").removesuffix("ip6.arpa")
        self.assertEqual(f"{name}z", questionOf(str(address), "z"))
        # An IPv4 address written as IPv6 is what it is in IPv4.  Site-local ones (fec0::/10, RFC 3879) count as
        # global in Python, but mean something here only.
        meant = address.ipv4_mapped or address if address.version == 6 else address
        isLocal = meant.is_multicast or (meant.version == 6 and meant.is_site_local)
        if meant.is_global and not isLocal:
            self.assertTrue(isAsked(str(address)))

    def test_private(self) -> None:
        """Addresses that mean something here only are not asked for."""
        for address in ("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"):
            self.assertFalse(isAsked(address), address)
        for address in (
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "224.0.0.1",
            "255.255.255.255",
            "",
            "/run/x",
            "x",
        ):
            self.assertFalse(isAsked(address), address)
        for address in ("8.8.8.8", "172.32.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.9", "2001:db8::1", "2600::1"):
            self.assertTrue(isAsked(address), address)

    def test_plainText(self) -> None:
        """Of what strangers say, only what can do no harm is told."""
        self.assertEqual("See http://x/?q=1", plainText(" See http://x/?q=1\n".replace("\n", " ")))
        self.assertEqual("a??250 OK?b", plainText("a\r\n250 OK\u00e4b"))
        self.assertEqual(150, len(plainText("x" * 999)))


class DNSBLCase(SynchronousTestCase):
    """A rule over lists in memory."""

    def setUp(self) -> None:
        """The lists a.example and b.example pass their tests; c.example knows IPv4 only."""
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.resolver = FakeResolver()
        verifyObject(IResolver, self.resolver)
        self.records = self.resolver.records["A"]
        for zone in ("a.example", "b.example", "c.example"):
            self.records[f"2.0.0.127.{zone}"] = ["127.0.0.2"]
            if zone != "c.example":
                self.records[f"{SIX}.{zone}"] = ["127.0.0.2"]

    def make(self, *lists: str, **values: Any) -> DNSBLRule:
        """The rule."""
        tools = SimpleNamespace(reactor=self.clock, log=self.log, resolver=self.resolver)
        return make(settings(lists=list(lists), **values), tools)

    def ask(self, rule: DNSBLRule, address: str = "192.0.2.9") -> Any:
        """Ask about a client: a verdict, or what waits for one."""
        said = rule.judge(Client(address), "s@x.test", Recipient("r@y.test"))
        return said.result if isinstance(said, Deferred) and said.called else said

    def list(self, *answers: str, zone: str = "a.example", address: str = "192.0.2.9") -> None:
        """A list has an address."""
        self.records[questionOf(address, zone)] = list(answers)

    def questions(self) -> list[str]:
        """What was asked since the last look, but for tests."""
        asked, self.resolver.asked[:] = list(self.resolver.asked), []
        return [name for _, name in asked if not name.startswith((SIX, ONE, "2.0.0.127.", "1.0.0.127."))]

    def logged(self) -> str:
        """The log."""
        self.log.flush()
        return b"".join(self.lines).decode()


class RuleTests(DNSBLCase):
    """Clients are judged."""

    def test_interfaces(self) -> None:
        """It is a rule for our own domains too, a service, and tells how it is."""
        rule = self.make("a.example")
        for interface in (IRelayRule, IService, IWatched):
            verifyObject(interface, rule)
        self.assertTrue(rule.restricts)

    def test_listed(self) -> None:
        """Who is listed is refused, and told by whom."""
        self.list("127.0.0.4")
        said: Verdict = self.ask(self.make("a.example"))
        self.assertEqual("550 5.7.1 Your host 192.0.2.9 is listed in a.example", str(said.reply))
        self.assertIs(Answer.REFUSE, said.answer)
        self.assertIn("a.example", said.why)

    def test_notListed(self) -> None:
        """Others are not; whom the lists don't know, whose answers don't count, and
        whom they can't tell of."""
        for record in (None, [], ["127.0.1.2"], ["127.0.0.1"], ["127.255.255.254"], ["203.0.113.5"], NoAnswer()):
            self.records.pop("9.2.0.192.a.example", None)
            if record is not None:
                self.records["9.2.0.192.a.example"] = record
            self.assertIs(Answer.NO_OPINION, self.ask(self.make("a.example")).answer, record)
        self.assertEqual("", "".join(line for line in self.logged().splitlines() if " bug " in line))

    def test_severalAnswers(self) -> None:
        """One that counts is enough, an error beside it does not harm."""
        self.list("127.0.0.1", "127.0.0.3")
        self.assertIs(Answer.REFUSE, self.ask(self.make("a.example")).answer)

    def test_sixes(self) -> None:
        """IPv6 by nibbles; IPv4 in whatever form is IPv4."""
        self.list("127.0.0.2", address="2001:db8::9")
        self.list("127.0.0.2")
        rule = self.make("a.example")
        self.assertIn("host 2001:db8::9 is", str(self.ask(rule, "2001:DB8:0::9").reply))
        self.assertIs(Answer.NO_OPINION, self.ask(rule, "2001:db8::8").answer)
        self.assertIn("host 192.0.2.9 is", str(self.ask(rule, "::ffff:192.0.2.9").reply))

    def test_private(self) -> None:
        """Nobody is asked about addresses of our own."""
        rule = self.make("a.example")
        for address in ("127.0.0.1", "::1", "10.0.0.1", "", "/run/socket"):
            self.assertIs(Answer.NO_OPINION, self.ask(rule, address).answer)
        self.assertEqual([], self.resolver.asked)

    def test_noLists(self) -> None:
        """Without lists there is no opinion."""
        self.assertIs(Answer.NO_OPINION, self.ask(self.make()).answer)

    def test_score(self) -> None:
        """Weights are added; from the threshold on it counts, negative ones take away."""
        for listing, expected in (
            ("", "the client is on no list"),
            ("a", "192.0.2.9 is listed in a.example, score 2"),
            ("b", "192.0.2.9 is listed in b.example, score 3"),
            ("ab", ""),
            ("abc", "192.0.2.9 is listed in a.example, b.example, c.example, score 4"),
            ("bc", "192.0.2.9 is listed in b.example, c.example, score 2"),
        ):
            for zone in "abc":
                self.records.pop(f"9.2.0.192.{zone}.example", None)
            for zone in listing:
                self.list("127.0.0.2", zone=f"{zone}.example")
            said = self.ask(self.make("a.example*2", "b.example*3", "c.example*-1", threshold=5))
            self.assertIs(Answer.NO_OPINION if expected else Answer.REFUSE, said.answer, listing)
            self.assertIn(expected, said.why)
        said = self.ask(self.make("a.example*2", "b.example*3"))
        self.assertIn("listed in b.example", str(said.reply))

    def test_sessionsAreApart(self) -> None:
        """The score of one client is nothing to the next, nor to itself later."""
        self.list("127.0.0.2")
        self.list("127.0.0.2", zone="b.example", address="192.0.2.10")
        rule = self.make("a.example", "b.example", threshold=2)
        for _ in range(5):
            self.assertIs(Answer.NO_OPINION, self.ask(rule).answer)
            self.assertIs(Answer.NO_OPINION, self.ask(rule, "192.0.2.10").answer)
            self.clock.advance(61)

    def test_delay(self) -> None:
        """The action may be to delay, with a text of one's own."""
        self.list("127.0.0.2")
        said = self.ask(self.make("a.example as list.test", action="delay", text="%zone/%client: later"))
        self.assertEqual((Answer.DELAY, "450 4.7.1 list.test/192.0.2.9: later"), (said.answer, str(said.reply)))
        self.assertFalse(said.isDoubt)

    def test_passes(self) -> None:
        """Whom a good list has may pass, whatever the others say."""
        self.list("127.0.0.2")
        self.list("127.0.7.3", zone="b.example")
        said = self.ask(self.make("a.example", passes=["b.example=127.0.[0..255].[2..3]"]))
        self.assertIs(Answer.PASS, said.answer)
        self.assertIs(Answer.REFUSE, self.ask(self.make("a.example", passes=["b.example"])).answer)

    def test_listText(self) -> None:
        """What the list says goes along, made harmless; without it, it is no worse."""
        self.list("127.0.0.2")
        rule = self.make("a.example", list_text=True)
        for texts, more in (
            (["See http://a.example/?192.0.2.9"], "; See http://a.example/?192.0.2.9"),
            (["x\r\n250 OK"], "; x??250 OK"),
            (["y" * 999], "; " + "y" * 150),
            ([], ""),
            (NoAnswer(), ""),
        ):
            self.resolver.records["TXT"]["9.2.0.192.a.example"] = texts
            self.clock.advance(61)
            self.assertEqual(f"550 5.7.1 Your host 192.0.2.9 is listed in a.example{more}", str(self.ask(rule).reply))

    def test_slowText(self) -> None:
        """Nobody waits long for it."""
        self.list("127.0.0.2")
        self.resolver.records["TXT"]["9.2.0.192.a.example"] = Deferred()
        said = self.ask(self.make("a.example", list_text=True))
        self.assertNoResult(said)
        self.clock.advance(1)
        self.assertEqual("550 5.7.1 Your host 192.0.2.9 is listed in a.example", str(said.result.reply))

    def test_longReply(self) -> None:
        """A reply is a line of at most 512 octets, however long the names are."""
        zone = ".".join(["a" * 60] * 3)
        self.records[f"2.0.0.127.{zone}"] = ["127.0.0.2"]
        self.list("127.0.0.2", zone=zone)
        said = self.ask(self.make(zone, text="%zone " * 30))
        self.assertLess(len(said.reply.wire), 512)

    def test_allAtOnce(self) -> None:
        """All lists are asked at the same time, and who has not answered at the deadline
        does not count; what comes later counts for nobody."""
        late: Deferred[Any] = Deferred()
        self.records["9.2.0.192.a.example"] = late
        self.list("127.0.0.2", zone="b.example")
        for threshold, expected in ((1, Answer.REFUSE), (2, Answer.NO_OPINION)):
            rule = self.make("a.example", "b.example", threshold=threshold, deadline="2s")
            self.questions()
            said = self.ask(rule)
            self.assertEqual(["9.2.0.192.a.example", "9.2.0.192.b.example"], self.questions())
            self.clock.advance(1.9)
            self.assertNoResult(said)
            self.clock.advance(0.2)
            self.assertIs(expected, said.result.answer)
            late, old = Deferred(), late
            self.records["9.2.0.192.a.example"] = late
            old.callback(["127.0.0.2"])
            self.assertIs(expected, self.ask(rule).answer)

    def test_remembered(self) -> None:
        """A client is asked for once in a minute, and who asks meanwhile waits for the
        same answer."""
        waiting: Deferred[Any] = Deferred()
        self.records["9.2.0.192.a.example"] = waiting
        rule = self.make("a.example")
        first, second = self.ask(rule), self.ask(rule)
        self.assertEqual(1, len(self.questions()))
        waiting.callback(["127.0.0.2"])
        self.assertIs(first.result, second.result)
        self.clock.advance(59)
        self.assertIs(first.result, self.ask(rule))
        self.assertEqual([], self.questions())
        self.clock.advance(2)
        self.list()
        self.assertIs(Answer.NO_OPINION, self.ask(rule).answer)
        self.assertEqual(1, len(self.questions()))

    def test_bounded(self) -> None:
        """However many clients there are, not all are remembered."""
        rule = self.make("a.example")
        for number in range(10_100):
            self.ask(rule, f"198.18.{number // 250}.{number % 250}")
        self.assertEqual(10_000, len(rule._known))
        self.assertEqual({}, rule._waiting)

    def test_bug(self) -> None:
        """An error of ours is logged, and nobody is refused for it."""
        self.records["9.2.0.192.a.example"] = ZeroDivisionError()
        self.assertIs(Answer.NO_OPINION, self.ask(self.make("a.example")).answer)
        self.assertIn(" bug ", self.logged())

    def test_figures(self) -> None:
        """How often each list was asked, what it had, and whether it works."""
        self.list("127.0.0.2")
        self.records["8.2.0.192.a.example"] = NoAnswer()
        rule = self.make("a.example", passes=["b.example"])
        for address in ("192.0.2.9", "192.0.2.8", "192.0.2.7"):
            self.ask(rule, address)
        found = {(figure.name, figure.labels[0][1]): figure.value for figure in rule.figures()}
        expected = {"works": (1, 1), "asked_total": (3, 3), "listed_total": (1, 0), "unanswered_total": (1, 0)}
        for name, values in expected.items():
            self.assertEqual(values, tuple(found[f"dnsbl_{name}", zone] for zone in ("a.example", "b.example")), name)


class SelfTestTests(DNSBLCase):
    """Lists that are broken are not asked."""

    def start(self, *lists: str, **values: Any) -> DNSBLRule:
        """The rule, as it runs."""
        rule = self.make(*lists, **values)
        rule.startService()
        self.addCleanup(rule.stopService)
        return rule

    def assertOff(self, rule: DNSBLRule, why: str) -> None:
        """A list does not count, and everybody is told."""
        self.list("127.0.0.2")
        self.questions()
        self.assertIs(Answer.NO_OPINION, self.ask(rule).answer)
        self.assertEqual([], self.questions())
        self.assertIn(f"a.example {why}", rule.condition())
        self.assertIn(f'trouble id=- where="dnsbl a.example" why="{why}', self.logged())

    def test_good(self) -> None:
        """One that passes is in use from the beginning; the log says so once."""
        rule = self.start("a.example")
        self.clock.pump([300] * 30)
        self.assertEqual(1, self.logged().count("passes its test, is asked about IPv4 and IPv6"))
        self.assertEqual("", rule.condition())

    def test_broken(self) -> None:
        """Lists everything, nothing, answers with errors, from a wildcard, or not at all."""
        for records, why in (
            ({"1.0.0.127": ["127.0.0.2"]}, "lists 127.0.0.1, and so probably everything"),
            ({"2.0.0.127": [], SIX: []}, "does not list 127.0.0.2 as every list must"),
            ({"2.0.0.127": ["127.255.255.254"]}, "answers 127.255.255.254 about 127.0.0.2"),
            ({"2.0.0.127": ["203.0.113.5"], "1.0.0.127": ["203.0.113.5"]}, "answers 203.0.113.5 about"),
            ({"2.0.0.127": ["127.0.0.1"]}, "answers 127.0.0.1 about 127.0.0.2"),
            ({"2.0.0.127": NoAnswer()}, "does not answer about 127.0.0.2"),
            ({"1.0.0.127": NoAnswer()}, "does not answer about 127.0.0.1"),
            ({"2.0.0.127": ZeroDivisionError()}, "its test can't be made"),
        ):
            self.setUp()
            self.records.update({f"{name}.a.example": record for name, record in records.items()})
            self.assertOff(self.start("a.example"), why)

    def test_others(self) -> None:
        """The other lists are asked all the same."""
        self.records["1.0.0.127.a.example"] = ["127.0.0.2"]
        self.list("127.0.0.2", zone="b.example")
        self.assertIs(Answer.REFUSE, self.ask(self.start("a.example", "b.example")).answer)

    def test_onlyFour(self) -> None:
        """A list that has no IPv6 addresses is not asked about them, and that is no fault."""
        rule = self.start("c.example")
        self.list("127.0.0.2", zone="c.example", address="2001:db8::9")
        self.list("127.0.0.2", zone="c.example")
        self.assertIs(Answer.NO_OPINION, self.ask(rule, "2001:db8::9").answer)
        self.assertIs(Answer.REFUSE, self.ask(rule).answer)
        self.assertEqual("", rule.condition())
        self.assertIn('is asked about IPv4"', self.logged())

    def test_brokenSix(self) -> None:
        """One that lists every IPv6 address is asked about IPv4 only, with an alarm."""
        self.records[f"{ONE}.a.example"] = ["127.0.0.2"]
        rule = self.start("a.example")
        self.list("127.0.0.2", address="2001:db8::9")
        self.list("127.0.0.2")
        self.assertIs(Answer.NO_OPINION, self.ask(rule, "2001:db8::9").answer)
        self.assertIs(Answer.REFUSE, self.ask(rule).answer)
        self.assertIn("a.example lists ::ffff:7f00:1", rule.condition())

    def test_hourly(self) -> None:
        """One that breaks later is found within the time, and comes back soon when it
        passes again."""
        rule = self.start("a.example", self_test="1h")
        self.list("127.0.0.2")
        self.records["1.0.0.127.a.example"] = ["127.0.0.2"]
        self.clock.advance(3000)
        self.assertIs(Answer.REFUSE, self.ask(rule).answer)
        self.clock.pump([300] * 3)
        self.assertOff(rule, "lists 127.0.0.1")
        self.clock.pump([300] * 30)
        self.assertEqual(1, self.logged().count("probably everything"))
        del self.records["1.0.0.127.a.example"]
        self.clock.pump([300, 61])
        self.assertIs(Answer.REFUSE, self.ask(rule).answer)
        self.assertEqual("", rule.condition())

    def test_oddAnswer(self) -> None:
        """An error instead of an answer is told of once an hour, and has the list
        tested at once."""
        rule = self.start("a.example")
        self.clock.advance(200)
        self.records["1.0.0.127.a.example"] = ["127.255.255.254"]
        for number in range(20):
            self.list("127.255.255.254", address=f"198.51.100.{number}")
            self.assertIs(Answer.NO_OPINION, self.ask(rule, f"198.51.100.{number}").answer)
        self.assertEqual(1, self.logged().count("about 198.51.100."))
        self.assertOff(rule, "answers 127.255.255.254 about 127.0.0.1")

    def test_oddAnswerOfAGoodList(self) -> None:
        """It stays in use, and the status says for an hour what it has said."""
        rule = self.start("a.example")
        self.list("127.0.0.1", address="198.51.100.1")
        self.list("127.0.0.2")
        self.ask(rule, "198.51.100.1")
        self.assertIs(Answer.REFUSE, self.ask(rule).answer)
        self.assertIn("a.example answers 127.0.0.1 about 198.51.100.1", rule.condition())
        self.clock.advance(3601)
        self.assertEqual("", rule.condition())

    def test_notStarted(self) -> None:
        """Where the rule does not run as a service, a list is tested when it is first
        asked; nobody waits longer for that than for an answer."""
        self.records["1.0.0.127.a.example"] = ["127.0.0.2"]
        self.assertOff(self.make("a.example"), "lists 127.0.0.1")
        self.records["2.0.0.127.b.example"] = Deferred()
        said = self.ask(self.make("b.example"), "192.0.2.77")
        self.assertNoResult(said)
        self.clock.advance(3)
        self.assertIs(Answer.NO_OPINION, said.result.answer)

    def test_stop(self) -> None:
        """Nothing is left when it ends."""
        rule = self.make("a.example")
        rule.startService()
        rule.stopService()
        self.logged()
        self.assertEqual([], [call for call in self.clock.getDelayedCalls() if call.func != self.log.flush])


class OptionTests(SynchronousTestCase):
    """What can be configured."""

    def test_mistakes(self) -> None:
        """Texts that can't stand in a reply, odd lists and numbers."""
        for name, value in (
            ("text", ""),
            ("text", "a\u00e4"),
            ("text", "x" * 201),
            ("lists", ["z.example", "z example"]),
            ("lists", "z.example"),
            ("threshold", 0),
            ("action", "discard"),
            ("deadline", "0s"),
            ("self-test", "1s"),
        ):
            self.assertRaises(ValueError, settings, **{name: value})
