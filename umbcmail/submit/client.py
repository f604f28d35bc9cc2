"""Brings a message to the running system, by its UNIX socket.  Blocks.

Used by C{sendmail}, and in a thread by `pickup`.  The system knows by the kernel whose program
this is.  Content goes by BDAT (RFC 3030), so nothing in it has to be escaped.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from umbcmail.address import toXtext

_REPLY = re.compile(rb"([2-5][0-9][0-9])([ -])([^\r\n]*)\r?\n\Z")
LINE = 4096
LINES = 100
TIMEOUT = 600.0
"""Seconds that the system may be silent: an attempt to deliver may be made before its answer."""


class Away(Exception):
    """The system does not run, or can't take anything now; says why."""


@dataclass(frozen=True)
class Answer:
    """A reply of the system."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass
class Order:
    """What is to be sent.

    @ivar sender: C{""} is the null sender.
    @ivar recipients: addresses.
    @ivar size: octets of the content.
    @ivar is8bit: there are octets over 127 in it, or its sender says so.
    @ivar notify: see L{umbcmail.submit.arguments.Wanted}; likewise C{ret} and C{envid}.
    @ivar onBehalfOf: the user whose it is, where that is not who calls.
    """

    sender: str
    recipients: list[str]
    size: int
    is8bit: bool = False
    notify: str = ""
    ret: str = ""
    envid: str = ""
    onBehalfOf: str = ""


@dataclass
class Result:
    """What has become of it.

    @ivar answer: that to the whole message; L{None}: no recipient was taken.
    @ivar refused: answers for recipients that were not taken.
    """

    answer: Answer | None = None
    refused: list[tuple[str, Answer]] = field(default_factory=list)

    @property
    def isTaken(self) -> bool:
        """The system has it."""
        return self.answer is not None and self.answer.code == 250


class Conversation:
    """A session.

    @param show: told each line that is said, with C{>>>} before ours.
    """

    def __init__(self, path: str, show: Callable[[str], object] = lambda line: None) -> None:
        """
        @raise Away: nobody answers.
        """
        self._show = show
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT)
        try:
            self._socket.connect(path)
        except OSError as why:
            self._socket.close()
            raise Away(f"{path}: {why.strerror or why}") from None
        self._file = self._socket.makefile("rb")
        self._offers: frozenset[str] = frozenset()
        self._need(self.reply())

    def close(self) -> None:
        """Say goodbye, as far as that goes, and end."""
        try:
            self._socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self._file.close()
        self._socket.close()

    def reply(self) -> Answer:
        """@raise Away: there is none."""
        texts = []
        try:
            for _ in range(LINES):
                line = self._file.readline(LINE)
                found = _REPLY.match(line)
                if found is None:
                    raise Away("the connection was closed" if not line else "an answer that makes no sense")
                text = found[3].decode("utf-8", "replace")
                self._show(f"{found[1].decode()}{found[2].decode()}{text}")
                texts.append(text)
                if found[2] == b" ":
                    return Answer(int(found[1]), " ".join(texts) if found[1] != b"250" else "\n".join(texts))
        except OSError as why:
            raise Away(str(why)) from None
        raise Away("an answer without end")

    def say(self, line: str) -> Answer:
        """@raise Away: no answer came, or that the session ends."""
        self._send(line)
        answer = self.reply()
        if answer.code == 421:
            raise Away(str(answer))
        return answer

    def _send(self, line: str) -> None:
        self._show(f">>> {line}")
        self._write(line.encode("utf-8", "replace") + b"\r\n")

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as why:
            raise Away(str(why)) from None

    def _need(self, answer: Answer) -> None:
        if answer.code >= 300:
            raise Away(str(answer))

    def introduce(self, name: str, onBehalfOf: str = "") -> None:
        """@param name: of this host.  @raise Away: it does not work."""
        if onBehalfOf:
            self._need(self.say(f"EHLO {name}"))
            self._need(self.say(f"XCLIENT LOGIN={toXtext(onBehalfOf)}"))
        answer = self.say(f"EHLO {name}")
        self._need(answer)
        self._offers = frozenset(line.partition(" ")[0].upper() for line in answer.text.split("\n")[1:])
        if not {"CHUNKING", "DSN", "SIZE"} <= self._offers:
            raise Away("it does not offer what we need")

    def send(self, order: Order, content: Iterable[bytes]) -> Result:
        """Send a message.

        @param content: pieces of it, with CRLF line ends; read if a recipient is taken.
        @raise Away: it is not known whether it was taken.
        """
        wide = not all(address.isascii() for address in (order.sender, *order.recipients))
        if wide and "SMTPUTF8" not in self._offers:
            return Result(Answer(553, "5.6.7 Addresses beyond ASCII are not possible here"))
        answer = self.say(self._mail(order, wide))
        if answer.code != 250:
            return Result(answer)
        result = Result()
        notify = f" NOTIFY={order.notify}" if order.notify else ""
        for address in order.recipients:
            answer = self.say(f"RCPT TO:<{address}>{notify}")
            if answer.code >= 300:
                result.refused.append((address, answer))
        if len(result.refused) == len(order.recipients):
            self.say("RSET")
            return result
        self._send(f"BDAT {order.size} LAST")
        for piece in content:
            self._write(piece)
        result.answer = self.reply()
        if result.answer.code == 421:
            raise Away(str(result.answer))
        return result

    def _mail(self, order: Order, wide: bool) -> str:
        words = [f"MAIL FROM:<{order.sender}>", f"SIZE={order.size}"]
        if order.is8bit or wide:
            words.append("BODY=8BITMIME")
        if wide:
            words.append("SMTPUTF8")
        if order.ret:
            words.append(f"RET={order.ret}")
        if order.envid:
            words.append(f"ENVID={toXtext(order.envid)}")
        return " ".join(words)


def handOver(
    path: str,
    name: str,
    order: Order,
    content: Iterable[bytes],
    show: Callable[[str], object] = lambda line: None,
) -> Result:
    """Send one message, in a session of its own.

    @param path: of the system's socket.
    @param name: of this host.
    @param content: see L{Conversation.send}; C{show}: see L{Conversation}.
    @raise Away: it has to be tried again.
    """
    conversation = Conversation(path, show)
    try:
        conversation.introduce(name, order.onBehalfOf)
        return conversation.send(order, content)
    finally:
        conversation.close()
