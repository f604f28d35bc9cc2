"""L{umbcmail.lda.children}, C{frames}, C{privileges}: processes of users, without any."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeLog
from tests.unit.lda.test_lda_session import FRED, settings
from umbcmail.lda import children, frames, privileges
from umbcmail.lda.children import GRACE, Children
from umbcmail.lda.letter import Letter
from umbcmail.lda.users import User

BOB = User("bob", 5001, 5001, (5001,), "/home/bob", "/bin/sh")


class Transport(StringTransport):
    """Of a child: what it is ordered."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[int] = []

    def sendFileDescriptor(self, fd: int) -> None:
        """See L{IUNIXTransport}."""
        self.files.append(fd)

    def orders(self) -> list[dict[str, Any]]:
        """All orders so far."""
        data, found = self.value(), []
        while data:
            length, size = frames.HEADER.unpack_from(data)
            found.append(json.loads(data[8 : 8 + length]))
            data = data[8 + length + size :]
        return found


class Reactor(Clock):
    """Adopts sockets.

    @ivar made: protocols and transports of the children.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Transport]] = []

    def adoptStreamConnection(self, fd: int, family: int, factory: Any) -> None:
        """See L{IReactorSocket}."""
        protocol, transport = factory.buildProtocol(None), Transport()
        protocol.makeConnection(transport)
        self.made.append((protocol, transport))


class ChildrenTests(SynchronousTestCase):
    """Which process does what, and when."""

    def setUp(self) -> None:
        """No processes."""
        self.make()

    def make(self, **more: Any) -> None:
        """With some settings."""
        self.reactor, self.log = Reactor(), FakeLog()
        self.persons: list[Mapping[str, Any]] = []
        self.isDown = False
        self.children = Children(self.fork, self.reactor, self.log, settings(**more))  # type: ignore[arg-type]

    def fork(self, person: Mapping[str, Any], link: int) -> None:
        """Make a child."""
        if self.isDown:
            raise OSError(11, "not now")
        self.persons.append(person)

    def deliver(self, user: User = FRED, way: str = "maildir", file: int = -1, size: int = 3) -> Deferred[Any]:
        """Order something."""
        letter = Letter("s", 10, 10, "/", lambda *what: Deferred())
        letter.data, letter.size, letter.file = b"abc", size, file
        return self.children.deliver(user, {"way": way}, b"top", letter)

    def answer(self, which: int = -1, **what: Any) -> None:
        """A child answers."""
        protocol, _ = self.reactor.made[which]
        protocol.dataReceived(json.dumps(what or {"result": "delivered"}).encode() + b"\n")

    def ready(self, which: int = -1) -> None:
        """A child has become its user."""
        self.answer(which, result="ready", pid=0)

    def end(self, which: int = -1) -> None:
        """A child ends."""
        self.reactor.made[which][0].connectionLost()

    def test_kept(self) -> None:
        """A process for Maildirs is made once, told whom it is for, and gets one order at a time."""
        first, second = self.deliver(), self.deliver()
        [(_, transport)] = self.reactor.made
        self.assertEqual(1, len(self.persons))
        self.assertEqual(("fred", 5000, "/home/fred"), tuple(self.persons[0][k] for k in ("user", "uid", "home")))
        self.assertEqual(1, len(transport.orders()))
        self.ready()
        self.answer(result="delivered", size=1)
        self.assertEqual({"result": "delivered", "size": 1}, self.successResultOf(first))
        self.assertNoResult(second)
        self.assertEqual([{"way": "maildir", "octets": 6}] * 2, transport.orders())
        self.answer(result="full")
        self.assertEqual({"result": "full"}, self.successResultOf(second))
        self.assertFalse(transport.disconnecting)

    def test_file(self) -> None:
        """A large message goes along as a file, with its own order."""
        self.deliver()
        self.deliver(file=77)
        [(_, transport)] = self.reactor.made
        self.ready()
        self.assertEqual([], transport.files)
        self.answer()
        self.assertEqual([77], transport.files)

    def test_users(self) -> None:
        """Each user has a process, and a user whose ids have changed another one."""
        self.deliver()
        self.deliver(BOB)
        self.deliver(User("fred", 5005, 5000, (5000,), "/home/fred", "/bin/sh"))
        self.assertEqual([5000, 5001, 5005], [person["uid"] for person in self.persons])

    def test_commands(self) -> None:
        """Each command has a process; of one user there are only so many at a time."""
        self.make(processes_per_user=2)
        jobs = [self.deliver(way="command") for _ in range(3)]
        other = self.deliver(BOB, "command")
        self.assertEqual(3, len(self.reactor.made))
        self.ready(0)
        self.answer(0, result="exit", status=0)
        self.successResultOf(jobs[0])
        self.assertTrue(self.reactor.made[0][1].disconnecting)
        self.end(0)
        self.assertEqual(["fred", "fred", "bob", "fred"], [person["user"] for person in self.persons])
        self.assertNoResult(other)

    def test_places(self) -> None:
        """With all places taken an idle process goes; with none idle mail waits its turn."""
        self.make(processes=1)
        fred = self.deliver()
        self.ready()
        bob = self.deliver(BOB)
        again = self.deliver()
        self.assertEqual((1, 2), (len(self.reactor.made), self.children.waiting))
        self.answer()
        self.successResultOf(fred)
        self.assertTrue(self.reactor.made[0][1].disconnecting)
        self.end(0)
        self.ready(1)
        self.answer(1)
        self.successResultOf(bob)
        self.end(1)
        self.ready(2)
        self.answer(2)
        self.successResultOf(again)
        idle = self.deliver(BOB)
        self.assertTrue(self.reactor.made[2][1].disconnecting)
        self.end(2)
        self.assertNoResult(idle)
        self.assertEqual(4, len(self.reactor.made))

    def test_idle(self) -> None:
        """A process without work ends after a while."""
        self.make(process_idle=60.0)
        self.deliver()
        self.ready()
        self.reactor.pump([1.0] * 30)
        self.answer()
        self.reactor.pump([1.0] * 59)
        self.assertFalse(self.reactor.made[0][1].disconnecting)
        self.reactor.pump([1.0] * 2)
        self.assertTrue(self.reactor.made[0][1].disconnecting)
        self.end()
        self.reactor.advance(1)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_lost(self) -> None:
        """What a process has not answered when it ends waits, and the next one begins anew."""
        jobs = [self.deliver(), self.deliver()]
        self.ready()
        self.end()
        self.assertEqual(["lost", "lost"], [self.successResultOf(job)["result"] for job in jobs])
        self.deliver()
        self.assertEqual(2, len(self.reactor.made))

    def test_last(self) -> None:
        """One that says that it ends has not touched what waits for it: another one does that."""
        jobs = [self.deliver(), self.deliver()]
        self.ready()
        self.answer(result="delivered", last=True)
        self.successResultOf(jobs[0])
        self.assertEqual(2, len(self.reactor.made))
        self.end(0)
        self.ready(1)
        self.answer(1)
        self.assertEqual("delivered", self.successResultOf(jobs[1])["result"])

    def test_refused(self) -> None:
        """One that can't become its user says so for all of its orders."""
        jobs = [self.deliver(), self.deliver()]
        self.answer(result="refused", why="x")
        self.assertEqual(["refused"] * 2, [self.successResultOf(job)["result"] for job in jobs])
        self.assertTrue(self.reactor.made[0][1].disconnecting)

    def test_noProcess(self) -> None:
        """When none can be made mail waits, and the log says so."""
        self.isDown = True
        self.assertEqual("lost", self.successResultOf(self.deliver())["result"])
        self.assertIn("not now", self.log.troubles[0][2])
        self.isDown = False
        self.assertNoResult(self.deliver())

    def test_late(self) -> None:
        """One that does not answer is given up, and its order waits."""
        self.make(limit_time=10.0)
        jobs = [self.deliver(), self.deliver()]
        self.ready()
        self.reactor.pump([1.0] * int(10 + GRACE - 1))
        self.assertNoResult(jobs[0])
        self.reactor.advance(1)
        self.assertEqual(["late", "late"], [self.successResultOf(job)["result"] for job in jobs])
        self.assertTrue(self.reactor.made[0][1].disconnected)
        self.end()

    def test_busy(self) -> None:
        """Who gets no place in time waits in the queue of the mail system instead."""
        self.make(limit_time=10.0, processes=1)
        self.deliver()
        waiting = self.deliver(BOB)
        self.reactor.pump([1.0] * 14)
        self.assertNoResult(waiting)
        self.reactor.advance(1)
        self.assertEqual("busy", self.successResultOf(waiting)["result"])
        self.assertEqual(0, self.children.waiting)

    def test_nonsense(self) -> None:
        """What is no answer ends the process."""
        for data in (b"nonsense\n", b"x" * 70_000):
            job = self.deliver()
            self.ready()
            self.reactor.made[-1][0].dataReceived(data)
            self.assertTrue(self.reactor.made[-1][1].disconnecting)
            self.end()
            self.assertEqual("lost", self.successResultOf(job)["result"])
        job = self.deliver()
        self.ready()
        self.reactor.made[-1][0].dataReceived(b"[1]\n")
        self.assertEqual("bug", self.successResultOf(job)["result"])

    def test_stop(self) -> None:
        """At the end those without work end, and others when they have done it."""
        self.make(processes=2)
        self.deliver()
        self.deliver(BOB)
        self.ready(0)
        self.ready(1)
        self.answer(1)
        self.children.stop()
        self.assertEqual([False, True], [transport.disconnecting for _, transport in self.reactor.made])

    def test_whose(self) -> None:
        """Only a child of our forker can be ended by the id that it tells."""
        for pid in (os.getpid(), 1, "1", None, -1, 1 << 30):
            self.assertEqual(-1, children._descriptor(pid))


