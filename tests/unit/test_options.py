"""Tests of `umbcmail.options`: each kind takes what it says and nothing else."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import options as o

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)

KINDS = (
    o.TEXT,
    o.WORD,
    o.BOOLEAN,
    o.DOMAIN,
    o.DOMAIN_PATTERN,
    o.NETWORK,
    o.NETWORK_OR_DOMAIN,
    o.HOST_PORT,
    o.PATH,
    o.integer(),
    o.integer(-5, 5),
    o.number(),
    o.duration(),
    o.duration(1, 60),
    o.size(),
    o.size(1, 1 << 20),
    o.choice("a", "b"),
    o.listOf(o.HOST_PORT),
    o.listOf(o.choice("a", "b"), 1),
)


class KindTestCase(SynchronousTestCase):
    """What the tests of kinds share."""

    def assertTakes(self, kind: o.Kind, **cases: Any) -> None:
        """Each pair of raw and typed value fits."""
        for raw, value in cases.values():
            got = kind.parse(raw)
            self.assertEqual((got, type(got)), (value, type(value)), raw)

    def assertRefuses(self, kind: o.Kind, reason: str, *raws: Any) -> None:
        """Each raw value is refused with a reason."""
        for raw in raws:
            error = self.assertRaises(ValueError, kind.parse, raw)
            self.assertIn(reason, str(error), raw)


class AnyKindTests(KindTestCase):
    """What holds for all kinds."""

    @given(ANYTHING)
    def test_takesOrSaysWhy(self, raw: Any) -> None:
        """Whatever is given, a kind returns a value or raises ValueError with a reason."""
        for kind in KINDS:
            try:
                kind.parse(raw)
            except ValueError as why:
                self.assertTrue(str(why), kind.name)

    def test_names(self) -> None:
        """Each kind names itself for people, with its bounds."""
        self.assertTrue(all(kind.name for kind in KINDS))
        self.assertEqual(o.integer(1, 65535).name, "a whole number from 1 to 65535")
        self.assertEqual(o.integer(1).name, "a whole number of at least 1")
        self.assertEqual(o.duration(high=3600).name, "a time of at most 1h")
        self.assertEqual(o.size(1024, 1 << 20).name, "a size from 1KiB to 1MiB")
        self.assertEqual(o.listOf(o.DOMAIN).name, "a list, each a domain name")

    def test_declarationsAreValues(self) -> None:
        """Kinds, options and sections can't be changed after they are declared."""
        option = o.Option("url", o.TEXT, "x", "Where.")
        self.assertFalse(option.required)
        self.assertRaises(AttributeError, setattr, option, "default", "y")
        self.assertRaises(AttributeError, setattr, o.TEXT, "name", "y")
        self.assertRaises(AttributeError, setattr, o.Section("a", "A.", (option,)), "name", "y")


class TextTests(KindTestCase):
    """Texts, words and paths."""

    def test_text(self) -> None:
        """A text is taken as it is, the empty one and wide characters too."""
        self.assertTakes(o.TEXT, empty=("", ""), wide=("Grüße 邮件", "Grüße 邮件"), spaces=(" a ", " a "))
        self.assertRefuses(o.TEXT, "text in quotes", 1, True, ["a"], {}, None)

    def test_controlCharacters(self) -> None:
        """Control characters never get into a value: it may end in a log line or a reply."""
        self.assertRefuses(o.TEXT, "control", "a\nb", "a\r", "\x00", "\x1b[2J", "\x7f", "\x9b", "a\u2028b")

    def test_notUTF8(self) -> None:
        """Octets of an argument that are not UTF-8 (surrogates in Python) are refused."""
        self.assertRefuses(o.TEXT, "UTF-8", b"/caf\xe9".decode("utf-8", "surrogateescape"))

    def test_word(self) -> None:
        """A word must not be empty."""
        self.assertTakes(o.WORD, one=("x", "x"))
        self.assertRefuses(o.WORD, "empty", "")

    def test_path(self) -> None:
        """A path is absolute."""
        self.assertTakes(o.PATH, one=("/var/spool", "/var/spool"))
        self.assertRefuses(o.PATH, "absolute", "var/spool", "~/x", "./x")
        self.assertRefuses(o.PATH, "empty", "")


