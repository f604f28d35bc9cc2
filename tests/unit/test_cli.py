"""Tests of `umbcmail.cli`: the operator's command, with a spool in memory and no real reactor."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import cli
from umbcmail.config import Config, ConfigError
from umbcmail.content import MemoryContent
from umbcmail.entry import Delivery, Draft, Entry, SpoolError
from umbcmail.envelope import Envelope, Recipient
from umbcmail.interfaces import IContent
from umbcmail.options import WORD, Option, Section
from umbcmail.queue.spool.memory import MemorySpool, MemoryStore
from umbcmail.selection import Selection

NOW = 1_700_000_000.0
HEADER = b"Subject: test\r\nX-Long: a\r\n\tb\r\n"
SECTIONS = (Section("spool", "Spool.", (Option("url", WORD, "memory:", "Where."),)),)


class FakeReactor:
    """As much of a reactor as C{react} needs; runs what is to be called at once."""

    def __init__(self) -> None:
        self.isRunning = False
        self.runs = 0
        self._calls: list[Callable[[], Any]] = []
        self._triggers: list[Callable[[], Any]] = []

    def callWhenRunning(self, call: Callable[..., Any], *args: Any) -> None:
        """See L{IReactorCore.callWhenRunning}."""
        self._calls.append(lambda: call(*args))

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[..., Any], *args: Any) -> None:
        """See L{IReactorCore.addSystemEventTrigger}."""
        self._triggers.append(lambda: call(*args))

    def run(self) -> None:
        """Do what waits, until there is nothing, which stands for a signal."""
        self.runs += 1
        self.isRunning = True
        while self._calls and self.isRunning:
            self._calls.pop(0)()
        if self.isRunning:
            self.stop()

    def stop(self) -> None:
        """End."""
        self.isRunning = False
        for trigger in self._triggers:
            trigger()


class PieceContent:
    """Content that comes in pieces, and counts how often its readers are closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.size = 0
        self.data = None
        self.pieces = list(pieces)
        self.closed = 0

    def open(self) -> PieceContent:
        """See L{IContent.open}."""
        return self

    def read(self) -> Deferred[bytes]:
        """See L{IContentReader.read}."""
        piece = self.pieces.pop(0) if self.pieces else b""
        return fail(piece) if isinstance(piece, Exception) else succeed(piece)

    def close(self) -> None:
        """See L{IContentReader.close}."""
        self.closed += 1


class CommandTestCase(SynchronousTestCase):
    """Runs the command on a spool in memory."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.spool = MemorySpool("test", store=self.store)
        self.successResultOf(self.spool.start())
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.config = os.path.join(folder, "umbcmail.toml")
        with open(self.config, "w") as file:
            file.write("[spool]\nurl = 'memory:test'\n")
        self.opened: list[MemorySpool] = []

    def commit(self, id: str, *recipients: str, queue: str = "remote", content: IContent | None = None) -> None:
        """Put a message into the spool, due in four minutes."""
        to = tuple(Recipient(address) for address in recipients or ("x@b.example",))
        envelope = Envelope(id, f"{id}@umbc.edu", to, NOW - 60, size=2 << 20)
        draft = Draft(queue, tuple(Delivery(r) for r in to), NOW + 240)
        data = content or MemoryContent(HEADER + b"\r\nbody\r\n")
        self.successResultOf(self.spool.commit(envelope, data, [draft], NOW - 60 + len(self.store.entries)))

    def entries(self, **what: Any) -> list[Entry]:
        """What is in the spool."""
        return self.successResultOf(self.spool.listing(Selection(**what), 100))

    def ids(self, **what: Any) -> list[str]:
        """Ids of what is in the spool."""
        return [entry.id for entry in self.entries(**what)]

    def open(self, config: Config, reactor: Any) -> MemorySpool:
        """Open another spool on the same store, as another process would."""
        self.assertEqual(config.section("spool")["url"], "memory:test")
        self.opened.append(MemorySpool("tool", store=self.store))
        return self.opened[-1]

    def run_(self, *argv: str, opener: Any = None, reactor: Any = None) -> tuple[int, str, str]:
        """Exit status, output and errors of a command."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch("sys.stdout", out), mock.patch("sys.stderr", err):
            status = cli.main(
                argv,
                sections=SECTIONS,
                openSpool=opener or self.open,
                reactor=reactor or FakeReactor(),
                now=lambda: NOW,
            )
        return status, out.getvalue(), err.getvalue()

    def queue(self, action: str, *argv: str, **more: Any) -> tuple[int, str, str]:
        """The same for C{umbcmail queue}."""
        return self.run_("queue", action, "--config", self.config, *argv, **more)


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
        self.assertEqual(found("--queue", "slow"), ["k2"])
        self.assertEqual(found("--held"), ["k2"])
        self.assertEqual(found("--held", "--queue", "remote"), [])

    def test_limit(self) -> None:
        """What is left out is told on the standard error; exactly the limit is not."""
        self.commit("k1")
        self.commit("k2")
        status, out, err = self.queue("list", "--json", "--limit", "1")
        self.assertEqual((status, len(out.splitlines())), (0, 1))
        self.assertEqual(err, "umbcmail: there are more than 1 entry, see --limit\n")
        self.assertEqual(self.queue("list", "--json", "--limit", "2")[2], "")
        self.assertEqual(self.queue("list", "--limit", "0")[0], 2)


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


