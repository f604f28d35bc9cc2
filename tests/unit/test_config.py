"""Tests of `umbcmail.config` and of what it is made of: `layers`, `mistakes`, `schema`, `tomltext`."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
import tomllib
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail import options as o
from umbcmail.config import Config, ConfigError, Problem, load
from umbcmail.config.schema import Schema, nearest
from umbcmail.config.tomltext import comment, parseValue, tomlKey, tomlValue

Option, Section = o.Option, o.Section

SPOOL = Section(
    "spool",
    "The spool.",
    (
        Option("url", o.WORD, "sqlite:/var/spool/umbcmail", "Where."),
        Option("lease", o.duration(1, 86400), "5m", "How long."),
        Option("in-memory", o.size(), "256KiB", "How much."),
        Option("sync", o.choice("full", "normal", "off"), "full", "How."),
        Option("owner", o.WORD, None, "Who."),
    ),
)
QUEUE = Section(
    "queue.*",
    "A queue.",
    (
        Option("retry", o.listOf(o.duration(1), 1), ["5m", "1h"], "When."),
        Option("concurrency", o.integer(1, 1000), 20, "How many."),
        Option("order", o.listOf(o.choice("age", "host", "random")), ["age"], "Order."),
    ),
    names=("local", "remote"),
    defaults=(("local", (("concurrency", 50), ("retry", ["1m"]))), ("slow", (("concurrency", 2),))),
)
AGENT = Section("agent.*", "An agent.", (Option("mode", o.choice("interactive", "background"), "background", "How."),))
PORT = Section(
    "agent.*.port.*",
    "A port.",
    (Option("endpoint", o.WORD, None, "Where.", required=True), Option("tls", o.BOOLEAN, False, "TLS at once.")),
    names=("delivery.mx",),
    defaults=(("delivery.mx", (("endpoint", "tcp:25"),)),),
)
ROUTE = Section(
    "route[]",
    "A route.",
    (
        Option("domain", o.DOMAIN_PATTERN, None, "Which.", required=True),
        Option("courier", o.WORD, "smtp", "By whom."),
        Option("next-hops", o.listOf(o.HOST_PORT), [], "To where."),
    ),
)
SECTIONS = (SPOOL, QUEUE, AGENT, PORT, ROUTE)


class ConfigTestCase(SynchronousTestCase):
    """Writes files and loads them."""

    sections: Sequence[Section] = SECTIONS

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = os.path.join(self.folder, "umbcmail.toml")

    def write(self, text: str, name: str = "umbcmail.toml") -> str:
        """Write a file beside the main one, and return its path."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode())
        return path

    def loaded(self, text: str, *sets: str) -> Config:
        """The configuration of one file."""
        return load(self.sections, self.write(text), sets)

    def problems(self, text: str, *sets: str) -> list[Problem]:
        """What is wrong with one file."""
        return self.assertRaises(ConfigError, self.loaded, text, *sets).problems

    def lines(self, text: str, *sets: str) -> list[str]:
        """The same as text, without the folder."""
        return [str(problem).replace(self.folder + "/", "") for problem in self.problems(text, *sets)]


