"""L{umbcmail.send.sevenbit} and L{umbcmail.send.sevenbitheader}."""

from __future__ import annotations

import binascii
import email
import re
from email.header import decode_header

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.sevenbit import CannotConvert, base64Lines, isPlain, quotedPrintable, sevenBit
from umbcmail.send.sevenbitheader import sevenBitField

MULTI = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x y"\r\n\r\n'

bodies = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b" \r\n", b"\xc3\xa9", b"=", b".", b"--x", b"\r", b"\n", b"\0", b"a" * 90, b"\t"]),
        st.binary(max_size=30),
    ),
    max_size=12,
).map(b"".join)


class EncodingTests(SynchronousTestCase):
    """The two transfer encodings."""

    @given(bodies)
    @settings(max_examples=300, deadline=None)
    def test_quotedPrintable(self, octets: bytes) -> None:
        """It comes back as it was, in lines of up to 76 printable characters."""
        coded = b"".join(quotedPrintable(octets))
        self.assertEqual(binascii.a2b_qp(coded), octets)
        self.assertTrue(isPlain(coded))
        for line in coded.split(b"\r\n"):
            self.assertLessEqual(len(line), 76)
            self.assertFalse(line.endswith((b" ", b"\t")))

    @given(bodies)
    @settings(deadline=None)
    def test_base64(self, octets: bytes) -> None:
        """Likewise."""
        coded = b"".join(base64Lines(octets))
        self.assertEqual(binascii.a2b_base64(coded), octets)
        self.assertTrue(all(len(line) <= 76 for line in coded.split(b"\r\n")))

    def test_large(self) -> None:
        """What is longer than a piece comes back too."""
        octets = b"line \xe9 =\r\n" * 30_000 + b"end"
        self.assertEqual(binascii.a2b_qp(b"".join(quotedPrintable(octets))), octets)
        self.assertEqual(binascii.a2b_base64(b"".join(base64Lines(octets))), octets)


def _boundaryFree(octets: bytes) -> bytes:
    return octets.replace(b"--", b"==")


