"""A transaction that only asks: MAIL from the null sender, RCPT, and no message.

For call-ahead, see L{umbcmail.send.callahead}.  The session is good for the next
transaction after it.
"""

from __future__ import annotations

from umbcmail.interfaces import IContent
from umbcmail.outcome import Outcome
from umbcmail.reply import RECIPIENT_OK
from umbcmail.send.chunks import Tally
from umbcmail.send.session import Fate
from umbcmail.send.transaction import Transaction


class Question(Transaction):
    """Ends where the content would begin."""

    def _begin(self, content: IContent) -> None:
        if not self.numbers:
            self._link.finished(Fate.REUSE)
            return
        self._tally = Tally()  # so that DATA is not said along with RCPT
        wide = self._letter.wide and self._offered.smtputf8
        command = b"MAIL FROM:<>" + (b" SMTPUTF8" if wide else b"") + b"\r\n"
        if self._pipelining:
            command = b"".join([command, *map(self._rcpt, self.numbers)])
        self._link.write(command, self._limits.command)

    def _sendChunks(self, tally: Tally) -> None:
        """All that could be asked has been."""
        outcome = Outcome(RECIPIENT_OK, self._host, "RCPT TO", remote=True)
        self.final.extend((number, outcome) for number in self._accepted)
        self._answered = len(self._accepted)
        self._finish(Fate.RESET)
