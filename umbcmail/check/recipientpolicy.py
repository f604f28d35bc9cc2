"""Asks, after the relay rules, whether the recipient exists at all.

What could not be delivered is refused while its client is still there, so that no
notification goes to an address that may be forged.  The postmaster is always taken
(RFC 5321 section 4.5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.check.relaying import RelayPolicy, Told
from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRecipientCheck, IRelayPolicy
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, Reply
from umbcmail.verdict import Answer, Verdict, delay, noOpinion, permit, refuse


@implementer(IRelayPolicy)
class RecipientPolicy:
    """What the relay rules say, and then the checks."""

    def __init__(self, policy: RelayPolicy, checks: Sequence[tuple[str, IRecipientCheck]], log: MailLog) -> None:
        """
        @param checks: pairs of name and check, in order.
        """
        self._policy = policy
        self._checks = tuple(checks)
        self._log = log

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayPolicy.judge}; at once as long as all answer at once."""
        verdict = self._policy.judge(client, sender, recipient)
        if not self._checks or _isPostmaster(recipient):
            return verdict
        if isinstance(verdict, Deferred):
            return verdict.addCallback(self._from, 0, sender, recipient)
        found: Verdict | Deferred[Verdict] = self._from(verdict, 0, sender, recipient)
        return found

    @inlineCallbacks
    def explain(self, client: Client, sender: str, recipient: Recipient) -> Any:
        """See L{RelayPolicy.explain}."""
        told: Told
        told, verdict = yield self._policy.explain(client, sender, recipient)
        if verdict.answer in (Answer.PERMIT, Answer.HOLD) and not _isPostmaster(recipient):
            for name, check in self._checks:
                said = yield self._asked(name, check, sender, recipient)
                told.append((name, noOpinion("nothing is known against the address") if said is None else said))
                if said is not None:
                    return told, verdict if said.answer is Answer.PERMIT else said
        return told, verdict

    def _from(self, verdict: Verdict, at: int, sender: str, recipient: Recipient) -> Any:
        """Ask the checks from a position on about a recipient that the rules let pass."""
        if verdict.answer not in (Answer.PERMIT, Answer.HOLD):
            return verdict
        for number in range(at, len(self._checks)):
            said = self._asked(*self._checks[number], sender, recipient)
            if isinstance(said, Deferred):
                return said.addCallback(self._next, verdict, number + 1, sender, recipient)
            if said is not None:
                return verdict if said.answer is Answer.PERMIT else said
        return verdict

    def _next(self, said: Verdict | None, verdict: Verdict, at: int, sender: str, recipient: Recipient) -> Any:
        if said is None:
            return self._from(verdict, at, sender, recipient)
        return verdict if said.answer is Answer.PERMIT else said

    def _asked(self, name: str, check: IRecipientCheck, sender: str, recipient: Recipient) -> Any:
        """What a check has against a recipient, L{None}: nothing; that it permits it: nobody
        else is asked; or a L{Deferred}."""
        try:
            said: Any = check.check(sender, recipient)
            if isinstance(said, Deferred):
                return said.addCallback(_verdict, name).addErrback(self._bug, name)
            return _verdict(said, name)
        except Exception:
            return self._bug(Failure(), name)

    def _bug(self, failure: Failure, name: str) -> Verdict:
        self._log.bug("-", name, failure)
        return delay(LOCAL_ERROR, f"{name} is broken")


def _verdict(said: Reply | None, name: str) -> Verdict | None:
    if said is None:
        return None
    if said.isSuccess:
        return permit(f"{name}: there is such an address")
    if said.isPermanent:
        return refuse(said, f"{name}: there is no such address")
    return delay(said, f"{name}: whether there is such an address is not known")


def _isPostmaster(recipient: Recipient) -> bool:
    return recipient.address.rpartition("@")[0].lower() == "postmaster" or not recipient.domain
