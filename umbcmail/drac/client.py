"""Tells a dracd, ours or any other, who has logged in: the client of DRAC.

Plain sockets that wait, and nothing of Twisted: it is used by a command that is run at
each login and has to start quickly (`addcommand`).  What goes over the wire is made by
`calls`, `rpcbind` and `rpc`, which know no socket; `line` carries it.

Silence, a connection that is refused and a program that is not registered are tried
again until the time is over, for the server may just be started again; an answer is
final, whatever it says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from umbcmail.drac import rpcbind
from umbcmail.drac.calls import WAITS, Question
from umbcmail.drac.line import Place, converse
from umbcmail.drac.program import ADD, ADDED, PROGRAM, STATUS, encodeAddress
from umbcmail.drac.rpc import PROC_UNAVAIL, PROG_MISMATCH, PROG_UNAVAIL, Reply
from umbcmail.drac.xdr import Reader, XDRError

_LACKS = (PROG_UNAVAIL, PROG_MISMATCH, PROC_UNAVAIL)


class NoAnswer(Exception):
    """There was none so far; says why."""


class NoHost(NoAnswer):
    """And there will be none, for there is no such host."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an address.

    @ivar isAdded: the server has it.
    @ivar isFinal: the server has answered, so that there is no use in asking again.
    @ivar text: in words.
    """

    isAdded: bool
    isFinal: bool
    text: str


def parseServer(text: str) -> tuple[str, int]:
    """C{host}, C{host:port}, C{[v6 address]}, C{[v6 address]:port}, or a bare IPv6
    address: host and port, 0 where none is given.

    @raise ValueError: it is nothing of it.
    """
    if text.startswith("["):
        host, bracket, behind = text[1:].partition("]")
        isWrong = not bracket or ":" not in host or not (behind == "" or behind.startswith(":"))
        port = behind[1:]
        isWrong = isWrong or behind == ":"
    elif text.count(":") > 1:
        host, port, isWrong = text, "", False
    else:
        host, colon, port = text.partition(":")
        isWrong = bool(colon) and not port
    isWrong = isWrong or not host or not host.isprintable() or any(c in host for c in " []/")
    if isWrong or (port and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536)):
        raise ValueError(f"{text[:80]!r} is not host, host:port or [v6 address]:port")
    return host, int(port or 0)


def answerOf(reply: Reply) -> Answer:
    """What a reply to ADD says."""
    if not reply.isSuccess:
        return Answer(False, True, reply.problem)
    try:
        status = Reader(reply.results).unsigned()
    except XDRError:
        return Answer(False, True, "an answer without a result")
    if status < len(STATUS):
        return Answer(status == ADDED, True, STATUS[status])
    return Answer(False, True, f"unknown error ({status})")


class Server:
    """A dracd.  All of its methods wait."""

    def __init__(
        self,
        host: str,
        port: int = 0,
        isStream: bool = False,
        mapperPort: int = rpcbind.PORT,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        @param host: name or address.
        @param port: 0: the portmapper there is asked.
        @param isStream: by TCP, and not by UDP.
        @param mapperPort: where the portmapper is.
        """
        self._host = host
        self._port = port
        self._isStream = isStream
        self._mapperPort = mapperPort
        self._seconds = seconds
        self._sleep = sleep

    def add(self, addresses: Sequence[str], until: float) -> dict[str, Answer]:
        """Have addresses added.

        @param addresses: those of clients.
        @param until: when to give up, by the clock of this object.
        @return: an answer to each of them.
        @raise ValueError: one is none.
        """
        versions: dict[int, dict[str, Question]] = {}
        for address in addresses:
            version, arguments = encodeAddress(address)
            versions.setdefault(version, {})[address] = Question(PROGRAM, version, ADD, arguments)
        answers: dict[str, Answer] = {}
        for version, questions in versions.items():
            self._addSome(version, questions, until, answers)
        return answers

    def _addSome(self, version: int, questions: dict[str, Question], until: float, answers: dict[str, Answer]) -> None:
        """Go round the addresses of the server until all is answered or the time is over."""
        turn, why = 0, "no answer"
        while True:
            try:
                places = self._places()
                for number, place in enumerate(places):
                    now = self._seconds()
                    share = now + (until - now) / (len(places) - number)
                    left = {address: asked for address, asked in questions.items() if address not in answers}
                    why = self._ask(place, version, left, share, answers)
                    if not why:
                        return
            except NoAnswer as failure:
                why = str(failure)
                if isinstance(failure, NoHost):
                    break
            wait = WAITS[min(turn, len(WAITS) - 1)]
            if self._seconds() + wait >= until:
                break
            self._sleep(wait)
            turn += 1
        for address in questions:
            answers.setdefault(address, Answer(False, False, why))

    def _places(self) -> list[Place]:
        """Where the server may be, IPv4 first, since the old dracd knows nothing else.

        @raise NoAnswer: that can't be told.
        """
        try:
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_DGRAM)
        except socket.gaierror as why:
            isNone = why.errno == socket.EAI_NONAME
            raise (NoHost if isNone else NoAnswer)((why.strerror or "no address").lower()) from None
        except (OSError, UnicodeError) as why:
            raise NoHost(f"not a host name: {why}") from None
        places: list[Place] = []
        for family, _, _, _, address in sorted(found, key=lambda each: each[0] != socket.AF_INET):
            if (family, address) not in places:
                places.append((family, address))
        return places

    def _ask(
        self, place: Place, version: int, questions: dict[str, Question], until: float, answers: dict[str, Answer]
    ) -> str:
        """Ask at one address of the server.

        @return: why not everything has been answered, or C{""}.
        """
        try:
            port = self._port or self._lookUp(place, version, until)
        except NoAnswer as failure:
            return str(failure)
        replies, why = self._converse(place, port, list(questions.values()), until)
        for address, reply in zip(questions, replies, strict=True):
            if reply is not None:
                answers[address] = answerOf(reply)
        return why

    def _lookUp(self, place: Place, version: int, until: float) -> int:
        """The port by the portmapper.

        @raise NoAnswer: it tells none.
        """
        isIPv6 = place[0] == socket.AF_INET6
        transport = "tcp" if self._isStream else "udp"
        why = ""
        for mapper in rpcbind.lookupVersions(isIPv6):
            arguments = rpcbind.lookupArguments(mapper, PROGRAM, version, transport, isIPv6)
            question = Question(rpcbind.PROGRAM, mapper, rpcbind.GETPORT, arguments)
            [reply], why = self._converse(place, self._mapperPort, [question], until)
            if reply is None:
                raise NoAnswer(f"portmapper: {why}")
            if not reply.isSuccess:
                why = f"portmapper: {reply.problem}"
                if reply.isAccepted and reply.status in _LACKS:
                    continue
                break
            try:
                port = rpcbind.portIn(mapper, reply)
            except XDRError as problem:
                raise NoAnswer(f"portmapper: {problem}") from None
            if not port:
                raise NoAnswer(f"the portmapper there knows of no dracd by {transport.upper()}")
            return port
        raise NoAnswer(why)

    def _converse(
        self, place: Place, port: int, questions: list[Question], until: float
    ) -> tuple[list[Reply | None], str]:
        return converse(place, port, self._isStream, questions, until, self._seconds)