class NumberTests(KindTestCase):
    """Truth values and whole numbers."""

    def test_boolean(self) -> None:
        """Only true and false are truth values."""
        self.assertTakes(o.BOOLEAN, yes=(True, True), no=(False, False))
        self.assertRefuses(o.BOOLEAN, "true or false", 1, 0, "true", "yes", [])

    def test_integer(self) -> None:
        """A whole number is no truth value, float or text."""
        self.assertTakes(o.integer(), zero=(0, 0), negative=(-3, -3), huge=(10**30, 10**30))
        self.assertRefuses(o.integer(), "whole number", True, 1.0, "1", None)

    def test_bounds(self) -> None:
        """Bounds belong to the range, and the reason names the bound exactly."""
        kind = o.integer(1, 10**17 + 1)
        self.assertTakes(kind, low=(1, 1), high=(10**17 + 1, 10**17 + 1))
        self.assertRefuses(kind, "at least 1", 0, -1)
        self.assertRefuses(kind, f"at most {10**17 + 1}", 10**17 + 2)

    def test_number(self) -> None:
        """A number may be whole or not, and is a float; it is never infinite or "not a number"."""
        self.assertTakes(o.number(0), whole=(8, 8.0), part=(0.5, 0.5), zero=(0, 0.0))
        self.assertRefuses(o.number(), "a number is needed", True, "1", None, [1])
        self.assertRefuses(o.number(), "not infinite", float("inf"), float("-inf"), float("nan"), 10**400)
        self.assertRefuses(o.number(0.5, 8), "at least 0.5", 0)
        self.assertRefuses(o.number(0.5, 8), "at most 8", 8.1)

    def test_choice(self) -> None:
        """One of the words, as it is written; the kind tells its words."""
        kind = o.choice("delay", "accept")
        self.assertTakes(kind, one=("delay", "delay"))
        self.assertRefuses(kind, "must be one of delay, accept", "Delay", "", 1, ["delay"], None)
        self.assertEqual(kind.words, ("delay", "accept"))


class DurationTests(KindTestCase):
    """Times."""

    def test_units(self) -> None:
        """s, m, h, d and w, with a fraction if wanted, make seconds."""
        self.assertTakes(
            o.duration(),
            s=("90s", 90.0),
            m=("5m", 300.0),
            h=("1.5h", 5400.0),
            d=("1d", 86400.0),
            w=("2w", 1209600.0),
            space=("5 m", 300.0),
            zero=("0s", 0.0),
        )

    def test_refuses(self) -> None:
        """A bare number has no unit; other words are no times."""
        self.assertRefuses(
            o.duration(), "a time such as", 5, 5.0, "5", "m", "-5m", "5M", "1e3s", ".5s", "5m ", "5m30s", "5\nm", "٣s"
        )

    def test_bounds(self) -> None:
        """The reason names the bound as it would be written."""
        kind = o.duration(60, 7 * 86400)
        self.assertTakes(kind, low=("1m", 60.0), high=("1w", 604800.0))
        self.assertRefuses(kind, "at least 1m", "59s")
        self.assertRefuses(kind, "at most 1w", "8d")

    def test_tooLong(self) -> None:
        """No time is infinite, however many digits it has."""
        self.assertRefuses(o.duration(), "a time such as", "9" * 400 + "s")
        self.assertRefuses(o.duration(), "too long", "9" * 15 + "w")

    def test_text(self) -> None:
        """The text has the largest unit that fits, and no exponent."""
        for seconds, text in (
            (0, "0s"),
            (90, "90s"),
            (300, "5m"),
            (5400, "90m"),
            (604800, "1w"),
            (1234567, "1234567s"),
            (0.5, "0.5s"),
            (0.00001, "0.00001s"),
        ):
            self.assertEqual(o.durationText(seconds), text)

    @given(st.floats(0, 1e14) | st.integers(0, 10**14))
    def test_roundTrip(self, seconds: float) -> None:
        """What durationText writes is read as the same number of seconds."""
        self.assertEqual(o.duration().parse(o.durationText(seconds)), seconds)


