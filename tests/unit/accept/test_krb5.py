"""L{umbcmail.accept.auth.krb5}: the argument, who is a login of ours, and the checker."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.accept.test_kerberos import GSSError, Library
from umbcmail.accept.auth.checkers import Checkers
from umbcmail.accept.auth.exchange import SASLError
from umbcmail.accept.auth.kerberos import Acceptance, KerberosTrouble, Unusable
from umbcmail.accept.auth.kinds import Surroundings, allFactories, findFactory
from umbcmail.accept.auth.krb5 import Argument, Factory, Krb5Checker, Names
from umbcmail.accept.auth.question import question
from umbcmail.accept.auth.tickets import GssapiCredentials
from umbcmail.interfaces import IGssapiChecker, IGssapiCredentials
from umbcmail.maillog import MailLog


class ArgumentTests(SynchronousTestCase):
    """What stands behind C{krb5:}."""

    def test_words(self) -> None:
        """In any order; what is not said has a default."""
        self.patch(sys.modules["os"], "environ", {})
        self.assertEqual(Argument("Y.TEST", "/etc/krb5.keytab"), Argument.parse("Y.TEST"))
        found = Argument.parse("Y.TEST,timeout=3s,service=smtp@mx.y.test,instances=yes,keytab=FILE:/k,only=passwords")
        self.assertEqual(Argument("Y.TEST", "/k", "smtp/mx.y.test", True, False, True, 3.0), found)
        found = Argument.parse("Y.TEST,only=tickets,service=host/a")
        self.assertEqual((False, True, "host/a"), (found.passwords, found.tickets, found.service))

    def test_environment(self) -> None:
        """The keytab of the environment, as for other programs."""
        self.patch(sys.modules["os"], "environ", {"KRB5_KTNAME": "FILE:/var/k"})
        self.assertEqual("/var/k", Argument.parse("Y.TEST").keytab)
        self.assertEqual("/k", Argument.parse("Y.TEST,keytab=/k").keytab)

    def test_mistakes(self) -> None:
        """What makes no sense is said."""
        for text, said in (
            ("", "REALM"),
            ("Y TEST", "REALM"),
            ("Y.TEST@Z", "REALM"),
            ("Y/TEST", "REALM"),
            ("Y.TEST,", "is not known"),
            ("Y.TEST,keytabs=/k", "keytabs is not known; there are keytab, service"),
            ("Y.TEST,keytab=k", "keytab=k: an absolute path"),
            ("Y.TEST,keytab=", "an absolute path"),
            ("Y.TEST,service=smtp", "service/host"),
            ("Y.TEST,service=smtp/mx@Y.TEST", "service/host"),
            ("Y.TEST,only=all", "passwords or tickets"),
            ("Y.TEST,instances=1", "yes or no"),
            ("Y.TEST,timeout=0", "1 to 120"),
            ("Y.TEST,timeout=500", "1 to 120"),
            ("Y.TEST,timeout=x", "1 to 120"),
        ):
            self.assertIn(said, str(self.assertRaises(ValueError, Argument.parse, text)))


def userOf(names: Names, login: bytes) -> str:
    """What becomes of what a client says."""
    return names.user(question(UsernamePassword(login, b"x")).login)


class NamesTests(SynchronousTestCase):
    """Which principals are logins."""

    def test_user(self) -> None:
        """With and without our realm, in any case."""
        names = Names("Y.TEST", False)
        for login in (b"ann", b"ann@Y.TEST", b"ann@y.test"):
            self.assertEqual("ann", userOf(names, login))
        self.assertEqual("jürgen x", userOf(names, "jürgen x".encode()))

    def test_notOurs(self) -> None:
        """Nobody of another realm, no instance, and nothing that the library would
        read in its own way."""
        for login in (
            b"",
            b"@Y.TEST",
            b"ann@",
            b"ann@Z.TEST",
            b"ann@Z.TEST@Y.TEST",
            b"ann@Y.TEST@Z.TEST",
            b"ann\\@Z.TEST@Y.TEST",
            b"ann\\",
            b"ann/admin",
            b"ann\\/admin",
            b"/ann",
            b"ann\0",
            b"ann\0@Y.TEST",
            b"ann\n",
            b"\x7f",
            b"\xff",
            b"a" * 256,
            b"WELLKNOWN/ANONYMOUS",
        ):
            self.assertRaises(UnauthorizedLogin, userOf, Names("Y.TEST", False), login)

    def test_instances(self) -> None:
        """Where they are let in, anonymous ones and empty ones are not."""
        names = Names("Y.TEST", True)
        self.assertEqual("ann/admin", userOf(names, b"ann/admin@Y.TEST"))
        self.assertEqual("host/a.y.test", names.login("host/a.y.test@Y.TEST"))
        for login in (b"WELLKNOWN/ANONYMOUS", b"/", b"ann/", b"/ann", b"a//b", b"a\\/b"):
            self.assertRaises(UnauthorizedLogin, userOf, names, login)
            self.assertRaises(UnauthorizedLogin, names.login, login.decode() + "@Y.TEST")

    def test_login(self) -> None:
        """A ticket's principal is of our realm exactly."""
        names = Names("Y.TEST", False)
        self.assertEqual("ann", names.login("ann@Y.TEST"))
        for principal in ("ann", "ann@y.test", "ann@Z.TEST", "@Y.TEST", "ann/admin@Y.TEST", "a\\@b@Y.TEST", "", "@"):
            self.assertRaises(UnauthorizedLogin, names.login, principal)

    @given(st.binary(max_size=40), st.booleans())
    def test_anything(self, login: bytes, instances: bool) -> None:
        """Whatever comes in, what goes to the library is one name of our realm."""
        try:
            user = userOf(Names("Y.TEST", instances), login)
        except UnauthorizedLogin:
            return
        self.assertTrue(user)
        self.assertEqual(set(), set(user) & set("@\\\0"))
        self.assertEqual(user, Names("Y.TEST", instances).login(f"{user}@Y.TEST"))


