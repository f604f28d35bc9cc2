"""Which queue class a domain is in: local, internal, or else remote.

Asked by the router for every recipient, and by the relay policy to know our own
domains.  What is not listed is remote, domain literals (C{[192.0.2.1]}) too.
"""

from __future__ import annotations

from collections.abc import Iterable

from umbcmail.options import DOMAIN_PATTERN, Option, Section, listOf
from umbcmail.route.patterns import Patterns

DOMAINS = Section(
    "domains",
    "Our own domains; mail for them is taken from everybody. All others are class remote.",
    (
        Option("local", listOf(DOMAIN_PATTERN), [], "Domains of queue class local: mailboxes are here."),
        Option("internal", listOf(DOMAIN_PATTERN), [], "Domains of queue class internal: other hosts of ours."),
    ),
)


class Classes:
    """The class of each domain.

    A name beats a wildcard, a longer wildcard a shorter one; what is in both
    lists is local.

    @ivar home: the first local domain that is named, C{""} when none is: mail for
        the bare postmaster goes where its mail goes.
    """

    def __init__(self, local: Iterable[str] = (), internal: Iterable[str] = ()) -> None:
        """
        @param local: domain patterns in lower case (L{DOMAIN_PATTERN}).
        @param internal: the same.
        """
        local = list(local)
        self.home = next((pattern for pattern in local if "*" not in pattern), "")
        rows = [(pattern, "local") for pattern in local] + [(pattern, "internal") for pattern in internal]
        self._patterns = Patterns(rows)

    def classify(self, domain: str) -> str:
        """The class of a domain.

        @param domain: lower case; C{""}, of the bare postmaster, is local
            (RFC 5321 section 4.5.1).
        """
        if not domain:
            return "local"
        return self._patterns.find(domain) or "remote"