class LayerTests(ConfigTestCase):
    """What goes over what."""

    def test_defaults(self) -> None:
        """Without any file all is as declared, typed; what is not set is None."""
        config = load(SECTIONS, None)
        self.assertEqual(
            dict(config.section("spool")),
            {"url": "sqlite:/var/spool/umbcmail", "lease": 300.0, "in-memory": 262144, "sync": "full", "owner": None},
        )
        self.assertEqual(config.source("spool.lease"), "default")
        self.assertEqual(config.array("route"), [])

    def test_defaultsOfNames(self) -> None:
        """A name may have defaults of its own, also one that is only configured later."""
        config = self.loaded("[queue.slow]")
        self.assertEqual(config.names("queue.*"), ["local", "remote", "slow"])
        self.assertEqual([config.section(f"queue.{n}")["concurrency"] for n in config.names("queue.*")], [50, 20, 2])
        self.assertEqual(config.section("queue.local")["retry"], (60.0,))
        self.assertEqual(config.source("queue.slow.concurrency"), "default")

    def test_precedence(self) -> None:
        """File over defaults, conf.d over the file in the order of names, --set over all."""
        self.write("[queue.local]\nconcurrency = 3\n[spool]\nlease = '3m'\n", "conf.d/20-b.toml")
        self.write(
            "[queue.local]\nconcurrency = 2\n[spool]\nlease = '2m'\n[queue.remote]\nconcurrency = 2", "conf.d/10-a.toml"
        )
        config = self.loaded(
            "[queue.local]\nconcurrency = 1\n[spool]\nlease = '1m'\n[queue.remote]\nretry = ['9m']\nconcurrency = 1",
            "spool.lease=9m",
        )
        confD = os.path.join(self.folder, "conf.d")
        self.assertEqual(config.section("queue.local")["concurrency"], 3)
        self.assertEqual(config.source("queue.local.concurrency"), os.path.join(confD, "20-b.toml"))
        self.assertEqual(config.section("queue.remote")["concurrency"], 2)
        self.assertEqual(config.source("queue.remote.concurrency"), os.path.join(confD, "10-a.toml"))
        self.assertEqual(config.source("queue.remote.retry"), self.file)
        self.assertEqual(config.section("spool")["lease"], 540.0)
        self.assertEqual(config.source("spool.lease"), "--set")

    def test_confD(self) -> None:
        """Only *.toml that are not hidden are read; another folder can be named."""
        for name in ("x.toml.bak", ".x.toml", "README"):
            self.write("[nonsense", f"conf.d/{name}")
        self.write("[spool]\nsync = 'off'", "other/x.toml")
        self.assertEqual(self.loaded("").section("spool")["sync"], "full")
        config = load(SECTIONS, self.file, (), os.path.join(self.folder, "other"))
        self.assertEqual(config.section("spool")["sync"], "off")

    def test_underscores(self) -> None:
        """Underscores and hyphens mean the same, in keys and in names of sections."""
        config = self.loaded("[spool]\nin_memory = 5\n[queue.my_own]\n", "agent.a_b.mode=interactive")
        self.assertEqual(config.section("spool")["in-memory"], 5)
        self.assertEqual(config.section("agent.a-b")["mode"], "interactive")
        self.assertEqual(config.names("queue.*"), ["local", "remote", "my-own"])

    def test_byteOrderMark(self) -> None:
        """A file from an editor that writes a byte order mark is read."""
        self.assertEqual(self.loaded("\ufeff[spool]\nlease = '1m'").section("spool")["lease"], 60.0)

    def test_arrays(self) -> None:
        """Tables of an array come with defaults, and files of conf.d add to them."""
        more = self.write("[[route]]\ndomain = 'c'\n", "conf.d/x.toml")
        config = self.loaded(
            "[[route]]\ndomain = 'A'\nnext_hops = ['h:25']\n[[route]]\ndomain = '*.b'\ncourier = 'lmtp'"
        )
        self.assertEqual(
            [dict(row) for row in config.array("route")],
            [
                {"domain": "a", "courier": "smtp", "next-hops": (("h", 25),)},
                {"domain": "*.b", "courier": "lmtp", "next-hops": ()},
                {"domain": "c", "courier": "smtp", "next-hops": ()},
            ],
        )
        self.assertEqual(config.source("route[3].domain"), more)
        self.assertEqual(config.source("route[1].courier"), "default")
        self.assertRaises(KeyError, config.array, "rout")


