"""One filter in one session: what it is asked, and what its answers mean.

Made by `chain`.  Each question gives a C{Verdict}, at once where the filter has not to be
waited for: no opinion, or REFUSE, DELAY, DISCARD.  What goes wrong with the filter is a
verdict, too, by its policy, for all of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.filter import commands
from umbcmail.filter.answers import Answer, Disposition, Quarantine, ReplyCode
from umbcmail.filter.connection import Final, MilterConnection, Trouble
from umbcmail.filter.edits import REASON_LIMIT, Edits
from umbcmail.filter.exchange import Exchange
from umbcmail.filter.facts import Facts
from umbcmail.filter.link import Link
from umbcmail.filter.meaning import policyOf, verdictOf, verdictOfTrouble
from umbcmail.filter.message import Message
from umbcmail.filter.negotiation import HDR_LEADSPC, RCPT_REJ
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.spares import Spares
from umbcmail.filter.tally import FilterTally
from umbcmail.maillog import MailLog
from umbcmail.verdict import NO_OPINION, Verdict, delay
from umbcmail.verdict import Answer as Says

Asked = Verdict | Deferred[Verdict]
NewEdits = Callable[[bool, Callable[[bool], None], Message], Edits]
"""Makes L{Edits}, by whether values are verbatim, and what holds the filter up."""

_RESULTS = {Says.REFUSE: "refused", Says.DELAY: "delayed", Says.DISCARD: "discarded"}


class Milter:
    """The filter.

    @ivar name: of it.
    @ivar quarantine: why the message is to be put aside, C{""}: it is not.
    """

    def __init__(
        self,
        terms: FilterTerms,
        facts: Facts,
        connect: Callable[[MilterConnection], Deferred[Any]],
        spares: Spares,
        newEdits: NewEdits,
        clock: IReactorTime,
        log: MailLog,
        tally: FilterTally,
    ) -> None:
        """
        @param connect: connects a protocol to it.
        @param spares: see L{Link}.
        """
        self.name = terms.name
        self.quarantine = ""
        self._terms = terms
        self._facts = facts
        self._newEdits = newEdits
        self._clock = clock
        self._log = log
        self._tally = tally
        self._link = Link(self, terms, facts, connect, spares, clock, tally)
        self._exchange: Exchange | None = None
        self._began = 0.0
        # The message: begun, done with by the filter's wish, DATA said, no more recipients
        self._isIn = False
        self._isOut = False
        self._hasData = False
        self._skipsRecipients = False
        self._failure: Verdict | None = None
        # Who waits, and for what
        self._isAside = False
        self._result: Verdict | None = None
        self._waiter: Deferred[Verdict] | None = None

    def introduce(self, isOther: bool) -> None:
        """See L{Link.introduce}."""
        self._link.introduce(isOther)

    # The envelope

    def mail(self, sender: bytes, parameters: Sequence[bytes]) -> Asked:
        """A transaction begins."""
        self._forget()
        if self._link.isReady:
            return self._mail(sender, parameters)
        return self._run(lambda: self._link.whenReady(lambda trouble: self._mailLater(trouble, sender, parameters)))

    def _mailLater(self, trouble: Trouble | None, sender: bytes, parameters: Sequence[bytes]) -> None:
        if trouble is not None:
            self._unusable(trouble)
            return
        said = self._mail(sender, parameters)
        if isinstance(said, Verdict):
            self._finish(said)

    def _mail(self, sender: bytes, parameters: Sequence[bytes]) -> Asked:
        link = self._link
        if link.refusal is not None:
            self._tally.commands += 1
            return link.refusal
        if link.passes:
            self._isOut = True
            return NO_OPINION
        self._isIn = True
        return self._ask(commands.MAIL, commands.mail(sender, parameters), lambda a: self._answeredMessage(a, "MAIL"))

    def recipient(self, recipient: bytes, parameters: Sequence[bytes]) -> Asked:
        """One more recipient, which nobody else has refused."""
        if self._isIdle() or self._skipsRecipients:
            return self._failure or NO_OPINION
        return self._ask(commands.RCPT, commands.rcpt(recipient, parameters), self._answeredRecipient)

    def _answeredRecipient(self, answer: Final) -> None:
        self._skipsRecipients = answer is Disposition.SKIP
        self._answeredMessage(answer, "RCPT")

    @property
    def hearsOfRefused(self) -> bool:
        """It wants to know of recipients that others have refused."""
        connection = self._link.connection
        if self._isIdle() or connection is None or connection.terms is None:
            return False
        return bool(connection.terms.steps & RCPT_REJ)

    def data(self) -> Asked:
        """DATA.  With pipelining it goes with the content."""
        if self._isIdle() or self._hasData or self._terms.pipelining:
            return self._failure or NO_OPINION
        self._hasData = True
        return self._ask(commands.DATA, commands.BEGIN_DATA, lambda answer: self._answeredMessage(answer, "DATA"))

    def _answeredMessage(self, answer: Final, command: str) -> None:
        if answer is Disposition.ACCEPT:
            self._isOut = True
        self._finish(self._heard(answer, command))

    def unknown(self, line: bytes) -> Asked:
        """A command that is none of ours.  @return: with words for the client, or none."""
        link = self._link
        if not link.isReady or link.passes or link.refusal is not None or self._isDone():
            return NO_OPINION
        asked = self._ask(commands.UNKNOWN, commands.unknown(line), self._answeredUnknown)
        self._isAside = asked is not NO_OPINION
        return asked

    def _answeredUnknown(self, answer: Final) -> None:
        said = self._heard(answer, "unknown") if isinstance(answer, ReplyCode) else NO_OPINION
        self._isAside = False
        self._finish(said)

    # The content

    def message(self, message: Message) -> Asked:
        """All of it is here.  Where the filter accepts it, the message has its edits."""
        if self._isIdle():
            return self._failure or NO_OPINION
        self._began = self._clock.seconds()
        if not self._hasData and not self._terms.pipelining:
            self._hasData = True
            later = partial(self._afterData, message)
            if self._link.ask(commands.DATA, commands.BEGIN_DATA, later):
                return self._later()
        return self._run(lambda: self._show(message))

    def _afterData(self, message: Message, answer: Final) -> None:
        if answer is Disposition.CONTINUE:
            self._show(message)
        else:
            self._answeredMessage(answer, "DATA")

    def _show(self, message: Message) -> None:
        connection = self._link.connection
        assert connection is not None and connection.terms is not None
        terms = connection.terms
        connection.limit(self._terms.message)
        self._exchange = Exchange(
            connection,
            message,
            lambda letter: self._facts.macros(letter, terms.macros),
            lambda: self._newEdits(bool(terms.steps & HDR_LEADSPC), connection.hold, message),
            self._terms.pipelining,
            lambda answer: self._shown(answer, message),
            lambda failure: self._impossible(failure, "the message can't be read"),
        )
        self._exchange.begin()

    def _shown(self, answer: Final, message: Message) -> None:
        exchange = self._exchange
        connection = self._link.connection
        assert exchange is not None and connection is not None
        edits = exchange.edits
        said = self._heard(answer, "end of DATA" if exchange.isComplete else "content", edits)
        self._exchange = None
        self._isIn = not exchange.isComplete
        self._isOut = True
        if self._isIn and self._terms.pipelining:
            # Some answer the rest, and some don't.
            self._isIn = False
            self._link.abort()
        connection.limit(0.0)
        self._tally.seconds += self._clock.seconds() - self._began
        isAside = edits is not None and bool(edits.quarantine)
        self._tally.results[_RESULTS.get(said.answer, "quarantined" if isAside else "accepted")] += 1
        if edits is None or said is not NO_OPINION:
            if edits is not None:
                edits.abort()
            self._finish(said)
            return
        self.quarantine = edits.quarantine or self.quarantine
        self._tally.edits += edits.count
        made = edits.apply(message)
        if made is None:
            self._finish(NO_OPINION)
        else:
            made.addCallback(lambda _: self._finish(NO_OPINION))
            made.addErrback(self._impossible, "the new body can't be written")

    def _impossible(self, failure: Failure, why: str) -> None:
        """A fault of ours."""
        self._exchange = None
        self._log.bug(self._facts.id, f"filter {self.name}", failure)
        self._finish(delay(reply.LOCAL_ERROR, why))

    # Questions and answers

    def _isDone(self) -> bool:
        return self._isOut or self._failure is not None

    def _isIdle(self) -> bool:
        """It is not to be asked about this message."""
        return self._isOut or self._failure is not None or not self._isIn

    def _ask(self, letter: bytes, packet: bytes, then: Callable[[Final], None]) -> Asked:
        """Send a command.  @param then: calls L{_finish} with what comes of the answer."""
        return self._later() if self._link.ask(letter, packet, then) else NO_OPINION

    def _run(self, start: Callable[[], None]) -> Asked:
        """What comes of a question, by L{_finish}, maybe at once."""
        self._result = None
        start()
        result, self._result = self._result, None
        return result if result is not None else self._later()

    def _later(self) -> Deferred[Verdict]:
        if self._waiter is None:
            self._waiter = Deferred()
        return self._waiter

    def _finish(self, said: Verdict) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.callback(said)
        else:
            self._result = said

    def _heard(self, answer: Final, command: str, edits: Edits | None = None) -> Verdict:
        """What an answer says about the mail; a line in the log when it is more than yes."""
        said = verdictOf(answer, self.name)
        if said is not NO_OPINION or (edits is not None and (edits.count or edits.quarantine)):
            if said is not NO_OPINION and self._exchange is None:
                self._tally.commands += 1
            verdict = _RESULTS.get(said.answer, "quarantined" if edits is not None and edits.quarantine else "accepted")
            count = edits.count if edits is not None and said is NO_OPINION else None
            why = edits.quarantine if edits is not None else ""
            self._log.filtered(self._facts.id, self.name, verdict, command, reply=said.reply, edits=count, why=why)
        return said

    def answered(self, answer: Final) -> None:
        """See L{Owner.answered}: to a part of the content."""
        if self._exchange is not None:
            self._exchange.answered(answer)

    def said(self, answer: Answer) -> None:
        """See L{Owner.said}."""
        if self._exchange is not None:
            self._exchange.said(answer)
        elif isinstance(answer, Quarantine):
            self.quarantine = answer.reason.decode("utf-8", "replace")[:REASON_LIMIT] or "quarantine"

    def emptied(self) -> None:
        """See L{Owner.emptied}."""
        if self._exchange is not None:
            self._exchange.emptied()

    # Trouble

    def lost(self, trouble: Trouble) -> None:
        """See L{Owner.lost}."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()
        if self._isAside:
            self._isAside = False
            self.note(trouble)
            self._finish(NO_OPINION)
        elif self._isIdle():
            # It may close a connection that nobody needs; what makes no sense is told.
            if trouble.kind != "down":
                self.note(trouble)
        else:
            self.note(trouble)
            self._unusable(trouble)

    def note(self, trouble: Trouble) -> None:
        """See L{Owner.note}."""
        self._tally.troubles[trouble.kind] += 1
        self._tally.trouble = f"{trouble.kind}: {trouble.why}"
        policy = policyOf(self._terms, trouble)
        self._log.filterFailed(self._facts.id, self.name, trouble.kind, trouble.why, policy)

    def _unusable(self, trouble: Trouble) -> None:
        """Do as the policy says, for all of this message."""
        policy = policyOf(self._terms, trouble)
        said = verdictOfTrouble(policy, self._terms, trouble)
        if said is NO_OPINION:
            self._isOut = True
            self._tally.results["unfiltered"] += 1
            if policy == "quarantine":
                self.quarantine = f"it is {trouble.kind}"
        else:
            self._failure = said
        self._finish(said)

    # End

    def end(self) -> None:
        """The message is over, taken or not."""
        if self._isIn:
            self._link.abort()
        self._forget()

    def _forget(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abort()
        self._isIn = self._isOut = self._hasData = self._skipsRecipients = self._isAside = False
        self._failure = None
        self.quarantine = ""
        self._waiter = None
        self._link.forget()

    def close(self) -> None:
        """The session is over, and nothing may be asked any more."""
        self._link.close()
        self._forget()
        # It refers to this object; without the circle both are freed at once.
        del self._link
