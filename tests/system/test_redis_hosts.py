"""Which hosts do not answer, in Redis, with a real server: while it is away, and when it is back."""

from __future__ import annotations

import signal
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from tests.contracts.state import HOST, SHARED
from tests.system.test_redis_state import TIMEOUT, AwayCase
from umbcmail.hoststatus import FORGOTTEN, KEPT, USUAL, HostStatus
from umbcmail.sighting import StateError
from umbcmail.state.redis import RedisState


class RedisHostsTests(AwayCase):
    """Hosts in Redis."""

    async def failed(self, state: RedisState, host: str = HOST, later: float = 0.0) -> HostStatus:
        """It could not be reached."""
        return await state.hosts.failed(host, "refused", self.now + later)

    def known(self, state: RedisState) -> list[str]:
        """Hosts that something is wrong with, as a process knows them."""
        return sorted(host for host in state.hosts._copy if state.hosts.find(host, self.now) is not None)

    async def listed(self, state: RedisState) -> list[str]:
        """The same as Redis has them."""
        return [each.host for each in await state.hosts.listing(self.now)]

    async def test_killed(self) -> None:
        """While Redis is away each process knows what it has known, and what it finds out by
        itself, and may look by itself; operators hear that nothing can be done; when Redis is
        back all know all of it."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.failed(one)
        await two.hosts.suspend("b.example:25", "moves", self.now)
        await self.until(lambda: self.known(one) == self.known(two) == ["b.example:25", HOST])
        server.kill()
        await self.ill(one, "finds out by itself which hosts do not answer")
        await self.ill(two, "away")
        self.assertEqual((await self.failed(one, "c.example:25")).failures, 1)
        self.assertEqual((await one.hosts.answered(HOST, self.now + 1)).failures, 1)
        self.assertEqual(self.known(one), ["b.example:25", "c.example:25"])
        self.assertEqual(self.known(two), ["b.example:25", HOST])
        for state in (one, two):
            self.assertEqual(state.hosts.find("b.example:25", self.now).suspended, "moves")
            for asked in (
                state.hosts.suspend(HOST, "x", self.now),
                state.hosts.resume("b.example:25"),
                state.hosts.listing(self.now),
            ):
                await self.assertFailure(asked, StateError)
        self.assertEqual((await self.failed(two, later=USUAL.first)).failures, 2)
        claims = [await one.hosts.claimProbe("c.example:25", self.now + USUAL.first, 900.0) for _ in range(2)]
        self.assertEqual(claims, [True, False])
        server.start()
        await self.well(one)
        await self.well(two)
        # Two has seen it fail after one has seen it answer.
        everything = ["b.example:25", "c.example:25", HOST]
        await self.until(lambda: self.known(one) == self.known(two) == everything)
        self.assertEqual(await self.listed(await self.at(server)), everything)
        self.assertEqual((one.hosts._unshared, two.hosts._unshared), (set(), set()))

    async def test_answeredMeanwhile(self) -> None:
        """What answers while Redis is away is not held back when Redis is back, though Redis
        and others still have that it does not."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.failed(one)
        await self.until(lambda: self.known(two), [HOST])
        server.kill()
        await self.ill(one, "away")
        await one.hosts.answered(HOST, self.now + 1)
        server.start()
        await self.well(one)
        await self.well(two)
        await self.until(lambda: (self.known(one), self.known(two)), ([], []))
        self.assertEqual(await self.listed(one), [])

    async def test_hangs(self) -> None:
        """Redis does not answer: all is known in the time that an answer may take, and
        nothing fails but what an operator wants."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.failed(one)
        await self.until(lambda: self.known(two), [HOST])
        server.signal(signal.SIGSTOP)
        begin = reactor.seconds()
        asked: list[Any] = [
            self.failed(one, "b.example:25"),
            one.hosts.claimProbe(HOST, self.now + USUAL.first, 900.0),
            one.hosts.answered("c.example:25", self.now),
            self.assertFailure(one.hosts.suspend("d.example:25", "moves", self.now), StateError),
        ]
        self.assertEqual(self.known(one), [HOST])  # nothing of it has begun
        found = await gatherResults([ensureDeferred(_wait(each)) for each in asked])
        self.assertLess(reactor.seconds() - begin, 4 * TIMEOUT)
        self.assertEqual((found[0].failures, found[1], found[2]), (1, True, None))
        self.assertEqual(self.known(one), ["b.example:25", HOST])
        server.signal(signal.SIGCONT)
        await self.well(one)
        await self.well(two)
        await self.until(lambda: self.known(one) == self.known(two))
        # What Redis had got before it stopped it has done.
        self.assertLessEqual({"b.example:25", HOST}, set(self.known(two)))
        await self.until(lambda: two.hosts.find(HOST, self.now).probed, self.now + USUAL.first + 900.0)
        self.assertEqual(await self.listed(two), self.known(two))

    async def test_emptied(self) -> None:
        """Somebody empties Redis: those who know hand it in again, what an operator has
        suspended too; what was resumed does not come back."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.failed(one)
        await two.hosts.suspend("b.example:25", "moves", self.now)
        await two.hosts.suspend("c.example:25", "moves", self.now)
        await one.hosts.resume("c.example:25")
        await self.until(lambda: self.known(one) == self.known(two) == ["b.example:25", HOST])
        server.ask("FLUSHALL")
        await self.ill(one, "has been emptied")
        await self.well(one)
        await self.well(two)
        third = await self.at(server)
        await self.until(lambda: self.known(third), ["b.example:25", HOST])
        self.assertEqual(self.known(one), self.known(two))
        self.assertIs(await third.hosts.resume("b.example:25"), True)
        await self.until(lambda: self.known(one) == self.known(two) == self.known(third) == [HOST])

    async def test_missed(self) -> None:
        """What others have changed while a process could not hear it it learns, and does not
        bring back what it has known."""
        server = self.serve()
        path = server.folder / "one.sock"
        path.symlink_to(server.socket)
        one, two = await self.open(f"redis+unix:{path}"), await self.at(server)
        back: list[str] = []
        one.hosts.whenBack(back.append)
        await self.failed(one)
        await self.failed(one, "b.example:25")
        await one.hosts.suspend("c.example:25", "moves", self.now)
        path.unlink()
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await self.ill(one, "away")
        await self.well(two)
        await two.hosts.answered(HOST, self.now + 1)
        await two.hosts.resume("c.example:25")
        await two.hosts.suspend("d.example:25", "moves", self.now)
        self.assertEqual((self.known(one), back), (["b.example:25", "c.example:25", HOST], []))
        path.symlink_to(server.socket)
        await self.well(one)
        for state in (one, two):
            self.assertEqual(self.known(state), ["b.example:25", "d.example:25"])
        self.assertEqual(sorted(back), ["c.example:25", HOST])
        self.assertEqual(await self.listed(one), ["b.example:25", "d.example:25"])

    async def test_oneProbes(self) -> None:
        """Of several processes that want to look at the same moment one may; of a hundred
        failures within a wait one is written."""
        server = self.serve()
        states = [await self.at(server) for _ in range(3)]
        hosts = [f"mx{n}.example:25" for n in range(50)]
        fails = [self.failed(each, host, -USUAL.first) for host in hosts for each in states for _ in range(5)]
        await gatherResults(map(ensureDeferred, fails))
        self.assertEqual(server.ask("GET", "test:hosts:last"), "$2\r\n50\r\n")
        claims = [each.hosts.claimProbe(host, self.now, 900.0) for host in hosts for each in states]
        won = await gatherResults(claims)
        self.assertEqual([sum(won[n : n + 3]) for n in range(0, len(won), 3)], [1] * len(hosts))
        self.assertEqual(server.ask("GET", "test:hosts:last"), "$3\r\n100\r\n")
        begin = reactor.seconds()
        await self.until(lambda: {each.hosts.find(h, self.now).probed for each in states for h in hosts}.__len__(), 1)
        self.assertLess(reactor.seconds() - begin, SHARED)

    async def test_copiesAgree(self) -> None:
        """Processes find out, answer, suspend and resume at random while their connections
        break again and again: in the end all copies are what Redis has."""
        server = self.serve()
        states = [await self.at(server) for _ in range(3)]
        dice = Random(6)
        for turn in range(400):
            host, state, now = f"mx{dice.randrange(20)}.example:25", dice.choice(states), self.now + turn
            hosts = state.hosts
            call = dice.randrange(5)
            if turn % 40 == 7:
                server.ask("CLIENT", "KILL", "TYPE", dice.choice(("pubsub", "normal")), "SKIPME", "yes")
            try:
                if call == 0:
                    await hosts.failed(host, "refused", now)
                elif call == 1:
                    await hosts.answered(host, now)
                elif call == 2:
                    await hosts.claimProbe(host, now, 30.0)
                elif call == 3:
                    await hosts.suspend(host, "moves", now)
                else:
                    await hosts.resume(host)
            except StateError:
                self.assertIn(call, (3, 4))
        await self.until(lambda: [each.condition() for each in states], [""] * 3)
        # What is on its way is not there yet.
        await self.until(
            lambda: [(each.hosts._unshared, each.hosts._isSharing) for each in states], [(set(), False)] * 3
        )
        expected = await states[0].hosts.listing(self.now)
        self.assertTrue(expected)
        for state in states:
            await self.until(
                lambda s=state: [known for host in self.known(s) if (known := s.hosts.find(host, self.now))], expected
            )

    async def test_forgotten(self) -> None:
        """What nobody needs any more goes from Redis; a suspended host never."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.failed(one)
        await self.failed(one, "b.example:25")
        await one.hosts.answered("b.example:25", self.now)
        await one.hosts.suspend("c.example:25", "moves", self.now)
        await self.until(lambda: len(two.hosts._copy), 3)
        for later, left in ((KEPT, 2), (FORGOTTEN, 1)):
            two.hosts.purge(self.now + later + 1)
            one.hosts.purge(self.now + later + 1)
            await self.until(lambda left=left: server.ask("HLEN", "test:hosts"), f":{left}\r\n")
            self.assertEqual((len(one.hosts._copy), len(one.hosts._texts)), (left, left))
        self.assertIn("c.example:25", server.ask("HGETALL", "test:hosts"))
        await deferLater(reactor, 0)


async def _wait(asked: Any) -> Any:
    """For coroutines and Deferreds."""
    return await asked
