"""L{umbcmail.accept.auth.scram}, L{umbcmail.accept.auth.sasl} and L{umbcmail.accept.auth.saslprep}."""

from __future__ import annotations

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.accept.auth.exchange import Challenge, Finished, KeysNeeded, SASLError, unbase64
from umbcmail.accept.auth.sasl import MECHANISMS, Plain
from umbcmail.accept.auth.saslprep import preparedPassword, saslprep
from umbcmail.accept.auth.scram import ScramCredentials, ScramExchange, ScramKeys
from umbcmail.interfaces import IScramCredentials

FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
KEYS = ScramKeys.derive(b"pencil", SALT, 4096)


class ScramTests(SynchronousTestCase):
    """The exchange."""

    def begun(self, first: bytes = FIRST) -> ScramExchange:
        """An exchange that waits for the last message."""
        exchange = ScramExchange(NONCE)
        self.assertIsInstance(exchange.begin(first), KeysNeeded)
        exchange.keys(KEYS)
        return exchange

    def test_exampleOfTheRFC(self) -> None:
        """The exchange of RFC 7677 section 3, octet for octet."""
        exchange = ScramExchange(NONCE)
        self.assertEqual(Challenge(b""), exchange.begin(None))
        self.assertEqual(KeysNeeded("user"), exchange.respond(FIRST))
        self.assertEqual(
            Challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            exchange.keys(KEYS),
        )
        step = exchange.respond(FINAL)
        assert isinstance(step, Finished)
        self.assertEqual(("user", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), (step.login, step.last))
        verifyObject(IScramCredentials, step.credentials)
        self.assertEqual(b"user", step.credentials.username)
        self.assertTrue(step.credentials.checkKeys(KEYS))
        self.assertFalse(step.credentials.checkKeys(ScramKeys.derive(b"pencils", SALT, 4096)))

    def test_first(self) -> None:
        """Header, name, nonce and extensions of client-first."""
        for text, login in (
            (b"y,,n=user,r=a", "user"),
            (b"n,a=user,n=user,r=a", "user"),
            (b"n,,n=u=2Cs=3Der,r=a", "u,s=er"),
            (b"n,,n=user,r=a,x=more,y=z", "user"),
            ("n,,n=\u00fc,r=a".encode(), "\u00fc"),
        ):
            self.assertEqual(KeysNeeded(login), ScramExchange().begin(text))
        for text in (
            b"",
            b"p=tls-server-end-point,,n=user,r=a",
            b"x,,n=user,r=a",
            b",,n=user,r=a",
            b"n,n=user,r=a",
            b"n,,m=must,n=user,r=a",
            b"n,,n=,r=a",
            b"n,,n=user,r=",
            b"n,,n=user",
            b"n,,r=a,n=user",
            b"n,,n=us=er,r=a",
            b"n,,n=us=2cer,r=a",
            b"n,a=x=y,n=user,r=a",
            b"n,,n=us\0er,r=a",
            b"n,,n=user,r=a b",
            b"n,,n=user,r=a\x7f",
            b"n,,n=user,r=" + b"a" * 257,
            b"n,,n=\xff,r=a",
            b"n,,n=user,r=a,",
            b"n,,n=user,r=a\n",
        ):
            self.assertRaises(SASLError, ScramExchange().begin, text)

    def test_final(self) -> None:
        """The last message must have our nonce, the same header, and a proof."""
        for wrong in (
            b"",
            FINAL.replace(b"biws", b"eSws"),
            FINAL.replace(b"biws", b"biw"),
            FINAL.replace(b"k0,p", b"k1,p"),
            FINAL.replace(b"r=rOpr", b"r=ropr"),
            FINAL[:-1],
            FINAL[:-4],
            FINAL + b"AAAA",
            FINAL.partition(b",p=")[0],
            FINAL + b",x=y",
            FINAL + b"\n",
        ):
            self.assertRaises(SASLError, self.begun().respond, wrong)
        step = self.begun(FIRST.replace(b"n,,", b"y,,")).respond(FINAL.replace(b"biws", b"eSws"))
        assert isinstance(step, Finished)
        self.assertFalse(step.credentials.checkKeys(KEYS), "the header is part of the proof")
        extended = self.begun().respond(FINAL.replace(b",p=", b",x=y,p="))
        assert isinstance(extended, Finished)
        self.assertFalse(extended.credentials.checkKeys(KEYS), "so are extensions")

    def test_nonce(self) -> None:
        """Each exchange has its own."""
        found = {ScramExchange()._nonce for _ in range(50)}
        self.assertEqual(50, len(found))
        self.assertGreaterEqual(min(map(len, found)), 32)

    @given(st.binary(max_size=80), st.binary(max_size=80))
    def test_anything(self, first: bytes, final: bytes) -> None:
        """Nothing raises but L{SASLError}, at any place."""
        for text in (first, b"n,,n=" + first + b",r=" + final):
            try:
                self.assertIsInstance(ScramExchange().begin(text), KeysNeeded)
            except SASLError:
                pass
        for text in (final, b"c=biws," + first + b",p=" + final):
            self.assertRaises(SASLError, self.begun().respond, text)

    @given(st.binary(min_size=32, max_size=32))
    def test_proof(self, proof: bytes) -> None:
        """No proof but the right one fits."""
        self.assertFalse(ScramCredentials(b"user", b"message", proof).checkKeys(KEYS))


