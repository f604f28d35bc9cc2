"""A socket to one place where a server may be: calls go out, replies come in, in the
time that is given.

It waits, so it is for short-lived programs and for threads.  What is sent and when is the
matter of `calls`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from umbcmail.drac.calls import Calls, Question
from umbcmail.drac.record import Records, mark
from umbcmail.drac.rpc import Reply

LARGEST_REPLY = 8800
"""Octets of a datagram that are read, as many as other clients do."""

Place = tuple[int, tuple[Any, ...]]
"""Family and address of a socket."""


class Line:
    """A socket to one address of a server, that takes calls and has messages.

    @raise OSError: it can't be opened.
    """

    def __init__(self, place: Place, port: int, isStream: bool, seconds: float) -> None:
        family, address = place
        self.isStream = isStream
        self._records = Records(LARGEST_REPLY)
        self._socket = socket.socket(family, socket.SOCK_STREAM if isStream else socket.SOCK_DGRAM)
        self._socket.settimeout(seconds)
        try:
            # From a connected socket only datagrams of the server are read.
            self._socket.connect((address[0], port, *address[2:]))
        except BaseException:
            self._socket.close()
            raise

    def send(self, messages: list[bytes]) -> None:
        """Send them."""
        if self.isStream:
            if messages:
                self._socket.sendall(b"".join(map(mark, messages)))
            return
        for message in messages:
            self._socket.send(message)

    def receive(self, seconds: float) -> list[bytes]:
        """What has come until a time is over.

        @raise OSError: the connection is of no use any more.
        """
        self._socket.settimeout(max(seconds, 0.001))
        try:
            octets = self._socket.recv(LARGEST_REPLY)
        except TimeoutError:
            return []
        if not self.isStream:
            return [octets]
        if not octets:
            raise OSError(errno.ECONNRESET, "the connection was closed")
        found = self._records.feed(octets)
        if self._records.problem and not found:
            raise OSError(errno.EPROTO, self._records.problem)
        return found

    def close(self) -> None:
        """End it."""
        self._socket.close()


def randomXid() -> int:
    """A number that nobody can guess."""
    return int.from_bytes(os.urandom(4), "big")


def converse(
    place: Place, port: int, isStream: bool, questions: list[Question], until: float, seconds: Callable[[], float]
) -> tuple[list[Reply | None], str]:
    """Ask questions at one place.

    @param until: when to give up, by the clock C{seconds}.
    @return: the replies that have come in time; and why one is missing, or C{""}.
    """
    calls = Calls(questions, randomXid(), repeats=not isStream)
    why = "no answer"
    line = None
    try:
        line = Line(place, port, isStream, max(until - seconds(), 0.001))
        while not calls.isDone:
            now = seconds()
            if now >= until:
                break
            line.send(calls.toSend(now))
            wake = calls.nextTime()
            for message in line.receive((until if wake is None else min(until, wake)) - now):
                calls.received(message)
    except TimeoutError:
        pass
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
    finally:
        if line is not None:
            line.close()
    return calls.replies, "" if calls.isDone else why
