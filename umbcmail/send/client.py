"""One connection to a next hop: moves bytes, keeps the time, decides nothing.

Made by a L{Pool<umbcmail.send.pool.Pool>}.  What is said is decided by its
C{Opening} and then by one C{Transaction} after the other.  There is no timer
here: C{deadline} is looked at by the pool about once a second.  Octets that come
before they can be the answer to what we say next end the session: they would be
taken for the answer to the next message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.destination import Hop, TLSRule
from umbcmail.interfaces import IContent
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply
from umbcmail.send.chunks import ChunkPouring, Tally
from umbcmail.send.commands import Extensions
from umbcmail.send.fitting import Fitting
from umbcmail.send.opening import Opening
from umbcmail.send.pouring import Pouring
from umbcmail.send.replies import RemoteReply, ReplyReader
from umbcmail.send.session import Fate
from umbcmail.send.tls import CheckedTLS, UncheckedTLS
from umbcmail.send.transaction import Transaction
from umbcmail.wire import Wire

if TYPE_CHECKING:
    from umbcmail.send.attempt import Attempt
    from umbcmail.send.pool import Pool

FAREWELL = 3.0
"""Seconds that the reply to QUIT may take."""


@implementer(IHandshakeListener)
class Client(Protocol):
    """A connection.

    @ivar hop: where to.
    @ivar attempt: whose transaction is under way, or for whom it is opened.
    @ivar deadline: seconds of the reactor's clock; then C{expire} is called.
    @ivar usable: it has been opened.
    @ivar closed: it is being closed.
    """

    def __init__(self, pool: Pool, hop: Hop, attempt: Attempt | None, rule: TLSRule) -> None:
        setup = pool.setup
        self.hop = hop
        self.attempt: Attempt | None = attempt
        self.deadline = 0.0
        self._pool = pool
        self._setup = setup
        self._seconds = setup.clock.seconds
        self._limit = setup.limits.greeting
        self._host = str(hop)
        self._reader = ReplyReader()
        self._rule = rule
        self._checked: CheckedTLS | None = None
        self._opening: Opening | None = Opening(
            self, setup.dialect, setup.heloName, self._host, rule.level, setup.limits
        )
        self._transaction: Transaction | None = None
        self._expect: Callable[[RemoteReply], None] = self._opening.replied
        self._extensions = Extensions()
        self._pouring: Pouring | None = None
        self._chunks: ChunkPouring | None = None
        self._left = 0
        self._ahead = False
        self._starting = False
        self._securing = False
        self.usable = False
        self.closed = False
        self._sent = 0

    # The connection
    def connectionMade(self) -> None:
        """See L{Protocol}."""
        if ITCPTransport.providedBy(self.transport) and self.hop.port:
            self.transport.setTcpNoDelay(True)
        self._wire = Wire(self.transport)
        self.deadline = self._seconds() + self._limit

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        try:
            replies = self._reader.feed(data)
            self._left = len(replies)
            for remote in replies:
                self._left -= 1
                self._expect(remote)
                if self._ahead:
                    break
            self._left = 0
            if self._securing:
                self._secure()
            elif self._ahead or self._reader.broken:
                self._nonsense()
            else:
                self.deadline = self._seconds() + self._limit
        except Exception:
            self._bug(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        try:
            if not self.closed:
                self._closing()
                if self._opening is not None:
                    self._opening.lost()
                elif self._transaction is not None:
                    self._transaction.lost()
        except Exception:
            self._bug(Failure())
        finally:
            self._pool.parted(self)

    def expire(self) -> None:
        """The deadline has passed."""
        try:
            if self.closed:
                self._abort()
            elif self._opening is not None:
                self._opening.timedOut()
            elif self._transaction is not None:
                self._transaction.timedOut()
            elif self._expect == self._unasked:
                self.quit()
            else:
                self.close()
        except Exception:
            self._bug(Failure())

    def _nonsense(self) -> None:
        if self.closed:
            return
        if self._opening is not None:
            self._opening.nonsense()
        elif self._transaction is not None:
            self._transaction.nonsense()
        else:
            self.close()

    def _bug(self, failure: Failure) -> None:
        self._setup.log.bug(self.attempt.id if self.attempt is not None else "-", "send", failure)
        transaction, attempt = self._transaction, self.attempt
        self.close()
        if attempt is not None:
            attempt.broken(transaction)

    # For the opening and the transactions
    def write(self, data: bytes, limit: float) -> None:
        """See L{OpeningLink} and L{TransactionLink}."""
        if self._left or self._reader.pending:
            self._ahead = True  # not an answer to this
            return
        self._limit = limit
        self.deadline = self._seconds() + limit
        self._wire.write(data)

    def secure(self) -> None:
        """See L{OpeningLink}."""
        self._securing = True
        self._expect = self._unasked

    def _secure(self) -> None:
        assert self._opening is not None
        self._securing = False
        if self._ahead or self._reader.pending:
            self._opening.injected()
            return
        self._expect = self._opening.replied
        transport = self._wire.buffered()
        self._limit = self._setup.limits.connect
        self.deadline = self._seconds() + self._limit
        if self._rule.level == "verify":
            self._checked = CheckedTLS(self._setup.checkedContext(), self.hop.name, self._rule.names)
            transport.startTLS(self._checked)
        else:
            transport.startTLS(UncheckedTLS(self._setup.context(), self.hop.name))
        self._opening.secured()

    def handshakeCompleted(self) -> None:
        """See L{IHandshakeListener}."""
        if self._opening is not None:
            self._limit = self._setup.limits.command
            self.deadline = self._seconds() + self._limit
            self._opening.shookHands(self._checked is None or self._checked.isVerified())

    def opened(self, extensions: Extensions) -> None:
        """See L{OpeningLink}."""
        self._opening = None
        if extensions.chunking and not self._pool.takesChunks():
            extensions = replace(extensions, chunking=False)
        self._extensions = extensions
        self.usable = True
        attempt, self.attempt = self.attempt, None
        if self._left or self._reader.pending:
            self._ahead = True
        self._rest()
        self._pool.opened(self, attempt)

    def notOpened(self, outcome: Outcome, tlsFault: bool) -> None:
        """See L{OpeningLink}."""
        self._opening = None
        attempt, self.attempt = self.attempt, None
        self.close()
        self._pool.notOpened(attempt, outcome, tlsFault)

    def pour(self, content: IContent) -> None:
        """See L{TransactionLink}."""
        if self._left or self._reader.pending:
            self._ahead = True
            return
        self._pouring = Pouring(self._wire.buffered(), content, self._progress, self._dot, self._unreadable)
        self._progress()
        self._pouring.start()

    @property
    def chunksFrom(self) -> int:
        """See L{TransactionLink}."""
        return self._setup.chunksFrom

    def pourChunks(self, content: IContent, tally: Tally, ahead: int, binary: bool) -> None:
        """See L{TransactionLink}."""
        if self._left or self._reader.pending:
            self._ahead = True
            return
        transport = self._wire.buffered()
        self._pouring = self._chunks = ChunkPouring(
            transport, content, self._progress, self._chunk, self._unreadable, tally, ahead, binary
        )
        self._progress()
        self._chunks.start()

    def _chunk(self, last: bool) -> None:
        if self._transaction is not None:
            self._transaction.chunk(last)
        if last:
            self._limit = self._setup.limits.dataEnd
            self.deadline = self._seconds() + self._limit

    def chunkAnswered(self) -> None:
        """See L{TransactionLink}."""
        if self._chunks is not None:
            self._chunks.answered()

    def halt(self) -> None:
        """See L{TransactionLink}."""
        if self._pouring is not None:
            self._pouring.stopProducing()
            self._pouring = self._chunks = None

    def chunksRefused(self) -> None:
        """See L{TransactionLink}."""
        self._pool.chunksRefused(self.attempt)

    def withoutChunks(self) -> None:
        """No more BDAT by this connection."""
        self._extensions = replace(self._extensions, chunking=False)

    def fit(self, fitting: Fitting, narrow: bool, seven: bool) -> None:
        """See L{TransactionLink}."""
        assert self._transaction is not None
        made = fitting.made(narrow, seven)
        if isinstance(made, Deferred):
            self._limit = self._setup.limits.command
            self.deadline = self._seconds() + self._limit
            made.addCallback(self._fitted, self._transaction)
        else:
            self._transaction.fitted(made)

    def _fitted(self, result: IContent | Reply, transaction: Transaction) -> None:
        if self._transaction is transaction:
            try:
                transaction.fitted(result)
            except Exception:
                self._bug(Failure())

    def _progress(self) -> None:
        self._limit = self._setup.limits.dataBlock
        self.deadline = self._seconds() + self._limit

    def _dot(self) -> None:
        self._limit = self._setup.limits.dataEnd
        self.deadline = self._seconds() + self._limit
        if self._transaction is not None:
            self._transaction.poured()

    def _unreadable(self, failure: Failure) -> None:
        if self.attempt is not None and self._transaction is not None:
            self._setup.log.trouble(self.attempt.id, "content", failure.getErrorMessage())
            self._transaction.unreadable()

    def finished(self, fate: Fate) -> None:
        """See L{TransactionLink}."""
        transaction, self._transaction = self._transaction, None
        attempt, self.attempt = self.attempt, None
        self._sent += 1
        if fate is Fate.CLOSE or self._left or self._reader.pending or self.closed:
            self.close()
        elif fate is Fate.LEAVE or self._sent >= self._setup.messages:
            self.quit()
        elif fate is Fate.RESET:
            self._expect = self._resetReplied
            self.write(b"RSET\r\n", self._setup.limits.command)
        else:
            self._rest()
            if self._starting:  # no recursion through those who wait
                self._setup.clock.callLater(0, self._pool.released, self)
            else:
                self._pool.released(self)
        if attempt is not None and transaction is not None:
            attempt.transacted(transaction)

    # For the pool and the attempts
    def begin(self, attempt: Attempt, transaction: Transaction) -> None:
        """Carry out a transaction."""
        self.attempt = attempt
        self._transaction = transaction
        self._expect = transaction.replied
        setup = self._setup
        self._starting = True
        try:
            transaction.start(
                self, self._host, self._extensions, setup.limits, setup.dialect.perRecipient, self._sent > 0
            )
        finally:
            self._starting = False

    def giveUp(self) -> None:
        """The attempt has no time left."""
        if self._transaction is not None:
            self._transaction.timedOut()

    def quit(self) -> None:
        """Take leave; the reply is not waited for for long."""
        if not self.closed:
            self._closing()
            self._expect = self._partingReplied
            self.write(b"QUIT\r\n", FAREWELL)

    def close(self) -> None:
        """End the connection now."""
        if not self.closed:
            self._closing()
            self._abort()

    def _closing(self) -> None:
        self.closed = True
        self._expect = self._ignored
        self.halt()
        self._pool.gone(self)

    def _abort(self) -> None:
        self.deadline = float("inf")
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def _rest(self) -> None:
        self._expect = self._unasked
        self._limit = self._setup.idle
        self.deadline = self._seconds() + self._limit

    # Replies that are not a transaction's
    def _unasked(self, remote: RemoteReply) -> None:
        """Nothing has been asked: 421, or a server that is out of step."""
        self._ahead = True

    def _resetReplied(self, remote: RemoteReply) -> None:
        if remote[0] < 300 and not self._left and not self._reader.pending:
            self._rest()
            self._pool.released(self)
        else:
            self.close()

    def _partingReplied(self, remote: RemoteReply) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _ignored(self, remote: RemoteReply) -> None:
        """The connection is being closed."""
