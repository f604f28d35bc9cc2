"""Tests of the filter's side of the protocol: L{umbcmail.filter.multiplexer.session} and below."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import lists, sampled_from
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.unit.filter.multiplexercase import Module, MultiplexerCase
from umbcmail.examination import Action, ModuleError, Opinion, Rank
from umbcmail.filter import commands
from umbcmail.filter.answers import (
    ChangeHeader,
    Disposition,
    InsertHeader,
    Progress,
    Quarantine,
    ReplyCode,
)
from umbcmail.filter.message import splitContent
from umbcmail.filter.negotiation import (
    ADDHDRS,
    ALL_ACTIONS,
    ALL_STEPS,
    CHGHDRS,
    HDR_LEADSPC,
    KEEPS,
    NODATA,
    NOUNKNOWN,
    QUARANTINE,
    UNANSWERED,
    Negotiation,
)

ACCEPT = Disposition.ACCEPT
VIRUS = Opinion(Rank.VIRUS, Action.REFUSE, "Eicar", "Message infected: Eicar")


class ProtocolTests(MultiplexerCase):
    """What is said when."""

    def test_negotiation(self) -> None:
        """Nothing is answered before the end of a message, and only what is needed is asked for."""
        answer = self.begin(Module())
        wanted = sum(UNANSWERED.values()) | NODATA | NOUNKNOWN | HDR_LEADSPC
        self.assertEqual((answer.version, answer.steps), (6, wanted))
        self.assertFalse(answer.actions & ~(ADDHDRS | CHGHDRS | QUARANTINE | 0x100))
        assert answer.macros is not None
        self.assertIn(b"i", answer.macros[b"R"], "Postfix knows it from there on")
        self.assertIn(KEEPS, answer.macros[b"C"], "another client may follow")
        self.assertEqual(self.tell(self.client(), self.message()), [ACCEPT])

    def test_oldMTA(self) -> None:
        """An MTA that waits for answers gets one to each command, and its values have no blank."""
        module = Module()
        self.begin(module, offer=Negotiation(2, 0x1F, 0x7F))
        said = self.tell(self.client(), self.message((b"Subject", b"a\n\tb")))
        self.assertEqual(said, [Disposition.CONTINUE] * 8 + [ACCEPT])
        self.assertEqual(module.seen[0].content.data, b"Subject: a\r\n\tb\r\n\r\ntext\r\n")

    def test_examined(self) -> None:
        """Modules see the whole message, and what is known of it."""
        module = Module()
        self.begin(module)
        fields = ((b"From", b" a@b.test"), (b"X-8", b"\xff"), (b"Subject", b"  two\n\tlines "))
        self.tell(self.client(), self.message(*fields, body=b"a\0b\r\n"))
        [seen] = module.seen
        self.assertEqual(seen.content.data, b"From: a@b.test\r\nX-8:\xff\r\nSubject:  two\r\n\tlines \r\n\r\na\0b\r\n")
        self.assertEqual(seen.at, 49)
        self.assertEqual(seen.content.data[seen.at :], b"a\0b\r\n")
        self.assertEqual((seen.id, seen.sender, seen.recipients), ("q1", "s@z.test", ("x@y.test",)))
        self.assertEqual(
            (seen.client.address, seen.client.name, seen.client.helo), ("192.0.2.1", "c.test", "helo.test")
        )
        self.assertEqual(seen.hostName, "mx.y.test")

    @given(
        lists(sampled_from([b"A: 1", b"B :2", b"C:", b"D: a\r\n\tb", b"x\0y: \0", b"no field", b"", b" "]), max_size=6),
        sampled_from([b"\r\n\r\ntext\r\n", b"\r\n", b"\r\n\r\n", b"", b"\r\n\r\n.\0\xff"]),
    )
    def test_inOnePiece(self, lines: list[bytes], body: bytes) -> None:
        """Our own MTA sends a message in one piece, and modules see what they see when it comes
        field by field."""
        octets = b"\r\n".join(lines) + body
        fields, at, _ = splitContent(octets, True)
        parts = [*commands.headers(fields, True), commands.END_HEADER]
        parts += [commands.body(octets[at:])] if octets[at:] else []
        seen = []
        for message in ([*parts, commands.END_BODY], [commands.whole(octets)]):
            module = Module()
            self.begin(module)
            said = self.tell(self.client(), commands.mail(b"<s@z.test>"), commands.rcpt(b"<x@y.test>"), *message)
            self.assertEqual(said, [ACCEPT])
            [examined] = module.seen
            seen.append((examined.fields, examined.content.data[examined.at :], examined.at, examined.content.size))
            if b" :" not in octets and b"\0" not in octets[:at]:
                seen[-1] += (examined.content.data,)
        self.assertEqual(*seen)

    def test_severalMessages(self) -> None:
        """Of one message nothing is left in the next, after an ABORT neither; of the client
        all is left."""
        module = Module()
        self.begin(module)
        self.tell(self.client(), self.message(), self.message((b"X-B", b" 2"), body=b"", id=b"q2"))
        self.tell(commands.mail(b"<gone@z.test>"), commands.header(b"X-C", b" 3"), commands.body(b"x"), commands.ABORT)
        self.tell(commands.header(b"X-D", b" 4"), commands.END_BODY)
        self.assertEqual([seen.id for seen in module.seen], ["q1", "q2", "mx-1"])
        self.assertEqual(
            [seen.content.data for seen in module.seen],
            [b"Subject: a\r\n\r\ntext\r\n", b"X-B: 2\r\n\r\n", b"X-D: 4\r\n\r\n"],
        )
        self.assertEqual({seen.client.address for seen in module.seen}, {"192.0.2.1"})
        self.assertEqual(module.seen[2].sender, "")

    def test_newConnection(self) -> None:
        """QUIT_NC: another client comes by the same connection."""
        module = Module()
        self.begin(module)
        self.tell(self.client(), self.message(), commands.QUIT_NEW_CONNECTION)
        local = commands.connect(b"localhost", commands.NO_FAMILY)
        self.assertEqual(self.tell(local, self.message()), [ACCEPT])
        self.assertEqual(module.seen[1].client.address, "")
        self.assertEqual(module.seen[1].client.helo, "")

    def test_quit(self) -> None:
        """QUIT ends it."""
        self.begin(Module())
        self.tell(self.client(), commands.QUIT)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.gate.sessions, [])

    def test_garbage(self) -> None:
        """What makes no sense ends the connection: the MTA does as it does without a filter."""
        for octets in (bytes(5), b"STRE", b"\xff\xff\xff\xff", commands.packet(b"Z"), commands.packet(b"H", b"x")):
            self.begin(Module())
            self.assertEqual(self.tell(octets + bytes(8)), [], octets)
            self.assertTrue(self.transport.isAborted, octets)
            self.assertEqual(self.gate.tally.broken, 1)
        self.connect()
        self.tell(commands.helo(b"x"))
        self.assertTrue(self.transport.isAborted, "no negotiation")

    def test_idle(self) -> None:
        """An MTA that is silent for two hours is gone."""
        self.begin(Module())
        self.clock.advance(7100)
        self.tell(self.client())
        self.clock.advance(7100)
        self.assertFalse(self.transport.isAborted)
        self.clock.advance(101)
        self.assertTrue(self.transport.isAborted)

    def test_noRoom(self) -> None:
        """There may be too many connections."""
        self.begin(Module())
        self.gate.hasRoom = False
        self.connect()
        self.assertTrue(self.transport.isAborted)
        self.assertEqual(len(self.gate.sessions), 1)

    def test_drain(self) -> None:
        """At the end a message that is under way is answered first."""
        done: Deferred[Opinion] = Deferred()
        self.begin(Module(done))
        self.tell(self.client(), self.message())
        self.session.drain()
        self.assertFalse(self.transport.disconnecting)
        done.callback(Opinion())
        self.assertEqual(self.heard(), [ACCEPT])
        self.assertTrue(self.transport.disconnecting)
        self.begin(Module())
        self.session.drain()
        self.assertTrue(self.transport.disconnecting, "nothing is under way")


class SizeTests(MultiplexerCase):
    """Large messages."""

    def test_file(self) -> None:
        """What is too large for memory is in a file, whole."""
        found: list[bytes] = []
        done: Deferred[Opinion] = Deferred()
        module = Module(done)
        self.begin(module)
        self.tell(self.client(), self.message(body=b"a" * 2400 + b"b" * 2400))
        self.work()
        [seen] = module.seen
        self.assertIsNone(seen.content.data)
        self.assertEqual(seen.content.size, 4814)
        reader = seen.content.open()
        done.callback(Opinion())
        self.assertEqual(self.heard(), [ACCEPT])
        self.assertRaises(ValueError, seen.content.open)
        for _ in range(2):
            reader.read().addCallback(found.append)
            self.work()
        reader.close()
        self.assertEqual(found, [b"Subject: a\r\n\r\n" + b"a" * 2400 + b"b" * 2400, b""], "also after the end")

    def test_tooLarge(self) -> None:
        """What is over the limit is refused, and examined by nobody; the next is not."""
        module = Module()
        self.begin(module)
        self.tell(self.client(), self.message(body=b"a" * 12000))
        self.work()
        self.tell()
        self.assertEqual(module.seen, [])
        self.assertEqual(self.tell(self.message()), [ACCEPT])
        self.assertIn("too large", self.logged())

    def test_tooLargeAnswer(self) -> None:
        """Its answer is for good."""
        self.begin(Module())
        [said] = self.tell(self.client(), self.message(body=b"a" * 12000))
        self.assertEqual(said, ReplyCode(b"552 5.3.4 The message is too large to be examined"))
        [said] = self.tell(self.message(*[(b"X-Long", b"x" * 60000)] * 20))
        self.assertIn(b"552 5.3.4", said.text)

    def test_slowDisk(self) -> None:
        """Nothing is read while the disk can't take it."""
        self.begin(Module())
        self.gate.limit = 10_000_000
        self.tell(self.client(), commands.mail(b"<>"), commands.END_HEADER)
        chunk = commands.body(b"x" * 60000)
        self.tell(*[chunk] * 17)
        self.assertEqual(self.transport.producerState, "producing")
        self.tell(*[chunk] * 20)
        self.assertEqual(self.transport.producerState, "paused")
        self.work()
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.tell(commands.END_BODY), [ACCEPT])

    def test_fullDisk(self) -> None:
        """What can't be kept is delayed."""
        self.begin(Module())
        self.gate.memory = 10
        self.tell(self.client(), commands.mail(b"<>"), commands.body(b"x" * 100))
        kept = self.session._hearing.kept
        assert kept is not None
        kept._folder = "/nonexistent"
        self.work()
        [said] = self.tell(commands.END_BODY)
        self.assertIn(b"451 4.7.1", said.text)
        self.assertIn("trouble id=mx-1", self.logged())