class SetTests(ConfigTestCase):
    """C{--set section.key=value}."""

    def test_values(self) -> None:
        """A value is TOML where it is TOML, else a text."""
        config = self.loaded(
            "",
            "agent.delivery.port.mx.endpoint=tcp:25:interface=127.0.0.1",
            'spool.owner="me"',
            "spool.in-memory = 7",
            "queue.local.retry=['1m', '2m']",
            "agent.delivery.port.mx.tls=true",
        )
        self.assertEqual(
            dict(config.section("agent.delivery.port.mx")), {"endpoint": "tcp:25:interface=127.0.0.1", "tls": True}
        )
        self.assertEqual((config.section("spool")["owner"], config.section("spool")["in-memory"]), ("me", 7))
        self.assertEqual(config.section("queue.local")["retry"], (60.0, 120.0))

    def test_last(self) -> None:
        """The last one for a key holds."""
        self.assertEqual(self.loaded("", "spool.sync=off", "spool.sync=normal").section("spool")["sync"], "normal")

    def test_makesNames(self) -> None:
        """A name that nobody has configured comes to be, with its defaults, and those above it."""
        config = self.loaded("", "agent.extra.port.a.endpoint=tcp:26")
        self.assertEqual(config.names("agent.*"), ["delivery", "extra"])
        self.assertEqual(config.section("agent.extra")["mode"], "background")
        self.assertEqual(config.source("agent.extra.port.a.tls"), "default")

    def test_table(self) -> None:
        """An inline table sets several keys."""
        config = self.loaded("", "queue.local={concurrency = 4, retry = ['3m']}")
        self.assertEqual(
            (config.section("queue.local")["concurrency"], config.source("queue.local.retry")), (4, "--set")
        )

    def test_noSecondKey(self) -> None:
        """A line end in a value does not bring in a second key."""
        self.assertEqual(
            self.lines("", "spool.lease='1m'\nsync='off'"),
            ['--set: spool.lease = "\'1m\'\\nsync=\'off\'": a time such as "90s", "5m", "4h" or "5d" is needed'],
        )

    def test_arrays(self) -> None:
        """Arrays of tables can't be set, and the error says what to do instead."""
        for text in ("route.domain=a", "route[1].domain=a", "route[].domain=a", "route.x=[{domain='a'}]"):
            lines = self.lines("", text)
            self.assertEqual(len(lines), 1)
            self.assertIn(": arrays of tables can't be set here, but in a file of conf.d", lines[0])

    def test_mistakes(self) -> None:
        """What is no setting is an error that tells the form, or what was meant."""
        self.assertEqual(
            self.lines("", "spool", "=1", "spool=1", "spool..url=1", "spol.url=x", "spool.lese=1m", "queue.A.order=[]"),
            [
                '--set: section.key=value is needed, not "spool"',
                '--set: section.key=value is needed, not "=1"',
                '--set: section.key=value is needed, not "spool=1"',
                '--set: section.key=value is needed, not "spool..url=1"',
                "--set: spol: unknown section (did you mean spool?)",
                '--set: spool.lese = "1m": unknown key (did you mean lease?)',
                "--set: queue.A: a name may have a-z, 0-9 and hyphens only (did you mean a?)",
            ],
        )


