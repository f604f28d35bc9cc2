"""Where mail goes in the demonstration: small SMTP servers, and Maildirs.

Both tell what has arrived as L{Arrival}s, with the octets as they came.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from samples import MAILDIR

HOST = "127.0.0.1"

_ADDRESS = re.compile(rb"<([^>]*)>")


@dataclass
class Arrival:
    """A message that has come to one place.

    @ivar place: name of the server, or L{MAILDIR}.
    @ivar sender: of the envelope, C{""} for a bounce.
    @ivar recipients: of the envelope.
    @ivar lineEnd: how lines end there.
    """

    place: str
    sender: str
    recipients: list[str]
    content: bytes
    lineEnd: bytes = b"\r\n"


class NextHop:
    """An SMTP server that keeps what it gets.  It has its port from the
    beginning, and refuses connections until it is started.

    @ivar arrivals: what has come.
    """

    def __init__(self, name: str, refused: Iterable[str] = ()) -> None:
        """
        @param refused: addresses that it says 550 to.
        """
        self.name = name
        self.arrivals: list[Arrival] = []
        self._refused = frozenset(refused)
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Come up."""
        self._socket.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Go down for good."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 %s ESMTP\r\n" % self.name.encode())
            transaction = Arrival(self.name, "", [], b"")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"DATA" and transaction.recipients:
                    connection.sendall(b"354 go on\r\n")
                    content = _content(lines)
                    if content is None:
                        return
                    transaction.content = content
                    self.arrivals.append(transaction)
                connection.sendall(self._answer(verb, line, transaction))
                if verb == b"QUIT":
                    return
                if verb in (b"DATA", b"RSET", b"EHLO", b"HELO"):
                    transaction = Arrival(self.name, "", [], b"")

    def _answer(self, verb: bytes, line: bytes, transaction: Arrival) -> bytes:
        """The reply to a command, to C{DATA} after the message."""
        found = _ADDRESS.search(line)
        address = found[1].decode("utf-8", "replace") if found else ""
        if verb == b"EHLO":
            return b"250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n" % self.name.encode()
        if verb == b"MAIL":
            transaction.sender = address
        elif verb == b"RCPT":
            if address in self._refused:
                return b"550 5.1.1 There is no such person here\r\n"
            transaction.recipients.append(address)
        elif verb == b"DATA":
            return b"250 2.0.0 Taken\r\n" if transaction.recipients else b"554 5.5.1 No recipients\r\n"
        return b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.0.0 OK\r\n"


def _content(lines: BinaryIO) -> bytes | None:
    """A message, dots unstuffed; L{None} when the link was lost."""
    content = bytearray()
    for line in lines:
        if line == b".\r\n":
            return bytes(content)
        content += line[1:] if line.startswith(b".") else line
    return None


class Maildirs:
    """The mailboxes of the local users, below one folder."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._seen: dict[Path, Arrival] = {}

    @property
    def arrivals(self) -> list[Arrival]:
        """What is in C{new} and C{cur} of all users."""
        for path in [*self._base.glob("*/new/*"), *self._base.glob("*/cur/*")]:
            if path not in self._seen:
                self._seen[path] = self._read(path)
        return list(self._seen.values())

    @staticmethod
    def _read(path: Path) -> Arrival:
        content = path.read_bytes()
        fields = dict(re.findall(rb"^(Return-Path|Delivered-To): ([^\n]*)$", content[:4096], re.MULTILINE))
        sender = fields.get(b"Return-Path", b"?").decode("utf-8", "replace").strip("<>")
        recipient = fields.get(b"Delivered-To", b"?").decode("utf-8", "replace")
        if recipient.partition("@")[0].partition("+")[0].lower() != path.parent.parent.name:
            recipient = f"{path.parent.parent.name} (for {recipient})"
        return Arrival(MAILDIR, sender, [recipient], content, b"\n")
