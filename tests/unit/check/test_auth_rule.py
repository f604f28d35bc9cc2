"""L{umbcmail.check.auth}: the rule for clients that have authenticated."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule
from umbcmail.parts import findParts
from umbcmail.verdict import Answer


class AuthRuleTests(SynchronousTestCase):
    """The rule as it is found by its name."""

    def test_judge(self) -> None:
        """A login permits; without one there is no opinion."""
        rule = findParts("rule")["auth"].make({}, None)
        verifyObject(IRelayRule, rule)
        recipient = Recipient("r@x.test")
        self.assertIs(Answer.PERMIT, rule.judge(Client(login="ann"), "", recipient).answer)
        self.assertIs(Answer.NO_OPINION, rule.judge(Client("127.0.0.1"), "", recipient).answer)