class MistakeTests(ConfigTestCase):
    """What is wrong is told, all at once."""

    def test_allAtOnce(self) -> None:
        """All mistakes of all layers are in one error, one line each, in order."""
        self.write("[spool]\nsync = 1", "conf.d/x.toml")
        text = """
            spol = 1
            [spool]
            lese = "1m"
            lease = "2d"
            sync = "ful"
            [queue.local]
            concurrency = 0
            order = ["age", "hots"]
            [queues.local]
            a = 1
            [[route]]
            domian = "a"
            [[route]]
            domain = "b"
            courier = 7
        """
        error = self.assertRaises(ConfigError, self.loaded, text, "spool.in-memory=many")
        self.assertEqual(
            str(error).replace(self.folder + "/", "").splitlines(),
            [
                "umbcmail.toml: spol = 1: unknown key (did you mean spool?)",
                'umbcmail.toml: spool.lese = "1m": unknown key (did you mean lease?)',
                'umbcmail.toml: spool.lease = "2d": must be at most 1d',
                'umbcmail.toml: spool.sync = "ful": must be one of full, normal, off (did you mean full?)',
                "umbcmail.toml: queue.local.concurrency = 0: must be at least 1",
                (
                    'umbcmail.toml: queue.local.order = ["age", "hots"]: '
                    "member 2: must be one of age, host, random (did you mean host?)"
                ),
                "umbcmail.toml: queues: unknown section (did you mean queue?)",
                'umbcmail.toml: route[1].domian = "a": unknown key (did you mean domain?)',
                "umbcmail.toml: route[2].courier = 7: a text in quotes is needed",
                "conf.d/x.toml: spool.sync = 1: must be one of full, normal, off",
                '--set: spool.in-memory = "many": a size such as 1000, "256KiB" or "25MiB" is needed',
                "umbcmail.toml: route[1].domain: must be set: a domain, *.domain for all below it, or *",
            ],
        )

    def test_parts(self) -> None:
        """A problem has its parts one by one, the value as it was given."""
        self.assertEqual(
            self.problems("[spool]\nsync = 'of'"),
            [Problem(self.file, "spool.sync", "of", "must be one of full, normal, off", "off")],
        )

    def test_overriddenMistake(self) -> None:
        """A wrong value is wrong even if a later layer goes over it."""
        self.assertEqual(len(self.problems("[spool]\nsync = 'no'", "spool.sync=off")), 1)

    def test_tablesAndValues(self) -> None:
        """Tables where values belong, values where tables belong, arrays for tables and back."""
        self.assertEqual(
            self.lines("agent = 1\nspool = 'x'\n[queue]\nlocal = 1\n[route]\ndomain = 'a'"),
            [
                "umbcmail.toml: agent = 1: a table [agent] is needed",
                'umbcmail.toml: spool = "x": a table [spool] is needed',
                "umbcmail.toml: queue.local = 1: a table [queue.NAME] is needed here",
                "umbcmail.toml: route: an array of tables [[route]] is needed",
            ],
        )
        self.assertEqual(
            self.lines("route = ['a']\n[[spool]]\nurl = 'a'\n[queue.local.order]\nx = 1\n[agent.a.prot.b]\n[[x]]"),
            [
                'umbcmail.toml: route = ["a"]: an array of tables [[route]] is needed',
                "umbcmail.toml: spool: one table [spool] is needed, not an array of them",
                "umbcmail.toml: queue.local.order = {x = 1}: a list in square brackets is needed",
                "umbcmail.toml: agent.a.prot: unknown section (did you mean port?)",
                "umbcmail.toml: x: unknown section",
            ],
        )

    def test_names(self) -> None:
        """Names that operators choose are lower case letters, digits and hyphens."""
        self.assertEqual(
            self.lines('[queue."a b"]\n[queue.Local]\n[queue."x.y"]\n'),
            [
                'umbcmail.toml: queue."a b": a name may have a-z, 0-9 and hyphens only',
                "umbcmail.toml: queue.Local: a name may have a-z, 0-9 and hyphens only (did you mean local?)",
                'umbcmail.toml: queue."x.y": a name may have a-z, 0-9 and hyphens only',
            ],
        )

    def test_twice(self) -> None:
        """The same key with _ and with - is a mistake, in tables and for tables."""
        self.assertEqual(
            self.lines(
                "[spool]\nin-memory = 1\nin_memory = 2\n[queue.a-b]\n[queue.a_b]\n[[route]]\ndomain='a'\n"
                "next-hops=[]\nnext_hops=[]"
            ),
            [
                "umbcmail.toml: spool.in_memory = 2: is given twice (_ and - mean the same)",
                "umbcmail.toml: queue.a_b: is given twice (_ and - mean the same)",
                "umbcmail.toml: route[1].next_hops = []: is given twice (_ and - mean the same)",
            ],
        )

    def test_required(self) -> None:
        """A required key that is missing is told with the file of its table; one that is wrong is told once."""
        piece = self.write("[agent.relay.port.b]\n", "conf.d/x.toml")
        problems = self.problems("[agent.relay.port.a]\nendpoint = 5")
        self.assertEqual(
            [(p.file, p.key, p.reason) for p in problems],
            [
                (self.file, "agent.relay.port.a.endpoint", "a text in quotes is needed"),
                (piece, "agent.relay.port.b.endpoint", "must be set: a text that is not empty"),
            ],
        )

    def test_requiredOfPlainSection(self) -> None:
        """A required key of a section that is not there at all belongs to the main file."""
        section = Section("host", "Host.", (Option("name", o.DOMAIN, None, "Name.", required=True),))
        error = self.assertRaises(ConfigError, load, (section,), self.write(""))
        self.assertEqual(error.problems, [Problem(self.file, "host.name", None, "must be set: a domain name")])
        self.assertEqual(load((section,), self.file, ["host.name=a.b"]).section("host")["name"], "a.b")

    def test_hostileKeys(self) -> None:
        """Whatever is in keys and values, a problem is one line without control characters."""
        error = self.assertRaises(
            ConfigError, self.loaded, r'"a\nb\u001b" = "\u001b[2J\n\u0085"' + "\n[spool]\nsync='\u202e'"
        )
        self.assertEqual(len(str(error).split("\n")), 2)
        self.assertEqual([c for c in str(error) if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0], [])

    def test_longValue(self) -> None:
        """A long value is cut in the message."""
        self.assertLess(len(self.lines(f"[spool]\nsync = '{'x' * 10000}'")[0]), 400)


