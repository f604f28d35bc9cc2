"""Moves the bytes of one SMTP session; the `dialogue` decides.

One command at a time: while an answer is waited for, what the client sends is
kept (one read at most, then reading stops), so replies go out in the order of
the commands whatever they wait for (RFC 2920 section 3.2).  Replies to a group of
commands go out in one write.  A line that is too long is an error of its own and
never becomes anything else; DATA is not read by lines at all.

The stock L{twisted.mail.smtp.SMTP} is not the base: see C{docs/decisions.md}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail import reply
from umbcmail.accept.chunks import READ_CHUNK, ChunkReader, isChunk
from umbcmail.accept.data import DataDecoder
from umbcmail.accept.dialogue import Dialogue
from umbcmail.accept.limits import GOODBYE, LOOK, Limits, Patience
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply
from umbcmail.wire import Wire

LINE_LIMIT = 2048
"""Octets of a command line: 512 (RFC 5321 section 4.5.3.1.4) and what the
extensions may add to it."""

_CLOSING = frozenset((221, 421))


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class SMTPSession(Protocol):
    """The server side of a connection."""

    transport: Any

    def __init__(
        self,
        dialogue: Dialogue,
        clock: IReactorTime,
        log: MailLog,
        idle: float,
        normalises: bool,
        tls: Callable[[], Any] | None,
        secureFirst: bool,
        ended: Callable[[SMTPSession], None],
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        """
        @param idle: seconds without a sign of the client after which it is sent
            away (RFC 5321 section 4.5.3.2.7).
        @param normalises: bare CR and LF are mended for this client.
        @param tls: makes the context of a TLS server, or L{None}.
        @param secureFirst: TLS comes before the greeting.
        @param ended: called once when the connection is gone.
        @param limits: time that a client may take for this and that.
        """
        self._dialogue = dialogue
        self._clock = clock
        self._log = log
        self._patience = Patience(idle, limits)
        self._normalises = normalises
        self._tls = tls
        self._secureFirst = secureFirst
        self._ended = ended
        self._buffer = b""
        self._replies: list[bytes] = []
        self._decoder: DataDecoder | ChunkReader | None = None
        self._busy = False
        self._skipping = False
        self._skipped = b""
        self._closing = False
        self._paused = False
        self._held = False
        self._draining = False
        self._hasSaidAll = False
        self._why = ""
        self._lastSign = 0.0
        self._timer: IDelayedCall | None = None

    # What Twisted tells

    def connectionMade(self) -> None:
        """Greet; where TLS comes first, begin with that."""
        setNoDelay = getattr(self.transport, "setTcpNoDelay", None)
        if setNoDelay is not None:
            setNoDelay(True)
        self._wire = Wire(self.transport, self._emptied)
        self._lastSign = self._clock.seconds()
        if self._secureFirst:
            self._startTLS()
            self._look()
            return
        self._wire.write(self._dialogue.greeting().wire)
        self._timer = self._clock.callLater(min(self._patience.mostIdle, LOOK), self._look)

    def handshakeCompleted(self) -> None:
        """TLS is up, after STARTTLS or from the first octet."""
        if self._closing:
            return
        handle: Any = self.transport.getHandle()
        name = f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}"
        self._busy = False
        self._wire.watch()
        self._dialogue.secured(name)
        if self._secureFirst:
            self._secureFirst = False
            self._wire.write(self._dialogue.greeting().wire)

    def dataReceived(self, data: bytes) -> None:
        """Some octets of the client, cut anywhere."""
        if self._closing:
            return
        self._lastSign = self._clock.seconds()
        if self._busy or self._wire.isFull:
            self._buffer += data
            self._pause()
            return
        if self._decoder is not None:
            self._decode(data)
        elif self._buffer:
            self._buffer += data
        else:
            self._buffer = data
        self._work()

    def readConnectionLost(self) -> None:
        """The client sends nothing more.  That is no reason not to answer what it has
        sent: Exim closes its side together with the end of a message, and would send
        it again if it got no reply."""
        self._hasSaidAll = True
        self._part()

    def writeConnectionLost(self) -> None:
        """We never close our side alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, or has been sent away."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._closing = True
        self._buffer = b""
        self._decoder = None
        dialogue = self._dialogue
        dialogue.lost()
        why = self._why or ("lost" if not reason.check(connectionDone.type) else "closed by client")
        self._log.disconnected(dialogue.id, dialogue.commands, dialogue.messages, why)
        self._ended(self)

    # Commands

    def _work(self) -> None:
        """Answer all commands that are here, until something must be waited for."""
        while self._buffer and not (self._busy or self._closing or self._wire.isFull):
            if self._decoder is not None:
                data, self._buffer = self._buffer, b""
                self._decode(data)
                continue
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                self._checkLength()
                break
            self._buffer = rest
            if self._skipping:
                self._skipping = False
                self._tooLong(self._skipped)
            elif len(line) > LINE_LIMIT and len(line) > self._dialogue.lineLimit(line):
                self._tooLong(line)
            else:
                self._answer(self._dialogue.command(line))
        self._flush()
        if self._draining and not self._busy and self._decoder is None:
            self.say(reply.SHUTTING_DOWN)
        if self._hasSaidAll:
            self._part()

    def _part(self) -> None:
        """Close, when a client that sends nothing more has all of its replies; half a
        command or message is none."""
        if not (self._busy or self._closing or self._wire.isFull):
            self._close("closed by client")

    def _checkLength(self) -> None:
        """Of a line without end only the last octet is kept, which may be the
        first half of its CRLF."""
        size = len(self._buffer)
        if self._skipping or (size > LINE_LIMIT and size > self._dialogue.lineLimit(self._buffer) + 1):
            if not self._skipping:
                if isChunk(self._buffer):
                    self._tooLong(self._buffer)
                    return
                self._skipped = self._buffer[:100]
            self._skipping = True
            self._buffer = self._buffer[-1:] if self._buffer[-1:] == b"\r" else b""

    def _tooLong(self, line: bytes) -> None:
        """Behind a BDAT octets follow, and nobody knows how many."""
        dialogue = self._dialogue
        self._say(dialogue.counted(reply.BAD_CHUNK, line[:100]) if isChunk(line) else dialogue.tooLong(line[:100]))

    def _answer(self, answer: Reply | Deferred[Reply]) -> None:
        """Say it, now or when it is known."""
        if isinstance(answer, Reply):
            self._say(answer)
        elif answer.called and isinstance(answer.result, Reply):
            self._say(answer.result)
        else:
            self._busy = True
            self._flush()
            answer.addCallbacks(self._answered, self._bug)

    def _answered(self, answer: Reply) -> None:
        self._busy = False
        if self._closing:
            return
        self._lastSign = self._clock.seconds()
        self._say(answer)
        self._resume()
        self._work()

    def _emptied(self) -> None:
        """The client has taken its replies: it may send more."""
        if not self._busy:
            self._resume()
            self._work()

    def _bug(self, failure: Failure) -> None:
        self._log.bug(self._dialogue.id, "session", failure)
        self._answered(reply.LOCAL_ERROR)

    def _say(self, answer: Reply) -> None:
        """One reply, and what follows from it."""
        if answer is READ_CHUNK:
            self._readChunk()
            return
        self._replies.append(answer.wire)
        if answer.code == 250:
            return
        if answer is reply.START_DATA:
            self._decoder = DataDecoder(self._normalises)
        elif answer.code in _CLOSING:
            self._close("quit" if answer is reply.QUIT else answer.text)
        elif answer is reply.START_TLS:
            self._startTLS()
        elif answer is reply.BAD_CHUNK or answer is reply.CHUNK_TOO_BIG:
            self._close(answer.text)

    def _flush(self) -> None:
        if self._replies:
            data = b"".join(self._replies) if len(self._replies) > 1 else self._replies[0]
            self._replies = []
            self._wire.write(data)

    def _startTLS(self) -> None:
        """What was sent in clear behind STARTTLS is thrown away: an attacker may
        have put it there (RFC 3207 section 6)."""
        assert self._tls is not None
        self._flush()
        self._buffer = b""
        # Until the handshake is over nothing is to be taken for a command.
        self._busy = True
        self._patience.handshake(self._clock.seconds(), True)
        self._wire.buffered().startTLS(self._tls())

    # DATA and BDAT

    def _readChunk(self) -> None:
        """A chunk follows, which may be empty."""
        size = self._dialogue.chunkSize
        if size:
            self._decoder = ChunkReader(size)
        else:
            self._answer(self._dialogue.endOfData(False))

    def _decode(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None
        octets = decoder.feed(data)
        if octets:
            self._dialogue.octets(octets)
        if decoder.finished:
            self._decoder = None
            self._buffer = decoder.rest
            self._answer(self._dialogue.endOfData(decoder.bare and not self._normalises))

    def introduced(self, normalises: bool) -> None:
        """The client is another one.  @param normalises: see L{__init__}."""
        self._normalises = normalises

    def hold(self, on: bool) -> None:
        """The disk can't follow: don't read for a while."""
        self._held = on
        if on:
            self._pause()
        else:
            self._resume()

    # Flow and end

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._paused and not (self._held or self._busy or self._closing or self._hasSaidAll or self._wire.isFull):
            self._paused = False
            self._lastSign = self._clock.seconds()
            self.transport.resumeProducing()

    def _look(self) -> None:
        """The timer is not moved for each sign of life but looks when it fires."""
        if self._closing:
            self.transport.abortConnection()
            return
        waits, answer = self._left(self._clock.seconds())
        if waits <= 0:
            self.say(answer)
        else:
            self._timer = self._clock.callLater(min(waits, LOOK), self._look)

    def _left(self, now: float) -> tuple[float, Reply]:
        """How long the client may go on like this, and what it is told then."""
        patience, dialogue = self._patience, self._dialogue
        handshake = patience.handshake(now, self._handshaking())
        if self._handshaking():
            return handshake, reply.TIMEOUT
        isOurTurn = self._busy or self._held
        if patience.isTooSlow(now, None if isOurTurn else self._message(), dialogue.received or 0):
            return 0.0, reply.TOO_SLOW
        hasBegun = not isOurTurn and dialogue.received is None and (self._skipping or bool(self._buffer))
        command = patience.command(now, dialogue.commands if hasBegun else None)
        transaction = patience.transaction(now, dialogue.transaction)
        if isOurTurn:
            return LOOK, reply.TIMEOUT
        waits = [
            (patience.idle(now, self._lastSign), reply.TIMEOUT),
            (command, reply.TOO_SLOW),
            (transaction, reply.TRANSACTION_TOO_LONG),
        ]
        return min(waits, key=lambda each: each[0])

    def _message(self) -> int | None:
        return None if self._dialogue.received is None else self._dialogue.messages

    def _handshaking(self) -> bool:
        return self._secureFirst or self._dialogue.isSecuring

    def say(self, answer: Reply) -> None:
        """Tell the client something that it has not asked for, and close."""
        if not self._closing:
            if self._handshaking():
                self._close("no TLS handshake")
                return
            self._replies.append(answer.wire)
            self._close(answer.text)
            self._flush()

    def drain(self) -> None:
        """The service is being stopped: close now, or after the answer that the
        client waits for."""
        self._draining = True
        if self._handshaking() or (not self._busy and self._decoder is None):
            self.say(reply.SHUTTING_DOWN)

    def _close(self, why: str) -> None:
        self._closing = True
        self._why = why
        self._buffer = b""
        self._flush()
        # Who does not take what we said last is not waited for.
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(GOODBYE, self._look)
        self._wire.buffered().loseConnection()
