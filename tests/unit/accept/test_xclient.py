"""L{umbcmail.accept.xclient}: the client that a filter speaks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.grammar import CommandError
from umbcmail.accept.xclient import introduced
from umbcmail.envelope import Client

FILTER = Client("192.0.2.1", 99, "filter.test", "filter.test", True, "TLSv1.3 X", "robot")


class XclientTests(SynchronousTestCase):
    """The command's argument."""

    def test_all(self) -> None:
        """Each attribute, in any case and order, and in xtext."""
        self.assertEqual(
            introduced(FILTER, "helo=c.test NAME=C.Test ADDR=198.51.100.7 port=4711 Proto=esmtp LOGIN=a+2Bb+3D@y.test"),
            Client("198.51.100.7", 4711, "c.test", "c.test", True, "TLSv1.3 X", "a+b=@y.test"),
        )

    def test_addresses(self) -> None:
        """IPv6 has its prefix; what is IPv4 inside is IPv4."""
        for text, address in (
            ("IPV6:2001:DB8::0:7", "2001:db8::7"),
            ("ipv6:::ffff:192.0.2.9", "192.0.2.9"),
            ("IPV6:fe80::1%25eth0".replace("%25", "%"), "fe80::1"),
            ("[UNAVAILABLE]", ""),
            ("+5BUNAVAILABLE+5D", ""),
        ):
            self.assertEqual(introduced(FILTER, f"ADDR={text}").address, address)

    def test_addressBeginsAnew(self) -> None:
        """With an address nothing of the client before it counts; TLS is ours."""
        self.assertEqual(introduced(FILTER, "ADDR=192.0.2.9"), Client("192.0.2.9", tls="TLSv1.3 X"))

    def test_more(self) -> None:
        """Without one, what is given is added."""
        client = introduced(FILTER, "ADDR=192.0.2.9 NAME=a.test")
        client = introduced(client, "LOGIN=ann")
        client = introduced(client, "HELO=[IPv6:::1] PROTO=SMTP")
        self.assertEqual(client, Client("192.0.2.9", 0, "a.test", "[IPv6:::1]", False, "TLSv1.3 X", "ann"))

    def test_unknown(self) -> None:
        """[UNAVAILABLE] and [TEMPUNAVAIL] are nothing."""
        client = introduced(FILTER, "NAME=[TEMPUNAVAIL] PORT=[UNAVAILABLE] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]")
        self.assertEqual(client, Client("192.0.2.1", 0, "", "", True, "TLSv1.3 X", ""))

    def test_bad(self) -> None:
        """What makes no sense is an error of syntax, 501."""
        for argument in (
            "",
            "ADDR",
            "ADDR=",
            "ADDR=192.0.2.300",
            "ADDR=2001:db8::1",
            "ADDR=[192.0.2.1]",
            "ADDR=192.0.2.1 ADDR=192.0.2.2",
            "NAME=a b.test",
            "NAME=-.test",
            "NAME=a+0D+0Ab",
            "NAME=+C3+28",
            "PORT=70000",
            "PORT=x",
            "PROTO=LMTP",
            "HELO=a+20b",
            "HELO=a+b",
            "LOGIN=a+00",
            "LOGIN=" + "a" * 256,
            "FOO=bar",
            "NAME=a.test FOO=bar",
            "=x",
        ):
            error = self.assertRaises(CommandError, introduced, FILTER, argument)
            self.assertEqual(error.reply.code, 501, argument)

    @given(st.text(max_size=60), st.sampled_from(["ADDR", "NAME", "PORT", "PROTO", "HELO", "LOGIN", "X"]))
    def test_anything(self, text: str, name: str) -> None:
        """Any text is a client or that error."""
        try:
            client = introduced(FILTER, f"{name}={text}")
        except CommandError:
            return
        self.assertEqual(client.tls, FILTER.tls)
