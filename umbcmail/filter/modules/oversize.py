"""What modules say of messages that are too large for them."""

from __future__ import annotations

from umbcmail.examination import Action, Opinion

_ACTIONS = {"tag": Action.ACCEPT, "delay": Action.DELAY, "refuse": Action.REFUSE}


def unexamined(policy: str, mark: str, size: int, limit: int) -> Opinion:
    """The opinion.

    @param policy: C{"tag"}, C{"delay"} or C{"refuse"}.
    @param mark: the field that tells of it.
    @param size: octets of the message.
    @param limit: octets that are examined.
    """
    return Opinion(
        action=_ACTIONS[policy],
        found=f"{size} octets are too many",
        text="The message is too large to be examined",
        headers=((mark, f"Unknown, not examined, over {limit} octets"),),
        isExamined=False,
    )
