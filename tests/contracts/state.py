"""What every provider of L{umbcmail.interfaces.IState} promises.

A test case mixes L{StateContract} in and says how states are made that share one
store.  The times given are about now, as a store may itself let go of what has expired.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from umbcmail.figure import Figure
from umbcmail.hoststatus import FORGOTTEN, USUAL, HostStatus
from umbcmail.interfaces import ICounters, IHosts, IRoster, IState, IWatched
from umbcmail.sighting import Sighting, StateError

V4 = "192.0.2.7"
V6 = "2001:db8::7"
REPORTER = "198.51.100.1"
LIFETIME = 1800.0
HOST = "mx.example[192.0.2.1]:25"
SHARED = 2.0
"""Seconds after which at most one process knows of hosts what another one has found out."""
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
        verifyObject(IHosts, self.state.hosts)
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

    # Hosts that do not answer

    def status(self, state: Any = None, later: float = 0.0, host: str = HOST) -> HostStatus | None:
        """What is known of a host."""
        return (state or self.state).hosts.find(host, self.now + later)

    async def failed(self, state: Any = None, later: float = 0.0, why: str = "refused", host: str = HOST) -> HostStatus:
        """It could not be reached."""
        return await (state or self.state).hosts.failed(host, why, self.now + later)

    async def claim(self, state: Any = None, later: float = 0.0, host: str = HOST) -> bool:
        """Try to become the one who looks, for 900 seconds."""
        return await (state or self.state).hosts.claimProbe(host, self.now + later, 900.0)

    async def hostsListed(self, state: Any = None, later: float = 0.0) -> list[str]:
        """Names of the listing."""
        return [each.host for each in await (state or self.state).hosts.listing(self.now + later)]

    async def shared(self, wanted: Any) -> None:
        """Wait until all processes know the same of the host; it does not take long."""
        begin = time.monotonic()

        async def seen() -> list[Any]:
            return [self.status(), self.status(self.other)]

        await self.until(seen, [wanted, wanted])
        self.assertLess(time.monotonic() - begin, SHARED)

    async def test_nothingWrong(self) -> None:
        """Of a host that nobody has complained of nothing is known, and anybody may try it."""
        self.assertIsNone(self.status())
        self.assertIsNone(await self.state.hosts.answered(HOST, self.now))
        self.assertIs(await self.state.hosts.resume(HOST), False)
        self.assertEqual([await self.claim(), await self.claim(self.other)], [True, True])
        self.assertEqual(await self.hostsListed(), [])

    async def test_hostFails(self) -> None:
        """It is known at once to who says so, with all that matters, and soon to all."""
        asked = self.state.hosts.failed(HOST, "refused", self.now)
        expected = HostStatus(HOST, 1, self.now, self.now, self.now + USUAL.first, "refused")
        self.assertEqual(self.status(), expected)
        self.assertEqual(await asked, expected)
        await self.shared(expected)
        self.assertIsNone(self.status(host="mx.example[192.0.2.2]:25"))

    async def test_hostFailsAgain(self) -> None:
        """Failures at the same time are one, whoever has met them; one after the wait is another."""
        await self.failed()
        for state in (self.state, self.other):
            self.assertEqual((await self.failed(state, 30.0, "timeout")).failures, 1)
        second = await self.failed(self.other, USUAL.first, "timeout")
        self.assertEqual((second.failures, second.since, second.why), (2, self.now, "timeout"))
        self.assertEqual(second.again, self.now + 3 * USUAL.first)
        await self.shared(second)

    async def test_hostAnswers(self) -> None:
        """Then nothing is wrong with it any more, for nobody, and it begins anew."""
        before = await self.failed()
        await self.shared(before)
        asked = self.other.hosts.answered(HOST, self.now + 1)
        self.assertIsNone(self.status(self.other))
        self.assertEqual(await asked, before)
        await self.shared(None)
        self.assertEqual(await self.hostsListed(), [])
        self.assertIsNone(await self.state.hosts.answered(HOST, self.now + 2))
        self.assertEqual((await self.failed(later=3)).failures, 1)

    async def test_answersUnseen(self) -> None:
        """It may be told that it answers by a process that has not heard yet that it does not."""
        before = await self.failed()
        self.assertEqual(await self.other.hosts.answered(HOST, self.now + 1), before)
        await self.shared(None)

    async def test_probe(self) -> None:
        """When the wait is over one of many may look, and no other one until it has failed
        again or does not come back."""
        first = await self.failed()
        await self.shared(first)
        self.assertIs(await self.claim(later=USUAL.first - 1), False)
        claims = [self.claim(state, USUAL.first) for state in (self.state, self.other) * 10]
        self.assertEqual(sorted(await gatherResults(map(ensureDeferred, claims))), [False] * 19 + [True])
        await self.shared(replace(first, probed=self.now + USUAL.first + 900.0))
        for state in (self.state, self.other):
            self.assertIs(await self.claim(state, USUAL.first + 899.0), False)
        self.assertIs(await self.claim(self.other, USUAL.first + 900.0), True)
        second = await self.failed(self.other, USUAL.first + 910.0)
        self.assertEqual((second.failures, second.probed), (2, 0.0))
        await self.shared(second)

    async def test_probeGoesOn(self) -> None:
        """Who looks says so again and again; when nobody looks any more nothing is kept from others."""
        first = await self.failed()
        await self.shared(first)
        self.assertIs(await self.claim(later=USUAL.first), True)
        for later in (600.0, 1200.0):
            await self.state.hosts.prolongProbe(HOST, self.now + USUAL.first + later, 900.0)
            await self.shared(replace(first, probed=self.now + USUAL.first + later + 900.0))
        self.assertIs(await self.claim(self.other, USUAL.first + 2099.0), False)
        second = await self.failed(later=USUAL.first + 1300.0)
        await self.state.hosts.prolongProbe(HOST, self.now + USUAL.first + 1301.0, 900.0)
        await self.shared(second)
        await self.state.hosts.answered(HOST, self.now + 2000.0)
        await self.state.hosts.prolongProbe(HOST, self.now + 2001.0, 900.0)
        await self.shared(None)

    async def test_probeManyTimes(self) -> None:
        """Of claims at the same moment, one has it each time, and who has it is the only one
        that may tell."""
        for n in range(10):
            host = f"mx{n}.example[192.0.2.1]:25"
            await self.failed(host=host)
            await self.until(lambda h=host: _now(self.status(self.other, host=h) is not None), True)
            claims = [self.claim(state, 60.0, host) for state in (self.state, self.other)]
            self.assertEqual(sorted(await gatherResults(map(ensureDeferred, claims))), [False, True])

    async def test_suspend(self) -> None:
        """An operator wants no attempt: nobody looks, and it stays so when the host answers
        an attempt that was under way, or fails; until it is resumed."""
        await self.failed()
        self.assertIsNone(await self.state.hosts.suspend(HOST, "moves", self.now + 1))
        self.assertEqual(self.status().suspended, "moves")
        await self.shared(self.status())
        self.assertIs(await self.claim(self.other, 10 * USUAL.first), False)
        self.assertEqual((await self.other.hosts.answered(HOST, self.now + 2)).suspended, "moves")
        await self.shared(HostStatus(HOST, last=self.now + 2, suspended="moves"))
        self.assertEqual((await self.failed(later=3)).suspended, "moves")
        self.assertEqual(await self.hostsListed(self.other, 10 * FORGOTTEN), [HOST])
        self.assertIsNotNone(self.status(later=10 * FORGOTTEN))
        self.assertIs(await self.other.hosts.resume(HOST), True)
        self.assertIsNone(self.status(self.other))
        await self.shared(None)
        self.assertIs(await self.state.hosts.resume(HOST), False)

    async def test_hostsListing(self) -> None:
        """All that something is wrong with, by name, at once."""
        await self.failed(host="b.example:25")
        await self.state.hosts.suspend("unix:/run/a", "moves", self.now)
        await self.failed(host="a.example:25")
        await self.failed(host="c.example:25")
        await self.state.hosts.answered("c.example:25", self.now)
        for state in (self.state, self.other):
            found = await state.hosts.listing(self.now)
            self.assertEqual([each.host for each in found], ["a.example:25", "b.example:25", "unix:/run/a"])
            self.assertEqual([each.failures for each in found], [1, 1, 0])
            self.assertEqual([each.suspended for each in found], ["", "", "moves"])

    async def test_hostForgotten(self) -> None:
        """What has not failed for a day is forgotten, and begins anew."""
        await self.shared(await self.failed())
        self.assertIsNotNone(self.status(later=FORGOTTEN - 1))
        for state in (self.state, self.other):
            self.assertIsNone(self.status(state, FORGOTTEN))
            self.assertEqual(await self.hostsListed(state, FORGOTTEN), [])
        self.assertIsNone(await self.other.hosts.answered(HOST, self.now + FORGOTTEN))
        self.assertEqual((await self.failed(later=FORGOTTEN)).failures, 1)

    async def test_whenBack(self) -> None:
        """Who wants to know it hears of each host that answers again or is resumed, whoever
        has done that."""
        back: list[str] = []
        self.state.hosts.whenBack(back.append)
        await self.failed()
        await self.failed(host="b.example:25")
        await self.other.hosts.suspend("c.example:25", "moves", self.now)
        await self.until(lambda: _now(self.status(host="c.example:25") is not None), True)
        self.assertEqual(back, [])
        await self.state.hosts.answered("b.example:25", self.now)
        await self.until(lambda: _now(list(back)), ["b.example:25"])
        await self.other.hosts.answered(HOST, self.now)
        await self.until(lambda: _now(list(back)), ["b.example:25", HOST])
        await self.other.hosts.resume("c.example:25")
        await self.until(lambda: _now(list(back)), ["b.example:25", HOST, "c.example:25"])

    # Beginning and end

    async def test_survives(self) -> None:
        """When all have stopped, who starts next finds all of it."""
        await self.add()
        await self.add(V6)
        await self.state.roster.remove(V6)
        await self.count(3.0)
        known = await self.failed()
        await self.state.hosts.suspend("b.example:25", "moves", self.now)
        await self.state.stop()
        await self.other.stop()
        next = await self.open()
        self.assertEqual(await self.find(state=next), self.sighting())
        self.assertIsNone(await self.find(V6, next))
        self.assertIs(await self.add(state=next), False)
        self.assertEqual(await self.count(0.0, state=next), 3.0)
        self.assertEqual(self.status(next), known)
        self.assertEqual(await self.hostsListed(next), ["b.example:25", HOST])

    async def test_stopFinishes(self) -> None:
        """What has been asked for is done before the end."""
        asked = [self.state.roster.add(self.sighting(), self.now), self.state.roster.add(self.sighting(V6), self.now)]
        await self.state.stop()
        self.assertEqual(await gatherResults(asked), [True, True])
        self.assertEqual(await self.listed(self.other), [V4, V6])

    async def test_closed(self) -> None:
        """Before the start and after the end everything fails, with L{StateError}, but what
        a process finds out of hosts it knows."""
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
            await self.fails(state.hosts.suspend, HOST, "moves", self.now)
            await self.fails(state.hosts.resume, HOST)
            await self.fails(state.hosts.listing, self.now)
            self.assertEqual((await self.failed(state)).failures, 1)
            self.assertEqual(self.status(state).why, "refused")
            self.assertIs(await self.claim(state, USUAL.first), True)
            self.assertIs(await self.claim(state, USUAL.first), False)
            self.assertEqual((await state.hosts.answered(HOST, self.now + 1)).failures, 1)
            self.assertIsNone(self.status(state))
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
        await self.failed()
        await self.failed(host="b.example:25")
        await self.state.hosts.suspend("c.example:25", "moves", self.now)
        figures = {each.labels: each.value for each in self.state.figures() if each.name == "state_hosts"}
        self.assertEqual(figures, {(("status", "down"),): 2, (("status", "suspended"),): 1})

    async def _entries(self) -> float | None:
        figures = list(self.state.figures())
        self.assertTrue(all(isinstance(each, Figure) for each in figures))
        # While a store does not know it there is no such figure.
        return next((each.value for each in figures if each.name == "state_roster_entries"), None)


async def _now(value: Any) -> Any:
    """What L{StateContract.until} is told at once."""
    return value
