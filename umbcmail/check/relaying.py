"""May mail go to this recipient?  Our own domains, then the rules of the port.

Asked by the session at every RCPT.  Only the domain behind the last C{@} counts,
the local part is opaque: C{user%other@ours}, C{"a@b"@ours} and C{other!user@ours}
are plain mailboxes of ours, and nothing makes another address of them later.
A rule that breaks delays the recipient; it neither refuses nor lets pass.  A delay
is no last word: a later rule may still permit, as that for clients that have
authenticated when the DNS does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayPolicy, IRelayRule
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, RELAYING_DENIED
from umbcmail.verdict import Answer, Verdict, delay, permit, refuse

_OURS = permit("the domain is ours")
_DENIED = refuse(RELAYING_DENIED, "the domain is not ours and no rule permits the client")


@implementer(IRelayPolicy)
class RelayPolicy:
    """Asks the rules in their order; the first that permits or refuses decides.
    Behind a rule that delays only a permission counts, for nobody knows whether it
    would have permitted.  No opinion of any is a refusal."""

    def __init__(self, isOurs: Callable[[str], bool], rules: Sequence[tuple[str, IRelayRule]], log: MailLog) -> None:
        """
        @param isOurs: whether a domain (lower case, C{""} of the bare postmaster)
            is local or internal.
        @param rules: pairs of name and rule, in order.
        """
        self._isOurs = isOurs
        self._rules = tuple(rules)
        self._log = log

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayPolicy.judge}; at once as long as the rules answer at once."""
        try:
            domain = recipient.domain
            if not domain or self._isOurs(domain):
                return _OURS
        except Exception:
            return self._bug(Failure(), "own domains")
        return self._from(0, client, sender, recipient, None)

    def _from(
        self, at: int, client: Client, sender: str, recipient: Recipient, waits: Verdict | None
    ) -> Verdict | Deferred[Verdict]:
        """Ask the rules from a position on.

        @param waits: the first delay so far.
        """
        for number in range(at, len(self._rules)):
            name, rule = self._rules[number]
            try:
                said: Any = rule.judge(client, sender, recipient)
                if isinstance(said, Deferred):
                    said.addCallback(_checked).addErrback(self._bug, name)
                    return said.addCallback(self._next, number + 1, client, sender, recipient, waits)
                _checked(said)
            except Exception:
                said = self._bug(Failure(), name)
            decision, waits = _weighed(said, waits)
            if decision is not None:
                return decision
        return waits or _DENIED

    def _next(
        self, said: Verdict, at: int, client: Client, sender: str, recipient: Recipient, waits: Verdict | None
    ) -> Any:
        decision, waits = _weighed(said, waits)
        return decision or self._from(at, client, sender, recipient, waits)

    def _bug(self, failure: Failure, name: str) -> Verdict:
        self._log.bug("-", f"rule {name}", failure)
        return delay(LOCAL_ERROR, f"the rule {name} is broken")


def _checked(said: Any) -> Verdict:
    if not isinstance(said, Verdict):
        raise TypeError(f"a rule said {said!r:.80}")
    return said


def _weighed(said: Verdict, waits: Verdict | None) -> tuple[Verdict | None, Verdict | None]:
    """What a rule's answer decides, if anything, and the first delay so far."""
    if said.answer is Answer.PERMIT:
        return said, waits
    if said.answer is Answer.REFUSE:
        return waits or said, waits
    return None, (waits or said if said.answer is Answer.DELAY else waits)
