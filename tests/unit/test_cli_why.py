"""C{umbcmail queue why}: with spool and state in memory, and a DNS of its own."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import fail
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.clicase import Shared
from tests.fakes import FakeResolver
from umbcmail.cli import parts
from umbcmail.cli.command import Refusal
from umbcmail.cli.reasons import Case, linesOf, sentencesOf
from umbcmail.cli.whycommand import explainDelay
from umbcmail.config import load
from umbcmail.content import MemoryContent
from umbcmail.entry import Change, Delivery, Draft, Entry, Status, attemptedOf
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.schedule import Schedule
from umbcmail.queue.spool.memory import MemorySpool
from umbcmail.reply import reply
from umbcmail.sections import sections
from umbcmail.sighting import StateError
from umbcmail.state.memory import MemoryState

NOW = 1_700_000_000.0
HOST = "mx.b.example[192.0.2.9]:25"
LATER = Outcome(reply(450, "4.2.0", "Greylisted"), HOST, "RCPT TO", True)
REFUSED = Outcome(reply(451, "4.4.1", "Connection refused"), HOST, "connect")
NEVER = Outcome(reply(550, "5.1.1", "No such\x1b user"), HOST, "RCPT TO", True)
SCHEDULE = Schedule((300.0,), 432000.0, 14400.0, lambda: 0.5)


def entry(*deliveries: Delivery, **more: Any) -> Entry:
    """An entry, made an hour ago, due in four minutes."""
    deliveries = deliveries or (Delivery(Recipient("x@b.example"), Status.WAITING, 2, LATER),)
    envelope = Envelope("k1", "a@umbc.edu", tuple(d.recipient for d in deliveries), NOW - 3600, size=4096)
    made = Entry("k1", "remote", envelope, deliveries, NOW - 3600, NOW + 240, 2)
    return replace(made, **more)


class SentenceTests(SynchronousTestCase):
    """Where it is, what comes next, when it ends."""

    def said(self, made: Entry, schedule: Schedule | None = SCHEDULE, damaged: str = "") -> list[str]:
        """All but the first sentence."""
        return sentencesOf(Case(made, (), damaged, schedule), NOW)[1:]

    def test_waiting(self) -> None:
        """When it is tried next, given up, and when its sender is told."""
        self.assertEqual(
            [
                "k1, from a@umbc.edu, 4.0 KiB, made 1h ago, is in the class remote.",
                "It waits: the next attempt is due in 4m (2023-11-14T22:17:20Z).",
                "It is given up in 4d23h (2023-11-19T21:13:20Z), when it is 5d old.",
                "Its sender is told of the delay in 3h.",
            ],
            sentencesOf(Case(entry(), (), "", SCHEDULE), NOW),
        )

    def test_due(self) -> None:
        """It should have been tried: why it may not have been."""
        found = self.said(entry(due=NOW - 90, warned=True))
        self.assertEqual("It waits: the next attempt has been due for 1m.", found[0])
        self.assertIn("no place free in its class, or nothing runs", found[1])
        self.assertEqual("Its sender has been told of the delay.", found[3])

    def test_held(self) -> None:
        """By an operator, or for what a rule has said: then there is no end."""
        held = entry(held=True)
        self.assertEqual(
            [
                "It is held by an operator's order.",
                "Until umbcmail queue release k1 it is neither tried nor given up.",
            ],
            self.said(held),
        )
        self.assertEqual("It is held: a dead letter, nobody is told of it.", self.said(replace(held, queue="dead"))[0])
        ruled = replace(held, envelope=replace(held.envelope, hold="table:\x1b list"))
        self.assertEqual("It is held: table:\\x1b list.", self.said(ruled)[0])

    def test_states(self) -> None:
        """Damaged, being tried, and failed."""
        self.assertIn("damaged and has been put aside: rows", self.said(entry(held=True), damaged="rows")[0])
        self.assertEqual(1, len(self.said(entry(held=True), damaged="rows")))
        self.assertEqual("It is being tried now, by mx1.7.", self.said(entry(owner="mx1.7"))[0])
        failed = entry(Delivery(Recipient("x@y"), Status.FAILED, 1, NEVER))
        self.assertEqual(
            ["All its recipients have failed; telling its sender is due in 4m (2023-11-14T22:17:20Z)."],
            self.said(failed),
        )

    def test_end(self) -> None:
        """It is over, by the class, or by the sender's wish; who has no sender is not told."""
        self.assertIn(
            "Its time is over: it is given up when it is looked at next.", self.said(entry(created=NOW - 5e5))
        )
        wish = entry()
        wish = replace(wish, envelope=replace(wish.envelope, sender="", deliverBy=f"{NOW + 60!r};R", holdUntil=NOW + 9))
        found = self.said(wish)
        self.assertEqual("Its sender wants it to go no earlier than 2023-11-14T22:13:29Z.", found[1])
        self.assertEqual("It is given up in 1m (2023-11-14T22:14:20Z), when it is 61m old.", found[2])
        self.assertEqual("It has no sender who could be told.", found[3])
        late = entry(created=NOW - 20000)
        self.assertEqual("Its sender is told of the delay after the next attempt.", self.said(late)[-1])
        self.assertEqual(2, len(self.said(entry(), replace(SCHEDULE, warn=0.0))))

    def test_noClass(self) -> None:
        """A class that the configuration does not have any more."""
        self.assertIn("nothing looks after it", self.said(entry(), None)[-1])

    def test_recipients(self) -> None:
        """Each has its words, but not hundreds of them; nothing of a stranger moves the cursor."""
        many = [Delivery(Recipient(f"x{number}@b.example")) for number in range(25)]
        many[0] = Delivery(Recipient("\x1b@b.example"), Status.FAILED, 1, NEVER)
        many[1] = Delivery(Recipient("y@b.example"), Status.WAITING, 2, LATER)
        said = "550 5.1.1 No such\\x1b user"
        lines = list(linesOf(Case(entry(*many), (), "", SCHEDULE), NOW))[4:]
        self.assertEqual(
            [
                f"\\x1b@b.example: tried once, failed, the sender is to be told; {HOST} RCPT TO: {said}",
                "y@b.example: tried 2 times; mx.b.example[192.0.2.9]:25 RCPT TO: 450 4.2.0 Greylisted",
                "x2@b.example: not tried",
            ],
            lines[:3],
        )
        self.assertEqual((21, "and 5 recipients more (umbcmail queue show k1)"), (len(lines), lines[-1]))


