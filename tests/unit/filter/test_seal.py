"""Tests of L{umbcmail.filter.modules.seal}: what is believed, and what is not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock

from tests.unit.filter.multiplexercase import Module, MultiplexerCase
from tests.unit.filter.test_scanners import settings
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client
from umbcmail.examination import Action, Examined, ModuleError, Opinion, Rank
from umbcmail.filter.answers import ChangeHeader, Disposition, InsertHeader
from umbcmail.filter.modules import secret
from umbcmail.filter.modules.seal import OPTIONS, Sealer
from umbcmail.filter.modules.sealtext import boundHeader, digestOf, readSeal
from umbcmail.options import network

CLEAN = Opinion(headers=(("X-Virus-Status", "Clean"),))
HAM = Opinion(score=1.2, headers=(("X-Spam-Score", "1.2"), ("X-Spam-Status", "No,\n\tscore=1.2")))
FIELDS = ((b"From", b" a@b.test"), (b"Subject", b" two\n\tlines"))


class SealCase(MultiplexerCase):
    """Two hosts that share a secret."""

    def setUp(self) -> None:
        """The secret."""
        MultiplexerCase.setUp(self)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "secret")
        self.old = f"{self.path}.old"
        secret.new(self.path)

    def sealer(self, clock: Clock | None = None, **named: Any) -> Sealer:
        """A host; the client of the tests is one of ours."""
        named = {"secret": self.path, "old_secret": self.old, "networks": (network("192.0.2.1"),), **named}
        inThread: Callable[..., Deferred[Any]] = maybeDeferred
        return Sealer(settings(OPTIONS, **named), "mx1.y.test", clock or self.clock, self.log, inThread)

    def kinds(self) -> dict[str, Any]:
        """The types of the two modules."""
        return {"kinds": ("clamav", "spamassassin")}

    def sealed(self, *fields: tuple[bytes, bytes], body: bytes = b"text\r\n", **named: Any) -> tuple[Any, ...]:
        """The header of a message that leaves the first host."""
        modules = Module(CLEAN), Module(HAM, (b"x-spam-",))
        self.begin(*modules, seal=self.sealer(**named), **self.kinds())
        said = self.tell(self.client(), self.message(*(fields or FIELDS), body=body))
        self.assertEqual(said[-1], Disposition.ACCEPT)
        return (*(fields or FIELDS), *self.added(said))

    def added(self, said: list[Any]) -> list[tuple[bytes, bytes]]:
        """Fields, in the order in which they stand in the end."""
        return [(each.name, each.value) for each in said[::-1] if isinstance(each, InsertHeader)]

    def again(self, fields: tuple[Any, ...], body: bytes = b"text\r\n", **named: Any) -> tuple[bool, list[Any]]:
        """It comes to the second host.  @return: whether nobody examined it, and the answers."""
        modules = Module(CLEAN), Module(HAM, (b"x-spam-",))
        self.begin(*modules, seal=self.sealer(**named), **self.kinds())
        said = self.tell(self.client(), self.message(*fields, body=body))
        self.assertEqual(said[-1], Disposition.ACCEPT)
        seen = [len(module.seen) for module in modules]
        self.assertIn(seen, ([0, 0], [1, 1]))
        return seen == [0, 0], said


class BelievedTests(SealCase):
    """A seal saves work."""

    def test_good(self) -> None:
        """What was examined by a host of ours is not examined again: its fields stay, and the
        seal does not become younger."""
        sealed = self.sealed()
        self.clock.advance(600)
        isSaved, said = self.again(sealed)
        self.assertTrue(isSaved)
        added = dict(self.added(said))
        self.assertEqual(added[b"X-Virus-Status"], b" Clean")
        self.assertEqual(added[b"X-Spam-Status"], b" No,\n\tscore=1.2")
        seal = readSeal(added[b"X-Umbcmail-Seal"])
        assert seal is not None
        self.assertEqual((seal.made, dict(seal.clean)), (1_700_000_000, {"clamav": None, "spamassassin": 1.2}))
        removed = [each.name for each in said if isinstance(each, ChangeHeader)]
        self.assertEqual(len(removed), 4)
        self.assertEqual([s.tally.results["sealed"] for s in self.gate.panel._seats], [1, 1])

    def test_changedOnTheWay(self) -> None:
        """What hosts on the way do does not matter: Received, fields folded anew or in another
        order, line ends at the end."""
        first, *rest = self.sealed()
        fields = ((b"Received", b" from a"), *rest, (first[0].upper(), b"\n  a@b.test "), (b"X-Other", b" b"))
        self.assertTrue(self.again(fields, body=b"text\r\n\r\n\r\n")[0])

    def test_some(self) -> None:
        """A seal of other modules saves the work of those only."""
        self.begin(Module(CLEAN), seal=self.sealer(), kinds=["clamav"])
        said = self.tell(self.client(), self.message(*FIELDS))
        sealed = (*FIELDS, *self.added(said))
        self.clock.advance(60)
        modules = Module(CLEAN), Module(HAM, (b"x-spam-",))
        self.begin(*modules, seal=self.sealer(), **self.kinds())
        said = self.tell(self.client(), self.message(*sealed))
        self.assertEqual([len(module.seen) for module in modules], [0, 1])
        [seal] = [readSeal(value) for name, value in self.added(said) if b"Seal" in name]
        assert seal is not None
        self.assertEqual((seal.made, set(seal.clean)), (1_700_000_000, {"clamav", "spamassassin"}))

    def test_file(self) -> None:
        """A content in a file has the same seal as one in memory."""
        content = b"From: a@b.test\r\n\r\n" + b"a line\r\n" * 1000 + b"\r\n\r\n"

        class Pieces(MemoryContent):
            """Cut anywhere."""

            def open(self) -> Any:
                """See L{IContent.open}."""
                data, content = bytes(content_), self

                class Reader:
                    at = 0

                    def read(self) -> Any:
                        self.at += 7
                        return succeed(data[self.at - 7 : self.at])

                    def close(self) -> None:
                        content.data = None  # type: ignore[assignment]

                return Reader()

        content_ = content
        inFile = Pieces(content)
        inFile.data = None  # type: ignore[assignment]
        digests = []
        for each in (MemoryContent(content), inFile):
            examined = Examined("q", Client(), "", (), "", (), 18, each)
            digests.append(self.successResultOf(digestOf(examined, FIELDS)))
        self.assertEqual(digests[0], digests[1])


class NotBelievedTests(SealCase):
    """All else is removed, and the message examined."""

    def assertRemoved(self, why: str, fields: tuple[Any, ...], body: bytes = b"text\r\n", **named: Any) -> None:
        """It is examined, the seals are removed, and there is a new one."""
        isSaved, said = self.again(fields, body, **named)
        self.assertFalse(isSaved, why)
        seals = sum(name == b"X-Umbcmail-Seal" for name, _ in fields)
        removed = [each for each in said if isinstance(each, ChangeHeader) and each.name == b"X-Umbcmail-Seal"]
        self.assertEqual(len(removed), seals)
        self.assertIn(f"why={why}" if " " not in why else f'why="{why}"', self.logged())
        self.lines.clear()

    def test_changed(self) -> None:
        """A seal is for this content: body and what one goes by of the header."""
        sealed = self.sealed()
        self.assertRemoved("wrong", sealed, b"other text\r\n")
        self.assertRemoved("wrong", sealed, b"text\r\n more\r\n")
        self.assertRemoved("wrong", ((b"From", b" x@b.test"), *sealed[1:]))
        self.assertRemoved("wrong", sealed[1:])
        for name in (b"From", b"SUBJECT ", b"Content-Type", b"MIME-Version", b"X-Virus-Status", b"x-spam-flag"):
            self.assertRemoved("wrong", ((name, b" x"), *sealed))

    def test_forged(self) -> None:
        """Nobody can make one without the secret, or change one."""
        sealed = self.sealed()
        *fields, (name, value) = sealed
        seal = readSeal(value)
        assert seal is not None
        for changed in (
            value.replace(b"t=1700000000", b"t=1700000001"),
            value.replace(b"spamassassin:1.2", b"spamassassin:1.1"),
            value.replace(b"c=clamav", b"c=any,clamav"),
            value.replace(b"i=q1", b"i=q2"),
            value.replace(b"h=mx1", b"h=mx2"),
            value[:-8] + b"AAAAAAA=",
        ):
            self.assertNotEqual(changed, value)
            self.assertRemoved("wrong", (*fields, (name, changed)))
        for changed in (
            b"",
            b" v=1",
            value.replace(b"v=1", b"v=2"),
            value + b"; x=1",
            value.replace(b"c=clamav", b"c=Clam av"),
            value.replace(b"t=1700000000", b"t=-1"),
            b"\xff" + value,
            value + b"\t" * 1900,
        ):
            self.assertRemoved("malformed", (*fields, (name, changed)))
        self.assertRemoved("malformed", (*sealed, (name, value)))
        other = f"{self.path}.other"
        secret.new(other)
        self.assertRemoved("unknown secret", self.sealed(secret=other))

    def test_foreign(self) -> None:
        """A seal from elsewhere counts nothing, whoever has made it."""
        self.assertRemoved("foreign", self.sealed(), networks=(network("192.0.2.2"),))
        self.assertRemoved("foreign", self.sealed(), networks=())

    def test_replay(self) -> None:
        """A seal grows old, and does not fit another message."""
        sealed = self.sealed()
        self.clock.advance(3600)
        self.assertTrue(self.again(sealed)[0])
        self.clock.advance(1)
        self.assertRemoved("old", sealed)
        other = self.sealed((b"From", b" other@b.test"), (b"Subject", b" other"), body=b"virus\r\n")
        self.assertRemoved("wrong", (*other[:-1], sealed[-1]), b"virus\r\n", lifetime=7200.0)

    def test_skew(self) -> None:
        """Clocks may differ a little."""
        ahead = Clock()
        ahead.advance(self.clock.seconds())
        self.clock.advance(120)
        sealed = self.sealed()
        self.assertTrue(self.again(sealed, clock=ahead)[0])
        self.clock.advance(1)
        self.assertRemoved("early", self.sealed(), clock=ahead)

    def test_notClean(self) -> None:
        """Nothing is vouched for that was not found clean: spam, viruses that are tagged, what
        could not be examined."""
        for opinion in (
            Opinion(Rank.SPAM, score=6.0),
            Opinion(Rank.VIRUS, Action.ACCEPT, "Eicar"),
            Opinion(isExamined=False),
            ModuleError("down"),
        ):
            self.begin(Module(opinion), seal=self.sealer(), failure="accept", kinds=["clamav"])
            self.assertEqual(self.tell(self.client(), self.message()), [Disposition.ACCEPT])
        self.begin(Module(CLEAN), Module(Opinion(Rank.VIRUS, Action.REFUSE)), seal=self.sealer())
        [said] = self.tell(self.client(), self.message())
        self.assertNotEqual(said, Disposition.ACCEPT)


class HeaderTests(SealCase):
    """What a seal is bound to of a header."""

    def test_noMix(self) -> None:
        """Two headers that differ are never the same: names and values can't be shifted."""
        self.assertNotEqual(boundHeader([(b"To", b"a\nTo:b")]), boundHeader([(b"To", b"a"), (b"To", b"b")]))
        self.assertNotEqual(boundHeader([(b"To", b"a"), (b"To", b"b")]), boundHeader([(b"To", b"b"), (b"To", b"a")]))


