"""Answers of name servers as messages, and name servers that give them, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns

SOA = dns.Record_SOA(b"ns.test", b"admin.test", 1, 60, 60, 60, minimum=120)


def record(name: str, payload: Any, ttl: int = 300) -> Any:
    """A record of an answer."""
    return dns.RRHeader(name.encode(), payload.TYPE, dns.IN, ttl, payload)


def message(*answers: Any, authority: Any = (), code: int = dns.OK) -> Any:
    """An answer, which has gone over the wire once, so that it is what comes from there."""
    made = dns.Message(1, answer=1, rCode=code, maxSize=0)
    made.answers, made.authority = list(answers), list(authority)
    found = dns.Message()
    found.fromStr(made.toStr())
    return found


def nothing(ttl: int = 300, code: int = dns.OK) -> Any:
    """There are no such records, or is no such name."""
    return message(authority=[record("test", SOA, ttl)], code=code)


class FakeServers:
    """Answers from a dictionary of name and type; others do not exist."""

    def __init__(self, **kinds: Any) -> None:
        self.answers: dict[tuple[bytes, int], Any] = {}
        self.asked: list[tuple[bytes, int]] = []
        self.twice: list[bool] = []

    def ask(self, name: bytes, kind: int, twice: bool) -> Deferred[Any]:
        """See L{umbcmail.route.servers.Servers.ask}."""
        self.asked.append((name, kind))
        self.twice.append(twice)
        found = self.answers.get((name, kind), nothing(code=dns.ENAME))
        if isinstance(found, Deferred):
            return found
        return fail(found) if isinstance(found, Exception) else succeed(found)
