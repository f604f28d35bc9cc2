"""What a rule says about a recipient: permit, refuse, delay, or nothing.

Rules are asked in order and the first that has an opinion decides (`check/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from umbcmail.reply import Reply


class Answer(Enum):
    """The four things a rule can say."""

    PERMIT = "permit"
    REFUSE = "refuse"
    DELAY = "delay"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, the reply that goes with it, and the reason for the log.

    @ivar answer: see L{Answer}.
    @ivar reply: for REFUSE (5xx) and DELAY (4xx) what the client is told.
    @ivar why: for the log and the operator only, never for the client.
    """

    answer: Answer
    reply: Reply | None = None
    why: str = ""


NO_OPINION = Verdict(Answer.NO_OPINION)


def permit(why: str) -> Verdict:
    """Mail may pass."""
    return Verdict(Answer.PERMIT, None, why)


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
