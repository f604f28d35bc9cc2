"""L{umbcmail.check.drac}: the rule for clients that have been seen to log in elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.check.drac import DracRule
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule
from umbcmail.parts import findParts
from umbcmail.reply import LOGINS_YET
from umbcmail.sighting import Sighting, StateError
from umbcmail.state.memory import MemoryState
from umbcmail.verdict import Answer, Verdict

ADDRESS = "198.51.100.7"


class DracRuleTests(SynchronousTestCase):
    """The rule, with a roster that answers at once or later."""

    def judge(self, rule: DracRule, address: str = ADDRESS) -> Verdict:
        """What the rule says of a client."""
        said = rule.judge(Client(address), "", Recipient("r@x.test"))
        found: Verdict = self.successResultOf(said) if isinstance(said, Deferred) else said
        return found

    def answering(self, answer: Any) -> DracRule:
        """A rule whose roster gives an answer."""
        return DracRule(SimpleNamespace(find=lambda address, now: answer), lambda: 50.0)  # type: ignore[arg-type]

    def test_judge(self) -> None:
        """Who is in the roster may relay until the entry expires."""
        clock, state = Clock(), MemoryState()
        self.successResultOf(state.start())
        rule = findParts("rule")["drac"].make({}, SimpleNamespace(state=state, reactor=clock))
        verifyObject(IRelayRule, rule)
        self.successResultOf(state.roster.add(Sighting(ADDRESS, 10.0, "192.0.2.1"), 0.0))
        self.successResultOf(state.roster.add(Sighting("2001:db8::7", 10.0, ""), 0.0))
        for address, answer, why in (
            (ADDRESS, Answer.PERMIT, "a login was seen there by 192.0.2.1"),
            ("2001:db8::7", Answer.PERMIT, "a login was seen there"),
            ("198.51.100.8", Answer.NO_OPINION, "no login was seen there"),
            ("", Answer.NO_OPINION, "no login was seen there"),
        ):
            said = self.judge(rule, address)
            self.assertEqual((answer, why), (said.answer, said.why))
        clock.advance(10)
        self.assertIs(Answer.NO_OPINION, self.judge(rule).answer)

    def test_late(self) -> None:
        """An answer that comes late, or from a copy, counts by the time when it is there."""
        for expires, answer in ((51.0, Answer.PERMIT), (50.0, Answer.NO_OPINION)):
            entry = Sighting(ADDRESS, expires, "")
            self.assertIs(answer, self.judge(self.answering(entry)).answer)
            self.assertIs(answer, self.judge(self.answering(succeed(entry))).answer)
        self.assertIs(Answer.NO_OPINION, self.judge(self.answering(succeed(None))).answer)

    def test_unknown(self) -> None:
        """A roster that can't be asked delays, and the operator reads why."""

        def broken(address: str, now: float) -> Any:
            raise StateError("away")

        for rule in (
            self.answering(fail(StateError("away"))),
            DracRule(SimpleNamespace(find=broken), lambda: 50.0),  # type: ignore[arg-type]
        ):
            said = self.judge(rule)
            self.assertEqual((Answer.DELAY, LOGINS_YET, "the roster: away"), (said.answer, said.reply, said.why))
