"""L{umbcmail.lda.session}, C{dialogue} and C{delivery}: LMTP, without a socket."""

from __future__ import annotations

import socket
import tempfile
from base64 import b64decode
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeLog
from umbcmail import reply
from umbcmail.lda.delivery import Addressee, Delivery
from umbcmail.lda.dialogue import Dialogue
from umbcmail.lda.letter import Letter
from umbcmail.lda.session import NOT_YOU, Session
from umbcmail.lda.settings import LDA
from umbcmail.lda.users import Directory, DontKnow, User
from umbcmail.reply import Reply
from umbcmail.unixsocket import peerOf

FRED = User("fred", 5000, 5000, (5000,), "/home/fred", "/bin/sh")
USERS = {"fred": FRED, "root": User("root", 0, 0, (0,), "/root", "/bin/sh"), "mail": User("mail", 8, 8, (8,), "/", "")}
HELLO = b"LHLO x\r\nMAIL FROM:<s@x>\r\n"


def settings(**more: Any) -> dict[str, Any]:
    """Of the section."""
    values = {o.name: None if o.default is None else o.kind.parse(o.default) for o in LDA.options}
    return {**values, **{name.replace("_", "-"): value for name, value in more.items()}}


class Transport(StringTransport):
    """One whose socket is a real one."""

    def getHandle(self) -> socket.socket:
        """Somebody of our own user is at the other end."""
        return self.ours

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()

    def close(self) -> None:
        """No more."""
        self.ours.close()
        self.theirs.close()


class FakeChildren:
    """Does nothing, and says what it is told to say.

    @ivar orders: users, orders, and what was to be delivered.
    @ivar answers: one after the other; then all is delivered.
    """

    def __init__(self) -> None:
        self.orders: list[tuple[str, dict[str, Any], bytes]] = []
        self.answers: list[Any] = []

    def deliver(self, user: User, order: dict[str, Any], data: bytes, letter: Letter) -> Deferred[Any]:
        """See L{Children.deliver}."""
        self.orders.append((user.name, order, data + letter.data))
        answer = self.answers.pop(0) if self.answers else {"result": "delivered"}
        return answer if isinstance(answer, Deferred) else succeed(answer)

    def ask(self, user: User, order: dict[str, Any]) -> Deferred[Any]:
        """See L{Children.ask}."""
        return self.deliver(user, order, b"", Letter("", 0, 0, "", maybeDeferred))


class FakeServer:
    """What a session needs of the server."""

    idle = 300.0

    def __init__(self, case: SessionCase, folder: str, log: FakeLog) -> None:
        self.log: Any = log
        self.delivery = case.delivery
        self.refusal: Reply | None = None
        self.folder = folder
        self.letters: list[Letter] = []
        self.gone = 0

    def came(self, session: Session, pid: int, uid: int) -> Reply | None:
        """See L{Server}."""
        return self.refusal

    def left(self, session: Session) -> None:
        """See L{Server}."""
        self.gone += 1

    def newLetter(self, sender: str) -> Letter:
        """See L{Server}."""
        self.letters.append(Letter(sender, 1000, 5000, self.folder, maybeDeferred))
        return self.letters[-1]


class Log(FakeLog):
    """Events too."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """See L{MailLog.event}."""
        self.events.append((what, id, values))


class SessionCase(SynchronousTestCase):
    """A session, with a directory of users that answers at once."""

    def setUp(self) -> None:
        """It is greeted."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Log()
        self.clock = Clock()
        self.clock.advance(1000)
        self.children = FakeChildren()
        self.lookUps: list[str] = []
        self.make()
        self.server = FakeServer(self, folder.name, self.log)
        self.begin()

    def make(self, **more: Any) -> None:
        """The delivery, with some settings."""
        directory = Directory(maybeDeferred, self.clock, 20, 60, self.find)
        self.delivery = Delivery(directory, self.children, settings(**more), "mx.y.test", self.log, self.clock)  # type: ignore[arg-type]

    def begin(self) -> None:
        """A new session."""
        self.session = Session(self.server, Dialogue(self.delivery, "mx.y.test", 4000, 5, lambda: "fine"))  # type: ignore[arg-type]
        self.session.callLater = self.clock.callLater  # type: ignore[method-assign]
        self.transport = Transport()
        self.addCleanup(self.transport.close)
        self.session.makeConnection(self.transport)

    def find(self, name: str) -> User | None:
        """The directory."""
        self.lookUps.append(name)
        if name == "broken":
            raise DontKnow("LDAP is down")
        if name == "bug":
            raise ZeroDivisionError
        return USERS.get(name)

    def say(self, data: bytes) -> list[str]:
        """Send something.  @return: the replies."""
        self.transport.clear()
        self.session.dataReceived(data)
        return self.transport.value().decode().splitlines()

    def codes(self, data: bytes) -> list[str]:
        """Send something.  @return: the codes of the last lines of the replies."""
        return [line[:9].rstrip() if line[4:5].isdigit() else line[:3] for line in self.say(data) if line[3] == " "]

    def send(self, *recipients: str, body: bytes = b"Subject: x\r\n\r\n..x\r\n") -> list[str]:
        """Send one.  @return: the codes of the replies to the end of data."""
        commands = b"".join(f"RCPT TO:<{recipient}>\r\n".encode() for recipient in recipients)
        self.assertEqual("354", self.codes(HELLO + commands + b"DATA\r\n")[-1])
        return self.codes(body + b".\r\n")


