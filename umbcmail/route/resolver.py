"""Questions to the DNS with three kinds of answers: found, not there, don't know.

The router asks for mail hosts, the relay rules for names of clients.  Answers are
remembered as long as they say, equal questions at the same time are asked once.
SERVFAIL, REFUSED, no answer in time and nonsense are all L{NoAnswer}, which is
remembered for a short time: the longer it took to find out, the longer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, inlineCallbacks, succeed
from twisted.names import dns
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.figure import Figure
from umbcmail.interfaces import IResolver, IWatched
from umbcmail.options import BOOLEAN, Kind, Option, Section, duration, hostPort, integer, listOf
from umbcmail.route.answers import ADDRESSES, CHAIN, NEGATIVE, Answer, read, textName, wireName
from umbcmail.route.cache import Cache
from umbcmail.route.servers import Servers

REMEMBERED = 10_000
"""Answers that are kept."""
FAILED = 60.0
"""Seconds that a question without an answer is remembered at the most."""
SPARED = 10
"""How many times as long as it took to find out that is remembered."""
SILENCE = 20
"""Questions in a row without an answer after which it is not the domains' fault."""


def nameServer(value: Any) -> tuple[str, int]:
    """Address and port (0: that of the DNS) of a name server.

    @raise ValueError: it is none.
    """
    host, port = hostPort(value)
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise ValueError("the IP address of a name server is needed") from None


DNS = Section(
    "dns",
    "How the DNS is asked.",
    (
        Option(
            "servers",
            listOf(Kind("address or address:port", nameServer)),
            [],
            "Name servers, asked in this order; with none those of /etc/resolv.conf.",
        ),
        Option("timeout", duration(0.1, 60), "5s", "How long to wait for one answer of one server."),
        Option(
            "attempts",
            integer(2, 10),
            2,
            "How often each server is asked; two at least, since no domain is taken as missing on one word.",
        ),
        Option(
            "second-look",
            duration(0, 86400),
            "5m",
            "How much later a domain that has not been found is looked up again before its mail is returned;"
            " 0s: it counts at once.",
        ),
        Option(
            "allow-loopback",
            BOOLEAN,
            False,
            "Let MX records lead to loopback addresses and to our own; for tests.",
        ),
        Option("mx-port", integer(1, 65535), 25, "TCP port of the hosts that MX records lead to; for tests."),
    ),
)


