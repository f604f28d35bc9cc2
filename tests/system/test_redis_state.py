"""The state in Redis, with real servers: what it promises, and what happens while Redis
is away."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.contracts.state import V4, V6, StateContract
from tests.fakes import FakeLog
from tests.system.programs import certificate
from tests.system.redisservers import Sentinel, Server
from umbcmail.sighting import Sighting, StateError
from umbcmail.state.redis import RedisState, authorities
from umbcmail.state.redisclient import RedisClient
from umbcmail.state.redisplace import placeOf
from umbcmail.state.redissession import Dialler

TIMEOUT = 1.0


class Log(FakeLog):
    """Remembers also events.

    @ivar events: pairs of name and values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, what: str, id: str, /, **values: Any) -> None:
        """See L{umbcmail.maillog.MailLog.event}."""
        self.events.append((what, values))


class RedisCase(TestCase):
    """A folder, servers and states that end with the test."""

    timeout = 60
    log: Log

    def noBugs(self) -> None:
        """No test passes that met one."""
        self.assertEqual([str(failure) for _, _, failure in self.log.bugs], [])

    def folder(self) -> Path:
        """A new one."""
        folder = tempfile.mkdtemp(prefix="umbcmail-test-")
        self.addCleanup(shutil.rmtree, folder)
        return Path(folder)

    def serve(self, *lines: str, **named: Any) -> Server:
        """A server."""
        server = Server(self.folder(), *lines, **named)
        self.addCleanup(server.stop)
        return server

    def makeAt(self, url: str, password: str | None = None, prefix: str = "test:", trust: Any = None) -> RedisState:
        """A state at a url, not yet started."""
        if not hasattr(self, "log"):
            self.log = Log()
            self.addCleanup(self.noBugs)
        place = placeOf(url)
        secret = password.encode() if password is not None else None
        dialler = Dialler(place, secret, trust, TIMEOUT, reactor)
        return RedisState(RedisClient(dialler, prefix, place.db, TIMEOUT, reactor, self.log), reactor)

    async def until(self, ask: Any, wanted: Any = True, seconds: float = 15.0) -> None:
        """Ask again and again until the answer is the one that is wanted."""
        begin = reactor.seconds()
        while (found := ask()) != wanted:
            if reactor.seconds() - begin > seconds:
                raise AssertionError(f"{wanted!r} expected, still {found!r}; {self.log.troubles}")
            await deferLater(reactor, 0.01)


class RedisStateTests(StateContract, RedisCase):
    """The state in Redis keeps the promises."""

    def makeState(self) -> RedisState:
        """One that shares the server of this test."""
        if not hasattr(self, "server"):
            self.server = self.serve()
        return self.makeAt(f"redis://127.0.0.1:{self.server.port}")

    async def until(self, ask: Any, wanted: Any) -> None:
        """See L{StateContract.until}."""
        await StateContract.until(self, ask, wanted)


class AwayCase(RedisCase):
    """One server, states at it, and what can be asked of them."""

    def setUp(self) -> None:
        """Times are about now."""
        self.now = round(reactor.seconds(), 3)

    async def open(self, url: str, **named: Any) -> RedisState:
        """A state that has been started, and is stopped in the end."""
        state = self.makeAt(url, **named)
        await state.start()
        self.addCleanup(state.stop)
        return state

    async def at(self, server: Server, **named: Any) -> RedisState:
        """The same, at a server."""
        return await self.open(f"redis://127.0.0.1:{server.port}", **named)

    def sighting(self, address: str = V4, seconds: float = 1800.0) -> Sighting:
        """One that expires that many seconds from C{self.now}."""
        return Sighting(address, round(self.now + seconds, 3), "198.51.100.1")

    async def add(self, state: RedisState, address: str = V4) -> bool:
        """Add a sighting."""
        return await state.roster.add(self.sighting(address), self.now)

    async def refused(self, state: RedisState, address: str = V4) -> str:
        """An add fails, and why."""
        why = await self.assertFailure(state.roster.add(self.sighting(address), self.now), StateError)
        return str(why)

    async def listed(self, state: RedisState) -> list[str]:
        """Addresses of the listing."""
        return [each.address for each in await state.roster.listing(self.now)]

    async def count(self, state: RedisState, number: float = 1.0) -> float:
        """Add to a counter that halves in an hour."""
        return await state.counters.add("auth.login", "ann", number, 3600.0, self.now)

    async def well(self, state: RedisState) -> None:
        """Wait until all is well."""
        await self.until(state.condition, "")

    async def ill(self, state: RedisState, why: str) -> None:
        """Wait for a condition with a text in it."""
        await self.until(lambda: why in state.condition(), True)