class FrameTests(SynchronousTestCase):
    """Between server and child."""

    def setUp(self) -> None:
        """A pair of sockets."""
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def test_roundTrip(self) -> None:
        """What is packed is received, with the file that goes along with its first octet."""
        self.ours.sendall(frames.pack({"way": "x"}, b"data"))
        held = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, held)
        second = frames.pack({"way": "\u00fc"}, b"")
        socket.send_fds(self.ours, [second[:1]], [held])
        self.ours.sendall(second[1:])
        self.ours.shutdown(socket.SHUT_WR)
        self.assertEqual(({"way": "x"}, b"data", -1), frames.receive(self.theirs))
        order, data, file = frames.receive(self.theirs)  # type: ignore[misc]
        self.assertEqual(({"way": "\u00fc"}, b""), (order, data))
        self.assertEqual(os.fstat(held).st_rdev, os.fstat(file).st_rdev)
        self.assertFalse(os.get_inheritable(file))
        os.close(file)
        self.assertIsNone(frames.receive(self.theirs))

    def test_cut(self) -> None:
        """What ends in the middle, or is too long, is no order."""
        whole = frames.pack({"way": "x"}, b"data")
        for data in (whole[:5], whole[:-1], frames.HEADER.pack(1 << 30, 0), frames.HEADER.pack(0, 1 << 31)):
            self.ours.sendall(data)
            self.ours.close()
            self.assertRaises(frames.FrameError, frames.receive, self.theirs)
            self.theirs.close()
            self.ours, self.theirs = socket.socketpair()


