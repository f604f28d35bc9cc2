"""One connection to a filter, from the MTA's side: it moves packets and keeps time.

Made by `milter`, which says what is sent.  Commands are gathered and go out in one
write, up to the next one that the filter answers; exactly one of them is open at a
time, unless who sends does not wait.  Whatever is wrong with a filter comes out as a L{Trouble}, once: then the
connection is gone, and who made it decides what that means for the mail.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from umbcmail.filter.answers import CONTINUE, Answer, Disposition, Progress, Quarantine, ReplyCode, readAnswer
from umbcmail.filter.codec import MilterError, Packets
from umbcmail.filter.commands import QUIT
from umbcmail.filter.negotiation import (
    ALL_ACTIONS,
    ALL_STEPS,
    KEEPS,
    SKIP,
    UNANSWERED,
    UNWANTED,
    WHOLE,
    Negotiation,
    agreed,
)
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.tally import FilterTally
from umbcmail.wire import Wire

GATHERED = 65536
"""Octets of commands without answers that wait for others."""
CONTENT = frozenset((b"L", b"N", b"B", b"E"))
"""Letters of the commands that have a longer time."""

Final = Disposition | ReplyCode


@dataclass(frozen=True, slots=True)
class Trouble:
    """A filter can't be used.

    @ivar kind: C{"down"}, C{"slow"} or C{"broken"}.
    @ivar why: for the log.
    """

    kind: str
    why: str


class Asker(Protocol):
    """Who is told of what comes."""

    def agreed(self) -> None:
        """The connection can be used."""

    def answered(self, answer: Final) -> None:
        """To the command that was open."""

    def said(self, answer: Answer) -> None:
        """An edit, or a quarantine, before the answer to the end of the body."""

    def emptied(self) -> None:
        """All that was written is on its way."""

    def failed(self, trouble: Trouble) -> None:
        """The end; also when nothing was asked."""


def offer(terms: FilterTerms) -> Negotiation:
    """What is offered to a filter: all, as far as a version has it."""
    if terms.version == 2:
        return Negotiation(2, 0x3F, 0x7F)
    if terms.version < 6:
        return Negotiation(terms.version, 0x3F, 0x3FF)
    # Who has sent more already can't be told to skip it.
    return Negotiation(6, ALL_ACTIONS, ALL_STEPS & ~SKIP if terms.pipelining else ALL_STEPS)


class MilterConnection(TwistedProtocol):
    """The connection.

    @ivar asker: who is told.
    @ivar terms: what was agreed on; L{None} before.
    @ivar unwanted: letters of the commands that are not to be sent at all.
    @ivar unanswered: of those that get no answer.
    @ivar canBeKept: it can serve another client after this one.
    @ivar takesWhole: a message can go in one piece.
    @ivar isOpen: packets can be sent.
    """

    transport: Any

    def __init__(self, asker: Asker, terms: FilterTerms, clock: IReactorTime, tally: FilterTally) -> None:
        self.asker = asker
        self.terms: Negotiation | None = None
        self.unwanted: frozenset[bytes] = frozenset()
        self.unanswered: frozenset[bytes] = frozenset()
        self.canBeKept = self.takesWhole = False
        self.isOpen = False
        self._terms = terms
        self._clock = clock
        self._tally = tally
        self._offer = offer(terms)
        self._packets = Packets()
        self._gathered: list[bytes] = []
        self._size = 0
        self._letters: deque[bytes] = deque()
        self._due = 0.0
        self._limit = 0.0
        self._messageDue = 0.0
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to negotiate."""
        setNoDelay = getattr(self.transport, "setTcpNoDelay", None)
        if setNoDelay is not None:
            setNoDelay(True)
        self._wire = Wire(self.transport, self._emptied)
        self.isOpen = True
        self._tally.connections += 1
        self._tally.open += 1
        self._wait(b"O", self._terms.connect)
        self._wire.write(self._offer.packet())

    @property
    def isWaiting(self) -> bool:
        """A command is open."""
        return bool(self._letters)

    # Out

    def send(self, letter: bytes, octets: bytes, isLast: bool = True) -> bool:
        """Send a command, with its macros.

        @param letter: of the command.
        @param isLast: nothing follows before its answer.
        @return: the filter is going to answer it, so that nothing else may be sent.
        """
        self._gathered.append(octets)
        self._size += len(octets)
        isAnswered = letter not in self.unanswered
        if isAnswered:
            self._wait(letter, self._terms.content if letter in CONTENT else self._terms.command)
        if (isAnswered and isLast) or self._size >= GATHERED:
            self.flush()
        return isAnswered

    def tell(self, octets: bytes) -> None:
        """Send what is never answered, together with what comes next."""
        self._gathered.append(octets)
        self._size += len(octets)
        if self._size >= GATHERED:
            self.flush()

    def flush(self) -> None:
        """Let go out what has been gathered."""
        if self._gathered and self.isOpen:
            octets = b"".join(self._gathered)
            self._gathered = []
            self._size = 0
            self._wire.write(octets)

    @property
    def isFull(self) -> bool:
        """The filter has not taken yet what it was sent."""
        return self._wire.isFull

    def _emptied(self) -> None:
        if self.isOpen:
            self._renew()
            self.asker.emptied()

    def quit(self) -> None:
        """The session is over."""
        if self.isOpen:
            if not self.isWaiting and self.terms is not None:
                self.tell(QUIT)
                self.flush()
            self._close()

    def cut(self) -> None:
        """The connection is of no use any more: an answer that nobody wants is on its way."""
        if self.isOpen:
            self._close()

    def hold(self, on: bool) -> None:
        """What it sends can't be stored so fast: don't read for a while."""
        if self.isOpen:
            if on:
                self.transport.pauseProducing()
            else:
                self._renew()
                self.transport.resumeProducing()

    # In

    def dataReceived(self, data: bytes) -> None:
        """Octets of the filter, cut anywhere."""
        if not self.isOpen:
            return
        try:
            if data == CONTINUE and self._packets.isEmpty and self._letters and self._letters[0] != b"O":
                # Nearly all that filters on libmilter say, one at a time.
                self._answered()
                self.asker.answered(Disposition.CONTINUE)
                return
            for letter, rest in self._packets.feed(data):
                self._take(readAnswer(letter, rest))
                if not self.isOpen:
                    return
            if not (self.isWaiting or self._packets.isEmpty):
                raise MilterError("more than was asked for")
        except MilterError as why:
            self._fail("broken", str(why))

    def _take(self, answer: Answer) -> None:
        if not self._letters:
            raise MilterError(f"an answer that nothing asked for: {answer!r:.60}")
        letter = self._letters[0]
        if isinstance(answer, Negotiation) or letter == b"O":
            self._negotiated(answer)
        elif isinstance(answer, (Disposition, ReplyCode)):
            if answer is Disposition.SKIP and letter not in b"LBRU":
                answer = Disposition.CONTINUE
            self._answered()
            self.asker.answered(answer)
        elif isinstance(answer, Progress):
            self._renew()
        elif letter == b"E" or isinstance(answer, Quarantine):
            self._renew()
            self.asker.said(answer)
        else:
            raise MilterError(f"an edit before the end of the body: {answer!r:.60}")

    def _negotiated(self, answer: Answer) -> None:
        if self._letters[0] != b"O" or not isinstance(answer, Negotiation):
            raise MilterError(f"no negotiation where one is due: {answer!r:.60}")
        self.terms = terms = agreed(self._offer, answer)
        self.unwanted = frozenset([letter for letter, step in UNWANTED.items() if terms.steps & step])
        self.unanswered = frozenset([letter for letter, step in UNANSWERED.items() if terms.steps & step])
        abilities = (terms.macros or {}).get(b"C", ())
        self.canBeKept = self._terms.keeps or KEEPS in abilities
        self.takesWhole = WHOLE in abilities
        self._answered()
        self.asker.agreed()

    def _answered(self) -> None:
        self._letters.popleft()
        if self._letters:
            self._renew()
        else:
            self._due = 0.0

    # Time and end

    def limit(self, seconds: float) -> None:
        """The message must be done with by then.  @param seconds: 0: there is none."""
        self._messageDue = self._clock.seconds() + seconds if seconds else 0.0

    def _wait(self, letter: bytes, limit: float) -> None:
        self._letters.append(letter)
        self._limit = limit
        self._renew()

    def _renew(self) -> None:
        """There was a sign of life.  The timer is not moved for each but looks when it
        fires; only one that would be too late is made anew."""
        now = self._clock.seconds()
        self._due = due = now + self._limit
        if self._messageDue and self._messageDue < due:
            self._due = due = self._messageDue
        timer = self._timer
        if timer is None:
            self._timer = self._clock.callLater(max(due - now, 0.0), self._look)
        elif timer.getTime() > due:
            timer.reset(max(due - now, 0.0))

    def _look(self) -> None:
        self._timer = None
        if not self._due:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            letter = self._letters[0].decode("latin-1")
            what = "to the offer" if letter == "O" else f"to {letter}"
            self._fail("slow", f"no answer {what} in time")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The filter has closed it, or is gone."""
        if not self.isOpen:
            return
        what = "it has closed the connection" if reason.check(connectionDone.type) else reason.getErrorMessage()
        self._fail("down", what)

    def _fail(self, kind: str, why: str) -> None:
        self._close(True)
        self.asker.failed(Trouble(kind, why))

    def _close(self, now: bool = False) -> None:
        self.isOpen = False
        self._letters.clear()
        self._tally.open -= 1
        self._gathered = []
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        transport = self._wire.buffered()
        if now:
            transport.abortConnection()
        else:
            transport.loseConnection()
