"""L{umbcmail.check.access} and L{umbcmail.check.actions}: what an access table says."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.check.access import AccessTable
from umbcmail.check.actions import REPLY_LIMIT, replyOf, verdictOf
from umbcmail.check.tablefiles import MISTAKES
from umbcmail.reply import ACCESS_DENIED, ACCESS_LATER
from umbcmail.verdict import Answer, Verdict


def table(*lines: str, delimiter: str = "+") -> AccessTable:
    """A table of some lines, all of them good."""
    made = AccessTable(delimiter)
    for line in lines:
        made.add(line)
    made.finish()
    return made


def word(said: Verdict | None) -> str:
    """The text of an entry that has one, C{"-"}: nothing is said."""
    if said is None or said.answer is Answer.NO_OPINION:
        return "-"
    return said.why.rpartition(": ")[2]


class ActionTests(SynchronousTestCase):
    """What stands behind the key."""

    def test_words(self) -> None:
        """Each action, in any case, with its reason."""
        for words, answer in (
            ("permit", Answer.PERMIT),
            ("refuse", Answer.REFUSE),
            ("delay", Answer.DELAY),
            ("discard", Answer.DISCARD),
            ("hold", Answer.HOLD),
            ("dunno", Answer.NO_OPINION),
        ):
            for text in (words, words.upper(), f"{words}   some reason"):
                self.assertIs(answer, verdictOf(text, False).answer)
        self.assertEqual("some reason", verdictOf("hold   some reason ", False).why)

    def test_forgeable(self) -> None:
        """What a client only claims gives no leave to relay."""
        self.assertIs(Answer.PASS, verdictOf("permit", True).answer)
        self.assertIs(Answer.REFUSE, verdictOf("refuse", True).answer)

    def test_replies(self) -> None:
        """Code, enhanced code and text, each may be missing."""
        for text, expected in (
            ("", "550 5.7.1 Access denied"),
            ("554", "554 5.7.1 Access denied"),
            ("5.1.8", "550 5.1.8 Access denied"),
            ("521 5.3.2 We take no mail", "521 5.3.2 We take no mail"),
            ("553  Not from you", "553 5.7.1 Not from you"),
            ("5.7.13 Not from you", "550 5.7.13 Not from you"),
            ("Not from you", "550 5.7.1 Not from you"),
            ("5 times no", "550 5.7.1 5 times no"),
            ("5501 calls are too many", "550 5.7.1 5501 calls are too many"),
            ("x" * REPLY_LIMIT, "550 5.7.1 " + "x" * REPLY_LIMIT),
        ):
            self.assertEqual(expected, str(replyOf(text, ACCESS_DENIED)))
        self.assertEqual("421 4.7.0 Later", str(replyOf("421 4.7.0 Later", ACCESS_LATER)))
        self.assertEqual("450 4.7.1 Not now, try again later", str(replyOf("", ACCESS_LATER)))

    def test_wrongReplies(self) -> None:
        """Codes of another class, odd codes, and what can't stand in a reply."""
        for text in ("250 OK", "450 later", "5.7.1", "560 x", "599", "354", "000"):
            if not text.startswith("5.7"):
                self.assertRaises(ValueError, replyOf, text, ACCESS_DENIED)
            if not text.startswith("450"):
                self.assertRaises(ValueError, replyOf, text, ACCESS_LATER)
        for text in ("550 4.7.1 x", "550 2.0.0", "no\u00e4", "a\rb", "x" * (REPLY_LIMIT + 1)):
            self.assertRaises(ValueError, replyOf, text, ACCESS_DENIED)

    @given(st.text())
    def test_garbage(self, text: str) -> None:
        """Any text is an action or a mistake; whatever is told to clients is one line
        of ASCII."""
        try:
            said = verdictOf(text, True)
        except ValueError:
            return
        self.assertIsNot(Answer.PERMIT, said.answer)
        if said.reply is not None:
            self.assertLess(len(said.reply.wire), 512)
            self.assertEqual(1, said.reply.wire.count(b"\n"))


