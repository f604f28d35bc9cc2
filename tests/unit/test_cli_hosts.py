"""C{umbcmail hosts}, with the state in memory."""

from __future__ import annotations

import json
from dataclasses import replace

from twisted.internet.defer import fail

from tests.clicase import NOW, SECTIONS, CommandTestCase, FakeReactor
from umbcmail import cli
from umbcmail.cli.hostcommand import isWhole, matching
from umbcmail.cli.hostlisting import standing
from umbcmail.hoststatus import HostStatus
from umbcmail.outcome import Outcome
from umbcmail.reply import reply
from umbcmail.sighting import StateError

A = "mx.a.example[192.0.2.1]:25"
A6 = "mx.a.example[2001:db8::1]:25"
B = "mx.b.example[192.0.2.2]:25"
UNIX = "unix:/run/lmtp"


class HostCase(CommandTestCase):
    """Two hosts are down, two names."""

    def setUp(self) -> None:
        super().setUp()
        for host in (A, A6, B):
            self.successResultOf(self.state.hosts.failed(host, "Connection \x1brefused", NOW - 30))

    def hosts(self, action: str, *argv: str) -> tuple[int, str, str]:
        """C{umbcmail hosts}"""
        return self.run_("hosts", action, "--config", self.config, *argv)

    def status(self, host: str) -> HostStatus | None:
        """What is known."""
        return self.state.hosts.find(host, NOW)


class LookTests(HostCase):
    """What is known is shown."""

    def test_list(self) -> None:
        """By name, with how they stand."""
        self.hosts("suspend", B, "--reason", "moves on Friday")
        lines = [
            "HOST                          STATE      DOWN FOR  FAILURES  NEXT LOOK",
            "mx.a.example[192.0.2.1]:25    down            30s         1        30s",
            "    Connection \\x1brefused",
            "mx.a.example[2001:db8::1]:25  down            30s         1        30s",
            "    Connection \\x1brefused",
            "mx.b.example[192.0.2.2]:25    suspended       30s         1          -",
            "    moves on Friday",
            "    Connection \\x1brefused",
            "3 hosts",
        ]
        self.assertEqual((0, lines, ""), (0, self.hosts("list")[1].splitlines(), ""))
        self.assertEqual("1 host", self.hosts("list", "--suspended")[1].splitlines()[-1])
        self.assertEqual("3 hosts", self.hosts("list", "--down")[1].splitlines()[-1])
        self.hosts("resume", B, "mx.a.example")
        self.assertEqual((0, "0 hosts\n", ""), self.hosts("list"))

    def test_json(self) -> None:
        """One object a line."""
        self.hosts("suspend", UNIX)
        found = [json.loads(line) for line in self.hosts("list", "--json")[1].splitlines()]
        self.assertEqual([A, A6, B, UNIX], [each["host"] for each in found])
        self.assertEqual(
            {
                "host": A,
                "down": True,
                "suspended": "",
                "failures": 1,
                "since": "2023-11-14T22:12:50Z",
                "last": "2023-11-14T22:12:50Z",
                "again": "2023-11-14T22:13:50Z",
                "why": "Connection \x1brefused",
            },
            found[0],
        )
        self.assertEqual(("by ann", False, None), tuple(found[3][key] for key in ("suspended", "down", "again")))

    def test_show(self) -> None:
        """All about it; a name shows all of its addresses."""
        self.assertEqual(
            [
                "host:         mx.b.example[192.0.2.2]:25",
                "suspended:    no",
                "down since:   2023-11-14T22:12:50Z (30s ago)",
                "failures:     1",
                "last failure: 2023-11-14T22:12:50Z (30s ago)",
                "because:      Connection \\x1brefused",
                "next look:    2023-11-14T22:13:50Z",
            ],
            self.hosts("show", B)[1].splitlines(),
        )
        self.assertEqual(2, self.hosts("show", "MX.a.example")[1].count("host:  "))
        self.assertEqual(2, len(self.hosts("show", "mx.a.example", "--json")[1].splitlines()))
        self.assertEqual(1, self.hosts("show", "mx.c.example")[0])

    def test_standing(self) -> None:
        """How it goes on is told."""
        down = HostStatus(A, 3, NOW - 600, NOW - 60, NOW - 1, "timed out")
        text = "down since 2023-11-14T22:03:20Z (3 failures, the last: timed out); "
        self.assertEqual(text + "the next message looks whether it answers", standing(down, NOW))
        probed = HostStatus(A, 3, NOW - 600, NOW - 60, NOW - 1, "timed out", probed=NOW + 5)
        self.assertEqual(text + "somebody is looking whether it answers", standing(probed, NOW))
        self.assertEqual("nothing is known against it", standing(None, NOW))


