"""L{umbcmail.check.relaying}: may mail go to a recipient."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.check.relaying import RelayPolicy
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayPolicy, IRelayRule
from umbcmail.reply import LOCAL_ERROR, RELAYING_DENIED, reply
from umbcmail.verdict import NO_OPINION, Answer, Verdict, delay, permit, refuse

YES = permit("yes")
NO = refuse(reply(550, "5.7.1", "No"), "no")
LATER = delay(reply(451, "4.7.1", "Later"), "later")


@implementer(IRelayRule)
class FakeRule:
    """Says what it was told to say."""

    def __init__(self, said: Any) -> None:
        self.said = said
        self.asked: list[tuple[Client, str, Recipient]] = []

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Any:
        """See L{IRelayRule.judge}."""
        self.asked.append((client, sender, recipient))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class RelayPolicyTests(SynchronousTestCase):
    """Our domains, then the rules in order."""

    def judge(self, *said: Any, address: str = "r@x.test") -> Any:
        """What a policy with rules says that say C{said}; y.test is ours."""
        self.log = FakeLog()
        self.rules = [FakeRule(each) for each in said]
        policy = RelayPolicy("y.test".__eq__, [(f"rule{n}", r) for n, r in enumerate(self.rules)], self.log)  # type: ignore[arg-type]
        verifyObject(IRelayPolicy, policy)
        return policy.judge(Client("192.0.2.1"), "s@x.test", Recipient(address))

    def test_ownDomain(self) -> None:
        """Mail for us is taken from anybody, no rule is asked."""
        for address in ("r@y.test", "r@Y.TEST", "postmaster"):
            self.assertIs(Answer.PERMIT, self.judge(NO, address=address).answer)
            self.assertEqual([], self.rules[0].asked)

    def test_localPartIsOpaque(self) -> None:
        """Whatever the local part looks like, only the last domain counts."""
        for local in ("u%x.test", '"a@x.test"', "x.test!u", "@x.test:u"):
            self.assertIs(Answer.PERMIT, self.judge(address=f"{local}@y.test").answer)
            self.assertIs(Answer.REFUSE, self.judge(address=f"{local.replace('x.test', 'y.test')}@x.test").answer)

    def test_noRules(self) -> None:
        """Without a rule nobody may relay."""
        self.assertIs(RELAYING_DENIED, self.judge().reply)

    def test_nobodyHasAnOpinion(self) -> None:
        """Nothing said is no permission."""
        self.assertIs(RELAYING_DENIED, self.judge(NO_OPINION, Verdict(Answer.NO_OPINION)).reply)

    def test_firstOpinionWins(self) -> None:
        """Behind a permission or a refusal the others are not asked."""
        for opinion in (YES, NO):
            for later in (YES, NO, LATER):
                self.assertIs(opinion, self.judge(NO_OPINION, opinion, later))
                self.assertEqual([1, 1, 0], [len(rule.asked) for rule in self.rules])

    def test_delayIsNoLastWord(self) -> None:
        """Behind a delay a permission counts; a refusal or nothing leaves the first
        delay, at once or later."""
        other = delay(reply(451, "4.7.2", "Later"), "much later")
        for wrap in (lambda said: said, succeed):
            for expected, said in (
                (YES, (LATER, YES)),
                (YES, (LATER, NO_OPINION, other, YES, NO)),
                (LATER, (LATER, NO, YES)),
                (LATER, (LATER, NO_OPINION, other)),
                (NO, (NO, LATER, YES)),
            ):
                got = self.judge(*map(wrap, said))
                self.assertIs(expected, self.successResultOf(got) if isinstance(got, Deferred) else got)

    def test_whatRulesAreTold(self) -> None:
        """Client, sender and recipient as they are."""
        self.judge(YES)
        self.assertEqual([(Client("192.0.2.1"), "s@x.test", Recipient("r@x.test"))], self.rules[0].asked)

    def test_slowRule(self) -> None:
        """The later ones wait for it, and then the client."""
        waiting: Deferred[Verdict] = Deferred()
        said = self.judge(NO_OPINION, waiting, NO_OPINION, YES)
        self.assertNoResult(said)
        self.assertEqual([1, 1, 0, 0], [len(rule.asked) for rule in self.rules])
        waiting.callback(NO_OPINION)
        self.assertIs(YES, self.successResultOf(said))

    def test_severalSlowRules(self) -> None:
        """One after the other, to the end."""
        said = self.judge(succeed(NO_OPINION), succeed(NO_OPINION))
        self.assertIs(RELAYING_DENIED, self.successResultOf(said).reply)
        self.assertIs(NO, self.successResultOf(self.judge(succeed(NO_OPINION), succeed(NO), YES)))

    def test_brokenRule(self) -> None:
        """A rule that raises, fails or says nonsense delays, and is logged; a later
        rule may permit, but not refuse."""
        for make in (
            ZeroDivisionError,
            lambda: fail(ZeroDivisionError()),
            lambda: None,
            lambda: "",
            lambda: succeed(1),
        ):
            said = self.judge(make(), YES)
            self.assertIs(YES, self.successResultOf(said) if isinstance(said, Deferred) else said)
            said = self.judge(NO_OPINION, make(), NO)
            verdict = self.successResultOf(said) if isinstance(said, Deferred) else said
            self.assertEqual((Answer.DELAY, LOCAL_ERROR), (verdict.answer, verdict.reply))
            self.assertEqual(["rule rule1"], [where for _, where, _ in self.log.bugs])

    def test_brokenDomains(self) -> None:
        """So does an error about our own domains."""
        log = FakeLog()

        def isOurs(domain: str) -> bool:
            raise ZeroDivisionError

        said = RelayPolicy(isOurs, [], log).judge(Client(), "", Recipient("r@x.test"))  # type: ignore[arg-type]
        self.assertIs(Answer.DELAY, said.answer)  # type: ignore[union-attr]
        self.assertEqual(1, len(log.bugs))
