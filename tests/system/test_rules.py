"""The rules C{table} and C{dnsbl}, and one of somebody else, over real sockets."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from twisted.names import dns

from tests.system.dnsserver import NameServer
from tests.system.mailsystem import MAILDIRS, Umbcmail, route, running
from tests.system.peers import Conversation, Sink
from tests.system.programs import HOST, ROOT, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
PORT = """
[agent.delivery.port.mx]
endpoint = "tcp:0:interface=127.0.0.1"
xclient = ["127.0.0.1"]
"""
SIX = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"


def system(folder: Path, names: NameServer | None, rules: str, sink: Sink | None = None) -> Umbcmail:
    """umbcmail for y.test, and x.test behind a next hop."""
    (folder / "maildirs").mkdir()
    servers = f'[dns]\nservers = ["{HOST}:{names.port if names else 9}"]\ntimeout = "1s"\n'
    config = servers + (route("x.test", sink.port) if sink is not None else "") + PORT + rules
    return Umbcmail(folder, config, base=MAILDIRS)


class Client(Conversation):
    """A client at some address, ready for MAIL."""

    def __init__(self, mail: Umbcmail, address: str = HOST, helo: str = "client.test") -> None:
        super().__init__(mail.ports["mx"])
        if address != HOST:
            literal = f"IPV6:{address}" if ":" in address else address
            self.expect(f"XCLIENT ADDR={literal}".encode(), b"220")
        self.expect(f"EHLO {helo}".encode(), b"250")

    def ask(self, recipient: str, sender: str = "s@z.test") -> str:
        """What is said to a recipient, in a transaction of its own."""
        self.expect(f"MAIL FROM:<{sender}>".encode(), b"250")
        answer = self.say(f"RCPT TO:<{recipient}>".encode()).decode().strip()
        self.expect(b"RSET", b"250")
        return answer

    def send(self, *recipients: str, sender: str = "s@z.test") -> str:
        """Send a message.  @return: what is said to its end."""
        self.begin(*recipients, sender=sender)
        return self.message(CONTENT).decode().strip()


def asked(
    mail: Umbcmail, address: str, recipient: str = "u@y.test", sender: str = "s@z.test", helo: str = "client.test"
) -> str:
    """What a client hears."""
    client = Client(mail, address, helo)
    answer = client.ask(recipient, sender)
    client.close()
    return answer


TABLE = """
[rule.table]
files = ["{folder}/access"]
entries = ["sender inline@z.test refuse"]
poll = "1s"
"""
ACCESS = """\
# kind key action
client 192.0.2.1 refuse 554 5.7.0 Not you
client 192.0.2.0/24 permit the lab
client 198.51.100.7 delay 451 4.7.1 Later
client 2001:db8::/32 refuse
client 127.0.0.1 dunno
name .good.test permit
name bad.test refuse 550 5.7.25 Bad name
helo evil.test refuse
sender friend@z.test permit
sender @.spam.test refuse 550 5.7.1 No spam
sender away@z.test discard
recipient gone@y.test refuse 550 5.1.1 Gone
recipient odd@y.test hold we look at it
"""


def test_table(tmp_path: Path, names: NameServer, sink: Sink) -> None:
    """Each kind of entry and each action, for our domains and others; nobody may relay
    because of what can be forged."""
    names.records["1.113.0.203.in-addr.arpa"] = [dns.Record_PTR("mx.good.test")]
    names.addresses("mx.good.test", "203.0.113.1")
    names.records["2.113.0.203.in-addr.arpa"] = [dns.Record_PTR("bad.test")]
    names.addresses("bad.test", "203.0.113.2")
    names.records["3.113.0.203.in-addr.arpa"] = [dns.Record_PTR("mx.good.test")]
    names.fails.add("4.113.0.203.in-addr.arpa")
    (tmp_path / "access").write_text(ACCESS)
    mail = system(tmp_path, names, 'relay = ["auth", "table"]\n' + TABLE, sink)
    with running(mail):
        for address, recipient, sender, expected in (
            ("192.0.2.1", "u@y.test", "s@z.test", "554 5.7.0 Not you"),
            ("192.0.2.2", "u@y.test", "s@z.test", "250 2.1.5"),
            ("192.0.2.2", "u@x.test", "s@z.test", "250 2.1.5"),
            ("198.51.100.7", "u@y.test", "s@z.test", "451 4.7.1 Later"),
            ("2001:db8::5", "u@y.test", "s@z.test", "550 5.7.1 Access denied"),
            ("203.0.113.1", "u@x.test", "s@z.test", "250 2.1.5"),
            ("203.0.113.2", "u@y.test", "s@z.test", "550 5.7.25 Bad name"),
            ("203.0.113.3", "u@x.test", "s@z.test", "550 5.7.1 Relaying denied"),
            ("203.0.113.4", "u@y.test", "s@z.test", "451 4.4.3"),
            ("127.0.0.1", "u@y.test", "s@z.test", "250 2.1.5"),
            ("127.0.0.1", "u@x.test", "s@z.test", "550 5.7.1 Relaying denied"),
            ("127.0.0.1", "u@x.test", "friend@z.test", "550 5.7.1 Relaying denied"),
            ("127.0.0.1", "u@y.test", "FRIEND+x@z.test", "250 2.1.5"),
            ("127.0.0.1", "u@y.test", "s@a.b.spam.test", "550 5.7.1 No spam"),
            ("127.0.0.1", "u@y.test", "s@spam.test", "250 2.1.5"),
            ("127.0.0.1", "u@y.test", "inline@z.test", "550 5.7.1 Access denied"),
            ("127.0.0.1", "Gone+x@Y.test", "s@z.test", "550 5.1.1 Gone"),
            ("127.0.0.1", "odd@y.test", "s@z.test", "250 2.1.5"),
        ):
            answer = asked(mail, address, recipient, sender)
            assert answer.startswith(expected), (address, recipient, sender, answer)
        assert asked(mail, HOST, helo="EVIL.test").startswith("550 5.7.1")


def test_discardAndHold(tmp_path: Path) -> None:
    """What is discarded is gone with a line in the log; what is held waits with its reason
    until it is released; the other recipients get theirs."""
    # Without names nobody asks the DNS.
    (tmp_path / "access").write_text(ACCESS.replace("\nname ", "\n# name "))
    mail = system(tmp_path, None, 'relay = ["table"]\n' + TABLE)
    with running(mail):
        client = Client(mail)
        answer = client.send("u@y.test", "v@y.test", sender="away@z.test")
        assert answer.startswith("250 2.0.0 OK, queued as "), answer
        id = answer.split()[-1]
        for user in "uv":
            mail.logged(f'discarded id={id} recipient=<{user}@y.test> why="the table has sender away@z.test"')
        assert not mail.queue()
        answer = client.send("odd@y.test", "u@y.test")
        id = answer.split()[-1]
        mail.arrived("u")
        until(lambda: len(mail.queue()) == 1, "only what is held is left")
        [entry] = mail.queue()
        assert entry["held"] and entry["message"] == id
        assert entry["hold"] == "the table has recipient odd@y.test: we look at it"
        assert "held: the table has recipient odd@y.test: we look at it" in mail.tool("queue", "list")
        assert "held because: the table has recipient odd@y.test" in mail.tool("queue", "show", id)
        mail.logged(" held id=" + entry["id"])
        assert not (tmp_path / "maildirs" / "odd" / "new").exists()
        mail.tool("queue", "release", id)
        assert b"text" in mail.arrived("odd")
        mail.emptied()
        client.close()
        time.sleep(0.2)
        assert not (tmp_path / "maildirs" / "v").exists()


def test_tableChanges(tmp_path: Path) -> None:
    """A changed file counts without a restart; one with mistakes does not, and is told of."""
    access = tmp_path / "access"
    access.write_text("sender a@z.test refuse\n")
    mail = system(tmp_path, None, 'relay = ["table"]\n' + TABLE)
    with running(mail):
        assert asked(mail, HOST, sender="a@z.test").startswith("550")
        assert asked(mail, HOST, sender="b@z.test").startswith("250")
        new = tmp_path / "new"
        new.write_text("sender b@z.test refuse 553 5.1.8 New\n")
        os.replace(new, access)
        until(lambda: asked(mail, HOST, sender="b@z.test").startswith("553 5.1.8 New"), "the new file counts")
        assert asked(mail, HOST, sender="a@z.test").startswith("250")
        access.write_text("sender a@z.test refuse\nsendr b@z.test permit\n")
        line = mail.logged("is none of client, name")
        assert f"{access}:2: " in line
        assert asked(mail, HOST, sender="b@z.test").startswith("553 5.1.8 New")


def test_tableMistakes(tmp_path: Path) -> None:
    """All mistakes of the file, and of the configuration, are told before anything starts."""
    (tmp_path / "access").write_text("client 192.0.2.1/24 permit\nsender x refuse\nclient ::1 refuse 250 x\n")
    mail = system(tmp_path, None, 'relay = ["table"]\n' + TABLE + '[queue.remote]\nexpire = "soon"\n')
    done = mail.attempt("--check")
    assert done.returncode == 78
    for text in (":1: ", ":2: ", ":3: "):
        assert f"rule.table: {tmp_path}/access{text}" in done.stderr, done.stderr
    assert "queue.remote.expire" in done.stderr


LISTS = """
relay = ["networks", "dnsbl"]
[networks]
trusted = ["198.51.100.0/24"]
[rule.dnsbl]
lists = ["bl.test", "ok.test=127.0.0.[4..8]*2 as shown.test"]
passes = ["wl.test"]
list-text = true
deadline = "2s"
self-test = "1m"
"""


def lists(names: NameServer, *zones: str) -> None:
    """Some lists pass their tests."""
    for zone in zones:
        names.addresses(f"2.0.0.127.{zone}", "127.0.0.2")
        names.addresses(f"{SIX}.{zone}", "127.0.0.2")


def test_dnsbl(tmp_path: Path, names: NameServer) -> None:
    """Who is listed is refused, with the list's own text; error answers, silence and faults
    are no listing; our own clients are not asked about."""
    lists(names, "bl.test", "ok.test", "wl.test")
    names.records["1.2.0.192.bl.test"] = [dns.Record_A("127.0.0.2"), dns.Record_TXT(b"See http://bl.test/\xc3\xa4")]
    for number, answer in enumerate(
        ("127.255.255.254", "127.255.255.255", "127.255.255.252", "127.0.0.1", "203.0.113.5"), 2
    ):
        names.addresses(f"{number}.2.0.192.bl.test", answer)
    names.addresses("10.2.0.192.ok.test", "127.0.0.2")
    names.addresses("11.2.0.192.ok.test", "127.0.0.5")
    names.addresses("12.2.0.192.bl.test", "127.0.0.2")
    names.addresses("12.2.0.192.wl.test", "127.0.0.3")
    names.fails.add("13.2.0.192.bl.test")
    names.silent.add("14.2.0.192.bl.test")
    names.addresses("9.8.7.6.5.4.3.2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test", "127.0.0.2")
    names.addresses("7.100.51.198.bl.test", "127.0.0.2")
    mail = system(tmp_path, names, LISTS)
    with running(mail):
        mail.logged('list=bl.test why="passes its test, is asked about IPv4 and IPv6"')
        refused = "550 5.7.1 Your host {} is listed in {}"
        assert asked(mail, "192.0.2.1") == refused.format("192.0.2.1", "bl.test") + "; See http://bl.test/?"
        assert asked(mail, "192.0.2.11") == refused.format("192.0.2.11", "shown.test")
        assert asked(mail, "2001:db8::1:2345:6789") == refused.format("2001:db8::1:2345:6789", "bl.test")
        for number in (2, 3, 4, 5, 6, 9, 10, 12, 13, 14):
            assert asked(mail, f"192.0.2.{number}").startswith("250"), number
        assert asked(mail, "2001:db8::1").startswith("250")
        assert asked(mail, "198.51.100.7").startswith("250")
        assert asked(mail, HOST).startswith("250")
        assert asked(mail, "192.0.2.12", "u@x.test").startswith("550 5.7.1 Relaying denied")
        assert not [name for name in names.asked if name.startswith("7.100.51.198.")]
        mail.logged("127.255.255.254 about 192.0.2.2, which is no listing")


def test_explain(tmp_path: Path, names: NameServer) -> None:
    """C{umbcmail explain} says what each rule answers and why, the same as the client hears:
    each answer of a table, and lists that are tested first."""
    lists(names, "bl.test", "wl.test")
    names.wildcards["ok.test"] = [dns.Record_A("127.0.0.5", ttl=0)]
    names.addresses("1.113.0.203.bl.test", "127.0.0.2")
    names.addresses("2.113.0.203.bl.test", "127.255.255.254")
    (tmp_path / "access").write_text(ACCESS.replace("\nname ", "\n# name "))
    rules = LISTS.replace('["networks", "dnsbl"]', '["networks", "table", "dnsbl", "auth"]') + TABLE
    mail = system(tmp_path, names, rules)
    nothing = "no opinion (the table says nothing of it)"
    unlisted = "no opinion (the client is on no list)"
    with running(mail):
        mail.logged("lists 127.0.0.1, and so probably everything")
        for address, recipient, sender, said in (
            ("192.0.2.2", "u@x.test", "s@z.test", {"table": "permit (the table has client 192.0.2.0/24: the lab)"}),
            ("192.0.2.1", "u@y.test", "s@z.test", {"table": "refuse: 554 5.7.0 Not you"}),
            ("203.0.113.9", "u@y.test", "away@z.test", {"table": "discard (the table has sender away@z.test)"}),
            ("203.0.113.9", "odd@y.test", "s@z.test", {"table": "hold (the table has recipient odd@y.test: we look"}),
            ("203.0.113.9", "u@x.test", "friend@z.test", {"table": "pass (the table has sender", "dnsbl": unlisted}),
            ("203.0.113.1", "u@y.test", "s@z.test", {"table": nothing, "dnsbl": "refuse: 550 5.7.1 Your host"}),
            ("203.0.113.2", "u@y.test", "s@z.test", {"table": nothing, "dnsbl": unlisted}),
            ("10.0.0.1", "u@x.test", "s@z.test", {"dnsbl": "no opinion (no list knows of such an address)"}),
        ):
            answer = asked(mail, address, recipient, sender)
            words = ["explain", "--from", sender, "--to", recipient, "--client", address, "--port", "mx"]
            text = mail.tool(*words, "--helo", "client.test", status=0 if answer.startswith("250") else 1)
            assert f"RCPT TO:<{recipient}>" in text and answer in text, (answer, text)
            lines = text.partition("\nrules:")[2].partition("\ndecision:")[0].splitlines()
            for rule, verdict in said.items():
                assert any(line.split()[:1] == [rule] and verdict in line for line in lines), text
            assert "decision: " in text and "\nroute: " in text and "\ncourier: " in text


def test_dualStack(tmp_path: Path) -> None:
    """Clients of a socket for IPv6 that come by IPv4 are the same as by a socket for IPv4."""
    (tmp_path / "maildirs").mkdir()
    endpoint = '[networks]\ntrusted = ["127.0.0.2"]\n[dns]\nservers = ["127.0.0.1:9"]\ntimeout = "1s"\n'
    endpoint += '[agent.delivery.port.mx]\nendpoint = "tcp6:0:interface=\\\\:\\\\:ffff\\\\:127.0.0.1"\n'
    mail = Umbcmail(tmp_path, endpoint, base=MAILDIRS)
    with running(mail):
        for address, answer in (("127.0.0.2", b"250 2.1.5 "), ("127.0.0.3", b"550 5.7.1 ")):
            client = Conversation(mail.ports["mx"], address)
            client.expect(b"EHLO c.test", b"250")
            client.expect(b"MAIL FROM:<s@z.test>", b"250")
            client.expect(b"RCPT TO:<u@x.test>", answer)
            client.close()
            mail.logged(f" client={address} ")


def test_dnsblThatBreaks(tmp_path: Path, names: NameServer) -> None:
    """A list that has everybody is switched off with an alarm, and used again when it is
    mended; the others count all the while."""
    lists(names, "ok.test", "wl.test")
    names.wildcards["bl.test"] = [dns.Record_A("127.0.0.2", ttl=0)]
    names.addresses("1.2.0.192.ok.test", "127.0.0.5")
    mail = system(tmp_path, names, LISTS)
    with running(mail):
        mail.logged('where="dnsbl bl.test" why="lists 127.0.0.1, and so probably everything')
        assert asked(mail, "192.0.2.9").startswith("250")
        assert asked(mail, "192.0.2.1").endswith("listed in shown.test")
        assert not [name for name in names.asked if name.endswith("192.bl.test")]


def test_dropIn(tmp_path: Path) -> None:
    """A rule of somebody else: the folder of the example is put on the Python path, and the
    rule is there, with its options, its mistakes and its verdicts."""
    shutil.copytree(ROOT / "docs" / "examples" / "relay-rule", tmp_path / "rules")
    config = 'relay = ["labs"]\n[rule.labs]\nnetworks = ["192.0.2.0/24"]\nopens = 0\ncloses = 24\n'
    mail = system(tmp_path, None, config)
    done = mail.attempt("--check")
    assert done.returncode == 78 and "there is no such rule" in done.stderr, done.stderr
    mail.paths = [tmp_path / "rules"]
    done = mail.attempt("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "[rule.labs]" in done.stdout and "closes = 24" in done.stdout
    mail.sets = ["rule.labs.opens=23", "rule.labs.closes=4"]
    done = mail.attempt("--check")
    assert done.returncode == 78 and "rule.labs: the labs must open before they close" in done.stderr
    mail.sets = ["rule.labs.open=4"]
    assert "rule.labs.open = 4: unknown key (did you mean opens?)" in mail.attempt("--check").stderr
    mail.sets = []
    with running(mail):
        assert asked(mail, "192.0.2.5", "u@x.test").startswith("250")
        assert asked(mail, "203.0.113.5", "u@x.test").startswith("550 5.7.1 Relaying denied")
        assert asked(mail, "203.0.113.5").startswith("250")
