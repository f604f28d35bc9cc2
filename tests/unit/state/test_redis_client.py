"""Tests of L{umbcmail.state.redisclient} and what stands on it, without a server."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeLog
from umbcmail.sighting import Sighting, StateError
from umbcmail.state import rediscounters, redishosts, redisroster
from umbcmail.state.memory import MemoryCounters, MemoryStore
from umbcmail.state.redis import RedisState
from umbcmail.state.redisclient import LAST, RedisClient


class Log(FakeLog):
    """Remembers also events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """See L{umbcmail.maillog.MailLog.event}."""
        self.events.append(f"{what} {values['why']}")


class Session:
    """In place of L{umbcmail.state.redissession.Session}: takes everything.

    @ivar answers: to commands, by their first word.
    @ivar scripts: that have not been answered: operations, and who waits.
    """

    address = ("a.test", 1)
    server = "a.test:1"

    def __init__(self) -> None:
        self.why = ""
        self.ended: Deferred[str] = Deferred()
        self.answers: dict[str, Any] = {"GET": b"x"}
        self.looks = 0
        self.scripts: list[tuple[list[list[str]], Deferred[Any]]] = []

    def command(self, *words: Any) -> Deferred[Any]:
        """An answer at once."""
        return succeed(self.answers.get(words[0]))

    def listening(self) -> Deferred[Any]:
        """It is."""
        self.looks += 1
        return succeed(None)

    def script(self, text: str, keys: list[Any], arguments: list[Any]) -> Deferred[Any]:
        """An empty roster, no hosts, and what is done with the roster."""
        if text in (redisroster.PAGE, redishosts.PAGE):
            return succeed(b'["0", {}]')
        self.scripts.append((json.loads(arguments[2]), Deferred()))
        return self.scripts[-1][1]

    def answer(self) -> None:
        """The oldest script has changed nothing."""
        operations, asked = self.scripts.pop(0)
        asked.callback(json.dumps([0, [False] * len(operations)]))

    def end(self, why: str) -> None:
        """See the real one."""
        if not self.why:
            self.why = why
            self.ended.callback(why)


class Dialler:
    """In place of the real one.

    @ivar results: of the attempts to come; L{None} when there are no more: it is away.
    @ivar times: when there was one.
    """

    trouble = ""
    hasSentinels = False

    def __init__(self, clock: Clock) -> None:
        self.results: list[Any] = []
        self.times: list[float] = []
        self._clock = clock

    def open(self, channel: str, heard: Any) -> Deferred[Any]:
        """See the real one."""
        self.times.append(self._clock.seconds())
        if self.results:
            result = self.results.pop(0)
            return result if isinstance(result, Deferred) else succeed(result)
        return fail(StateError("a.test:1: connection refused"))


class ClientCase(SynchronousTestCase):
    """A client whose server is what the dialler says."""

    def setUp(self) -> None:
        """One whose dice say 0.5."""
        self.clock = Clock()
        self.log = Log()
        self.dialler = Dialler(self.clock)
        self.client = RedisClient(self.dialler, "p:", 2, 2.0, self.clock, self.log, lambda: 0.5)  # type: ignore[arg-type]

    def advance(self, seconds: float) -> None:
        """Time goes on, in small steps."""
        self.clock.pump([0.05] * round(seconds / 0.05))

    def waits(self, number: int) -> list[float]:
        """How long it waits before each of the next attempts."""
        found = []
        for _ in range(number):
            [call] = self.clock.getDelayedCalls()
            found.append(round(call.getTime() - self.clock.seconds(), 6))
            self.clock.advance(found[-1] + 1e-6)
        return found


