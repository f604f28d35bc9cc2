"""Tests of what scanners are asked and say: L{umbcmail.filter.modules}, without daemons."""

from __future__ import annotations

import base64
from time import mktime, strptime
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.filter.filtercase import BODY
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client
from umbcmail.examination import Action, Examined, ModuleError, Rank
from umbcmail.filter.modules import clamav, clamd, pattern, spamassassin, spamd
from umbcmail.filter.modules.pattern import EICAR, GTUBE, Pattern
from umbcmail.filter.multiplexer.settings import MODULE_OPTIONS
from umbcmail.maillog import MailLog
from umbcmail.options import Option

CLIENT = Client("192.0.2.1", 1025, "c.test", "helo.test", True)


def settings(options: tuple[Option, ...], **named: Any) -> dict[str, Any]:
    """Defaults, and what is different."""
    found = {o.name: o.kind.parse(o.default) if o.default is not None else None for o in (*MODULE_OPTIONS, *options)}
    return found | {"name": "m"} | {name.replace("_", "-"): value for name, value in named.items()}


def examined(content: bytes, recipients: tuple[str, ...] = ("ann+x@y.test",)) -> Examined:
    """A message."""
    at = content.index(b"\r\n\r\n") + 4
    fields = tuple((name, value) for name, _, value in (line.partition(b":") for line in content[:at].split(b"\r\n")))
    return Examined("q1", CLIENT, "s@z.test", recipients, "mx.y.test", fields[:-2], at, MemoryContent(content))


MESSAGE = examined(b"Subject: a\r\n\r\n" + BODY)


class ClamdTests(SynchronousTestCase):
    """clamd's protocol."""

    def test_found(self) -> None:
        """Only two replies say something of a message; all else is an error."""
        self.assertEqual(clamd.foundIn(b"stream: OK\0"), "")
        self.assertEqual(clamd.foundIn(b"stream: Eicar-Test FOUND\0"), "Eicar-Test")
        self.assertEqual(clamd.foundIn(b"stream: a b\x07 FOUND\0"), "a b?")
        for reply in (
            b"",
            b"stream: OK",
            b"stream: Eicar FOUND",
            b"stream: OK\0stream: OK\0",
            b"INSTREAM size limit exceeded. ERROR\0",
            b"stream: Can't allocate memory ERROR\0",
            b"stream:  FOUND\0",
            b"stream: \0",
            b"OK\0",
            b"COMMAND READ TIMED OUT\n",
            b"220 mx ESMTP\r\n",
        ):
            self.assertRaises(ModuleError, clamd.foundIn, reply)

    def test_version(self) -> None:
        """The age of signatures is that of the daily ones, if there are any."""
        made = mktime(strptime("2026-01-05 09:12:33", "%Y-%m-%d %H:%M:%S"))
        version = clamd.versionIn(b"ClamAV 1.4.3/27500/Mon Jan  5 09:12:33 2026\0")
        self.assertEqual(version, clamd.Version("1.4.3", 27500, made))
        self.assertEqual(clamd.versionIn(b"ClamAV 1.4.3\0"), clamd.Version("1.4.3"))
        for reply in (b"", b"PONG\0", b"ClamAV 1.4.3/27500/yesterday\0", b"UNKNOWN COMMAND\0"):
            self.assertRaises(ModuleError, clamd.versionIn, reply)


