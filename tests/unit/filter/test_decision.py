"""Tests of L{umbcmail.filter.multiplexer.decision}: many opinions, one decision."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.examination import Action, Opinion, Rank
from umbcmail.filter.multiplexer.decision import forged, merged

CLEAN = Opinion(headers=(("A", "1"),))
SPAM = Opinion(Rank.SPAM, Action.REFUSE, "spam", score=20.0)
TAGGED = Opinion(Rank.SPAM, score=6.0, headers=(("B", "2"),))
ASIDE = Opinion(Rank.SPAM, Action.QUARANTINE, "aside")
VIRUS = Opinion(Rank.VIRUS, Action.REFUSE, "virus")
GONE = Opinion(Rank.VIRUS, Action.DISCARD, "gone")
DOWN = Opinion(action=Action.DELAY, isExamined=False)


class MergedTests(SynchronousTestCase):
    """Which opinion decides."""

    def test_order(self) -> None:
        """A virus before spam, spam before clean; the end of a message before a delay, and
        that before a quarantine; in whatever order they come."""
        order = [GONE, SPAM, DOWN, ASIDE, TAGGED, CLEAN]
        for at, decides in enumerate(order):
            rest = order[at:]
            self.assertIs(merged(rest).opinion, decides)
            self.assertIs(merged(rest[::-1]).opinion, decides)
        self.assertIs(merged([GONE, VIRUS]).opinion, VIRUS)
        self.assertIs(merged([DOWN, VIRUS]).opinion, VIRUS)

    def test_rest(self) -> None:
        """Fields, score and rank are those of all."""
        decision = merged([CLEAN, TAGGED])
        self.assertEqual(decision.headers, (("A", "1"), ("B", "2")))
        self.assertEqual((decision.rank, decision.score, decision.action), (Rank.SPAM, 6.0, Action.ACCEPT))
        self.assertEqual(merged([]).action, Action.ACCEPT)


class ForgedTests(SynchronousTestCase):
    """Whose fields are removed."""

    def test_names(self) -> None:
        """The beginning of the name counts, in any case, and nothing else of it."""
        fields = [
            (name, b" x") for name in (b"X-Spam-Flag", b"X-SPAM-x \t", b"X-Spam", b"X-Spamd-Result", b"Y-X-Spam-")
        ]
        self.assertEqual(forged(fields, [b"x-spam-"], []), [0, 1])

    def test_servers(self) -> None:
        """The name in front counts, with comments and quotes or without."""
        values = (
            b"a.test; x",
            b" (c) a.test",
            b'"A.test" 1; x',
            b"\r\n\ta.test; x",
            b"b.a.test; x",
            b"",
            b"((((a.test",
        )
        fields = [(b"Authentication-Results", value) for value in values]
        self.assertEqual(forged(fields, [], ["A.test"]), [0, 1, 2, 3])
        self.assertEqual(forged(fields, [], []), [])

    def test_nested(self) -> None:
        """Many comments do not take long."""
        fields = [(b"Authentication-Results", b"(" * 30000 + b")" * 30000)]
        self.assertEqual(forged(fields, [], ["a.test"]), [])
