"""L{umbcmail.route.classes} and L{umbcmail.route.patterns}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.route import patterns
from umbcmail.route.classes import Classes
from umbcmail.route.patterns import Patterns

DOMAIN = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(".".join)
PATTERN = st.one_of(DOMAIN, DOMAIN.map("*.{}".format), st.just("*"))


def bestBySearch(rows: list[tuple[str, int]], domain: str) -> int | None:
    """What the rules say, without any cleverness: the name, else the longest wildcard."""
    fitting = [
        (p == domain, len(p), -n)
        for n, (p, _) in enumerate(rows)
        if p == domain or p == "*" or (p.startswith("*.") and domain.endswith(p[1:]))
    ]
    return rows[-max(fitting)[2]][1] if fitting else None


class PatternsTests(SynchronousTestCase):
    """A domain finds its best pattern."""

    @given(st.lists(st.tuples(PATTERN, st.integers()), max_size=12), DOMAIN)
    def test_precedence(self, rows: list[tuple[str, int]], domain: str) -> None:
        """Names beat wildcards, longer wildcards shorter ones, first ones equals."""
        table = Patterns(rows)
        expected = bestBySearch(rows, domain)
        self.assertEqual([expected, expected], [table.find(domain), table.find(domain)])

    def test_wildcardIsBelowOnly(self) -> None:
        """C{*.umbc.edu} is neither C{umbc.edu} nor a name that merely ends so."""
        table = Patterns([("*.umbc.edu", 1)])
        found = [table.find(d) for d in ("umbc.edu", "notumbc.edu", "cs.umbc.edu", "a.b.umbc.edu")]
        self.assertEqual([None, None, 1, 1], found)

    def test_nothingMatchesTheEmptyDomain(self) -> None:
        """The bare postmaster has no domain, so not even C{*} matches."""
        self.assertIsNone(Patterns([("*", 1)]).find(""))

    def test_memoryIsBounded(self) -> None:
        """Strangers who name ever new domains do not fill the memory."""
        self.patch(patterns, "REMEMBERED", 10)
        table = Patterns([("*.y.test", 1)])
        for number in range(100):
            self.assertEqual(1, table.find(f"{number}.y.test"))
            self.assertLessEqual(len(table._memo), 10)


class ClassesTests(SynchronousTestCase):
    """Domains have queue classes."""

    def setUp(self) -> None:
        self.classes = Classes(
            ("umbc.edu", "*.lists.umbc.edu", "twice.test"), ("*.umbc.edu", "twice.test", "*.twice.test")
        )

    def test_configured(self) -> None:
        """The most exact pattern of both lists decides."""
        domains = ("umbc.edu", "cs.umbc.edu", "a.lists.umbc.edu", "lists.umbc.edu", "sub.twice.test")
        self.assertEqual(
            ["local", "internal", "local", "internal", "internal"], [self.classes.classify(d) for d in domains]
        )

    def test_others(self) -> None:
        """What is not listed is remote, address literals too."""
        for domain in ("example.com", "[192.0.2.1]", "[ipv6:2001:db8::1]", "edu"):
            self.assertEqual("remote", self.classes.classify(domain))

    def test_localAtATie(self) -> None:
        """A domain in both lists is local."""
        self.assertEqual("local", self.classes.classify("twice.test"))

    def test_barePostmaster(self) -> None:
        """Postmaster without a domain is ours."""
        self.assertEqual("local", Classes().classify(""))

    def test_listedLiteral(self) -> None:
        """An address literal can be listed."""
        self.assertEqual("local", Classes(("[192.0.2.1]",)).classify("[192.0.2.1]"))
