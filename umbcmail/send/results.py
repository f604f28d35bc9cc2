"""What one transaction with a next hop has come to, recipient by recipient.

The base of L{Transaction<umbcmail.send.transaction.Transaction>}, which has the
dialogue; the attempt reads it when the transaction is over.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.send.replies import RemoteReply, toReply
from umbcmail.send.session import Letter


class Results:
    """The recipients of one transaction.

    @ivar numbers: the recipients that it is for.
    @ivar final: pairs of number and outcome: settled.
    @ivar soft: likewise: told "later" by the next hop.
    @ivar rest: numbers for a further transaction (RFC 5321 section 4.5.3.1.10:
        more recipients than the next hop takes at once).
    @ivar open: numbers for which C{problem} stands; other hosts may be tried.
    @ivar problem: why.
    """

    def __init__(self, letter: Letter, numbers: list[int]) -> None:
        self._letter = letter
        self.numbers = numbers
        self.final: list[tuple[int, Outcome]] = []
        self.soft: list[tuple[int, Outcome]] = []
        self.rest: list[int] = []
        self.open: list[int] = []
        self.problem: Outcome | None = None
        self._accepted: list[int] = []
        self._asked = 0
        self._answered = 0
        self._command = "MAIL FROM"
        self._host = ""
        self._dsn = False
        self._perRecipient = False
        self._traced = False

    def _unanswered(self) -> list[int]:
        """Whose fate is not known yet."""
        return self._accepted[self._answered :] + self.numbers[self._asked :]

    def _leaveOpen(self, numbers: list[int], outcome: Outcome) -> None:
        if numbers:
            self.open = list(numbers)
            self.problem = outcome

    def _said(self, remote: RemoteReply) -> Outcome:
        return Outcome(toReply(remote), self._host, self._command, remote=True)

    def _settle(self, numbers: Iterable[int], own: Reply) -> None:
        outcome = Outcome(own, self._host, self._command)
        self.final.extend((number, outcome) for number in numbers)

    def _settleAll(self, numbers: list[int], remote: RemoteReply) -> None:
        outcome = self._said(remote)
        place = self.soft if 400 <= remote[0] < 500 else self.final
        if remote[0] < 300 and (self._traced or (self._letter.success and not self._dsn)):
            self._settleTold(numbers, outcome)
            return
        place.extend([(number, outcome) for number in numbers])

    def _settleTold(self, numbers: list[int], outcome: Outcome) -> None:
        """Sent, to a server that does not tell the sender (RFC 3461 section 5.2), or
        where each hop is to be told (RFC 2852 section 4.1.4)."""
        told = replace(outcome, relayed=not self._perRecipient, delivered=self._perRecipient)
        success = numbers if self._traced else self._letter.success
        self.final.extend([(number, told if number in success else outcome) for number in numbers])


def meansTooMany(reply: Reply) -> bool:
    """Whether a refusal of a recipient, after others were accepted, is about
    their number (RFC 5321 section 4.5.3.1.10, which has 552 mean 452).  Where
    the enhanced code speaks of the mailbox or the system it is not."""
    return reply.code in (452, 552) and reply.enhanced[2:4] not in ("1.", "2.", "3.", "7.")
