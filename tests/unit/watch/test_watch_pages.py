"""Tests of `umbcmail.watch.pages`: JSON, text and HTML of a picture."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.figure import Figure
from umbcmail.watch.pages import ageOf, htmlOf, recordOf, shown, textOf
from umbcmail.watch.picture import About, Part, Picture

NASTY = "<script>alert('x')</script>&\"\x1b[31m\nnext\udcff"


def picture(condition: str = "", notReady: str = "", name: str = "mx.y.test") -> Picture:
    """A picture with all that has a table of its own."""
    figures = (
        Figure("door_open", 1, "D.", (("port", "delivery.mx"), ("address", "127.0.0.1:25"))),
        Figure("accept_sessions", 3, "S.", (("port", "delivery.mx"),)),
        Figure("accept_sessions", 3, "S.", (("port", "elsewhere"),)),
        Figure("queue_entries", 5, "Q.", (("queue", "remote"), ("state", "waiting"))),
        Figure("queue_entries", 1, "Q.", (("queue", "remote"), ("state", "held"))),
        Figure("queue_oldest_seconds", 7300.5, "Q.", (("queue", "remote"),)),
        Figure("certificate_days", 12, "C.", (("file", "/etc/x.pem"),)),
        Figure("odd", math.nan, "O."),
    )
    about = About(name, "1.2", ("delivery", "watch"), 1_700_000_000.0)
    return Picture(about, 42, 1_700_000_100.5, (Part("all", condition, figures), Part("log", "", ())), notReady)


class Tags(HTMLParser):
    """Tags and attributes of a page, and whether each is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One begins."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """One ends."""
        assert self.open.pop() == tag


class RecordTests(SynchronousTestCase):
    """The answer to /status."""

    def test_all(self) -> None:
        """Everything has its place, and the whole is JSON without NaN."""
        record = json.loads(json.dumps(recordOf(picture()), allow_nan=False))
        parts = record.pop("parts")
        self.assertEqual(
            record,
            {
                "status": "ok",
                "degraded": [],
                "ready": True,
                "not_ready": "",
                "host": "mx.y.test",
                "version": "1.2",
                "roles": ["delivery", "watch"],
                "pid": 42,
                "started": "2023-11-14T22:13:20Z",
                "now": "2023-11-14T22:15:00Z",
                "uptime_seconds": 100.5,
                "doors": {"delivery.mx": {"address": "127.0.0.1:25", "open": True, "sessions": 3}},
                "queues": {"remote": {"waiting": 5, "held": 1, "oldest_seconds": 7300.5}},
                "certificates": {"/etc/x.pem": 12},
            },
        )
        self.assertEqual([(part["name"], part["condition"]) for part in parts], [("all", ""), ("log", "")])
        self.assertEqual(
            parts[0]["figures"][0],
            {"name": "umbcmail_door_open", "labels": {"port": "delivery.mx", "address": "127.0.0.1:25"}, "value": 1},
        )
        self.assertEqual(parts[0]["figures"][-1], {"name": "umbcmail_odd", "labels": {}, "value": None})

    def test_degraded(self) -> None:
        """Who is degraded, and why nothing is accepted."""
        record = recordOf(picture("Redis is away", "spool: full"))
        self.assertEqual((record["status"], record["degraded"]), ("degraded", ["all"]))
        self.assertEqual((record["ready"], record["not_ready"]), (False, "spool: full"))
        self.assertEqual(record["parts"][0]["condition"], "Redis is away")


class PeopleTests(SynchronousTestCase):
    """Text and HTML."""

    def test_text(self) -> None:
        """The essentials, each on a line."""
        text = textOf(recordOf(picture("Redis is away", "spool: full")))
        for line in (
            "status: degraded",
            "accepts mail: no: spool: full",
            "started: 2023-11-14T22:13:20Z, 100s ago",
            "all   Redis is away",
            "delivery.mx  127.0.0.1:25  open   3",
            "remote  5        ?        1     2h",
            "/etc/x.pem   12",
        ):
            self.assertIn(line, text.splitlines())

    def test_page(self) -> None:
        """The page has the same, is well-formed, and needs nothing else: no script, no link, no image."""
        page = htmlOf(recordOf(picture("Redis is away")))
        tags = Tags(page)
        self.assertEqual(tags.open, [])
        self.assertEqual(set(tags.tags) & {"script", "link", "img", "iframe", "a", "form"}, set())
        self.assertLessEqual(tags.attributes, {"lang", "charset", "class"})
        for text in ("Redis is away", "delivery.mx", "127.0.0.1:25", "umbcmail_queue_entries", "/etc/x.pem"):
            self.assertIn(f"<td>{text}</td>", page)

    def test_nasty(self) -> None:
        """What a peer may have put into a name or a condition is text, in text and in HTML."""
        record = recordOf(picture(NASTY, NASTY, NASTY))
        self.assertEqual(json.loads(json.dumps(record))["host"], NASTY)
        page, text = htmlOf(record), textOf(record)
        self.assertNotIn("<script", page)
        self.assertNotIn("script", Tags(page).tags)
        for octet in ("\x1b", "\udcff", "\nnext"):
            self.assertNotIn(octet, page + text)
        (page + text).encode()

    def test_otherRecords(self) -> None:
        """What came over the wire and is no record raises what L{textOf} says, and nothing else."""
        good = recordOf(picture())
        bad: list[Any] = [None, [], "x", {}, {**good, "parts": 7}, {**good, "parts": [7]}, {**good, "doors": []}]
        bad += [{**good, "queues": {"a": 3}}, {key: good[key] for key in good if key != "roles"}]
        for record in bad:
            with self.assertRaises((LookupError, TypeError, ValueError, AttributeError)):
                textOf(record)

    def test_values(self) -> None:
        """Numbers as people read them."""
        values = (0.0, 12, 1.5, 1795582501.25, 0.000123456, None)
        self.assertEqual([shown(v) for v in values], ["0", "12", "1.5", "1795582501", "0.000123456", "None"])
        ages = (0, 119, 120, 7199.9, 7200, 200_000, None)
        self.assertEqual([ageOf(v) for v in ages], ["0s", "119s", "2m", "119m", "2h", "2d", "?"])
