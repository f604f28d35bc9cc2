"""Tests of `umbcmail.cli.listing`: entries as text for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.cli import listing
from umbcmail.entry import Delivery, Entry, Status
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply

NOW = 1_700_000_000.0
LATER = Outcome(Reply(450, "4.2.0", ("Greylisted, try later",)), "mx.b.example[192.0.2.9]:25", "RCPT TO", True)


def entry(id: str = "k1", *deliveries: Delivery, **more: object) -> Entry:
    """An entry, made an hour ago, due in four minutes."""
    deliveries = deliveries or (Delivery(Recipient("x@b.example"), Status.WAITING, 2, LATER),)
    envelope = Envelope(
        id.partition(".")[0],
        "a@umbc.edu",
        tuple(d.recipient for d in deliveries),
        NOW - 3600,
        size=4096,
        client=Client("192.0.2.1", 4000, "pc.umbc.edu", "pc", tls="TLSv1.3"),
        agent="delivery",
    )
    return Entry(id, "remote", envelope, deliveries, NOW - 3600, NOW + 240, 2, **more)  # type: ignore[arg-type]


def table(*entries: Entry) -> list[str]:
    """The lines of a list."""
    made = listing.Table(NOW)
    return [*made.page(entries), made.end()]


class WordTests(SynchronousTestCase):
    """Sizes, times and spans."""

    def test_size(self) -> None:
        """Sizes have three digits or so and never four of a larger unit."""
        for octets, text in (
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12 << 20, "12.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (5 << 40, "5120.0 GiB"),
        ):
            self.assertEqual(listing.sizeOf(octets), text)

    def test_span(self) -> None:
        """A span has its largest unit and the next one below days and hours; the past is 0."""
        for seconds, text in (
            (-5, "0s"),
            (0.9, "0s"),
            (59, "59s"),
            (60, "1m"),
            (299, "4m"),
            (3600, "1h"),
            (3660, "1h1m"),
            (86400 + 7200, "1d2h"),
            (86400 * 30, "30d"),
        ):
            self.assertEqual(listing.spanOf(seconds), text)

    def test_time(self) -> None:
        """Times are UTC; one that no calendar has is a question mark."""
        self.assertEqual(listing.timeOf(NOW), "2023-11-14T22:13:20Z")
        self.assertEqual(listing.timeOf(1e30), "?")
        self.assertEqual(listing.timeOf(float("nan")), "?")

    @given(st.text())
    def test_safe(self, text: str) -> None:
        """Nothing that a terminal may obey comes through, and what is printable stays."""
        self.assertTrue(listing.safe(text).isprintable())
        if text.isprintable():
            self.assertEqual(listing.safe(text), text)


class TableTests(SynchronousTestCase):
    """The list for people."""

    def test_table(self) -> None:
        """Columns fit the widest value; recipients, state and last reply follow; the summary is last."""
        failed = Outcome(Reply(550, "5.1.1", ("No such user",)), "", "RCPT TO")
        many = entry(
            "longer-id.2",
            Delivery(Recipient("one@b.example")),
            Delivery(Recipient("two@b.example"), Status.FAILED, 1, failed),
        )
        self.assertEqual(
            "\n".join(table(entry(), many)),
            "ID           CLASS      SIZE  AGE  SENDER\n"
            "k1           remote  4.0 KiB   1h  a@umbc.edu\n"
            "    x@b.example  next attempt in 4m\n"
            "        (mx.b.example[192.0.2.9]:25 RCPT TO: 450 4.2.0 Greylisted, try later)\n"
            "longer-id.2  remote  4.0 KiB   1h  a@umbc.edu\n"
            "    one@b.example  next attempt in 4m\n"
            "    two@b.example  failed, the sender is to be told\n"
            "        (RCPT TO: 550 5.1.1 No such user)\n"
            "2 entries, 8.0 KiB",
        )

    def test_heldBecause(self) -> None:
        """Why it is held is told where that is known, of the entries that it is about,
        and with nothing that a terminal obeys."""
        held = entry(held=True)
        held = replace(held, envelope=replace(held.envelope, hold="mil\x1b[1mter: 5.0"))
        self.assertIn("    x@b.example  held: mil\\x1b[1mter: 5.0", table(held))
        self.assertIn("held because: mil\\x1b[1mter: 5.0", list(listing.detailsOf(held, NOW)))
        self.assertEqual("mil\x1b[1mter: 5.0", listing.recordOf(held)["hold"])
        other = replace(held, envelope=replace(held.envelope, heldFor=("y@b.example",)))
        for each in (replace(held, held=False), other):
            self.assertNotIn("mil", "\n".join(table(each)))
            self.assertNotIn("because", "\n".join(listing.detailsOf(each, NOW)))

    def test_empty(self) -> None:
        """Without entries there is the summary only."""
        self.assertEqual(table(), ["0 entries"])

    def test_states(self) -> None:
        """Held, being tried, due and done are told apart."""
        delivery = Delivery(Recipient("x@y"))
        self.assertEqual(listing.stateOf(entry(held=True), delivery, NOW), "held")
        self.assertEqual(listing.stateOf(entry(owner="me"), delivery, NOW), "being tried now")
        self.assertEqual(listing.stateOf(entry(), delivery, NOW + 240), "next attempt now")
        self.assertEqual(listing.stateOf(entry(), Delivery(Recipient("x@y"), Status.DONE), NOW), "done")

    def test_hostileReply(self) -> None:
        """A reply or an address from outside can't move the cursor or add lines."""
        evil = Outcome(Reply(450, "4.0.0", ("\x1b[2J\r\nk9 gone",)), "h", "")
        lines = table(entry("k1", Delivery(Recipient("\x1b]0;x\x07@y"), outcome=evil)))
        self.assertEqual([line for line in lines if not line.isprintable()], [])
        self.assertEqual(len(lines), 5)


