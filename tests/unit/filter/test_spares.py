"""Tests of connections that serve several clients: L{umbcmail.filter.spares}."""

from __future__ import annotations

from dataclasses import replace

from tests.milters import ALL_NR, CLOSE, ScriptedFilter
from tests.unit.filter.filtercase import CLIENT, FilterCase
from umbcmail.filter import answers
from umbcmail.filter.multiplexer.hearing import answerTo
from umbcmail.filter.negotiation import ALL_ACTIONS, Negotiation
from umbcmail.filter.spares import KEPT, LIMIT


def ours(**script: bytes) -> ScriptedFilter:
    """It negotiates as the multiplexer does."""
    return ScriptedFilter(answerTo(Negotiation()), {letter.encode(): said for letter, said in script.items()})


class SparesTests(FilterCase):
    """One client after the other."""

    client = CLIENT

    def next(self, port: int = 2000) -> None:
        """The client goes, and another one comes."""
        self.session.closed()
        self.pump()
        self.client = replace(CLIENT, port=port)
        self.session = self.chain.session("c1", "delivery.mx", self.client)

    def hello(self) -> None:
        """The client introduces itself."""
        self.session.introduced(self.client)
        self.pump()

    def test_kept(self) -> None:
        """The multiplexer says that it can do with several, and hears of the next client in the
        same write as of its message."""
        filter = ours(W=answers.ACCEPT)
        self.begin(filter)
        self.whole()
        self.next(2001)
        self.whole()
        self.assertEqual(len(self.wires), 1)
        self.assertEqual(filter.letters(), "OCHMRWKCHMRW")
        self.assertEqual(self.wires[0].writes, 3, "the offer, and one for each message")
        self.assertIn((2001).to_bytes(2, "big"), filter.said(b"C")[1])

    def test_others(self) -> None:
        """Libmilter would not answer: each client has a connection of its own."""
        filters = [ScriptedFilter(Negotiation(6, ALL_ACTIONS, ALL_NR)), ScriptedFilter()]
        self.begin(list(filters))
        self.whole()
        self.next()
        self.whole()
        self.assertEqual([filter.letters()[-1] for filter in filters], ["Q", "E"])

    def test_configured(self) -> None:
        """What is known of another filter can be said."""
        filter = ScriptedFilter()
        self.begin(filter, keeps=True)
        self.whole()
        self.next()
        self.whole()
        self.assertEqual(filter.letters().replace("L", ""), "OCHMRTNBEKCHMRTNBE")

    def test_aborted(self) -> None:
        """A message that was not finished is aborted before the next client comes."""
        filter = ours(W=answers.ACCEPT)
        self.begin(filter)
        self.hello()
        self.assertIsNone(self.mail())
        self.session.ended()
        self.next()
        self.whole()
        self.assertEqual(filter.letters(), "OCHMAKCHMRW")

    def test_underWay(self) -> None:
        """A connection on which an answer is due is of no use for others."""
        filters = [ours(W=b""), ours()]
        self.begin(list(filters))
        self.hello()
        self.mail()
        self.rcpt()
        asked = self.session.message(*self.content())
        self.session.closed()
        self.pump()
        self.wires[0].lose()
        self.assertEqual(self.successResultOf(asked).code, 451)
        self.next()
        self.whole()
        self.assertEqual(filters[1].letters()[:3], "OCH")

    def test_closedMeanwhile(self) -> None:
        """A filter may close what nobody uses; that is no trouble, and the next client gets a new
        connection."""
        filters = [ours(W=answers.ACCEPT), ours(W=answers.ACCEPT)]
        self.begin(list(filters))
        self.whole()
        self.session.closed()
        self.wires[0].lose()
        self.next()
        envelope, _ = self.whole()
        self.assertEqual(envelope.id, "c0-1")
        self.assertEqual(filters[1].letters(), "OCHMRW")
        self.assertNotIn("filter-failed", self.logged())

    def test_saysSomethingMeanwhile(self) -> None:
        """So does one that says what nobody has asked for."""
        filters = [ours(W=answers.ACCEPT), ours(W=answers.ACCEPT)]
        self.begin(list(filters))
        self.whole()
        self.session.closed()
        self.wires[0].mta.dataReceived(answers.CONTINUE)
        self.next()
        self.whole()
        self.assertEqual(filters[1].letters(), "OCHMRW")

    def test_closesAtTheMessage(self) -> None:
        """One that closes a kept connection in the middle of a message is down."""
        filter = ours(W=answers.ACCEPT)
        self.begin([filter, ours()])
        self.whole()
        self.next()
        filter.script[b"W"] = CLOSE
        self.assertEqual(self.whole().code, 451)
        self.assertIn("kind=down", self.logged())

    def test_old(self) -> None:
        """What nobody takes is closed after a while, properly."""
        filter = ours(W=answers.ACCEPT)
        self.begin(filter)
        self.whole()
        self.session.closed()
        self.clock.advance(KEPT - 1)
        self.pump()
        self.assertEqual(filter.letters()[-1], "W")
        self.clock.advance(KEPT)
        self.clock.advance(KEPT)
        self.pump()
        self.assertEqual(filter.letters()[-1], "Q")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """No more are kept than the limit."""
        filters = [ours() for _ in range(LIMIT + 2)]
        self.begin(list(filters))
        sessions = [self.chain.session(f"c{n}", "delivery.mx", CLIENT) for n in range(LIMIT + 2)]
        for session in sessions:
            session.introduced(CLIENT)
        self.pump()
        for session in sessions:
            session.closed()
        self.pump()
        self.assertEqual(sum(filter.letters().endswith("Q") for filter in filters), 2)
