"""Who may add what: L{umbcmail.drac.admission}, and the allow file of L{umbcmail.drac.server}."""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.clientaddress import AddressSet, ruleOf
from umbcmail.drac import admission as module
from umbcmail.drac.admission import FULL, INDIRECT, NEVER, PORT, UNLISTED, Admission, Allowance
from umbcmail.drac.clients import readRules
from umbcmail.drac.server import AllowFile
from umbcmail.maillog import MailLog

CLIENT = "192.0.2.1"


def admission(*never: str, **named: Any) -> Admission:
    """192.0.2.0/24 and loopback may add."""
    networks = [ip_network(text) for text in ("192.0.2.0/24", "127.0.0.0/8", "::1")]
    return Admission(AddressSet(map(ruleOf, networks)), [ip_network(text) for text in never], **named)


class AdmissionTests(SynchronousTestCase):
    """Why a client may not add an address."""

    def test_reasons(self) -> None:
        """The first that applies."""
        some = admission("198.51.100.0/24", "2001:db8:1::/48", reservedPorts=True)
        some.own = frozenset(["203.0.113.5"])
        for address, client, port, expected in (
            ("203.0.113.1", CLIENT, 1023, ""),
            ("2001:db8::1", CLIENT, 1023, ""),
            ("203.0.113.1", "192.0.3.1", 1023, UNLISTED),
            ("203.0.113.1", CLIENT, 1024, PORT),
            ("198.51.100.7", CLIENT, 1023, NEVER),
            ("2001:db8:1::7", CLIENT, 1023, NEVER),
            ("203.0.113.5", CLIENT, 1023, NEVER),
            ("127.1.2.3", CLIENT, 1023, NEVER),
            ("fe80::1", CLIENT, 1023, NEVER),
            ("::", CLIENT, 1023, NEVER),
        ):
            self.assertEqual(some.refusal(address, client, port, True), expected, (address, client, port))

    def test_indirect(self) -> None:
        """While rpcbind hands on calls of others, what comes by UDP from this host may be anybody's."""
        some = admission()
        some.own = frozenset([CLIENT])
        hosts = [("127.0.0.1", INDIRECT), ("::1", INDIRECT), (CLIENT, INDIRECT), ("192.0.2.2", "")]
        for client, expected in hosts:
            self.assertEqual(some.refusal("203.0.113.1", client, 5, True), "")
            some.isIndirect = True
            self.assertEqual(some.refusal("203.0.113.1", client, 5, True), expected)
            self.assertEqual(some.refusal("203.0.113.1", client, 5, False), "")
            some.isIndirect = False

    def test_caps(self) -> None:
        """So many for each client, so many for all; what is given back does not count, and time gives back too."""
        some = admission(perClient=2, inAll=3, lifetime=100.0)
        self.assertEqual([some.take("a", 0.0) for _ in range(3)], [True, True, False])
        self.assertEqual([some.take("b", 0.0) for _ in range(2)], [True, False])
        some.giveBack("a")
        self.assertEqual([some.take("a", 0.0), some.take("a", 0.0)], [True, False])
        self.assertEqual([some.take("a", 40.0), some.take("b", 40.0)], [False, True])
        self.assertEqual(some.take("a", 50.0), False)  # of all, only one has come back by then
        self.assertTrue(some.take("a", 90.0))
        self.assertTrue(all(admission().take("a", 0.0) for _ in range(100)))
        self.assertEqual(FULL, "full")

    def test_remembered(self) -> None:
        """Of very many clients those are forgotten that have not been heard of for the longest."""
        self.patch(module, "REMEMBERED", 2)
        some = Allowance(1, 100.0)
        self.assertEqual([some.take(client, 0.0) for client in "abacab"], [True, True, False, True, False, True])

    def test_clockBack(self) -> None:
        """A clock that is set back gives nothing and takes nothing."""
        some = Allowance(1, 100.0)
        self.assertEqual([some.take("a", now) for now in (1000.0, 0.0, 99.0, 101.0)], [True, False, False, True])


class AllowFileTests(SynchronousTestCase):
    """C{dracd.allow}, which may change, be broken, or be away."""

    def test_rules(self) -> None:
        """What the genuine server reads is read the same, CIDR besides; the numbers of other lines are told."""
        lines = ["# x", "255.0.0.0 10.0.0.0 more", "", " 255.0.0.0 11.0.0.0", "10.0.0.0/8", "x y", "2001:db8::/32"]
        rules, unread = readRules("\n".join(lines))
        self.assertEqual(rules, [ruleOf(ip_network(n)) for n in ("10.0.0.0/8", "10.0.0.0/8", "2001:db8::/32")])
        self.assertEqual(unread, [4, 6])

    def test_file(self) -> None:
        """It is read when it has changed; when it can't be read, what it said before holds, and that is told once."""
        lines: list[bytes] = []
        clock = Clock()
        log = MailLog(lines.append, clock)
        some = admission()
        path = os.path.abspath(self.mktemp())
        file = AllowFile(path, [ip_network("192.0.2.0/24")], some, log)

        def look() -> tuple[bool, bool, bool]:
            file.look()()
            return tuple(map(some.clients.holds, (CLIENT, "10.0.0.1", "11.0.0.1")))  # type: ignore[return-value]

        def write(text: str) -> None:
            with open(path + ".new", "w") as new:
                new.write(text)
            os.rename(path + ".new", path)

        self.assertEqual((look(), file.trouble), ((True, False, False), "drac.allow-file: No such file or directory"))
        write("255.0.0.0 10.0.0.0\n")
        self.assertEqual((look(), file.trouble), ((True, True, False), ""))
        write("11.0.0.0/8\nnonsense\n")
        self.assertEqual(look(), (True, False, True))
        os.unlink(path)
        self.assertEqual((look(), look()), ((True, False, True),) * 2)
        self.assertNotEqual(file.trouble, "")
        log.flush()
        text = b"".join(lines).decode()
        self.assertEqual((text.count(" trouble "), text.count(" drac-clients ")), (2, 2))
        self.assertIn("rules=1 unread=2", text)
        self.assertIn("127.0.0.1", some.own)
