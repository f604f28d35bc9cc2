"""One mail transaction with a next hop: MAIL, RCPT, DATA or BDAT, the content, its end.

Decides without a socket: the client hands it the replies and does what it asks
for through L{TransactionLink}; the attempt that it belongs to reads the results
when C{link.finished} has been called.  With PIPELINING (RFC 2920) the commands
go in one write.  What matters most is known at each moment: whether the final
dot may have left us.  Before that every other host may be tried, after it none.
"""

from __future__ import annotations

from collections.abc import Callable

from umbcmail.interfaces import IContent
from umbcmail.outcome import Outcome
from umbcmail.reply import EXPIRED, Reply
from umbcmail.send.chunks import AHEAD, UNKNOWN, Tally, oneChunk
from umbcmail.send.commands import Extensions, mailCommand, rcptCommand
from umbcmail.send.passing import Passing
from umbcmail.send.problems import (
    NEEDS_AGENT,
    NEEDS_REQUIRETLS,
    NEEDS_SMTPUTF8,
    NONSENSE,
    TOO_BIG,
    UNREADABLE,
    lost,
    timedOut,
)
from umbcmail.send.replies import RemoteReply
from umbcmail.send.results import Results, meansTooMany
from umbcmail.send.session import Fate, Letter, Limits, TransactionLink
from umbcmail.send.stuffing import stuffed

WHOLE = 512 * 1024
"""Content in memory of up to this many octets is sent in one write."""


