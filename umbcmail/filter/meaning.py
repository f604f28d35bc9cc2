"""What a filter's answer, or its failure, means for the mail.  Pure."""

from __future__ import annotations

from umbcmail import reply
from umbcmail.filter.answers import Disposition, ReplyCode
from umbcmail.filter.connection import Final, Trouble
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.wording import replyOf
from umbcmail.verdict import NO_OPINION, Verdict, delay, discard, refuse

_REPLIES = {
    Disposition.REJECT: reply.FILTER_REFUSES,
    Disposition.TEMPFAIL: reply.FILTER_LATER,
    Disposition.SHUTDOWN: reply.FILTER_CLOSES,
}


def verdictOf(answer: Final, name: str) -> Verdict:
    """REFUSE, DELAY or DISCARD; all else is no opinion.

    @param name: of the filter.
    @raise MilterError: it has words for the client that make no sense.
    """
    if answer is Disposition.CONTINUE or answer is Disposition.ACCEPT:
        return NO_OPINION
    why = f"filter {name}"
    if answer is Disposition.DISCARD:
        return discard(why)
    words = replyOf(answer.text) if isinstance(answer, ReplyCode) else _REPLIES.get(answer)
    if words is None:
        return NO_OPINION
    return refuse(words, why) if words.isPermanent else delay(words, why)


def policyOf(terms: FilterTerms, trouble: Trouble) -> str:
    """What is to be done about it."""
    return {"down": terms.down, "slow": terms.slow, "broken": terms.broken}[trouble.kind]


def verdictOfTrouble(policy: str, terms: FilterTerms, trouble: Trouble) -> Verdict:
    """REFUSE or DELAY, or no opinion where mail goes on without the filter."""
    why = f"filter {terms.name} is {trouble.kind}"
    if policy == "delay":
        return delay(reply.FILTER_LATER, why)
    return refuse(reply.FILTER_REFUSES, why) if policy == "refuse" else NO_OPINION
