"""Keeps one filter told of a session's client, over one connection, or several.

Made by `milter`.  The connection is opened when the client has introduced itself, and again
for the next message when it was lost; CONNECT and HELO are said again then.  Nobody waits
for them: what the filter answers holds for the messages that follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from umbcmail.filter import commands
from umbcmail.filter.answers import Answer, Disposition
from umbcmail.filter.connection import Final, MilterConnection, Trouble
from umbcmail.filter.facts import Facts
from umbcmail.filter.meaning import verdictOf
from umbcmail.filter.settings import FilterTerms
from umbcmail.filter.spares import Spares
from umbcmail.filter.tally import FilterTally
from umbcmail.verdict import Verdict

FRESH = 2.0
"""Seconds in which a filter that could not be reached is not tried again."""


class Owner(Protocol):
    """Who has the link."""

    def answered(self, answer: Final) -> None:
        """To a command that was not sent by L{Link.ask}."""

    def said(self, answer: Answer) -> None:
        """See L{umbcmail.filter.connection.Asker.said}."""

    def emptied(self) -> None:
        """See L{umbcmail.filter.connection.Asker.emptied}."""

    def lost(self, trouble: Trouble) -> None:
        """The connection is gone, and not while the client was being introduced."""

    def note(self, trouble: Trouble) -> None:
        """The client can't be introduced."""