class DetailTests(SynchronousTestCase):
    """All about an entry."""

    def test_details(self) -> None:
        """Envelope, client, times and each recipient's state are there."""
        lines = list(listing.detailsOf(entry("k1.2", owner="mx1.7", warned=True), NOW))
        for line in (
            "id:           k1.2",
            "message:      k1",
            "state:        claimed by mx1.7",
            "arrived:      2023-11-14T21:13:20Z by delivery",
            "created:      2023-11-14T21:13:20Z (1h ago)",
            "next attempt: 2023-11-14T22:17:20Z",
            "size:         4.0 KiB (4096 octets)",
            "warned:       yes",
            "client:       192.0.2.1 pc.umbc.edu helo=pc",
            "client tls:   TLSv1.3",
            "recipient:    x@b.example",
            "    attempts:     2",
            "    last host:    mx.b.example[192.0.2.9]:25",
            "    last reply:   450 4.2.0 Greylisted, try later",
            "    in answer to: RCPT TO",
        ):
            self.assertIn(line, lines)
        self.assertFalse([line for line in lines if line.startswith("client login")])

    def test_record(self) -> None:
        """The JSON object has the same, under plain names, and is JSON."""
        record = json.loads(json.dumps(listing.recordOf(entry("k1.2", held=True))))
        self.assertEqual(
            {key: record[key] for key in ("id", "message", "queue", "held", "sender", "size", "due", "attempts")},
            {
                "id": "k1.2",
                "message": "k1",
                "queue": "remote",
                "held": True,
                "sender": "a@umbc.edu",
                "size": 4096,
                "due": "2023-11-14T22:17:20Z",
                "attempts": 2,
            },
        )
        self.assertEqual(record["client"]["address"], "192.0.2.1")
        self.assertEqual(
            record["recipients"],
            [
                {
                    "address": "x@b.example",
                    "status": "waiting",
                    "attempts": 2,
                    "notify": "",
                    "orcpt": "",
                    "host": "mx.b.example[192.0.2.9]:25",
                    "command": "RCPT TO",
                    "reply": "450 4.2.0 Greylisted, try later",
                    "uncertain": False,
                }
            ],
        )


class HeaderTests(SynchronousTestCase):
    """The header of a content."""

    def test_end(self) -> None:
        """The header ends before the first empty line, and keeps its last line end."""
        for data, header in (
            (b"A: b\r\nC: d\r\n\r\nbody\r\n\r\n", (b"A: b\r\nC: d\r\n", True)),
            (b"A: b\n\nbody", (b"A: b\n", True)),
            (b"\r\nbody", (b"", True)),
            (b"\nbody", (b"", True)),
            (b"A: b\r\n", (b"A: b\r\n", False)),
            (b"", (b"", False)),
        ):
            self.assertEqual(listing.headerOf(data), header)

    def test_lines(self) -> None:
        """Folded lines stay lines, tabs become spaces, all else that is odd is escaped."""
        self.assertEqual(
            list(listing.headerLines(b"Subject: gr\xc3\xbc\xdf\r\n\tmore\x1b\r\nX: y\r\n")),
            ["    Subject: grü\\xdf", "        more\\x1b", "    X: y"],
        )
