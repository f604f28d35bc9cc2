"""Mail hosts by MX records (RFC 5321 section 5.1, RFC 7505).

The router asks for domains that nothing is configured for.  What is certainly
so (no such domain, no mail host, a loop back to us) fails for good; as soon as a
needed answer is missing, the mail waits.  A missing MX answer never leads to the
address of the domain.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from typing import Any

from twisted.internet.abstract import isIPAddress
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, succeed

from umbcmail import reply
from umbcmail.destination import Hop, NoAnswer, NoSuchName
from umbcmail.interfaces import IResolver
from umbcmail.reply import Reply
from umbcmail.route.answers import wireName

ENOUGH = 8
"""Hops after which no more mail hosts are looked up."""
TOGETHER = 4
"""Mail hosts that are looked up at the same time."""
PER_HOST = 4
"""Addresses of one mail host that are tried, so that one host with many does not
keep the others from being tried."""

Exchange = tuple[int, str]
"""Preference and host."""


class Exchanges:
    """Finds the mail hosts of domains."""

    def __init__(
        self,
        resolver: IResolver,
        shuffle: Callable[[list[Exchange]], None],
        ownNames: Collection[str],
        isOwn: Callable[[str], bool],
        allowLoopback: bool = False,
        port: int = 25,
    ) -> None:
        """
        @param shuffle: brings a list in some order, in place.
        @param ownNames: names of this system in MX records, lower case.
        @param isOwn: whether an IP address is one of this host.
        @param allowLoopback: go to loopback and own addresses too.
        """
        self._resolver = resolver
        self._shuffle = shuffle
        self._ownNames = ownNames
        self._isOwn = isOwn
        self._allowLoopback = allowLoopback
        self._port = port

    @inlineCallbacks
    def find(self, domain: str) -> Any:
        """The way to a domain.

        @return: L{Deferred} of a tuple of L{Hop}, at least one, in order of
            preference, or of the L{Reply} that says why there is none.
        """
        try:
            records = yield self._resolver.mailExchanges(domain)
        except NoSuchName:
            return _named(reply.noSuchDomain, domain, reply.NO_SUCH_DOMAIN)
        except NoAnswer:
            return reply.NO_ROUTE_YET
        named = sorted(record for record in records if record[1])
        if records and not named:
            return reply.NULL_MX
        worst = min((preference for preference, host in named if host in self._ownNames), default=None)
        exchanges = [record for record in named or [(0, domain)] if worst is None or record[0] < worst]
        if not exchanges:
            return reply.LOOPS_BACK
        search = _Search(self._port, self._isUsable, self._isLoop)
        for some in _by(TOGETHER, self._shuffled(exchanges)):
            found = yield gatherResults([self._addresses(host) for _, host in some], consumeErrors=True)
            for exchange, addresses in zip(some, found, strict=True):
                search.add(exchange, addresses)
            if search.isOver:
                break
        result = search.result()
        return _named(reply.noMailHost, domain, result) if result is reply.NO_MAIL_HOST else result

    def _shuffled(self, exchanges: list[Exchange]) -> list[Exchange]:
        """In order of preference, equal ones in some order."""
        ordered: list[Exchange] = []
        for level in sorted({preference for preference, _ in exchanges}):
            equal = [exchange for exchange in exchanges if exchange[0] == level]
            self._shuffle(equal)
            ordered += equal
        return ordered

    def _addresses(self, host: str) -> Deferred[list[str] | None]:
        """Addresses of a mail host, L{None} when they can't be told now."""
        if isIPAddress(host):  # an address is not a host name, RFC 1035 section 3.3.9
            return succeed([])
        found: Deferred[Any] = self._resolver.addresses(host)
        found.addCallback(self._surely, host)
        return found.addErrback(_missing)

    def _surely(self, addresses: list[str], host: str) -> list[str] | Deferred[list[str]]:
        """Where none of the addresses is of use, that the host has none of the other
        family must be known, and not only have had no answer."""
        families = {6 if ":" in address else 4 for address in addresses}
        if len(families) != 1 or any(map(self._isUsable, addresses)):
            return addresses
        others: Deferred[Any] = self._resolver.addresses(host, 4 if families == {6} else 6)
        return others

    # Addresses

    def _isUsable(self, address: str) -> bool:
        """Whether mail can be sent there at all."""
        ip = ipaddress.ip_address(address)
        return not (ip.is_link_local or ip.is_multicast or (ip.version == 4 and ip.is_reserved))

    def _isLoop(self, address: str) -> str:
        """C{"loopback"}, C{"own"} or C{""}."""
        if self._allowLoopback:
            return ""
        ip = ipaddress.ip_address(address)
        if ip.is_loopback or ip.is_unspecified or (ip.version == 4 and address.startswith("0.")):
            return "loopback"
        return "own" if self._isOwn(address) else ""

    def literal(self, address: str) -> tuple[Hop, ...] | Reply:
        """The way to an address literal (RFC 5321 section 4.1.3).

        @param address: the IP address in it.
        """
        search = _Search(self._port, self._isUsable, self._isLoop)
        search.add((0, f"[{address}]"), [address])
        return search.result()


