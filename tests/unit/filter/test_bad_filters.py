"""What becomes of mail when filters do what they should not: each time a defined result, and
the next message of the same session is filtered as if nothing had been."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.milters import ALL, CLOSE, ScriptedFilter
from tests.unit.filter.filtercase import BODY, HEADER, RECEIVED, FilterCase
from umbcmail import reply
from umbcmail.filter import answers
from umbcmail.filter.codec import packet
from umbcmail.filter.negotiation import ALL_ACTIONS, Negotiation

WHOLE = RECEIVED + HEADER + b"\r\n" + BODY
STAGES = b"OCHMRTLNBE"


class BadCase(FilterCase):
    """One filter that is bad at its first connection and good at the second."""

    def tried(self, bad: Any, **policies: Any) -> Any:
        """What becomes of the first message; the second one must pass."""
        self.begin([bad, ScriptedFilter()], **policies)
        result = self.whole()
        self.clock.advance(5)
        self.good = self.filters["f0"]
        return result

    def assertSound(self) -> None:
        """The next message of the session is filtered, and passes."""
        before = len(self.wires)
        self.assertIsNone(self.mail(id="c0-2"))
        self.assertIsNone(self.rcpt())
        _, octets = self.message()
        self.assertEqual(octets, WHOLE)
        self.assertIn(len(self.wires), (before, before + 1))
        self.assertTrue(self.wires[-1].filter.letters().endswith("MRTLLLLLNBE"))
        self.assertEqual([wire.isLost for wire in self.wires].count(False), 1)

    def assertTrouble(self, kind: str) -> None:
        """That is in the log and the figures."""
        self.assertIn("filter-failed id=", self.logged())
        self.assertIn(f"kind={kind} ", self.logged())
        [tally] = [tally for _, tally, _ in self.chain._filters]
        self.assertEqual(tally.troubles, {kind: 1})


class CloseTests(BadCase):
    """A filter that is killed."""

    def test_eachStage(self) -> None:
        """Wherever it goes away: 451, or the message passes as it was, or is refused, or put
        aside, by the policy."""
        for letter in STAGES:
            for policy in ("delay", "accept", "refuse", "quarantine"):
                self.setUp()
                bad = ScriptedFilter(CLOSE if letter == 79 else ALL, {bytes((letter,)): CLOSE})
                result = self.tried(bad, down=policy)
                if policy == "delay":
                    self.assertEqual(result, reply.FILTER_LATER, (letter, policy))
                elif policy == "refuse":
                    self.assertEqual(result, reply.FILTER_REFUSES, (letter, policy))
                else:
                    envelope, octets = result
                    self.assertEqual(octets, WHOLE)
                    self.assertEqual(envelope.hold, "filter f0: it is down" if policy == "quarantine" else "")
                self.assertTrouble("down")
                self.assertSound()

    def test_notThere(self) -> None:
        """Nobody listens: the same, and it is tried again for the next message."""
        self.begin(None, down="delay")
        self.assertEqual(self.whole(), reply.FILTER_LATER)
        self.assertIn("kind=down", self.logged())
        self.filters["f0"] = ScriptedFilter()
        self.assertEqual(self.mail(), reply.FILTER_LATER, "it is too soon to try again")
        self.clock.advance(5)
        self.assertSound()

    def test_neverConnected(self) -> None:
        """Who connects for ever is given up by the endpoint; until then MAIL waits, and the
        end of the session ends that."""
        cancelled: list[Any] = []
        self.begin(Deferred(cancelled.append))
        self.session.introduced(self.session._facts.client)
        asked = self.session.mail("c0-1", self.session._facts.client, "", "s@z.test", [])
        self.assertNoResult(asked)
        self.session.closed()
        self.assertEqual(len(cancelled), 1)

    def test_betweenMessages(self) -> None:
        """A connection that nobody needs may be closed: the next message has another."""
        self.begin([ScriptedFilter(), ScriptedFilter()])
        self.whole()
        self.wires[0].lose()
        self.assertSound()
        self.assertNotIn("filter-failed", self.logged())
        self.assertEqual(self.wires[1].filter.letters(), "OCHMRTLLLLLNBE")

    def test_halfABody(self) -> None:
        """A filter that is gone in the middle of its edits has made none."""
        edits = (
            answers.addHeader(b"X", b"y") + answers.replaceBody(b"half of it") + answers.deleteRecipient(b"<x@y.test>")
        )
        bad = ScriptedFilter(script={b"E": edits})
        self.begin([bad, ScriptedFilter()], down="accept")
        self.hello()
        self.mail()
        self.rcpt()
        asked = self.session.message(*self.content())
        self.pump()
        self.assertNoResult(asked)
        self.wires[0].lose()
        envelope, content = self.successResultOf(asked)
        self.assertEqual(self.octets(content), WHOLE)
        self.assertEqual(len(envelope.recipients), 1)
        self.session.ended()
        self.assertSound()


class SlowTests(BadCase):
    """A filter that does not answer."""

    def stalled(self, letter: bytes, limit: float, asked: Any) -> Any:
        """What a question has for an answer, and that this takes its time."""
        self.pump()
        self.clock.advance(limit - 1)
        self.assertNoResult(asked)
        self.clock.advance(2)
        return self.successResultOf(asked)

    def test_eachStage(self) -> None:
        """Its time over, the policy says what becomes of the message."""
        for letter in STAGES:
            self.setUp()
            silent = ScriptedFilter(b"" if letter == 79 else ALL, {bytes((letter,)): b""})
            self.begin([silent, ScriptedFilter()], slow="delay")
            self.hello()
            client = self.session._facts.client
            result = self.session.mail("c0-1", client, "", "s@z.test", [])
            limit = 30.0
            if letter in b"OCHM":
                result = self.stalled(letter, limit, result)
            else:
                result = self.answer(result)
                if letter in b"R":
                    result = self.stalled(letter, limit, self.session.recipient(self.content()[0].recipients[0]))
                else:
                    self.rcpt()
                    limit = 30.0 if letter in b"T" else 300.0
                    result = self.stalled(letter, limit, self.session.message(*self.content()))
            self.assertEqual(result, reply.FILTER_LATER, letter)
            self.session.ended()
            self.assertTrouble("slow")
            self.clock.advance(5)
            self.assertSound()

    def test_progress(self) -> None:
        """Signs of progress give it more time, but not for ever."""
        self.begin(
            [ScriptedFilter(script={b"E": answers.PROGRESS}), ScriptedFilter()],
            slow="refuse",
            content=100.0,
            message=540.0,
        )
        self.hello()
        self.mail()
        self.rcpt()
        asked = self.session.message(*self.content())
        self.pump()
        for _ in range(6):
            self.clock.advance(89)
            self.assertNoResult(asked)
            self.wires[0].mta.dataReceived(answers.PROGRESS)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(asked), reply.FILTER_REFUSES)
        self.session.ended()
        self.assertTrouble("slow")
        self.assertSound()


class NonsenseTests(BadCase):
    """A filter that says what the protocol does not allow."""

    def test_nonsense(self) -> None:
        """What is no answer, or none that can be given here."""
        huge = (1024 * 1024 + 1).to_bytes(4, "big") + b"h"
        for script in (
            {b"M": answers.CONTINUE + answers.CONTINUE},
            {b"C": huge},
            {b"M": huge},
            {b"E": huge},
            {b"M": bytes(4)},
            {b"M": answers.addHeader(b"X", b"y")},
            {b"L": answers.replaceBody(b"x")},
            {b"R": packet(b"c", b"with data")},
            {b"H": packet(b"y", b"550 no end")},
            {b"M": packet(b"?")},
            {b"M": Negotiation().packet()},
            {b"R": answers.replyCode(b"250 2.1.5 fine")},
            {b"M": answers.replyCode(b"")},
            {b"C": answers.replyCode(b"hello")},
            {b"E": answers.addHeader(b"X Y", b"z") + answers.ACCEPT},
            {b"E": answers.addHeader(b"X:", b"z") + answers.ACCEPT},
            {b"E": answers.insertHeader(0, b"X\r\nY", b"z") + answers.ACCEPT},
            {b"E": answers.changeHeader(1, b"", b"z") + answers.ACCEPT},
            {b"E": answers.addHeader(b"X\xff", b"z") + answers.ACCEPT},
            {b"E": answers.addHeader(b"X", b"z" * 64_000) + answers.ACCEPT},
            {b"E": answers.addRecipient(b"<a@b>\r\nRCPT TO:<c@d>") + answers.ACCEPT},
            {b"E": answers.addRecipient(b"<>") + answers.ACCEPT},
            {b"E": answers.addRecipient("<ü@b.test>".encode()) + answers.ACCEPT},
            {b"E": answers.addRecipient(b"<a@b.test>", b"NOTIFY=SOMETIMES") + answers.ACCEPT},
            {b"E": answers.changeSender(b"nobody at all") + answers.ACCEPT},
            {b"E": answers.changeSender(b"<>", b"RET=ALL") + answers.ACCEPT},
            {b"E": answers.replaceBody(bytes(1_000_001)) + answers.ACCEPT},
            {b"E": answers.addHeader(b"X", b"z" * 60_000) * 40 + answers.ACCEPT},
            {b"E": answers.deleteRecipient(b"<n@o.test>") * 10_001 + answers.ACCEPT},
        ):
            for policy in ("delay", "accept"):
                self.setUp()
                result = self.tried(ScriptedFilter(script=script), broken=policy, down="refuse", slow="refuse")
                if policy == "delay":
                    self.assertEqual(result, reply.FILTER_LATER, script)
                else:
                    self.assertEqual(result[1], WHOLE, script)
                    self.assertEqual(len(result[0].recipients), 1)
                self.assertTrouble("broken")
                self.assertSound()

    def test_wordsAndRefusal(self) -> None:
        """Words for the client and a refusal behind them, as some libraries send them: the
        first counts, and the next command is not answered by the second."""
        result = self.tried(ScriptedFilter(script={b"R": answers.replyCode(b"550 5.7.1 no") + answers.REJECT}))
        self.assertEqual(str(result), "550 5.7.1 no")
        self.assertTrouble("broken")
        self.assertSound()

    def test_secondAnswer(self) -> None:
        """Two answers in different reads: the second is not that to the next command."""
        self.begin([ScriptedFilter(), ScriptedFilter()], broken="delay")
        self.hello()
        self.assertIsNone(self.mail())
        self.wires[0].mta.dataReceived(answers.ACCEPT)
        self.assertEqual(self.rcpt(), reply.FILTER_LATER)
        self.session.ended()
        self.assertSound()

    def test_afterTheEnd(self) -> None:
        """Something more after the message was accepted does not change it, nor the next one."""
        self.begin([ScriptedFilter(script={b"E": answers.ACCEPT + answers.addHeader(b"X", b"y")}), ScriptedFilter()])
        self.assertEqual(self.whole()[1], WHOLE)
        self.assertTrouble("broken")
        self.assertSound()

    def test_banner(self) -> None:
        """A daemon that is no filter at all, clamd for instance."""
        result = self.tried(ScriptedFilter(b"UNKNOWN COMMAND\n"), broken="delay")
        self.assertEqual(result, reply.FILTER_LATER)
        self.assertTrouble("broken")
        self.assertSound()

    def test_negotiation(self) -> None:
        """Versions and actions that were not offered; steps that nobody knows are left out."""
        for wrong in (Negotiation(7, 0, 0), Negotiation(1, 0, 0), Negotiation(6, ALL_ACTIONS + 0x200, 0)):
            self.setUp()
            self.assertEqual(self.tried(ScriptedFilter(wrong), broken="delay"), reply.FILTER_LATER)
            self.assertTrouble("broken")
            self.assertSound()
        self.setUp()
        self.begin(ScriptedFilter(Negotiation(6, 0, 0x70000000)))
        self.assertEqual(self.whole()[1], WHOLE)

    def test_oldVersion(self) -> None:
        """A filter of version 2 is not told of DATA and unknown commands."""
        old = ScriptedFilter(Negotiation(2, 1, 0))
        self.begin(old)
        self.hello()
        self.assertIsNone(self.answer(self.session.unknown(b"VERB")))
        self.whole()
        self.assertEqual(old.letters(), "OCHHMRLLLLLNBE")
