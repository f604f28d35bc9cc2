"""L{umbcmail.check.networks} and L{umbcmail.clientaddress}: where a client is."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeResolver
from umbcmail import clientaddress
from umbcmail.check.networks import NAMES, OPTIONS, NetworkSet, NetworksRule, make
from umbcmail.clientaddress import clientAddress
from umbcmail.destination import NoAnswer
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule
from umbcmail.reply import CLIENT_NAME_YET
from umbcmail.verdict import Answer, Verdict

NETWORK = st.one_of(
    st.builds(lambda n, p: ipaddress.ip_network((n, p), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)),
    st.builds(
        lambda n, p: ipaddress.ip_network((ipaddress.IPv6Address(n), p), strict=False),
        st.integers(2**33, 2**128 - 1),
        st.integers(0, 128),
    ),
)


class ClientAddressTests(SynchronousTestCase):
    """One client has one address."""

    def test_oneForm(self) -> None:
        """Mapped addresses become IPv4, scopes go, IPv6 is as short as can be."""
        forms = {
            "192.0.2.1": "192.0.2.1",
            "::ffff:192.0.2.1": "192.0.2.1",
            "::FFFF:C000:201": "192.0.2.1",
            "fe80::1%eth0": "fe80::1",
            "2001:DB8:0:0::1": "2001:db8::1",
            "/run/socket": "/run/socket",
            "": "",
        }
        self.assertEqual(forms, {form: clientAddress(form) for form in forms})


class NetworkSetTests(SynchronousTestCase):
    """Addresses are in networks or not."""

    @given(st.lists(NETWORK, max_size=8), st.ip_addresses())
    def test_sameAsIpaddress(self, some: list[Any], address: Any) -> None:
        """The answer is that of the ipaddress module, the second time too."""
        if getattr(address, "ipv4_mapped", None):
            address = address.ipv4_mapped
        expected = any(address in network for network in some)
        found = NetworkSet(some)
        self.assertEqual([expected] * 2, [found.holds(str(address)), found.holds(str(address))])
        for network in some:
            for edge in (network.network_address, network[-1]):
                if not getattr(edge, "ipv4_mapped", None):  # those are IPv4 addresses
                    self.assertTrue(found.holds(str(edge)))

    def test_forms(self) -> None:
        """However the address is written."""
        found = NetworkSet([ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("fe80::/10")])
        self.assertTrue(all(map(found.holds, ("192.0.2.7", "::ffff:192.0.2.7", "fe80::1%eth0"))))

    def test_noAddress(self) -> None:
        """What is no address is in no network, not even in that of all."""
        everything = NetworkSet([ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")])
        for text in ("", "x", "192.0.2", "192.0.2.1\0", "/run/socket", "1:2", "\u0661.2.3.4"):
            self.assertFalse(everything.holds(text), text)

    def test_families(self) -> None:
        """IPv4 in general says nothing about IPv6."""
        self.assertFalse(NetworkSet([ipaddress.ip_network("0.0.0.0/0")]).holds("2001:db8::1"))

    def test_memoryIsBounded(self) -> None:
        """Ever new clients do not fill the memory."""
        self.patch(clientaddress, "REMEMBERED", 10)
        found = NetworkSet([ipaddress.ip_network("10.0.0.0/8")])
        for number in range(100):
            self.assertTrue(found.holds(f"10.0.0.{number}"))
            self.assertLessEqual(len(found._memo), 10)


class NetworksRuleTests(SynchronousTestCase):
    """Clients of trusted networks and domains may relay."""

    def judge(self, client: Client, pointers: Any = None, addresses: Any = None, **more: Any) -> Any:
        """What a rule for 192.0.2.0/24 and C{umbc.edu} says."""
        self.dns = FakeResolver(pointers=pointers, addresses=addresses)
        rule = NetworksRule([ipaddress.ip_network("192.0.2.0/24")], more.get("domains", ["umbc.edu"]), self.dns)
        said = rule.judge(client, "s@x.test", Recipient("r@z.test"))
        return self.successResultOf(said) if isinstance(said, Deferred) else said

    def named(self, names: Any, addresses: Any = None, address: str = "198.51.100.1") -> Verdict:
        """What it says about a client whose address points to names."""
        return self.judge(Client(address), {address: names}, addresses)  # type: ignore[no-any-return]

    def test_interface(self) -> None:
        """It is a rule."""
        verifyObject(IRelayRule, NetworksRule([], [], FakeResolver()))

    def test_network(self) -> None:
        """An address in a network is permitted at once, without a question."""
        self.assertIs(Answer.PERMIT, self.judge(Client("192.0.2.200")).answer)
        self.assertEqual([], self.dns.asked)

    def test_noDomains(self) -> None:
        """Where no domain is trusted no name is looked up."""
        self.assertIs(Answer.NO_OPINION, self.judge(Client("198.51.100.1"), domains=[]).answer)
        self.assertEqual([], self.dns.asked)

    def test_forwardConfirmed(self) -> None:
        """A name in the domain that has the address; the domain itself, and IPv6 too."""
        for name, address in (
            ("pc.cs.umbc.edu", "198.51.100.1"),
            ("umbc.edu", "198.51.100.1"),
            ("pc.umbc.edu", "2001:db8::1"),
        ):
            said = self.named([name], {name: ["203.0.113.1", "198.51.100.1", "2001:0db8::1"]}, address)
            self.assertIs(Answer.PERMIT, said.answer)

    def test_notConfirmed(self) -> None:
        """Anybody can point an address to our names: the name must have the address."""
        for addresses in ({"pc.umbc.edu": ["203.0.113.1"]}, {"pc.umbc.edu": []}, {}):
            self.assertIs(Answer.NO_OPINION, self.named(["pc.umbc.edu"], addresses).answer)

    def test_otherDomains(self) -> None:
        """Names that merely look like ours are not even looked up."""
        names = ["notumbc.edu", "umbc.edu.evil.test", "edu", ""]
        self.assertIs(Answer.NO_OPINION, self.named(names, {name: ["198.51.100.1"] for name in names}).answer)
        self.assertEqual([("PTR", "198.51.100.1")], self.dns.asked)

    def test_noName(self) -> None:
        """A client without a name is none of ours."""
        self.assertIs(Answer.NO_OPINION, self.judge(Client("198.51.100.1")).answer)
        self.assertIs(Answer.NO_OPINION, self.named([]).answer)

    def test_unknown(self) -> None:
        """What can't be told now delays: a refusal would be for good."""
        delayed = [self.named(NoAnswer()), self.named(["pc.umbc.edu"], {"pc.umbc.edu": NoAnswer()})]
        self.assertEqual([CLIENT_NAME_YET] * 2, [said.reply for said in delayed])
        self.assertEqual([Answer.DELAY] * 2, [said.answer for said in delayed])

    def test_oneOfSeveral(self) -> None:
        """One name that fits is enough, whatever the others do."""
        addresses = {"a.umbc.edu": NoAnswer(), "c.umbc.edu": ["198.51.100.1"]}
        self.assertIs(Answer.PERMIT, self.named(["a.umbc.edu", "b.umbc.edu", "c.umbc.edu"], addresses).answer)

    def test_manyNames(self) -> None:
        """A client with endless names does not keep the DNS busy."""
        self.assertIs(Answer.NO_OPINION, self.named([f"{n}.umbc.edu" for n in range(1000)]).answer)
        self.assertEqual(1 + NAMES, len(self.dns.asked))

    def test_knownName(self) -> None:
        """A name that the session has confirmed is not looked up again."""
        self.assertIs(Answer.PERMIT, self.judge(Client("198.51.100.1", name="pc.umbc.edu")).answer)
        self.assertEqual([], self.dns.asked)

    def test_addressForms(self) -> None:
        """A mapped address is asked for as IPv4."""
        said = self.judge(
            Client("::ffff:198.51.100.1"), {"198.51.100.1": ["pc.umbc.edu"]}, {"pc.umbc.edu": ["198.51.100.1"]}
        )
        self.assertIs(Answer.PERMIT, said.answer)

    def test_noClientAddress(self) -> None:
        """A client without an address is none of ours."""
        self.assertIs(Answer.NO_OPINION, self.judge(Client()).answer)

    def test_make(self) -> None:
        """It is made from the configured list of networks and domains."""
        dns = FakeResolver(pointers={"198.51.100.1": ["a.umbc.edu"]}, addresses={"a.umbc.edu": ["198.51.100.1"]})
        settings = {OPTIONS[0].name: OPTIONS[0].kind.parse(["192.0.2.0/24", "UMBC.edu", "2001:db8::1"])}
        rule = make(settings, SimpleNamespace(resolver=dns))
        for address in ("192.0.2.1", "2001:db8::1", "198.51.100.1"):
            said = rule.judge(Client(address), "", Recipient("r@z.test"))
            answer = self.successResultOf(said) if isinstance(said, Deferred) else said
            self.assertIs(Answer.PERMIT, answer.answer)
