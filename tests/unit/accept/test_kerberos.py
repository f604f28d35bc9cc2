"""L{umbcmail.accept.auth.kerberos}: what the library says, and what we make of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.accept.auth.exchange import SASLError
from umbcmail.accept.auth.kerberos import Kerberos, KerberosTrouble, Unusable
from umbcmail.interfaces import IGssapiAcceptance

BASE = -1765328384
KEYTAB = "/etc/umbcmail/keytab"


class GSSError(Exception):
    """As the library's: numbers without a sign."""

    def __init__(self, number: int, routine: int = 13, isKerberos: bool = True) -> None:
        self.min_code = (number + BASE if isKerberos else number) & 0xFFFFFFFF
        self.maj_code = routine << 16
        Exception.__init__(self, "Major, Minor")

    def get_all_statuses(self, code: int, isMajor: bool) -> list[str]:
        """A text for the number."""
        assert code == self.min_code and not isMajor
        return [f"error {code}"]


class Library:
    """Does what a test says.

    @ivar wrong: by the name of a function, what it raises.
    @ivar calls: functions that were called, with what matters.
    """

    GSSError = GSSError
    MechType = SimpleNamespace(kerberos="krb5")
    NameType = SimpleNamespace(kerberos_principal="principal", hostbased_service="service")

    def __init__(self) -> None:
        self.wrong: dict[str, Exception] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.more = False
        self.reply: bytes | None = None
        self.client = b"ann@Y.TEST"

    def _call(self, name: str, *what: Any) -> None:
        self.calls.append((name, *what))
        if name in self.wrong:
            raise self.wrong[name]

    def import_name(self, name: bytes, kind: str) -> Any:
        """See gssapi.raw."""
        return f"{kind} {name.decode()}"

    def display_name(self, name: Any, kind: bool) -> Any:
        """See gssapi.raw."""
        return SimpleNamespace(name=name)

    def acquire_cred_from(self, store: Any, name: Any, mechs: Any, usage: str) -> Any:
        """See gssapi.raw."""
        assert mechs == ["krb5"] and usage == "accept"
        self._call("own", store, name)
        return SimpleNamespace(creds=("ours", name))

    def acquire_cred_with_password(self, name: Any, password: bytes, mechs: Any, usage: str) -> Any:
        """See gssapi.raw."""
        assert mechs == ["krb5"] and usage == "initiate"
        self._call("password", name, password)
        return SimpleNamespace(creds="theirs")

    def init_sec_context(self, name: Any, creds: Any, mech: str, flags: Any) -> Any:
        """See gssapi.raw."""
        assert creds == "theirs" and mech == "krb5"
        self._call("init", name)
        return SimpleNamespace(token=b"token")

    def accept_sec_context(self, token: bytes, creds: Any, context: Any = None) -> Any:
        """See gssapi.raw."""
        self._call("accept", token, creds, context)
        return SimpleNamespace(
            context="context", token=self.reply, more_steps=self.more, initiator_name=None if self.more else self.client
        )

    def wrap(self, context: Any, octets: bytes, confidential: bool) -> Any:
        """See gssapi.raw."""
        assert not confidential
        return SimpleNamespace(message=b"wrapped " + octets)

    def unwrap(self, context: Any, octets: bytes) -> Any:
        """See gssapi.raw."""
        self._call("unwrap", context)
        return SimpleNamespace(message=octets.removeprefix(b"wrapped "))


