"""L{umbcmail.check.recipients} and L{umbcmail.check.recipientpolicy}: who does not exist
is refused at RCPT."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import IService
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.check.recipientpolicy import RecipientPolicy
from umbcmail.check.recipients import RECIPIENTS, RecipientTable, RecipientTables, makeTables
from umbcmail.check.relaying import RelayPolicy
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRecipientCheck, IRelayPolicy, IWatched
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, RECIPIENT_YET, UNKNOWN_USER, Reply
from umbcmail.verdict import Answer, Verdict


def table(*lines: str, delimiter: str = "+") -> RecipientTable:
    """A table of some lines."""
    made = RecipientTable(delimiter)
    made.addLines("file", [line.encode() for line in lines])
    return made


class TableTests(SynchronousTestCase):
    """Pure."""

    def test_has(self) -> None:
        """By address, by user in all domains, by domain; details and case don't matter."""
        made = table(
            "# people", "", "Ann@Y.test", "bob", "@lists.y.test", "@.cs.y.test", '"o o"@y.test', "é@bücher.test"
        )
        self.assertEqual((made.mistakes, len(made)), ([], 6))
        for address, isThere in (
            ("ann@y.test", True),
            ("ANN+x+y@y.TEST", True),
            ("ann@z.test", False),
            ("bob@anywhere.test", True),
            ("bob+spam@y.test", True),
            ("x@lists.y.test", True),
            ("x@sub.lists.y.test", False),
            ("x@a.b.cs.y.test", True),
            ("x@cs.y.test", False),
            ('"o o"@y.test', True),
            ("é@xn--bcher-kva.test", True),
            ("+x@y.test", False),
            ("carl@y.test", False),
        ):
            self.assertEqual(made.has(address), isThere, address)
        self.assertFalse(table("ann@y.test", delimiter="").has("ann+x@y.test"))

    def test_mistakes(self) -> None:
        """What makes no sense is told with its place, and not forgotten silently."""
        made = RecipientTable()
        made.addLines("file", [b"a b@y.test", b"ann@", b"a..b", b"@-x", b"\xff@y.test", b"x" * 3000, b"ok@y.test"])
        self.assertEqual([mistake.partition(": ")[0] for mistake in made.mistakes], [f"file:{n}" for n in range(1, 7)])
        self.assertTrue(made.has("ok@y.test"))

    @given(st.text(max_size=40))
    def test_anything(self, line: str) -> None:
        """Any line is taken or is a mistake; what is taken is found again."""
        made = RecipientTable()
        try:
            made.add(line)
        except ValueError:
            return
        text = line.strip(" \t\r\n")
        if text and text[0] not in "#@" and "+" not in text and "@" in text:
            self.assertTrue(made.has(text))


