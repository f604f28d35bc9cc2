"""Tests of what couriers tell of next hops that do not answer, through the SMTP courier."""

from __future__ import annotations

from fakehop import HOP, World
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.smtp import SMTPCourier
from umbcmail.state.memory import MemoryState, MemoryStore

HOST = "mx1.example.net[192.0.2.1]:25"


class HostsTests(SynchronousTestCase):
    """Two processes that share what they know of hosts."""

    def setUp(self) -> None:
        """Two couriers."""
        store = MemoryStore()
        self.hosts = MemoryState(store).hosts
        self.one = World(SMTPCourier, hosts=self.hosts)
        self.two = World(SMTPCourier, hosts=MemoryState(store).hosts)
        for each in (self.one, self.two):
            each.reactor.advance(1_000_000.0)

    def failures(self) -> int:
        """That are counted."""
        known = self.hosts.find(HOST, 1_000_000.0)
        return known.failures if known is not None else 0

    def told(self, world: World, event: str) -> list[str]:
        """Lines of a log, from the name of the host on."""
        lines = [line for line in world.logged().decode().splitlines() if f" {event} " in line]
        return [line.partition(" host=")[2] for line in lines]

    def test_down(self) -> None:
        """Many attempts find a host down: it is told once, by the process that has found it first."""
        for world in (self.one, self.two):
            for _ in range(3):
                world.deliver(hops=(HOP,))
        for world in (self.one, self.two):
            for _ in range(3):
                world.refuse()
                world.reactor.advance(0.001)
        self.assertEqual(1, self.failures())
        self.assertEqual([f'{HOST} why="Connection refused"'], self.told(self.one, "host-down"))
        self.assertEqual([], self.told(self.two, "host-down"))

    def test_back(self) -> None:
        """That it answers again is told once too, also when it answers with a refusal."""
        self.one.deliver(hops=(HOP,))
        self.one.refuse()
        for world in (self.one, self.two):
            world.reactor.advance(60.0)
            for _ in range(2):
                world.deliver(hops=(HOP,))
        self.two.link().answer(b"554 5.3.2 no\r\n")
        self.assertEqual(0, self.failures())
        for world in (self.one, self.two):
            world.opened()
        self.assertEqual([f"{HOST} failures=1 away=60"], self.told(self.two, "host-answers"))
        self.assertEqual([], self.told(self.one, "host-answers"))

    def test_suspended(self) -> None:
        """A host that was only suspended has not been down."""
        self.one.deliver(hops=(HOP,))
        self.hosts.isOpen = True
        self.successResultOf(self.hosts.suspend(HOST, "moves", 1_000_000.0))
        self.one.opened()
        self.assertEqual([], self.told(self.one, "host-answers"))
        self.assertEqual("moves", self.hosts.find(HOST, 1_000_000.0).suspended)

    def test_reply(self) -> None:
        """A host that says no, or not now, has answered."""
        for octets in (b"554 5.3.2 no\r\n", b"421 4.3.2 later\r\n"):
            self.one.deliver(hops=(HOP,))
            self.one.link().answer(octets)
        self.assertEqual((0, []), (self.failures(), self.told(self.one, "host-down")))