class ClientTests(SynchronousTestCase):
    """Addresses and networks."""

    def test_mostSpecific(self) -> None:
        """The smallest network counts, whatever the order of the lines."""
        lines = [
            "client 192.0.2.0/24 refuse net",
            "client 192.0.2.7 permit one",
            "client 192.0.2.128/25 refuse half",
            "client 0.0.0.0/0 refuse all",
            "client 2001:db8::/32 refuse six",
            "client 2001:DB8:0::7 discard seven",
            "client ::ffff:198.51.100.0/120 hold mapped",
        ]
        for order in (lines, lines[::-1]):
            found = table(*order)
            for address, expected in (
                ("192.0.2.7", "one"),
                ("::ffff:192.0.2.7", "one"),
                ("192.0.2.8", "net"),
                ("192.0.2.200", "half"),
                ("192.0.3.1", "all"),
                ("2001:db8::7", "seven"),
                ("2001:db8::8", "six"),
                ("2001:db8::8%eth0", "six"),
                ("2001:db9::8", "-"),
                ("198.51.100.9", "mapped"),
                ("", "-"),
                ("/run/socket", "-"),
            ):
                self.assertEqual(expected, word(found.ofClient(address)), address)

    def test_reason(self) -> None:
        """The reason names the entry."""
        found = table("client 192.0.2.0/24 refuse", "client ::/0 hold ever so odd")
        self.assertEqual("the table has client 192.0.2.0/24", getattr(found.ofClient("192.0.2.1"), "why", ""))
        self.assertEqual("the table has client ::/0: ever so odd", getattr(found.ofClient("::1"), "why", ""))

    def test_dunno(self) -> None:
        """It is an exception to a larger network."""
        found = table("client 192.0.2.0/24 refuse net", "client 192.0.2.7 dunno")
        self.assertEqual(["-", "net"], [word(found.ofClient(a)) for a in ("192.0.2.7", "192.0.2.8")])

    @given(
        st.dictionaries(st.ip_addresses(v=4).map(str), st.integers(0, 32), max_size=6),
        st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n))),
    )
    def test_sameAsIpaddress(self, networks: dict[str, int], address: str) -> None:
        """What is found is the smallest of the networks that hold the address."""
        some = {ipaddress.ip_network((start, length), strict=False) for start, length in networks.items()}
        found = table(*(f"client {network} hold {network}" for network in some))
        for each in (address, *networks):
            holding = [network for network in some if ipaddress.ip_address(each) in network]
            expected = str(max(holding, key=lambda network: network.prefixlen)) if holding else "-"
            self.assertEqual(expected, word(found.ofClient(each)))


class NameTests(SynchronousTestCase):
    """Names of clients, and HELO."""

    def test_names(self) -> None:
        """A name counts for itself, a dot before it for all below, the longest first."""
        found = table(
            "name a.example.org hold self",
            "name .example.org hold below",
            "name .org hold org",
            "name .deep.example.org hold deep",
            "name b\u00fccher.example hold idn",
        )
        for name, expected in (
            ("a.example.org", "self"),
            ("b.a.example.org", "below"),
            ("x.example.org", "below"),
            ("example.org", "org"),
            ("badexample.org", "org"),
            ("x.deep.example.org", "deep"),
            ("deep.example.org", "below"),
            ("org", "-"),
            ("x.example.net", "-"),
            ("", "-"),
            ("xn--bcher-kva.example", "idn"),
        ):
            self.assertEqual(expected, word(found.ofName(name)), name)

    def test_helo(self) -> None:
        """In any case, with a dot at the end or not; literals by what they mean."""
        found = table(
            "helo Pc.example hold pc",
            "helo .bad.example hold bad",
            "helo [IPv6:2001:DB8::0:1] hold six",
            "helo localhost hold me",
        )
        for helo, expected in (
            ("PC.Example", "pc"),
            ("pc.example.", "pc"),
            ("x.bad.example", "bad"),
            ("[IPv6:2001:db8:0::1]", "six"),
            ("[ipv6:2001:db8::2]", "-"),
            ("[192.0.2.1]", "-"),
            ("LOCALHOST", "me"),
            ("[nonsense]", "-"),
            ("", "-"),
        ):
            self.assertEqual(expected, word(found.ofMessage(helo, "s@x.test", "r@y.test")), helo)


