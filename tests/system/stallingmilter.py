"""A filter in a process of its own, to be killed: C{python -m tests.system.stallingmilter
SOCKET LETTER FILE}.  At the command with the letter it makes the file, and says nothing."""

from __future__ import annotations

import socketserver
import sys
import time
from pathlib import Path

from tests.milters import ALL, ScriptedFilter


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Serve it until it ends."""
        letter, file = sys.argv[2].encode(), Path(sys.argv[3])

        def stall(data: bytes) -> bytes:
            file.touch()
            time.sleep(600)
            return b""

        filter = ScriptedFilter(script={letter: stall})
        if letter == b"O":
            filter._to = lambda letter, data: stall(data)  # type: ignore[method-assign]
        while not filter.isClosed and (octets := self.request.recv(65536)):
            self.request.sendall(filter.feed(octets))


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 50


if __name__ == "__main__":
    assert ALL.steps == 0
    _Server(sys.argv[1], _Connection).serve_forever()
