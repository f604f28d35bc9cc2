"""C{umbcmail queue}, with a spool in memory and no real reactor."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any
from unittest import mock

from twisted.internet.defer import succeed

from tests.clicase import HEADER, NOW, SECTIONS, CommandTestCase, FakeReactor, PieceContent
from umbcmail import cli
from umbcmail.cli import queuecommand
from umbcmail.content import MemoryContent
from umbcmail.entry import DamagedEntry, Delivery, Draft, Status
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.spool.memory import MemorySpool
from umbcmail.reply import reply
from umbcmail.selection import Selection


class ListTests(CommandTestCase):
    """C{umbcmail queue list}"""

    def test_people(self) -> None:
        """All entries, the oldest first, and a summary."""
        self.commit("k1")
        self.commit("k2", "y@b.example", "z@c.example")
        status, out, err = self.queue("list")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out,
            "ID  CLASS      SIZE  AGE  SENDER\n"
            "k1  remote  2.0 MiB   1m  k1@umbc.edu\n"
            "    x@b.example  next attempt in 4m\n"
            "k2  remote  2.0 MiB  59s  k2@umbc.edu\n"
            "    y@b.example  next attempt in 4m\n"
            "    z@c.example  next attempt in 4m\n"
            "2 entries, 4.0 MiB\n",
        )

    def test_empty(self) -> None:
        """An empty queue is no error; for programs it is nothing."""
        self.assertEqual(self.queue("list"), (0, "0 entries\n", ""))
        self.assertEqual(self.queue("list", "--json"), (0, "", ""))

    def test_json(self) -> None:
        """One object a line."""
        self.commit("k1")
        self.commit("k2")
        status, out, _ = self.queue("list", "--json")
        self.assertEqual((status, [json.loads(line)["id"] for line in out.splitlines()]), (0, ["k1", "k2"]))

    def test_filters(self) -> None:
        """By domain in any case, by class, and what is held."""
        self.commit("k1", "x@Sub.Example")
        self.commit("k2", queue="slow")
        self.successResultOf(self.spool.hold(Selection(ids=("k2",))))

        def found(*argv: str) -> list[str]:
            return [json.loads(line)["id"] for line in self.queue("list", "--json", *argv)[1].splitlines()]

        self.assertEqual(found("--domain", "SUB.example."), ["k1"])
        self.assertEqual(found("--class", "slow"), ["k2"])
        self.assertEqual(found("--state", "held"), ["k2"])
        self.assertEqual(found("--state", "held", "--class", "remote"), [])

    def test_unknownClass(self) -> None:
        """A class that is not declared is told; there may be entries in it all the same."""
        for words in (("list",), ("summary", "--json")):
            status, _, err = self.queue(*words, "--class", "remote", "--class", "rmote")
            self.assertEqual(status, 0)
            self.assertTrue(err.startswith("umbcmail: there is no queue class rmote; there are "), err)
            self.assertEqual(err.count("\n"), 1)

    def test_unreadable(self) -> None:
        """What can't be read is not shown, and that is said."""
        for id in ("k1", "k2"):
            self.commit(id)
        self.damage("k1")
        for words in ((), ("--json",)):
            status, out, err = self.queue("list", *words)
            self.assertEqual((status, "k1" in out, "k2" in out), (0, False, True))
            self.assertEqual(err, "umbcmail: 1 entry can't be read and will not be shown, see umbcmail queue damaged\n")
        refusal = "umbcmail: k1 can't be read, see umbcmail queue repair: rows\n"
        self.assertEqual(self.queue("show", "k1"), (75, "", refusal))

    def damage(self, id: str) -> None:
        """Have an entry that a spool on a disk can't read."""
        listing, found = MemorySpool.listing, [DamagedEntry(id, "rows")]
        self.patch(MemorySpool, "damaged", lambda spool: succeed(found))
        self.patch(
            MemorySpool,
            "listing",
            lambda *args: listing(*args).addCallback(lambda page: [each for each in page if each.id != id]),
        )

    def test_limit(self) -> None:
        """What is left out is told on the standard error; exactly the limit is not."""
        self.commit("k1")
        self.commit("k2")
        status, out, err = self.queue("list", "--json", "--limit", "1")
        self.assertEqual((status, len(out.splitlines())), (0, 1))
        self.assertEqual(err, "umbcmail: there are more than 1 entry, see --limit and --after\n")
        self.assertEqual(self.queue("list", "--json", "--limit", "2")[2], "")
        self.assertEqual(self.queue("list", "--limit", "0")[0], 2)

    def test_moreFilters(self) -> None:
        """By sender, recipient, age, size, cause, score, kind and ID."""
        later = Outcome(reply(450, "4.2.0", "Greylisted"), "mx.b.example[192.0.2.9]:25", "RCPT TO", True)
        self.commit("k1")
        self.commit("k2")
        self.store.entries["k2"].entry = replace(
            self.store.entries["k2"].entry,
            created=NOW - 7200,
            envelope=replace(self.store.entries["k2"].entry.envelope, sender="", agent="bounce", size=10, score=7.5),
            deliveries=(Delivery(Recipient("y@b.example"), Status.WAITING, 1, later),),
        )
        for argv in (
            ["--sender", "<>"],
            ["--recipient", "*@b.example", "--recipient", "<Y@b.example>"],
            ["--older", "2h"],
            ["--smaller", "1KiB"],
            ["--cause", "greyLISTED"],
            ["--cause", "mx.b.example"],
            ["--bounces"],
            ["--score-over", "7"],
            ["k2", "--state", "waiting"],
        ):
            self.assertEqual(self.found(*argv), ["k2"] if argv != ["--older", "2h"] else [], argv)
        self.assertEqual(self.found("--older", "119m"), ["k2"])
        for argv in (
            ["--sender", "K1@umbc.edu"],
            ["--newer", "1h"],
            ["--larger", "10B"],
            ["--no-bounces"],
            ["--class", "slow", "--class", "remote", "--recipient", "x@b.example"],
        ):
            self.assertEqual(self.found(*argv), ["k1"], argv)
        self.assertEqual(self.found("--state", "claimed"), [])

    def found(self, *argv: str) -> list[str]:
        """IDs of what is listed."""
        return [json.loads(line)["id"] for line in self.queue("list", "--json", *argv)[1].splitlines()]

    def test_sort(self) -> None:
        """By age unless said."""
        for id in ("k2", "k1", "k3"):
            self.commit(id)
        self.assertEqual(self.found(), ["k2", "k1", "k3"])
        self.assertEqual(self.found("--sort", "id"), ["k1", "k2", "k3"])
        self.assertEqual(self.found("--sort", "id", "--after", "k1", "--limit", "1"), ["k2"])
        self.assertEqual(
            self.queue("list", "--sort", "odd", "--limit", "0")[2],
            "umbcmail: --limit: must be at least 1, not '0'\n"
            "umbcmail: --sort must be one of age, due, size, id, not 'odd'\n",
        )

    def test_pages(self) -> None:
        """Many are read some at a time, in order, and counted together; columns stay where they are."""
        self.patch(queuecommand, "PAGE", 3)
        for number in range(10):
            self.commit(f"k{number}")
        limits = []
        listing = MemorySpool.listing
        self.patch(MemorySpool, "listing", lambda *args: limits.append(args[2]) or listing(*args))
        self.assertEqual(self.found(), [f"k{number}" for number in range(10)])
        self.assertEqual(self.found("--limit", "7"), [f"k{number}" for number in range(7)])
        self.assertEqual([3, 3, 3, 3, 3, 3, 3, 2], limits)
        lines = self.queue("list")[1].splitlines()
        self.assertEqual(["10 entries, 20.0 MiB"], [line for line in lines if "entries" in line])
        self.assertEqual(1, sum(line.startswith("ID") for line in lines))

    def test_goneMeanwhile(self) -> None:
        """An entry that goes while its list is read leaves no gap."""
        self.patch(queuecommand, "PAGE", 3)
        for number in range(9):
            self.commit(f"k{number}")
        listing = MemorySpool.listing

        def removing(*args: Any) -> Any:
            page = listing(*args)
            if args[4:] == ("",):
                self.successResultOf(self.spool.remove(Selection(ids=("k1", "k2", "k3"))))
            return page

        self.patch(MemorySpool, "listing", removing)
        self.assertEqual(self.found(), [f"k{number}" for number in (0, 1, 2, 4, 5, 6, 7, 8)])


