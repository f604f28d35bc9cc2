"""What a session asks the filters, and what clients hear: L{umbcmail.accept.mailing}."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.accept.test_session import SessionCase
from umbcmail import reply
from umbcmail.content import MemoryContent
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.interfaces import IContent, IFilters, IFilterSession
from umbcmail.verdict import Verdict, discard, refuse

BEGIN = b"EHLO c.test\r\nMAIL FROM:<s@z.test> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<x@y.test> NOTIFY=NEVER\r\n"
NO = reply.FILTER_REFUSES
LATER = reply.FILTER_LATER


@implementer(IFilters, IFilterSession)
class FakeFilters:
    """Filters of one session.

    @ivar asked: the questions, in order.
    @ivar answers: by question; what is not in it has no answer.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}

    def _answer(self, what: str, *values: Any) -> Any:
        self.asked.append((what, *values))
        return self.answers.get(what)

    def session(self, id: str, port: str, client: Client) -> FakeFilters:
        """See L{IFilters.session}."""
        return self

    def introduced(self, client: Client) -> None:
        """See L{IFilterSession.introduced}."""
        self._answer("introduced", client.helo)

    def mail(self, id: str, client: Client, mechanism: str, sender: str, parameters: Sequence[str]) -> Any:
        """See L{IFilterSession.mail}."""
        return self._answer("mail", id, sender, *parameters)

    def recipient(self, recipient: Recipient) -> Any:
        """See L{IFilterSession.recipient}."""
        return self._answer("recipient", recipient.address, recipient.notify)

    def refused(self, recipient: Recipient, answer: Any) -> Any:
        """See L{IFilterSession.refused}."""
        return self._answer("refused", recipient.address, answer.code)

    def data(self) -> Any:
        """See L{IFilterSession.data}."""
        return self._answer("data")

    def unknown(self, line: bytes) -> Any:
        """See L{IFilterSession.unknown}."""
        return self._answer("unknown", line)

    def message(self, envelope: Envelope, content: IContent) -> Any:
        """See L{IFilterSession.message}."""
        answer = self._answer("message", envelope.id)
        return answer if isinstance(answer, Deferred) else succeed(answer or (envelope, content))

    def ended(self) -> None:
        """See L{IFilterSession.ended}."""
        self._answer("ended")

    def closed(self) -> None:
        """See L{IFilterSession.closed}."""
        self._answer("closed")