class AwayTests(AwayCase):
    """While Redis is away, and when it is back."""

    async def test_killed(self) -> None:
        """Redis is killed in the middle of adds: what has been acknowledged is there when it
        is back, to a process that has never seen it too, and nobody had to do anything."""
        server = self.serve()
        state = await self.at(server)
        acknowledged: list[str] = []
        failures: list[str] = []
        for number in range(4000):
            address = f"10.0.{number >> 8}.{number & 255}"
            asked = state.roster.add(self.sighting(address), self.now)
            asked.addCallbacks(lambda _, a=address: acknowledged.append(a), lambda _, a=address: failures.append(a))
            if number % 20 == 0:
                await deferLater(reactor, 0.001)
            if number == 2000:
                server.kill()
        await self.until(lambda: len(acknowledged) + len(failures), 4000)
        self.assertTrue(acknowledged)
        self.assertTrue(failures)
        await self.ill(state, "Redis is away since")
        self.assertEqual(state.roster.find(acknowledged[0], self.now), self.sighting(acknowledged[0]))
        server.start()
        other = await self.at(server)
        self.assertEqual(set(acknowledged) - set(await self.listed(other)), set())
        await self.well(state)
        self.assertIs(await self.add(state, acknowledged[0]), False)
        # What was not acknowledged has been handed in.
        self.assertEqual(set(failures) - set(await self.listed(other)), set())
        self.assertEqual([where for _, where, _ in self.log.troubles], ["redis"])

    async def test_awayAtStart(self) -> None:
        """The start does not fail; nothing is known, so nothing is answered; and all goes
        well when Redis comes."""
        server = self.serve()
        server.kill()
        state = await self.at(server)
        self.assertIn(f"127.0.0.1:{server.port}: connection refused; what is known", state.condition())
        await self.assertFailure(state.roster.find(V4, self.now), StateError)
        await self.assertFailure(state.roster.listing(self.now), StateError)
        self.assertIn("connection refused", await self.refused(state))
        # It knows that one by itself.
        self.assertEqual(state.roster.find(V4, self.now), self.sighting())
        self.assertEqual(len(self.log.troubles), 1)
        server.start()
        await self.well(state)
        self.assertIsNone(await state.roster.find(V6, self.now))
        self.assertEqual(await self.listed(await self.at(server)), [V4])
        self.assertEqual([(n, v["why"]) for n, v in self.log.events][:1], [("redis", "is there")])

    async def test_hangs(self) -> None:
        """Redis does not answer: everything has a deadline, and what is known holds."""
        server = self.serve()
        state = await self.at(server)
        await self.add(state)
        server.signal(signal.SIGSTOP)
        begin = reactor.seconds()
        asked = [self.refused(state, V6), self.assertFailure(state.roster.find("192.0.2.8", self.now), StateError)]
        asked += [self.assertFailure(state.roster.remove(V4), StateError)]
        self.assertIn("no answer in 1 s", (await gatherResults(list(map(ensureDeferred, asked))))[0])
        self.assertLess(reactor.seconds() - begin, 4 * TIMEOUT)
        await self.ill(state, "no answer")
        self.assertEqual(state.roster.find(V4, self.now), self.sighting())
        self.assertEqual(await self.listed(state), [V4, V6])
        self.assertEqual(await self.count(state), 1.0)
        server.signal(signal.SIGCONT)
        await self.well(state)
        self.assertIs(await self.add(state, V6), False)
        self.assertEqual(len(self.log.troubles), 1)
        self.assertEqual(len(self.log.events), 2)

    async def test_hangsIdle(self) -> None:
        """That is found out though nobody asks for anything."""
        server = self.serve()
        state = await self.at(server)
        server.signal(signal.SIGSTOP)
        await self.ill(state, "no answer in 1 s")
        server.signal(signal.SIGCONT)
        await self.well(state)

    async def test_counters(self) -> None:
        """While Redis is away each process counts for itself; then all is added up."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        self.assertEqual(await self.count(one, 5.0), 5.0)
        server.kill()
        await self.ill(one, "away")
        await self.ill(two, "away")
        self.assertEqual(await self.count(one), 1.0)
        self.assertEqual(await self.count(one), 2.0)
        self.assertEqual(await self.count(two), 1.0)
        server.start()
        await self.well(one)
        await self.well(two)
        self.assertAlmostEqual(await self.count(one, 0.0), 8.0, 6)
        server.kill()
        await self.ill(one, "away")
        self.assertIsNone(await one.counters.forget("auth.login", "ann"))
        self.assertEqual(await self.count(one), 1.0)
        server.start()
        await self.well(one)
        await self.well(two)
        self.assertAlmostEqual(await self.count(two, 0.0), 1.0, 6)

    async def test_emptied(self) -> None:
        """Somebody empties Redis: who knows the entries hands them in again."""
        server = self.serve()
        state = await self.at(server)
        await self.add(state)
        server.ask("FLUSHALL")
        self.assertEqual(state.roster.find(V4, self.now), self.sighting())
        await self.ill(state, "has been emptied")
        await self.well(state)
        self.assertEqual(await self.listed(await self.at(server)), [V4])
        self.assertEqual(await self.count(state), 1.0)

    async def test_scriptsForgotten(self) -> None:
        """Redis does not know the scripts any more: nobody notices."""
        server = self.serve()
        state = await self.at(server)
        for address in ("192.0.2.1", "192.0.2.2"):
            server.ask("SCRIPT", "FLUSH")
            self.assertIs(await self.add(state, address), True)
            self.assertEqual(await self.count(state, 0.0), 0.0)
        self.assertEqual(await self.listed(state), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.log.troubles, [])

    async def test_removedMeanwhile(self) -> None:
        """What others have removed while a process could not hear it does not come back by
        it; what they have added it learns, and what it was told it tells."""
        server = self.serve()
        path = server.folder / "one.sock"
        path.symlink_to(server.socket)
        one, two = await self.open(f"redis+unix:{path}"), await self.at(server)
        for address in ("192.0.2.1", "192.0.2.2"):
            await self.add(one, address)
        path.unlink()
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await self.ill(one, "away")
        await self.until(lambda: two.figures().__next__().value and two.condition(), "")
        self.assertIs(await two.roster.remove("192.0.2.1"), True)
        await self.add(two, "192.0.2.3")
        await self.refused(one, "192.0.2.4")
        self.assertEqual(await self.listed(one), ["192.0.2.1", "192.0.2.2", "192.0.2.4"])
        path.symlink_to(server.socket)
        await self.well(one)
        for state in (one, two):
            self.assertEqual(await self.listed(state), ["192.0.2.2", "192.0.2.3", "192.0.2.4"])
            self.assertIsNone(await state.roster.find("192.0.2.1", self.now))
            self.assertEqual(state.roster.find("192.0.2.3", self.now), self.sighting("192.0.2.3"))

    async def test_streamLost(self) -> None:
        """Only the connection that we hear by is lost: what others do then is not missed."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server)
        await self.add(one)
        for number in range(5):
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            address = f"192.0.2.{number + 50}"
            await self.until(lambda n=number: one._client.connections == two._client.connections == n + 2)
            await self.add(two, address)
            await self.until(lambda a=address: one.roster.find(a, self.now) == self.sighting(a), True)

    async def test_copiesAgree(self) -> None:
        """Processes add, renew and remove at random while their connections break again and
        again: in the end all copies are what Redis has, and what was acknowledged last holds."""
        server = self.serve()
        states = [await self.at(server) for _ in range(3)]
        dice = Random(4)
        last: dict[str, bool] = {}
        for turn in range(400):
            address = f"192.0.2.{dice.randrange(40)}"
            state = dice.choice(states)
            isAdd = dice.random() < 0.6
            if isAdd:
                asked = state.roster.add(self.sighting(address, dice.randrange(1000, 2000)), self.now)
            else:
                asked = state.roster.remove(address)
            if turn % 40 == 7:
                server.ask("CLIENT", "KILL", "TYPE", dice.choice(("pubsub", "normal")), "SKIPME", "yes")
            try:
                await asked
                last[address] = isAdd
            except StateError:
                last.pop(address, None)  # it may have happened or not
                await self.until(lambda: [each.condition() for each in states], [""] * 3)
        expected = await states[0].roster.listing(self.now)
        for state in states:
            await self.until(lambda s=state: sorted(s.roster.copy.entries.values(), key=lambda e: e.address), expected)
        listed = {each.address for each in expected}
        self.assertEqual({address: address in listed for address in last}, last)
        self.assertGreater(sum(state._client.connections for state in states), 10)

    async def test_nonsense(self) -> None:
        """Somebody publishes nonsense: that is logged, and all is loaded again; of what
        nobody here knows nothing comes."""
        server = self.serve()
        state = await self.at(server)
        await self.add(state)
        for number, word in enumerate(("roster", "host")):
            server.ask("PUBLISH", "test:0:news", "more 1")
            server.ask("PUBLISH", "test:0:news", f"{word} nonsense")
            await self.until(lambda: state._client.connections, number + 2)
            self.assertEqual(state.roster.find(V4, self.now), self.sighting())
            self.assertEqual(len(self.log.bugs), 1)
            self.log.bugs.clear()


