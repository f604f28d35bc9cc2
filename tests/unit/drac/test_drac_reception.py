"""Calls in, replies out: L{umbcmail.drac.reception}, and what it logs of refusals."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.clientaddress import AddressSet, ruleOf
from umbcmail.drac import reception as module
from umbcmail.drac.admission import Admission
from umbcmail.drac.program import ADD, ADDED, DENIED, PROGRAM, SYSTEM_ERROR, encodeAddress
from umbcmail.drac.reception import Reception
from umbcmail.drac.refusals import INTERVAL, KINDS
from umbcmail.drac.rpc import encodeCall, rpcMismatch, success
from umbcmail.maillog import MailLog
from umbcmail.sighting import Sighting, StateError

CLIENT, OTHER = "192.0.2.1", "203.0.113.1"


class Roster:
    """Answers when the test wants it.

    @ivar adds: what has been asked for, with the Deferreds that wait.
    @ivar known: addresses that are there.
    """

    def __init__(self) -> None:
        self.adds: list[tuple[Sighting, Deferred[bool]]] = []
        self.known: dict[str, Sighting] = {}

    def add(self, sighting: Sighting, now: float) -> Deferred[bool]:
        """See C{IRoster.add}."""
        deferred: Deferred[bool] = Deferred()
        self.adds.append((sighting, deferred))
        return deferred

    def find(self, address: str, now: float) -> Sighting | None:
        """See C{IRoster.find}."""
        return self.known.get(address)

    def fire(self, result: Any = True) -> None:
        """The next one is done, or fails."""
        _, deferred = self.adds.pop(0)
        if isinstance(result, Exception):
            deferred.errback(result)
        else:
            deferred.callback(result)


class ReceptionTests(SynchronousTestCase):
    """Adds that the roster takes at once, late, or never."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.roster = Roster()
        self.told: list[tuple[str, str]] = []
        self.replies: list[bytes] = []
        self.make()

    def make(self, perClient: int = 0) -> None:
        """A reception."""
        clients = AddressSet([ruleOf(ip_network("192.0.2.0/24"))])
        admission = Admission(clients, [], perClient=perClient)
        told = lambda address, client: self.told.append((address, client))  # noqa: E731
        self.reception = Reception(self.roster, admission, 1800.0, 4.0, self.clock, self.log, told)

    def call(self, xid: int = 1, address: str = "198.51.100.1", client: str = CLIENT, origin: Any = "one") -> None:
        """A call comes in."""
        version, arguments = encodeAddress(address)
        message = encodeCall(xid, PROGRAM, version, ADD, arguments)
        self.assertTrue(self.reception.take(message, client, 1234, origin, self.replies.append, True))

    def events(self, name: str) -> list[str]:
        """The lines of one event, without time and id."""
        self.log.flush()
        lines = b"".join(self.lines).decode().splitlines()
        return [re.sub(r"^\S+ \S+ id=\S+ ?", "", line) for line in lines if line.split(" ")[1] == name]

    def answered(self, *results: tuple[int, int]) -> None:
        """The replies since the last time: xid and status of each."""
        self.assertEqual(self.replies, [success(xid, status.to_bytes(4, "big")) for xid, status in results])
        self.replies.clear()

    def test_taken(self) -> None:
        """An add is answered when the roster has it, and others are told; a new one has a line."""
        self.call(7)
        self.answered()
        self.assertEqual(self.roster.adds[0][0], Sighting("198.51.100.1", 2800.0, CLIENT))
        self.roster.fire(True)
        self.answered((7, ADDED))
        self.call(8)
        self.roster.fire(False)
        self.answered((8, ADDED))
        self.assertEqual(self.told, [("198.51.100.1", CLIENT)] * 2)
        self.assertEqual(self.events("drac-added"), [f"address=198.51.100.1 client={CLIENT} seconds=1800"])
        self.assertEqual(self.reception.counts, {"added": 1, "renewed": 1})

    def test_underWay(self) -> None:
        """The same xid from the same place is the same call while it is under way, and another one later."""
        self.call(7)
        self.call(7)
        self.call(7, origin="other")
        self.call(8)
        self.assertEqual((self.reception.waiting, self.reception.counts), (3, {"duplicate": 1}))
        for _ in range(3):
            self.roster.fire()
        self.answered((7, ADDED), (7, ADDED), (8, ADDED))
        self.call(7)
        self.assertEqual(self.reception.waiting, 1)

    def test_late(self) -> None:
        """At the deadline a client hears of a system error, once; what the roster says later counts all the same."""
        self.call(1)
        self.clock.advance(3.9)
        self.call(2)
        self.answered()
        self.clock.pump([0.25] * 2)
        self.answered((1, SYSTEM_ERROR))
        self.assertEqual(self.reception.trouble, "the roster does not answer in time")
        self.roster.fire()
        self.answered()
        self.roster.fire()
        self.answered((2, ADDED))
        self.assertEqual((self.reception.trouble, len(self.told)), ("", 2))
        self.clock.pump([0.25] * 20)
        self.assertEqual(self.events("drac-refused"), [f"client={CLIENT} address=198.51.100.1 why=deadline"])

    def test_fails(self) -> None:
        """A roster that can't be written is a system error for the client, and shows until it can."""
        self.call(1)
        self.roster.fire(StateError("no space"))
        self.answered((1, SYSTEM_ERROR))
        self.assertEqual((self.reception.trouble, self.told), ("no space", []))
        self.assertEqual(self.reception.counts, {"refused.state": 1})
        self.call(2)
        self.roster.fire()
        self.answered((2, ADDED))
        self.assertEqual(self.reception.trouble, "")

    def test_failsAndNobodyCalls(self) -> None:
        """It does not show for ever that an add failed: nobody may call for long."""
        self.call(1)
        self.roster.fire(StateError("no space"))
        self.clock.advance(59.0)
        self.assertEqual(self.reception.trouble, "no space")
        self.clock.advance(1.0)
        self.assertEqual(self.reception.trouble, "")

    def test_bug(self) -> None:
        """An error that nobody expected is one for the client, too, and is in the log."""
        self.call(1)
        self.roster.fire(ZeroDivisionError("x"))
        self.answered((1, SYSTEM_ERROR))
        with mock.patch.object(self.roster, "add", side_effect=ZeroDivisionError("y")):
            self.call(2)
        self.answered((2, SYSTEM_ERROR))
        self.assertEqual((len(self.events("bug")), self.reception.waiting), (2, 0))

    def test_busy(self) -> None:
        """Only so many wait for the roster; those that were answered at the deadline count until it answers."""
        self.patch(module, "WAITING", 2)
        self.call(1)
        self.call(2)
        self.clock.pump([0.25] * 18)
        self.answered((1, SYSTEM_ERROR), (2, SYSTEM_ERROR))
        self.call(3)
        self.answered((3, SYSTEM_ERROR))
        self.assertEqual(self.reception.counts["refused.busy"], 1)
        self.roster.fire()
        self.call(4)
        self.assertEqual(self.reception.waiting, 1)

    def test_full(self) -> None:
        """Beyond the cap a client may renew what is there, and nothing else; what failed or was there already
        does not count."""
        self.make(perClient=2)
        for result in (StateError("x"), False, True, True):
            self.call()
            self.roster.fire(result)
        self.answered((1, SYSTEM_ERROR), (1, ADDED), (1, ADDED), (1, ADDED))
        self.call(5, "198.51.100.9")
        self.answered((5, SYSTEM_ERROR))
        self.roster.known["198.51.100.9"] = Sighting("198.51.100.9", 9999.0)
        self.call(6, "198.51.100.9")
        self.roster.fire(False)
        self.answered((6, ADDED))
        self.clock.advance(900.0)  # one of two, when half of the lifetime is over
        self.call(7, "198.51.100.10")
        self.roster.fire(True)
        self.answered((7, ADDED))

    def test_unlisted(self) -> None:
        """Others are denied, without a look at the roster."""
        self.call(1, client=OTHER)
        self.answered((1, DENIED))
        self.assertEqual(self.roster.adds, [])

    def test_noCall(self) -> None:
        """What is no call gets no answer, but for another version of RPC."""
        for octets in (b"", b"x" * 60, success(1, b"1234")):
            self.assertFalse(self.reception.take(octets, CLIENT, 1, 1, self.replies.append))
        self.assertEqual(self.replies, [])
        message = encodeCall(3, PROGRAM, 1, 0)
        self.assertTrue(self.reception.take(message[:11] + b"\3" + message[12:], CLIENT, 1, 1, self.replies.append))
        self.assertEqual(self.replies, [rpcMismatch(3)])

    def test_stop(self) -> None:
        """The end comes when all have been answered; nothing is left that would run later."""
        self.call(1)
        self.call(2, client=OTHER)
        stopped = self.reception.stop()
        self.assertNoResult(stopped)
        self.roster.fire()
        self.successResultOf(stopped)
        self.log.flush()
        self.clock.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refusals(self) -> None:
        """The first refusal of a kind has a line, the others are told by the minute; of very many clients only
        some are told apart."""
        for _ in range(3):
            self.call(client=OTHER)
        self.assertEqual(self.events("drac-refused"), [f"client={OTHER} address=198.51.100.1 why=unlisted"])
        self.clock.advance(INTERVAL)
        more = f"client={OTHER} why=unlisted more=2 seconds=60"
        self.assertEqual(self.events("drac-refused")[1:], [more])
        self.lines.clear()
        for n in range(KINDS + 50):
            self.call(client=f"203.0.114.{n}")
        self.assertEqual(len(self.events("drac-refused")), KINDS - 1)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.events("drac-refused")[KINDS - 1 :], ["client=others why=unlisted more=51 seconds=60"])
