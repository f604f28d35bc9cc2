"""L{umbcmail.accept.auth.users}, L{umbcmail.accept.auth.secret}, L{umbcmail.accept.auth.checkers}
and L{umbcmail.accept.auth.guesses}."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.accept.auth.checkers import AUTH, Checkers, Login, Realm, makePortal, makeTerms
from umbcmail.accept.auth.guesses import Fading
from umbcmail.accept.auth.kinds import Surroundings, findFactory
from umbcmail.accept.auth.sasl import available
from umbcmail.accept.auth.scram import ScramKeys
from umbcmail.accept.auth.secret import secret
from umbcmail.accept.auth.users import Factory, UsersFile, parseUsers
from umbcmail.clientaddress import networkOf
from umbcmail.interfaces import ILogin, IScramChecker, IScramCredentials

ARGON2 = "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWFhYWFhYWFhYQ$Ebo1qvjEteFBKMYvDX7cYj1Nbg05OlK2PuPbKnw1Rks"
KEYS = ScramKeys.derive(b"s3cret!", b"0123456789abcdef", 5000)


def scramText(keys: ScramKeys) -> str:
    """Keys as they stand in a file."""
    parts = (b64encode(each).decode() for each in (keys.salt, keys.storedKey, keys.serverKey))
    return "{SCRAM-SHA-256}" + "$".join([str(keys.iterations), *parts])


def surroundings(salts: str | None = None) -> Surroundings:
    """Of checkers."""
    return Surroundings(Clock(), FakeLog(), maybeDeferred, settings={"salts": salts})


class SecretTests(SynchronousTestCase):
    """What passwords are kept as."""

    def test_verify(self) -> None:
        """All kinds know the right password from wrong ones."""
        for text in ("{PLAIN}s3cret!", "{plain}s3cret!", scramText(KEYS), scramText(KEYS).replace("$", ","), ARGON2):
            found = secret(text)
            self.assertTrue(found.verify(b"s3cret!"), text)
            for wrong in (b"", b"s3cret", b"s3cret!!", b"S3cret!", b"\xff"):
                self.assertFalse(found.verify(wrong), text)

    def test_scramKeys(self) -> None:
        """Made of a password, kept, or not to be had."""
        self.assertEqual(ScramKeys.derive(b"s3cret!", b"salt"), secret("{PLAIN}s3cret!").scramKeys(b"salt"))
        self.assertEqual(KEYS, secret(scramText(KEYS)).scramKeys(b"salt"))
        self.assertIsNone(secret(ARGON2).scramKeys(b"salt"))

    def test_wrong(self) -> None:
        """What can't be used is an error when it is read."""
        good = scramText(KEYS)
        for text in (
            "",
            "s3cret!",
            "{PLAIN}",
            "{MD5}abc",
            "{SCRAM-SHA-256}",
            good.replace("5000", "999"),
            good.replace("5000", "99999999"),
            good.replace("5000$", "5000$!"),
            good[:-4],
            good.replace("$", ",", 1),
            good + "$",
            ARGON2.replace("argon2id", "argon2i"),
            ARGON2.replace("19456", "99999999"),
            ARGON2 + "!",
        ):
            self.assertRaises(ValueError, secret, text)

    @given(st.text(max_size=60), st.sampled_from(["", "{PLAIN}", "{SCRAM-SHA-256}4096$", "{ARGON2ID}$argon2id$v=19$"]))
    def test_anything(self, text: str, before: str) -> None:
        """Nothing raises but C{ValueError}."""
        try:
            secret(before + text)
        except ValueError:
            pass


