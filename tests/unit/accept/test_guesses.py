"""L{umbcmail.accept.auth.guesses}: failures that are counted, here and by all."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.auth.guesses import PATIENCE, Attempt, Guesses
from umbcmail.maillog import MailLog
from umbcmail.sighting import StateError
from umbcmail.state.memory import MemoryCounters, MemoryState, MemoryStore

ANN = ("ann", "192.0.2.1")


def opened(store: MemoryStore) -> MemoryCounters:
    """The counters of another process that shares a store."""
    state = MemoryState(store)
    state.start()
    return state.counters


class LateCounters:
    """Counters that answer when a test says so, in the order of the questions.

    @ivar asked: questions that are not answered yet.
    """

    def __init__(self, counters: MemoryCounters) -> None:
        self._counters = counters
        self.asked: list[Deferred[Any]] = []

    def _later(self, function: Any, arguments: Any) -> Deferred[Any]:
        asked: Deferred[Any] = Deferred()
        self.asked.append(asked)
        return asked.addCallback(lambda _: function(*arguments))

    def add(self, *arguments: Any) -> Deferred[Any]:
        """See L{umbcmail.interfaces.ICounters}."""
        return self._later(self._counters.add, arguments)

    def forget(self, *arguments: Any) -> Deferred[Any]:
        """See L{umbcmail.interfaces.ICounters}."""
        return self._later(self._counters.forget, arguments)

    def answer(self) -> None:
        """Answer all."""
        while self.asked:
            self.asked.pop(0).callback(None)


class GuessesCase(SynchronousTestCase):
    """A clock, and what the counts of some processes say."""

    def setUp(self) -> None:
        """With a store."""
        self.clock = Clock()
        self.store = MemoryStore()
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)

    def process(self, perLogin: int = 2, perNetwork: int = 100, **more: Any) -> Guesses:
        """The counts of a process that has the store."""
        more.setdefault("counters", opened(self.store))
        return Guesses(self.clock, perLogin, perNetwork, 10.0, log=self.log, **more)

    def begin(self, guesses: Guesses, login: str = "ann", address: str = "192.0.2.1") -> Attempt | None:
        """An attempt that begins at once, or is refused."""
        found: Attempt | None = self.successResultOf(guesses.begin(login, address))
        return found

    def wrong(self, guesses: Guesses, login: str = "ann", address: str = "192.0.2.1") -> bool:
        """A failure.  @return: whether it could be tried."""
        attempt = self.begin(guesses, login, address)
        if attempt is not None:
            attempt.wrong()
        return attempt is not None

    def right(self, guesses: Guesses, login: str = "ann", address: str = "192.0.2.1") -> bool:
        """The same with the right password."""
        attempt = self.begin(guesses, login, address)
        if attempt is not None:
            attempt.right()
        return attempt is not None


class LocalTests(GuessesCase):
    """A process that shares nothing."""

    def process(self, perLogin: int = 2, perNetwork: int = 100, **more: Any) -> Guesses:
        """See L{GuessesCase.process}."""
        return GuessesCase.process(self, perLogin, perNetwork, counters=None, **more)

    def test_attempts(self) -> None:
        """Right ones forgive, those that could not be told do not count, those that have
        no end yet do."""
        guesses = self.process()
        for _ in range(5):
            attempt = self.begin(guesses)
            assert attempt is not None
            attempt.unknown()
        self.assertIsNotNone(self.begin(guesses))
        attempt = self.begin(guesses)
        assert attempt is not None
        self.assertTrue(guesses.blocks("Ann", "192.0.2.2"))
        self.assertIsNone(self.begin(guesses))
        attempt.right()
        self.assertFalse(guesses.blocks("ann", "192.0.2.2"))

    def test_fade(self) -> None:
        """Failures fade, those of attempts without an end too."""
        guesses = self.process()
        self.assertEqual([True, True, False], [self.wrong(guesses) for _ in range(3)])
        self.clock.advance(10)
        self.assertEqual([True, False], [self.wrong(guesses) for _ in range(2)])
        for address in ("198.51.100.1", "198.51.100.1"):
            self.assertIsNotNone(self.begin(guesses, "ann", address))
        self.assertIsNone(self.begin(guesses, "ann", "198.51.100.1"))
        self.clock.advance(10)
        self.assertIsNotNone(self.begin(guesses, "ann", "198.51.100.1"))

    def test_nobody(self) -> None:
        """Where the login is not known only the network counts."""
        guesses = self.process(perNetwork=3)
        self.assertEqual([True, True, True, False], [self.wrong(guesses, "") for _ in range(4)])
        self.assertFalse(self.wrong(guesses))

    def test_bounded(self) -> None:
        """Any number of names and networks needs bounded memory."""
        guesses = self.process(2, 2, size=50)
        for n in range(500):
            attempt = self.begin(guesses, f"u{n}", f"10.{n // 250}.{n % 250}.1")
            if attempt is not None and n % 3:
                attempt.right() if n % 3 == 1 else attempt.wrong()
        self.assertLessEqual(max(map(len, (guesses._logins, guesses._networks, guesses._right))), 50)


class SharedTests(GuessesCase):
    """Processes that share a state."""

    def test_login(self) -> None:
        """Guesses at one stop at the other, wherever the next is tried."""
        one, other = self.process(4), self.process(4)
        self.assertEqual([True] * 4, [self.wrong(guesses) for guesses in (one, other, one, other)])
        self.assertEqual([False] * 2, [self.right(guesses) for guesses in (one, other)])
        self.assertTrue(self.right(other, "ann", "198.51.100.1"))
        self.clock.advance(10)
        self.assertTrue(self.right(one))
        self.assertEqual([True] * 4 + [False], [self.wrong(other) for _ in range(5)])

    def test_network(self) -> None:
        """A network is full for all but those who were right from there, at any process."""
        one, other, third = (self.process(100, 3) for _ in range(3))
        self.assertTrue(self.right(third))
        self.assertEqual([True] * 3, [self.wrong(one, login) for login in "abc"])
        self.assertEqual([False] * 2, [self.right(guesses, "d") for guesses in (one, other)])
        self.assertEqual([True] * 3, [self.right(guesses) for guesses in (one, other, third)])

    def test_sameTime(self) -> None:
        """Of attempts at the same time no more are tried than one after the other."""
        counters = LateCounters(opened(self.store))
        self.assertTrue(self.wrong(self.process(4)))
        guesses = self.process(4, counters=counters)
        begun = [guesses.begin(*ANN) for _ in range(10)]
        counters.answer()
        self.assertEqual(3, len([each for each in map(self.successResultOf, begun) if each is not None]))

    def test_late(self) -> None:
        """What comes late is learned, and nobody waits for it, or asks more meanwhile."""
        self.assertEqual([True] * 2, [self.wrong(self.process()) for _ in range(2)])
        counters = LateCounters(opened(self.store))
        guesses = self.process(counters=counters)
        first = guesses.begin(*ANN)
        self.assertNoResult(first)
        self.clock.advance(PATIENCE)
        attempt: Any = self.successResultOf(first)
        attempt.unknown()
        questions = len(counters.asked)
        self.assertTrue(self.wrong(guesses, "bob"))
        self.assertEqual(questions + 2, len(counters.asked), "the failure, for the login and for the network")
        counters.answer()
        self.assertTrue(guesses.blocks(*ANN))
        self.assertFalse(guesses.blocks("bob", ANN[1]))
        self.assertNoResult(guesses.begin("cid", ANN[1]))

    def test_notLost(self) -> None:
        """Failures that the state has not counted yet are not forgotten over an older
        answer."""
        counters = LateCounters(opened(self.store))
        guesses = self.process(3, counters=counters)
        first = guesses.begin(*ANN)
        self.clock.advance(PATIENCE)
        attempt: Any = self.successResultOf(first)
        attempt.wrong()
        self.assertEqual([True, True, False], [self.wrong(guesses) for _ in range(3)])
        while counters.asked:
            counters.asked.pop(0).callback(None)
            self.assertTrue(guesses.blocks(*ANN))
        self.assertFalse(self.wrong(self.process(3)))

    def test_away(self) -> None:
        """A state that can't be had: each process counts for itself, and nothing is a bug."""
        counters = opened(self.store)
        for answer in (lambda *it: fail(StateError("away")), _raiseStateError):
            self.patch(counters, "add", answer)
            self.patch(counters, "forget", answer)
            guesses = self.process(counters=counters)
            self.assertEqual([True, True, False], [self.wrong(guesses) for _ in range(3)])
            self.assertTrue(self.wrong(guesses, "bob"))
            self.assertTrue(self.right(guesses, "bob"))
            self.assertEqual([True, True, False], [self.wrong(guesses, "bob") for _ in range(3)])
        self.log.flush()
        self.assertEqual([], self.lines)

    def test_back(self) -> None:
        """When it is back, what others know counts again, with what they were not told;
        all of it until somebody is right."""
        counters = opened(self.store)
        here, add = self.process(4, counters=counters), counters.add
        self.patch(counters, "add", lambda *it: fail(StateError("away")))
        self.assertEqual([True] * 2, [self.wrong(here) for _ in range(2)])
        self.patch(counters, "add", add)
        self.assertTrue(self.wrong(self.process(4)))
        self.assertEqual([True, False], [self.wrong(here) for _ in range(2)])
        self.clock.advance(10)
        self.assertTrue(self.right(here))
        self.assertEqual([True] * 4 + [False], [self.wrong(here) for _ in range(5)])

    def test_bug(self) -> None:
        """A store with a bug is in the log, and failures count here."""
        counters = opened(self.store)
        self.patch(counters, "add", lambda *it: fail(ZeroDivisionError("oh")))
        guesses = self.process(counters=counters)
        self.assertEqual([True, True, False], [self.wrong(guesses) for _ in range(3)])
        self.log.flush()
        self.assertIn(b" bug ", b"".join(self.lines))

    def test_noTimers(self) -> None:
        """Nothing is left behind."""
        guesses = self.process()
        self.wrong(guesses)
        self.right(guesses)
        self.assertEqual([], self.clock.getDelayedCalls())


def _raiseStateError(*arguments: Any) -> Any:
    raise StateError("away")
