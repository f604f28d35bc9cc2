"""Calls to one server, without a socket: what is to be sent when, and which reply is
to which of them.

UDP may lose a call or its reply, so a call is sent again, with the same xid as RFC 5531
section 5 has it; adding an address twice does no harm.  Only some calls are in the air
at the same time, for a server's buffer is small.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from umbcmail.drac.rpc import MessageError, Reply, decodeReply, encodeCall

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds from one time of sending to the next; the last repeats."""
WINDOW = 16
"""Calls in the air."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be called."""

    program: int
    version: int
    procedure: int
    arguments: bytes


class _Call:
    """A call in the air."""

    def __init__(self, number: int, octets: bytes) -> None:
        self.number = number
        self.octets = octets
        self.sent = 0
        self.due = 0.0


class Calls:
    """Questions on their way.

    @ivar replies: to each question; L{None} until there is one.
    """

    def __init__(self, questions: Sequence[Question], xid: int, repeats: bool = True) -> None:
        """
        @param xid: of the first call, a number that nobody can guess; of the others
            those behind it.
        @param repeats: whatever is not answered is sent again.
        """
        self.replies: list[Reply | None] = [None] * len(questions)
        self._questions = questions
        self._xid = xid
        self._repeats = repeats
        self._waiting = deque(range(len(questions)))
        self._flying: dict[int, _Call] = {}

    @property
    def isDone(self) -> bool:
        """Everything has been answered."""
        return not self._waiting and not self._flying

    def toSend(self, now: float) -> list[bytes]:
        """The messages that are to be sent now.

        @param now: seconds, of any clock.
        """
        while self._waiting and len(self._flying) < WINDOW:
            number = self._waiting.popleft()
            asked = self._questions[number]
            xid = (self._xid + number) & 0xFFFF_FFFF
            octets = encodeCall(xid, asked.program, asked.version, asked.procedure, asked.arguments)
            self._flying[xid] = _Call(number, octets)
        found = []
        for call in self._flying.values():
            if not call.sent or (self._repeats and call.due <= now):
                call.due = now + WAITS[min(call.sent, len(WAITS) - 1)]
                call.sent += 1
                found.append(call.octets)
        return found

    def nextTime(self) -> float | None:
        """When L{toSend} has more, unless a reply comes first; L{None}: never."""
        if not self._repeats:
            return None
        return min((call.due for call in self._flying.values()), default=None)

    def received(self, octets: bytes) -> bool:
        """A message has come.

        @return: whether it is the reply to a call that waits for one; all else is to
            be ignored.
        """
        try:
            reply = decodeReply(octets)
        except MessageError:
            return False
        call = self._flying.pop(reply.xid, None)
        if call is None:
            return False
        self.replies[call.number] = reply
        return True