class AnswerTests(MultiplexerCase):
    """What becomes of messages."""

    def test_merged(self) -> None:
        """Modules work side by side, and what one refuses is refused."""
        first: Deferred[Opinion] = Deferred()
        module = Module(VIRUS)
        self.begin(Module(first), module)
        self.assertEqual(self.tell(self.client(), self.message()), [])
        self.assertEqual(len(module.seen), 1)
        first.callback(Opinion(Rank.SPAM, Action.REFUSE, "spam", "This is spam", 20.0))
        self.assertEqual(self.heard(), [ReplyCode(b"550 5.7.1 Message infected: Eicar")])
        self.assertIn("examined id=q1 socket=mx rank=virus action=refuse found=Eicar score=20.0", self.logged())

    def test_forged(self) -> None:
        """What only we may have set is removed, from the last to the first, by its number among
        fields of the name; and then ours is added."""
        ours = Opinion(headers=(("X-Virus-Status", "Clean"),))
        self.begin(Module(ours), Module(claims=(b"x-spam-",)), servers=["mx.y.test"])
        fields = (
            (b"X-Virus-Status", b" a"),
            (b"X-Virus", b" stays"),
            (b"x-virus-status ", b" b"),
            (b"Authentication-Results", b" other.test; spf=pass"),
            (b"X-Spam-Flag", b" NO"),
            (b"Authentication-Results", b" (ours (indeed)) MX.y.test (x) 1; spf=pass"),
        )
        self.assertEqual(
            self.tell(self.client(), self.message(*fields)),
            [
                ChangeHeader(2, b"Authentication-Results", b""),
                ChangeHeader(1, b"X-Spam-Flag", b""),
                ChangeHeader(2, b"x-virus-status", b""),
                ChangeHeader(1, b"X-Virus-Status", b""),
                InsertHeader(1, b"X-Virus-Status", b" Clean"),
                ACCEPT,
            ],
        )
        self.assertEqual(self.gate.tally.removed, 4)

    def test_otherActions(self) -> None:
        """Thrown away; put aside, where the MTA can."""
        self.begin(Module(Opinion(Rank.VIRUS, Action.DISCARD, "Eicar")))
        self.assertEqual(self.tell(self.client(), self.message()), [Disposition.DISCARD])
        aside = Opinion(Rank.VIRUS, Action.QUARANTINE, "Eicar")
        self.begin(Module(aside))
        self.assertEqual(self.tell(self.client(), self.message()), [Quarantine(b"Eicar"), ACCEPT])
        self.begin(Module(aside), offer=Negotiation(6, ALL_ACTIONS & ~QUARANTINE, ALL_STEPS))
        [said] = self.tell(self.client(), self.message())
        self.assertIn(b"451 4.7.1", said.text)

    def test_text(self) -> None:
        """What a client is told can't be more than one line of ASCII, and percents are doubled."""
        self.begin(Module(Opinion(Rank.VIRUS, Action.REFUSE, "x", "100% bad\r\n250 ok \xe9")))
        [said] = self.tell(self.client(), self.message())
        self.assertEqual(said, ReplyCode(b"550 5.7.1 100%% bad??250 ok ?"))

    def test_progress(self) -> None:
        """While modules are at work the MTA hears so, and only then."""
        done: Deferred[Opinion] = Deferred()
        self.begin(Module(done))
        self.tell(self.client())
        self.clock.advance(60)
        self.assertEqual(self.heard(), [])
        self.tell(self.message())
        for _ in range(3):
            self.clock.advance(5)
            self.assertEqual(self.heard(), [Progress()])
        done.callback(Opinion())
        self.assertEqual(self.heard(), [ACCEPT])
        self.clock.advance(60)
        self.assertEqual(self.heard(), [])

    def test_gone(self) -> None:
        """When the MTA is gone nobody goes on."""
        cancelled: list[object] = []
        self.begin(Module(Deferred(cancelled.append)), Module(Deferred(cancelled.append)))
        self.tell(self.client(), self.message())
        self.session.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(cancelled), 2)
        self.assertEqual(self.gate.sessions, [])
        self.assertIn("the MTA is gone", self.logged())
        self.assertEqual(self.gate.tally.actions["gone"], 1)
        self.assertNotIn("bug", self.logged())

    def test_talksOn(self) -> None:
        """What an MTA says while its message is examined waits, and it is not read on."""
        done: Deferred[Opinion] = Deferred()
        module = Module(done)
        self.begin(module)
        self.tell(self.client(), self.message(), self.message(id=b"q2"))
        self.assertEqual(self.transport.producerState, "paused")
        module.says = VIRUS
        done.callback(Opinion())
        self.assertEqual(self.heard(), [ACCEPT, ReplyCode(b"550 5.7.1 Message infected: Eicar")])
        self.assertEqual(self.transport.producerState, "producing")