class ChangeTests(CommandTestCase):
    """C{umbcmail queue retry|hold|release|remove}"""

    def setUp(self) -> None:
        super().setUp()
        self.commit("k1", "a@one.example")
        self.commit("k2", "a@two.example")
        self.commit("k3", "a@two.example", queue="slow")

    def test_retry(self) -> None:
        """Named entries are due now, others are not."""
        self.assertEqual(self.queue("retry", "k1", "k3"), (0, "2 entries to be tried now\n", ""))
        self.assertEqual([entry.due for entry in self.entries()], [NOW, NOW + 240, NOW])

    def test_retryAll(self) -> None:
        """Without a name all are meant, with --all too."""
        self.assertEqual(self.queue("retry")[1], "3 entries to be tried now\n")
        self.assertEqual(self.queue("retry", "--all")[1], "3 entries to be tried now\n")

    def test_filters(self) -> None:
        """All conditions have to hold."""
        self.assertEqual(self.queue("retry", "--domain", "TWO.example")[1], "2 entries to be tried now\n")
        self.assertEqual(self.queue("hold", "--domain", "two.example", "--queue", "slow")[1], "1 entry held\n")
        self.assertEqual(self.ids(held=True), ["k3"])

    def test_holdAndRelease(self) -> None:
        """Held entries are released and due; what is not held is left alone."""
        self.assertEqual(self.queue("hold", "k1"), (0, "1 entry held\n", ""))
        self.assertEqual(self.queue("hold", "k1"), (1, "", "umbcmail: no entry matches that is not held already\n"))
        self.assertEqual(self.queue("release", "k2"), (1, "", "umbcmail: no held entry matches\n"))
        self.assertEqual(self.queue("release"), (0, "1 entry released\n", ""))
        self.assertEqual(
            [("k2", False, NOW + 240), ("k3", False, NOW + 240), ("k1", False, NOW)],
            [(e.id, e.held, e.due) for e in self.entries()],
        )

    def test_remove(self) -> None:
        """Removed is removed, and the count is told, as JSON too."""
        self.assertEqual(self.queue("remove", "k1")[1], "1 entry removed\n")
        self.assertEqual(self.queue("remove", "--json", "k2")[1], '{"removed": 1}\n')
        self.assertEqual(self.ids(), ["k3"])

    def test_dangerous(self) -> None:
        """remove and hold do nothing without a word on what is meant."""
        for action in ("remove", "hold"):
            status, out, err = self.queue(action)
            self.assertEqual((status, out), (2, ""))
            self.assertEqual(err, f"umbcmail: {action} needs an ID, --domain, --queue or --all\n")
        self.assertEqual((len(self.ids()), self.opened), (3, []))
        self.assertEqual(self.queue("remove", "--all"), (0, "3 entries removed\n", ""))

    def test_emptyWord(self) -> None:
        """An empty ID or filter (an unset variable in a script) is not "all"."""
        for argv in (["--domain", ""], ["--queue", ""], [""], ["--domain", "."], ["k1", ""]):
            self.assertEqual(self.queue("remove", *argv)[0], 2, argv)
            self.assertEqual(self.queue("retry", *argv)[0], 2, argv)
        self.assertEqual(len(self.ids()), 3)

    def test_allAndSome(self) -> None:
        """--all with a name is a contradiction."""
        for argv in (["k1"], ["--domain", "x"], ["--queue", "x"]):
            self.assertEqual(self.queue("remove", "--all", *argv)[0], 2)
        self.assertEqual(len(self.ids()), 3)

    def test_noAbbreviations(self) -> None:
        """Half an option is none."""
        self.assertEqual(self.queue("remove", "--al")[0], 2)
        self.assertEqual(len(self.ids()), 3)

    def test_nothing(self) -> None:
        """When nothing matches, that is an error; for --all on an empty spool it is not."""
        for action in ("retry", "remove"):
            self.assertEqual(self.queue(action, "k9"), (1, "", "umbcmail: no entry matches\n"))
        self.queue("remove", "--all")
        self.assertEqual(self.queue("retry", "--all"), (0, "0 entries to be tried now\n", ""))


