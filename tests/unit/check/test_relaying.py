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
from umbcmail.verdict import NO_OPINION, Answer, Verdict, delay, discard, doubt, hold, passes, permit, refuse

YES = permit("yes")
NO = refuse(reply(550, "5.7.1", "No"), "no")
LATER = delay(reply(451, "4.7.1", "Later"), "later")
MAYBE = doubt(reply(451, "4.7.3", "Maybe"), "maybe")
PASS = passes("pass")
AWAY = discard("away")
WAIT = hold("wait")


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
        return self.said() if callable(self.said) else self.said


class RestrictingRule(FakeRule):
    """One that is asked for our own domains too."""

    restricts = True


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


class RestrictionTests(SynchronousTestCase):
    """Rules that are asked for our own domains too."""

    def judge(self, address: str, *said: Any) -> Any:
        """What rules make of a recipient: y.test is ours, and a rule given in a list
        restricts."""
        self.log = FakeLog()
        self.rules = [RestrictingRule(each[0]) if isinstance(each, list) else FakeRule(each) for each in said]
        policy = RelayPolicy("y.test".__eq__, [(f"rule{n}", r) for n, r in enumerate(self.rules)], self.log)  # type: ignore[arg-type]
        question = (Client("192.0.2.1"), "s@x.test", Recipient(address))
        judged = policy.judge(*question)
        verdict = self.successResultOf(judged) if isinstance(judged, Deferred) else judged
        self.told, again = self.successResultOf(policy.explain(*question))
        self.assertEqual(verdict, again)
        self.assertIsNot(Answer.PASS, verdict.answer)
        return verdict

    def assertJudged(self, address: str, *cases: tuple[Any, tuple[Any, ...]]) -> None:
        """What comes of what rules say, at once or later."""
        for expected, said in cases:
            for wrap in (lambda each: each, lambda each: lambda: succeed(each)):
                wrapped = [[wrap(each[0])] if isinstance(each, list) else wrap(each) for each in said]
                found = self.judge(address, *wrapped)
                if isinstance(expected, Answer):
                    self.assertIs(expected, found.answer, said)
                else:
                    self.assertIs(expected, found, said)

    def test_own(self) -> None:
        """A rule that restricts can say no to mail for us, in each way; without a
        word of it the mail is permitted."""
        self.assertJudged(
            "r@y.test",
            (NO, ([NO],)),
            (AWAY, ([AWAY],)),
            (WAIT, ([WAIT],)),
            (LATER, ([LATER],)),
            (Answer.PERMIT, ([NO_OPINION],)),
            (Answer.PERMIT, ([PASS],)),
            (NO, (NO_OPINION, [NO_OPINION], [NO])),
        )

    def test_permittedBefore(self) -> None:
        """Who is permitted or let pass by a rule before it is not refused."""
        self.assertJudged("r@y.test", (YES, (YES, [NO])), (Answer.PERMIT, ([PASS], [NO])), (NO, ([NO], YES)))

    def test_onlyAsFarAsNeeded(self) -> None:
        """Rules behind the last that restricts are not asked for our domains."""
        self.assertIs(Answer.PERMIT, self.judge("r@y.test", NO_OPINION, [NO_OPINION], NO, YES).answer)
        self.assertEqual([2, 2, 0, 0], [len(rule.asked) for rule in self.rules])

    def test_othersDoNotRestrict(self) -> None:
        """What a rule says that does not restrict is a word about other domains only."""
        for said in (NO, LATER, MAYBE, AWAY, WAIT, ZeroDivisionError(), None):
            self.assertIs(Answer.PERMIT, self.judge("r@y.test", said, [NO_OPINION]).answer)
            self.assertIs(Answer.PERMIT, self.judge("r@y.test", said).answer)

    def test_doubt(self) -> None:
        """Who might have been permitted is not refused, and not taken either."""
        self.assertJudged(
            "r@y.test",
            (LATER, (LATER, [NO])),
            (LATER, (LATER, [AWAY])),
            (LATER, (LATER, [WAIT])),
            (MAYBE, ([MAYBE], [NO])),
            (YES, (LATER, [NO_OPINION], YES, [NO])),
            (Answer.PERMIT, (LATER, [NO_OPINION])),
            (Answer.PERMIT, ([MAYBE], [NO_OPINION])),
            (Answer.PERMIT, ([MAYBE], [PASS], [NO])),
        )

    def test_delayOfARestriction(self) -> None:
        """It lasts, unless any other rule of the list permits."""
        self.assertJudged(
            "r@y.test",
            (LATER, ([LATER], [NO])),
            (LATER, ([LATER], NO_OPINION)),
            (YES, ([LATER], NO_OPINION, YES)),
            (Answer.PERMIT, ([LATER], [PASS])),
        )

    def test_brokenRestriction(self) -> None:
        """It delays, as everywhere."""
        verdict = self.judge("r@y.test", [ZeroDivisionError()])
        self.assertEqual((Answer.DELAY, LOCAL_ERROR), (verdict.answer, verdict.reply))

    def test_foreign(self) -> None:
        """For other domains somebody must permit: to pass or to be held is no
        permission."""
        self.assertJudged(
            "r@x.test",
            (Answer.REFUSE, ([PASS],)),
            (Answer.REFUSE, ([WAIT],)),
            (Answer.REFUSE, ([WAIT], [PASS])),
            (Answer.REFUSE, (PASS, NO_OPINION)),
            (NO, ([PASS], [NO], YES)),
            (NO, ([WAIT], [NO], YES)),
            (WAIT, ([WAIT], YES)),
            (YES, (YES, [WAIT])),
            (LATER, ([WAIT], LATER)),
            (AWAY, ([AWAY], YES)),
            (LATER, (LATER, [AWAY])),
            (MAYBE, ([MAYBE], NO_OPINION)),
            (YES, ([MAYBE], YES)),
        )

    def test_explained(self) -> None:
        """Each rule that was asked is told of with its answer, those behind a
        decision are not."""
        self.judge("r@x.test", NO_OPINION, [PASS], lambda: succeed(LATER), YES, NO)
        self.assertEqual(
            [("rule0", NO_OPINION), ("rule1", PASS), ("rule2", LATER), ("rule3", YES)],
            self.told,
        )
        self.judge("r@y.test", YES)
        self.assertEqual([], self.told)
        self.judge("r@y.test", ZeroDivisionError(), [NO])
        self.assertEqual(["rule0", "rule1"], [name for name, _ in self.told])
        self.assertIs(Answer.DELAY, self.told[0][1].answer)

    def test_brokenDomains(self) -> None:
        """An error about our own domains is explained as it is judged."""
        log = FakeLog()

        def isOurs(domain: str) -> bool:
            raise ZeroDivisionError

        told, verdict = self.successResultOf(RelayPolicy(isOurs, [], log).explain(Client(), "", Recipient("r@x.test")))  # type: ignore[arg-type]
        self.assertEqual(([], Answer.DELAY), (told, verdict.answer))
