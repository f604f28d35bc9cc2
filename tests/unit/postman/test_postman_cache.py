"""L{umbcmail.postman.cache}, L{umbcmail.credentials} and C{kinit}'s complaints: what is read,
and what an operator is told."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail import credentials
from umbcmail.credentials import Credentials
from umbcmail.postman import kinit
from umbcmail.postman.cache import BadCache, Ticket, parse, ticketIn
from umbcmail.postman.settings import POSTMAN, principalOf


def text(value: str) -> bytes:
    """Octets with their number."""
    return struct.pack(">I", len(value)) + value.encode()


def principal(name: str, realm: str = "Y.TEST") -> bytes:
    """A principal."""
    parts = name.split("/")
    return struct.pack(">II", 1, len(parts)) + text(realm) + b"".join(map(text, parts))


def credential(server: str, begins: int, ends: int, owner: str = "postman/mx1") -> bytes:
    """A ticket, with an address and some authorization data."""
    times = struct.pack(">IIII", begins, begins, ends, 0)
    pairs = struct.pack(">IHI", 1, 2, 4) + b"1234" + struct.pack(">I", 0)
    key = struct.pack(">H", 18) + text("k" * 32)
    return principal(owner) + principal(server) + key + times + b"\0" + b"\0\0\0\0" + pairs + text("t" * 200) + text("")


def cache(*tickets: bytes) -> bytes:
    """A file."""
    return b"\x05\x04\0\x0c" + b"\0\x01\0\x08" + b"\0" * 8 + principal("postman/mx1") + b"".join(tickets)


class CacheTests(SynchronousTestCase):
    """A ticket cache."""

    def test_ticket(self) -> None:
        """That for the KDC counts, the last one; others don't, nor what is configuration."""
        data = cache(
            credential("krb5_ccache_conf_data/pa_type", 0, 0),
            credential("krbtgt/Y.TEST", 100, 200),
            credential("afs/y.test", 100, 900),
            credential("krbtgt/Y.TEST", 150, 300),
        )
        self.assertEqual(Ticket("postman/mx1@Y.TEST", 150.0, 300.0), parse(data))

    def test_noTicket(self) -> None:
        """A cache without one, and what is none, wherever it ends."""
        whole = cache(credential("krbtgt/Y.TEST", 100, 200))
        for data in (b"", b"\x05\x03", b"\x05\x04", cache(), cache(credential("afs/y.test", 1, 2)), b"x" * 1000):
            self.assertRaises(BadCache, parse, data)
        for end in range(len(whole)):
            self.assertRaises(BadCache, parse, whole[:end])
        self.assertRaises(BadCache, ticketIn, "/nonexistent/cache")

    def test_numbers(self) -> None:
        """Lengths that are too large are no reason to take memory or time."""
        self.assertRaises(BadCache, parse, b"\x05\x04\0\0" + struct.pack(">II", 1, 0xFFFFFFFF) + text("R"))


