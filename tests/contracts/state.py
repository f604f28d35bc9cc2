"""What every provider of L{umbcmail.interfaces.IState} promises.

A test case mixes L{StateContract} in and says how states are made that share one
store.  The times given are about now, as a store may itself let go of what has expired.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from umbcmail.figure import Figure
from umbcmail.interfaces import ICounters, IRoster, IState, IWatched
from umbcmail.sighting import Sighting, StateError

V4 = "192.0.2.7"
V6 = "2001:db8::7"
REPORTER = "198.51.100.1"
LIFETIME = 1800.0
PATIENCE = 10.0
"""Seconds after which what one process has done should long have been seen by another."""


class StateContract:
    """The promises.  C{self.state} and C{self.other} share a store."""

    def makeState(self) -> Any:
        """Another state that shares the store, not yet started."""
        raise NotImplementedError

    async def open(self) -> Any:
        """A state that has been started, and is stopped in the end."""
        state = self.makeState()
        await state.start()
        self.addCleanup(state.stop)
        return state

    async def setUp(self) -> None:
        """Two processes."""
        self.now = round(time.time(), 3)
        self.state = await self.open()
        self.other = await self.open()

    def sighting(self, address: str = V4, seconds: float = LIFETIME, reporter: str = REPORTER) -> Sighting:
        """One that expires that many seconds from C{self.now}."""
        return Sighting(address, round(self.now + seconds, 3), reporter)

    async def add(self, address: str = V4, seconds: float = LIFETIME, state: Any = None, later: float = 0.0) -> bool:
        """Add a sighting.  @param later: how long after C{self.now}."""
        return await (state or self.state).roster.add(self.sighting(address, seconds), self.now + later)

    async def find(self, address: str = V4, state: Any = None, later: float = 0.0) -> Sighting | None:
        """What is known of an address, at once or later."""
        return await maybeDeferred((state or self.state).roster.find, address, self.now + later)

    async def listed(self, state: Any = None, later: float = 0.0) -> list[str]:
        """Addresses of the listing."""
        return [each.address for each in await (state or self.state).roster.listing(self.now + later)]

    async def until(self, ask: Any, wanted: Any) -> None:
        """Ask again and again until the answer is the one that is wanted."""
        end = time.monotonic() + PATIENCE
        while (found := await ask()) != wanted:
            if time.monotonic() > end:
                raise AssertionError(f"{wanted!r} expected, still {found!r}")
            await deferLater(reactor, 0.01)

    async def count(self, number: float = 1.0, later: float = 0.0, state: Any = None, key: str = "ann") -> float:
        """Add to a counter that halves in 100 seconds."""
        counters = (state or self.state).counters
        return await counters.add("auth.login", key, number, 100.0, self.now + later)

    async def fails(self, what: Any, *args: Any) -> None:
        """A call fails with a L{StateError}, at once or later."""
        try:
            result = await maybeDeferred(what, *args)
        except StateError as why:
            self.assertTrue(str(why))
            return
        raise AssertionError(f"StateError expected, got {result!r}")

    def test_interface(self) -> None:
        """It has all that the interfaces ask for."""
        verifyObject(IState, self.state)
        verifyObject(IRoster, self.state.roster)
        verifyObject(ICounters, self.state.counters)
        verifyObject(IWatched, self.state)

    # The roster

    async def test_unknown(self) -> None:
        """Of an address that nobody has added nothing is known."""
        self.assertIsNone(await self.find())
        self.assertEqual(await self.listed(), [])

    async def test_addNew(self) -> None:
        """The first add is a new one, and the process finds it with all that was given."""
        self.assertIs(await self.add(), True)
        self.assertEqual(await self.find(), self.sighting())
        self.assertIsNone(await self.find("192.0.2.8"))

    async def test_kinds(self) -> None:
        """IPv4 and IPv6, with a reporter and without one."""
        entry = self.sighting(V6, reporter="")
        await self.add(V4)
        self.assertIs(await self.state.roster.add(entry, self.now), True)
        self.assertEqual(await self.find(V6), entry)
        self.assertEqual(await self.find(V4), self.sighting())

    async def test_renew(self) -> None:
        """An address that is there is not new; it lives longer, by who reported it last."""
        await self.add()
        renewed = replace(self.sighting(seconds=LIFETIME + 60), reporter="198.51.100.2")
        self.assertIs(await self.state.roster.add(renewed, self.now + 60), False)
        self.assertEqual(await self.find(), renewed)
        self.assertEqual(await self.find(later=LIFETIME + 30), renewed)
        self.assertEqual(await self.listed(), [V4])

    async def test_neverShorter(self) -> None:
        """An add that would expire sooner leaves it as long as it was."""
        await self.add()
        self.assertIs(await self.add(seconds=60), False)
        self.assertEqual(await self.find(), self.sighting())

    async def test_expired(self) -> None:
        """From the second on at which it expires it counts for nothing, and is new again."""
        await self.add()
        self.assertEqual(await self.find(later=LIFETIME - 0.001), self.sighting())
        self.assertIsNone(await self.find(later=LIFETIME))
        self.assertEqual(await self.listed(later=LIFETIME), [])
        self.assertIs(await self.add(seconds=2 * LIFETIME, later=LIFETIME), True)
        self.assertEqual(await self.find(later=LIFETIME), self.sighting(seconds=2 * LIFETIME))

    async def test_remove(self) -> None:
        """What has been removed is not there, and can be added again."""
        await self.add()
        await self.add(V6)
        self.assertIs(await self.state.roster.remove(V4), True)
        self.assertIs(await self.state.roster.remove(V4), False)
        self.assertIsNone(await self.find())
        self.assertEqual(await self.listed(), [V6])
        self.assertIs(await self.add(seconds=60), True)
        self.assertEqual(await self.find(), self.sighting(seconds=60))

    async def test_listing(self) -> None:
        """All that has not expired, by address, with all that is known of it."""
        await self.add("192.0.2.9")
        await self.add(V6)
        await self.add("192.0.2.10", seconds=60)
        entries = await self.state.roster.listing(self.now)
        self.assertEqual(entries, [self.sighting("192.0.2.10", 60), self.sighting("192.0.2.9"), self.sighting(V6)])
        self.assertEqual(await self.listed(later=60), ["192.0.2.9", V6])

    async def test_many(self) -> None:
        """Adds that are not waited for are all done, in the order in which they came."""
        addresses = [f"192.0.2.{n}" for n in range(200)]
        entries = [self.sighting(address, 60 + n) for n in range(2) for address in addresses]
        answers = await gatherResults([self.state.roster.add(entry, self.now) for entry in entries])
        self.assertEqual(answers, [True] * 200 + [False] * 200)
        found = await self.state.roster.listing(self.now)
        self.assertEqual(found, [self.sighting(address, 61) for address in sorted(addresses)])

    async def test_otherSees(self) -> None:
        """What a process adds, renews and removes others see soon."""
        await self.add()
        await self.until(lambda: self.find(state=self.other), self.sighting())
        self.assertIs(await self.add(seconds=LIFETIME + 60, state=self.other, later=60), False)
        # Who has the old entry may answer with it as long as it has not expired.
        await self.until(lambda: self.find(later=LIFETIME), self.sighting(seconds=LIFETIME + 60))
        self.assertEqual(await self.listed(self.other), await self.listed())
        self.assertIs(await self.other.roster.remove(V4), True)
        await self.until(self.find, None)
        self.assertEqual(await self.listed(), [])

    async def test_otherSeesSoonAgain(self) -> None:
        """An address that was asked for before it was added, and one that comes back after
        it was removed, are seen too."""
        self.assertIsNone(await self.find(state=self.other))
        for seconds in (60.0, 50.0):
            self.assertIs(await self.add(seconds=seconds), True)
            await self.until(lambda: self.find(state=self.other), self.sighting(seconds=seconds))
            self.assertIs(await self.state.roster.remove(V4), True)
            await self.until(lambda: self.find(state=self.other), None)

    async def test_together(self) -> None:
        """Of processes that add an address at the same time one has added it."""
        for n in range(20):
            address = f"192.0.2.{n}"
            adds = [each.roster.add(self.sighting(address), self.now) for each in (self.state, self.other) * 2]
            self.assertEqual(sorted(await gatherResults(adds)), [False, False, False, True])

    # Counters

    async def test_count(self) -> None:
        """A number is what has been added to it; each name and key has its own."""
        self.assertEqual(await self.count(), 1.0)
        self.assertEqual(await self.count(2.5), 3.5)
        self.assertEqual(await self.count(1.0, key="bob"), 1.0)
        self.assertEqual(await self.state.counters.add("auth.address", "ann", 4.0, 100.0, self.now), 4.0)
        self.assertEqual(await self.state.counters.add("auth.logina", "nn", 5.0, 100.0, self.now), 5.0)
        self.assertEqual(await self.count(0.0), 3.5)

    async def test_fade(self) -> None:
        """It halves in the half life, evenly, however often it is looked at."""
        await self.count(8.0)
        self.assertAlmostEqual(await self.count(0.0, 50.0), 8.0 * 0.5**0.5, 6)
        self.assertAlmostEqual(await self.count(0.0, 100.0), 4.0, 6)
        self.assertAlmostEqual(await self.count(1.0, 300.0), 2.0, 6)

    async def test_notBelowZero(self) -> None:
        """It is 0 at least, whatever is taken away."""
        await self.count(2.0)
        self.assertEqual(await self.count(-5.0), 0.0)
        self.assertEqual(await self.count(-1.0), 0.0)
        self.assertEqual(await self.count(1.0), 1.0)
        self.assertEqual(await self.count(-1.0, key="nobody"), 0.0)

    async def test_clocks(self) -> None:
        """By a clock that is behind nothing fades, and nothing fades twice."""
        await self.count(8.0)
        self.assertAlmostEqual(await self.count(0.0, -100.0), 8.0, 6)
        self.assertAlmostEqual(await self.count(0.0, 100.0), 4.0, 6)

    async def test_forget(self) -> None:
        """What is forgotten is 0, and nothing else is."""
        await self.count(3.0)
        await self.count(4.0, key="bob")
        self.assertIsNone(await self.state.counters.forget("auth.login", "ann"))
        self.assertIsNone(await self.state.counters.forget("auth.login", "ann"))
        self.assertEqual(await self.count(0.0), 0.0)
        self.assertEqual(await self.count(0.0, key="bob"), 4.0)

    async def test_anyKey(self) -> None:
        """What clients send may be a key: any text, also one that is not Unicode."""
        keys = ["", "a b", "a:b", "a\0b", "a\r\nb", "%s*?[x]", "b\u00f6b", "b\udcffb", "x" * 500]
        for n, key in enumerate(keys):
            self.assertEqual(await self.count(n + 1.0, key=key), n + 1.0)
        for n, key in enumerate(keys):
            self.assertEqual(await self.count(0.0, key=key), n + 1.0)

    async def test_countTogether(self) -> None:
        """All processes count together, and nothing gets lost between them."""
        adds = [
            each.counters.add("auth.login", "ann", 1.0, 100.0, self.now)
            for _ in range(25)
            for each in (self.state, self.other)
        ]
        found = await gatherResults(adds)
        self.assertEqual(sorted(found), [float(n + 1) for n in range(50)])
        await self.other.counters.forget("auth.login", "ann")
        self.assertEqual(await self.count(), 1.0)

    # Beginning and end

    async def test_survives(self) -> None:
        """When all have stopped, who starts next finds all of it."""
        await self.add()
        await self.add(V6)
        await self.state.roster.remove(V6)
        await self.count(3.0)
        await self.state.stop()
        await self.other.stop()
        next = await self.open()
        self.assertEqual(await self.find(state=next), self.sighting())
        self.assertIsNone(await self.find(V6, next))
        self.assertIs(await self.add(state=next), False)
        self.assertEqual(await self.count(0.0, state=next), 3.0)

    async def test_stopFinishes(self) -> None:
        """What has been asked for is done before the end."""
        asked = [self.state.roster.add(self.sighting(), self.now), self.state.roster.add(self.sighting(V6), self.now)]
        await self.state.stop()
        self.assertEqual(await gatherResults(asked), [True, True])
        self.assertEqual(await self.listed(self.other), [V4, V6])

    async def test_closed(self) -> None:
        """Before the start and after the end everything fails, with L{StateError}."""
        await self.add()
        new = self.makeState()
        await self.state.stop()
        for state in (new, self.state):
            await self.fails(state.roster.add, self.sighting(), self.now)
            await self.fails(state.roster.find, "192.0.2.8", self.now)
            await self.fails(state.roster.remove, V4)
            await self.fails(state.roster.listing, self.now)
            await self.fails(state.counters.add, "auth.login", "ann", 1.0, 100.0, self.now)
            await self.fails(state.counters.forget, "auth.login", "ann")
        self.assertEqual(await self.find(state=self.other), self.sighting())

    async def test_stopTwice(self) -> None:
        """It may be stopped again, and before it was started."""
        await self.makeState().stop()
        await self.state.stop()
        await self.state.stop()

    # For who watches

    async def test_watched(self) -> None:
        """All is well, and figures tell how many addresses the roster has."""
        self.assertEqual((self.state.name, self.state.condition()), ("state", ""))
        await self.add()
        await self.add(V6)
        await self.until(self._entries, 2)

    async def _entries(self) -> float | None:
        figures = list(self.state.figures())
        self.assertTrue(all(isinstance(each, Figure) for each in figures))
        # While a store does not know it there is no such figure.
        return next((each.value for each in figures if each.name == "state_roster_entries"), None)
