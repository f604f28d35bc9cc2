"""May mail go to this recipient?  Our own domains, and the rules of the port.

Asked by the session at every RCPT.  Only the domain behind the last C{@} counts,
the local part is opaque: C{user%other@ours}, C{"a@b"@ours} and C{other!user@ours}
are plain mailboxes of ours, and nothing makes another address of them later.

For a foreign domain somebody must permit.  For our own nobody need to, but rules
that restrict may object, unless one that stands before them permits.  A rule that
breaks delays the recipient; it neither refuses nor lets pass.  A delay is no last
word: a later rule may still permit, as that for clients that have authenticated
when the DNS does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayPolicy, IRelayRule
from umbcmail.maillog import MailLog
from umbcmail.reply import LOCAL_ERROR, RELAYING_DENIED
from umbcmail.verdict import Answer, Verdict, delay, permit, refuse

_OURS = permit("the domain is ours")
_DENIED = refuse(RELAYING_DENIED, "the domain is not ours and no rule permits the client")

Told = list[tuple[str, Verdict]]
"""What each rule that was asked has said, by its name."""


@dataclass(slots=True)
class _Question:
    """A recipient, and what is known from the rules that have been asked.

    @ivar isOurs: its domain is.
    @ivar doubt: the first delay: behind it only a permission counts, for nobody
        knows whether the rule would have permitted.
    @ivar objection: the first delay of a rule that restricts, which our own
        domains wait for too.
    @ivar hold: the first hold of mail to a foreign domain, which needs a permission
        all the same.
    @ivar told: where it is kept what the rules have said.
    """

    client: Client
    sender: str
    recipient: Recipient
    isOurs: bool
    told: Told | None = None
    doubt: Verdict | None = None
    objection: Verdict | None = None
    hold: Verdict | None = None

    def weigh(self, said: Verdict, restricts: bool) -> Verdict | None:
        """What a rule's answer decides, if anything."""
        answer = said.answer
        if answer is Answer.PERMIT:
            return self.hold or said
        if answer is Answer.NO_OPINION:
            return None
        if answer is Answer.PASS:
            return permit(said.why) if self.isOurs else None
        if self.isOurs and not restricts:
            # Such a rule was asked for its permission only; whether it would have given it may not be known.
            if answer is Answer.DELAY:
                self.doubt = self.doubt or said
            return None
        return self._object(said)

    def _object(self, said: Verdict) -> Verdict | None:
        if said.answer is Answer.DELAY:
            self.doubt = self.doubt or said
            if not said.isDoubt:
                self.objection = self.objection or said
            return None
        if said.answer is Answer.HOLD and not self.isOurs:
            self.hold = self.hold or said
            return None
        return self.doubt or said

    def end(self) -> Verdict:
        """What it is when no rule has decided."""
        if self.isOurs:
            return self.objection or _OURS
        return self.doubt or _DENIED


@implementer(IRelayPolicy)
class RelayPolicy:
    """Asks the rules in their order; the first that permits or refuses decides.
    For a foreign domain no opinion of any is a refusal."""

    def __init__(self, isOurs: Callable[[str], bool], rules: Sequence[tuple[str, IRelayRule]], log: MailLog) -> None:
        """
        @param isOurs: whether a domain (lower case, C{""} of the bare postmaster)
            is local or internal.
        @param rules: pairs of name and rule, in order.
        """
        self._isOurs = isOurs
        self._rules = [(name, rule, bool(getattr(rule, "restricts", False))) for name, rule in rules]
        restricting = [number for number, (_, _, restricts) in enumerate(self._rules, 1) if restricts]
        self._forOurs = restricting[-1] if restricting else 0
        self._log = log

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayPolicy.judge}; at once as long as the rules answer at once."""
        return self._judged(client, sender, recipient, None)

    def _judged(
        self, client: Client, sender: str, recipient: Recipient, told: Told | None
    ) -> Verdict | Deferred[Verdict]:
        try:
            domain = recipient.domain
            isOurs = not domain or self._isOurs(domain)
        except Exception:
            return self._bug(Failure(), "own domains")
        if isOurs and not self._forOurs:
            return _OURS
        return self._from(0, _Question(client, sender, recipient, isOurs, told))

    def explain(self, client: Client, sender: str, recipient: Recipient) -> Deferred[tuple[Told, Verdict]]:
        """The same, with what each rule has said.

        @return: L{Deferred} of a list of pairs of a rule's name and its C{Verdict},
            for each rule that was asked, in order, and the C{Verdict} that
            L{judge} gives.  Never fails.
        """
        told: Told = []
        said = self._judged(client, sender, recipient, told)
        deferred = said if isinstance(said, Deferred) else succeed(said)
        return deferred.addCallback(lambda verdict: (told, verdict))

    def _from(self, at: int, question: _Question) -> Verdict | Deferred[Verdict]:
        """Ask the rules from a position on."""
        for number in range(at, len(self._rules)):
            if question.isOurs and number >= self._forOurs and question.objection is None:
                break
            name, rule, _ = self._rules[number]
            try:
                said: Any = rule.judge(question.client, question.sender, question.recipient)
                if isinstance(said, Deferred):
                    said.addCallback(_checked).addErrback(self._bug, name)
                    return said.addCallback(self._next, number, question)
                _checked(said)
            except Exception:
                said = self._bug(Failure(), name)
            decision = self._weighed(said, number, question)
            if decision is not None:
                return decision
        return question.end()

    def _next(self, said: Verdict, number: int, question: _Question) -> Any:
        return self._weighed(said, number, question) or self._from(number + 1, question)

    def _weighed(self, said: Verdict, number: int, question: _Question) -> Verdict | None:
        name, _, restricts = self._rules[number]
        if question.told is not None:
            question.told.append((name, said))
        return question.weigh(said, restricts)

    def _bug(self, failure: Failure, name: str) -> Verdict:
        self._log.bug("-", f"rule {name}", failure)
        return delay(LOCAL_ERROR, f"the rule {name} is broken")


def _checked(said: Any) -> Verdict:
    if not isinstance(said, Verdict):
        raise TypeError(f"a rule said {said!r:.80}")
    return said