class UsersFileTests(SynchronousTestCase):
    """The checker for a file."""

    def setUp(self) -> None:
        """A file with users of two kinds."""
        self.log = FakeLog()
        self.path = os.path.abspath(self.mktemp())
        self.write(f"# users\n\nann:{{PLAIN}}s3cret!\nben:{scramText(KEYS)}\n")
        self.calls = 0
        self.users = UsersFile(self.path, self.inThread, self.log, b"salts")  # type: ignore[arg-type]

    def write(self, text: str) -> None:
        """Put another file in place of it."""
        with open(self.path + ".new", "w") as file:
            file.write(text)
        os.rename(self.path + ".new", self.path)

    def inThread(self, function: Any, *args: Any) -> Deferred[Any]:
        """Count, and call."""
        self.calls += 1
        return maybeDeferred(function, *args)

    def check(self, login: bytes, password: bytes) -> Any:
        """What the checker says."""
        return self.users.requestAvatarId(UsernamePassword(login, password))

    def test_interfaces(self) -> None:
        """It is what it says."""
        verifyObject(ICredentialsChecker, self.users)
        verifyObject(IScramChecker, self.users)

    def test_check(self) -> None:
        """Right, wrong and unknown; all of it in a thread."""
        self.assertEqual(b"ann", self.successResultOf(self.check(b"ann", b"s3cret!")))
        self.assertEqual(b"ben", self.successResultOf(self.check(b"ben", b"s3cret!")))
        for login, password in (
            (b"ann", b"x"),
            (b"bob", b"s3cret!"),
            (b"Ann", b"s3cret!"),
            (b"\xff", b"x"),
            (b"\x07", b"x"),
        ):
            self.failureResultOf(self.check(login, password), UnauthorizedLogin)
        self.assertEqual(7, self.calls)

    def test_unknownCostsTheSame(self) -> None:
        """For a login that does not exist a secret of somebody else is verified,
        always of the same one, and is never right."""
        users = self.users._users
        asked: list[Any] = []
        for name in ("ann", "ben"):
            kept = users.find(name)[1]
            self.patch(kept, "verify", lambda password, kept=kept: asked.append(kept) or True)
        for _ in range(2):
            for n in range(20):
                self.failureResultOf(self.check(b"nobody%d" % n, b"s3cret!"), UnauthorizedLogin)
        self.assertEqual(asked[:20], asked[20:])
        self.assertEqual(2, len(set(asked)))

    def test_scramKeys(self) -> None:
        """Kept ones, made ones, and made-up ones that look no different and stay
        the same."""
        self.assertEqual((True, KEYS), self.successResultOf(self.users.scramKeys("ben")))
        exists, keys = self.successResultOf(self.users.scramKeys("ann"))
        self.assertTrue(exists)
        self.assertEqual(ScramKeys.derive(b"s3cret!", keys.salt), keys)
        for n in range(20):
            exists, first = self.successResultOf(self.users.scramKeys(f"nobody{n}"))
            self.assertFalse(exists)
            self.assertIn((len(first.salt), first.iterations), ((16, 4096), (16, 5000)))
            self.assertEqual((False, first), self.successResultOf(self.users.scramKeys(f"nobody{n}")))
        self.assertFalse(self.successResultOf(self.users.scramKeys("a\x07"))[0])

    def test_onlyHashes(self) -> None:
        """SCRAM is not offered where it could let nobody in."""
        self.assertIn(IScramCredentials, self.users.credentialInterfaces)
        self.write(f"ann:{ARGON2}\nben:{ARGON2}\n")
        users = UsersFile(self.path, self.inThread, self.log, b"salts")  # type: ignore[arg-type]
        self.assertEqual((IUsernamePassword,), users.credentialInterfaces)
        self.assertFalse(self.successResultOf(users.scramKeys("ann"))[0])
        self.write("")
        users = UsersFile(self.path, self.inThread, self.log, b"salts")  # type: ignore[arg-type]
        self.assertIn(IScramCredentials, users.credentialInterfaces)

    def test_readAgain(self) -> None:
        """A changed file counts at once."""
        self.write("cid:{PLAIN}new\n")
        self.assertEqual(b"cid", self.successResultOf(self.check(b"cid", b"new")))
        self.failureResultOf(self.check(b"ann", b"s3cret!"), UnauthorizedLogin)

    def test_brokenLater(self) -> None:
        """A file that is gone or makes no sense changes nothing, and is said once."""
        for change in (lambda: os.remove(self.path), lambda: self.write("ann:oops-secret\n")):
            before = len(self.log.troubles)
            change()
            for _ in range(3):
                self.assertEqual(b"ann", self.successResultOf(self.check(b"ann", b"s3cret!")))
            self.assertEqual(before + 1, len(self.log.troubles))
        self.assertNotIn("oops", str(self.log.troubles))
        self.write("ann:{PLAIN}new\n")
        self.assertEqual(b"ann", self.successResultOf(self.check(b"ann", b"new")))
        self.assertIn("again", self.log.troubles[-1][2])

    def test_brokenAtStart(self) -> None:
        """Then it is an error, which names the line."""
        for text in ("x", ":{PLAIN}x", "a:{PLAIN}x\na:{PLAIN}y", "a\x07:{PLAIN}x", "a:{FOO}tiger"):
            self.write("\n" + text)
            error = self.assertRaises(ValueError, UsersFile, self.path, self.inThread, self.log, b"")
            self.assertIn("line ", str(error))
            self.assertNotIn("tiger", str(error))
        os.remove(self.path)
        self.assertRaises(ValueError, UsersFile, self.path, self.inThread, self.log, b"")

    def test_empty(self) -> None:
        """Without users nobody gets in."""
        self.write("")
        self.failureResultOf(self.check(b"ann", b""), UnauthorizedLogin)
        self.assertFalse(self.successResultOf(self.users.scramKeys("ann"))[0])

    def test_fewAtATime(self) -> None:
        """More than some passwords wait for their turn."""
        waiting: list[Deferred[Any]] = []
        users = UsersFile(self.path, lambda *a: waiting.append(Deferred()) or waiting[-1], self.log, b"")  # type: ignore
        for _ in range(10):
            users.requestAvatarId(UsernamePassword(b"ann", b"x"))
        self.assertEqual(4, len(waiting))
        waiting[0].callback("ann")
        self.assertEqual(5, len(waiting))

    @given(st.text(max_size=80))
    def test_anything(self, text: str) -> None:
        """Nothing raises but C{ValueError}."""
        try:
            parseUsers(text)
        except ValueError:
            pass


