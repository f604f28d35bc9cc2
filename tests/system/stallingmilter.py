"""A filter in a process of its own, to be killed: C{python -m tests.system.stallingmilter
SOCKET LETTER FILE}.  At the command with the letter it makes the file, and says nothing.
Without a letter (C{-}) it answers at the end only, and reads slowly."""

from __future__ import annotations

import socketserver
import sys
import time
from pathlib import Path

from tests.milters import ALL_NR, ScriptedFilter
from umbcmail.filter import answers
from umbcmail.filter.negotiation import Negotiation


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Serve it until it ends."""
        letter, file = sys.argv[2].encode(), Path(sys.argv[3])

        def stall(data: bytes) -> bytes:
            file.touch()
            time.sleep(600)
            return b""

        if letter == b"-":
            self.readSlowly()
            return
        filter = ScriptedFilter(script={letter: stall})
        if letter == b"O":
            filter._to = lambda letter, data: stall(data)  # type: ignore[method-assign]
        while not filter.isClosed and (octets := self.request.recv(65536)):
            self.request.sendall(filter.feed(octets))

    def readSlowly(self) -> None:
        """Some 20 MiB a second."""
        filter = ScriptedFilter(
            Negotiation(6, 0x1FF, ALL_NR), {b"E": answers.addHeader(b"X-Seen", b"yes") + answers.ACCEPT}
        )
        while not filter.isClosed and (octets := self.request.recv(65536)):
            self.request.sendall(filter.feed(octets))
            filter.heard.clear()
            time.sleep(0.003)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 50


if __name__ == "__main__":
    _Server(sys.argv[1], _Connection).serve_forever()