def _named(made: Callable[[str], Reply], domain: str, otherwise: Reply) -> Reply:
    """A reply with the name of a domain as it is in the DNS, which peers can read
    whatever the domain is in the address; another one where no such name can be."""
    try:
        return made(wireName(domain).decode("ascii"))
    except (NoSuchName, UnicodeError):
        return otherwise


def _missing(failure: Any) -> list[str] | None:
    return [] if failure.trap(NoSuchName, NoAnswer) is NoSuchName else None


def _by(count: int, exchanges: list[Exchange]) -> Iterator[list[Exchange]]:
    for at in range(0, len(exchanges), count):
        yield exchanges[at : at + count]


def _mixed(addresses: list[str]) -> list[str]:
    """The first few, of both families in turn, IPv4 first: a host without IPv6
    then loses no time."""
    families = [[a for a in addresses if ":" not in a], [a for a in addresses if ":" in a]]
    ranked = [(at, family, a) for family, some in enumerate(families) for at, a in enumerate(some)]
    return [address for _, _, address in sorted(ranked)[:PER_HOST]]


class _Search:
    """What has been found so far, in order of preference."""

    def __init__(self, port: int, isUsable: Callable[[str], bool], isLoop: Callable[[str], str]) -> None:
        self._port = port
        self._isUsable = isUsable
        self._isLoop = isLoop
        self._hops: list[tuple[int, Hop]] = []
        self._unknown: list[int] = []
        self._loops = False
        self._own: int | None = None

    @property
    def isOver(self) -> bool:
        """Nothing better can come."""
        return self._own is not None or len(self._hops) >= ENOUGH

    def add(self, exchange: Exchange, addresses: list[str] | None) -> None:
        """One more mail host."""
        preference, host = exchange
        if addresses is None:
            self._unknown.append(preference)
            return
        usable = [address for address in addresses if self._isUsable(address)]
        kinds = {address: self._isLoop(address) for address in usable}
        self._loops = self._loops or any(kinds.values())
        if "own" in kinds.values() and self._own is None:
            self._own = preference
        for address in _mixed([address for address in usable if not kinds[address]]):
            self._hops.append((preference, Hop(host, address, self._port)))

    def result(self) -> tuple[Hop, ...] | Reply:
        """Hops, or why there are none: what is as far from the destination as
        we are, or further, is left out (RFC 5321 section 5.1)."""
        hops = tuple(hop for preference, hop in self._hops if self._isNearer(preference))
        if hops:
            return hops
        if any(self._isNearer(preference) for preference in self._unknown):
            return reply.NO_ROUTE_YET
        return reply.LOOPS_BACK if self._loops else reply.NO_MAIL_HOST

    def _isNearer(self, preference: int) -> bool:
        return self._own is None or preference < self._own
