"""L{umbcmail.accept.auth.pam} and L{umbcmail.accept.auth.pamchild}."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.accept.auth import pamchild
from umbcmail.accept.auth.kinds import Surroundings
from umbcmail.accept.auth.pam import PAM, QUESTIONS, Factory, verdict
from umbcmail.accept.auth.question import CantTell
from umbcmail.envelope import Client


class Process:
    """The transport of a process that a test plays.

    @ivar asked: the questions that have come.
    @ivar killed: signals.
    @ivar closed: it was told that there are no more questions.
    """

    def __init__(self, protocol: Any, argv: list[str]) -> None:
        self.protocol = protocol
        self.argv = argv
        self.asked: list[dict[str, str]] = []
        self.killed: list[str] = []
        self.closed = False
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        """A question: one line."""
        [line] = data.splitlines()
        assert len(data) < pamchild.LINE_LIMIT
        self.asked.append(json.loads(line))

    def signalProcess(self, signal: str) -> None:
        """See L{IProcessTransport}."""
        self.killed.append(signal)

    def closeStdin(self) -> None:
        """See L{IProcessTransport}."""
        self.closed = True

    def answer(self, code: int) -> None:
        """Answer."""
        self.protocol.outReceived(b'{"code": %d}\n' % code)

    def end(self) -> None:
        """End."""
        self.protocol.processEnded(Failure(ProcessTerminated(signal=9)))


class Reactor(MemoryReactorClock):
    """One that starts such processes."""

    def __init__(self) -> None:
        MemoryReactorClock.__init__(self)
        self.processes: list[Process] = []

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], **named: Any) -> None:
        """See L{IReactorProcess}."""
        self.processes.append(Process(protocol, args))


class PAMTests(SynchronousTestCase):
    """The checker."""

    def setUp(self) -> None:
        """No process runs."""
        self.reactor, self.log = Reactor(), FakeLog()
        self.checker = self.make("no-such-service")

    def make(self, service: str) -> PAM:
        """A checker."""
        settings = {"timeout": 30.0, "pam-processes": 2}
        return Factory(Surroundings(self.reactor, self.log, maybeDeferred, settings=settings)).generateChecker(service)

    def ask(self, login: bytes = b"ann", password: bytes = b"s3cret!") -> Deferred[Any]:
        """Begin a question."""
        credentials: Any = UsernamePassword(login, password)
        credentials.client = Client("192.0.2.7")
        return maybeDeferred(self.checker.requestAvatarId, credentials)

    def test_interfaces(self) -> None:
        """It is what it says."""
        verifyObject(ICredentialsChecker, self.checker)
        verifyObject(ICheckerFactory, Factory())

    def test_service(self) -> None:
        """The name of a service is no path."""
        for wrong in ("", "/etc/pam.d/smtp", "../smtp", ".", "a b", "-x", "smtp\n", "x" * 65):
            self.assertRaises(ValueError, self.make, wrong)

    def test_answers(self) -> None:
        """A process answers one question after the other."""
        for code, right in ((0, True), (7, False), (10, False), (13, False), (12, False), (6, False)):
            found = self.ask()
            self.reactor.processes[0].answer(code)
            if right:
                self.assertEqual(b"ann", self.successResultOf(found))
            else:
                self.failureResultOf(found, UnauthorizedLogin)
        [process] = self.reactor.processes
        self.assertEqual("no-such-service", process.argv[-1])
        asked = process.asked[0]
        self.assertEqual(("ann", "192.0.2.7"), (asked["login"], asked["host"]))
        self.assertEqual(b"s3cret!", b64decode(asked["password"]))
        self.assertNotIn("s3cret!", str(process.argv))

    def test_missingService(self) -> None:
        """PAM takes another service without a word; the log has one."""
        self.ask()
        self.ask()
        [trouble] = self.log.troubles
        self.assertIn("/etc/pam.d/no-such-service", trouble[2])

    def test_trouble(self) -> None:
        """All other codes mean that it can't tell."""
        for code in (1, 2, 3, 4, 5, 8, 9, 14, 15, 19, 25, 26, 28, 30, 31, 32, 99):
            self.assertRaises(CantTell, verdict, code)
            found = self.ask()
            self.reactor.processes[0].answer(code)
            self.failureResultOf(found, CantTell)
        self.assertEqual(1, len(self.reactor.processes))

    def test_processes(self) -> None:
        """So many and no more; others wait, and get one that is free."""
        found = [self.ask(b"user%d" % n) for n in range(4)]
        one, two = self.reactor.processes
        two.answer(0)
        self.assertEqual(b"user1", self.successResultOf(found[1]))
        self.assertEqual(["user1", "user2"], [asked["login"] for asked in two.asked])
        one.answer(7)
        self.failureResultOf(found[0], UnauthorizedLogin)
        one.answer(0)
        two.answer(0)
        self.assertEqual(b"user2", self.successResultOf(found[2]))
        self.assertEqual(b"user3", self.successResultOf(found[3]))

    def test_hangs(self) -> None:
        """PAM that takes too long: "can't tell", and the process is killed; the next
        question gets another one."""
        found = self.ask()
        self.reactor.advance(30.1)
        self.assertIn("no-such-service", str(self.failureResultOf(found, CantTell).value))
        one = self.reactor.processes[0]
        self.assertEqual(["KILL"], one.killed)
        found = self.ask()
        one.answer(0)
        one.end()
        self.assertNoResult(found)
        self.reactor.processes[1].answer(0)
        self.assertEqual(b"ann", self.successResultOf(found))

    def test_dies(self) -> None:
        """A process that ends: "can't tell", with what it said; one that ends between
        questions is not asked."""
        found = self.ask()
        self.reactor.processes[0].protocol.errReceived(b"Traceback\nModuleNotFoundError: No module named 'pamela'\n")
        self.reactor.processes[0].end()
        self.assertIn("No module named 'pamela'", str(self.failureResultOf(found, CantTell).value))
        found = self.ask()
        self.reactor.processes[1].answer(0)
        self.successResultOf(found)
        self.reactor.processes[1].end()
        found = self.ask()
        self.reactor.processes[2].answer(0)
        self.successResultOf(found)

    def test_senseless(self) -> None:
        """What is no answer: "can't tell", and the process is not trusted again."""
        for n, said in enumerate((b"hello\n", b'{"code": -1}\n', b'{"code": 0}\n{"code": 0}\n', b"x" * 1001)):
            found = self.ask()
            process = self.reactor.processes[n]
            process.protocol.outReceived(said)
            self.assertEqual(["KILL"], process.killed)
            process.end()
            self.failureResultOf(found, CantTell)

    def test_impossible(self) -> None:
        """What PAM would read as something else is not asked."""
        for login, password in (
            (b"a\0b", b"x"),
            (b"ann", b"x\0"),
            (b"ann", b"x" * 512),
            (b"ann", b""),
            (b"a\nb", b"x"),
        ):
            self.failureResultOf(self.ask(login, password), UnauthorizedLogin)
        self.assertEqual([], self.reactor.processes)

    def test_replaced(self) -> None:
        """After many questions a process may end."""
        for _ in range(QUESTIONS):
            found = self.ask()
            self.reactor.processes[0].answer(0)
            self.successResultOf(found)
        self.assertTrue(self.reactor.processes[0].closed)
        self.ask()
        self.assertEqual(2, len(self.reactor.processes))

    def test_shutdown(self) -> None:
        """No process stays behind."""
        self.ask()
        [(stop, _, _)] = self.reactor.triggers["after"]["shutdown"]
        stop()
        self.assertEqual(["KILL"], self.reactor.processes[0].killed)