class FilteringTests(SessionCase):
    """Sessions with filters."""

    def setUp(self) -> None:
        """A port with them."""
        SessionCase.setUp(self)
        self.filters = FakeFilters()
        verifyObject(IFilters, self.filters)
        verifyObject(IFilterSession, self.filters)
        self.rules = replace(self.rules, filters=self.filters)
        self.factory._rules = self.rules

    def kinds(self) -> list[str]:
        """The questions without their values."""
        return [each[0] for each in self.filters.asked]

    def test_questions(self) -> None:
        """All that filters are asked, in order, and with what."""
        self.assertEqual(
            self.talk(BEGIN + b"DATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n"), [250, 250, 250, 354, 250, 221]
        )
        self.assertEqual(
            self.filters.asked,
            [
                ("introduced", "c.test"),
                ("mail", "c0-1", "s@z.test", "SIZE=9", "BODY=8BITMIME"),
                ("recipient", "x@y.test", "NEVER"),
                ("data",),
                ("message", "c0-1"),
                ("ended",),
            ],
        )
        self.assertEqual(len(self.intake.taken), 1)

    def test_nothingWaits(self) -> None:
        """Without anything to wait for all replies to a group go out in one write."""
        session = self.connect()
        session.transport.writes = 0
        session.dataReceived(BEGIN + b"DATA\r\n")
        self.assertEqual(session.transport.writes, 1)

    def test_refused(self) -> None:
        """MAIL, RCPT, DATA and the end of the message, now or later; the session is sound."""
        rest = {"mail": [503, 503], "recipient": [503], "data": [], "message": []}
        for what in ("mail", "recipient", "data", "message"):
            for isLater in (False, True):
                self.setUp()
                waiting: Deferred[Any] = Deferred()
                self.filters.answers = {what: waiting if isLater else NO}
                session = self.connect()
                self.said(session)
                session.dataReceived(BEGIN + b"DATA\r\n" + (b"\r\nx\r\n.\r\n" if what == "message" else b""))
                if isLater:
                    waiting.callback(NO)
                before = {"mail": [250], "recipient": [250, 250], "data": [250] * 3, "message": [250] * 3 + [354]}[what]
                self.assertEqual(self.codes(session), before + [550] + rest[what], what)
                self.assertEqual(self.intake.taken, [])
                self.filters.answers = {}
                session.dataReceived(b"RSET\r\n" + BEGIN[13:] + b"DATA\r\n\r\nx\r\n.\r\n")
                self.assertEqual(self.codes(session), [250, 250, 250, 354, 250], what)
                self.log.flush()
                logged = b"".join(self.lines)
                self.assertEqual(logged.count(b'reply="550 5.7.1 Command rejected"'), 1)
                self.assertEqual(self.rules.tally.refused, what == "message")

    def test_oneRecipient(self) -> None:
        """A refused RCPT is one recipient less."""
        self.filters.answers = {"recipient": LATER}
        session = self.connect()
        self.said(session)
        session.dataReceived(BEGIN)
        self.filters.answers = {}
        session.dataReceived(b"RCPT TO:<z@y.test>\r\nDATA\r\n\r\nx\r\n.\r\n")
        self.assertEqual(self.codes(session), [250, 250, 451, 250, 354, 250])
        [(envelope, _)] = self.intake.taken
        self.assertEqual([each.address for each in envelope.recipients], ["z@y.test"])

    def test_closing(self) -> None:
        """421 of a filter ends the session."""
        self.filters.answers = {"mail": reply.FILTER_CLOSES}
        session = self.connect()
        self.said(session)
        session.dataReceived(BEGIN)
        self.assertEqual(self.codes(session), [250, 421])
        self.assertTrue(session.transport.disconnecting)

    def test_ourOwnRefusals(self) -> None:
        """What we refuse ourselves filters are told of only as such; of recipients that are
        thrown away not at all."""
        self.judge(refuse(reply.RELAYING_DENIED, "no"))
        self.filters.answers = {"refused": succeed(None)}
        self.assertEqual(self.talk(BEGIN), [250, 250, 550])
        self.assertEqual(self.filters.asked[-1], ("refused", "x@y.test", 550))
        self.setUp()
        self.judge(discard("no"))
        self.assertEqual(self.talk(BEGIN + b"DATA\r\n\r\nx\r\n.\r\n"), [250, 250, 250, 354, 250])
        self.assertEqual(self.kinds(), ["introduced", "mail", "data", "ended"])

    def judge(self, verdict: Verdict) -> None:
        """Have the policy say this of all recipients."""
        self.policy.judge = lambda client, sender, recipient: verdict  # type: ignore[method-assign]

    def test_wrongInItself(self) -> None:
        """A message that is too large is not shown, and the transaction is over for filters."""
        self.factory._rules = replace(self.rules, sizeLimit=1000)
        self.assertEqual(self.talk(BEGIN + b"DATA\r\n\r\n" + b"x" * 2000 + b"\r\n.\r\n"), [250, 250, 250, 354, 552])
        self.assertEqual(self.kinds()[-2:], ["data", "ended"])

    def test_edited(self) -> None:
        """What filters have made of a message is what is taken."""
        content = MemoryContent(b"new")
        envelope = Envelope("c0-1", "new@z.test", (Recipient("a@y.test"),), 0.0, size=3)
        self.filters.answers = {"message": (envelope, content)}
        self.assertEqual(self.talk(BEGIN + b"DATA\r\n\r\nx\r\n.\r\n")[-1], 250)
        self.assertEqual(self.intake.taken, [(envelope, b"new")])

    def test_chunks(self) -> None:
        """With BDAT there is no question about DATA."""
        self.assertEqual(self.talk(BEGIN + b"BDAT 2 LAST\r\nx\n"[:-1] + b"\n"), [250, 250, 250, 550])
        self.setUp()
        self.assertEqual(self.talk(BEGIN + b"BDAT 3 LAST\r\nx\r\n"), [250, 250, 250, 250])
        self.assertEqual(self.kinds(), ["introduced", "mail", "recipient", "message", "ended"])

    def test_unknown(self) -> None:
        """Filters may have words for what is no command, now or later."""
        self.assertEqual(self.talk(b"VERB x\r\n"), [500])
        self.filters.answers = {"unknown": reply.reply(502, "5.5.1", "Not here")}
        self.assertEqual(self.talk(b"VERB x\r\n"), [502])
        self.filters.answers = {"unknown": succeed(None)}
        self.assertEqual(self.talk(b"VERB x\r\nNOOP\r\n"), [500, 250])
        self.assertEqual(self.filters.asked, [("unknown", b"VERB x")] * 3)

    def test_xclient(self) -> None:
        """Somebody who speaks for another client, and says its HELO, needs none of its own."""
        self.factory._rules = replace(self.rules, isFilter=lambda address: True)
        self.talk(b"EHLO proxy.test\r\nXCLIENT ADDR=192.0.2.9\r\nXCLIENT HELO=c.test\r\nMAIL FROM:<s@z.test>\r\n")
        self.assertEqual(
            self.filters.asked,
            [("introduced", "proxy.test"), ("introduced", "c.test"), ("mail", "c0-1", "s@z.test")],
        )

    def test_ends(self) -> None:
        """RSET, EHLO, QUIT and the loss of the connection end transactions and sessions."""
        session = self.connect()
        session.dataReceived(BEGIN + b"RSET\r\n" + BEGIN + BEGIN[:13] + b"RSET\r\n")
        session.connectionLost()
        whole = ["introduced", "mail", "recipient"]
        self.assertEqual(self.kinds(), [*whole, "ended", *whole, "ended", "introduced", "closed"])