class FakeKerberos:
    """Answers as a test says.

    @ivar asked: names and passwords.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.answer: Any = "ann@Y.TEST"

    def verify(self, user: str, password: bytes) -> str:
        """See L{Kerberos.verify}."""
        self.asked.append((user, password))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)

    def accept(self, context: Any, token: bytes) -> Any:
        """See L{Kerberos.accept}."""
        if isinstance(self.answer, Exception):
            raise self.answer
        library = Library()
        library.client = str(self.answer).encode()
        return Acceptance(library, library.accept_sec_context(token, None, context))


class Now:
    """In place of threads of its own: at once."""

    def run(self, function: Any) -> Deferred[Any]:
        """See L{OwnThreads.run}."""
        return maybeDeferred(function)


class CheckerTests(SynchronousTestCase):
    """The checker, with a KDC that says what it is told to."""

    def setUp(self) -> None:
        """A checker."""
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, Clock())
        self.checker = self.make()

    def make(self, realm: str = "Y.TEST") -> Krb5Checker:
        """A checker of a realm."""
        self.kerberos = FakeKerberos()
        both = (IUsernamePassword, IGssapiCredentials)
        now: Any = Now()
        return Krb5Checker(self.kerberos, Names(realm, False), both, now, now, self.log)  # type: ignore[arg-type]

    def ask(self, login: bytes, password: bytes = b"pw") -> Deferred[Any]:
        """Try a password."""
        return maybeDeferred(self.checker.requestAvatarId, UsernamePassword(login, password))

    def test_interfaces(self) -> None:
        """It is what it says."""
        verifyObject(ICredentialsChecker, self.checker)
        verifyObject(IGssapiChecker, self.checker)
        verifyObject(ICheckerFactory, Factory(None, Library()))
        verifyObject(IGssapiCredentials, GssapiCredentials("ann"))

    def test_right(self) -> None:
        """The login is the principal without the realm, as the KDC has it."""
        self.assertEqual(b"ann", self.successResultOf(self.ask(b"ann")))
        self.assertEqual(b"ann", self.successResultOf(self.ask(b"ann@y.test")))
        self.kerberos.answer = "ann.smith@Y.TEST"
        self.assertEqual(b"ann.smith", self.successResultOf(self.ask(b"ann")))
        self.assertEqual([("ann", b"pw")] * 3, self.kerberos.asked)

    def test_otherThanAsked(self) -> None:
        """Where the KDC says that it is somebody else who is no login, nobody logs in."""
        for answer in ("ann@Z.TEST", "ann/admin@Y.TEST", "WELLKNOWN/ANONYMOUS@Y.TEST"):
            self.kerberos.answer = answer
            self.failureResultOf(self.ask(b"ann"), UnauthorizedLogin)

    def test_notAsked(self) -> None:
        """The KDC does not hear of what the library would cut off or read otherwise: an
        empty password would even be a try with somebody else's ticket."""
        for login, password in (
            (b"ann", b""),
            (b"ann", b"pw\0"),
            (b"ann", b"pw\0x"),
            (b"ann", b"x" * 1001),
            (b"ann\0x", b"pw"),
            (b"ann@Z.TEST", b"pw"),
            (b"ann/admin", b"pw"),
            (b"\xff", b"pw"),
        ):
            self.failureResultOf(self.ask(login, password), UnauthorizedLogin)
        self.assertEqual([], self.kerberos.asked)

    def test_answers(self) -> None:
        """ "No" stays no, "can't tell" stays an error of the system, and the log says
        who can't log in with a right password."""
        for answer in (UnauthorizedLogin(), KerberosTrouble("x")):
            self.kerberos.answer = answer
            self.failureResultOf(self.ask(b"ann"), type(answer))
        self.log.flush()
        self.assertEqual([], self.lines)
        self.kerberos.answer = Unusable("the password has expired")
        self.failureResultOf(self.ask(b"ann"), UnauthorizedLogin)
        self.log.flush()
        self.assertIn(b' refused-by-kdc id=- login=ann why="the password has expired"', b"".join(self.lines))

    def test_tickets(self) -> None:
        """A ticket's principal becomes a login, or nobody is let in."""
        acceptance = self.successResultOf(self.checker.accept(b"token"))
        self.assertEqual("ann", acceptance.login)
        self.assertEqual(
            b"ann", self.successResultOf(self.checker.requestAvatarId(GssapiCredentials(acceptance.login)))
        )
        for answer in ("ann@Z.TEST", "ann/admin@Y.TEST"):
            self.kerberos.answer = answer
            self.failureResultOf(self.checker.accept(b"token"), UnauthorizedLogin)

    def test_order(self) -> None:
        """Of several realms the first that lets a client in does; where one can't tell,
        the "no" of another is no answer; what is no token is none anywhere."""
        first, kerberos = self.make("X.TEST"), self.kerberos
        second, other = self.make("Y.TEST"), self.kerberos
        both = Checkers([first, second])
        self.assertEqual("ann", self.successResultOf(both.accept(b"token")).login)
        kerberos.answer = KerberosTrouble("x")
        self.assertEqual("ann", self.successResultOf(both.accept(b"token")).login)
        other.answer = UnauthorizedLogin("old")
        self.failureResultOf(both.accept(b"token"), KerberosTrouble)
        kerberos.answer = "ann@Z.TEST"
        self.failureResultOf(both.accept(b"token"), UnauthorizedLogin)
        kerberos.answer = SASLError("x")
        self.failureResultOf(both.accept(b"token"), SASLError)
        self.failureResultOf(Checkers([]).accept(b"token"), UnauthorizedLogin)