class SpamdTests(SynchronousTestCase):
    """spamd's protocol."""

    def test_judgement(self) -> None:
        """Verdict, score, threshold, rules."""
        reply = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: True ; 15.2 / 5.0\r\n\r\nA,B_2,C"
        self.assertEqual(spamd.judgementIn(reply), spamd.Judgement(True, 15.2, 5.0, ("A", "B_2", "C")))
        reply = b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; -0.0 / 5.0\r\nContent-length: 2\r\n\r\n\r\n"
        self.assertEqual(spamd.judgementIn(reply), spamd.Judgement(False, 0.0, 5.0))

    def test_errors(self) -> None:
        """What is not all there, or says nothing, is no judgement."""
        for reply in (
            b"",
            b"SPAMD/1.1 79 EX_TIMEOUT\r\n",
            b"SPAMD/1.0 76 Bad header line: x\r\n",
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\n\r\nA,B_2,C",
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: True ; 15.2 / 5.0\r\n\r\nA,B_2",
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: Maybe ; 15.2 / 5.0\r\n\r\nA,B_2,C",
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: True ; nan / 5.0\r\n\r\nA,B_2,C",
            b"SPAMD/1.1 0 EX_OK\r\nContent-length: 7\r\nSpam: True ; 15.2 / 5.0\r\n\r\nA\r\nX: y",
            b"stream: OK\0",
        ):
            self.assertRaises(ModuleError, spamd.judgementIn, reply)

    def test_received(self) -> None:
        """The field for the client has nothing that the client could put into it."""
        client = Client("2001:db8::1", 1, "", "a)\r\nX: y (", True, "TLSv1.3 X", "ann")
        field = spamd.received(client, "mx.y.test", "q1", 0.0)
        self.assertEqual(
            field,
            b"Received: from a???X:?y?? (unknown [IPv6:2001:db8::1])\r\n"
            b"\tby mx.y.test (umbcmail) with ESMTPSA id q1;\r\n\tThu, 01 Jan 1970 00:00:00 -0000\r\n",
        )

    def test_headers(self) -> None:
        """As SpamAssassin writes them, folded."""
        symbols = tuple(f"A_LONG_NAME_OF_A_RULE_{n}" for n in range(4))
        found = spamassassin.headersOf(spamd.Judgement(True, 6.04, 5.0, symbols))
        status = (
            "Yes, score=6.0 required=5.0 tests=A_LONG_NAME_OF_A_RULE_0,\n\tA_LONG_NAME_OF_A_RULE_1,"
            "A_LONG_NAME_OF_A_RULE_2,A_LONG_NAME_OF_A_RULE_3"
        )
        self.assertEqual(dict(found)["X-Spam-Score"], "6.0")
        self.assertEqual(dict(found)["X-Spam-Flag"], "YES")
        self.assertEqual(dict(found)["X-Spam-Status"].replace("\n\t", ""), status.replace("\n\t", ""))
        self.assertTrue(all(len(line) <= 80 for line in dict(found)["X-Spam-Status"].split("\n")))
        found = spamassassin.headersOf(spamd.Judgement(False, -0.04, 5.0))
        self.assertEqual(found, (("X-Spam-Status", "No, score=0.0 required=5.0 tests=none"), ("X-Spam-Score", "0.0")))


class PatternTests(SynchronousTestCase):
    """The test strings."""

    def said(self, content: bytes) -> tuple[Rank, Action]:
        """What the module says."""
        found = self.successResultOf(Pattern().examine(examined(b"Subject: a\r\n\r\n" + content)))
        return found.rank, found.action

    def test_found(self) -> None:
        """As they are, in quoted-printable, in base64."""
        clean, virus, spam = (Rank.CLEAN, Action.ACCEPT), (Rank.VIRUS, Action.REFUSE), (Rank.SPAM, Action.REFUSE)
        self.assertEqual(self.said(b"text"), clean)
        self.assertEqual(self.said(EICAR), virus)
        self.assertEqual(self.said(b"a\r\n" + GTUBE + b"\r\n"), spam)
        self.assertEqual(self.said(base64.encodebytes(b"a" * 100 + EICAR)), virus)
        self.assertEqual(self.said(b"text\r\n\r\n" + base64.encodebytes(GTUBE).replace(b"\n", b"\r\n")), spam)
        self.assertEqual(self.said(EICAR.replace(b"-", b"=2D").replace(b"STANDARD", b"STAN=\r\nDARD")), virus)
        self.assertEqual(self.said(EICAR[:-1] + b"." + EICAR[-1:]), clean)

    def test_honest(self) -> None:
        """Nobody is told that a message is clean."""
        found = self.successResultOf(Pattern().examine(MESSAGE))
        self.assertEqual(found.headers, (("X-Virus-Status", "Unknown, only looked at for test strings"),))
        self.assertIn("no scanner", pattern.__doc__ or "")