@implementer(ICredentialsChecker, IScramChecker)
class FakeChecker:
    """Says what it was told to."""

    credentialInterfaces = (IUsernamePassword, IScramCredentials)

    def __init__(self, said: Any, exists: bool = False) -> None:
        self.said = said
        self.exists = exists

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See L{ICredentialsChecker}."""
        return fail(self.said) if isinstance(self.said, Exception) else succeed(self.said)

    def scramKeys(self, login: str) -> Deferred[Any]:
        """See L{IScramChecker}."""
        return fail(self.said) if isinstance(self.said, Exception) else succeed((self.exists, self.said))


NO = UnauthorizedLogin()
DOWN = OSError("down")


class CheckersTests(SynchronousTestCase):
    """Several checkers as one, and how they are made."""

    def test_order(self) -> None:
        """The first that knows somebody counts; "no" of one does not outweigh that
        another can't tell."""
        credentials = UsernamePassword(b"ann", b"x")
        for said, expected in (
            ((b"a", b"b"), b"a"),
            ((NO, b"b"), b"b"),
            ((DOWN, b"b"), b"b"),
            ((NO, NO), UnauthorizedLogin),
            ((DOWN, NO), OSError),
            ((NO, DOWN), OSError),
        ):
            all = Checkers([FakeChecker(each) for each in said])
            verifyObject(ICredentialsChecker, all)
            found = all.requestAvatarId(credentials)
            if isinstance(expected, bytes):
                self.assertEqual(expected, self.successResultOf(found))
            else:
                self.failureResultOf(found, expected)

    def test_keys(self) -> None:
        """Keys of the first that has the login, else made-up ones of the first."""
        for checkers, expected in (
            ([FakeChecker("a"), FakeChecker("b")], (False, "a")),
            ([FakeChecker("a"), FakeChecker("b", True)], (True, "b")),
            ([FakeChecker(DOWN), FakeChecker("b", True)], (True, "b")),
        ):
            self.assertEqual(expected, self.successResultOf(Checkers(checkers).scramKeys("ann")))
        self.failureResultOf(Checkers([FakeChecker(DOWN), FakeChecker("b")]).scramKeys("ann"), OSError)

    def test_realm(self) -> None:
        """Avatars are logins."""
        realm = Realm()
        verifyObject(IRealm, realm)
        verifyObject(ILogin, Login("ann"))
        verifyObject(ICheckerFactory, Factory())
        interface, avatar, _ = realm.requestAvatar("ü".encode(), None, ILogin)
        self.assertEqual((ILogin, "ü"), (interface, avatar.name))
        self.assertRaises(NotImplementedError, realm.requestAvatar, b"ann", None, ICredentialsChecker)

    def test_made(self) -> None:
        """File, memory, none; what can't be made is an error."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("ann:{PLAIN}s3cret!\n")
        self.assertIsNone(makePortal([], surroundings()))
        portal = makePortal([f"file:{path}", "memory:bob:b"], surroundings())
        assert portal is not None
        for login, password in ((b"ann", b"s3cret!"), (b"bob", b"b")):
            found = self.successResultOf(portal.login(UsernamePassword(login, password), None, ILogin))
            self.assertEqual(login.decode(), found[1].name)
        for wrong in ("file:users", "file:/no/such/file", "none:x", "anonymous", "memory:x"):
            self.assertRaises(ValueError, makePortal, [wrong], surroundings())
        self.assertRaises(ValueError, findFactory, "anonymous")

    def test_salts(self) -> None:
        """With the same file of octets the made-up salts of two processes are the same."""
        salts, users = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        with open(users, "w") as file:
            file.write("ann:{PLAIN}s3cret!\n")
        with open(salts, "w") as file:
            file.write("x" * 15)
        self.assertRaises(ValueError, makePortal, [f"file:{users}"], surroundings(salts))
        self.assertRaises(ValueError, makePortal, [f"file:{users}"], surroundings("/no/such"))
        with open(salts, "a") as file:
            file.write("x")
        found = []
        for path in (salts, salts, None):
            portal: Any = makePortal([f"file:{users}"], surroundings(path))
            found.append(self.successResultOf(portal.checkers[IScramCredentials].scramKeys("nobody"))[1].salt)
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])

    def test_terms(self) -> None:
        """Mechanisms in the order wanted, as far as there are checkers for them."""
        portal: Any = makePortal(["memory:bob:b"], surroundings())
        self.assertEqual([IUsernamePassword, IUsernameHashedPassword], portal.listCredentialsInterfaces())
        self.assertEqual(["LOGIN", "PLAIN"], list(available(portal, ["LOGIN", "SCRAM-SHA-256", "PLAIN"])))
        settings = {
            option.name: option.kind.parse(option.default) for option in AUTH.options if option.default is not None
        }
        terms = makeTerms(portal, settings, Clock())
        self.assertEqual(("AUTH PLAIN LOGIN", True), (terms(True).keyword, terms(True).needed))
        self.assertIs(terms(True).guesses, terms(False).guesses)
        self.assertRaises(ValueError, makeTerms, portal, {**settings, "mechanisms": ("SCRAM-SHA-256",)}, Clock())


class GuessesTests(SynchronousTestCase):
    """Counts that fade."""

    def test_networks(self) -> None:
        """/24 and /64."""
        for address, network in (
            ("192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("unix", "unix"),
        ):
            self.assertEqual(network, networkOf(address))

    def test_fading(self) -> None:
        """Halved after the time, gone at 0, and bounded."""
        clock = Clock()
        fading = Fading(clock, 10.0, 3)
        fading.add("a", 4.0)
        clock.advance(10)
        self.assertAlmostEqual(2.0, fading.count("a"))
        fading.add("a", -5.0)
        self.assertEqual((0.0, 0), (fading.count("a"), len(fading)))
        for key in "abcab":
            fading.add(key, 1.0)
        fading.add("d", 1.0)
        self.assertEqual((3, 0.0, 2.0), (len(fading), fading.count("c"), fading.count("a")))