class StructureTests(SynchronousTestCase):
    """Whole messages."""

    def assertLeft(self, message: bytes) -> None:
        """It can't be converted."""
        self.assertRaises(CannotConvert, sevenBit, message)

    @given(
        st.recursive(
            st.tuples(st.sampled_from([b"text/plain", b"application/x", b"text/html; charset=utf-8", b""]), bodies),
            lambda inner: st.lists(inner, min_size=1, max_size=3),
            max_leaves=6,
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_everyPart(self, tree: object) -> None:
        """The decoded body of each part is the body that it had, in the same order,
        and nothing on the wire is 8-bit."""
        leaves: list[bytes] = []

        def made(node: object, depth: str) -> bytes:
            if isinstance(node, tuple):
                kind, body = node[0], _boundaryFree(node[1])
                leaves.append(body)
                head = b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: 8bit\r\n" if kind else b"X: y\r\n"
                return head + b"\r\n" + body
            assert isinstance(node, list)
            bound = f"b{depth}".encode()
            parts = [made(each, f"{depth}.{n}") for n, each in enumerate(node)]
            inner = b"".join(b"\r\n--" + bound + b"\r\n" + part for part in parts)
            head = b"Content-Type: multipart/mixed;\r\n boundary=" + bound + b"\r\n\r\n\xe4"
            return head + inner + b"\r\n--" + bound + b"--\r\n\xe5"

        whole = b"MIME-Version: 1.0\r\n" + made([tree], "0")
        result = sevenBit(whole)
        self.assertTrue(result.isascii())
        parsed = email.message_from_bytes(result)
        got = [part.get_payload(decode=True) for part in parsed.walk() if not part.is_multipart()]
        self.assertEqual(got, leaves)

    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        MULTI,
                        b"\r\n",
                        b"\r\n--x y\r\n",
                        b"--x y--",
                        b"\r\n\r\n",
                        b"Content-Type: ",
                        b"message/rfc822",
                        b"text/plain",
                        b"Content-Transfer-Encoding: ",
                        b"8bit",
                        b"base64",
                        b"From: ",
                        b'"\xe9"',
                        b"<a@b>",
                        b"Subject: \xe9",
                        b"; name=\xe9",
                        b"(",
                        b"multipart/digest; boundary=q\r\n\r\n--q\r\n",
                    ]
                ),
                st.binary(max_size=8),
            ),
            max_size=15,
        ).map(b"".join)
    )
    @settings(max_examples=500, deadline=None)
    def test_anything(self, octets: bytes) -> None:
        """Whatever comes there is a message in ASCII or L{CannotConvert}."""
        try:
            result = sevenBit(octets)
        except CannotConvert:
            return
        self.assertTrue(result.isascii())
        if octets.isascii() and isPlain(octets):
            self.assertEqual(result, octets)

    def test_unlabelled(self) -> None:
        """Text without MIME gets its labels (RFC 1428)."""
        result = sevenBit(b"Subject: s\r\n\r\n\xe9t\xe9\r\n")
        self.assertIn(b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n", result)
        self.assertTrue(result.endswith(b"quoted-printable\r\n\r\n=E9t=E9\r\n"))
        self.assertIn(b"charset=utf-8", sevenBit(b"\r\n\xc3\xa9"))

    def test_onlyWhatMust(self) -> None:
        """Parts that are 7-bit stay as they are, signed ones too; outer labels follow."""
        signed = (
            b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nsigned = \r\n--s\r\n\r\nsignature\r\n--s--"
        )
        message = MULTI + b"--x y\r\n" + signed + b"\r\n--x y\r\n\r\n\xe9\r\n--x y--\r\n"
        result = sevenBit(message)
        self.assertIn(signed + b"\r\n--x y\r\n", result)
        self.assertIn(b"=E9", result)
        labelled = sevenBit(b"Content-Transfer-Encoding: 8bit\r\n" + message)
        self.assertTrue(labelled.startswith(b"Content-Transfer-Encoding: 7bit\r\n"))

    def test_signed(self) -> None:
        """8-bit inside of what is signed or encrypted is left alone."""
        for kind in (b"signed", b"Encrypted"):
            self.assertLeft(
                b"Content-Type: multipart/" + kind + b"; boundary=s\r\n\r\n--s\r\n\r\n\xe9\r\n--s\r\n\r\nx\r\n--s--"
            )

    def test_messages(self) -> None:
        """A message in a message is converted inside; other kinds of message/* can't be,
        but message/global can be encoded (RFC 6532)."""
        inner = b"Subject: \xc3\xa9\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n"
        head = b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: message/"
        result = sevenBit(head + b"rfc822\r\n\r\n" + inner)
        self.assertIn(
            b"Transfer-Encoding: 7bit\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?=C3=A9?=", result
        )
        self.assertTrue(result.endswith(b"\r\n\r\n=C3=A9\r\n"))
        self.assertLeft(head + b"partial; id=1\r\n\r\n" + inner)
        self.assertLeft(head + b"delivery-status\r\n\r\n" + inner)
        encoded = email.message_from_bytes(sevenBit(head + b"global\r\n\r\n" + inner))
        self.assertIn("quoted-printable", str(encoded["Content-Transfer-Encoding"]))

    def test_unclear(self) -> None:
        """Where the structure is not clear nothing is guessed."""
        for head in (
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Transfer-Encoding: x-uuencode\r\n",
            b"Content-Type: multipart/mixed\r\n",
            b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n",
            b"Content-Type: multipart/mixed; boundary=nowhere\r\n",
            b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=x\r\n",
            b"Content-Type: multipart\r\n",
            b"Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n",
        ):
            self.assertLeft(head + b"\r\n--x\r\n\r\n\xe9\r\n--x--\r\n")

    def test_deep(self) -> None:
        """Parts within parts without end are not followed."""
        self.assertLeft(b"Content-Type: message/rfc822\r\n\r\n" * 500 + b"\xe9")

    def test_boundaries(self) -> None:
        """A boundary that only begins like ours is none, blanks behind it do not count."""
        body = b"--x yz\r\n\xe9\r\n--x y  \r\n\r\n\xe8\r\n--x yz--\r\n\r\n--x y-- \r\n\xe7"
        result = sevenBit(MULTI + body)
        self.assertIn(b"--x yz\r\n=E9\r\n--x y  \r\n", result)
        self.assertIn(b"=E8\r\n--x yz--\r\n\r\n--x y-- \r\n=E7", result)


class HeaderTests(SynchronousTestCase):
    """Fields."""

    @given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=60))
    @settings(deadline=None)
    def test_subject(self, text: str) -> None:
        """Text comes back as it was."""
        field = b"Subject: " + text.encode()
        if field.isascii():
            return
        made = sevenBitField(field)
        self.assertTrue(all(len(line) <= 998 for line in made.split(b"\r\n")))
        words = decode_header(re.sub(r"\r\n(?=[ \t])", "", made.decode()).removeprefix("Subject: "))
        got = "".join(word.decode(charset or "ascii") if isinstance(word, bytes) else word for word, charset in words)
        self.assertEqual(got.split(), text.split())

    def test_octets(self) -> None:
        """Octets that are no UTF-8 are kept."""
        self.assertEqual(sevenBitField(b"Subject: a \xe9 b"), b"Subject: a =?unknown-8bit?q?=E9?= b")

    def test_names(self) -> None:
        """Names and comments are encoded, addresses stay."""
        for value, wanted in (
            ('"Jörg, \\"M\\"" <j@z>', "=?utf-8?q?J=C3=B6rg=2C_=22M=22?= <j@z>"),
            ("Zoë<z@z>, b@c (Jö)", "=?utf-8?q?Zo=C3=AB?= <z@z>, b@c (=?utf-8?q?J=C3=B6?=)"),
            ("A É È B <a@b>", "A =?utf-8?q?=C3=89?= =?utf-8?q?_=C3=88?= B <a@b>"),
            ("ä: a@b, c@d;", "=?utf-8?q?=C3=A4?=: a@b, c@d;"),
        ):
            self.assertEqual(sevenBitField(f"To: {value}".encode()).decode(), f"To: {wanted}")

    def test_parameters(self) -> None:
        """Names of files have a form of their own (RFC 2231)."""
        self.assertEqual(
            sevenBitField('Content-Disposition: attachment; filename="é 1.pdf"'.encode()),
            b"Content-Disposition: attachment; filename*=utf-8''%C3%A9%201%2Epdf",
        )

    def test_noPlace(self) -> None:
        """Where no encoding can stand nothing is guessed."""
        for field in (
            "From: ö@z.test",
            "From: <ö@z.test>",
            'From: "ö"@z.test',
            "From: (a (ö)) a@b",
            "Message-ID: <ö@z>",
            "Received: by ö",
            "Content-Type: text/ö",
            "Subject ö",
            "Sübject: x",
            " ö",
        ):
            self.assertRaises(CannotConvert, sevenBitField, field.encode())