class DialogueTests(SessionCase):
    """Commands."""

    def test_greeting(self) -> None:
        """LMTP, and what it offers (RFC 2033 section 5)."""
        self.assertEqual(b"220 mx.y.test LMTP\r\n", self.transport.value())
        offers = {line[4:] for line in self.say(b"LHLO x\r\n")[1:]}
        self.assertEqual(
            {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "XPROGRAM", "XFILE", "SIZE 4000"}, offers
        )

    def test_order(self) -> None:
        """Commands come in order; SMTP's greetings are none (RFC 2033 section 4.1)."""
        self.assertEqual(["503 5.5.1"], self.codes(b"MAIL FROM:<s@x>\r\n"))
        self.assertEqual(["500 5.5.2"] * 2, self.codes(b"EHLO x\r\nHELO x\r\n"))
        self.assertEqual(["501 5.5.4"], self.codes(b"LHLO\r\n"))
        said = self.codes(b"LHLO x\r\nRCPT TO:<fred@y>\r\nDATA\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\nDATA x\r\n")
        self.assertEqual(["250", "503 5.5.1", "503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "501 5.5.4"], said)
        self.assertEqual(["250 2.0.0", "503 5.5.1"], self.codes(b"RSET\r\nRCPT TO:<fred@y>\r\n"))
        self.assertEqual(["250 2.0.0", "252 2.5.2", "214 2.0.0"], self.codes(b"NOOP x\r\nvrfy fred\r\nHELP\r\n"))
        self.assertEqual(["221 2.0.0"], self.codes(b"QUIT\r\nNOOP\r\n"))
        self.assertTrue(self.transport.disconnecting)

    def test_parameters(self) -> None:
        """Those that are offered, and no others."""
        self.say(b"LHLO x\r\n")
        for words, code in (
            (b"", "250 2.1.0"),
            (b" SIZE=4000 BODY=8BITMIME smtputf8", "250 2.1.0"),
            (b" SIZE=4001", "552 5.3.4"),
            (b" SIZE=x", "555 5.5.4"),
            (b" RET=HDRS", "555 5.5.4"),
            (b"x", "501 5.1.7"),
        ):
            self.assertEqual(["250 2.0.0", code], self.codes(b"RSET\r\nMAIL FROM:<s@x>" + words + b"\r\n"))
        self.assertEqual(["250 2.0.0", "501 5.1.7"], self.codes(b"RSET\r\nMAIL FRM:<s@x>\r\n"))
        self.say(b"MAIL FROM:<s@x>\r\n")
        self.assertEqual(["555 5.5.4"], self.codes(b"RCPT TO:<fred@y> NOTIFY=NEVER\r\n"))
        self.assertEqual(["501 5.1.3"] * 3, self.codes(b"RCPT TO:<>\r\nRCPT TO:fred\r\nRCPT TO:<a b@y>\r\n"))

    def test_nonsense(self) -> None:
        """What is no command."""
        self.assertEqual(["500 5.5.2"], self.codes(b"\xff\xfe\r\n"))
        self.assertEqual(["501 5.5.4"], self.codes(b"NOOP \0\r\n"))
        self.assertEqual(["500 5.5.2"], self.codes(b"NOOP\nQUIT\r\n"))
        self.assertEqual(["500 5.5.2"], self.codes(b"NOOP " + b"x" * 5000))
        self.assertTrue(self.transport.disconnecting)

    def test_many(self) -> None:
        """Only so many recipients."""
        said = self.codes(HELLO + b"RCPT TO:<fred@y>\r\n" * 6)
        self.assertEqual(["250 2.1.5"] * 5 + ["452 4.5.3"], said[2:])


class RecipientTests(SessionCase):
    """Who is there."""

    def rcpt(self, *addresses: str) -> list[str]:
        """The codes for some addresses."""
        self.say(HELLO)
        return self.codes(b"".join(f"RCPT TO:<{address}>\r\n".encode() for address in addresses))

    def test_kinds(self) -> None:
        """Yes, no, and don't know, which is never no."""
        self.assertEqual(["250 2.1.5", "550 5.1.1", "451 4.3.0"], self.rcpt("fred@y", "nobody@y", "broken@y"))
        self.assertEqual(["451 4.3.0"], self.rcpt("bug@y"))
        self.assertEqual(1, len(self.log.bugs))

    def test_system(self) -> None:
        """Root and other users of the system get no mail."""
        self.assertEqual(["550 5.1.1"] * 2, self.rcpt("root@y", "mail@y"))

    def test_names(self) -> None:
        """What no user can be called is not looked up."""
        odd = ['"../fred"@y', '"-d"@y', '".."@y', '""@y', '"fred:x"@y', '"a b"@y', '"fred/../root"@y', "/etc/passwd@y"]
        self.assertEqual(["550 5.1.1"] * len(odd), self.rcpt(*odd))
        self.assertEqual([], self.lookUps)

    def test_detail(self) -> None:
        """Users are known without their details, and in lower case."""
        self.assertEqual(["250 2.1.5"] * 3, self.rcpt("FRED+Box@y", "fred+@y", "Fred@y"))
        self.assertEqual(["fred"], self.lookUps)

    def test_waits(self) -> None:
        """What comes behind a recipient that must be looked up is answered after it, in order."""
        answer: Deferred[User | None] = Deferred()
        self.delivery._directory = Directory(lambda *what: answer, self.clock, 20, 60)
        self.assertEqual(["250", "250 2.1.0"], self.codes(HELLO + b"RCPT TO:<fred@y>\r\nRCPT TO:<fred@y>\r\nNOOP\r\n"))
        self.transport.clear()
        answer.callback(FRED)
        self.assertEqual(3, self.transport.value().count(b"250 2."))

    def test_hangs(self) -> None:
        """A directory that does not answer delays, and is not asked without end."""
        self.delivery._directory = directory = Directory(lambda *what: Deferred(), self.clock, 20, 60)
        self.say(HELLO + b"RCPT TO:<fred@y>\r\n")
        self.transport.clear()
        self.clock.advance(20)
        self.assertEqual(b"451 4.3.0", self.transport.value()[:9])
        for _ in range(150):
            directory.lookUp("fred").addErrback(lambda _: None)  # type: ignore[union-attr]
        self.assertEqual(100, directory.asked)
        self.assertEqual(52, directory.unanswered)

    def test_remembered(self) -> None:
        """For a minute; who is not there is looked up each time."""
        self.rcpt("fred@y", "fred@y", "nobody@y", "nobody@y")
        self.assertEqual(["fred", "nobody", "nobody"], self.lookUps)
        self.clock.advance(60)
        self.rcpt("fred@y")
        self.assertEqual(4, len(self.lookUps))


class MessageTests(SessionCase):
    """Messages."""

    def test_perRecipient(self) -> None:
        """A reply for each recipient that was accepted, in order, and the content for each."""
        self.children.answers = [{"result": "delivered"}, {"result": "full"}]
        self.assertEqual(["250 2.1.5", "452 4.2.2"], self.send("fred@y", "nobody@y", "fred+x@y"))
        top = b"Return-Path: <s@x>\nDelivered-To: fred%b@y\nSubject: x\n\n.x\n"
        self.assertEqual(
            [("fred", top % b""), ("fred", top % b"+x")], [(u, data) for u, _, data in self.children.orders]
        )
        self.assertEqual("maildir", self.children.orders[0][1]["way"])

    def test_pipelined(self) -> None:
        """Several messages in one write, replies in order."""
        one = HELLO + b"RCPT TO:<fred@y>\r\nDATA\r\nA: b\r\n\r\n.\r\n"
        self.assertEqual(["250", "250 2.1.0", "250 2.1.5", "354", "250 2.1.5"] * 3, self.codes(one * 3))
        self.assertEqual([b"A: b\n\n"] * 3, [data.split(b"@y\n")[1] for _, _, data in self.children.orders])

    def test_manyAtOnce(self) -> None:
        """Thousands in one write are no trouble."""
        one = b"MAIL FROM:<>\r\nRCPT TO:<fred@y>\r\nDATA\r\nDelivered-To: fred@y\r\n\r\n.\r\n"
        self.assertEqual(3000, self.codes(b"LHLO x\r\n" + one * 3000).count("554 5.4.6"))

    def test_asKnown(self) -> None:
        """What is known is told at once, but in order; nothing further is looked at before all is."""
        first, second, third = Deferred(), Deferred(), Deferred()  # type: ignore[var-annotated]
        self.children.answers = [first, second, third]
        self.assertEqual([], self.send("fred@y", "fred@y", "fred@y"))
        self.session.dataReceived(b"NOOP\r\n")
        second.callback({"result": "delivered"})
        self.assertEqual(b"", self.transport.value())
        first.callback({"result": "trouble"})
        self.assertEqual(2, self.transport.value().count(b"\r\n"))
        third.callback({"result": "delivered"})
        self.assertEqual(b"250 2.0.0 OK\r\n", self.transport.value().splitlines(True)[-1])

    def test_large(self) -> None:
        """A large one comes as a file, which is closed when all have it."""
        waiting: Deferred[Any] = Deferred()
        self.children.answers = [waiting]
        self.assertEqual([], self.send("fred@y", body=b"x" * 100 + b"\r\n" + b"y" * 3000 + b"\r\n"))
        [letter] = self.server.letters
        self.assertGreaterEqual(letter.file, 0)
        waiting.callback({"result": "delivered"})
        self.assertEqual(-1, letter.file)

    def test_tooBig(self) -> None:
        """Over the limit each recipient hears it, and the next message is taken."""
        self.assertEqual(["552 5.3.4"] * 2, self.send("fred@y", "fred@y", body=b"x" * 6000 + b"\r\n"))
        self.assertEqual(["250 2.1.5"], self.send("fred@y"))

    def test_loop(self) -> None:
        """What has been delivered to the address before is in a loop; to another one it is not."""
        body = b"A: b\r\nDelivered-To: Fred@y\r\n\r\nDelivered-To: fred+x@y\r\n"
        self.assertEqual(["554 5.4.6", "250 2.1.5"], self.send("fred@y", "fred+x@y", body=body))

    def test_answers(self) -> None:
        """What each answer becomes; what is not known waits."""
        for result, code in (
            ("delivered", "250 2.1.5"),
            ("duplicate", "250 2.1.5"),
            ("full", "452 4.2.2"),
            ("refused-full", "552 5.2.2"),
            ("no-storage", "452 4.3.1"),
            ("trouble", "451 4.2.0"),
            ("unsafe", "451 4.2.0"),
            ("forbidden", "550 5.7.1"),
            ("missing", "451 4.3.0"),
            ("timeout", "451 4.3.0"),
            ("signal", "451 4.3.0"),
            ("lost", "451 4.3.0"),
            ("late", "451 4.3.0"),
            ("busy", "451 4.3.0"),
            ("refused", "451 4.3.0"),
            ("bug", "451 4.3.0"),
            ("what", "451 4.3.0"),
        ):
            self.children.answers = [{"result": result, "why": "/secret/path"}]
            self.assertEqual([code], self.send("fred@y"), result)
            self.assertNotIn(b"secret", self.transport.value())
            self.assertEqual("/secret/path", self.log.events[-1][2]["why"])
        self.children.answers = [{}, {"result": "exit", "status": "x"}, {"result": "exit", "status": 67}]
        self.assertEqual(["451 4.3.0", "451 4.3.0", "550 5.1.1"], self.send("fred@y", "fred@y", "fred@y"))

    def test_id(self) -> None:
        """The log has the id of the message that the mail system has given it."""
        body = (
            b"Received: from c ([1.2.3.4])\r\n\tby mx with ESMTP id 0abc.1\r\n\tfor <a@b>;\r\n\tdate\r\nA: id x\r\n\r\n"
        )
        self.send("fred@y", body=body)
        self.assertEqual(("local-delivered", "0abc.1"), self.log.events[-1][:2])
        self.send("fred@y", body=b"A: b id 17\r\n\r\n")
        self.assertEqual("-", self.log.events[-1][1])

    def test_lost(self) -> None:
        """A client that goes leaves nothing open, in whatever it is."""
        self.send("fred@y")
        for data in (b"x" * 4000, b"x\r\n"):
            self.say(HELLO + b"RCPT TO:<fred@y>\r\nDATA\r\n" + data)
            self.session.connectionLost()
            self.assertIsNone(self.session._letter)
            self.begin()
        waiting: Deferred[Any] = Deferred()
        self.children.answers = [waiting]
        self.send("fred@y", body=b"x" * 3000 + b"\r\n")
        self.session.connectionLost()
        self.assertGreaterEqual(self.server.letters[-1].file, 0)
        waiting.callback({"result": "delivered"})
        self.assertEqual(-1, self.server.letters[-1].file)
        self.assertEqual(3, self.server.gone)

    def test_bug(self) -> None:
        """A bug delays, and says so."""
        self.children.answers = [Deferred()]
        self.patch(self.delivery, "deliver", lambda *what: 1 / 0)
        self.assertEqual(["451 4.3.0"], self.send("fred@y"))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(1, len(self.log.bugs))

    def test_duplicates(self) -> None:
        """What a message is known by goes along, when it is to be remembered."""
        self.make(duplicates=86400.0)
        self.server.delivery = self.delivery
        self.begin()
        self.send("fred@y", body=b"A: b\r\nMessage-ID:\r\n <1@x> \r\n\r\nbody\r\n")
        order, data = self.children.orders[-1][1:]
        self.assertEqual(["<1@x>", "s@x", "fred@y"], order["known"])
        self.assertEqual(b"\n\nbody\n", data[order["body"] :])
        self.send("fred@y", body=b"A: b\r\n\r\nMessage-ID: <1@x>\r\n")
        self.assertEqual([], self.children.orders[-1][1]["known"])


class CommandTests(SessionCase):
    """Delivery by a command."""

    def command(self, *words: str, **more: Any) -> None:
        """What is to be run."""
        self.make(deliver="command", command=words, **more)
        self.server.delivery = self.delivery
        self.begin()

    def test_argv(self) -> None:
        """Values of strangers are one argument each, and the fields are on top."""
        self.command("prog", "%user", "%detail", "-f", "%sender", "%recipient %domain %home")
        self.send('"FRED+a;b"@Y')
        _, order, data = self.children.orders[0]
        argv = ["prog", "fred", "a;b", "-f", "s@x", '"FRED+a;b"@Y y /home/fred']
        self.assertEqual({"way": "command", "argv": argv}, order)
        self.assertRegex(
            data, rb'^From s@x \w{3} \w{3} .. ..:..:.. 1970\nReturn-Path: <s@x>\nDelivered-To: "FRED\+a;b"@Y\n'
        )

    def test_nullSender(self) -> None:
        """An empty argument stays one."""
        self.command("prog", "%sender", "%detail", from_line=False)
        self.say(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<fred+@y>\r\nDATA\r\n.\r\n")
        self.assertEqual(["prog", "", ""], self.children.orders[0][1]["argv"])
        self.assertTrue(self.children.orders[0][2].startswith(b"Return-Path: <>\n"))

    def test_fromLine(self) -> None:
        """A sender with blanks can't end the line early."""
        self.command("prog")
        self.say(b'LHLO x\r\nMAIL FROM:<"a b"@x>\r\nRCPT TO:<fred@y>\r\nDATA\r\n.\r\n')
        self.assertTrue(self.children.orders[0][2].startswith(b'From "a-b"@x '))

    def test_dash(self) -> None:
        """A detail that would be an option is no address."""
        self.command("prog", "-a", "%detail")
        self.assertEqual(["550 5.1.3"], self.send("fred+-Y@y"))  # type: ignore[arg-type]
        self.assertEqual([], self.children.orders)

    def test_file(self) -> None:
        """Likewise a file: with a line From, and where it may be is for the process of the user to say."""
        self.command("prog", file_folders=("/var/lists",))
        self.children.answers = [{"result": "delivered"}, {"result": "no-file"}]
        self.say(HELLO + b"RCPT TO:<fred@y> XFILE=/var/lists/a+20b\r\nRCPT TO:<fred@y> XFILE=/x\r\nDATA\r\n")
        self.assertEqual(["250 2.1.5", "550 5.7.1"], self.codes(b"Subject: x\r\n\r\nb\r\n.\r\n"))
        _, order, data = self.children.orders[0]
        self.assertEqual(("file", "/var/lists/a b", ("/var/lists",)), (order["way"], order["path"], order["folders"]))
        self.assertEqual((b"From s@x", b"Return-Path"), (data[:8], data[order["line"] :][:11]))

    def test_forward(self) -> None:
        """What a user has in the file is handed on unread; what can't be told is not "none"."""
        long = "a@z.test\n" * 100
        self.children.answers = [
            {"result": "forward", "text": long},
            {"result": "none"},
            {"result": "unsafe", "why": "a link"},
            {"result": "lost"},
        ]
        lines = self.say(b"XEXPAND <Fred+list@y>\r\n")
        self.assertEqual("250-FORWARD", lines[0])
        self.assertEqual(long, b64decode("".join(line[4:] for line in lines[1:])).decode())
        self.assertTrue(all(len(line) < 512 for line in lines))
        user, order, _ = self.children.orders[0]
        self.assertEqual(("fred", "forward", "list"), (user, order["way"], order["detail"]))
        self.assertEqual(["250 NONE"], self.say(b"XEXPAND <fred@y>\r\n"))
        self.assertEqual(["451 4.2.0", "451 4.3.0"], self.codes(b"XEXPAND <fred@y>\r\nXEXPAND <fred@y>\r\n"))
        self.assertEqual("a link", self.log.events[-2][2]["why"])
        asked = (b"<no@y>", b"<root@y>", b"<broken@y>", b"", b"<>")
        said = self.codes(b"".join(b"XEXPAND " + what + b"\r\n" for what in asked))
        self.assertEqual(["550 5.1.1", "550 5.1.1", "451 4.3.0", "501 5.1.3", "501 5.1.3"], said)

    def test_program(self) -> None:
        """Who has expanded an alias may name a program; it is for the process of the user to refuse it."""
        self.say(HELLO)
        said = self.codes(
            b"RCPT TO:<fred@y> XPROGRAM=vacation+20fred\r\nRCPT TO:<fred@y> xprogram=a+2Bb;c\r\n"
            b"RCPT TO:<fred@y> XPROGRAM=\r\nRCPT TO:<fred@y> XPROGRAM=+2b\r\nRCPT TO:<fred@y> XPROGRAM=a X=b\r\n"
        )
        self.assertEqual(["250 2.1.5"] * 2 + ["555 5.5.4"] * 3, said)
        self.say(b"DATA\r\n.\r\n")
        orders = [order for _, order, _ in self.children.orders]
        self.assertEqual(["vacation fred", "a+b;c"], [order["program"] for order in orders])
        self.assertEqual({"program"}, {order["way"] for order in orders})

    def test_statuses(self) -> None:
        """As configured."""
        self.command("prog", statuses=((69, "fail"),))
        self.children.answers = [{"result": "exit", "status": n, "why": ""} for n in (69, 70, 75)]
        said = self.send("fred@y", "fred@y", "fred@y")
        self.assertEqual(["554 5.3.0", "451 4.3.0", "451 4.3.0"], said)


class ConnectionTests(SessionCase):
    """Who is talked to, and for how long."""

    def test_peer(self) -> None:
        """The kernel says who it is."""
        import os

        self.assertEqual((os.getpid(), os.geteuid()), peerOf(self.transport))

    def test_refused(self) -> None:
        """Others hear one line."""
        self.server.refusal = NOT_YOU
        self.begin()
        self.assertEqual(b"421 4.7.1 Access denied\r\n", self.transport.value())
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual([], self.say(b"LHLO x\r\n"))

    def test_idle(self) -> None:
        """Who says nothing is sent away; who waits for us is not."""
        waiting: Deferred[Any] = Deferred()
        self.children.answers = [waiting]
        self.send("fred@y")
        self.clock.advance(301)
        self.assertFalse(self.transport.disconnecting)
        waiting.callback({"result": "delivered"})
        self.clock.advance(301)
        self.assertTrue(self.transport.value().endswith(reply.TIMEOUT.wire))
        self.assertTrue(self.transport.disconnecting)

    def test_drain(self) -> None:
        """At the end those who have a message under way may bring it to its end."""
        self.session.drain()
        self.assertTrue(self.transport.value().endswith(reply.SHUTTING_DOWN.wire))
        self.begin()
        self.say(HELLO + b"RCPT TO:<fred@y>\r\nDATA\r\n")
        self.session.drain()
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(["250 2.1.5"], self.codes(b".\r\n"))


class AddresseeTests(SynchronousTestCase):
    """Values."""

    def test_value(self) -> None:
        """Two of the same are equal."""
        self.assertEqual(Addressee("a@b", FRED, ""), Addressee("a@b", FRED, ""))
