"""One connection of a client to the local delivery agent: moves bytes, looks who the
client is, keeps the time.

What is said is decided by `dialogue`.  Only processes of listed users are talked to: the
kernel tells whose a process is (SO_PEERCRED).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.lda.dialogue import Dialogue
from umbcmail.lda.letter import Decoder, Letter
from umbcmail.reply import Reply
from umbcmail.unixsocket import peerOf
from umbcmail.wire import Wire

if TYPE_CHECKING:
    from umbcmail.lda.server import Server

LINE_LIMIT = 4096
"""Octets of a command line."""
AHEAD_LIMIT = 256 * 1024
"""Octets that may wait behind a command that takes time."""
NOT_YOU = reply.reply(421, "4.7.1", "Access denied")


class Session(Protocol, TimeoutMixin):
    """The connection."""

    def __init__(self, server: Server, dialogue: Dialogue) -> None:
        self._server = server
        self._dialogue = dialogue
        self._ahead = b""
        self._said: list[bytes] = []
        self._waits = self._isGoing = self._isPaused = self._isLost = False
        self._decoder: Decoder | None = None
        self._letter: Letter | None = None
        self._replies: list[Reply | None] = []
        self._told = 0
        self._allTold: Deferred[None] | None = None

    # The connection

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        self._wire = Wire(self.transport)
        self.setTimeout(self._server.idle)
        pid, uid = peerOf(self.transport)
        refusal = self._server.came(self, pid, uid)
        if refusal is not None:
            self._leave(refusal)
        else:
            self._wire.write(self._dialogue.greeting.wire)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}.  What has been begun for recipients goes on."""
        self._isLost = True
        self.setTimeout(None)
        if not self._waits:
            self._drop()
        self._server.left(self)

    def timeoutConnection(self) -> None:
        """The client has not said anything for too long."""
        if self._waits:
            self.setTimeout(self._server.idle)  # it waits for us
        else:
            self._leave(reply.TIMEOUT)

    def drain(self) -> None:
        """The program is being stopped: no further message is begun."""
        if not self._waits and self._decoder is None:
            self._leave(reply.SHUTTING_DOWN)

    def _leave(self, last: Reply) -> None:
        self._dialogue.isOver = True
        self._ahead = b""
        self._said.append(last.wire)
        self._flush()

    def _flush(self) -> None:
        """Send what is to be said."""
        said, self._said = b"".join(self._said), []
        if self._isLost:
            return
        transport: Any = self.transport
        if said:
            self._wire.write(said)
        if self._dialogue.isOver:
            transport.loseConnection()

    def _pause(self, isPaused: bool) -> None:
        transport: Any = self.transport
        if isPaused != self._isPaused and not self._isLost:
            self._isPaused = isPaused
            (transport.pauseProducing if isPaused else transport.resumeProducing)()

    # What comes

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self.resetTimeout()
        if self._dialogue.isOver:
            return
        self._ahead += data
        if not self._waits:
            self._go()
        elif len(self._ahead) > AHEAD_LIMIT:
            self._pause(True)

    def _go(self) -> None:
        """Look at what has come, until something must be waited for."""
        self._isGoing = True
        try:
            while self._ahead and not self._waits and not self._dialogue.isOver:
                if not (self._line() if self._decoder is None else self._content(self._decoder)):
                    break
        except Exception:
            self._bug(Failure())
        self._isGoing = False
        self._flush()

    def _wait(self, until: Deferred[Any]) -> None:
        """Look at nothing more before something has happened."""
        self._waits = True
        until.addCallback(self._goOn).addErrback(self._bug)

    def _goOn(self, _: Any) -> None:
        self._waits = False
        if self._isLost:
            self._drop()
        elif not self._isGoing:
            self._pause(False)
            self._go()

    def _bug(self, failure: Failure) -> None:
        """The boundary of the stage."""
        self._server.log.bug("-", "lda", failure)
        self._waits = False
        self._drop()
        self._leave(reply.LOCAL_ERROR)

    def _drop(self) -> None:
        """The message is needed no more."""
        self._decoder = None
        letter, self._letter = self._letter, None
        if letter is not None:
            letter.close()

    def _line(self) -> bool:
        """A command line.  @return: whether there was one."""
        line, end, rest = self._ahead.partition(b"\r\n")
        if len(line) > LINE_LIMIT:
            self._leave(reply.LINE_TOO_LONG)
            return False
        if not end:
            return False
        self._ahead = rest
        said = self._dialogue.command(line)
        if isinstance(said, Deferred):
            self._wait(said.addCallback(self._say))
        else:
            self._say(said)
        return True

    def _say(self, said: Reply) -> None:
        self._said.append(said.wire)
        if self._dialogue.wantsData:
            self._dialogue.wantsData = False
            self._decoder = Decoder()
            self._letter = self._server.newLetter(self._dialogue.sender or "")

    # A message

    def _content(self, decoder: Decoder) -> bool:
        """Some octets of a message."""
        assert self._letter is not None
        content, rest = decoder.feed(self._ahead)
        self._ahead = rest or b""
        if rest is not None:
            self._decoder = None
        written = self._letter.add(content)
        if written is not None:
            self._wait(written.addCallback(lambda _: self._finished() if rest is not None else None))
            self._pause(self._waits)
        elif rest is not None:
            self._wait(self._finished())
        return True

    def _finished(self) -> Deferred[None]:
        """All of it has come: deliver, and tell for each recipient what came of it."""
        letter, recipients = self._letter, self._dialogue.recipients
        assert letter is not None
        self._dialogue.reset()
        self._replies, self._told = [None] * len(recipients), 0
        self._allTold = Deferred()
        told = self._allTold
        refusal = self._refusal(letter)
        for at, recipient in enumerate(recipients):
            if refusal is not None:
                self._delivered(refusal, at)
            else:
                self._server.delivery.deliver(recipient, letter).addCallback(self._delivered, at)
        return told

    def _refusal(self, letter: Letter) -> Reply | None:
        """Why nobody gets it."""
        try:
            letter.finish()
        except OSError as why:
            self._server.log.trouble("-", "lda", f"the message can't be kept: {why}")
            return reply.NO_STORAGE
        return reply.MESSAGE_TOO_BIG if letter.isTooBig else None

    def _delivered(self, said: Reply, at: int) -> None:
        """What came of it for one recipient: told when those before it have been."""
        self._replies[at] = said
        while self._told < len(self._replies):
            next = self._replies[self._told]
            if next is None:
                break
            self._said.append(next.wire)
            self._told += 1
        if self._told == len(self._replies):
            self._drop()
            told, self._allTold = self._allTold, None
            if told is not None:
                told.callback(None)
        elif not self._isGoing:
            self._flush()