class Transport(StringTransport):
    """One that can be closed in more ways."""

    def abortConnection(self) -> None:
        """At once."""

    def loseWriteConnection(self) -> None:
        """One way."""


class Reactor(MemoryReactorClock):
    """One that keeps its clients."""

    def connected(self) -> tuple[Any, Transport]:
        """The last client, connected."""
        factory = self.tcpClients[-1][2] if self.tcpClients else self.unixClients[-1][1]
        protocol = factory.buildProtocol(None)
        transport = Transport()
        protocol.makeConnection(transport)
        return protocol, transport


class DaemonTests(SynchronousTestCase):
    """The modules that ask daemons."""

    def setUp(self) -> None:
        """A log."""
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, Clock())

    def scanner(self, **named: Any) -> clamav.ClamAV:
        """ClamAV."""
        return clamav.ClamAV(settings(clamav.OPTIONS, **named), "mx.y.test", self.reactor, self.log)

    def scan(self, reply: bytes, lost: type[Exception] = ConnectionDone, **named: Any) -> Any:
        """What ClamAV says of a message."""
        asked = self.scanner(**named).examine(MESSAGE)
        protocol, transport = self.reactor.connected()
        content = MESSAGE.content.data
        self.assertEqual(transport.value(), b"zINSTREAM\0" + len(content).to_bytes(4, "big") + content + b"\0\0\0\0")
        protocol.dataReceived(reply)
        protocol.connectionLost(Failure(lost()))
        return asked

    def test_clamav(self) -> None:
        """Clean, infected with each setting, an error even when the end is a reset."""
        clean = self.successResultOf(self.scan(b"stream: OK\0"))
        self.assertEqual(clean.headers, (("X-Virus-Scanned", "ClamAV at mx.y.test"), ("X-Virus-Status", "Clean")))
        found = b"stream: Eicar FOUND\0"
        for setting, action in (("refuse", Action.REFUSE), ("discard", Action.DISCARD), ("tag", Action.ACCEPT)):
            said = self.successResultOf(self.scan(found, ConnectionLost, infected=setting))
            self.assertEqual((said.rank, said.action, said.found), (Rank.VIRUS, action, "Eicar"))
            self.assertIn(("X-Virus-Status", "Infected, Eicar"), said.headers)
        self.failureResultOf(self.scan(b""), ModuleError)
        self.failureResultOf(self.scan(b"INSTREAM size limit exceeded. ERROR\0", ConnectionLost), ModuleError)

    def test_oversize(self) -> None:
        """What is too large is not sent, and is not called clean."""
        for policy, action in (("tag", Action.ACCEPT), ("delay", Action.DELAY), ("refuse", Action.REFUSE)):
            said = self.scanner(scan_limit=10, oversize=policy).examine(MESSAGE)
            self.assertEqual((said.action, said.isExamined), (action, False))  # type: ignore[union-attr]
        self.assertEqual(self.reactor.unixClients, [])

    def test_concurrency(self) -> None:
        """No more messages than may be are with the daemon; one that is not waited for any more
        makes room."""
        scanner = self.scanner(concurrency=1)
        first: Any = scanner.examine(MESSAGE)
        second: Any = scanner.examine(MESSAGE)
        self.assertEqual(len(self.reactor.unixClients), 1)
        second.cancel()
        self.failureResultOf(second)
        third: Any = scanner.examine(MESSAGE)
        self.reactor.connected()
        first.cancel()
        self.failureResultOf(first)
        self.assertEqual(len(self.reactor.unixClients), 2)
        protocol, _ = self.reactor.connected()
        protocol.dataReceived(b"stream: OK\0")
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(third)

    def version(self, reply: bytes, scanner: clamav.ClamAV) -> None:
        """The daemon says what it is."""
        looked = scanner.look()
        protocol, transport = self.reactor.connected()
        self.assertEqual(transport.value(), b"zVERSION\0")
        protocol.dataReceived(reply)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(looked)

    def test_signatures(self) -> None:
        """Signatures that are too old are told of, once in the log."""
        scanner = self.scanner()
        self.version(b"ClamAV 1.4.3/27500/Tue Nov 14 12:00:00 2023\0", scanner)
        self.assertEqual(scanner.condition(), "")
        [figure] = scanner.figures()
        self.assertLess(figure.value, 2 * 86400)
        self.reactor.advance(2 * 86400)
        for _ in range(2):
            self.version(b"ClamAV 1.4.3/27500/Tue Nov 14 12:00:00 2023\0", scanner)
        self.assertRegex(scanner.condition(), "^the signatures are [0-9]+ hours old$")
        self.version(b"ClamAV 1.4.3\0", scanner)
        self.assertIn("no official signatures", scanner.condition())
        self.version(b"", scanner)
        self.assertEqual(scanner.condition(), "clamd: it has closed the connection")
        self.log.flush()
        self.assertEqual(b"".join(self.lines).count(b"hours old"), 1)
        self.assertEqual(self.scanner(signature_age=0.0).condition(), "")

    def judge(self, reply: bytes, message: Examined = MESSAGE, **named: Any) -> tuple[bytes, Any]:
        """What SpamAssassin is told and says."""
        module = spamassassin.SpamAssassin(settings(spamassassin.OPTIONS, **named), "mx.y.test", self.reactor)
        asked: Any = module.examine(message)
        protocol, transport = self.reactor.connected()
        said = transport.value()
        protocol.dataReceived(reply)
        protocol.connectionLost(Failure(ConnectionDone()))
        return said, asked

    def test_spamassassin(self) -> None:
        """Spam is tagged, and refused or put aside from the scores that are set."""
        spam = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: True ; 15.2 / 5.0\r\n\r\nA"
        told, asked = self.judge(spam)
        head, _, message = told.partition(b"\r\n\r\n")
        self.assertEqual(head, b"SYMBOLS SPAMC/1.5\r\nContent-length: %d" % len(message))
        self.assertTrue(message.startswith(b"Received: from helo.test (c.test [192.0.2.1])\r\n\tby mx.y.test"))
        self.assertTrue(message.endswith(MESSAGE.content.data))
        said = self.successResultOf(asked)
        self.assertEqual((said.rank, said.action, said.score), (Rank.SPAM, Action.ACCEPT, 15.2))
        said = self.successResultOf(self.judge(spam, refuse_score=15.2, quarantine_score=10.0)[1])
        self.assertEqual((said.action, said.text), (Action.REFUSE, "This looks like spam, with a score of 15.2"))
        said = self.successResultOf(self.judge(spam, refuse_score=16.0, quarantine_score=10.0)[1])
        self.assertEqual((said.action, said.found), (Action.QUARANTINE, "spam score 15.2"))
        ham = spam.replace(b"True ; 15.2", b"False ; 0.3")
        said = self.successResultOf(self.judge(ham, refuse_score=16.0)[1])
        self.assertEqual((said.rank, said.action), (Rank.CLEAN, Action.ACCEPT))
        self.failureResultOf(self.judge(spam[:-1])[1], ModuleError)

    def test_user(self) -> None:
        """Whose settings count."""

        def user(message: Examined, setting: str) -> bytes:
            told, asked = self.judge(b"", message, user=setting)
            self.failureResultOf(asked, ModuleError)
            head = told.partition(b"\r\n\r\n")[0]
            return head.partition(b"User: ")[2]

        several = examined(b"A: b\r\n\r\n", ("ann@y.test", "bob@y.test"))
        odd = examined(b"A: b\r\n\r\n", ("-x\n@y.test",))
        self.assertEqual(user(MESSAGE, "ann"), b"ann")
        self.assertEqual(user(several, "ann"), b"ann")
        self.assertEqual(user(MESSAGE, "%user"), b"ann")
        self.assertEqual(user(MESSAGE, "%recipient"), b"ann+x@y.test")
        for message in (several, odd):
            self.assertEqual(user(message, "%user"), b"")
            self.assertEqual(user(message, "%recipient"), b"")