class FactoryTests(SynchronousTestCase):
    """How a checker is made."""

    def setUp(self) -> None:
        """A library whose keytab has what a test says."""
        self.library = Library()
        self.surroundings = Surroundings(Clock(), None, maybeDeferred, hostName="MX.y.test")

    def make(self, argument: str) -> Krb5Checker:
        """The checker of an argument."""
        return Factory(self.surroundings, self.library).generateChecker(argument)

    def test_default(self) -> None:
        """Passwords and tickets, both for smtp on this host."""
        checker = self.make("Y.TEST,keytab=/k")
        self.assertEqual((IUsernamePassword, IGssapiCredentials), checker.credentialInterfaces)
        self.assertEqual("principal smtp/mx.y.test@Y.TEST", self.library.calls[0][2])

    def test_only(self) -> None:
        """One of them."""
        self.assertEqual((IUsernamePassword,), self.make("Y.TEST,keytab=/k,only=passwords").credentialInterfaces)
        self.assertEqual((IGssapiCredentials,), self.make("Y.TEST,keytab=/k,only=tickets").credentialInterfaces)

    def test_service(self) -> None:
        """Another principal of ours; tickets are for smtp all the same, where the keytab
        has a key of it."""
        has = {"principal host/a@Y.TEST"}

        def own(store: Any, name: Any, mechs: Any, usage: str) -> Any:
            if name not in has:
                raise GSSError(0)
            return Library.acquire_cred_from(self.library, store, name, mechs, usage)

        self.library.acquire_cred_from = own  # type: ignore[method-assign]
        checker = self.make("Y.TEST,keytab=/k,service=host/a")
        self.assertEqual((IUsernamePassword,), checker.credentialInterfaces)
        raised = self.assertRaises(ValueError, self.make, "Y.TEST,keytab=/k,service=host/a,only=tickets")
        self.assertIn("the keytab /k has no key of smtp/HOST", str(raised))
        self.assertRaises(ValueError, self.make, "Y.TEST,keytab=/k")
        has.add("service smtp")
        checker = self.make("Y.TEST,keytab=/k,service=host/a")
        self.assertEqual((IUsernamePassword, IGssapiCredentials), checker.credentialInterfaces)

    def test_noKeytab(self) -> None:
        """Nothing begins without one, since then nobody could tell a KDC from another."""
        self.library.wrong = {"own": GSSError(2, 7, isKerberos=False)}
        raised = self.assertRaises(ValueError, self.make, "Y.TEST,keytab=/k")
        self.assertIn("the keytab /k has no key of smtp/mx.y.test@Y.TEST", str(raised))

    def test_noPackage(self) -> None:
        """Without the package the checker is not there, and whoever wants it hears why."""
        with patch.dict(sys.modules, {"gssapi": None, "gssapi.raw": None}):
            raised = self.assertRaises(ValueError, findFactory, "krb5")
            self.assertIn("needs the package gssapi", str(raised))
            self.assertNotIn("krb5", [factory.authType for factory in allFactories()])
