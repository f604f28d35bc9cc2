"""C{umbcmail munge} and C{umbcmail clean}: done once, with a line for each entry."""

from __future__ import annotations

import json

from tests.clicase import NOW, CommandTestCase
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft
from umbcmail.envelope import Envelope, Recipient
from umbcmail.sections import sections

DAY = 86400.0


class SweepTests(CommandTestCase):
    """With the sections of the whole program."""

    def put(self, id: str, age: float, agent: str = "delivery", score: float | None = None) -> None:
        """An entry in remote."""
        whom = Recipient("a@x.test")
        envelope = Envelope(id, "", (whom,), NOW - age, agent=agent, score=score)
        draft = Draft("remote", (Delivery(whom),), NOW + 60)
        self.successResultOf(self.spool.commit(envelope, MemoryContent(b"\r\n"), [draft], NOW - age))

    def do(self, *argv: str) -> tuple[int, str, str]:
        """Run it."""
        return self.run_(*argv, "--config", self.config, sections=sections())

    def test_munge(self) -> None:
        """What was moved is printed and logged; a rehearsal only prints."""
        self.put("old", 2 * DAY)
        self.put("new", 60)
        status, out, err = self.do("munge", "--dry-run")
        self.assertEqual((status, out, err), (0, "old  remote -> slow  2d  <>\n", "umbcmail: 1 entry would be moved\n"))
        self.assertEqual(self.ids(queues=("slow",)), [])
        self.assertEqual([], self.logged)
        self.assertEqual(self.do("munge"), (0, "old  remote -> slow  2d  <>\n", "umbcmail: 1 entry moved\n"))
        self.assertEqual(self.ids(queues=("slow",)), ["old"])
        self.assertIn("moved id=old queue=remote to=slow ", self.logged[0])
        self.assertEqual(self.do("munge"), (0, "", "umbcmail: 0 entries moved\n"))

    def test_clean(self) -> None:
        """Likewise, for programs."""
        self.put("spam", 60, "bounce", 20.0)
        self.put("ham", 60, "bounce", 1.0)
        record = {"id": "spam", "queue": "remote", "sender": "", "dry_run": True, "score": 20.0}
        status, out, err = self.do("clean", "--dry-run", "--json")
        self.assertEqual((status, json.loads(out), err), (0, record, ""))
        self.assertEqual(sorted(self.ids()), ["ham", "spam"])
        status, out, err = self.do("clean")
        self.assertEqual((status, out, err), (0, "spam  remote, score 20  1m  <>\n", "umbcmail: 1 entry removed\n"))
        self.assertEqual(self.ids(), ["ham"])
        self.assertIn("removed id=spam queue=remote ", self.logged[0])

    def test_wrong(self) -> None:
        """Rules that make no sense are told all at once, and nothing is done."""
        with open(self.config, "a") as file:
            file.write('[[munge]]\nfrom = ["remote", "remot"]\nto = "remote"\nolder = "0s"\n')
        self.put("old", 2 * DAY)
        status, out, err = self.do("munge")
        self.assertEqual((status, out), (78, ""))
        self.assertIn("munge[1].from", err)
        self.assertIn("there is no such queue class (did you mean remote?)", err)
        self.assertIn("munge[1].to", err)
        self.assertEqual(self.ids(queues=("remote",)), ["old"])