class FileTests(ConfigTestCase):
    """Files that can't be read."""

    def assertUnreadable(self, reason: str, **more: Any) -> None:
        """There is one problem, for the whole file."""
        problems = self.assertRaises(ConfigError, load, SECTIONS, self.file, **more).problems
        self.assertEqual([(p.file, p.key) for p in problems], [(self.file, "")])
        self.assertIn(reason, problems[0].reason)

    def test_missing(self) -> None:
        """No file: one problem, and no complaints about what it might have set."""
        self.sections = (*SECTIONS, Section("h", "H.", (Option("n", o.WORD, None, "N.", required=True),)))
        self.assertUnreadable("there is no such file")

    def test_folder(self) -> None:
        """A folder is no file."""
        os.makedirs(self.file)
        self.assertUnreadable("can't be read: Is a directory")

    def test_nul(self) -> None:
        """A name that no file can have is told like others."""
        self.file += "\x00"
        self.assertUnreadable("can't be read")

    def test_syntax(self) -> None:
        """A syntax error is told with its line, and the other layers are looked at all the same."""
        self.write("[spool]\nsync = 5\n", "conf.d/x.toml")
        lines = self.lines("[spool]\nurl = \n")
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith("umbcmail.toml: is not TOML: "), lines[0])
        self.assertIn("line 2", lines[0])

    def test_duplicateKey(self) -> None:
        """A key given twice in the same spelling is an error of TOML, told with its line."""
        self.assertIn("line 3", self.lines("[spool]\nurl = 'a'\nurl = 'b'\n")[0])

    def test_encoding(self) -> None:
        """Octets that are not UTF-8 are told with their line."""
        with open(self.file, "wb") as file:
            file.write(b"# a\n# b\n# caf\xe9\n")
        self.assertUnreadable("is not UTF-8 text (line 3)")

    def test_large(self) -> None:
        """A file over 4 MiB is not read; one of 4 MiB is."""
        self.write("#" * (4 << 20))
        self.assertEqual(load(SECTIONS, self.file), load(SECTIONS, None))
        self.write("#" * ((4 << 20) + 1))
        self.assertUnreadable("is larger than 4 MiB")

    def test_nested(self) -> None:
        """A file that is nested without end is a mistake, not a crash."""
        self.write("a = " + "[" * 100_000)
        self.assertUnreadable("is nested too deeply")
        self.write("a" + ".a" * 2000 + " = 1")
        self.assertEqual(len(self.assertRaises(ConfigError, load, SECTIONS, self.file).problems), 1)

    def test_hugeNumber(self) -> None:
        """A number of too many digits is a mistake, not a crash."""
        self.write("a = " + "1" * 5000)
        self.assertUnreadable("is not TOML")

    def test_confDMissing(self) -> None:
        """A folder that was asked for by name has to be there."""
        folder = os.path.join(self.folder, "none")
        problems = self.assertRaises(ConfigError, load, SECTIONS, self.write(""), (), folder).problems
        self.assertEqual(problems, [Problem(folder, "", None, "can't be read: No such file or directory")])

    def test_confDIsAFile(self) -> None:
        """conf.d that is no folder is told of."""
        self.write("", "conf.d")
        self.assertIn("conf.d: can't be read: Not a directory", self.lines("")[0])