class ShowTests(CommandTestCase):
    """C{umbcmail queue show}"""

    def test_people(self) -> None:
        """Everything but the body."""
        self.commit("k1")
        status, out, err = self.queue("show", "k1")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("sender:       k1@umbc.edu\n", out)
        self.assertTrue(out.endswith("header:\n    Subject: test\n    X-Long: a\n        b\n"), out)

    def test_json(self) -> None:
        """One object, with the header."""
        self.commit("k1")
        status, out, _ = self.queue("show", "k1", "--json")
        record = json.loads(out)
        self.assertEqual((status, record["id"], record["header"]), (0, "k1", HEADER.decode()))
        self.assertIs(record["header_whole"], True)

    def test_unknown(self) -> None:
        """An id that nothing has is an error of one line."""
        self.assertEqual(self.queue("show", "k9"), (1, "", "umbcmail: there is no entry k9\n"))

    def test_pieces(self) -> None:
        """The header may come in pieces; no more is read than needed, and the reader is closed once."""
        content = PieceContent(b"A: b\r", b"\n\r", b"\nbody", b"more")
        self.commit("k1", content=content)  # type: ignore[arg-type]
        self.assertEqual(json.loads(self.queue("show", "k1", "--json")[1])["header"], "A: b\r\n")
        self.assertEqual((content.pieces, content.closed), ([b"more"], 1))

    def test_noBody(self) -> None:
        """A message without an empty line is all header."""
        self.commit("k1", content=MemoryContent(b"A: b\r\n"))
        record = json.loads(self.queue("show", "k1", "--json")[1])
        self.assertEqual((record["header"], record["header_whole"]), ("A: b\r\n", True))

    def test_longHeader(self) -> None:
        """At most 64 KiB of a header are read and shown, and it is said."""
        content = PieceContent(*[b"A: " + b"x" * 50_000 + b"\r\n"] * 4)
        self.commit("k1", content=content)  # type: ignore[arg-type]
        status, out, _ = self.queue("show", "k1")
        self.assertEqual((status, len(content.pieces), content.closed), (0, 2, 1))
        self.assertTrue(out.endswith("x\n    (cut off here)\n"))
        self.assertLess(len(out), 70_000)

    def test_unreadable(self) -> None:
        """When the content can't be read, the rest is shown all the same, with an error."""
        for index, asJSON in enumerate(([], ["--json"])):
            content = PieceContent(b"A: b\r\n", OSError(5, "Input/output error"))
            self.commit(f"k{index}", content=content)  # type: ignore[arg-type]
            status, out, err = self.queue("show", f"k{index}", *asJSON)
            self.assertEqual((status, content.closed), (75, 1))
            self.assertIn(f"k{index}@umbc.edu", out)
            self.assertEqual(err, f"umbcmail: the content of k{index} can't be read: [Errno 5] Input/output error\n")

    def test_severalEntries(self) -> None:
        """The id of a message shows all of its entries."""
        envelope = Envelope("k1", "", (Recipient("a@b"), Recipient("c@d")), NOW)
        drafts = [Draft(q, (Delivery(r),), NOW) for q, r in zip(("remote", "slow"), envelope.recipients, strict=True)]
        self.successResultOf(self.spool.commit(envelope, MemoryContent(HEADER), drafts, NOW))
        _, out, _ = self.queue("show", "k1", "--json")
        self.assertEqual([json.loads(line)["queue"] for line in out.splitlines()], ["remote", "slow"])
        self.assertEqual(self.queue("show", "k1")[1].count("\n\nid:"), 1)

    def test_content(self) -> None:
        """The message itself, octet by octet where no terminal is."""
        content = PieceContent(b"A: b\r\n\r\ngr\xc3", b"\xbc\xff\x1b[2J\r\n")
        self.commit("k1", content=content)  # type: ignore[arg-type]
        status, out, _ = self.queue("show", "k1", "--content")
        self.assertEqual((status, out, content.closed), (0, "A: b\n\ngrü\\xff\\x1b[2J\n", 1))
        raw = io.BytesIO()
        content.pieces = [b"A: b\r\n\r\n", b"\xff\x1b\r\n"]
        with io.TextIOWrapper(raw) as out_, mock.patch("sys.stdout", out_):
            cli.main(
                ["queue", "show", "k1", "--content", "--config", self.config],
                sections=SECTIONS,
                openSpool=self.open,
                reactor=FakeReactor(),
            )
            self.assertEqual(raw.getvalue(), b"A: b\r\n\r\n\xff\x1b\r\n")
        self.assertEqual(self.queue("show", "k1", "--content", "--json")[0], 2)
        content.pieces = [OSError(5, "Input/output error")]
        self.assertEqual(self.queue("show", "k1", "--content")[0], 75)