class ChangeTests(HostCase):
    """Hosts are suspended and resumed."""

    def test_suspend(self) -> None:
        """As the log writes it also what nothing is known of; by name all that is known."""
        new = "mx.new.example[192.0.2.9]:25"
        self.assertEqual((0, "2 hosts suspended\n", ""), self.hosts("suspend", new, UNIX, "--reason", "No power"))
        self.assertEqual((0, "2 hosts suspended\n", ""), self.hosts("suspend", "mx.a.example"))
        for host, why in ((new, "No power"), (UNIX, "No power"), (A, "by ann"), (A6, "by ann"), (B, "")):
            status = self.status(host)
            assert status is not None
            self.assertEqual(why, status.suspended)
        self.assertEqual(
            f'ordered id=- what="hosts suspend" user=root uid=0 sudo=ann host={new} reason="No power"', self.logged[0]
        )
        self.assertEqual(4, len(self.logged))

    def test_resume(self) -> None:
        """All that is known is forgotten."""
        self.assertEqual('{"resumed": 1}\n', self.hosts("resume", B, "--json")[1])
        self.assertIsNone(self.status(B))
        self.assertEqual([f'ordered id=- what="hosts resume" user=root uid=0 sudo=ann host={B}'], self.logged)

    def test_unknown(self) -> None:
        """A name that fits nothing: all of them are told, and nothing is done."""
        for action in ("suspend", "resume"):
            status, out, err = self.hosts(action, "mx.b.example", "mx.c.example", "a.example")
            self.assertEqual((1, "", 2), (status, out, err.count("\n")))
            self.assertIn("umbcmail: nothing is known of mx.c.example; a host is written as in the log", err)
        self.assertEqual([], self.logged)

    def test_words(self) -> None:
        """What is written as the log does, and what a name fits."""
        for host in (A, A6, UNIX):
            self.assertTrue(isWhole(host), host)
        for host in ("mx", "mx:25", "[192.0.2.1]:25", "mx[192.0.2.1]", "mx[]:25", "mx[192.0.2.1]:", "unix:x"):
            self.assertFalse(isWhole(host), host)
        known = [HostStatus(host) for host in ("mx[192.0.2.1]:25", "mx[192.0.2.1]:2525", "mx2[192.0.2.1]:25", "mx:25")]
        self.assertEqual(known[:1], matching("mx[192.0.2.1]:25", known))
        self.assertEqual([known[0], known[1], known[3]], matching("Mx", known))
        self.assertEqual(known[:2], matching("mx[192.0.2.1]", known))

    def test_usage(self) -> None:
        """All mistakes are told."""
        self.assertEqual(
            (2, "", "umbcmail: a HOST must not be empty\numbcmail: --reason must be one line, and not empty\n"),
            self.hosts("suspend", "", A, "--reason", "\n"),
        )

    def test_noSharedState(self) -> None:
        """What is in the memory of another process can't be asked."""
        status = cli.main(
            ["hosts", "list", "--config", self.config],
            sections=SECTIONS,
            openSpool=self.open,
            openState=lambda config, reactor: self.state,
            reactor=FakeReactor(),
        )
        self.assertEqual(78, status)

    def test_stateFails(self) -> None:
        """That is status 75, and not in the log."""
        self.patch(self.state.hosts, "suspend", lambda host, why, now: fail(StateError("no room")))
        self.assertEqual((75, "", "umbcmail: the state: no room\n"), self.hosts("suspend", A))
        self.assertEqual([], self.logged)


class RetryTests(HostCase):
    """C{umbcmail queue retry} looks at hosts that do not answer."""

    def waiting(self, id: str, host: str) -> None:
        """An entry that waits for a host."""
        self.commit(id)
        outcome = Outcome(reply(451, "4.4.1", "Connection refused"), host, "connect")
        kept = self.store.entries[id]
        kept.entry = replace(kept.entry, deliveries=(kept.entry.deliveries[0].after(outcome),))

    def test_resumed(self) -> None:
        """Those of the entries that are meant; suspended ones are left alone."""
        for id, host in (("k1", A), ("k2", A6), ("k3", B)):
            self.waiting(id, host)
        self.hosts("suspend", A6)
        self.logged.clear()
        self.assertEqual((0, "2 entries to be tried now\n", ""), self.queue("retry", "k1", "k2"))
        self.assertEqual([True, False, False], [self.status(host) is None for host in (A, A6, B)])
        self.assertEqual(["hosts resume", "queue retry"], [line.split('"')[1] for line in self.logged])

    def test_stateFails(self) -> None:
        """Then the entries are due all the same."""
        self.waiting("k1", A)
        self.patch(self.state.hosts, "listing", lambda now: fail(StateError("gone")))
        note = "umbcmail: hosts that do not answer are tried when it is time: the state: gone\n"
        self.assertEqual((0, "1 entry to be tried now\n", note), self.queue("retry", "k1"))