class AccessTests(ConfigTestCase):
    """What a configuration answers."""

    def test_names(self) -> None:
        """Names of a pattern: declared first, then in the order of the files; parts of it may be given."""
        config = self.loaded("[agent.relay.port.b]\nendpoint='b'\n[agent.relay.port.a]\nendpoint='a'\n[agent.x]")
        self.assertEqual(config.names("agent.*"), ["delivery", "relay", "x"])
        self.assertEqual(config.names("agent.*.port.*"), ["delivery.mx", "relay.b", "relay.a"])
        self.assertEqual(config.names("agent.relay.port.*"), ["b", "a"])
        self.assertEqual(config.names("agent.nobody.port.*"), [])
        self.assertRaises(KeyError, config.names, "agnet.*")

    def test_unknown(self) -> None:
        """Asking for what is not declared is a bug and fails at once."""
        config = load(SECTIONS, None)
        self.assertRaises(KeyError, config.section, "spol")
        self.assertRaises(KeyError, config.section, "queue.nobody")
        self.assertRaises(KeyError, config.source, "spool.nothing")
        self.assertRaises(KeyError, config.source, "nothing.nothing")

    def test_readOnly(self) -> None:
        """A section can't be changed by who reads it."""
        section: Any = load(SECTIONS, None).section("spool")
        with self.assertRaises(TypeError):
            section["url"] = "x"

    def test_plainNameFirst(self) -> None:
        """A section that is declared by name goes before a star, and is none of its names."""
        common = Section("queue.common", "All.", (Option("poll", o.duration(), "30s", "How often."),))
        config = load((QUEUE, common), self.write("[queue.common]\npoll = '1s'"))
        self.assertEqual(config.section("queue.common"), {"poll": 1.0})
        self.assertEqual(config.names("queue.*"), ["local", "remote"])

    def test_problem(self) -> None:
        """A mistake that only the composition sees is told with the file, key and value of the setting."""
        piece = self.write("[[route]]\ndomain = 'b'\ncourier = 'lmpt'", "conf.d/x.toml")
        config = self.loaded("[[route]]\ndomain = 'a'\n[spool]\nsync = 'off'\n[queue.slow]\n", "spool.owner=me")
        no = "there is no such courier"
        self.assertEqual(
            config.problem("route[2].courier", no, ["smtp", "lmtp"]),
            Problem(piece, "route[1].courier", "lmpt", no, "lmtp"),
        )
        self.assertEqual(config.problem("spool.owner", "bad"), Problem("--set", "spool.owner", "me", "bad"))
        self.assertEqual(config.problem("queue.slow", "bad"), Problem(self.file, "queue.slow", None, "bad"))
        self.assertEqual(
            config.problem("spool.url", "bad"),
            Problem(self.file, "spool.url", "sqlite:/var/spool/umbcmail", "bad (this is the default)"),
        )
        self.assertEqual(config.problem("route[1]", "bad"), Problem(self.file, "route[1]", None, "bad"))
        self.assertEqual(config.problem("queue.slow.retry", "bad", value="x").value, "x")

    def test_problemOfMember(self) -> None:
        """The suggestion is for the member of a list that is wrong."""
        config = self.loaded("[queue.local]\norder = ['age', 'host']")
        self.assertEqual(config.problem("queue.local.order", "no", ["age", "hosts"]).suggestion, "hosts")
        self.assertEqual(config.problem("queue.local.order", "no", ["age", "host"]).suggestion, "")


class ShowTests(ConfigTestCase):
    """The effective configuration as text."""

    def test_text(self) -> None:
        """Each value stands as it was written, with where it comes from."""
        self.sections = (SPOOL, ROUTE)
        config = self.loaded(
            "[spool]\nlease = '90s'\nin_memory = 1048576\n[[route]]\ndomain = 'B.de'", "spool.sync=off"
        )
        self.assertEqual(
            config.show().replace(self.folder + "/", ""),
            "[spool]\n"
            'url = "sqlite:/var/spool/umbcmail"  # default\n'
            'lease = "90s"  # from umbcmail.toml\n'
            "in-memory = 1048576  # from umbcmail.toml\n"
            'sync = "off"  # --set\n'
            "# owner is not set  # default\n"
            "\n"
            "[[route]]\n"
            'domain = "B.de"  # from umbcmail.toml\n'
            'courier = "smtp"  # default\n'
            "next-hops = []  # default\n",
        )

    def test_roundTrip(self) -> None:
        """What is shown can be loaded, and is equal."""
        config = self.loaded(
            "[agent.z]\n[agent.b.port.x]\nendpoint='tcp:1'\n[agent.a.port.y]\nendpoint='\"\\'\n[queue.slow]\n"
            "retry=['1m']\n[[route]]\ndomain='*'\n[[route]]\ndomain='a'\nnext-hops=['[::1]:25']"
        )
        again = load(SECTIONS, self.write(config.show(), "shown.toml"))
        self.assertEqual(again, config)
        self.assertEqual(again.names("agent.*"), config.names("agent.*"))
        self.assertEqual(load(SECTIONS, self.write(again.show(), "shown.toml")).show(), again.show())

    def test_notEqual(self) -> None:
        """Configurations with other values, names or tables are not equal."""
        one = self.loaded("")
        for text in ("[spool]\nlease='6m'", "[queue.slow]", "[[route]]\ndomain='a'"):
            self.assertNotEqual(self.loaded(text), one)
        self.assertNotEqual(one, "")

    def test_oddPath(self) -> None:
        """A file with a line end in its name does not break what is shown."""
        path = self.write("[spool]\nsync = 'off'", "a\n[x]\n.toml")
        config = load(SECTIONS, path)
        self.assertEqual(load(SECTIONS, self.write(config.show())), config)

    @given(
        st.integers(1, 86400 * 1000).map(lambda n: n / 1000),
        st.integers(0, (1 << 63) - 1),
        st.text(min_size=1).filter(lambda text: not o._CONTROL.search(text)),
        st.lists(st.floats(1, 1e9), min_size=1, max_size=4),
    )
    def test_roundTripOfAnything(self, seconds: float, octets: int, owner: str, retry: list[float]) -> None:
        """Any time, size and text comes back the same through text."""
        lines = [
            "[spool]",
            f'lease = "{o.durationText(max(1, min(seconds, 86400)))}"',
            f'in-memory = "{o.sizeText(octets)}"',
            f"owner = {tomlValue(owner)}",
            f"[queue.local]\nretry = {tomlValue([o.durationText(r) for r in retry])}",
        ]
        config = self.loaded("\n".join(lines))
        self.assertEqual(config.section("spool")["in-memory"], octets)
        self.assertEqual(config.section("spool")["owner"], owner)
        self.assertEqual(config.section("queue.local")["retry"], tuple(retry))
        self.assertEqual(load(SECTIONS, self.write(config.show(), "shown.toml")), config)


