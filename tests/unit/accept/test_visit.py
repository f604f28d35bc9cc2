"""Tests of L{umbcmail.accept.visit}: whose program has connected."""

from __future__ import annotations

import os
import pwd
import socket
import struct

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeLog
from umbcmail.accept.visit import Visit
from umbcmail.unixsocket import peerOf, userName


class _Transport(StringTransport):
    """Of a client whose user is 1234."""

    aborted = False

    def getHandle(self) -> _Transport:
        return self

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("3i", 1, 1234, 5)[:size]

    def abortConnection(self) -> None:
        self.aborted = True


class _Session(Protocol):
    data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class VisitTests(SynchronousTestCase):
    """A connection before its session."""

    def setUp(self) -> None:
        self.asked: list[int] = []
        self.name: Deferred[str] = Deferred()
        self.admitted: list[str] = []
        self.ended: list[Visit] = []
        self.session = _Session()
        self.log = FakeLog()
        self.transport = _Transport()
        self.visit = Visit(self._userName, self._admit, self.ended.append, self.log)
        self.transport.protocol = self.visit
        self.visit.makeConnection(self.transport)

    def _userName(self, uid: int) -> Deferred[str]:
        self.asked.append(uid)
        return self.name

    def _admit(self, visit: Visit, name: str) -> Protocol:
        self.admitted.append(name)
        return self.session

    def test_known(self) -> None:
        """The session begins when the name is known, and nothing is read before."""
        self.assertEqual(([1234], "paused"), (self.asked, self.transport.producerState))
        self.name.callback("ann")
        self.assertEqual((["ann"], [], "producing"), (self.admitted, self.ended, self.transport.producerState))
        self.assertIs(self.session, self.transport.protocol)
        self.assertIs(self.transport, self.session.transport)

    def test_unknown(self) -> None:
        """When nobody can tell the name now, the client is told to come later, and not why."""
        self.name.errback(OSError("directory of users"))
        self.assertEqual(([], [self.visit]), (self.admitted, self.ended))
        self.assertTrue(self.transport.value().startswith(b"451 "))
        self.assertNotIn(b"directory", self.transport.value())
        self.assertTrue(self.transport.disconnecting)

    def test_gone(self) -> None:
        """Who goes before that is counted once, and never becomes a session."""
        self.visit.connectionLost()
        self.name.callback("ann")
        self.visit.cut()
        self.assertEqual(([], [self.visit]), (self.admitted, self.ended))

    def test_cut(self) -> None:
        """The service ends: so does this."""
        self.visit.cut()
        self.assertTrue(self.transport.aborted)
        self.assertEqual([self.visit], self.ended)

    def test_system(self) -> None:
        """The kernel tells the user, and the directory its name, or there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        transport = _Transport()
        transport.getHandle = lambda: ours  # type: ignore[method-assign,assignment,return-value]
        self.assertEqual(os.geteuid(), peerOf(transport)[1])
        self.assertEqual(pwd.getpwuid(0).pw_name, userName(0))
        self.assertEqual("3999999999", userName(3_999_999_999))