class MainTests(CommandTestCase):
    """The command as a whole."""

    def test_stopsTheSpool(self) -> None:
        """The spool is started and stopped, also when the action fails, and the reactor runs once."""
        reactor = FakeReactor()
        self.queue("list", reactor=reactor)
        self.queue("show", "k9")
        self.assertEqual((self.store.living, len(self.opened), reactor.runs), ({"test"}, 2, 1))

    def test_usage(self) -> None:
        """A wrong command is one line and status 2."""
        for argv in (
            (),
            ("queue",),
            ("queue", "lsit"),
            ("queue", "show"),
            ("queue", "list", "--limit", "x"),
            ("que",),
            ("queue", "list", "k1"),
            ("queue", "list", "--nothing"),
        ):
            status, out, err = self.run_(*argv)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1), argv)
            self.assertTrue(err.startswith("umbcmail: "), err)

    def test_help(self) -> None:
        """Help and version are no errors."""
        for argv in (("--help",), ("queue", "--help"), ("queue", "remove", "--help"), ("--version",)):
            status, out, err = self.run_(*argv)
            self.assertEqual((status, err), (0, ""))
            self.assertIn("umbcmail", out)

    def test_configuration(self) -> None:
        """A wrong configuration is status 78 with a line for each mistake, and no spool is opened."""
        status, out, err = self.queue("list", "--set", "spool.ulr=x", "--set", "spool.url=''")
        self.assertEqual((status, out, self.opened), (78, "", []))
        self.assertEqual(
            err.splitlines(),
            [
                'umbcmail: --set: spool.ulr = "x": unknown key (did you mean url?)',
                'umbcmail: --set: spool.url = "": must not be empty',
            ],
        )
        self.assertEqual(self.run_("queue", "list", "--config", "/nonexistent/x")[0], 78)

    def test_set(self) -> None:
        """--set changes a setting for this run."""
        seen = []

        def opener(config: Config, reactor: Any) -> MemorySpool:
            seen.append(config.section("spool")["url"])
            return MemorySpool("tool", store=self.store)

        self.assertEqual(self.queue("list", "--set", "spool.url=memory:b", opener=opener)[0], 0)
        self.assertEqual(seen, ["memory:b"])

    def test_wrongSpool(self) -> None:
        """A spool that can't be made by its url is a mistake in the configuration."""

        def opener(config: Config, reactor: Any) -> MemorySpool:
            raise ConfigError([config.problem("spool.url", "is nonsense")])

        self.assertEqual(
            self.queue("list", opener=opener),
            (78, "", f'umbcmail: {self.config}: spool.url = "memory:test": is nonsense\n'),
        )

    def test_spoolFails(self) -> None:
        """A spool that can't be opened, or does not do what it is asked for, is status 75."""
        busy = MemorySpool("test", store=self.store)
        status, out, err = self.queue("list", opener=lambda config, reactor: busy)
        self.assertEqual((status, out), (75, ""))
        self.assertTrue(err.startswith("umbcmail: the spool: another one uses"), err)

        broken = MemorySpool("tool", store=self.store)
        broken.retry = lambda selection, now: fail(SpoolError("no room"))  # type: ignore[method-assign]
        self.assertEqual(
            self.queue("retry", opener=lambda config, reactor: broken), (75, "", "umbcmail: the spool: no room\n")
        )
        self.assertNotIn("tool", self.store.living)

    def test_interrupted(self) -> None:
        """When the reactor ends before the spool has answered (Ctrl-C), that is no success."""
        spool = MemorySpool("tool", store=self.store)
        spool.listing = lambda selection, limit: Deferred()  # type: ignore[method-assign]
        self.assertEqual(self.queue("list", opener=lambda config, reactor: spool), (130, "", ""))

    def test_readerGone(self) -> None:
        """When who reads the output has gone, the command ends quietly."""
        self.commit("k1")
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as out, mock.patch("sys.stdout", out):
            status = cli.main(
                ["queue", "list", "--config", self.config],
                sections=SECTIONS,
                openSpool=self.open,
                reactor=FakeReactor(),
            )
        self.assertEqual(status, 0)

    def test_asciiTerminal(self) -> None:
        """An address that the terminal has no letters for is escaped and does not end the command."""
        self.commit("k1", "müller@b.example")
        raw = io.BytesIO()
        with io.TextIOWrapper(raw, encoding="ascii", write_through=True) as out, mock.patch("sys.stdout", out):
            cli.main(
                ["queue", "list", "--config", self.config],
                sections=SECTIONS,
                openSpool=self.open,
                reactor=FakeReactor(),
            )
            self.assertIn(b"m\\xfcller@b.example", raw.getvalue())
