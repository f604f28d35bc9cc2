"""What came of an attempt to deliver to one recipient.

An outcome is a reply and where it came from.  Whether it means sent, delayed or
failed follows from the code of the reply, so that the two can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from umbcmail.reply import Reply


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt for one recipient.

    @ivar reply: what the next hop said, or what we say in its place.
    @ivar host: the next hop that it came from, C{"name[address]:port"}, or
        C{""} where no hop was reached.
    @ivar command: what the reply answers (C{"RCPT TO"}, C{"end of DATA"},
        C{"BDAT LAST"}, C{"connect"}), for the log and for people.
    @ivar remote: the next hop said it itself; otherwise the text is ours.
    @ivar uncertain: the link was lost after the final dot or last chunk, so the next hop may
        have the message (RFC 1047).
    @ivar relayed: sent, the sender wants to hear of it, and the next hop does not
        tell (RFC 3461 section 5.2.2).
    @ivar delivered: likewise, and it is in the mailbox (section 5.2.7).
    @ivar expanded: likewise, and it goes on to several recipients (section 5.2.7).
    @ivar again: delayed, and a failure when it is met again then, in seconds since
        1970; 0: it is tried again by the schedule.  The spool does not keep it.
    @ivar postponed: nothing was tried, and it is the recipient's turn then, in seconds
        since 1970; 0: it was tried.  Likewise.
    @ivar notBefore: it is not to be tried again before then.  Likewise.
    """

    reply: Reply
    host: str = ""
    command: str = ""
    remote: bool = False
    uncertain: bool = False
    relayed: bool = False
    delivered: bool = False
    expanded: bool = False
    again: float = field(default=0.0, compare=False)
    postponed: float = field(default=0.0, compare=False)
    notBefore: float = field(default=0.0, compare=False)

    @property
    def isSent(self) -> bool:
        """Delivered: 2xx."""
        return self.reply.code < 300

    @property
    def isTold(self) -> bool:
        """Delivered, and the sender is to be told of it."""
        return self.isSent and (self.relayed or self.delivered or self.expanded)

    @property
    def isFailed(self) -> bool:
        """Never to be tried again: 5xx."""
        return self.reply.code >= 500

    @property
    def isFaultOfTheWay(self) -> bool:
        """The host could not be reached, or broke off: it has not said this itself."""
        return not self.remote and self.reply.enhanced.startswith("4.4")

    @property
    def isDelayed(self) -> bool:
        """To be tried again: all else, whatever it is."""
        return 300 <= self.reply.code < 500


def nextTry(outcomes: Iterable[Outcome | None], due: float) -> float:
    """When to try again, after some outcomes.

    @param due: when it is by the schedule; what outcomes say goes before that.
    """
    delayed = [o for o in outcomes if o is not None and o.isDelayed]
    return min([max(o.postponed or o.again or due, o.notBefore) for o in delayed], default=due)