class FakePamela:
    """The module, and a PAM behind it."""

    PAM_RHOST = 4

    class PAMError(Exception):
        """With a code."""

        errno: int | None = None

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.calls: list[str] = []
        self.items: dict[int, Any] = {}

    def new_simple_password_conv(self, passwords: tuple[bytes, ...], encoding: str) -> Any:
        """What will be said."""
        return passwords

    def pam_start(self, service: str, login: str, converse: Any, encoding: str) -> str:
        """Begin."""
        if self.codes[0] < 0:
            error = self.PAMError()
            error.errno = -self.codes[0]
            raise error
        self.calls.append(f"start {service} {login}")
        return "handle"

    def PAM_SET_ITEM(self, handle: str, item: int, value: Any) -> int:
        """Note it."""
        self.items[item] = value
        return 0

    def PAM_AUTHENTICATE(self, handle: str, flags: int) -> int:
        """The next code."""
        self.calls.append("authenticate")
        return self.codes.pop(0)

    def PAM_ACCT_MGMT(self, handle: str, flags: int) -> int:
        """The next code."""
        self.calls.append("account")
        return self.codes.pop(0)

    def PAM_END(self, handle: str, code: int) -> int:
        """End."""
        self.calls.append(f"end {code}")
        return 0


class ChildTests(SynchronousTestCase):
    """What the process asks PAM."""

    def test_order(self) -> None:
        """Authentication, then the account, and an end of each."""
        for codes, calls in (
            ((0, 0), ["authenticate", "account", "end 0"]),
            ((7,), ["authenticate", "end 7"]),
            ((0, 13), ["authenticate", "account", "end 13"]),
        ):
            pamela = FakePamela(*codes)
            self.assertEqual(codes[-1], pamchild.ask(pamela, "smtp", "ann", b"x", "192.0.2.7"))
            self.assertEqual(["start smtp ann", *calls], pamela.calls)
            self.assertEqual(b"192.0.2.7", pamela.items[pamela.PAM_RHOST])
        self.assertNotIn(4, self._items(""))

    def _items(self, host: str) -> dict[int, Any]:
        pamela = FakePamela(7)
        pamchild.ask(pamela, "smtp", "ann", b"x", host)
        return pamela.items

    def test_noStart(self) -> None:
        """PAM that can't begin says why."""
        self.assertEqual(26, pamchild.ask(FakePamela(-26), "smtp", "ann", b"x", ""))