class DeclarationTests(SynchronousTestCase):
    """Declarations that make no sense are bugs and are found at once."""

    def assertWrong(self, reason: str, *sections: Section) -> None:
        """The schema can't be made."""
        self.assertIn(reason, str(self.assertRaises(ValueError, Schema, sections)))

    def test_wrong(self) -> None:
        """Double sections and options, odd names, bad defaults, required ones with a default."""
        word = Option("a", o.WORD, "x", "A.")
        self.assertWrong("declared twice", Section("s", "S.", ()), Section("s", "S.", ()))
        self.assertWrong("declared twice", Section("s", "S.", ()), Section("s[]", "S.", ()))
        self.assertWrong("declared twice", Section("s", "S.", (word, word)))
        self.assertWrong("odd name", Section("s", "S.", (Option("a_b", o.WORD, "x", "A."),)))
        self.assertWrong("default of s.a: ", Section("s", "S.", (Option("a", o.WORD, 1, "A."),)))
        self.assertWrong("has a default", Section("s", "S.", (Option("a", o.WORD, "x", "A.", required=True),)))
        self.assertWrong("a default for b", Section("s.*", "S.", (word,), ("n",), (("n", (("b", 1),)),)))
        self.assertWrong("default of s.*.a", Section("s.*", "S.", (word,), ("n",), (("n", (("a", 1),)),)))

    def test_nearest(self) -> None:
        """A suggestion comes for what is near, in any case and spelling, and for nothing else."""
        self.assertEqual(nearest("Next_Hop", ["courier", "next-hops"]), "next-hops")
        self.assertEqual(nearest("xyz", ["courier", "next-hops"]), "")


class TomlTextTests(SynchronousTestCase):
    """Values as text."""

    @given(
        st.recursive(
            st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates() | st.datetimes(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=6,
        )
    )
    def test_roundTrip(self, value: Any) -> None:
        """What is written is one line, and TOML reads the same value from it."""
        text = tomlValue(value)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertEqual(tomllib.loads(f"x = {text}")["x"], value)

    @given(st.lists(st.text(), min_size=1, max_size=3))
    def test_keys(self, names: list[str]) -> None:
        """Any key can be written."""
        value: Any = tomllib.loads(f"{tomlKey(*names)} = 1")
        for name in names:
            value = value[name]
        self.assertEqual(value, 1)

    def test_parseValue(self) -> None:
        """A value is what it looks like, else a text."""
        for text, value in (
            ("5", 5),
            ('"5"', "5"),
            ("[1, 2]", [1, 2]),
            ("tcp:25", "tcp:25"),
            ("", ""),
            ("x # y", "x # y"),
            ("1\ny = 2", "1\ny = 2"),
            ("2024-01-01", datetime.date(2024, 1, 1)),
        ):
            self.assertEqual(parseValue(text), value)

    def test_comment(self) -> None:
        """A comment ends with its line."""
        self.assertEqual((comment("/etc/a b"), comment("a\nb")), ("/etc/a b", '"a\\nb"'))
