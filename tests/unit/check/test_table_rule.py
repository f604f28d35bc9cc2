"""L{umbcmail.check.table} and L{umbcmail.check.tablefiles}: the rule, and its files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeResolver
from umbcmail.check.table import OPTIONS, TableRule, make
from umbcmail.destination import NoAnswer
from umbcmail.envelope import Client, Recipient
from umbcmail.findings import Findings
from umbcmail.interfaces import IRelayRule, IWatched
from umbcmail.maillog import MailLog
from umbcmail.verdict import Answer, Verdict


def settings(**values: Any) -> dict[str, Any]:
    """The options, as the configuration gives them."""
    made = {option.name: option.kind.parse(option.default) for option in OPTIONS}
    made.update({name: next(o for o in OPTIONS if o.name == name).kind.parse(value) for name, value in values.items()})
    return made


class TableCase(SynchronousTestCase):
    """A rule, its files and its DNS."""

    def setUp(self) -> None:
        """A folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.threads: list[Any] = []
        self.resolver = FakeResolver()

    def inThread(self, what: Any, *args: Any) -> Deferred[Any]:
        """At once."""
        self.threads.append(what)
        return maybeDeferred(what, *args)

    def make(self, *entries: str, **values: Any) -> TableRule:
        """The rule."""
        tools = SimpleNamespace(reactor=self.clock, log=self.log, inThread=self.inThread, resolver=self.resolver)
        return make(settings(entries=list(entries), **values), tools)

    def judge(self, rule: TableRule, address: str = "192.0.2.1", name: str = "", **more: str) -> Verdict:
        """What the rule says of a client."""
        client = Client(address, name=name, helo=more.get("helo", "pc"))
        said = rule.judge(client, more.get("sender", "s@x.test"), Recipient(more.get("recipient", "r@y.test")))
        return self.successResultOf(said) if isinstance(said, Deferred) else said

    def logged(self) -> str:
        """The log."""
        self.log.flush()
        return b"".join(self.lines).decode()


class RuleTests(TableCase):
    """What the rule says."""

    def test_interfaces(self) -> None:
        """It is a rule for our own domains too, a service, and tells how it is."""
        rule = self.make()
        for interface in (IRelayRule, IService, IWatched):
            verifyObject(interface, rule)
        self.assertTrue(rule.restricts)
        self.assertEqual(("", [("table_entries", 0)]), (rule.condition(), [(f.name, f.value) for f in rule.figures()]))

    def test_empty(self) -> None:
        """Without entries it has no opinion, and asks nobody."""
        said = self.judge(self.make())
        self.assertEqual((Answer.NO_OPINION, "the table says nothing of it"), (said.answer, said.why))
        self.assertEqual([], self.resolver.asked)

    def test_order(self) -> None:
        """The address, then the name, then the message."""
        rule = self.make("client 192.0.2.1 hold a", "name a.test hold b", "sender @x.test hold c")
        for address, name, expected in (
            ("192.0.2.1", "a.test", "a"),
            ("192.0.2.2", "a.test", "b"),
            ("192.0.2.2", "b.test", "c"),
        ):
            self.assertEqual(expected, self.judge(rule, address, name).why[-1])

    def test_reply(self) -> None:
        """The client hears what the entry says."""
        said = self.judge(self.make("recipient r@y.test refuse 553 5.1.1 Gone"))
        self.assertEqual("553 5.1.1 Gone", str(said.reply))

    def test_noAddress(self) -> None:
        """A client without an address has no name to look up."""
        self.assertIs(Answer.NO_OPINION, self.judge(self.make("name a.test hold"), "").answer)
        self.assertEqual([], self.resolver.asked)