class SummaryTests(CommandTestCase):
    """C{umbcmail queue summary}"""

    def test_people(self) -> None:
        """All of them, then the destinations with most entries."""
        self.commit("k1", "x@one.example")
        self.commit("k2", "x@two.example")
        self.commit("k3", "x@two.example", queue="slow")
        self.store.entries["k3"].entry = replace(self.store.entries["k3"].entry, created=NOW - 90000)
        status, out, err = self.queue("summary")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            [
                ["ALL", "5m", "10m", "20m", "40m", "1h20m", "2h40m", "5h20m", "10h40m", "1d", ">1d"],
                ["all", "destinations", "3", "2", *["0"] * 8, "1"],
                ["two.example", "2", "1", *["0"] * 8, "1"],
                ["one.example", "1", "1", *["0"] * 9],
            ],
            [line.split() for line in out.splitlines()],
        )
        self.assertEqual(1, len({len(line) for line in out.splitlines()}))

    def test_json(self) -> None:
        """One object a line; with a limit, filters, and nothing that is meant."""
        self.commit("k1", "x@one.example")
        self.commit("k2", "x@two.example")
        rows = [json.loads(line) for line in self.queue("summary", "--json", "--limit", "1")[1].splitlines()]
        self.assertEqual([(None, 2), ("one.example", 1)], [(row["destination"], row["total"]) for row in rows])
        self.assertEqual(2, rows[0]["ages"]["5m"])
        out = self.queue("summary", "--json", "--domain", "two.example")[1]
        self.assertEqual([1, 1], [json.loads(line)["total"] for line in out.splitlines()])
        self.assertEqual(0, json.loads(self.queue("summary", "--json", "--state", "damaged")[1])["total"])
        self.assertEqual(self.queue("summary", "--limit", "x")[0], 2)

    def test_failed(self) -> None:
        """What has only to be told to its sender waits for no destination."""
        self.commit("k1")
        self.queue("bounce", "k1")
        self.assertIn("(nobody waits)", self.queue("summary")[1])


