"""Runs a command with a message on its standard input, as the user who we are.

Called in a child.  The command decides what becomes of the message by its exit status;
whether it reads all of it is its own matter.  What it prints is read, however much, and
forgotten but for the last line, which is for the log.  Nothing but the standard library
here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from umbcmail.lda.frames import PIECE

PATH = "/usr/local/bin:/usr/bin:/bin"
TAIL = 4096
"""Octets of what it prints that are kept."""
LINE = 200
"""Characters of the last line that are told."""
MERCY = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_DEFAULT_SIGNALS = tuple(set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})


def find(program: str) -> str:
    """The path of a program.

    @raise FileNotFoundError: there is none that may be run.
    """
    places = [program] if "/" in program else [f"{folder}/{program}" for folder in PATH.split(":")]
    for path in places:
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{program} is not there, or may not be run")


def run(argv: Sequence[str], environment: Mapping[str, str], data: bytes, file: int, limit: float) -> dict[str, Any]:
    """Run it.

    @param data: begins its standard input.
    @param file: what follows it, or -1.
    @param limit: seconds that it may take.
    @return: C{result} is C{exit} with C{status}, C{signal} with C{signal}, C{missing} or
        C{timeout}; C{why} is the last line that it has printed.
    """
    try:
        path = find(argv[0])
    except OSError as why:
        return {"result": "missing", "why": str(why)}
    theirs, stdin = os.pipe()
    output, printed = os.pipe()
    try:
        places = [(os.POSIX_SPAWN_DUP2, theirs, 0)] + [(os.POSIX_SPAWN_DUP2, printed, fd) for fd in (1, 2)]
        pid = os.posix_spawn(
            path, list(argv), environment, file_actions=places, setpgroup=0, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
        )
    except OSError as why:
        os.close(stdin)
        os.close(output)
        return {"result": "missing", "why": f"{argv[0]}: {why.strerror}"}
    finally:
        os.close(theirs)
        os.close(printed)
    return _Running(pid, stdin, output, data, file, limit).result()


class _Running:
    """A command while it runs."""

    def __init__(self, pid: int, stdin: int, output: int, data: bytes, file: int, limit: float) -> None:
        self._pid = pid
        self._process = os.pidfd_open(pid)
        self._stdin = stdin
        self._output = output
        self._data = memoryview(data)
        self._file = file
        self._at = 0
        self._tail = b""
        self._end = time.monotonic() + limit
        self._signals = [signal.SIGTERM, signal.SIGKILL]
        os.set_blocking(stdin, False)
        os.set_blocking(output, False)
        self._poll = select.poll()
        self._poll.register(self._process, select.POLLIN)
        self._poll.register(stdin, select.POLLOUT)
        self._poll.register(output, select.POLLIN)

    def result(self) -> dict[str, Any]:
        """Wait until it has ended."""
        isLate = False
        while True:
            left = self._end - time.monotonic()
            if left <= 0:
                isLate = True
                if not self._signals:
                    return self._told("timeout")  # it hangs in the kernel
                self._kill(self._signals.pop(0))
                self._end += MERCY
                continue
            ready = {fd for fd, _ in self._poll.poll(left * 1000)}
            if self._output in ready:
                self._read()
            if self._process in ready:
                break
            if self._stdin in ready:
                self._write()
        self._read()  # whoever else has our pipe may keep it
        if isLate:
            self._kill(signal.SIGKILL)  # whom it has left behind; its number is nobody else's before the next line
        _, status = os.waitpid(self._pid, 0)
        if isLate:
            return self._told("timeout")
        if os.WIFSIGNALED(status):
            return self._told("signal", signal=os.WTERMSIG(status))
        return self._told("exit", status=os.WEXITSTATUS(status))

    def _kill(self, number: int) -> None:
        """Send a signal to it and to what it has started; who has become somebody else can't get one."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _told(self, result: str, **more: int) -> dict[str, Any]:
        for fd in (self._process, self._stdin, self._output):
            if fd >= 0:
                os.close(fd)
        return {"result": result, "why": lastLine(self._tail), **more}

    def _read(self) -> None:
        """What it has printed; as much as there is now, but not without end."""
        for _ in range(64 if self._output >= 0 else 0):
            try:
                got = os.read(self._output, PIECE)
            except BlockingIOError:
                return
            if not got:
                self._shut(self._output)
                self._output = -1
                return
            self._tail = (self._tail + got)[-TAIL:]

    def _write(self) -> None:
        """A piece of the message."""
        try:
            if not self._data and self._file >= 0:
                self._data = memoryview(os.pread(self._file, PIECE, self._at))
                self._at += len(self._data)
            if self._data:
                self._data = self._data[os.write(self._stdin, self._data) :]
                return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # it does not want more
        self._shut(self._stdin)
        self._stdin = -1

    def _shut(self, fd: int) -> None:
        if fd >= 0:
            self._poll.unregister(fd)
            os.close(fd)


def lastLine(printed: bytes) -> str:
    """The last line that is not empty, fit for a log."""
    lines = printed.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "".join(char if char.isprintable() else "?" for char in last[:LINE])