@implementer(IResolver, IWatched)
class DNSResolver:
    """Asks name servers.

    @ivar name: see L{IWatched}.
    @ivar servers: whom it asks, with a method C{ask} like that of L{Servers}.
    """

    name = "dns"

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[tuple[str, int]] = (),
        timeout: float = 5.0,
        attempts: int = 2,
        asked: Any = None,
        negative: float = NEGATIVE,
    ) -> None:
        """
        @param servers: IP addresses and ports (0 is 53), else those of
            C{/etc/resolv.conf}.
        @param timeout: seconds to wait for one answer of one server.
        @param attempts: how often each server is asked.
        @param asked: in place of L{Servers}.
        @param negative: seconds that "there is none" is remembered at the most.
        """
        self.servers = asked or Servers(reactor, servers, timeout, attempts)
        self._negative = negative
        self._now = reactor.seconds
        self._cache = Cache(REMEMBERED, reactor.seconds)
        self._waiting: dict[tuple[bytes, int], list[Deferred[Any]]] = {}
        self._asked = self._known = self._unanswered = self._silence = 0

    # The questions

    def mailExchanges(self, domain: str) -> Deferred[list[tuple[int, str]]]:
        """See L{IResolver.mailExchanges}; sorted, 50 at the most."""
        return self._find(domain, dns.MX)

    def addresses(self, name: str, family: int = 0) -> Deferred[list[str]]:
        """See L{IResolver.addresses}; 20 at the most, IPv4 first."""
        if family:
            return self._find(name, dns.AAAA if family == 6 else dns.A)
        both = gatherResults([self._find(name, kind).addErrback(_kept) for kind in (dns.A, dns.AAAA)])
        return both.addCallbacks(_joined, _inner)

    def pointers(self, address: str) -> Deferred[list[str]]:
        """See L{IResolver.pointers}."""
        try:
            name = ipaddress.ip_address(address).reverse_pointer
        except ValueError:
            return fail(NoSuchName(address))
        return self._find(name, dns.PTR, False)

    def listing(self, name: str) -> Deferred[list[str]]:
        """See L{IResolver.listing}."""
        return self._find(name, dns.A, False)

    def texts(self, name: str) -> Deferred[list[str]]:
        """See L{IResolver.texts}; 20 at the most."""
        return self._find(name, dns.TXT, False)

    # One question

    def _find(self, name: str, kind: int, twice: bool = True) -> Deferred[list[Any]]:
        """From what is remembered, or by asking; who asks what is being asked
        already waits for the same answer.

        @param twice: "no such name" counts only when it is said a second time.
        """
        try:
            key = (wireName(name), kind)
        except NoSuchName:
            return fail()
        answer = self._cache.get(key)
        self._asked += 1
        if answer is not None:
            self._known += 1
            return _told(answer, name)
        waiter: Deferred[list[Any]] = Deferred()
        others = self._waiting.get(key)
        if others is not None:
            others.append(waiter)
            return waiter
        self._waiting[key] = [waiter]
        self._chased(*key, twice).addBoth(self._answered, key, self._now())
        return waiter

    @inlineCallbacks
    def _chased(self, name: bytes, kind: int, twice: bool) -> Any:
        """Ask, and ask again for the alias when a server does not follow it."""
        seconds = float("inf")
        for _ in range(CHAIN):
            message = yield self.servers.ask(name, kind, twice)
            answer = read(message, name, kind)
            seconds = min(seconds, answer.seconds)
            if not answer.alias:
                return Answer(answer.found, seconds)
            name = wireName(answer.alias)
        raise NoAnswer("too many aliases")

    def _answered(self, result: Any, key: tuple[bytes, int], asked: float) -> None:
        """An answer, or none.  That there is none is remembered ten times as long as it took
        to find out: domains whose servers are silent then can't fill all places of a class
        with mail that waits for them, and what fails at once is asked again soon (RFC 9520
        section 3.2 has longer times, for who asks the world)."""
        waiters = self._waiting.pop(key)
        if isinstance(result, Answer):
            self._silence = 0
            self._cache.put(key, result, result.seconds if result.found else min(result.seconds, self._negative))
            for waiter in waiters:
                _told(result, textName(key[0])).chainDeferred(waiter)
        else:
            self._unanswered += 1
            self._silence += 1
            if result.check(NoAnswer):
                self._cache.put(key, NoAnswer, min(FAILED, SPARED * (self._now() - asked)))
            for waiter in waiters:
                waiter.errback(Failure(result.value))

    # For who watches

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        if self._silence < SILENCE:
            return ""
        return f"the last {self._silence} questions had no answer: mail that needs the DNS waits"

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        return [
            Figure("dns_questions_total", self._asked, "Questions to the DNS, remembered answers included.", (), True),
            Figure("dns_known_total", self._known, "Questions to the DNS whose answer was remembered.", (), True),
            Figure("dns_unanswered_total", self._unanswered, "Questions that no name server could answer.", (), True),
            Figure("dns_waiting", len(self._waiting), "Questions that wait for an answer."),
            Figure("dns_remembered", len(self._cache), "Answers that are remembered."),
        ]


def _told(answer: Answer | type[NoAnswer], name: str) -> Deferred[list[Any]]:
    if not isinstance(answer, Answer):
        return fail(NoAnswer(name))
    return fail(NoSuchName(name)) if answer.found is None else succeed(list(answer.found))


def _kept(failure: Any) -> Exception:
    """That one of two questions is not answered, as a value."""
    failure.trap(NoSuchName, NoAnswer)
    error: Exception = failure.value
    return error


def _inner(failure: Any) -> Any:
    """The failure inside of what L{gatherResults} reports."""
    return failure.value.subFailure


def _joined(found: list[Any]) -> list[str]:
    """Both families together.  A server that says "no such name" of IPv6 only is a
    known fault, so that is believed when it is said of both."""
    addresses = [address for some in found if isinstance(some, list) for address in some]
    if addresses:
        return list(dict.fromkeys(addresses))[:ADDRESSES]
    errors = [some for some in found if isinstance(some, Exception)]
    for error in errors:
        if isinstance(error, NoAnswer):
            raise error
    if len(errors) == len(found):
        raise errors[0]
    return []


def makeResolver(reactor: Any, settings: Mapping[str, Any]) -> DNSResolver:
    """The resolver of the configuration.

    @param settings: section C{dns}.
    """
    # No longer than half of the way to the second look, which must not be answered by what the first one heard.
    negative = settings["second-look"] / 2 or NEGATIVE
    return DNSResolver(reactor, settings["servers"], settings["timeout"], settings["attempts"], negative=negative)
