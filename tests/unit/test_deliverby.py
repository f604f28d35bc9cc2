"""L{umbcmail.deliverby}: the time that a message should be delivered by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.deliverby import DeliverBy, isLate, isOver, parsed, soonest
from umbcmail.envelope import Envelope


class DeliverByTests(SynchronousTestCase):
    """As text, and against the clock."""

    @given(st.floats(-1e9, 3e9), st.booleans(), st.booleans())
    def test_text(self, until: float, returns: bool, trace: bool) -> None:
        """What is written is read again, exactly, also out of the spool's records."""
        by = DeliverBy(until, returns, trace)
        envelope = Envelope("m1", "s@z.test", (), 0.0, deliverBy=by.text)
        self.assertEqual(parsed(Envelope.fromRecord(envelope.toRecord(), ()).deliverBy), by)

    def test_format(self) -> None:
        """Seconds since 1970, mode, trace."""
        self.assertEqual(DeliverBy(1764070000.5, True, True).text, "1764070000.5;RT")
        self.assertEqual(DeliverBy(5.0, False).text, "5.0;N")

    @given(st.one_of(st.text(), st.sampled_from(["nan;R", "inf;N", "-inf;R", ";R", "x;R", "1e999;R"])))
    def test_nonsense(self, text: str) -> None:
        """What can't be read changes nothing, and is no error."""
        if parsed(text) is None:
            self.assertEqual((isOver(text, 5.0), isLate(text, 5.0), soonest(text, 9.0, 5.0)), (False, False, 9.0))

    def test_none(self) -> None:
        """None of these is a time."""
        for text in ("", "nan;R", "inf;N", "-inf;R", ";R", "x;R", "1e999;R"):
            self.assertIsNone(parsed(text), text)

    def test_over(self) -> None:
        """Mode R ends at its time, mode N is late then."""
        for now, isPast in ((99.9, False), (100.0, True), (101.0, True)):
            self.assertEqual((isOver("100.0;RT", now), isLate("100.0;RT", now)), (isPast, False))
            self.assertEqual((isOver("100.0;NT", now), isLate("100.0;NT", now)), (False, isPast))

    def test_soonest(self) -> None:
        """Due at the time at the latest; after it mode R at once, mode N as ever."""
        for mode in "RN":
            self.assertEqual(soonest(f"100.0;{mode}", 90.0, 50.0), 90.0)
            self.assertEqual(soonest(f"100.0;{mode}", 200.0, 50.0), 100.0)
        self.assertEqual(soonest("100.0;R", 200.0, 150.0), 150.0)
        self.assertEqual(soonest("100.0;N", 200.0, 150.0), 200.0)
        self.assertEqual(soonest("", 200.0, 150.0), 200.0)