class PrivilegeTests(SynchronousTestCase):
    """Who nobody becomes."""

    def test_refused(self) -> None:
        """Root, by uid or gid, and users below the lowest; nothing has been changed by then."""
        before = (os.getresuid(), os.getresgid(), os.getgroups())
        for uid, gid in ((0, 0), (0, 5), (5000, 0), (999, 5000)):
            self.assertRaises(privileges.Refused, privileges.become, uid, gid, [], 1000)
        self.assertEqual(before, (os.getresuid(), os.getresgid(), os.getgroups()))

    def test_verified(self) -> None:
        """A step that the system says it has taken, and has not, is noticed."""
        calls: list[str] = []
        fake: dict[str, Any] = {name: lambda *what: calls.append("set") for name in ("setuid", "setgid", "setgroups")}
        answers = {"getresuid": (5000,) * 3, "getresgid": (5000,) * 3, "getgroups": [5000], "geteuid": 0}
        for name, value in answers.items():
            fake[name] = lambda value=value: value

        def become() -> str:
            self.patch(privileges, "os", type("os", (), {k: staticmethod(v) for k, v in fake.items()}))
            return str(self.assertRaises(privileges.Refused, privileges.become, 5000, 5000, [5000], 1000))

        self.assertIn("root could be had again", become())
        for name, wrong in (("getresuid", (5000, 5000, 0)), ("getresgid", (0, 5000, 5000)), ("getgroups", [0, 5000])):
            right = fake[name]
            fake[name] = lambda wrong=wrong: wrong
            self.assertNotIn("again", become())
            fake[name] = right

    def test_pag(self) -> None:
        """The gid by which OpenAFS shows that a process has tokens of its own is no group too many."""
        pag = 0x41000007
        fake = {"getresuid": (5000,) * 3, "getresgid": (5000,) * 3, "getgroups": [5000, pag], "geteuid": 0}
        answers: dict[str, Any] = {name: lambda value=value: value for name, value in fake.items()}
        asked: list[int] = []

        def change(what: Any) -> None:
            if what == 0:
                asked.append(0)
                raise PermissionError

        answers |= dict.fromkeys(("setuid", "setgid", "setgroups"), change)
        self.patch(privileges, "os", type("os", (), {k: staticmethod(v) for k, v in answers.items()}))
        privileges.become(5000, 5000, [5000], 1000)
        self.assertEqual([0, 0], asked)
