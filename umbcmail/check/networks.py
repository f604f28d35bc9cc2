"""The rule C{networks}: clients in trusted networks or domains may relay.

An address is in a network, or its name is in a domain.  A name counts when it is
forward-confirmed: the address points to the name, and the name has the address.
What the DNS can't tell now delays, for "not trusted" would be a refusal for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import implementer

from umbcmail.clientaddress import AddressSet, clientAddress, ruleOf
from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule, IResolver
from umbcmail.options import NETWORK_OR_DOMAIN, Option, listOf
from umbcmail.reply import CLIENT_NAME_YET
from umbcmail.verdict import Verdict, delay, noOpinion, permit

OPTIONS = (
    Option(
        "trusted",
        listOf(NETWORK_OR_DOMAIN),
        [],
        "Networks, and domains of client names (with all below them), that may send mail to anywhere.",
    ),
)

NAMES = 8
"""Names of one client that are looked up."""


class NetworkSet(AddressSet):
    """IP networks."""

    def __init__(self, networks: Iterable[Any]) -> None:
        """
        @param networks: C{ipaddress} networks, both families.
        """
        AddressSet.__init__(self, map(ruleOf, networks))


_IN_NETWORK = permit("the address is in a trusted network")
_IN_DOMAIN = permit("the name is in a trusted domain")
_ELSEWHERE = noOpinion("the address is in no trusted network")
_NAMELESS = noOpinion("the address is in no trusted network and has no name")


@inlineCallbacks
def hasAddress(resolver: IResolver, name: str, address: str) -> Any:
    """Whether a name has the address that points to it.

    @param address: as L{clientAddress} writes it.
    @return: L{Deferred} of a bool, or L{None}: the DNS can't tell now.
    """
    try:
        addresses = yield resolver.addresses(name, 6 if ":" in address else 4)
    except NoSuchName:
        return False
    except NoAnswer:
        return None
    return address in map(clientAddress, addresses)


@inlineCallbacks
def confirmedName(resolver: IResolver, address: str) -> Any:
    """The first name of an address that has it.

    @return: L{Deferred} of a str, C{""}: there is none, or the DNS can't tell now.
    """
    try:
        names = yield resolver.pointers(address)
    except (NoSuchName, NoAnswer):
        return ""
    for name in names[:NAMES]:
        if (yield hasAddress(resolver, name, clientAddress(address))):
            return name
    return ""


@implementer(IRelayRule)
class NetworksRule:
    """Permits clients of trusted networks and domains; has no opinion on others."""

    def __init__(self, networks: Iterable[Any], domains: Iterable[str], resolver: IResolver) -> None:
        """
        @param networks: C{ipaddress} networks.
        @param domains: lower case; names below them count too.
        """
        self._networks = NetworkSet(networks)
        self._domains = tuple(domains)
        self._endings = tuple(f".{domain}" for domain in self._domains)
        self._resolver = resolver

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayRule.judge}; waits only where a name must be looked up."""
        if self._networks.holds(client.address):
            return _IN_NETWORK
        if not self._domains or not client.address:
            return _ELSEWHERE
        if self._isTrusted(client.name):  # forward-confirmed already
            return _IN_DOMAIN
        asked: Deferred[Verdict] = self._byName(clientAddress(client.address))
        return asked

    def _isTrusted(self, name: str) -> bool:
        return name in self._domains or name.endswith(self._endings)

    @inlineCallbacks
    def _byName(self, address: str) -> Any:
        try:
            names = yield self._resolver.pointers(address)
        except NoSuchName:
            return _NAMELESS
        except NoAnswer:
            return delay(CLIENT_NAME_YET, f"no answer about the name of {address}")
        unsure = ""
        trusted = [name for name in names if self._isTrusted(name)][:NAMES]
        for name in trusted:
            found = yield hasAddress(self._resolver, name, address)
            if found:
                return _IN_DOMAIN
            if found is None:
                unsure = name
        if unsure:
            return delay(CLIENT_NAME_YET, f"no answer about the addresses of {unsure}")
        if trusted:
            return noOpinion(f"the name {trusted[0]} is in a trusted domain, but does not have the address")
        return noOpinion(f"the name {names[0]} is in no trusted domain") if names else _NAMELESS


def make(settings: Mapping[str, Any], tools: Any) -> NetworksRule:
    """The rule, as configured; see L{umbcmail.interfaces.IPart.make}."""
    trusted: Sequence[Any] = settings["trusted"]
    domains = [each for each in trusted if isinstance(each, str)]
    return NetworksRule([each for each in trusted if not isinstance(each, str)], domains, tools.resolver)