class AddressTests(SynchronousTestCase):
    """Senders and recipients."""

    def said(self, found: AccessTable, sender: str = "s@x.test", recipient: str = "r@y.test") -> str:
        """What is said of them."""
        return word(found.ofMessage("pc", sender, recipient))

    def test_senders(self) -> None:
        """The address, then without its detail, then the domain, then those above."""
        found = table(
            "sender User@Example.org hold user",
            "sender user+news@example.org hold news",
            "sender @example.org hold domain",
            "sender @.example.org hold below",
            "sender @[192.0.2.1] hold literal",
            "sender <> hold null",
            'sender "odd one"@example.org hold odd',
            'sender "plain"@example.org hold plain',
            "sender m\u00fcller@b\u00fccher.example hold idn",
        )
        for sender, expected in (
            ("user@example.org", "user"),
            ("USER@EXAMPLE.ORG", "user"),
            ("user+other@example.org", "user"),
            ("user+news@example.org", "news"),
            ("user+news+more@example.org", "user"),
            ("+user@example.org", "domain"),
            ("other@example.org", "domain"),
            ("user@a.example.org", "below"),
            ("user@b.a.example.org", "below"),
            ("user@example.net", "-"),
            ("u@[192.0.2.1]", "literal"),
            ("", "null"),
            ('"odd one"@example.org', "odd"),
            ('"user+x y"@example.org', "domain"),
            ('"a@b"@example.org', "domain"),
            ("plain@example.org", "plain"),
            ("mu\u0308ller@b\u00fccher.example", "idn"),
            ("m\u00fcller@xn--bcher-kva.example", "idn"),
            ("postmaster", "-"),
        ):
            self.assertEqual(expected, self.said(found, sender), sender)

    def test_delimiter(self) -> None:
        """Another one, or none."""
        lines = ("recipient a@y.test hold a", "recipient b+x@y.test hold b")
        for delimiter, expected in (("-", ["-", "a", "b"]), ("", ["-", "-", "b"])):
            found = table(*lines, delimiter=delimiter)
            self.assertEqual(expected, [self.said(found, recipient=f"{user}@y.test") for user in ("a+z", "a-z", "b+x")])

    def test_order(self) -> None:
        """HELO, sender, recipient: the first opinion counts, dunno is none."""
        found = table(
            "recipient r@y.test hold recipient",
            "sender @x.test hold sender",
            "helo pc hold helo",
            "helo nobody dunno",
            "sender good@x.test dunno",
        )
        for helo, sender, recipient, expected in (
            ("pc", "s@x.test", "r@y.test", "helo"),
            ("nobody", "s@x.test", "r@y.test", "sender"),
            ("x", "good@x.test", "r@y.test", "recipient"),
            ("x", "good@x.test", "s@y.test", "-"),
        ):
            self.assertEqual(expected, word(found.ofMessage(helo, sender, recipient)))

    def test_permits(self) -> None:
        """Only what a client can't forge gives leave to relay."""
        found = table("helo pc permit", "sender @x.test permit", "recipient @z.test permit", "client 192.0.2.1 permit")
        self.assertIs(Answer.PASS, found.ofMessage("pc", "", "r@z.test").answer)
        self.assertIs(Answer.PASS, found.ofMessage("x", "s@x.test", "r@z.test").answer)
        self.assertIs(Answer.PERMIT, found.ofMessage("x", "", "r@z.test").answer)
        self.assertIs(Answer.PERMIT, getattr(found.ofClient("192.0.2.1"), "answer", None))