class SizeTests(KindTestCase):
    """Numbers of octets."""

    def test_units(self) -> None:
        """Numbers, and B, KiB, MiB and GiB."""
        self.assertTakes(
            o.size(),
            number=(1000, 1000),
            text=("1000", 1000),
            b=("5B", 5),
            k=("256KiB", 262144),
            m=("25 MiB", 26214400),
            g=("1GiB", 1 << 30),
        )

    def test_refuses(self) -> None:
        """Ambiguous units, fractions and truth values are refused."""
        self.assertRefuses(o.size(), "a size such as", "25MB", "25M", "1.5MiB", "-1", True, 1.5, "", "5\tKiB", "٣B")

    def test_bounds(self) -> None:
        """A size is never negative, and never more than a disk can hold."""
        self.assertRefuses(o.size(), "at least 0B", -1)
        self.assertRefuses(o.size(), "too large", 1 << 63, "9999999999999999999GiB")
        self.assertRefuses(o.size(1, 1 << 20), "at least 1B", 0)
        self.assertRefuses(o.size(1, 1 << 20), "at most 1MiB", "2MiB")

    def test_text(self) -> None:
        """The text has the largest unit that fits and is exact."""
        for octets, text in (
            (0, "0B"),
            (1000, "1000B"),
            (262144, "256KiB"),
            (1 << 30, "1GiB"),
            ((1 << 60) + 1, "1152921504606846977B"),
        ):
            self.assertEqual(o.sizeText(octets), text)

    @given(st.integers(0, (1 << 63) - 1))
    def test_roundTrip(self, octets: int) -> None:
        """What sizeText writes is read as the same number of octets."""
        self.assertEqual(o.size().parse(o.sizeText(octets)), octets)


class ListTests(KindTestCase):
    """Lists."""

    def test_members(self) -> None:
        """A list becomes a tuple of typed values; a default may be a tuple."""
        self.assertTakes(
            o.listOf(o.duration()), some=(["5m", "1h"], (300.0, 3600.0)), none=([], ()), default=(("5m",), (300.0,))
        )
        self.assertRefuses(o.listOf(o.WORD), "list in square brackets", "a", 1, {"a": 1}, None)

    def test_whichMember(self) -> None:
        """The reason tells which member is wrong, counted from 1."""
        self.assertRefuses(o.listOf(o.duration()), "member 2: a time such as", ["5m", "soon"])

    def test_least(self) -> None:
        """A list may have to have members."""
        self.assertRefuses(o.listOf(o.WORD, 1), "at least 1 member", [])
        self.assertRefuses(o.listOf(o.WORD, 2), "at least 2 members", ["a"])

    def test_words(self) -> None:
        """A list of words tells these, for suggestions."""
        self.assertEqual(o.listOf(o.choice("a", "b")).words, ("a", "b"))


class DomainTests(KindTestCase):
    """Domains and patterns."""

    def test_domain(self) -> None:
        """A domain comes in lower case and without a dot at the end."""
        self.assertTakes(
            o.DOMAIN,
            plain=("umbc.edu", "umbc.edu"),
            case=("UMBC.Edu.", "umbc.edu"),
            one=("localhost", "localhost"),
            under=("_dmarc.a-b.example", "_dmarc.a-b.example"),
            idn=("xn--mller-kva.de", "xn--mller-kva.de"),
            label=("a" * 63 + ".de", "a" * 63 + ".de"),
        )

    def test_refuses(self) -> None:
        """What is no domain is refused, also when case folding would make it ASCII."""
        self.assertRefuses(
            o.DOMAIN,
            "not a domain name",
            "",
            ".",
            "a..b",
            "a.b..",
            "-a.b",
            "a-.b",
            "a b",
            "a/24",
            "müller.de",
            "\u212aa.de",
            "a" * 64 + ".de",
            "a." * 127 + "a",
            "a@b",
            "*.a",
        )
        self.assertRefuses(o.DOMAIN, "text", 1, [])

    def test_longNonsense(self) -> None:
        """A very long text is refused at once, in few words."""
        error = self.assertRaises(ValueError, o.domainName, "a-" * 500_000)
        self.assertLess(len(str(error)), 120)

    def test_pattern(self) -> None:
        """A domain, all below a domain, or all."""
        self.assertTakes(
            o.DOMAIN_PATTERN, all=("*", "*"), below=("*.UMBC.edu", "*.umbc.edu"), plain=("Umbc.edu", "umbc.edu")
        )
        self.assertRefuses(o.DOMAIN_PATTERN, "not a domain", "*.", "*umbc.edu", "a.*", "**", "*.*", "")


