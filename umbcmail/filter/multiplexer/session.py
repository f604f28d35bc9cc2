"""One connection of an MTA to the multiplexer: it moves packets, keeps time, and says that
modules are at work.

Made by `server`.  While a message is examined nothing else is answered; an MTA that says
more meanwhile is not read on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from umbcmail.examination import Action, Examined
from umbcmail.filter import answers
from umbcmail.filter.codec import MilterError, Packets
from umbcmail.filter.commands import Bare, Content, EndOfBody, readCommand
from umbcmail.filter.multiplexer.decision import LATER, TOO_LARGE, additions, removals, replyTo
from umbcmail.filter.multiplexer.hearing import Hearing
from umbcmail.filter.multiplexer.kept import Kept
from umbcmail.filter.multiplexer.panel import Examination, Panel
from umbcmail.filter.multiplexer.tally import SocketTally
from umbcmail.maillog import MailLog
from umbcmail.wire import Wire

PROGRESS = 5.0
"""Seconds between two signs that a message is being examined: MTAs wait for 10 at least."""
IDLE = 7200.0
"""Seconds after which an MTA that says nothing is gone; those of libmilter."""


class Owner(Protocol):
    """The socket that a session is of.

    @ivar name: of the socket.
    @ivar panel: L{Panel}.
    @ivar deadline: seconds for a message.
    """

    name: str
    panel: Panel
    deadline: float
    tally: SocketTally
    log: MailLog

    def came(self, session: Session) -> bool:
        """@return: there is room for it."""

    def left(self, session: Session) -> None:
        """It is over."""

    def newKept(self, hold: Callable[[bool], None]) -> Kept:
        """A place for a message."""

    def newId(self) -> str:
        """A name for a message that has none."""


class Session(TwistedProtocol):
    """The connection."""

    transport: Any

    def __init__(self, owner: Owner, clock: IReactorTime) -> None:
        self._owner = owner
        self._clock = clock
        self._packets = Packets()
        self._commands: deque[tuple[bytes, bytes]] = deque()
        self._hearing = Hearing(lambda: owner.newKept(self._hold), owner.newId)
        self._isOpen = False
        self._isEnding = False
        self._isHeld = False
        self._isPaused = False
        self._examining: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._due = 0.0

    def connectionMade(self) -> None:
        """An MTA has come."""
        setNoDelay = getattr(self.transport, "setTcpNoDelay", None)
        if setNoDelay is not None:
            setNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self._wire = Wire(self.transport)
        self._isOpen = True
        if not self._owner.came(self):
            self._close(True)
            return
        self._wait(IDLE)

    # In

    def dataReceived(self, data: bytes) -> None:
        """Octets of the MTA, cut anywhere."""
        if not self._isOpen:
            return
        try:
            self._commands.extend(self._packets.feed(data))
            self._work()
        except MilterError as why:
            self._broken(str(why))
        except Exception:
            # The MTA is not answered, so it does as its policy for filters says.
            self._owner.log.bug("-", f"filter.{self._owner.name}", Failure())
            self._close(True)

    def _broken(self, why: str) -> None:
        self._owner.tally.broken += 1
        self._owner.log.trouble("-", f"filter.{self._owner.name}", f"an MTA makes no sense: {why}")
        self._close(True)

    def _work(self) -> None:
        """Take what has come, as long as no message is being examined."""
        said: list[bytes] = []
        while self._commands and self._examining is None and self._isOpen:
            letter, data = self._commands.popleft()
            command = readCommand(letter, data)
            if isinstance(command, EndOfBody | Content):
                (self._hearing.body if isinstance(command, EndOfBody) else self._hearing.whole)(command.octets)
                self._say(b"".join(said))
                said = []
                self._examine()
            elif isinstance(command, Bare) and letter == b"Q":
                self._close()
                return
            else:
                said.append(self._hearing.take(command))
        self._say(b"".join(said))
        if self._isOpen:
            self._pause()
            if self._examining is None:
                self._wait(IDLE)
                self._endIfIdle()

    def _say(self, octets: bytes) -> None:
        if octets and self._isOpen:
            self._wire.write(octets)

    def _hold(self, on: bool) -> None:
        """The disk is not fast enough."""
        self._isHeld = on
        self._pause()

    def _pause(self) -> None:
        """Read, or don't read."""
        shall = self._isHeld or (self._examining is not None and bool(self._commands))
        if shall != self._isPaused and self._isOpen:
            self._isPaused = shall
            (self.transport.pauseProducing if shall else self.transport.resumeProducing)()

    # A message

    def _examine(self) -> None:
        self._wait(PROGRESS)
        examining: Deferred[Any] = self._examined()
        if examining.called and not isinstance(examining.result, Deferred):
            examining.addErrback(self._bug)
            return
        self._examining = examining
        examining.addErrback(self._bug).addCallback(self._over)

    @inlineCallbacks
    def _examined(self) -> Any:
        """Have it examined, and answer."""
        hearing, owner = self._hearing, self._owner
        began = self._clock.seconds()
        kept = hearing.finish()
        if hearing.isTooLarge:
            owner.tally.actions["too large"] += 1
            owner.log.event("examined", hearing.id, socket=owner.name, action="refuse", why="too large")
            self._answer(TOO_LARGE)
            return
        id = hearing.id
        try:
            content = yield kept.finish()
            examined = hearing.examined(content)
            found = owner.panel.examine(examined).addTimeout(owner.deadline, self._clock)
            examination = yield found
        except CancelledError:
            owner.tally.actions["gone"] += 1
            owner.log.event("examined", id, socket=owner.name, why="the MTA is gone")
            return
        except Exception as why:
            owner.tally.actions["delay"] += 1
            if isinstance(why, (OSError, TimeoutError)):
                text = str(why) or f"not examined after {owner.deadline:g} s"
                owner.log.trouble(id, f"filter.{owner.name}", text)
            else:
                owner.log.bug(id, f"filter.{owner.name}", Failure())
            self._answer(replyTo(Action.DELAY, LATER))
            return
        self._decided(examined, examination, self._clock.seconds() - began)

    def _decided(self, examined: Examined, examination: Examination, seconds: float) -> None:
        owner, decision = self._owner, examination.decision
        action, opinion = decision.action, decision.opinion
        if action is Action.QUARANTINE and not self._hearing.canQuarantine:
            # It must not get through, and this MTA can't put it aside.
            action = Action.DELAY
        owner.tally.actions[action.value] += 1
        score = f"{decision.score:.1f}" if decision.score is not None else ""
        owner.log.event(
            "examined",
            examined.id,
            socket=owner.name,
            rank=decision.rank.name.lower(),
            action=action.value,
            found=opinion.found,
            score=score,
            forged=len(examination.forged) or "",
            seconds=f"{seconds:.3f}",
        )
        if action in (Action.ACCEPT, Action.QUARANTINE):
            self._answer(self._accepting(examined, examination, action is Action.QUARANTINE))
        else:
            self._answer(replyTo(action, LATER if action is Action.DELAY else opinion.text))

    def _accepting(self, examined: Examined, examination: Examination, isAside: bool) -> bytes:
        parts = [*removals(examined.fields, examination.forged)]
        self._owner.tally.removed += len(parts)
        parts += additions(examination.headers, self._hearing.isVerbatim)
        if isAside:
            parts.append(answers.quarantine(examination.decision.opinion.found.encode("utf-8", "replace")[:200]))
        return b"".join([*parts, answers.ACCEPT])

    def _answer(self, octets: bytes) -> None:
        self._hearing.close()
        self._say(octets)

    def _bug(self, failure: Failure) -> None:
        """Of what is around the examination itself."""
        self._owner.log.bug("-", f"filter.{self._owner.name}", failure)
        self._close(True)

    def _over(self, _: Any) -> None:
        self._examining = None
        if not self._isOpen:
            return
        try:
            self._work()
        except MilterError as why:
            self._broken(str(why))
        except Exception:
            self._bug(Failure())

    # Time and end

    def _wait(self, seconds: float) -> None:
        """Look at the clock then; the timer is not moved for each packet."""
        self._due = due = self._clock.seconds() + seconds
        if self._timer is None or self._timer.getTime() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        left = self._due - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        elif self._examining is not None:
            self._say(answers.PROGRESS)
            self._wait(PROGRESS)
        else:
            self._close(True)

    def drain(self) -> None:
        """The program is about to end: answer the message that is under way, if there is one."""
        self._isEnding = True
        self._endIfIdle()

    def _endIfIdle(self) -> None:
        if self._isEnding and self._examining is None and not self._hearing.isInMessage:
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The MTA is gone."""
        self._close(True)

    def _close(self, now: bool = False) -> None:
        if not self._isOpen:
            return
        self._isOpen = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._commands.clear()
        transport = self._wire.buffered()
        if now:
            transport.abortConnection()
        else:
            transport.loseConnection()
        if self._examining is not None:
            self._examining.cancel()
        self._hearing.close()
        self._owner.left(self)