class SecretTests(SealCase):
    """The files."""

    def test_mode(self) -> None:
        """A file that others can read or write is of no use; nor one that is too short, or
        no file."""
        for mode in (0o640, 0o604, 0o620, 0o601):
            os.chmod(self.path, mode)
            self.assertRaisesRegex(ValueError, "0600", self.sealer)
        os.chmod(self.path, 0o400)
        self.sealer()
        os.chmod(self.path, 0o600)
        Path(self.path).write_bytes(b"x" * 31 + b"\n")
        self.assertRaisesRegex(ValueError, "32 to 4096", self.sealer)
        self.assertRaisesRegex(ValueError, "no file", lambda: secret.read("/dev"))
        self.assertRaises(FileNotFoundError, secret.read, "/nonexistent/secret")
        self.assertRaisesRegex(ValueError, "secret must be set", lambda: self.sealer(secret=None))

    def test_rotation(self) -> None:
        """The new secret makes seals, the old one is still good, and one before that is not."""
        sealed = self.sealed()
        first = secret.read(self.path).name
        name = secret.new(self.path, self.old)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertEqual(secret.read(self.old).name, first)
        self.assertNotIn(secret.read(self.path).key.hex(), repr(secret.read(self.path)))
        self.assertTrue(self.again(sealed)[0])
        self.assertIn(f"k={name};".encode(), self.sealed()[-1][1])
        secret.new(self.path, self.old)
        self.assertFalse(self.again(sealed)[0])

    def test_watched(self) -> None:
        """Files that have changed are read again; what is wrong with them is told, and what was
        read before stays in use."""
        sealer = self.sealer()
        sealer.startService()
        self.addCleanup(sealer.stopService)
        before = [each.name for each in sealer._secrets]
        os.chmod(self.path, 0o644)
        self.clock.advance(60)
        self.assertIn("open to others", sealer.condition())
        self.assertEqual([each.name for each in sealer._secrets], before)
        os.chmod(self.path, 0o600)
        name = secret.new(self.path, self.old)
        self.clock.advance(60)
        self.assertEqual(sealer.condition(), "")
        self.assertEqual([each.name for each in sealer._secrets], [name, *before])

    def test_newKeepsWhatIsThere(self) -> None:
        """Without a place for the old secret the one that is there stays."""
        before = secret.read(self.path).name
        self.assertRaises(FileExistsError, secret.new, self.path)
        self.assertEqual(secret.read(self.path).name, before)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["secret"])
