"""C{docs/operating.md}: what it shows is what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.clicase import NOW, CommandTestCase, Shared
from tests.fakes import FakeResolver
from umbcmail.cli import parts
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft, attemptedOf
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import reply
from umbcmail.sections import sections

HOST = "mx.example.org[203.0.113.25]:25"
DOWN = Outcome(reply(451, "4.4.1", "Connection timed out"), HOST, "connect")
GREY = Outcome(reply(450, "4.2.0", "Greylisted, try again later"), "mx.example.net[198.51.100.7]:25", "RCPT TO", True)
NO_ANSWER = Outcome(reply(451, "4.4.3", "The name servers for gmial.example do not answer"))
HEADER = b"Subject: Minutes of Tuesday\r\nFrom: Ann <ann@umbc.edu>\r\nTo: bob@example.org\r\n\r\nAll the best\r\n"


class ManualTests(CommandTestCase):
    """The samples, one after the other, on a system with some mail that waits."""

    text = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")

    def setUp(self) -> None:
        super().setUp()
        with open(self.config, "a") as file:
            file.write('[host]\nname = "mx1.umbc.edu"\n')
        resolver = FakeResolver({"example.org": [(10, "mx.example.org")]}, {"mx.example.org": ["203.0.113.25"]}, {})
        self.patch(parts, "makeResolver", lambda reactor, settings: resolver)
        self.patch(parts, "visitState", lambda config, reactor, log: Shared(self.state))
        self.put("25xjjw4dlp0058h-1", "ann@umbc.edu", "bob@example.org", DOWN, 3, 4200, 1480)
        self.put("25xjk11s27sqrrj-1", "news@umbc.edu", "carol@example.org", DOWN, 1, 900, 48_300)
        self.put("25xjk11s27sqrrj-2", "news@umbc.edu", "dan@example.org", DOWN, 1, 890, 48_300)
        self.put("25xjk2pr9mrqbd7-1", "eve@umbc.edu", "frank@example.net", GREY, 1, 240, 2100)
        self.put("25xjjzqv1bw7k2m-1", "eve@umbc.edu", "grace@gmial.example", NO_ANSWER, 2, 1800, 910)
        for ago in (900.0, 30.0):
            self.successResultOf(self.state.hosts.failed(HOST, "Connection timed out", NOW - ago))

    def put(self, id: str, sender: str, recipient: str, outcome: Outcome, attempts: int, age: float, size: int) -> None:
        """A message that has been tried some times."""
        client = Client("192.0.2.17", 51234, "pc17.umbc.edu", "pc17", True, "TLSv1.3")
        to = (Recipient(recipient),)
        envelope = Envelope(id, sender, to, NOW - age, client, size, "delivery")
        draft = Draft("remote", (Delivery(to[0]),), NOW - age)
        self.successResultOf(self.spool.commit(envelope, MemoryContent(HEADER), [draft], NOW - age))
        kept = self.store.entries[id]
        delivery, history = kept.entry.deliveries[0], []
        for n in range(attempts):
            at = NOW - age + 30 + n * 900
            delivery = delivery.after(outcome, at)
            history += attemptedOf([delivery], at)
        self.store.change(kept, deliveries=(delivery,), due=NOW + 600 + age / 10, attempts=attempts)
        kept.history = tuple(history)

    def printed(self, command: str) -> str:
        """What a command prints, and what it says beside that."""
        words = shlex.split(command)[1:]
        _, out, err = self.run_(*words, "--config", self.config, sections=sections())
        return out + err

    def test_samples(self) -> None:
        """Each of them."""
        samples = re.findall(r"```\n\$ (umbcmail [^\n]*)\n(.*?)```", self.text, re.DOTALL)
        self.assertGreater(len(samples), 9)
        for command, shown in samples:
            self.assertEqual(shown, self.printed(command), command)

    def test_log(self) -> None:
        """So are the lines in the log."""
        shown = re.search(r"```\n(2023[^`]*)```", self.text)
        assert shown is not None
        for command, _ in re.findall(r"```\n\$ (umbcmail [^\n]*)\n(.*?)```", self.text, re.DOTALL):
            self.printed(command)
        for line in shown[1].splitlines():
            self.assertIn(line.partition(" ")[2], self.logged)