class LookUpTests(TableCase):
    """Names that must be looked up."""

    def setUp(self) -> None:
        """192.0.2.1 is a.test, and claims to be b.test."""
        TableCase.setUp(self)
        self.resolver.records["PTR"]["192.0.2.1"] = ["b.test", "a.test", "c.test"]
        self.resolver.records["A"].update({"a.test": ["192.0.2.1"], "b.test": ["192.0.2.9"], "c.test": NoAnswer()})

    def test_confirmed(self) -> None:
        """A name counts when it has the address; only names with an entry are asked for."""
        rule = self.make("name a.test refuse", "name b.test permit", "sender @x.test hold")
        self.assertIs(Answer.REFUSE, self.judge(rule).answer)
        self.assertEqual(["192.0.2.1", "b.test", "a.test"], [name for _, name in self.resolver.asked])
        self.assertIs(Answer.HOLD, self.judge(self.make("name b.test permit", "sender @x.test hold")).answer)
        self.assertIs(Answer.HOLD, self.judge(rule, "192.0.2.2").answer)

    def test_notNeeded(self) -> None:
        """Nobody is asked without entries by name, or when the address decides."""
        self.judge(self.make("sender @x.test hold"))
        self.judge(self.make("name a.test refuse", "client 192.0.2.1 permit"))
        self.assertEqual([], self.resolver.asked)

    def test_forwardUnknown(self) -> None:
        """Where an entry may be meant and the DNS can't tell, the client comes again;
        one that would only permit is in doubt, which harms nobody who needs no permission."""
        said = self.judge(self.make("name c.test refuse"))
        self.assertEqual((Answer.DELAY, False), (said.answer, said.isDoubt))
        said = self.judge(self.make("name c.test permit"))
        self.assertEqual((Answer.DELAY, True), (said.answer, said.isDoubt))
        self.assertIs(Answer.NO_OPINION, self.judge(self.make("name d.test refuse")).answer)

    def test_pointerUnknown(self) -> None:
        """So it is when not even the name can be told."""
        self.resolver.records["PTR"]["192.0.2.1"] = NoAnswer()
        for entries, isDoubt in ((["name z.test permit"], True), (["name z.test permit", "name .y.test hold"], False)):
            said = self.judge(self.make(*entries))
            self.assertEqual((Answer.DELAY, isDoubt), (said.answer, said.isDoubt))
        self.assertIs(Answer.NO_OPINION, self.judge(self.make("sender @z.test hold")).answer)

    def test_doubtAndMore(self) -> None:
        """Who may be permitted by the name is not refused for the sender, but delayed."""
        for action, expected in (
            ("refuse", (Answer.DELAY, False)),
            ("discard", (Answer.DELAY, False)),
            ("hold", (Answer.DELAY, False)),
            ("delay", (Answer.DELAY, False)),
            ("permit", (Answer.DELAY, True)),
            ("dunno", (Answer.DELAY, True)),
        ):
            said = self.judge(self.make("name c.test permit", f"sender @x.test {action}"))
            self.assertEqual(expected, (said.answer, said.isDoubt), action)
        said = self.judge(self.make("name c.test permit", "recipient r@y.test permit"))
        self.assertIs(Answer.PERMIT, said.answer)

    def test_dunno(self) -> None:
        """A name without an opinion ends the search among names."""
        rule = self.make("name a.test dunno", "name .test refuse", "sender @x.test hold")
        self.resolver.records["A"].clear()
        self.resolver.records["A"]["a.test"] = ["192.0.2.1"]
        self.assertIs(Answer.HOLD, self.judge(rule).answer)

    def test_known(self) -> None:
        """A name that is confirmed already is not looked up."""
        self.assertIs(Answer.REFUSE, self.judge(self.make("name a.test refuse"), "192.0.2.5", "a.test").answer)
        self.assertEqual([], self.resolver.asked)

    def test_waits(self) -> None:
        """The table that counts is that of the question."""
        waiting: Deferred[Any] = Deferred()
        self.resolver.records["PTR"]["192.0.2.1"] = waiting
        rule = self.make("name a.test refuse")
        said: Any = rule.judge(Client("192.0.2.1"), "", Recipient("r@y.test"))
        self.assertNoResult(said)
        waiting.callback(["a.test"])
        self.assertIs(Answer.REFUSE, self.successResultOf(said).answer)