class ChangeTests(CommandTestCase):
    """What changes entries."""

    def setUp(self) -> None:
        super().setUp()
        self.commit("k1", "a@one.example")
        self.commit("k2", "a@two.example")
        self.commit("k3", "a@two.example", queue="slow")

    def test_retry(self) -> None:
        """Named entries are due now, others are not."""
        self.assertEqual(self.queue("retry", "k1", "k3"), (0, "2 entries to be tried now\n", ""))
        self.assertEqual([entry.due for entry in self.entries()], [NOW, NOW + 240, NOW])

    def test_filters(self) -> None:
        """All conditions have to hold."""
        self.assertEqual(self.queue("retry", "--domain", "TWO.example")[1], "2 entries to be tried now\n")
        self.assertEqual(self.queue("hold", "--domain", "two.example", "--class", "slow")[1], "1 entry held\n")
        self.assertEqual(self.ids(held=True), ["k3"])

    def test_holdAndRelease(self) -> None:
        """Held entries are released and due; what is not held is left alone."""
        self.assertEqual(self.queue("hold", "k1"), (0, "1 entry held\n", ""))
        self.assertEqual(self.queue("hold", "k1"), (1, "", "umbcmail: no entry matches that is not held already\n"))
        self.assertEqual(self.queue("release", "k2"), (1, "", "umbcmail: no held entry matches\n"))
        self.assertEqual(self.queue("release", "--all"), (0, "1 entry released\n", ""))
        self.assertEqual(
            [("k2", False, NOW + 240), ("k3", False, NOW + 240), ("k1", False, NOW)],
            [(e.id, e.held, e.due) for e in self.entries()],
        )

    def test_remove(self) -> None:
        """Removed is removed, and the count is told, as JSON too."""
        self.assertEqual(self.queue("remove", "k1")[1], "1 entry removed\n")
        self.assertEqual(self.queue("remove", "--json", "k2")[1], '{"removed": 1}\n')
        self.assertEqual(self.ids(), ["k3"])

    def test_move(self) -> None:
        """To a class that there is; what is there already does not count."""
        self.assertEqual(self.queue("move", "--all", "--to", "slow"), (0, "2 entries moved to slow\n", ""))
        self.assertEqual(self.ids(queues=("slow",)), ["k1", "k2", "k3"])
        status, _, err = self.queue("move", "k1", "--to", "slow")
        self.assertEqual((status, err[:50]), (1, "umbcmail: no entry matches that is in another clas"))
        status, _, err = self.queue("move", "k1", "--to", "slwo")
        self.assertEqual(
            (2, "umbcmail: --to: there is no queue class slwo; there are local, internal, remote, slow, dead\n"),
            (status, err),
        )

    def test_bounce(self) -> None:
        """The recipients have failed, with the reason that is given."""
        self.assertEqual(self.queue("bounce", "k1"), (0, "1 entry given up, their senders are told\n", ""))
        self.queue("bounce", "k2", "--reason", "Wrong list, sorry")
        found = [entry.deliveries[0] for entry in self.entries()]
        self.assertEqual([Status.FAILED, Status.FAILED, Status.WAITING], [delivery.status for delivery in found])
        replies = [str(delivery.outcome.reply) for delivery in found if delivery.outcome is not None]
        self.assertEqual(
            ["554 5.0.0 The postmaster has taken it out of the queue", "554 5.0.0 Wrong list, sorry"], replies
        )
        for reason in ("", "a\nb", "x" * 501):
            self.assertEqual(self.queue("bounce", "k3", "--reason", reason)[0], 2)

    def test_edit(self) -> None:
        """A recipient, or all in a domain, get another address; the sender's word for it stays."""
        done = self.queue("edit", "--recipient", "<A@one.example>", "--to", "b@new.example")
        self.assertEqual((0, "1 entry readdressed to b@new.example\n", ""), done)
        self.assertEqual(self.queue("edit", "--recipient", "*@two.example", "--to", "*@new.example")[0], 0)
        found = [entry.deliveries[0].recipient for entry in self.entries()]
        self.assertEqual(
            [("b@new.example", "rfc822;a@one.example"), *[("a@new.example", "rfc822;a@two.example")] * 2],
            [(recipient.address, recipient.orcpt) for recipient in found],
        )
        self.assertEqual(self.queue("edit", "--recipient", "a@one.example", "--to", "b@c")[0], 1)

    def test_wrongEdit(self) -> None:
        """Both addresses must be some, and both mistakes are told."""
        status, _, err = self.queue("edit", "k1", "--recipient", "nobody", "--to", "*@-")
        self.assertEqual(
            (
                2,
                [
                    "umbcmail: --recipient: 'nobody': not a path",
                    "umbcmail: --to: '*@-': '-' is not a domain name",
                ],
            ),
            (status, err.splitlines()),
        )
        self.assertEqual(self.queue("edit", "k1", "--to", "b@c")[2], "umbcmail: edit needs --recipient ADDRESS\n")

    def test_dangerous(self) -> None:
        """Nothing is done without a word on what is meant."""
        for action, *more in (
            ("retry",),
            ("hold",),
            ("release",),
            ("remove",),
            ("bounce",),
            ("move", "--to", "slow"),
            ("repair",),
        ):
            status, out, err = self.queue(action, *more)
            self.assertEqual((status, out), (2, ""))
            self.assertEqual(err, f"umbcmail: {action} needs an ID, a filter or --all\n")
        self.assertEqual((len(self.ids()), self.opened, self.logged), (3, [], []))
        self.assertEqual(self.queue("remove", "--all"), (0, "3 entries removed\n", ""))

    def test_emptyWord(self) -> None:
        """An empty ID or filter (an unset variable in a script) is not "all"."""
        for argv in (["--domain", ""], ["--class", ""], [""], ["--domain", "."], ["k1", ""], ["--older", " "]):
            self.assertEqual(self.queue("remove", *argv)[0], 2, argv)
            self.assertEqual(self.queue("retry", *argv)[0], 2, argv)
        self.assertEqual(len(self.ids()), 3)

    def test_allMistakes(self) -> None:
        """All that is wrong is told at once."""
        argv = ["--all", "--older", "2", "--newer", "x", "--state", "odd", "--larger", "1k", "--score-over", "much", ""]
        status, _, err = self.queue("bounce", *argv, "--reason", "")
        self.assertEqual(
            (
                2,
                [
                    "--score-over: a number is needed, not 'much'",
                    '--larger: a size such as 1000, "256KiB" or "25MiB" is needed, not \'1k\'',
                    '--older: a time such as "90s", "5m", "4h" or "5d" is needed, not \'2\'',
                    '--newer: a time such as "90s", "5m", "4h" or "5d" is needed, not \'x\'',
                    "--state must be one of waiting, claimed, held, damaged, not 'odd'",
                    "an ID must not be empty",
                    "--all goes with no ID and no filter",
                    "--reason must be one line of up to 500 characters",
                ],
            ),
            (status, [line.removeprefix("umbcmail: ") for line in err.splitlines()]),
        )

    def test_allAndSome(self) -> None:
        """--all with a name is a contradiction."""
        for argv in (["k1"], ["--domain", "x"], ["--class", "x"], ["--no-bounces"], ["--state", "damaged"]):
            self.assertEqual(self.queue("remove", "--all", *argv)[0], 2)
        self.assertEqual(len(self.ids()), 3)

    def test_noAbbreviations(self) -> None:
        """Half an option is none."""
        self.assertEqual(self.queue("remove", "--al")[0], 2)
        self.assertEqual(len(self.ids()), 3)

    def test_mistyped(self) -> None:
        """An ID that nothing has is named, and the others are done."""
        status, out, err = self.queue("hold", "k1", "k8", "k9")
        self.assertEqual((status, out, err), (0, "1 entry held\n", "umbcmail: there is no entry k8, k9\n"))

    def test_nothing(self) -> None:
        """When nothing matches, that is an error; for --all on an empty spool it is not."""
        for action in ("retry", "remove"):
            self.assertEqual(self.queue(action, "k9"), (1, "", "umbcmail: no entry matches\n"))
        self.queue("remove", "--all")
        self.assertEqual(self.queue("retry", "--all"), (0, "0 entries to be tried now\n", ""))

    def test_standardInput(self) -> None:
        """IDs are the first words of its lines; when there are none nothing is done."""
        self.stdin = io.StringIO("k1 x\n\n  k3\nk1\n")
        self.assertEqual(self.queue("remove", "-")[1], "2 entries removed\n")
        self.assertEqual(self.queue("remove", "-"), (2, "", "umbcmail: the standard input has no ID\n"))
        self.assertEqual(self.ids(), ["k2"])

    def test_beingTried(self) -> None:
        """What is being tried is left out where it must be, and that is said; it is removed all the same."""
        self.successResultOf(self.spool.claim("slow", 1, NOW + 900))
        for argv in (["move", "--to", "internal"], ["bounce"], ["edit", "--recipient", "*@two.example", "--to", "*@c"]):
            status, _, err = self.queue(argv[0], "--domain", "two.example", *argv[1:])
            self.assertEqual((status, err), (0, "umbcmail: 1 entry left out, being tried now\n"), argv)
            if argv[0] == "bounce":
                self.queue("remove", "k2")
                self.commit("k4", "a@two.example")
            self.assertEqual(self.queue(argv[0], "k3", *argv[1:])[0], 1, argv)
        self.assertEqual(self.queue("remove", "k3")[1], "1 entry removed\n")

    def test_damaged(self) -> None:
        """What is damaged is shown, can be chosen as a state, and repaired."""
        (claim,) = self.successResultOf(self.spool.claim("slow", 1, NOW + 900))
        self.successResultOf(self.spool.setAside(claim, "the content is\x1b gone"))
        self.assertEqual(self.queue("damaged"), (0, "k3  the content is\\x1b gone\n1 entry\n", ""))
        self.assertEqual(self.queue("damaged", "--class", "remote")[1], "0 entries\n")
        self.assertEqual(self.queue("damaged", "k1", "k3")[1][:2], "k3")
        self.assertEqual(json.loads(self.queue("damaged", "--json")[1]), {"id": "k3", "why": "the content is\x1b gone"})
        self.assertIn('"k3"', self.queue("list", "--state", "damaged", "--json")[1])
        self.assertEqual(self.queue("release", "k3", "--dry-run")[1].splitlines()[-1], "0 entries would be released")
        self.assertEqual(self.queue("repair", "k1"), (1, "", "umbcmail: no damaged entry matches\n"))
        self.assertEqual(self.queue("repair", "--all", "--into", "/x"), (0, "1 entry repaired\n", ""))
        self.assertIn(
            'ordered id=- what="queue repair" user=root uid=0 sudo=ann selection=--all entry=k3 into=/x entries=1',
            self.logged,
        )
        self.assertEqual(self.queue("repair", "--all"), (0, "0 entries repaired\n", ""))
        self.assertEqual(self.queue("list", "--state", "damaged"), (0, "0 entries\n", ""))
        self.assertEqual(self.queue("remove", "--state", "damaged")[0], 1)
        self.assertEqual(self.queue("repair", "k1", "--into", "")[0], 2)