class KerberosCase(SynchronousTestCase):
    """A library of lies."""

    def setUp(self) -> None:
        """A realm."""
        self.library = Library()
        self.kerberos = Kerberos(self.library, "Y.TEST", "smtp/mx.y.test", KEYTAB)

    def test_right(self) -> None:
        """The password of that principal gets a ticket for us, which the keytab opens,
        without a look at replays; whoever the ticket is of is the answer."""
        self.library.client = b"ann.smith@Y.TEST"
        self.assertEqual("ann.smith@Y.TEST", self.kerberos.verify("ann", b"pw"))
        us = "principal smtp/mx.y.test@Y.TEST"
        store = {b"keytab": b"FILE:" + KEYTAB.encode(), b"rcache": b"none:"}
        self.assertEqual(
            [
                ("password", "principal ann@Y.TEST", b"pw"),
                ("init", us),
                ("own", store, us),
                ("accept", b"token", ("ours", us), None),
            ],
            self.library.calls,
        )

    def test_no(self) -> None:
        """What the KDC says of the password and the account is a no."""
        for number, kind in ((6, None), (24, None), (31, None), (1, Unusable), (18, Unusable), (21, Unusable)):
            self.library.wrong["password"] = GSSError(number, 7)
            raised = self.assertRaises(UnauthorizedLogin, self.kerberos.verify, "ann", b"pw")
            self.assertEqual(kind is not None, isinstance(raised, Unusable))
            self.assertEqual([("password", "principal ann@Y.TEST", b"pw")], self.library.calls[-1:])

    def test_passwordExpired(self) -> None:
        """Who has to change the password is told from who has a wrong one."""
        self.library.wrong["password"] = GSSError(23, 7)
        raised = self.assertRaises(Unusable, self.kerberos.verify, "ann", b"pw")
        self.assertEqual("the password has expired", str(raised))

    def test_cantTell(self) -> None:
        """All else is no answer, whatever the number, and at every step after the first
        no number is one: it was said by a KDC that is not verified yet."""
        for number in (0, 2, 7, 12, 14, 25, 29, 37, 60, 68, 156, 200):
            self.library.wrong = {"password": GSSError(number, 7)}
            self.assertRaises(KerberosTrouble, self.kerberos.verify, "ann", b"pw")
        self.library.wrong = {"password": GSSError(24, 7, isKerberos=False)}
        self.assertRaises(KerberosTrouble, self.kerberos.verify, "ann", b"pw")
        for step in ("init", "own", "accept"):
            for number in (1, 6, 18, 23, 24, 31, 35, 44, 156):
                self.library.wrong = {step: GSSError(number)}
                self.assertRaises(KerberosTrouble, self.kerberos.verify, "ann", b"pw")

    def test_texts(self) -> None:
        """The log says which principal or file is to be seen to, and what the library
        has said."""
        for step, number, texts in (
            ("password", 156, ("realm Y.TEST", "krb5.conf", "error 25296")),
            ("password", 37, ("clock",)),
            ("init", 7, ("addprinc -randkey smtp/mx.y.test@Y.TEST", f"ktadd -k {KEYTAB} smtp/mx.y.test@Y.TEST")),
            ("accept", 31, ("could not be verified", KEYTAB, "smtp/mx.y.test@Y.TEST", "poses as the KDC")),
            ("own", 0, (KEYTAB, "can't be read")),
        ):
            self.library.wrong = {step: GSSError(number)}
            raised = self.assertRaises(KerberosTrouble, self.kerberos.verify, "ann", b"pw")
            for text in texts:
                self.assertIn(text, str(raised))

    def test_check(self) -> None:
        """Without a key of ours nothing begins."""
        self.kerberos.check()
        self.library.wrong = {"own": GSSError(2, 7, isKerberos=False)}
        raised = self.assertRaises(ValueError, self.kerberos.check)
        self.assertIn(f"the keytab {KEYTAB} has no key of smtp/mx.y.test@Y.TEST", str(raised))

    def test_takesTickets(self) -> None:
        """Tickets are for smtp, on whatever host."""
        self.assertTrue(self.kerberos.takesTickets())
        self.assertEqual("service smtp", self.library.calls[0][2])
        self.library.wrong = {"own": GSSError(0)}
        self.assertFalse(self.kerberos.takesTickets())


class AcceptTests(KerberosCase):
    """Tickets."""

    def test_complete(self) -> None:
        """A ticket that is good; replays are looked for as the library does."""
        self.library.reply = b"reply"
        acceptance = self.kerberos.accept(None, b"token")
        verifyObject(IGssapiAcceptance, acceptance)
        self.assertEqual(
            [("own", {b"keytab": b"FILE:" + KEYTAB.encode()}, "service smtp")],
            self.library.calls[:1],
        )
        self.assertEqual(
            (b"reply", True, "ann@Y.TEST"), (acceptance.reply, acceptance.isComplete, acceptance.principal)
        )
        self.assertEqual(b"wrapped x", acceptance.wrap(b"x"))
        self.assertEqual(b"x", acceptance.unwrap(b"wrapped x"))
        self.library.wrong = {"unwrap": GSSError(31)}
        self.assertRaises(SASLError, acceptance.unwrap, b"wrapped x")

    def test_goesOn(self) -> None:
        """Where a token is not all, nobody is known yet."""
        self.library.more = True
        acceptance = self.kerberos.accept(None, b"token")
        self.assertEqual((b"", False, ""), (acceptance.reply, acceptance.isComplete, acceptance.principal))
        acceptance.resume = self.kerberos.accept
        self.library.more = False
        self.assertTrue(acceptance.goOn(b"second").isComplete)
        self.assertEqual(("accept", b"second", ("ours", "service smtp"), "context"), self.library.calls[-1])

    def test_answers(self) -> None:
        """Expired and used tickets are a no, what is none makes no sense, and what our
        keys don't open can't be told."""
        for error, kind in (
            (GSSError(32), UnauthorizedLogin),
            (GSSError(33), UnauthorizedLogin),
            (GSSError(34), UnauthorizedLogin),
            (GSSError(0, 11), UnauthorizedLogin),
            (GSSError(0, 9, isKerberos=False), SASLError),
            (GSSError(0, 1, isKerberos=False), SASLError),
            (GSSError(31), KerberosTrouble),
            (GSSError(35), KerberosTrouble),
            (GSSError(37), KerberosTrouble),
            (GSSError(44), KerberosTrouble),
            (GSSError(28, isKerberos=False), KerberosTrouble),
        ):
            self.library.wrong = {"accept": error}
            self.assertRaises(kind, self.kerberos.accept, None, b"token")
        self.library.wrong = {"own": GSSError(2, 7, isKerberos=False)}
        raised = self.assertRaises(KerberosTrouble, self.kerberos.accept, None, b"token")
        self.assertIn(KEYTAB, str(raised))