class FilesTests(TableCase):
    """Files, and changes of them."""

    def write(self, text: str, name: str = "access") -> str:
        """Write a file; its time is another one at each call."""
        path = self.folder / name
        path.write_text(text)
        self.stamp = getattr(self, "stamp", 0) + 1
        os.utime(path, ns=(self.stamp, self.stamp))
        return str(path)

    def start(self, rule: TableRule) -> None:
        """Let it watch."""
        rule.startService()
        self.addCleanup(rule.stopService)

    def test_files(self) -> None:
        """Several files and the lines of the configuration are one table."""
        files = [self.write("client 192.0.2.1 hold a\n", "one"), self.write("client 192.0.2.2 hold b\n", "two")]
        rule = self.make("client 192.0.2.3 hold c", files=files)
        self.assertEqual(["a", "b", "c"], [self.judge(rule, f"192.0.2.{n}").why[-1] for n in (1, 2, 3)])
        self.assertEqual([3.0], [figure.value for figure in rule.figures()])
        self.assertEqual([], self.threads)

    def test_mistakesAtStart(self) -> None:
        """All mistakes of all files come at once, with file and line, and one that is
        not there."""
        files = [
            self.write("x\nclient 192.0.2.1 hold\ny\n", "one"),
            self.write("z\n", "two"),
            str(self.folder / "none"),
        ]
        found = self.assertRaises(ExceptionGroup, self.make, "client 192.0.2.1 refuse", files=files)
        texts = [str(each) for each in found.exceptions]
        places = [
            f"{files[0]}:1: ",
            f"{files[0]}:3: ",
            f"{files[1]}:1: ",
            f"{files[2]}: No such file",
            "entries: there is",
        ]
        self.assertEqual(5, len(texts))
        for place, text in zip(places, texts, strict=True):
            self.assertTrue(text.startswith(place), text)

    def test_findings(self) -> None:
        """Each is a problem of its own for whoever starts the program."""

        class Config:
            def problem(self, key: str, reason: str, among: Any, value: Any) -> str:
                return f"{key}: {reason}"

        findings = Findings(Config())  # type: ignore[arg-type]
        path = self.write("x\ny\n")
        self.assertIsNone(findings.checked("rule.table", lambda: self.make(files=[path])))
        self.assertEqual(
            [f"rule.table: {path}:{n}: a kind, a key and an action are needed" for n in (1, 2)], findings.problems
        )

    def test_change(self) -> None:
        """A file that has changed is read in a thread, and counts from then on."""
        path = self.write("client 192.0.2.1 hold a\n")
        rule = self.make(files=[path], poll="10s")
        self.start(rule)
        self.write("client 192.0.2.1 refuse\n")
        self.clock.advance(9)
        self.assertIs(Answer.HOLD, self.judge(rule).answer)
        self.clock.advance(1)
        self.assertIs(Answer.REFUSE, self.judge(rule).answer)
        self.assertIn(" table id=- entries=1 why=new", self.logged())
        self.clock.pump([10] * 5)
        self.assertEqual(6, len(self.threads))
        self.assertEqual(1, self.logged().count(" table id="))

    def test_replaced(self) -> None:
        """So is one that has been replaced by another of the same size and time."""
        path = self.write("client 192.0.2.1 hold a\n")
        rule = self.make(files=[path])
        self.start(rule)
        before = os.stat(path)
        other = self.folder / "other"
        other.write_text("client 192.0.2.1 hold b\n")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(path)
        self.clock.advance(10)
        self.assertEqual("b", self.judge(rule).why[-1])

    def test_changeWithMistakes(self) -> None:
        """A file with mistakes leaves the table as it is, and the log says so once;
        a good one later is taken."""
        path = self.write("client 192.0.2.1 hold a\n")
        rule = self.make(files=[path])
        self.start(rule)
        self.write("client 192.0.2.1 refuse\nnonsense\n")
        self.clock.pump([10] * 5)
        self.assertIs(Answer.HOLD, self.judge(rule).answer)
        self.assertEqual(1, self.logged().count(f"{path}:2: a kind, a key"))
        self.assertIn(f"{path}:2: ", rule.condition())
        self.assertIn("read before", rule.condition())
        os.unlink(path)
        self.clock.pump([10] * 5)
        self.assertIs(Answer.HOLD, self.judge(rule).answer)
        self.assertEqual(1, self.logged().count("No such file"))
        self.write("client 192.0.2.1 refuse\n")
        self.clock.advance(10)
        self.assertEqual((Answer.REFUSE, ""), (self.judge(rule).answer, rule.condition()))

    def test_threadFails(self) -> None:
        """An error of ours is logged, and it is looked again."""
        path = self.write("client 192.0.2.1 hold a\n")
        rule = self.make(files=[path])
        rule._files._inThread = lambda *args: fail(ZeroDivisionError())
        self.start(rule)
        self.clock.pump([10, 10])
        self.assertEqual(2, self.logged().count(" bug "))
        self.assertIs(Answer.HOLD, self.judge(rule).answer)

    def test_stop(self) -> None:
        """Nothing is left when it ends, or where it has no files."""
        rule = self.make(files=[self.write("")])
        rule.startService()
        rule.stopService()
        other = self.make("client 192.0.2.1 hold")
        self.start(other)
        self.assertEqual([], self.clock.getDelayedCalls())


class OptionTests(SynchronousTestCase):
    """What can be configured."""

    def test_mistakes(self) -> None:
        """Wrong lines and delimiters are found with the configuration."""
        self.assertRaisesRegex(
            ValueError, "member 2: .* none of permit", settings, entries=["client ::1 permit", "client ::1 no"]
        )
        self.assertRaises(ValueError, settings, entries=[""])
        self.assertRaises(ValueError, settings, delimiter="++")
        self.assertRaises(ValueError, settings, files=["access"])
        self.assertRaises(ValueError, settings, poll="0s")
        self.assertEqual("", settings(delimiter="")["delimiter"])
