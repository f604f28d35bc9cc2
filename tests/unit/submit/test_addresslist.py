"""Tests of L{umbcmail.submit.addresslist}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.address import AddressError, parseAddress
from umbcmail.submit.addresslist import address, addresses


class AddressesTests(SynchronousTestCase):
    """Lists of addresses."""

    def test_forms(self) -> None:
        """Names, comments, groups, source routes and odd blanks go away; the addresses stay in their order."""
        for text, expected in (
            ("", []),
            (" , ,", []),
            ("a@x.test", ["a@x.test"]),
            ("bob", ["bob@d.test"]),
            ("Bob <bob>, carol", ["bob@d.test", "carol@d.test"]),
            ('"Doe, J. <x@y>" <j@x.test>,<k@x.test>', ["j@x.test", "k@x.test"]),
            ("(a, (b) \\) c) a@x.test (d)", ["a@x.test"]),
            ("friends: a@x.test, B <b@x.test>;, c", ["a@x.test", "b@x.test", "c@d.test"]),
            ("undisclosed-recipients:;", []),
            ("<@r.test,@s.test:a@x.test>", ["a@x.test"]),
            ("a @ x . test", ["a@x.test"]),
            ('"a b"@x.test, "c,d"@x.test', ['"a b"@x.test', '"c,d"@x.test']),
            ('"a@b"', ['"a@b"@d.test']),
            ("a@[192.0.2.1]", ["a@[192.0.2.1]"]),
            ("=?utf-8?q?J=C3=B6rg?= <j@x.test>", ["j@x.test"]),
            ("Jörg <jörg@x.test>", ["jörg@x.test"]),
            ("a@x.test;b@x.test", ["a@x.test", "b@x.test"]),
        ):
            self.assertEqual(expected, addresses(text, "d.test"), text)

    def test_wrong(self) -> None:
        """What is no list of addresses is told, and nothing of it is guessed."""
        for text in (
            "a b", "<a@x.test", "a@@x.test", "a@x.test>", "(a@x.test", '"a@x.test', "<a><b>", "a@x..test", "@x.test",
            "a\x00b", "a\r\nRCPT TO", "-x y", "a@x.test b@x.test", "<a b@x.test>", "Bob <>x",
        ):  # fmt: skip
            self.assertRaises(AddressError, addresses, text, "d.test")
        self.assertRaises(AddressError, address, "a, b", "d.test")
        self.assertRaises(AddressError, address, "", "d.test")

    @given(st.text(alphabet='ab@.,;:<>()[]"\\ \r\n\té'))
    def test_anything(self, text: str) -> None:
        """Whatever is given, what comes out are addresses."""
        try:
            found = addresses(text, "d.test")
        except AddressError:
            return
        for each in found:
            self.assertEqual(each, parseAddress(each))
