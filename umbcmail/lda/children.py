"""The processes of users, as the server sees them: made when they are needed, kept for
Maildirs while mail comes, and given up when they do not answer.

L{Children.deliver} is the boundary to what is done as a user: its Deferred always fires
with an answer, within the time that a delivery may take; what is not known waits.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from umbcmail.lda import frames
from umbcmail.lda.letter import Letter
from umbcmail.lda.users import User
from umbcmail.maillog import MailLog
from umbcmail.wire import Wire

GRACE = 5.0
"""Seconds that a child gets beyond the time of a delivery."""
ANSWER_LIMIT = 64 * 1024

Answer = dict[str, Any]


class Nothing:
    """In place of a message, where something is asked only."""

    size = 0
    data = b""
    file = -1


LOST: Answer = {"result": "lost", "why": "the process of the user has ended, or can't be made"}
LATE: Answer = {"result": "late", "why": "the process of the user has not answered"}
BUSY: Answer = {"result": "busy", "why": "no process came free in time"}


class Job:
    """One delivery.

    @ivar user: as whom.
    @ivar order: what is to be done, see L{umbcmail.lda.child}.
    @ivar data: octets that go before the letter.
    @ivar letter: the message.
    @ivar deadline: seconds of the clock.
    @ivar done: L{Deferred} of the answer.
    """

    def __init__(
        self, user: User, order: dict[str, Any], data: bytes, letter: Letter | Nothing, deadline: float
    ) -> None:
        self.user = user
        self.order = {**order, "octets": len(data) + letter.size}
        self.data = data
        self.letter = letter
        self.deadline = deadline
        self.done: Deferred[Answer] = Deferred()

    @property
    def isCommand(self) -> bool:
        """It is done by a process of its own."""
        return self.order["way"] in ("command", "program")


class Link(Protocol):
    """The socket of one child.

    @ivar isCommand: it was made for one command.
    @ivar jobs: the order that it is at, and those that wait for it; one at a time is
        sent, so that a file can't come to stand with another order.
    @ivar idleSince: seconds of the clock.
    """

    def __init__(self, user: User, isCommand: bool, children: Children) -> None:
        self.user = user
        self.isCommand = isCommand
        self.jobs: deque[Job] = deque()
        self.idleSince = 0.0
        self._children = children
        self._process = -1
        self._wire: Wire | None = None
        self._isReady = False
        self._ahead = b""

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        self._wire = Wire(self.transport)

    def start(self, job: Job) -> None:
        """Order something, when it has done what it is at."""
        self.jobs.append(job)
        if len(self.jobs) == 1:
            self._send(job)

    def _send(self, job: Job) -> None:
        letter = job.letter
        assert self._wire is not None
        frame = frames.pack(job.order, job.data + letter.data)
        if letter.file >= 0:
            transport: Any = self._wire.buffered()
            transport.sendFileDescriptor(letter.file)
            transport.write(frame)
        else:
            self._wire.write(frame)

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self._ahead += data
        while b"\n" in self._ahead:
            line, _, self._ahead = self._ahead.partition(b"\n")
            try:
                answer = json.loads(line)
                self._answered(answer if isinstance(answer, dict) else {"result": "bug"})
            except ValueError:
                self.end()
        if len(self._ahead) > ANSWER_LIMIT:
            self.end()

    def _answered(self, answer: Answer) -> None:
        if not self._isReady and answer.get("result") == "ready":
            self._isReady = True
            self._process = _descriptor(answer.get("pid"))
        elif not self._isReady:
            while self.jobs:
                self.jobs.popleft().done.callback(answer)
            self.end()
        elif self.jobs:
            job = self.jobs.popleft()
            left: list[Job] = []
            if answer.get("last"):  # it has not looked at those behind it, and won't
                left = list(self.jobs)
                self.jobs.clear()
            elif self.jobs:
                self._send(self.jobs[0])
            self._children.free(self, bool(answer.get("last")))
            job.done.callback(answer)
            self._children.again(left)

    def end(self) -> None:
        """It is not needed any more, or not good any more."""
        transport: ITransport | None = self.transport
        if transport is not None:
            transport.loseConnection()

    def kill(self) -> None:
        """It has not answered."""
        if self._process >= 0:
            try:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            except OSError:
                pass  # it has ended by itself
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        if self._process >= 0:
            os.close(self._process)
            self._process = -1
        jobs, self.jobs = self.jobs, deque()
        for job in jobs:
            job.done.callback(LOST)
        self._children.gone(self)


class _LinkFactory(Factory):
    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, address: Any) -> Link:
        """See L{Factory}."""
        return self._link


def _descriptor(pid: Any) -> int:
    """Of a process that has just told its id; -1 where there is none any more, or it is no
    child of our forker."""
    try:
        found = os.pidfd_open(pid)
    except (OSError, TypeError):
        return -1
    if _parent(_parent(pid)) == os.getpid():
        return found
    os.close(found)
    return -1


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


class Children:
    """All of them.

    @ivar links: those that there are.
    @ivar made: how many there were.
    """

    def __init__(
        self,
        fork: Callable[[Mapping[str, Any], int], None],
        reactor: Any,
        log: MailLog,
        settings: Mapping[str, Any],
    ) -> None:
        """
        @param fork: makes a child: called with what L{umbcmail.lda.child.serve} takes, and
            the descriptor of its socket.  @raise OSError: not now.
        @param settings: of the section.
        """
        self.links: dict[Link, None] = {}
        self.made = 0
        self._fork = fork
        self._reactor = reactor
        self._log = log
        self._most = settings["processes"]
        self._each = settings["processes-per-user"]
        self._idle = settings["process-idle"]
        self._time = settings["limit-time"]
        self._lowest = settings["lowest-uid"]
        self._limits = {name: int(settings[f"limit-{name}"]) for name in ("cpu", "memory", "file", "files")}
        self._kept: dict[User, Link] = {}
        self._commands: dict[User, int] = {}
        self._waiting: dict[Job, None] = {}
        self._tick: Any = None

    @property
    def waiting(self) -> int:
        """Deliveries that wait for a process."""
        return len(self._waiting)

    def ask(self, user: User, order: dict[str, Any]) -> Deferred[Answer]:
        """Have something looked at as a user."""
        return self.deliver(user, order, b"", Nothing())

    def deliver(self, user: User, order: dict[str, Any], data: bytes, letter: Letter | Nothing) -> Deferred[Answer]:
        """Have something done as a user.

        @param letter: must live until the L{Deferred} has fired.
        """
        job = Job(user, order, data, letter, self._reactor.seconds() + self._time + GRACE)
        self.again([job])
        if self._tick is None:
            self._tick = self._reactor.callLater(1.0, self._check)
        return job.done

    def stop(self) -> None:
        """End those that have nothing to do; what is under way may finish."""
        for link in tuple(self.links):
            if not link.jobs:
                self._drop(link)
        for job in tuple(self._waiting):
            self._waiting.pop(job, None)
            job.done.callback(BUSY)
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def again(self, jobs: Iterable[Job]) -> None:
        """Begin deliveries that nobody has begun, or let them wait."""
        for job in jobs:
            if not self._begun(job):
                self._waiting[job] = None

    def _begun(self, job: Job) -> bool:
        """Begin a delivery, if there is a process for it."""
        kept = None if job.isCommand else self._kept.get(job.user)
        if kept is not None and not (self._waiting and len(self.links) >= self._most):  # others have their turn
            kept.start(job)
            return True
        if job.isCommand and self._commands.get(job.user, 0) >= self._each:
            return False
        if len(self.links) >= self._most:
            idle = min((link for link in self.links if not link.jobs), key=lambda link: link.idleSince, default=None)
            if idle is not None:
                self._drop(idle)
            return False
        try:
            link = self._make(job.user, job.isCommand)
        except OSError as why:
            self._log.trouble("-", "lda", f"no process for {job.user.name}: {why.strerror}")
            job.done.callback(LOST)
            return True
        link.start(job)
        return True

    def _make(self, user: User, isCommand: bool) -> Link:
        person = {
            "user": user.name,
            "uid": user.uid,
            "gid": user.gid,
            "groups": user.groups,
            "home": user.home,
            "shell": user.shell,
            "lowest": self._lowest,
            "limits": self._limits,
            "time": self._time,
        }
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._fork(person, theirs.fileno())
            ours.setblocking(False)
            link = Link(user, isCommand, self)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, _LinkFactory(link))
        self.made += 1
        self.links[link] = None
        if isCommand:
            self._commands[user] = self._commands.get(user, 0) + 1
        else:
            self._kept[user] = link
        return link

    def free(self, link: Link, isLast: bool) -> None:
        """A child has answered.

        @param isLast: it ends now.
        """
        link.idleSince = self._reactor.seconds()
        if isLast or (not link.jobs and (link.isCommand or (self._waiting and len(self.links) >= self._most))):
            self._drop(link)

    def _drop(self, link: Link) -> None:
        if self._kept.get(link.user) is link:
            del self._kept[link.user]
        link.end()

    def gone(self, link: Link) -> None:
        """A child has ended."""
        if self.links.pop(link, self) is self:
            return
        if self._kept.get(link.user) is link:
            del self._kept[link.user]
        if link.isCommand:
            self._commands[link.user] -= 1
            if not self._commands[link.user]:
                del self._commands[link.user]
        for job in tuple(self._waiting):
            if len(self.links) >= self._most:
                break
            if job in self._waiting and self._begun(job):
                self._waiting.pop(job, None)

    def _check(self) -> None:
        """Once a second: who is late, and who has nothing to do."""
        self._tick = None
        now = self._reactor.seconds()
        for link in tuple(self.links):
            if link.jobs and link.jobs[0].deadline <= now:
                while link.jobs:
                    link.jobs.popleft().done.callback(LATE)
                link.kill()
            elif not link.jobs and link.idleSince + self._idle <= now:
                self._drop(link)
        for job in tuple(self._waiting):
            if job.deadline <= now:
                self._waiting.pop(job, None)
                job.done.callback(BUSY)
        if (self.links or self._waiting) and self._tick is None:
            self._tick = self._reactor.callLater(1.0, self._check)