class FailureTests(MultiplexerCase):
    """Modules that can't."""

    def said(self, failure: str, says: object) -> list[object]:
        """What a message is answered."""
        self.begin(Module(says), Module(claims=()), failure=failure)
        return self.tell(self.client(), self.message())

    def test_policies(self) -> None:
        """What becomes of mail is as configured."""
        down = ModuleError("no such socket")
        [said] = self.said("delay", down)
        self.assertEqual(said, ReplyCode(b"451 4.7.1 Service unavailable, try again later"))
        self.assertEqual(self.said("accept", down), [ACCEPT])
        [said] = self.said("refuse", down)
        self.assertEqual(said, ReplyCode(b"550 5.7.1 The message can't be examined"))
        tag = InsertHeader(1, b"X-Virus-Status", b" Unknown, k0 could not examine it")
        self.assertEqual(self.said("tag", down), [tag, ACCEPT])
        self.assertIn('filter-failed id=q1 filter="module m0" kind=down why="no such socket" policy=tag', self.logged())

    def test_bug(self) -> None:
        """What we are to blame for refuses nothing."""
        [said] = self.said("refuse", ZeroDivisionError())
        self.assertIn(b"451 4.7.1", said.text)  # type: ignore[attr-defined]
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertIn(" bug id=q1 ", self.logged())

    def test_slow(self) -> None:
        """A module has its time."""
        self.assertEqual(self.said("delay", Deferred()), [])
        self.clock.pump([5] * 6)
        self.assertEqual(self.heard()[-1], ReplyCode(b"451 4.7.1 Service unavailable, try again later"))
        self.assertIn("kind=slow", self.logged())

    def test_deadline(self) -> None:
        """So has a message."""
        self.begin(Module(Deferred()))
        self.gate.deadline = 20.0
        self.tell(self.client(), self.message())
        self.clock.pump([5] * 4)
        self.assertEqual(self.heard()[-1], ReplyCode(b"451 4.7.1 Service unavailable, try again later"))
        self.assertNotIn(" bug ", self.logged())

    def test_virusBeatsFailure(self) -> None:
        """What is refused is refused, whoever else could not examine it."""
        self.begin(Module(VIRUS), Module(ModuleError("down")))
        self.assertEqual(self.tell(self.client(), self.message()), [ReplyCode(b"550 5.7.1 Message infected: Eicar")])
