"""C{umbcmail explain}: what would become of a message, asked of a configuration."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import FakeResolver
from umbcmail import cli
from umbcmail.cli import parts
from umbcmail.cli.command import Refusal
from umbcmail.cli.explaincommand import explain, findPort
from umbcmail.cli.explainparser import Question, questionOf
from umbcmail.config import Config, ConfigError, load
from umbcmail.destination import NoAnswer
from umbcmail.sections import sections
from umbcmail.state.memory import MemoryState

CONFIG = """
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
internal = ["*.y.test"]
[networks]
trusted = ["192.0.2.0/24", "campus.test"]
[spool]
url = "sqlite:{folder}/spool"
[state]
url = "sqlite:{folder}/state"
[log]
file = "{folder}/log"
[tls]
certificate = "/nonexistent/certificate"
key = "/nonexistent/key"
[auth]
checkers = ["file:/nonexistent/users"]
[agent.delivery.port.mx]
endpoint = "tcp:25"
[agent.delivery.port.submission]
endpoint = "tcp:587"
[agent.delivery.port.submissions]
endpoint = "tcp:465"
[queue.local]
next-hops = ["unix:/lmtp"]
[[route]]
domain = "*.partner.test"
next-hops = ["198.51.100.9:26"]
"""

DNS = FakeResolver(
    {"far.test": [(10, "a.far.test"), (20, "b.far.test")], "null.test": [(0, "")], "down.test": NoAnswer()},
    {"a.far.test": ["203.0.113.5"], "b.far.test": ["203.0.113.6"], "pc.campus.test": ["198.51.100.3"]},
    {"198.51.100.3": ["pc.campus.test"], "198.51.100.4": ["pc.campus.test"], "198.51.100.5": NoAnswer()},
)


class Reactor(MemoryReactorClock):
    """One that is asked for threads, and never runs any."""

    def getThreadPool(self) -> Any:
        """Nothing."""


class ExplainTests(SynchronousTestCase):
    """Questions to a configuration like that of a campus."""

    def config(self, *sets: str) -> Config:
        """A configuration, with files in C{self.folder} if any are made."""
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        path = os.path.join(self.folder, "umbcmail.toml")
        with open(path, "w") as file:
            file.write(CONFIG.replace("{folder}", self.folder))
        return load(sections(), path, sets)

    def asked(
        self,
        sender: str = "s@z.test",
        recipient: str = "r@far.test",
        client: str = "198.51.100.1",
        *,
        sets: tuple[str, ...] = (),
        asJSON: bool = True,
        **more: Any,
    ) -> Any:
        """What is printed, and the status."""
        out = io.StringIO()
        self.notes: list[str] = []
        tools = SimpleNamespace(out=out, note=self.notes.append)
        question = Question(sender, recipient, client, helo="c.test", **more)
        done: Deferred[Any] = explain(question, self.config(*sets), Reactor(), tools, asJSON, DNS)
        status = 0
        found: Any = []
        done.addBoth(found.append)
        [result] = found
        if result is not None:
            result.trap(Refusal)
            self.assertEqual("", str(result.value))
            status = result.value.status
        self.assertEqual(["umbcmail.toml"], os.listdir(self.folder))
        return (json.loads(out.getvalue()) if asJSON else out.getvalue()), status

    def test_rules(self) -> None:
        """Each rule that was asked, what it said and why; the first permission ends it."""
        found, status = self.asked()
        self.assertEqual(1, status)
        self.assertEqual([("networks", "no opinion"), ("drac", "no opinion"), ("auth", "no opinion")], _rules(found))
        self.assertEqual("the address is in no trusted network and has no name", found["rules"][0]["why"])
        self.assertEqual("no login was seen there", found["rules"][1]["why"])
        self.assertEqual("the client has not authenticated", found["rules"][2]["why"])
        self.assertEqual(("refuse", False, "550 5.7.1 Relaying denied"), _decision(found))
        found, status = self.asked(client="192.0.2.7")
        self.assertEqual(0, status)
        self.assertEqual([("networks", "permit")], _rules(found))
        self.assertEqual(("permit", True, "250 2.1.5 Recipient OK"), _decision(found))

    def test_names(self) -> None:
        """The DNS is really asked about names of clients; not knowing is a delay."""
        self.assertEqual(0, self.asked(client="198.51.100.3")[1])
        found, status = self.asked(client="198.51.100.4")
        self.assertEqual(1, status)
        self.assertIn("pc.campus.test is in a trusted domain, but does not have", found["rules"][0]["why"])
        found, status = self.asked(client="198.51.100.5")
        self.assertEqual(1, status)
        self.assertEqual(("delay", False), _decision(found)[:2])
        self.assertTrue(found["decision"]["reply"].startswith("451 4.4.3 "))
        self.assertEqual(0, self.asked(client="198.51.100.5", login="ann", tls=True)[1])

    def test_ownDomain(self) -> None:
        """Mail for us is taken from everybody, but where a login is needed."""
        for recipient, queue in (("r@y.test", "local"), ("r@x.y.test", "internal"), ("postmaster", "local")):
            found, status = self.asked(recipient=recipient)
            self.assertEqual((0, queue, "the domain is ours"), (status, found["class"], found["decision"]["why"]))
            found, status = self.asked(recipient=recipient, port="587", tls=True)
            self.assertEqual((1, "530 5.7.0 Authentication required"), (status, found["decision"]["reply"]))
            self.assertEqual([], found["rules"])

    def test_recipients(self) -> None:
        """The tables of recipients are asked behind the rules, and shown like them."""
        path = os.path.abspath(self.mktemp())
        Path(path).write_text("ann\n")
        sets = ('recipients.domains=["y.test"]', f'recipients.tables=["{path}"]')
        found, status = self.asked(recipient="bob@y.test", sets=sets)
        self.assertEqual((1, [("recipients", "refuse")]), (status, _rules(found)))
        self.assertEqual("550 5.1.1 There is no such user here", found["decision"]["reply"])
        found, status = self.asked(recipient="ann@y.test", sets=sets)
        self.assertEqual((0, [("recipients", "no opinion")]), (status, _rules(found)))
        for bad in (sets[:1], sets[1:], (sets[0], 'recipients.tables=["/nonexistent/people"]')):
            with self.assertRaises(ConfigError) as caught:
                self.asked(sets=bad)
            self.assertIn("recipients", str(caught.exception))

    def test_auth(self) -> None:
        """A login needs TLS; without it the client is told so and goes on without."""
        found, status = self.asked(login="ann", tls=True)
        self.assertEqual((0, "ann"), (status, found["client"]["login"]))
        self.assertEqual(("auth", "permit"), _rules(found)[-1])
        found, status = self.asked(login="ann")
        self.assertEqual((1, ""), (status, found["client"]["login"]))
        self.assertIn(
            {"said": "AUTH", "reply": "538 5.7.11 Encryption is needed, say STARTTLS first"}, found["session"]
        )
        self.assertTrue(any("AUTH is impossible without TLS" in text for text in found["assumed"]))
        self.assertEqual(0, self.asked(login="ann", port="587", tls=True)[1])
        found, status = self.asked(login="ann", port="587")
        self.assertEqual(["530 5.7.0 Say STARTTLS first"] * 2, [each["reply"] for each in found["session"][1:]])
        found, status = self.asked(login="ann", tls=True, sets=("agent.delivery.port.mx.auth=never",))
        self.assertIn({"said": "AUTH", "reply": "502 5.5.1 Command not implemented"}, found["session"])
        self.assertEqual(1, status)

    def test_tlsFirst(self) -> None:
        """Where TLS comes first it is taken for granted, and clear text gets no word."""
        found, status = self.asked(port="465", login="ann")
        self.assertEqual((0, True), (status, found["client"]["tls"]))
        found, status = self.asked(port="465", login="ann", tls=False)
        self.assertEqual((1, ("refuse", False, "")), (status, _decision(found)))

    def test_noTLS(self) -> None:
        """A port without TLS says so to STARTTLS."""
        found, _ = self.asked(tls=True, sets=("agent.delivery.port.mx.tls=never",))
        self.assertIn({"said": "STARTTLS", "reply": "502 5.5.1 Command not implemented"}, found["session"])
        self.assertFalse(found["client"]["tls"])

    def test_senderLogin(self) -> None:
        """Settings of the port count as in a session."""
        sets = ("agent.delivery.port.submission.sender-login=match",)
        found, _ = self.asked(port="submission", login="ann", tls=True, sets=sets)
        self.assertTrue(found["decision"]["reply"].startswith("553 5.7.1 "))
        self.assertEqual(0, self.asked("ann@y.test", port="submission", login="ann", tls=True, sets=sets)[1])

    def test_addresses(self) -> None:
        """They are read as those of a session, and the null sender is one of them."""
        self.assertEqual(0, self.asked("<>", "<r@y.test>")[1])
        self.assertEqual(0, self.asked('"a> b"@z.test', "r@y.test")[1])
        self.assertEqual(0, self.asked("j\u00fcrgen@z.test", "m\u00fcller@y.test")[1])
        for sender, recipient, reply in (
            ("s", "r@y.test", "501 5.1.7 "),
            ("s@z.test> SIZE=5", "r@y.test", "501 5.1.7 "),
            ("s@z.test", "<>", "501 5.1.3 "),
            ("s@z.test", "r@y.test> ORCPT=rfc822;x", "501 5.1.3 "),
            ("s@z.test", "r..r@y.test> ORCPT=rfc822;x", "501 5.1.3 "),
            ("s@z.test", "r..r@y.test", "501 5.1.3 "),
            ("s@z.test>\r\nRCPT TO:<x@y.test", "r@y.test", "501 5.1.7 "),
            ("s\udcff@z.test", "r@y.test", "500 "),
        ):
            sets = () if reply != "501 5.1.3 " or " " not in recipient else (LENIENT,)
            found, status = self.asked(sender, recipient, sets=sets)
            self.assertEqual(1, status)
            self.assertTrue(found["decision"]["reply"].startswith(reply), (sender, recipient, found["decision"]))
        found, status = self.asked(recipient="r..r@y.test", sets=(LENIENT,))
        self.assertEqual((0, "local"), (status, found["class"]))

    @given(st.text(), st.text())
    def test_anything(self, sender: str, recipient: str) -> None:
        """No address makes it fail, or makes it say that mail to others is taken."""
        found, status = self.asked(sender, recipient)
        taken = found["decision"]["taken"]
        self.assertEqual(taken, status == 0)
        self.assertEqual(
            taken, found.get("class") in ("local", "internal") and "Recipient OK" in found["decision"]["reply"]
        )

    def test_routes(self) -> None:
        """Where it would go: by which setting, which MX records and next hops."""
        found, _ = self.asked()
        self.assertEqual(
            {
                "by": "[queue.remote]",
                "mx": ["10 a.far.test", "20 b.far.test"],
                "hops": ["a.far.test[203.0.113.5]:25", "b.far.test[203.0.113.6]:25"],
                "problem": "",
                "final": "",
            },
            found["route"],
        )
        self.assertEqual(("remote", "smtp"), (found["class"], found["courier"]))
        self.assertEqual((["5m", "10m", "20m", "40m", "1h"], "4h", "5d"), _schedule(found))
        for domain, source, mx, problem in (
            ("x.partner.test", '[[route]] domain = "*.partner.test"', None, ""),
            ("null.test", "[queue.remote]", ["0 ."], "556 5.1.10"),
            ("down.test", "[queue.remote]", "no answer", "451 4.4.3"),
            ("gone.test", "[queue.remote]", "there is no such domain", "450 4.1.2"),
            ("[203.0.113.1]", "[queue.remote]", None, ""),
            ("y.test", "[queue.local]", None, ""),
        ):
            found, _ = self.asked(recipient=f"r@{domain}")
            self.assertEqual((source, mx), (found["route"]["by"], found["route"]["mx"]))
            self.assertEqual(problem, found["route"]["problem"][: len(problem)])
            self.assertEqual(bool(problem), not found["route"]["hops"])

    def test_queueOfTheAgent(self) -> None:
        """An agent that hands all mail on says where."""
        sets = ("agent.relay.queue=handon", 'queue.handon.next-hops=["198.51.100.1"]', "queue.handon.warn=0s")
        sets += ("agent.relay.port.mx.endpoint=tcp:25",)
        found, _ = self.asked(recipient="r@y.test", agent="relay", sets=sets)
        self.assertEqual("handon", found["class"])
        self.assertEqual(["198.51.100.1[198.51.100.1]:25"], found["route"]["hops"])
        self.assertEqual(("background", ""), (found["schedule"]["mode"], found["schedule"]["warn"]))

    def test_text(self) -> None:
        """For people it is all on a screen, and nothing in it moves their cursor."""
        text, status = self.asked('"\x1b[2J"@z.test', asJSON=False)
        self.assertEqual(1, status)
        self.assertNotIn("\x1b", text)
        text, status = self.asked(asJSON=False)
        self.assertLess(len(text.splitlines()), 30)
        for line in (
            "port:     delivery.mx (tcp:25)",
            "          relay = networks, drac, auth",
            "session:  EHLO c.test           250 mx.y.test",
            "          RCPT TO:<r@far.test>  550 5.7.1 Relaying denied",
            "rules:    networks  no opinion (the address is in no trusted network and has no name)",
            "decision: refuse: 550 5.7.1 Relaying denied",
            "          (the domain is not ours and no rule permits the client)",
            "If it were taken:",
            "filters:  none",
            "class:    remote",
            "route:    by [queue.remote]",
            "          MX 10 a.far.test",
            "          to a.far.test[203.0.113.5]:25",
            "courier:  smtp",
        ):
            self.assertIn(line, text.splitlines())

    def test_filters(self) -> None:
        """The filters of the agent are named, in order."""
        sets = ('agent.delivery.filters=["unix:/a", "inet:1@localhost"]',)
        found, _ = self.asked(sets=sets)
        self.assertEqual(["unix:/a", "inet:1@localhost"], found["filters"])

    def test_wrong(self) -> None:
        """A wrong configuration is told as at the start of the program."""
        for sets, key in (
            ('agent.delivery.port.mx.relay=["nobody"]', "agent.delivery.port.mx.relay"),
            ("state.url=nonsense", "state.url"),
            ("queue.remote.courier=pigeon", "queue.remote.courier"),
            ('agent.delivery.filters=["none"]', "agent.delivery.filters"),
            ("agent.delivery.queue=none", "agent.delivery.queue"),
            ("agent.delivery.port.mx.submission=true", "agent.delivery.port.mx.submission"),
        ):
            tools = SimpleNamespace(out=io.StringIO(), note=lambda text: None)
            question = Question("s@z.test", "r@y.test", "192.0.2.1", helo="c")
            done: Deferred[Any] = explain(question, self.config(sets), Reactor(), tools)
            error: Any = self.failureResultOf(done, ConfigError).value
            self.assertEqual([key], [problem.key for problem in error.problems])

    def test_roster(self) -> None:
        """A roster that can't be seen is told of where it is asked, and only there."""
        for relay, isTold in (('["drac"]', True), ('["auth"]', False)):
            found, _ = self.asked(sets=("state.url=memory:", f"agent.delivery.port.mx.relay={relay}"))
            self.assertEqual(isTold, any("the roster is empty" in text for text in found["assumed"]))

    def test_brokenRule(self) -> None:
        """A rule that breaks delays, and what broke is told beside the answer."""
        from umbcmail.check.auth import AuthRule

        self.patch(AuthRule, "judge", lambda *arguments: 1 // 0)
        found, status = self.asked()
        self.assertEqual((1, ("delay", False, "451 4.3.0 Local error, try again later")), (status, _decision(found)))

    def test_ports(self) -> None:
        """A port is meant by its number or its name, with the agent's or without."""
        config = self.config("agent.relay.port.mx.endpoint=tcp:25", "agent.delivery.port.other.endpoint=tcp:465")
        for port, agent, expected in (
            ("25", "", ("delivery", "mx")),
            ("mx", "", ("delivery", "mx")),
            ("delivery.mx", "", ("delivery", "mx")),
            ("relay.mx", "", ("relay", "mx")),
            ("25", "relay", ("relay", "mx")),
            ("mx", "relay", ("relay", "mx")),
            ("relay.mx", "relay", ("relay", "mx")),
            ("587", "", ("delivery", "submission")),
        ):
            self.assertEqual(expected, findPort(config, Question("", "", "", port=port, agent=agent)))
        for port, agent, text in (
            ("26", "", "no port 26; there are: delivery.mx (tcp:25), "),
            ("465", "", "2 ports 465"),
            ("delivery.mx", "relay", "not a port of the agent relay"),
            ("nobody.mx", "", "no port mx"),
            ("", "", "no port"),
            ("delivery.25", "", "no port 25"),
        ):
            error = self.assertRaises(Refusal, findPort, config, Question("", "", "", port=port, agent=agent))
            self.assertEqual(2, error.status)
            self.assertIn(text, str(error))


LENIENT = 'agent.delivery.leniencies=["dots-in-local-part"]'


def _rules(found: Any) -> list[tuple[str, str]]:
    return [(each["rule"], each["answer"]) for each in found["rules"]]


def _decision(found: Any) -> tuple[str, bool, str]:
    return found["decision"]["answer"], found["decision"]["taken"], found["decision"]["reply"]


def _schedule(found: Any) -> tuple[list[str], str, str]:
    return found["schedule"]["retry"], found["schedule"]["warn"], found["schedule"]["expire"]


class ManualTests(SynchronousTestCase):
    """C{docs/relaying.md}."""

    text = (Path(__file__).parents[2] / "docs" / "relaying.md").read_text("utf-8")

    def printed(self, command: str, config: Config) -> str:
        """What a command prints, on a system that runs."""
        memory = MemoryState()
        state = SimpleNamespace(roster=memory.roster, hosts=memory.hosts, start=memory.start, stop=memory.stop)
        self.patch(parts, "visitState", lambda config, reactor, log: state)
        out = io.StringIO()
        question = questionOf(cli._parser().parse_args(command.split()[1:]))
        tools = SimpleNamespace(out=out, note=self.fail)
        resolver = FakeResolver(
            {"example.org": [(10, "mx.example.org")]},
            {"mx.example.org": ["203.0.113.25"]},
            {"198.51.100.7": ["dsl-7.example.net"]},
        )
        explain(question, config, Reactor(), tools, False, resolver).addErrback(lambda failure: failure.trap(Refusal))
        return out.getvalue()

    def test_samples(self) -> None:
        """What the manual shows is what is printed with the configuration in it."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write(self.text.partition("```toml\n")[2].partition("```")[0])
        config = load(sections(), path, ["host.name=mx1.umbc.edu"])
        samples = re.findall(r"```\n\$ (umbcmail explain [^\n]*)\n(.*?)```", self.text, re.DOTALL)
        self.assertEqual(2, len(samples))
        for command, shown in samples:
            self.assertEqual(shown, self.printed(command, config), command)


class ParserTests(SynchronousTestCase):
    """The words of the command."""

    def question(self, *words: str) -> Question:
        """What is asked."""
        return questionOf(cli._parser().parse_args(["explain", *words]))

    def test_words(self) -> None:
        """All of them, and what is so without them."""
        some = ("--from", "a", "--to", "b", "--client", "::ffff:192.0.2.1")
        self.assertEqual(Question("a", "b", "192.0.2.1", helo="[192.0.2.1]"), self.question(*some))
        more = ("--auth", "u", "--port", "relay.x", "--helo", "h", "--tls", "--agent", "relay")
        self.assertEqual(
            Question("a", "b", "2001:db8::1", "u", "h", True, "relay", "relay.x"),
            self.question("--from", "a", "--to", "b", "--client", "2001:DB8:0::1", *more),
        )
        self.assertIs(False, self.question(*some, "--no-tls").tls)
        self.assertEqual("[IPv6:::1]", self.question("--from", "a", "--to", "b", "--client", "::1").helo)

    def test_wrong(self) -> None:
        """What makes no sense is told before anything is looked at."""
        good = {"--from": "a", "--to": "b", "--client": "192.0.2.1"}
        for name, value in (
            ("--from", ""),
            ("--to", ""),
            ("--client", ""),
            ("--client", "192.0.2.300"),
            ("--client", "pc.y.test"),
            ("--auth", ""),
            ("--helo", ""),
            ("--agent", "queue"),
        ):
            words = [word for pair in {**good, name: value}.items() for word in pair]
            self.assertEqual(2, self.assertRaises(Refusal, self.question, *words).status)
        for name in good:
            words = [word for pair in good.items() if pair[0] != name for word in pair]
            self.assertEqual(2, self.assertRaises(Refusal, self.question, *words).status)