class RefusingTests(AwayCase):
    """Redis is there, and does not do what is asked of it."""

    async def test_password(self) -> None:
        """A wrong password, and none, are told in the log; the right one is taken."""
        server = self.serve(password="secret")
        for password in ("wrong", None):
            state = await self.at(server, password=password)
            [(_, where, why)] = self.log.troubles
            self.log.troubles.clear()
            self.assertEqual(where, "redis")
            self.assertIn("state.password-file", why)
            self.assertNotIn("wrong password", why)
            self.assertIn("state.password-file", state.condition())
            await self.refused(state)
        state = await self.at(server, password="secret")
        self.assertIs(await self.add(state), True)
        self.assertEqual(self.log.troubles, [])

    async def test_passwordComesLater(self) -> None:
        """A password that Redis comes to have is no reason to give up for ever."""
        server = self.serve(password="secret")
        state = await self.at(server, password="other")
        await self.ill(state, "WRONGPASS")
        server.ask("CONFIG", "SET", "requirepass", "other")
        server.password = "other"
        await self.well(state)

    async def test_replica(self) -> None:
        """A server that says that it is a replica is not used, whoever said it was there;
        also when it becomes one."""
        master = self.serve()
        replica = self.serve(f"replicaof 127.0.0.1 {master.port}")
        state = await self.at(replica)
        self.assertIn("is a replica", state.condition())
        await self.refused(state)
        state = await self.at(master)
        await self.add(state)
        master.ask("REPLICAOF", "127.0.0.1", str(replica.port))
        await self.refused(state, V6)
        await self.ill(state, "is a replica")
        master.ask("REPLICAOF", "NO", "ONE")
        await self.well(state)
        self.assertEqual(await self.listed(state), [V4, V6])

    async def test_noReplicas(self) -> None:
        """With too few replicas nothing is acknowledged; when there are enough it goes on."""
        server = self.serve()
        state = await self.at(server)
        await self.add(state)
        server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        self.assertIn("NOREPLICAS", await self.refused(state, V6))
        await self.ill(state, "NOREPLICAS")
        self.assertEqual(state.roster.find(V4, self.now), self.sighting())
        self.serve(f"replicaof 127.0.0.1 {server.port}")
        await self.well(state)
        self.assertIs(await self.add(state, V6), False)

    async def test_notRedis(self) -> None:
        """Something else answers at the port, or closes the connection."""
        for octets in (b"220 mx.y.test ESMTP\r\n", b"", b"*3\r\n$-1\r\n" * 9, b"$9999999999\r\n" + b"x" * 999):
            port = reactor.listenTCP(0, Saying(octets), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            state = await self.open(f"redis://127.0.0.1:{port.getHost().port}")
            self.assertIn("Redis is away", state.condition())
            await state.stop()


class Saying(Factory):
    """A server that says something and closes the connection, or stays when it is silent.

    @param octets: what it says.
    """

    noisy = False

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def buildProtocol(self, addr: Any) -> Protocol:
        """See L{twisted.internet.interfaces.IProtocolFactory}."""
        return _Says(self._octets)


class _Says(Protocol):
    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def connectionMade(self) -> None:
        """Say it."""
        self.transport.write(self._octets)
        self.transport.loseConnection()


class PlaceTests(AwayCase):
    """Ways to Redis."""

    async def test_unix(self) -> None:
        """By its socket, and another database."""
        server = self.serve()
        one, two = await self.open(f"redis+unix:{server.socket}?db=3"), await self.at(server)
        await self.add(one)
        self.assertEqual((await self.listed(one), await self.listed(two)), ([V4], []))
        three = await self.open(f"redis://127.0.0.1:{server.port}/3")
        await self.add(three, V6)
        self.assertEqual(await self.listed(one), [V4, V6])
        self.assertIsNone(await two.roster.find(V4, self.now))

    async def test_prefix(self) -> None:
        """Two clusters share a server and know nothing of each other."""
        server = self.serve()
        one, two = await self.at(server), await self.at(server, prefix="other:")
        await self.add(one)
        await self.count(one)
        self.assertIsNone(await two.roster.find(V4, self.now))
        self.assertEqual(await self.count(two, 0.0), 0.0)
        self.assertNotIn("umbcmail", server.ask("KEYS", "*"))

    async def test_tls(self) -> None:
        """Under TLS, when the certificate is right for the host and of an authority that
        is trusted."""
        folder = self.folder()
        good, bad = certificate(folder, "127.0.0.1", address="127.0.0.1"), certificate(folder, "x.test")
        lines = [f"tls-cert-file {good[0]}", f"tls-key-file {good[1]}", "tls-auth-clients no"]
        server = self.serve(*lines, f"tls-ca-cert-file {good[0]}", isTLS=True)
        url = f"rediss://127.0.0.1:{server.port}"
        state = await self.open(url, trust=authorities(str(good[0])))
        self.assertEqual(state.condition(), "")
        self.assertIs(await self.add(state), True)
        for trust in (authorities(str(bad[0])), None):
            state = await self.open(url, trust=trust)
            self.assertIn("TLS fails", state.condition())
        state = await self.open(f"redis://127.0.0.1:{server.port}")
        self.assertIn("away", state.condition())


class SentinelTests(AwayCase):
    """A master, a replica, and three Sentinels that watch them."""

    timeout = 120

    def cluster(self, password: str = "") -> None:
        """Start all of them, and wait until they know each other."""
        self.master = self.serve("repl-diskless-sync-delay 0", password=password)
        self.replica = self.serve(f"replicaof 127.0.0.1 {self.master.port}", password=password)
        self.sentinels = [Sentinel(self.folder(), self.master.port, password=password) for _ in range(3)]
        for each in self.sentinels:
            self.addCleanup(each.stop)
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/mail"

    async def known(self) -> None:
        """Wait until the Sentinels know each other and the replica, which is in step."""

        def state() -> bool:
            answers = [each.ask("SENTINEL", "MASTER", "mail") for each in self.sentinels]
            found = [a.split("\r\n") for a in answers]
            values = [dict(zip(words[2::4], words[4::4], strict=False)) for words in found]
            return all(v.get("num-other-sentinels") == "2" and v.get("num-slaves") == "1" for v in values)

        await self.until(state, True, 60)
        await self.until(lambda: "master_link_status:up" in self.replica.ask("INFO", "replication"), True, 30)

    async def test_failover(self) -> None:
        """The master dies: the replica is found without anybody's help, and nothing that
        was acknowledged is lost; the old master comes back as a replica and is not used."""
        self.cluster(password="secret")
        state, other = await self.open(self.url, password="secret"), await self.open(self.url, password="secret")
        self.assertEqual((state.condition(), other.condition()), ("", ""))
        await self.known()
        for number in range(100):
            await self.add(state, f"192.0.2.{number}")
        self.master.kill()
        await self.ill(state, "away")
        self.assertEqual(state.roster.find("192.0.2.1", self.now), self.sighting("192.0.2.1"))
        await self.refused(state, V6)
        await self.until(state.condition, "", 40)
        await self.until(other.condition, "", 40)
        self.assertEqual({each.master for each in self.sentinels}, {self.replica.port})
        self.assertEqual(len(await self.listed(other)), 101)
        self.assertIs(await self.add(other, V6), False)
        self.assertEqual(len(self.log.troubles), 2)
        self.master.start()
        await self.until(self.master.isReplica, True, 40)
        third = await self.open(self.url, password="secret")
        self.assertEqual(len(await self.listed(third)), 101)

    async def test_hangs(self) -> None:
        """The master hangs: the same, and when it goes on it is not used."""
        self.cluster()
        state = await self.open(self.url)
        await self.known()
        await self.add(state)
        self.master.signal(signal.SIGSTOP)
        await self.ill(state, "no answer")
        await self.until(state.condition, "", 40)
        await self.add(state, V6)
        self.assertIn("192.0.2.7", self.replica.ask("ZRANGE", "test:roster", "0", "-1"))
        self.master.signal(signal.SIGCONT)
        await self.until(self.master.isReplica, True, 40)
        self.assertEqual(await self.listed(state), [V4, V6])

    async def test_switched(self) -> None:
        """Another server is made the master while the old one goes on."""
        self.cluster()
        state = await self.open(self.url)
        await self.known()
        await self.add(state)
        self.sentinels[0].ask("SENTINEL", "FAILOVER", "mail")
        await self.until(lambda: state._client.connections > 1 and not state.condition(), True, 40)
        await self.add(state, V6)
        self.assertIn(V6, self.replica.ask("ZRANGE", "test:roster", "0", "-1"))

    async def test_sentinelsAway(self) -> None:
        """One that answers is enough, and the others are told of; with none, and with none
        that knows the service, it is said what is wrong."""
        self.cluster()
        self.sentinels[0].kill()
        self.sentinels[1].signal(signal.SIGSTOP)
        state = await self.open(self.url)
        self.assertEqual(await self.add(state), True)
        self.assertIn(f"Sentinel 127.0.0.1:{self.sentinels[0].port}: connection refused", state.condition())
        self.assertIn(f"Sentinel 127.0.0.1:{self.sentinels[1].port}: no answer in 1 s", state.condition())
        self.assertEqual(self.log.troubles, [])
        unknown = await self.open(self.url.replace("/mail", "/nail"))
        self.assertIn("No such master", unknown.condition())
        self.sentinels[2].kill()
        none = await self.open(self.url)
        self.assertEqual(none.condition().count("Sentinel 127.0.0.1"), 3)
        self.assertEqual(await self.add(state, V6), True)
