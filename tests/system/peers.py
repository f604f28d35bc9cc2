"""Peers of our own: a next hop that keeps what it gets, and a raw client.

They do what the real ones can't be made to do: keep every octet, stand still at
a given command, answer what the test wants, say anything at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from tests.system.programs import HOST, until


@dataclass
class Message:
    """What a sink has got.

    @ivar content: all of it; where the sink only hashes, the SHA-256 of what
        follows the trace fields on top.
    @ivar commands: MAIL and each RCPT that was taken, as they came.
    """

    sender: str
    recipients: list[str]
    content: bytes
    commands: list[str] = field(default_factory=list)


class Sink:
    """A next hop.

    @ivar messages: what has been taken.
    @ivar refuse: by address, what is said to RCPT.
    @ivar stall: verbs (and C{"."}, after the message has been kept, and C{"CONNECT"})
        that are not answered before C{goOn} is set.
    @ivar stalled: set when it stands still.
    @ivar hashes: keep a SHA-256 in place of the content.
    @ivar offers: what it answers to EHLO.
    @ivar host: where it listens.
    """

    def __init__(
        self,
        port: int = 0,
        hashes: bool = False,
        offers: Sequence[bytes] = (b"PIPELINING", b"8BITMIME", b"SIZE"),
        host: str = HOST,
    ) -> None:
        self.messages: list[Message] = []
        self.refuse: dict[str, bytes] = {}
        self.stall: set[str] = set()
        self.stalled = threading.Event()
        self.goOn = threading.Event()
        self.hashes = hashes
        self.offers = offers
        self.host = host
        self._server = socket.create_server((host, port), backlog=200)
        self._connections: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def recipients(self) -> list[str]:
        """All recipients of all messages."""
        return [recipient for message in self.messages for recipient in message.recipients]

    def arrived(self, recipient: str) -> Message:
        """Wait for the only message to somebody, and take it away."""

        def found() -> list[Message]:
            return [message for message in self.messages if recipient in message.recipients]

        (message,) = until(found, f"mail to {recipient}")
        self.messages.remove(message)
        return message

    def close(self) -> None:
        """No more."""
        self.goOn.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rwb") as stream:
            self._wait("CONNECT")
            _say(stream, b"220 sink")
            message = Message("", [], b"")
            for line in stream:
                verb = line[:4].upper().decode("ascii", "replace")
                if verb == "MAIL":
                    message = Message(_address(line), [], b"", [line.decode().strip()])
                self._wait(verb)
                self._answer(stream, verb, line, message)
                if verb == "QUIT":
                    return

    def _answer(self, stream: Any, verb: str, line: bytes, message: Message) -> None:
        if verb == "EHLO":
            _say(stream, b"\r\n".join(b"250-" + line for line in (b"sink", *self.offers)) + b"\r\n250 HELP")
        elif verb == "RCPT":
            answer = self.refuse.get(_address(line), b"250 OK")
            if answer.startswith(b"2"):
                message.recipients.append(_address(line))
                message.commands.append(line.decode().strip())
            _say(stream, answer)
        elif verb == "DATA" and message.recipients:
            _say(stream, b"354 go")
            self._take(stream, message)
        else:
            _say(stream, {"DATA": b"554 nobody", "QUIT": b"221 bye"}.get(verb, b"250 OK"))

    def _take(self, stream: Any, message: Message) -> None:
        digest, lines, isTop = hashlib.sha256(), list[bytes](), True
        for line in stream:
            if line == b".\r\n":
                break
            line = line[1:] if line.startswith(b".") else line
            isTop = isTop and line.startswith((b"Received:", b"\t"))
            if self.hashes and not isTop:
                digest.update(line)
            elif not self.hashes:
                lines.append(line)
        else:
            return
        message.content = digest.digest() if self.hashes else b"".join(lines)
        self.messages.append(message)
        self._wait(".")
        _say(stream, b"250 2.0.0 taken")

    def _wait(self, verb: str) -> None:
        if verb in self.stall:
            self.stalled.set()
            self.goOn.wait(60)


def _say(stream: BinaryIO, text: bytes) -> None:
    stream.write(text + b"\r\n")
    stream.flush()


def _address(line: bytes) -> str:
    return line.partition(b"<")[2].partition(b">")[0].decode()


def stuffed(content: bytes) -> bytes:
    """A message as it goes behind DATA, with its final dot."""
    data = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return data + (b".\r\n" if not content or content.endswith(b"\r\n") else b"\r\n.\r\n")


class Conversation:
    """A raw SMTP client."""

    def __init__(self, port: int, source: str = HOST) -> None:
        self.socket = socket.create_connection((HOST, port), 20, (source, 0))
        self.socket.settimeout(60)
        self.stream = self.socket.makefile("rb")
        self.reply()

    def reply(self) -> bytes:
        """The next reply, all of its lines; C{b""} when the connection has ended."""
        text = b""
        while True:
            line = self.stream.readline()
            text += line
            if not line or line[3:4] != b"-":
                return text

    def say(self, text: bytes) -> bytes:
        """Send a line, get the reply."""
        self.socket.sendall(text + b"\r\n")
        return self.reply()

    def expect(self, text: bytes, begin: bytes) -> bytes:
        """Send a line, and get a reply that begins like that."""
        answer = self.say(text)
        assert answer.startswith(begin), (text, answer)
        return answer

    def begin(self, *recipients: str, sender: str = "s@z.test", parameters: bytes = b"") -> None:
        """As far as 354."""
        self.expect(b"EHLO client.test", b"250")
        self.expect(b"MAIL FROM:<" + sender.encode() + b">" + parameters, b"250")
        for recipient in recipients:
            self.expect(b"RCPT TO:<" + recipient.encode() + b">", b"250")
        self.expect(b"DATA", b"354")

    def message(self, content: bytes) -> bytes:
        """Send the content as it is, dots stuffed; get the reply to the dot."""
        self.socket.sendall(stuffed(content))
        return self.reply()

    def close(self) -> None:
        """Close."""
        self.stream.close()
        self.socket.close()


def send(port: int, content: bytes, *recipients: str, sender: str = "s@z.test", parameters: bytes = b"") -> bytes:
    """A whole transaction.  @return: the reply to the dot."""
    talk = Conversation(port)
    try:
        talk.begin(*recipients, sender=sender, parameters=parameters)
        answer = talk.message(content)
        with contextlib.suppress(OSError):  # it may have been ended meanwhile
            talk.say(b"QUIT")
        return answer
    finally:
        talk.close()
