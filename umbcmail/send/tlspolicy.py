"""How the way to a next hop is to be protected, from a table of the operator's.

The section is C{[[tls-policy]]}; the composition makes a L{TLSTable} of it, couriers
ask by L{rulesFor}.  Others (DANE, MTA-STS) can be asked in its place, as all
that is known here is L{ITLSPolicy}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from zope.interface import implementer

from umbcmail.destination import Hop, TLSRule
from umbcmail.interfaces import ITLSPolicy
from umbcmail.options import DOMAIN_PATTERN, Option, Section, choice, listOf

TLS_POLICY = Section(
    "tls-policy[]",
    "TLS to a domain or a next hop, where it is not as the courier says.",
    (
        Option(
            "domain",
            DOMAIN_PATTERN,
            None,
            "Domain of the recipients, or name of the next hop; the most exact one counts.",
            True,
        ),
        Option(
            "level",
            choice("none", "may", "encrypt", "verify"),
            None,
            "Never, when offered, always, or always and with a certificate that is checked.",
            True,
        ),
        Option(
            "names",
            listOf(DOMAIN_PATTERN),
            [],
            "For verify: names that the certificate may be for; with none the name of the next hop.",
        ),
    ),
)

Rules = tuple[TLSRule | None, ...]
"""A rule for each hop."""


@implementer(ITLSPolicy)
class TLSTable:
    """The table."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """
        @param rows: values of the options of L{TLS_POLICY}.
        @raise ValueError: two are for the same domain, or have names for nothing.
        """
        self._rules: dict[str, TLSRule] = {}
        for row in rows:
            domain = row["domain"]
            if domain in self._rules:
                raise ValueError(f"there are two for {domain}")
            if row["names"] and row["level"] != "verify":
                raise ValueError(f"names are for the level verify, which that for {domain} does not have")
            if "*" in row["names"]:
                raise ValueError(f"among the names for {domain} is *, which says nothing")
            self._rules[domain] = TLSRule(row["level"], row["names"])

    def lookUp(self, domain: str, hop: Hop) -> TLSRule | None:
        """See L{ITLSPolicy}: by the domain, then by the name of the hop, then C{*}."""
        return self._find(domain) or self._find(hop.name.lower()) or self._rules.get("*")

    def _find(self, name: str) -> TLSRule | None:
        found = self._rules.get(name)
        while found is None and "." in name:
            name = name.partition(".")[2]
            found = self._rules.get("*." + name)
        return found


def rulesFor(
    policy: ITLSPolicy | None, domains: Sequence[str], hops: Sequence[Hop], isRequired: bool
) -> Deferred[dict[str, Rules]]:
    """The rules of some domains.

    @param isRequired: the message must not go otherwise than under TLS with a
        certificate that has been checked (RFC 8689 section 4.2.1).
    @return: L{Deferred}; fails when one of them can't be found out.
    """
    waits: list[Any] = []
    for domain in domains:
        for hop in hops:
            found = policy.lookUp(domain, hop) if policy is not None else None
            done: Deferred[TLSRule | None] = Deferred()
            if isinstance(found, Deferred):
                done = found
            else:
                done.callback(found)
            waits.append(done)
    return gatherResults(waits, consumeErrors=True).addCallback(_sorted, domains, len(hops), isRequired)


def _sorted(found: list[TLSRule | None], domains: Sequence[str], count: int, isRequired: bool) -> dict[str, Rules]:
    if isRequired:
        found = [rule if rule is not None and rule.level == "verify" else TLSRule("verify") for rule in found]
    return {domain: tuple(found[at * count : (at + 1) * count]) for at, domain in enumerate(domains)}