class Transaction(Results):
    """One transaction.

    @ivar stale: the connection was reused and ended before it said anything.
    @ivar dotted: the final dot, or the last chunk, may have left us.
    @ivar fresh: C{rest} needs a new connection: this one can't do BDAT after all.
    """

    def __init__(self, letter: Letter, numbers: list[int]) -> None:
        super().__init__(letter, numbers)
        self.stale = False
        self.dotted = False
        self.fresh = False
        self._tally: Tally | None = None
        self._binary = False
        self._drain = 0
        self._fate = Fate.RESET
        self._heard = False
        self._state: Callable[[int, RemoteReply], None] = self._mailReplied

    def start(
        self, link: TransactionLink, host: str, offered: Extensions, limits: Limits, perRecipient: bool, reused: bool
    ) -> None:
        """Say what there is to say first.

        @param host: the next hop, for outcomes.
        @param perRecipient: it speaks LMTP.
        @param reused: the connection has carried mail before.
        """
        self._link = link
        self._host = host
        self._limits = limits
        self._pipelining = offered.pipelining
        self._perRecipient = perRecipient
        self._reused = reused
        self._offered = offered
        self._dsn = offered.dsn
        letter = self._letter
        if letter.wide and not offered.smtputf8:
            self._withoutWide()
        if letter.requireTLS and not offered.requireTLS:
            self._leaveOpen(self.numbers, Outcome(NEEDS_REQUIRETLS, host, "EHLO"))
            self.numbers = []
        if letter.actions and not offered.actions:
            self._leaveOpen([n for n in self.numbers if letter.actions[n]], Outcome(NEEDS_AGENT, host, "LHLO"))
            self.numbers = [n for n in self.numbers if not letter.actions[n]]
        narrow = letter.utf8 and not offered.smtputf8
        self._binary = letter.binary and offered.binaryMime and offered.chunking
        seven = not self._binary and (letter.binary or not (offered.eightBit or (letter.wide and offered.smtputf8)))
        if (narrow or seven) and self.numbers:
            self._state = self._unasked
            link.fit(letter.fitting(), narrow, seven)
        else:
            self._begin(letter.content)

    def fitted(self, result: IContent | Reply) -> None:
        """The content in a form that the server can take, or why there is none."""
        self._state = self._mailReplied
        if not isinstance(result, Reply):
            self._begin(result)
            return
        # One more host may take it as it is.
        self.soft.extend([(number, Outcome(result, self._host, self._command)) for number in self.numbers])
        self.numbers = []
        self._link.finished(Fate.REUSE)

    def _begin(self, content: IContent) -> None:
        letter, offered = self._letter, self._offered
        self._content = content
        size = content.size
        by = self._deliverBy(letter.by) if letter.by is not None else b""
        if offered.sizeLimit and size > offered.sizeLimit:
            self._settle(self.numbers, TOO_BIG)
            self.numbers = []
        if not self.numbers:
            self._link.finished(Fate.REUSE)
            return
        wide = letter.wide and offered.smtputf8
        more = letter.dsn if offered.dsn else b""
        if letter.requireTLS and offered.requireTLS:
            more += b" REQUIRETLS"
        more += by
        if self._binary:
            more += b" BODY=BINARYMIME"
        if offered.chunking and (self._binary or content.data is None or size > self._link.chunksFrom):
            self._tally = Tally()
        eightBit = letter.eightBit and content is letter.content
        command = mailCommand(letter.sender, size, eightBit, wide, offered, more)
        if offered.pipelining:
            command = b"".join([command, *map(self._rcpt, self.numbers), b"DATA\r\n" if self._tally is None else b""])
        self._link.write(command, self._limits.command)

    def _withoutWide(self) -> None:
        """Leave out what can't be said to this server (RFC 6531 section 3.2)."""
        recipients = self._letter.recipients
        narrow: list[int] = []
        if self._letter.sender.isascii():
            narrow = [n for n in self.numbers if (recipients[n] or b"").isascii()]
        self._settle([n for n in self.numbers if n not in narrow], NEEDS_SMTPUTF8)
        self.numbers = narrow

    def _deliverBy(self, by: Passing) -> bytes:
        """The parameter for MAIL; who can't go this way is left out (RFC 2852)."""
        found = by.parameter(self._offered, self._perRecipient)
        if isinstance(found, bytes):
            self._traced = by.isTold(self._offered, self._perRecipient)
            return found
        if found is EXPIRED:
            self._settle(self.numbers, found)
        else:
            self._leaveOpen(self.numbers, Outcome(found, self._host, "EHLO"))
        self.numbers = []
        return b""

    def _rcpt(self, number: int) -> bytes:
        letter = self._letter
        more = letter.wishes[number] if self._dsn and letter.wishes else b""
        if letter.actions:
            more += letter.actions[number]
        return rcptCommand(letter.recipients[number] or b"", more)

    def replied(self, remote: RemoteReply) -> None:
        """A reply has come."""
        self._heard = True
        self._state(remote[0], remote)

    def _unasked(self, code: int, remote: RemoteReply) -> None:
        """Nothing has been said yet."""
        if code == 421:
            self.stale = self._reused
            self._ended(remote)
        else:
            self.nonsense()

    def _mailReplied(self, code: int, remote: RemoteReply) -> None:
        if code < 300:
            self._command = "RCPT TO"
            self._state = self._rcptReplied
            if not self._pipelining:
                self._link.write(self._rcpt(self.numbers[0]), self._limits.command)
        elif code == 421:
            self.stale = self._reused
            self._ended(remote)
        elif code < 400:
            self.nonsense()
        else:
            outcome = self._said(remote)
            if code >= 500:
                self.final.extend((number, outcome) for number in self.numbers)
            else:
                self._fate = Fate.LEAVE
                self._leaveOpen(self.numbers, outcome)
            self._asked = len(self.numbers)
            self._drainAll(len(self.numbers) + (self._tally is None))

    def _rcptReplied(self, code: int, remote: RemoteReply) -> None:
        number = self.numbers[self._asked]
        if code < 300:
            self._accepted.append(number)
        elif code == 421:
            self._ended(remote)
            return
        elif code < 400:
            self.nonsense()
            return
        else:
            self._refused(number, remote)
        self._asked += 1
        if self._asked < len(self.numbers):
            if not self._pipelining:
                self._link.write(self._rcpt(self.numbers[self._asked]), self._limits.command)
        elif self._tally is not None and self._accepted:
            self._sendChunks(self._tally)
        elif self._tally is None and (self._pipelining or self._accepted):
            self._command = "DATA"
            self._state = self._dataReplied
            if not self._pipelining:
                self._link.write(b"DATA\r\n", self._limits.dataStart)
        else:
            self._finish(Fate.RESET)

    def _refused(self, number: int, remote: RemoteReply) -> None:
        outcome = self._said(remote)
        if self._accepted and meansTooMany(outcome.reply):
            self.rest.append(number)
        elif remote[0] >= 500:
            self.final.append((number, outcome))
        else:
            self.soft.append((number, outcome))

    def _dataReplied(self, code: int, remote: RemoteReply) -> None:
        if code == 354:
            if self._accepted:
                self._sendContent()
            else:
                # the server should have refused; nothing but the dot goes out (RFC 2920 section 3.1)
                self._link.write(b".\r\n", self._limits.dataEnd)
                self._drain = 1
                self._state = self._drained
                if self._perRecipient:  # no reply is due then (RFC 2033 section 4.2)
                    self._finish(Fate.CLOSE)
        elif code == 421:
            self._ended(remote)
        elif code < 400:
            self.nonsense()
        else:
            self._settleAll(self._accepted, remote)
            self._finish(Fate.RESET if code >= 500 else Fate.LEAVE)

    def _sendContent(self) -> None:
        content = self._content
        data = content.data
        if data is not None and len(data) <= WHOLE:
            self.poured()
            self._link.write(stuffed(data), self._limits.dataEnd)
        else:
            self._state = self._repliedEarly
            self._link.pour(content)

    # Chunks (RFC 3030)
    def _sendChunks(self, tally: Tally) -> None:
        content = self._content
        data = content.data
        self._command = "BDAT"
        self._state = self._chunkReplied
        if data is not None and len(data) <= WHOLE:
            self.chunk(True)
            self._link.write(oneChunk(data, self._binary), self._limits.dataEnd)
        else:
            self._link.pourChunks(content, tally, AHEAD if self._pipelining else 1, self._binary)

    def chunk(self, last: bool) -> None:
        """A chunk is about to be given to the transport."""
        assert self._tally is not None
        self._tally.sent += 1
        if last:
            self.dotted = True
            self._command = "BDAT LAST"

    def _chunkReplied(self, code: int, remote: RemoteReply) -> None:
        tally = self._tally
        assert tally is not None
        if code == 421:
            self._ended(remote)
        elif not tally.due or 300 <= code < 400:
            self.nonsense()
        elif code in UNKNOWN and not tally.answered:
            self._link.chunksRefused()
            self.rest = self._accepted + self.rest
            self.fresh = True
            self._finish(Fate.CLOSE)
        elif self.dotted and tally.due == 1:
            self._state = self._endReplied
            self._endReplied(code, remote)
        elif code < 300:
            tally.answered += 1
            self._link.chunkAnswered()
        else:
            self._chunkRefused(code, remote, tally)

    def _chunkRefused(self, code: int, remote: RemoteReply, tally: Tally) -> None:
        """One chunk decides for all; those sent already are still answered."""
        self._link.halt()
        self._settleAll(self._accepted, remote)
        self._answered = len(self._accepted)
        self._fate = Fate.RESET if code >= 500 else Fate.LEAVE
        self._drain = tally.due - 1
        self._state = self._drained
        if self.dotted and self._perRecipient:  # nobody knows how many replies are due then
            self._finish(Fate.CLOSE)
        elif not self._drain:
            self._finish(self._fate)

    def poured(self) -> None:
        """The final dot is about to be given to the transport."""
        self.dotted = True
        self._command = "end of DATA"
        self._state = self._endReplied

    def unreadable(self) -> None:
        """The content can't be read; the dot has not been sent."""
        self._settle(self._unanswered(), UNREADABLE)
        self._finish(Fate.CLOSE)

    def _repliedEarly(self, code: int, remote: RemoteReply) -> None:
        """A reply while content is being sent: a refusal counts, nothing else does."""
        if code == 421:
            self._ended(remote)
        elif code < 400:
            self.nonsense()
        else:
            self._settleAll(self._accepted, remote)
            self._finish(Fate.CLOSE)

    def _endReplied(self, code: int, remote: RemoteReply) -> None:
        if 300 <= code < 400:
            self.nonsense()
            return
        accepted = self._accepted
        if self._perRecipient:
            accepted = [accepted[self._answered]]
        self._answered += len(accepted)
        self._settleAll(accepted, remote)
        if code == 421:
            self._abandon(lost(self._command))
        elif self._answered == len(self._accepted):
            sick = 400 <= code < 500 and not self._perRecipient
            self._finish(Fate.REUSE if code < 300 else Fate.LEAVE if sick else Fate.RESET)

    # Replies that change nothing any more
    def _drainAll(self, count: int) -> None:
        if not self._pipelining:
            self._finish(self._fate)
            return
        self._drain = count
        self._state = self._drained

    def _drained(self, code: int, remote: RemoteReply) -> None:
        self._drain -= 1
        if code == 421:
            self._finish(Fate.CLOSE)
        elif code == 354 and not self._drain and self._tally is None and self._command != "DATA":
            self._command = "DATA"
            self._drain = 1
            self._link.write(b".\r\n", self._limits.dataEnd)
        elif not self._drain:
            self._finish(self._fate)

    # Ends
    def lost(self) -> None:
        """The connection has ended."""
        self.stale = self._reused and not self._heard
        self._abandon(lost(self._command))

    def timedOut(self) -> None:
        """No reply, or no progress, in time."""
        self._abandon(timedOut(self._command))

    def nonsense(self) -> None:
        """What came is no reply, or can't be the reply to what was said."""
        self._abandon(NONSENSE)

    def _ended(self, remote: RemoteReply) -> None:
        """421: the server closes the session (RFC 5321 section 3.8)."""
        self._leaveOpen(self._unanswered(), self._said(remote))
        self._finish(Fate.CLOSE)

    def _abandon(self, own: Reply) -> None:
        numbers = self._unanswered()
        if self.dotted:
            outcome = Outcome(own, self._host, self._command, uncertain=True)
            self.final.extend((number, outcome) for number in numbers)
        else:
            self._leaveOpen(numbers, Outcome(own, self._host, self._command))
        self._finish(Fate.CLOSE)

    def _finish(self, fate: Fate) -> None:
        if self.soft and not self.rest and not self._perRecipient and fate is not Fate.CLOSE:
            fate = Fate.LEAVE  # some servers go on saying "later" for as long as the session lasts
        self._link.finished(fate)