class RehearsalTests(CommandTestCase):
    """C{--dry-run}, and the question."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(12):
            self.commit(f"k{number:02}", "a@one.example", queue="slow" if number % 2 else "remote")

    def test_dryRun(self) -> None:
        """How many, and the first of them; nothing is changed, and nothing is logged."""
        before = self.entries()
        status, out, err = self.queue("remove", "--all", "--dry-run")
        lines = out.splitlines()
        self.assertEqual((status, err, len(lines)), (0, "", 1 + 2 * 10 + 2))
        self.assertEqual(["…", "12 entries would be removed"], lines[-2:])
        for argv, number in (
            (["retry", "--class", "slow"], 6),
            (["hold", "--all"], 12),
            (["hold", "--state", "held"], 0),
            (["release", "--all"], 0),
            (["move", "--all", "--to", "slow"], 6),
            (["move", "--class", "slow", "--class", "remote", "--to", "slow"], 6),
            (["move", "--class", "slow", "--to", "slow"], 0),
            (["bounce", "--older", "1h"], 0),
            (["edit", "--recipient", "a@one.example", "--to", "b@c"], 12),
            (["repair", "--all"], 0),
        ):
            words = self.queue(argv[0], *argv[1:], "--dry-run", "--json")[1]
            record = json.loads(words)
            self.assertIs(record.pop("dry_run"), True)
            self.assertEqual(bool(record.pop("first")), number > 0)
            self.assertEqual([number], list(record.values()), argv)
        self.assertEqual((before, []), (self.entries(), self.logged))

    def asked(self, answer: str, *argv: str) -> tuple[int, str, str]:
        """The command at a terminal."""
        self.stdin = io.StringIO(answer)
        self.stdin.isatty = lambda: True
        return self.queue(*argv)

    def test_question(self) -> None:
        """At a terminal one is asked before much is lost, and no is no."""
        question = "12 entries will be removed. Go on? [y/N] "
        for answer in ("n\n", "", "\n", "yesterday\n"):
            self.assertEqual(
                self.asked(answer, "remove", "--all"), (1, "", f"{question}umbcmail: nothing has been changed\n")
            )
        self.assertEqual(len(self.ids()), 12)
        status, _, err = self.asked("Y\n", "bounce", "--class", "slow")
        self.assertEqual((status, err), (0, "6 entries will be given up, their senders are told. Go on? [y/N] "))
        self.assertEqual(self.asked("yes\n", "remove", "--all")[:2], (0, "12 entries removed\n"))

    def test_noQuestion(self) -> None:
        """Not for one entry, not with --yes, not for what can be undone, and not without a terminal."""
        self.assertEqual(self.asked("", "remove", "k01")[2], "")
        self.assertEqual(self.asked("", "remove", "k02", "k03", "--yes")[2], "")
        self.assertEqual(self.asked("", "hold", "--all")[2], "")
        self.stdin = io.StringIO()
        self.assertEqual(self.queue("remove", "--all")[1:], ("9 entries removed\n", ""))


class AuditTests(CommandTestCase):
    """Each change is a line in the mail log."""

    def test_lines(self) -> None:
        """Who, what, which entries, how many."""
        self.commit("k1")
        self.commit("k2")
        self.queue("hold", "k1", "k2")
        self.queue("move", "--domain", "b.example", "--older", "1s", "--to", "slow")
        self.queue("bounce", "k1", "--no-bounces", "--reason", "Why not")
        self.queue("edit", "--recipient", "x@b.example", "--to", "y@b.example")
        self.queue("remove", "--all")
        who = "user=root uid=0 sudo=ann"
        self.assertEqual(
            [
                f'ordered id=- what="queue hold" {who} entry="k1 k2" entries=2',
                f'ordered id=- what="queue move" {who} selection="--domain b.example --older 1s" to=slow entries=2',
                f'ordered id=- what="queue bounce" {who} selection=--no-bounces entry=k1 reason="Why not" entries=1',
                f'ordered id=- what="queue edit" {who} selection="--recipient x@b.example" to=y@b.example entries=1',
                f'ordered id=- what="queue remove" {who} selection=--all entries=2',
            ],
            self.logged,
        )

    def test_manyIds(self) -> None:
        """All IDs are named, some in each line, and each is changed."""
        ids = [f"k{number}" for number in range(450)]
        for id in ids:
            self.commit(id)
        self.stdin = io.StringIO("\n".join(ids))
        self.assertEqual(self.queue("remove", "-")[1], "450 entries removed\n")
        self.assertEqual(["entries=200", "entries=200", "entries=50"], [line.split()[-1] for line in self.logged])
        self.assertIn(' entry="k400 k401 ', self.logged[2])
        self.assertEqual(self.ids(), [])

    def test_looking(self) -> None:
        """Who only looks is not in the log."""
        self.commit("k1")
        for argv in (["list"], ["show", "k1"], ["summary"], ["damaged"], ["hold", "k1", "--dry-run"], ["hold"]):
            self.queue(*argv)
        self.assertEqual([], self.logged)