class MistakeTests(SynchronousTestCase):
    """What makes no sense is told, with its line."""

    def mistakes(self, text: bytes) -> list[str]:
        """Of a file."""
        made = AccessTable()
        made.addLines("/a", text.splitlines(keepends=True))
        made.finish()
        return made.mistakes

    def test_good(self) -> None:
        """Comments, empty lines, tabs, CRLF, kinds in any case, and the same line twice."""
        text = b"# client x\n\n  \t\n\tCLIENT\t192.0.2.1 \t refuse\t550 no\r\nclient 192.0.2.1 refuse 550 no\n  # end"
        self.assertEqual([], self.mistakes(text))

    def test_all(self) -> None:
        """All mistakes come at once."""
        for line, reason in (
            ("client", "a kind, a key and an action are needed"),
            ("client 192.0.2.1", "a kind, a key and an action are needed"),
            ("Client 192.0.2.1/24 permit", "has host bits set"),
            ("client example.org permit", "does not appear to be"),
            ("client fe80::1%eth0 permit", "with a zone"),
            ("clients 192.0.2.1 permit", "'clients' is none of client, name, helo, sender, recipient"),
            ("client 192.0.2.1 accept", "'accept' is none of permit, refuse"),
            ("client 192.0.2.1 refuse 450 x", "a code of 500 to 559 is needed, not 450"),
            ("name -bad permit", "is not a domain name"),
            ("name 192.0.2.0/24 permit", "is not a domain name"),
            ("name . permit", "is not a domain name"),
            ("helo [1.2] permit", "not an address literal"),
            ("sender bob permit", "'bob' is not user@domain"),
            ("sender @ permit", "is not a domain name"),
            ("sender a@b@c permit", "is not user@domain"),
            ("recipient <> permit", "is not user@domain"),
            ('sender "a b@c permit', "are needed"),
            ("sender @[1.2] permit", "not an address literal"),
            ("client 192.0.2.1 hold a\x1bb", "can't be printed"),
            ("client 192.0.2.1 hold " + "x" * 3000, "too long"),
        ):
            found = self.mistakes(f"# first\n{line}\n{line}\n".encode())
            self.assertEqual(2, len(found), line)
            self.assertIn(reason, found[0])
            self.assertEqual(["/a:2: ", "/a:3: "], [each[:6] for each in found])
        self.assertIn("/a:1: this is not UTF-8", self.mistakes(b"\xff\n")[0])

    def test_contradiction(self) -> None:
        """Two entries for one key, with different actions."""
        for line in ("client 192.0.2.1/32", "name a.test", "sender A@b.test", "recipient @.test", "helo x"):
            found = self.mistakes(f"{line.lower()} hold\n{line} refuse\n".encode())
            self.assertIn("/a:2: there is an entry for", found[0])

    def test_many(self) -> None:
        """Whoever has more mistakes than anybody reads is told of some."""
        self.assertEqual(MISTAKES, len(self.mistakes(b"x\n" * 10_000)))

    @given(st.lists(st.binary(max_size=60), max_size=5))
    def test_garbage(self, lines: list[bytes]) -> None:
        """Any octets are entries or mistakes."""
        self.mistakes(b"\n".join(lines))

    @given(st.sampled_from(("client", "name", "helo", "sender", "recipient")), st.text(), st.text())
    def test_garbageKeys(self, kind: str, key: str, asked: str) -> None:
        """Nor does a key or a question break anything."""
        made = AccessTable()
        made.addLines("/a", [f"{kind} {key} hold".encode("utf-8", "replace"), b"sender @x.test hold"])
        made.finish()
        found: Any = made.ofMessage(asked, asked, asked)
        self.assertIsInstance(found, Verdict)
        made.ofClient(asked)
        made.ofName(asked)