class CommandTests(SynchronousTestCase):
    """The command, on parts of a configuration."""

    def setUp(self) -> None:
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write('[host]\nname = "mx.y.test"\n[spool]\nurl = "sqlite:/x"\n[[destination]]\n')
            file.write('match = ["b.example"]\nexpire = "2d"\n')
        self.config = load(sections(), path, [])
        self.spool = MemorySpool("test")
        self.successResultOf(self.spool.start())
        self.state = MemoryState()
        self.shared: Any = Shared(self.state)
        self.patch(parts, "visitState", lambda config, reactor, log: self.shared)
        self.notes: list[str] = []
        self.out = io.StringIO()
        self.tools = SimpleNamespace(
            out=self.out,
            note=self.notes.append,
            now=lambda: NOW,
            openSpool=lambda config, reactor: Reopened(self.spool),
        )

    def attempted(self, *recipients: str) -> None:
        """A message that has been tried once."""
        to = tuple(Recipient(address) for address in recipients)
        envelope = Envelope("k1", "a@umbc.edu", to, NOW - 3600, size=4096)
        drafts = [Draft("remote", tuple(Delivery(r) for r in to), NOW - 3600)]
        self.successResultOf(self.spool.commit(envelope, MemoryContent(b""), drafts, NOW - 3600))
        (claim,) = self.successResultOf(self.spool.claim("remote", 1, NOW - 3600))
        after = tuple(delivery.after(REFUSED, NOW - 3590) for delivery in claim.entry.deliveries)
        change = Change(after, NOW + 240, 1, history=attemptedOf(after, NOW - 3590))
        self.successResultOf(self.spool.record(claim, change, NOW - 3590))

    def why(self, id: str = "k1", asJSON: bool = False) -> list[str]:
        """What is printed."""
        resolver = FakeResolver({"b.example": [(10, "mx.b.example")]}, {"mx.b.example": ["192.0.2.9"]}, {})
        self.successResultOf(explainDelay(id, self.config, Reactor(), self.tools, asJSON, resolver))
        lines = self.out.getvalue().splitlines()
        self.out.truncate(0)
        self.out.seek(0)
        return lines

    def test_people(self) -> None:
        """With what happened, where it goes, and what is known there."""
        self.attempted("x@b.example", "y@b.example", "z@nowhere.example")
        self.successResultOf(self.state.hosts.failed(HOST, "Connection refused", NOW - 30))
        lines = self.why()
        self.assertIn("It is given up in 1d23h (2023-11-16T21:13:20Z), when it is 2d old.", lines)
        down = "down since 2023-11-14T22:12:50Z (1 failure, the last: Connection refused)"
        at = lines.index("What happened (the last 20 are remembered):")
        self.assertEqual(
            [
                f"    2023-11-14T21:13:30Z  x@b.example and 2 more: {HOST} connect: 451 4.4.1 Connection refused",
                "Where it goes now:",
                "    b.example: by [queue.remote], courier smtp",
                f"        {HOST}: {down}; the next look is in 30s",
                "    nowhere.example: by [queue.remote], courier smtp",
            ],
            lines[at + 1 : at + 6],
        )
        self.assertIn("        no way: ", lines[at + 6])
        self.assertEqual([], self.notes)

    def test_json(self) -> None:
        """One object for each entry."""
        self.attempted("x@b.example")
        record = json.loads(self.why(asJSON=True)[0])
        self.assertEqual(("k1", "2023-11-16T21:13:20Z", 1), (record["id"], record["expires"], len(record["history"])))
        self.assertEqual(
            [
                {
                    "domain": "b.example",
                    "source": "[queue.remote]",
                    "courier": "smtp",
                    "problem": "",
                    "hosts": [{"host": HOST, "status": None}],
                }
            ],
            record["routes"],
        )

    def test_noState(self) -> None:
        """When the state can't be asked the rest is told all the same."""
        self.attempted("x@b.example")
        self.shared.start = lambda: fail(StateError("gone"))
        self.assertIn(f"        {HOST}: nothing is known against it", self.why())
        self.assertEqual(["what is known of hosts can't be told: the state: gone"], self.notes)

    def test_unknown(self) -> None:
        """An ID that nothing has."""
        failure = self.failureResultOf(explainDelay("k9", self.config, Reactor(), self.tools), Refusal)
        self.assertEqual((1, "there is no entry k9"), (failure.value.status, str(failure.value)))


class Reactor(MemoryReactorClock):
    """One that is asked for threads, and never runs any."""

    def getThreadPool(self) -> Any:
        """Nothing."""


class Reopened:
    """A spool that is open already."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool

    def start(self) -> Any:
        """Nothing."""

    stop = start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)