class ClientTests(ClientCase):
    """The client."""

    def test_there(self) -> None:
        """It is there after the first attempt, and is looked at from time to time."""
        session = Session()
        self.dialler.results = [session]
        self.successResultOf(self.client.start())
        self.assertTrue(self.client.isThere)
        self.assertEqual((self.client.why, self.log.events, self.log.troubles), ("", ["redis is there"], []))
        self.clock.pump([2.0] * 5)
        self.assertEqual(session.looks, 5)
        self.successResultOf(self.client.stop())
        self.assertEqual(session.why, "is closed")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_away(self) -> None:
        """The start ends when the first attempt has failed; then it is tried again, later and
        later up to a limit; the log has one line."""
        self.successResultOf(self.client.start())
        self.assertEqual(self.client.why, "a.test:1: connection refused")
        self.assertEqual(self.waits(8), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LAST, LAST])
        self.waits(2000)
        self.assertEqual(self.waits(1), [LAST])
        self.assertEqual(len(self.log.troubles), 1)
        self.dialler.results = [Session()]
        self.waits(1)
        self.assertTrue(self.client.isThere)
        self.assertEqual(self.log.events, ["redis is there"])
        self.successResultOf(self.client.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_jitter(self) -> None:
        """Hosts do not come back all at the same moment."""
        dice = [0.0, 1.0, 0.25, 0.5]
        self.client._random = lambda: dice.pop(0)
        self.successResultOf(self.client.start())
        self.assertEqual(self.waits(3), [0.05, 0.3, 0.3])
        self.successResultOf(self.client.stop())

    def test_lost(self) -> None:
        """When it is lost that is told, who waits hears of it, and it is tried again at once."""
        first, second = Session(), Session()
        self.dialler.results = [first, second]
        lost: list[str] = []
        self.client.losses.append(lambda: lost.append(self.client.why))
        self.client.start()
        first.end("no answer in 2 s")
        self.assertEqual(lost, ["a.test:1: no answer in 2 s"])
        self.assertFalse(self.client.isThere)
        self.failureResultOf(self.client.script("", [], []), StateError)
        self.advance(0.1)
        self.assertTrue(self.client.isThere)
        self.assertEqual(self.client.connections, 2)
        self.assertEqual([why for _, _, why in self.log.troubles], ["a.test:1: no answer in 2 s"])
        self.assertEqual(self.log.events, ["redis is there"] * 2)

    def test_emptied(self) -> None:
        """Another life of the store is another store."""
        session = Session()
        self.dialler.results = [session]
        self.client.start()
        session.answers["GET"] = None
        self.advance(2.1)
        self.assertEqual(session.why, "has been emptied")

    def test_recovery(self) -> None:
        """It counts as there when all is done that was to be done before; what fails is a
        reason to try again."""
        waiting: list[Deferred[None]] = []

        def recovery(session: Any) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.client.recoveries.append(recovery)
        sessions = [Session(), Session()]
        self.dialler.results = list(sessions)
        self.client.start()
        self.assertFalse(self.client.isThere)
        waiting[0].errback(StateError("a.test:1: OOM"))
        self.assertEqual((sessions[0].why, self.client.why), ("a.test:1: OOM", "a.test:1: OOM"))
        self.advance(0.3)
        self.assertFalse(self.client.isThere)
        waiting[1].callback(None)
        self.assertTrue(self.client.isThere)

    def test_stopWhileOpening(self) -> None:
        """The end does not wait for an attempt, nor does who waits for the beginning."""
        self.dialler.results = [Deferred()]
        begun = self.client.start()
        self.assertNoResult(begun)
        self.successResultOf(self.client.stop())
        self.successResultOf(begun)
        self.assertEqual((self.clock.getDelayedCalls(), self.log.troubles, self.log.bugs), ([], [], []))

    def test_stopWhileLooking(self) -> None:
        """Nor does it wait for a look whether Redis is there, or take what comes of it as a loss."""
        session = Session()
        looking: Deferred[Any] = Deferred(lambda _: session.end("cancelled"))
        self.dialler.results = [session]
        self.client.start()
        session.listening = lambda: looking  # type: ignore[method-assign]
        self.advance(2.1)
        self.successResultOf(self.client.stop())
        self.assertEqual((self.client.why, self.clock.getDelayedCalls(), self.log.troubles), ("is closed", [], []))

    def test_lostWhileStopping(self) -> None:
        """Redis goes away while the last answers are waited for: nobody connects again."""
        session = Session()
        self.dialler.results = [session]
        self.client.start()
        asked = self.client.script("", [], ["", "", "[]"])
        stopped = self.client.stop()
        session.end("gone")
        session.scripts[0][1].errback(StateError("gone"))
        self.failureResultOf(asked, StateError)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bug(self) -> None:
        """A bug is logged as one, and is no end."""
        self.dialler.results = [fail(ZeroDivisionError("x")), Session()]
        self.client.start()
        self.assertEqual(len(self.log.bugs), 1)
        self.advance(1)
        self.assertTrue(self.client.isThere)

    def test_names(self) -> None:
        """Keys and the channel begin with the prefix; the channel has the database too."""
        self.assertEqual((self.client.key("roster"), self.client.channel), ("p:roster", "p:2:news"))


class AloneTests(ClientCase):
    """The state while Redis is away."""

    def setUp(self) -> None:
        """It is from the beginning."""
        super().setUp()
        self.state = RedisState(self.client, self.clock)
        self.state.start()
        self.addCleanup(self.state.stop)

    def test_counters(self) -> None:
        """A process that counts alone does as the store in memory."""
        memory = MemoryCounters(MemoryStore())
        memory.isOpen = True
        for number, now in ((8.0, 0.0), (0.0, 50.0), (2.5, 20.0), (-3.0, 300.0), (-99.0, 310.0), (1.0, 311.0)):
            wanted = self.successResultOf(memory.add("n", "k", number, 100.0, now))
            found = self.successResultOf(self.state.counters.add("n", "k", number, 100.0, now))
            self.assertAlmostEqual(found, wanted, 9)
        self.successResultOf(self.state.counters.forget("n", "k"))
        self.assertEqual(self.successResultOf(self.state.counters.add("n", "k", 0.0, 100.0, 312.0)), 0.0)

    def test_countersAreBounded(self) -> None:
        """Over the limit the oldest is lost."""
        self.patch(rediscounters, "OWN", 3)
        for key in "abcd":
            self.successResultOf(self.state.counters.add("n", key, 1.0, 100.0, 0.0))
        found = [self.successResultOf(self.state.counters.add("n", key, 1.0, 100.0, 0.0)) for key in "dcba"]
        self.assertEqual(found, [2.0, 2.0, 2.0, 1.0])

    def test_rosterIsBounded(self) -> None:
        """So many adds are remembered; those that have expired make room."""
        self.patch(redisroster, "KEPT", 2)
        for n, address in enumerate("abc"):
            self.failureResultOf(self.state.roster.add(Sighting(address, 30.0 + n), 0.0), StateError)
        self.assertEqual(sorted(self.state.roster.copy.entries), ["a", "b"])
        self.clock.advance(31.0)
        self.state.roster.purge(31.0)
        self.failureResultOf(self.state.roster.add(Sighting("c", 60.0), 31.0), StateError)
        self.assertEqual(sorted(self.state.roster.copy.entries), ["c"])

    def test_purge(self) -> None:
        """What has expired is let go of by itself."""
        self.failureResultOf(self.state.roster.add(Sighting("a", 30.0), 0.0), StateError)
        self.clock.advance(61)
        self.assertEqual(len(self.state.roster.copy), 0)


class BatchTests(ClientCase):
    """What is asked of the roster goes together."""

    def setUp(self) -> None:
        """Redis is there."""
        super().setUp()
        self.session = Session()
        self.dialler.results = [self.session]
        self.state = RedisState(self.client, self.clock)
        self.successResultOf(self.state.start())
        self.patch(redisroster, "BATCH", 3)
        self.patch(redisroster, "BATCHES", 2)

    def remove(self, *addresses: str) -> list[Deferred[bool]]:
        """Ask for something."""
        return [self.state.roster.remove(address) for address in addresses]

    def sent(self) -> list[list[str]]:
        """Addresses of the scripts that are under way."""
        return [[operation[1] for operation in operations] for operations, _ in self.session.scripts]

    def test_together(self) -> None:
        """What comes in one turn goes in one script; so many are under way, and what comes
        meanwhile goes when one has been answered, in its order."""
        self.remove("a", "b")
        self.assertEqual(self.sent(), [])
        self.clock.advance(0)
        self.assertEqual(self.sent(), [["a", "b"]])
        asked = self.remove(*"cdefghij")
        self.clock.advance(0)
        self.assertEqual(self.sent(), [["a", "b"], ["c", "d", "e"]])
        self.session.answer()
        self.clock.advance(0)
        self.assertEqual(self.sent(), [["c", "d", "e"], ["f", "g", "h"]])
        self.session.answer()
        self.assertIs(self.successResultOf(asked[0]), False)
        self.assertNoResult(asked[3])
        stopped = self.state.stop()
        for _ in range(2):
            self.clock.advance(0)
            self.session.answer()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual([self.successResultOf(each) for each in asked[1:]], [False] * 7)

    def test_slow(self) -> None:
        """What has waited too long for its turn fails, and is not done any more."""
        asked = self.remove(*"abcdefghi")
        self.clock.advance(0)
        self.clock.advance(2.1)
        self.session.answer()
        self.clock.advance(0)
        self.assertEqual(self.sent(), [["d", "e", "f"]])
        for each in asked[6:]:
            self.assertIn("Redis is slow", self.failureResultOf(each, StateError).getErrorMessage())
        self.successResultOf(asked[0])

    def test_lost(self) -> None:
        """When Redis is lost all fail, also those that were not sent yet."""
        asked = self.remove(*"abcdefghi")
        self.clock.advance(0)
        self.session.end("no answer")
        for each in asked:
            self.failureResultOf(each, StateError)

    def test_bounded(self) -> None:
        """Only so much waits."""
        self.patch(redisroster, "WAITING", 4)
        asked = self.remove(*"abcde")
        self.assertIn("too much waits", self.failureResultOf(asked[4], StateError).getErrorMessage())
        self.assertNoResult(asked[3])

    def test_failedMeanwhile(self) -> None:
        """What fails while Redis is away is handed in before it counts as there, and what fails
        even then, afterwards.  What somebody has removed is forgotten."""
        second = Session()
        self.dialler.results = [second]
        self.session.end("gone")
        for address in "ab":
            self.failureResultOf(self.state.roster.add(Sighting(address, 30.0, "r"), 0.0), StateError)
            self.advance(0.1)
        self.assertFalse(self.client.isThere)
        self.assertEqual([operations for operations, _ in second.scripts], [[["restore", "a", "30.0", "r"]]])
        self.assertEqual(self.state.roster.find("a", 1.0), Sighting("a", 30.0, "r"))
        second.answer()
        self.assertTrue(self.client.isThere)
        self.assertNoResult(self.state.roster.find("a", 1.0))
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual([o for operations, _ in second.scripts for o in operations][-1], ["restore", "b", "30.0", "r"])
        self.assertEqual(self.state.roster.find("b", 1.0), Sighting("b", 30.0, "r"))
        while second.scripts:
            second.answer()
        self.assertEqual(len(self.state.roster.copy), 0)
