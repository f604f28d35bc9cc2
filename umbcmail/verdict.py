"""What a rule says about a recipient: permit, pass, refuse, delay, discard, hold, or
nothing.

Rules are asked in order and the first that has an opinion decides (`check/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from umbcmail.reply import Reply


class Answer(Enum):
    """What a rule can say.

    C{PERMIT}: mail may go anywhere.  C{PASS}: it may go to our own domains, and
    nothing is said about others; all that a client could forge gives no more than
    this.  C{REFUSE}, C{DELAY}: a no, for good or for now.  C{DISCARD}: the client
    hears yes, and the mail is thrown away.  C{HOLD}: it may go as far as it could
    without this, and then waits for an operator.
    """

    PERMIT = "permit"
    PASS = "pass"
    REFUSE = "refuse"
    DELAY = "delay"
    DISCARD = "discard"
    HOLD = "hold"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, the reply that goes with it, and the reason for the log.

    @ivar answer: see L{Answer}.
    @ivar reply: for REFUSE (5xx) and DELAY (4xx) what the client is told.
    @ivar why: for the log and the operator only, never for the client.
    @ivar isDoubt: of a DELAY: the rule can't tell whether it permits, and would not
        say more than that.  It matters only where a permission is needed.
    """

    answer: Answer
    reply: Reply | None = None
    why: str = ""
    isDoubt: bool = False


NO_OPINION = Verdict(Answer.NO_OPINION)


def noOpinion(why: str) -> Verdict:
    """Somebody else is to say; the reason is for the operator who asks for it."""
    return Verdict(Answer.NO_OPINION, None, why)


def permit(why: str) -> Verdict:
    """Mail may pass."""
    return Verdict(Answer.PERMIT, None, why)


def passes(why: str) -> Verdict:
    """Mail may pass to our own domains; no word on others."""
    return Verdict(Answer.PASS, None, why)


def refuse(reply: Reply, why: str) -> Verdict:
    """Mail may not pass, ever."""
    if not reply.isPermanent:
        raise ValueError(f"a refusal needs a 5xx reply, not {reply.code}")
    return Verdict(Answer.REFUSE, reply, why)


def delay(reply: Reply, why: str) -> Verdict:
    """Can't be told now, the client shall try again."""
    if not reply.isTransient:
        raise ValueError(f"a delay needs a 4xx reply, not {reply.code}")
    return Verdict(Answer.DELAY, reply, why)


def doubt(reply: Reply, why: str) -> Verdict:
    """Can't be told now whether mail may pass; see L{Verdict.isDoubt}."""
    if not reply.isTransient:
        raise ValueError(f"a delay needs a 4xx reply, not {reply.code}")
    return Verdict(Answer.DELAY, reply, why, True)


def discard(why: str) -> Verdict:
    """Mail is taken and thrown away."""
    return Verdict(Answer.DISCARD, None, why)


def hold(why: str) -> Verdict:
    """Mail is taken, where it could be without this, and waits for an operator."""
    return Verdict(Answer.HOLD, None, why)
