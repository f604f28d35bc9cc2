"""Tests of `umbcmail.watch.board`: who looks gets a picture, in time, whatever a part does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fakes import FakeLog
from umbcmail.figure import Figure
from umbcmail.interfaces import IRefreshed, IWatched
from umbcmail.watch.board import FRESH, PATIENCE, Board
from umbcmail.watch.picture import About, Part, Picture

ABOUT = About("mx.y.test", "1.2", ("delivery", "watch"), 1000.0)


@implementer(IWatched)
class FakePart:
    """Tells what it is told to."""

    def __init__(self, name: str = "state", condition: Any = "", figures: Any = ()) -> None:
        self.name = name
        self.is_ = condition
        self.has = figures

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        if isinstance(self.is_, Exception):
            raise self.is_
        return self.is_  # type: ignore[no-any-return]

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}; breaks in the middle where it breaks."""
        for figure in self.has:
            if isinstance(figure, Exception):
                raise figure
            yield figure


@implementer(IRefreshed)
class SlowPart(FakePart):
    """Has to ask first.

    @ivar answers: one for each time that it is asked, from then on.
    """

    def __init__(self, name: str = "spool") -> None:
        FakePart.__init__(self, name)
        self.answers: list[Deferred[None]] = []
        self.next: Any = None

    def refresh(self) -> Deferred[None]:
        """See L{IRefreshed.refresh}."""
        if isinstance(self.next, Exception):
            raise self.next
        self.answers.append(Deferred())
        return self.answers[-1]


class BoardCase(SynchronousTestCase):
    """A board, and looks at it."""

    def setUp(self) -> None:
        """A board with nothing on it."""
        self.clock = Clock()
        self.clock.advance(2000.0)
        self.log = FakeLog()
        self.parts: list[Any] = []
        self.board = Board(ABOUT, self.parts, ("spool",), self.log, self.clock)  # type: ignore[arg-type]

    def looked(self) -> Picture:
        """A look that is answered at once."""
        found: Picture = self.successResultOf(self.board.look())
        return found

    def part(self, name: str = "spool") -> Part:
        """A part in a new picture."""
        return next(part for part in self.looked().parts if part.name == name)


class BoardTests(BoardCase):
    """What comes of a look."""

    def test_fakes(self) -> None:
        """The parts here are what the board takes."""
        verifyObject(IWatched, FakePart())
        verifyObject(IRefreshed, SlowPart())

    def test_well(self) -> None:
        """All is well: no condition, ready, all figures."""
        self.parts.append(FakePart(figures=[Figure("state_a", 3, "A.")]))
        picture = self.looked()
        self.assertEqual((picture.isDegraded, picture.notReady, picture.now, picture.about), (False, "", 2000.0, ABOUT))
        self.assertEqual(picture.parts, (Part("state", "", (Figure("state_a", 3, "A."),)),))
        names = [(figure.name, figure.value) for figure in picture.figures()]
        self.assertEqual(names, [("info", 1), ("ready", 1), ("part_degraded", 0), ("state_a", 3)])

    def test_degraded(self) -> None:
        """A condition is told; mail is accepted all the same, unless the part is needed."""
        self.parts.append(FakePart("state", "Redis is away: last known entries hold"))
        picture = self.looked()
        self.assertTrue(picture.isDegraded)
        self.assertEqual(picture.notReady, "")
        self.assertIn(("part_degraded", 1), [(figure.name, figure.value) for figure in picture.figures()])
        self.parts.append(FakePart("spool", "full"))
        self.assertEqual(self.looked().notReady, "spool: full")
        self.assertIn(("ready", 0), [(figure.name, figure.value) for figure in self.looked().figures()])

    def test_laterParts(self) -> None:
        """A part that was added after the board was made is seen."""
        self.assertEqual(self.looked().parts, ())
        self.parts.append(FakePart("drac"))
        self.assertEqual([part.name for part in self.looked().parts], ["drac"])

    def test_brokenCondition(self) -> None:
        """A part that raises is told as broken and logged once; others are told, and so are its figures."""
        broken = FakePart("state", ValueError("x"), [Figure("state_a", 3, "A.")])
        self.parts += [broken, FakePart("drac", "", [Figure("drac_b", 4, "B.")])]
        for _ in range(3):
            first, second = self.looked().parts
            self.assertEqual((first.condition, len(first.figures)), ("broken, see the log", 1))
            self.assertEqual((second.condition, len(second.figures)), ("", 1))
        self.assertEqual([bug[:2] for bug in self.log.bugs], [("-", "watch state, condition")])
        broken.is_ = ""
        self.assertEqual(self.part("state").condition, "")
        broken.is_ = ValueError("again")
        self.assertEqual(self.part("state").condition, "broken, see the log")
        self.assertEqual(len(self.log.bugs), 2)

    def test_brokenFigures(self) -> None:
        """Figures that break in the middle, and figures that are none, are left out; the condition stays."""
        good = Figure("state_a", 3, "A.")
        bad: list[Any] = [
            ValueError("x"),
            Figure("State-A", 3, "A."),
            Figure("state_a", 3, "A.", (("La-bel", "x"),)),
            Figure("state_a_total", 3, "It grows, and does not say so."),
            Figure("state_a", 3, "It says so, and has no such name.", (), True),
            Figure("state_a", "3", "No number."),  # type: ignore[arg-type]
            None,
        ]
        for each in bad:
            self.parts[:] = [FakePart("state", "away", [good, each])]
            part = self.part("state")
            self.assertEqual((part.condition, part.figures), ("broken, see the log; away", ()), each)
        self.assertEqual(len(self.log.bugs), 1)

    def test_equalFigures(self) -> None:
        """Of two figures that can't be told apart the first one counts."""
        one, other = Figure("a", 1, "A.", (("x", "1"),)), Figure("a", 2, "A.", (("x", "2"),))
        self.parts += [FakePart("p", "", [one, other, Figure("a", 9, "A.", (("x", "1"),))])]
        found = [figure.value for figure in self.looked().figures() if figure.name == "a"]
        self.assertEqual(found, [1, 2])


