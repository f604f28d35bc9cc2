"""Providers of the project's interfaces in memory, for tests of several stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from umbcmail.destination import NoSuchName
from umbcmail.interfaces import IResolver


@implementer(IResolver)
class FakeResolver:
    """Answers from dictionaries; a name that is in none does not exist.

    A value is a list of records, an exception to fail with, or a L{Deferred}.

    @ivar asked: the questions, pairs such as C{("MX", "y.test")}.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Any] | None = None,
        addresses: Mapping[str, Any] | None = None,
        pointers: Mapping[str, Any] | None = None,
        texts: Mapping[str, Any] | None = None,
    ) -> None:
        self.records = {
            "MX": dict(exchanges or {}),
            "A": dict(addresses or {}),
            "PTR": dict(pointers or {}),
            "TXT": dict(texts or {}),
        }
        self.asked: list[tuple[str, str]] = []

    def _answer(self, kind: str, name: str) -> Deferred[Any]:
        self.asked.append((kind, name))
        found = self.records[kind].get(name, NoSuchName(name))
        if isinstance(found, Deferred):
            return found
        return fail(found) if isinstance(found, Exception) else succeed(list(found))

    def mailExchanges(self, domain: str) -> Deferred[list[tuple[int, str]]]:
        """See L{IResolver.mailExchanges}."""
        return self._answer("MX", domain)

    def addresses(self, name: str, family: int = 0) -> Deferred[list[str]]:
        """See L{IResolver.addresses}."""
        found = self._answer("A", name)
        if family:
            found.addCallback(lambda some: [a for a in some if (":" in a) == (family == 6)])
        return found

    def pointers(self, address: str) -> Deferred[list[str]]:
        """See L{IResolver.pointers}."""
        return self._answer("PTR", address)

    def listing(self, name: str) -> Deferred[list[str]]:
        """See L{IResolver.listing}."""
        return self._answer("A", name)

    def texts(self, name: str) -> Deferred[list[str]]:
        """See L{IResolver.texts}."""
        return self._answer("TXT", name)


class FakeLog:
    """Remembers bugs and troubles, in place of L{umbcmail.maillog.MailLog}.

    @ivar bugs: triples of id, place and L{twisted.python.failure.Failure}.
    @ivar troubles: triples of id, place and text.
    """

    def __init__(self) -> None:
        self.bugs: list[tuple[str, str, Any]] = []
        self.troubles: list[tuple[str, str, str]] = []

    def bug(self, id: str, where: str, failure: Any) -> None:
        """See L{MailLog.bug}."""
        self.bugs.append((id, where, failure))

    def trouble(self, id: str, where: str, why: str) -> None:
        """See L{MailLog.trouble}."""
        self.troubles.append((id, where, why))