class NetworkTests(KindTestCase):
    """Addresses and networks."""

    def test_network(self) -> None:
        """Addresses and networks, both versions, become ipaddress objects."""
        for kind in (o.NETWORK, o.NETWORK_OR_DOMAIN):
            self.assertTakes(
                kind,
                address=("192.0.2.1", ipaddress.ip_network("192.0.2.1/32")),
                net=("130.85.0.0/16", ipaddress.ip_network("130.85.0.0/16")),
                mask=("10.0.0.0/255.0.0.0", ipaddress.ip_network("10.0.0.0/8")),
                six=("2001:db8::/32", ipaddress.ip_network("2001:db8::/32")),
                any=("::/0", ipaddress.ip_network("::/0")),
            )

    def test_mapped(self) -> None:
        """IPv4-mapped networks are IPv4, as the addresses of clients are; else they never matched."""
        self.assertTakes(
            o.NETWORK,
            net=("::ffff:10.0.0.0/104", ipaddress.ip_network("10.0.0.0/8")),
            address=("::ffff:192.0.2.1", ipaddress.ip_network("192.0.2.1")),
            all=("::ffff:0:0/96", ipaddress.ip_network("0.0.0.0/0")),
        )

    def test_refuses(self) -> None:
        """Half networks are mistakes: host bits, bad lengths, zones, leading zeros."""
        for kind in (o.NETWORK, o.NETWORK_OR_DOMAIN):
            self.assertRefuses(kind, "host bits", "130.85.1.0/16")
            self.assertRefuses(
                kind, "", "1.2.3", "1.2.3.4/33", "1.2.3.256", "010.0.0.1", "::1/129", "[::1]", "1.2.3.4/"
            )
            self.assertRefuses(kind, "zone", "fe80::1%eth0")
            self.assertRefuses(kind, "text", 10, None)

    def test_domain(self) -> None:
        """Where domains are allowed, what is no address is a domain."""
        self.assertTakes(o.NETWORK_OR_DOMAIN, one=("UMBC.edu", "umbc.edu"))
        self.assertRefuses(o.NETWORK_OR_DOMAIN, "not a domain", "umbc.edu/24", "*.umbc.edu", "")
        self.assertRefuses(o.NETWORK, "", "umbc.edu")


class HostPortTests(KindTestCase):
    """Places to connect to."""

    def test_takes(self) -> None:
        """Names, addresses and sockets; 0 where no port is given."""
        self.assertTakes(
            o.HOST_PORT,
            name=("MX1.umbc.edu:2525", ("mx1.umbc.edu", 2525)),
            bare=("mx1.umbc.edu", ("mx1.umbc.edu", 0)),
            four=("127.0.0.1:25", ("127.0.0.1", 25)),
            six=("[2001:DB8::0:1]:25", ("2001:db8::1", 25)),
            six0=("[::1]", ("::1", 0)),
            unix=("unix:/run/lmtp", ("unix:/run/lmtp", 0)),
            last=("a:65535", ("a", 65535)),
        )

    def test_refuses(self) -> None:
        """Bad ports, bad addresses, IPv6 without brackets and relative sockets."""
        self.assertRefuses(o.HOST_PORT, "port number", "a:0", "a:65536")
        self.assertRefuses(
            o.HOST_PORT,
            "not host:port",
            "a:",
            ":25",
            "a:123456",
            "::1",
            "2001:db8::1:25",
            "a b",
            "[::1]25",
            "[]:1",
            "a:٣",
        )
        self.assertRefuses(o.HOST_PORT, "IPv4 or IPv6", "999.1.1.1:25", "1.2.3", "[::g]".replace("g", "1:::"))
        self.assertRefuses(o.HOST_PORT, "absolute path", "unix:", "unix:run/x")
        self.assertRefuses(o.HOST_PORT, "domain", "a_b-:25")
        self.assertRefuses(o.HOST_PORT, "empty", "")