class Link:
    """The link.

    @ivar connection: L{None} where there is none that can be used.
    @ivar passes: the filter wants to see nothing of this client.
    @ivar refusal: what it has said of the client, where that was a no.
    @ivar isIntroducing: it has not heard of the client yet, or not answered.
    """

    def __init__(
        self,
        owner: Owner,
        terms: FilterTerms,
        facts: Facts,
        connect: Callable[[MilterConnection], Deferred[Any]],
        spares: Spares,
        clock: IReactorTime,
        tally: FilterTally,
    ) -> None:
        """
        @param connect: connects a protocol to the filter.
        @param spares: connections that others have left.
        """
        self.connection: MilterConnection | None = None
        self.passes = False
        self.refusal: Verdict | None = None
        self.isIntroducing = False
        self._owner = owner
        self._terms = terms
        self._facts = facts
        self._connect = connect
        self._spares = spares
        self._clock = clock
        self._tally = tally
        self._connecting: Deferred[Any] | None = None
        self._isAgain = False
        self._trouble: tuple[float, Trouble] | None = None
        self._then: Callable[[Final], None] | None = None
        self._next: Callable[[], None] | None = None

    def introduce(self, isOther: bool) -> None:
        """The client has said HELO.  @param isOther: it is another client than before."""
        if isOther:
            self.close()
        if self.isIntroducing:
            self._isAgain = True
        elif self.connection is None:
            self._open()
        elif self.refusal is None and not self.passes:
            self.isIntroducing = True
            self._helo()

    @property
    def isReady(self) -> bool:
        """The filter has heard of the client, and can be told more."""
        return self.connection is not None and not self.isIntroducing

    def whenReady(self, then: Callable[[Trouble | None], None]) -> None:
        """Call when the filter has heard of the client, or can't; one caller at a time."""
        if self.isIntroducing:
            self._next = lambda: self.whenReady(then)
        elif self.connection is not None:
            then(None)
        elif self._trouble is not None and self._clock.seconds() < self._trouble[0] + FRESH:
            then(self._trouble[1])
        else:
            self._next = lambda: self.whenReady(then)
            self._open()

    def _open(self) -> None:
        self.isIntroducing = True
        self.passes = False
        self.refusal = None
        self._trouble = None
        spare = self._spares.take()
        if spare is not None:
            self.connection, spare.asker = spare, self
            spare.tell(commands.QUIT_NEW_CONNECTION)
            self.agreed()
            return
        self.connection = connection = MilterConnection(self, self._terms, self._clock, self._tally)
        self._connecting = connecting = self._connect(connection)
        connecting.addErrback(self._unreachable, connection)

    def _unreachable(self, failure: Failure, connection: MilterConnection) -> None:
        if self.connection is connection:
            self.failed(Trouble("down", failure.getErrorMessage()))

    def agreed(self) -> None:
        """See L{umbcmail.filter.connection.Asker.agreed}."""
        self._tally.trouble = ""
        connection = self.connection
        assert connection is not None
        if commands.CONNECT not in connection.unwanted:
            self._facts.whenNamed(lambda: self._greet(connection))
        else:
            self._greet(connection)

    def _greet(self, connection: MilterConnection) -> None:
        if self.connection is not connection or not connection.isOpen:
            return
        if not self.ask(commands.CONNECT, self._facts.connect(), self._greeted):
            self._helo()

    def _greeted(self, answer: Final) -> None:
        if self._settles(answer):
            self._introduced()
        else:
            self._helo()

    def _helo(self) -> None:
        self._isAgain = False
        if not self.ask(commands.HELO, self._facts.helo(), self._saidHelo):
            self._introduced()

    def _saidHelo(self, answer: Final) -> None:
        if not self._settles(answer) and self._isAgain:
            self._helo()
        else:
            self._introduced()

    def _settles(self, answer: Final) -> bool:
        """Whether an answer to CONNECT or HELO is the last word on the client."""
        self.passes = answer is Disposition.ACCEPT
        said = verdictOf(answer, self._terms.name)
        if said.reply is not None:
            self.refusal = said
        return self.passes or self.refusal is not None

    def _introduced(self) -> None:
        self.isIntroducing = self._isAgain = False
        if self._next is not None:
            then, self._next = self._next, None
            then()

    # Commands

    def ask(self, letter: bytes, packet: bytes, then: Callable[[Final], None]) -> bool:
        """Send a command with its macros.

        @param then: called with the answer.
        @return: there is going to be one.
        """
        connection = self.connection
        assert connection is not None and connection.terms is not None
        macros = self._facts.macros(letter, connection.terms.macros)
        if letter in connection.unwanted:
            if macros:
                connection.tell(macros)
            return False
        if not connection.send(letter, macros + packet):
            return False
        self._then = then
        return True

    def answered(self, answer: Final) -> None:
        """See L{umbcmail.filter.connection.Asker.answered}."""
        if self._then is not None:
            then, self._then = self._then, None
            then(answer)
        else:
            self._owner.answered(answer)

    def said(self, answer: Answer) -> None:
        """See L{umbcmail.filter.connection.Asker.said}."""
        self._owner.said(answer)

    def emptied(self) -> None:
        """See L{umbcmail.filter.connection.Asker.emptied}."""
        self._owner.emptied()

    def failed(self, trouble: Trouble) -> None:
        """See L{umbcmail.filter.connection.Asker.failed}."""
        self.connection = self._then = None
        if self.isIntroducing:
            self._trouble = (self._clock.seconds(), trouble)
            self._owner.note(trouble)
            self._introduced()
        else:
            self._owner.lost(trouble)

    # End

    def abort(self) -> None:
        """The message is over before its end has been answered."""
        connection = self.connection
        if connection is None or self.isIntroducing:
            return
        if connection.isWaiting:
            # The answer that is on its way would be taken for that to the next command.
            self.connection = self._then = None
            connection.cut()
        else:
            connection.tell(commands.ABORT)
            connection.flush()

    def forget(self) -> None:
        """Nobody waits any more."""
        self._next = None

    def close(self) -> None:
        """The session is over."""
        connection, self.connection = self.connection, None
        self._then = self._next = None
        self.isIntroducing = self._isAgain = False
        if connection is None:
            return
        if not connection.isOpen:
            if self._connecting is not None:
                self._connecting.cancel()
        elif not connection.canBeKept or connection.isWaiting or not self._spares.give(connection):
            connection.quit()
