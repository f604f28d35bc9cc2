"""What the parts of one client session agree on: dialect, time limits, links.

L{Opening<umbcmail.send.opening.Opening>} and
L{Transaction<umbcmail.send.transaction.Transaction>} decide and have no socket;
the two links say what the connection does for them (C{client} in earnest, a
list of what was asked for in tests).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from umbcmail.interfaces import IContent
from umbcmail.outcome import Outcome
from umbcmail.send.chunks import Tally
from umbcmail.send.commands import Extensions
from umbcmail.send.fitting import Fitting
from umbcmail.send.passing import Passing


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where SMTP and LMTP (RFC 2033) differ.

    @ivar hello: the verb of the greeting.
    @ivar fallback: the verb for servers that do not know that one, or C{""}.
    @ivar perRecipient: a reply for each accepted recipient after the dot.
    """

    hello: str
    fallback: str
    perRecipient: bool


SMTP = Dialect("EHLO", "HELO", False)
LMTP = Dialect("LHLO", "", True)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds (RFC 5321 section 4.5.3.2)."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    dataStart: float = 120.0
    dataBlock: float = 180.0
    dataEnd: float = 600.0


class OpeningLink(Protocol):
    """What the connection does for an opening."""

    def write(self, data: bytes, limit: float) -> None:
        """Send octets, and give the reply so many seconds."""

    def secure(self) -> None:
        """Begin TLS, then call C{secured}; or C{injected}, if octets in clear
        have come behind the reply."""

    def opened(self, extensions: Extensions) -> None:
        """Ready for mail."""

    def notOpened(self, outcome: Outcome, tlsFault: bool) -> None:
        """No mail by this connection.

        @param tlsFault: it would perhaps work in clear.
        """


class Fate(Enum):
    """What becomes of a session after a transaction: good for the next one; good
    after RSET; to be left with QUIT, since another server of that name may do
    better; or to be closed at once."""

    REUSE = 0
    RESET = 1
    LEAVE = 2
    CLOSE = 3


class TransactionLink(Protocol):
    """What the connection does for a transaction."""

    def write(self, data: bytes, limit: float) -> None:
        """Send octets, and give the reply so many seconds."""

    def pour(self, content: IContent) -> None:
        """Send content that is not in memory, dot included; then call C{poured},
        or C{unreadable} if that fails before the final dot is sent."""

    @property
    def chunksFrom(self) -> int:
        """Content of more octets goes in chunks to those who take them."""

    def pourChunks(self, content: IContent, tally: Tally, ahead: int, binary: bool) -> None:
        """The same with BDAT, see L{ChunkPouring}; calls C{chunk} before each."""

    def chunkAnswered(self) -> None:
        """The next hop has taken a chunk."""

    def halt(self) -> None:
        """Send no further chunk."""

    def chunksRefused(self) -> None:
        """The next hop offers BDAT, but does not know it."""

    def fit(self, fitting: Fitting, narrow: bool, seven: bool) -> None:
        """Get the content in another form, see L{Fitting.made}; then call
        C{fitted}, at once or later."""

    def finished(self, fate: Fate) -> None:
        """The transaction is over."""


@dataclass(slots=True, eq=False)
class Letter:
    """What is to be sent, in the form in which it goes over the wire.  Not changed
    after the attempt has begun.

    @ivar sender: checked by C{wireAddress}.
    @ivar recipients: likewise, L{None} where it can't be sent; a transaction
        names them by their number here.
    @ivar content: the message.
    @ivar eightBit: declared as 8BITMIME.
    @ivar wide: declared as SMTPUTF8, or some address is not ASCII.
    @ivar fitting: gives the content's other forms.
    @ivar utf8: declared as SMTPUTF8.
    @ivar binary: declared as BINARYMIME (RFC 3030).
    @ivar requireTLS: RFC 8689.
    @ivar dsn: the parameters for MAIL of servers that offer DSN.
    @ivar wishes: likewise for RCPT, by number; empty when there are none.
    @ivar actions: parameters of RCPT for our local delivery agent, by number; empty when
        there are none.
    @ivar success: numbers of those that want to be told of success.
    @ivar by: the time that it should be delivered by (RFC 2852), or L{None}.
    """

    sender: bytes
    recipients: Sequence[bytes | None]
    content: IContent
    eightBit: bool
    wide: bool
    fitting: Callable[[], Fitting]
    utf8: bool = False
    binary: bool = False
    requireTLS: bool = False
    dsn: bytes = b""
    wishes: Sequence[bytes] = ()
    actions: Sequence[bytes] = ()
    success: frozenset[int] = frozenset()
    by: Passing | None = None