class RefreshTests(BoardCase):
    """Parts that have to ask first."""

    def test_waits(self) -> None:
        """Who looks waits for the answer, and sees what it has changed."""
        part = SlowPart()
        self.parts.append(part)
        look = self.board.look()
        self.assertNoResult(look)
        part.has = [Figure("queue_a", 7, "A.")]
        part.answers[0].callback(None)
        self.assertEqual(self.successResultOf(look).parts[0].figures[0].value, 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shared(self) -> None:
        """Many who look at the same time ask once, and so do those who come soon after."""
        part = SlowPart()
        self.parts.append(part)
        looks = [self.board.look() for _ in range(20)]
        self.assertEqual(len(part.answers), 1)
        part.answers[0].callback(None)
        for look in looks:
            self.assertFalse(self.successResultOf(look).isDegraded)
        self.clock.advance(FRESH - 0.1)
        self.looked()
        self.assertEqual(len(part.answers), 1)
        self.clock.advance(0.1)
        self.assertNoResult(self.board.look())
        self.assertEqual(len(part.answers), 2)

    def test_hangs(self) -> None:
        """A part that does not answer holds up nobody for longer than is patience; it is not asked again
        before it has answered, and told as such."""
        part, other = SlowPart("spool"), SlowPart("other")
        self.parts += [part, other]
        looks = [self.board.look(), self.board.look()]
        other.answers[0].callback(None)
        self.clock.advance(PATIENCE)
        for look in looks:
            picture = self.successResultOf(look)
            self.assertEqual([p.condition for p in picture.parts], ["no answer for 2 s", ""])
            self.assertEqual(picture.notReady, "spool: no answer for 2 s")
        part.is_ = "and slow"
        self.assertEqual(self.part().condition, "no answer for 2 s; and slow")
        part.is_ = ""
        self.clock.advance(FRESH)
        look = self.board.look()
        other.answers[1].callback(None)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.successResultOf(look).parts[0].condition, "no answer for 9 s")
        self.assertEqual(len(part.answers), 1)
        part.answers[0].callback(None)
        self.assertEqual(self.part().condition, "")
        self.assertEqual(self.log.bugs, [])

    def test_answersInTime(self) -> None:
        """A late part that answers while somebody waits for it again ends the wait."""
        part = SlowPart()
        self.parts.append(part)
        first = self.board.look()
        self.clock.advance(PATIENCE)
        self.successResultOf(first)
        self.clock.advance(FRESH)
        second = self.board.look()
        part.answers[0].callback(None)
        self.assertEqual(self.successResultOf(second).parts[0].condition, "")

    def test_fails(self) -> None:
        """A refresh that fails, or raises, is a broken part; logged once until it works again."""
        part = SlowPart()
        self.parts.append(part)
        for _ in range(2):
            look = self.board.look()
            part.answers[-1].errback(ValueError("x"))
            self.assertEqual(self.successResultOf(look).parts[0].condition, "broken, see the log")
            self.clock.advance(FRESH)
        part.next = ValueError("y")
        self.assertEqual(self.part().condition, "broken, see the log")
        self.assertEqual(len(self.log.bugs), 1)
        self.clock.advance(FRESH)
        part.next = None
        look = self.board.look()
        part.answers[-1].callback(None)
        self.assertEqual(self.successResultOf(look).parts[0].condition, "")

    def test_atOnce(self) -> None:
        """What answers at once leaves no timer behind."""
        part = SlowPart()
        self.parts.append(part)
        part.refresh = lambda: succeed(None)  # type: ignore[method-assign]
        self.assertFalse(self.looked().isDegraded)
        self.clock.advance(FRESH)
        part.refresh = lambda: fail(ValueError("x"))  # type: ignore[method-assign]
        self.assertTrue(self.looked().isDegraded)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clockIsSet(self) -> None:
        """When the clock has been set back, what was found is not taken for fresh."""
        part = SlowPart()
        self.parts.append(part)
        look = self.board.look()
        part.answers[0].callback(None)
        self.successResultOf(look)
        self.clock.rightNow -= 1000
        self.assertNoResult(self.board.look())
        self.assertEqual(len(part.answers), 2)