class MechanismTests(SynchronousTestCase):
    """All mechanisms, with any octets."""

    @given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(max_size=50), max_size=4))
    def test_anything(self, name: str, responses: list[bytes]) -> None:
        """A step or L{SASLError}, and an end after three responses."""
        exchange = MECHANISMS[name].make("mx.y.test")
        try:
            step = exchange.begin(None)
            for response in responses:
                step = exchange.respond(response)
                if isinstance(step, KeysNeeded):
                    step = exchange.keys(KEYS)
                if isinstance(step, Finished):
                    self.assertTrue(step.login)
                    return
            self.assertLess(len(responses), 3)
        except SASLError:
            pass

    @given(st.text(min_size=1), st.binary(min_size=1))
    def test_plain(self, login: str, password: bytes) -> None:
        """What a client packs comes out again."""
        if "\0" in login or b"\0" in password or not login.isprintable():
            return
        step = Plain().begin(b"\0" + login.encode() + b"\0" + password)
        assert isinstance(step, Finished)
        found = step.credentials
        self.assertEqual((login, login.encode(), password), (step.login, found.username, found.password))

    def test_padding(self) -> None:
        """Padding stands where it is needed, and nowhere else."""
        for octets in (b"AGFu=", b"AGFu==", b"AAAA====", b"=", b"AA=", b"AAA", b"AA==AA==", b"AA==\n"):
            self.assertRaises(SASLError, unbase64, octets)
        self.assertEqual([b"", b"\0", b"\0\0"], [unbase64(octets) for octets in (b"", b"AA==", b"AAA=")])

    @given(st.binary(max_size=40) | st.lists(st.sampled_from(b"AB+/=-\n")).map(bytes))
    def test_base64(self, octets: bytes) -> None:
        """Only what has the length of its encoding is taken."""
        try:
            found = unbase64(octets)
        except SASLError:
            return
        self.assertEqual(len(octets), (len(found) + 2) // 3 * 4)


class SASLprepTests(SynchronousTestCase):
    """RFC 4013."""

    def test_examples(self) -> None:
        """Those of RFC 4013 section 3, and the narrow forms of wide letters."""
        for text, prepared in (
            ("I\xadX", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\xaa", "a"),
            ("\u2168", "IX"),
            ("a\xa0b", "a b"),
            ("\u00fc", "\u00fc"),
            ("u\u0308", "\u00fc"),
        ):
            self.assertEqual(prepared, saslprep(text))
        for text in ("\x07", "\u0627\x31", "a\x7f", "\ue000", "\u0627a\u0627"):
            self.assertRaises(ValueError, saslprep, text)
        self.assertEqual("\u06271\u0627", saslprep("\u06271\u0627"))
        self.assertEqual("", saslprep("\xad"))

    def test_password(self) -> None:
        """What can't be prepared stays as it is."""
        self.assertEqual(b"IX", preparedPassword("\u2168".encode()))
        for octets in (b"\xfc", b"a\x07"):
            self.assertEqual(octets, preparedPassword(octets))

    @given(st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        """Prepared text stays the same when it is prepared again; nothing raises
        but C{ValueError}."""
        try:
            prepared = saslprep(text)
        except ValueError:
            return
        self.assertEqual(prepared, saslprep(prepared))