class RecordTests(SynchronousTestCase):
    """The record."""

    def setUp(self) -> None:
        """A folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.cache = str(folder / "cache")

    def test_roundTrip(self) -> None:
        """What is read is what was written; all may read it."""
        Path(self.cache).touch()
        known = Credentials("a/b", "/k", self.cache, 1.5, 2.5, 3.5, "why", 4, 5)
        credentials.write(known)
        self.assertEqual(known, credentials.read(self.cache))
        self.assertEqual(0o644, os.stat(credentials.recordAt(self.cache)).st_mode & 0o777)

    def test_removed(self) -> None:
        """Where somebody has removed the cache there are no tickets, whatever was written."""
        credentials.write(Credentials("a/b", "/k", self.cache, 1, 5000, 3000))
        known = credentials.read(self.cache)
        assert known is not None
        self.assertEqual("there is no ticket of a/b: the role postman does not run", known.trouble(5))
        self.assertEqual(3000, known.next)

    def test_nonsense(self) -> None:
        """None, or one that makes no sense, is none."""
        self.assertIsNone(credentials.read(self.cache))
        for line in ("", "[]", "{}", "1", '{"principal": 1}', "\xff"):
            Path(credentials.recordAt(self.cache)).write_bytes(line.encode("latin-1"))
            self.assertIsNone(credentials.read(self.cache), line)

    def test_trouble(self) -> None:
        """What is told by how it stands."""
        none = Credentials("a/b", "/k", self.cache, failure="no key")
        self.assertEqual("there is no ticket of a/b: no key", none.trouble(5))
        ended = Credentials("a/b", "/k", self.cache, got=1, expires=5, next=3)
        self.assertEqual("the ticket of a/b has ended: the role postman does not run", ended.trouble(5))
        self.assertEqual(("", ""), (ended.trouble(4), ended.warning(4)))
        late = Credentials("a/b", "/k", self.cache, got=1, expires=5000, next=3)
        self.assertIn("does not run", late.warning(3 + credentials.LATE + 1))

    def test_unsafe(self) -> None:
        """Whose it may be, and with which mode."""
        owner = [os.geteuid()]
        self.assertIn("No such file", credentials.unsafe(self.cache, owner))
        path = Path(self.cache)
        path.write_text("x")
        for mode, isSafe in ((0o600, True), (0o640, True), (0o644, False), (0o660, False), (0o602, False)):
            path.chmod(mode)
            self.assertEqual(isSafe, not credentials.unsafe(self.cache, owner), oct(mode))
        path.chmod(0o600)
        self.assertIn("belongs to", credentials.unsafe(self.cache, []))
        Path(f"{self.cache}.link").symlink_to(path)
        self.assertIn("is no file", credentials.unsafe(f"{self.cache}.link", owner))

    def test_environment(self) -> None:
        """Nothing of ours but where the realm is told of."""
        self.patch(os, "environ", {"KRB5_CONFIG": "/c", "LD_PRELOAD": "/evil", "KRB5CCNAME": "FILE:/other"})
        found = credentials.environment("/cache")
        self.assertEqual({"PATH", "LC_ALL", "KRB5_CONFIG", "KRB5CCNAME"}, set(found))
        self.assertEqual("FILE:/cache", found["KRB5CCNAME"])


class RemedyTests(SynchronousTestCase):
    """What an operator is told to do."""

    def test_remedies(self) -> None:
        """Each complaint has its remedy, with the principal and the file."""
        for said, words in (
            ("kinit: Keytab contains no suitable keys for a/b@R", "ktadd -k /k a/b'"),
            ("kinit: Client 'a/b@R' not found in Kerberos database", "addprinc -randkey a/b'"),
            ("kinit: Preauthentication failed", "not that of the KDC"),
            ("kinit: Clock skew too great", "clocks of this host and of the KDC differ"),
            ("kinit: Cannot contact any KDC for realm 'R'", "whether the KDC runs"),
            ("kinit: Client's entry in database has expired", "getprinc a/b"),
            ("kinit: what nobody knows", "try: kinit -k -t /k -c FILE:/tmp/try a/b@R"),
        ):
            self.assertIn(words, kinit.remedy(said, "a/b@R", "/k"))

    def test_keytab(self) -> None:
        """One that is not there, is empty, or open to all."""
        path = self.mktemp()
        self.assertIn(f"ktadd -k {path} a/b", kinit.keytabProblem("a/b", path))
        Path(path).touch(0o600)
        self.assertIn("is empty", kinit.keytabProblem("a/b", path))
        Path(path).write_text("x")
        self.assertEqual(("", ""), (kinit.keytabProblem("a/b", path), kinit.openness(path)))
        Path(path).chmod(0o644)
        self.assertIn(f"chmod 600 {path}", kinit.openness(path))


class SettingsTests(SynchronousTestCase):
    """The section."""

    def test_principal(self) -> None:
        """By default the name of the host up to its first dot; nothing that kinit would take for an option."""
        self.assertEqual("postman/mx1", principalOf({"principal": ""}, "MX1.umbc.edu"))
        self.assertEqual("a@B", principalOf({"principal": "a@B"}, "mx1"))
        [option] = [option for option in POSTMAN.options if option.name == "principal"]
        for good in ("", "a", "postman/mx1", "postman/mx1.y.test@Y.TEST"):
            self.assertEqual(good, option.kind.parse(good))
        for bad in ("-k", "a b", "a/b/c", "a@", "/b", "a\n"):
            self.assertRaises(ValueError, option.kind.parse, bad)

    def test_seed(self) -> None:
        """The place of the key is where it has always been."""
        self.assertEqual("/local/mail/postman.keytab", next(o.default for o in POSTMAN.options if o.name == "keytab"))