class TablesCase(SynchronousTestCase):
    """Files."""

    def setUp(self) -> None:
        """A folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "people"
        self.path.write_text("ann@y.test\n")
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)

    def make(self, **values: Any) -> RecipientTables:
        """The tables of a configuration."""
        settings = {o.name: o.kind.parse(o.default) for o in RECIPIENTS.options}
        settings.update(domains=("y.test",), tables=(str(self.path),), **values)
        tools = SimpleNamespace(reactor=self.clock, log=self.log, inThread=maybeDeferred)
        made = makeTables(settings, {"y.test": True}.get, tools)
        assert made is not None
        return made

    def said(self, tables: RecipientTables, address: str, sender: str = "s@z.test") -> Reply | None:
        """What is said of an address."""
        return tables.check(sender, Recipient(address))


class TablesTests(TablesCase):
    """What the tables say."""

    def test_interfaces(self) -> None:
        """A check, a service, and it tells how it is."""
        for interface in (IRecipientCheck, IService, IWatched):
            verifyObject(interface, self.make())

    def test_check(self) -> None:
        """Who is not in the tables does not exist, in these domains; of others nothing is
        known.  The null sender is no exception."""
        tables = self.make()
        for address, answer in (("ann@y.test", None), ("bob@y.test", UNKNOWN_USER), ("bob@z.test", None)):
            self.assertEqual(self.said(tables, address), answer)
            self.assertEqual(self.said(tables, address, ""), answer)
        self.assertEqual((UNKNOWN_USER.code, UNKNOWN_USER.enhanced), (550, "5.1.1"))

    def test_changed(self) -> None:
        """A file that has changed is read again; one that is broken or gone puts off
        those who are not known, until it is there again."""
        tables = self.make()
        tables.startService()
        self.path.write_text("bob@y.test\n# longer\n")
        self.clock.advance(10)
        self.assertEqual((self.said(tables, "ann@y.test"), self.said(tables, "bob@y.test")), (UNKNOWN_USER, None))
        for harm in (self.path.unlink, lambda: self.path.write_text("what is this\n")):
            harm()
            self.clock.advance(10)
            self.assertEqual((self.said(tables, "ann@y.test"), self.said(tables, "bob@y.test")), (RECIPIENT_YET, None))
            self.assertIn(str(self.path), tables.condition())
        self.path.write_text("ann@y.test\n")
        os.utime(self.path, (1, 1))
        self.clock.advance(10)
        self.assertEqual((self.said(tables, "ann@y.test"), self.said(tables, "bob@y.test")), (None, UNKNOWN_USER))
        self.assertEqual(tables.condition(), "")
        tables.stopService()
        self.log.flush()
        self.assertIn(b" trouble id=- where=recipients ", b"".join(self.lines))
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_atTheStart(self) -> None:
        """An operator hears of all mistakes at once; without the settings there is nothing."""
        self.path.write_text("a b\nc d\n")
        with self.assertRaises(ExceptionGroup) as caught:
            self.make()
        self.assertEqual(len(caught.exception.exceptions), 2)
        empty = {"domains": (), "tables": ()}
        self.assertIsNone(makeTables(empty, bool, None))
        for name in empty:
            self.assertRaises(ValueError, makeTables, {**empty, name: ("x",)}, bool, None)


class Check:
    """Says what a test has set."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def check(self, sender: str, recipient: Recipient) -> Any:
        """See L{IRecipientCheck}."""
        self.asked.append(recipient.address)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class PolicyTests(SynchronousTestCase):
    """After the relay rules."""

    def setUp(self) -> None:
        """A log."""
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, Clock())

    def policy(self, *checks: Check) -> RecipientPolicy:
        """For y.test; nobody may relay."""
        relay = RelayPolicy(lambda domain: domain == "y.test", [], self.log)
        return RecipientPolicy(relay, [(f"check{n}", check) for n, check in enumerate(checks)], self.log)

    def judge(self, policy: RecipientPolicy, address: str = "a@y.test") -> Verdict | Deferred[Verdict]:
        """What it says."""
        return policy.judge(Client("192.0.2.1"), "s@z.test", Recipient(address))

    def test_interface(self) -> None:
        """It is a policy."""
        verifyObject(IRelayPolicy, self.policy())

    def test_order(self) -> None:
        """The first that has something against the recipient decides; 5xx refuses, 4xx
        delays, with its words."""
        for answers, kind, said in (
            ((None, None), Answer.PERMIT, None),
            ((None, UNKNOWN_USER), Answer.REFUSE, UNKNOWN_USER),
            ((RECIPIENT_YET, UNKNOWN_USER), Answer.DELAY, RECIPIENT_YET),
        ):
            checks = [Check(answer) for answer in answers]
            verdict = self.judge(self.policy(*checks))
            assert isinstance(verdict, Verdict)
            self.assertEqual((verdict.answer, verdict.reply), (kind, said))
            self.assertEqual(len(checks[1].asked), answers[0] is None)

    def test_notAsked(self) -> None:
        """Nothing is asked about mail that may not pass anyway, or about the postmaster."""
        check = Check(UNKNOWN_USER)
        policy = self.policy(check)
        for address in ("a@z.test", "Postmaster@y.test", "postmaster"):
            verdict = self.judge(policy, address)
            assert isinstance(verdict, Verdict)
            self.assertIsNot(verdict.reply, UNKNOWN_USER)
        self.assertEqual(check.asked, [])

    def test_later(self) -> None:
        """A check may take its time."""
        waiting: Deferred[Reply | None] = Deferred()
        verdict = self.judge(self.policy(Check(None), Check(waiting), Check(RECIPIENT_YET)))
        assert isinstance(verdict, Deferred)
        self.assertNoResult(verdict)
        waiting.callback(None)
        self.assertEqual(self.successResultOf(verdict).reply, RECIPIENT_YET)

    def test_broken(self) -> None:
        """One that is broken delays, and the log has it."""
        for bad in (ValueError("bug"), fail(ValueError("bug")), "nonsense"):
            verdict = self.judge(self.policy(Check(bad)))
            found = self.successResultOf(verdict) if isinstance(verdict, Deferred) else verdict
            self.assertEqual((found.answer, found.reply), (Answer.DELAY, LOCAL_ERROR))
        self.log.flush()
        self.assertEqual(b"".join(self.lines).count(b" bug id=- where=check0 "), 3)

    def test_explain(self) -> None:
        """Who asks is told what each check has said."""
        policy = self.policy(Check(None), Check(UNKNOWN_USER))
        told, verdict = self.successResultOf(policy.explain(Client("192.0.2.1"), "", Recipient("a@y.test")))
        self.assertEqual([name for name, _ in told], ["check0", "check1"])
        self.assertEqual((told[0][1].answer, verdict.reply), (Answer.NO_OPINION, UNKNOWN_USER))
        told, verdict = self.successResultOf(policy.explain(Client("192.0.2.1"), "", Recipient("a@z.test")))
        self.assertEqual((told, verdict.answer), ([], Answer.REFUSE))
