"""Aliases, lists, virtual addresses and C{.forward} of real users, by the whole program: what goes
where, what is refused, what attackers try, and C{kill -9} between expansion and delivery."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.localusers import LDA, LocalUsers, brokenDirectory, running
from tests.system.mailsystem import route
from tests.system.peers import Sink
from tests.system.programs import HOST, freePort, need, until

KILLPOINT = Path(__file__).with_name("killpoint.py")
ALIASES = """program-folder = "PLACE/programs"
file-folders = ["PLACE/files"]
[aliases]
files = ["{folder}/aliases"]
virtual = ["{folder}/virtual"]
virtual-domains = ["v.test"]
forward = true
program-user = "PROG"
file-folders = ["PLACE/files"]
poll = "1s"
"""


@pytest.fixture(scope="module")
def users() -> Iterator[LocalUsers]:
    """Users, and one for programs of aliases."""
    with contextlib.closing(LocalUsers()) as users:
        for label in ("ann", "bob", "prog"):
            users.add(label)
        yield users


class Host:
    """The whole program with aliases.

    @ivar lda: the agent, and the rest.
    """

    def __init__(
        self,
        folder: Path,
        users: LocalUsers,
        port: int,
        aliases: str = "",
        more: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        """
        @param port: where far.test is.
        @param more: configuration.
        @param env: of the local delivery agent.
        """
        # The folder of the test is closed to the users.
        self.place = users.folder
        named = ALIASES.replace("PROG", users.names["prog"]).replace("PLACE", str(self.place))
        config = named + more + route("far.test", port)
        self.users = users
        self.folder = folder
        self.lda = LDA(folder, config, env)
        for name in ("programs", "files"):
            shutil.rmtree(self.place / name, ignore_errors=True)
            (self.place / name).mkdir(mode=0o755)
        os.chown(self.place / "files", users.user("prog").pw_uid, users.user("prog").pw_gid)
        self.write("aliases", aliases)
        self.write("virtual", "")

    def write(self, name: str, text: str) -> None:
        """A file of aliases; C{ANN} and C{BOB} are the names of the users."""
        for label in ("ann", "bob"):
            text = text.replace(label.upper(), self.users.names[label])
        path = self.folder / name
        path.write_text(text.replace("{folder}", str(self.folder)).replace("PLACE", str(self.place)))
        path.chmod(0o644)

    def program(self, name: str, script: str) -> None:
        """A program that may be named."""
        path = self.place / "programs" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def address(self, label: str) -> str:
        """Of a user."""
        return f"{self.users.names[label]}@y.test"

    def send(self, *to: str, sender: str = "s@x.test") -> tuple[int, str]:
        """A message by SMTP.  @return: the reply to its end, or the first refusal of a recipient."""
        with smtplib.SMTP(HOST, self.lda.mail.port, "c.test", timeout=60) as client:
            client.ehlo()
            client.mail(sender)
            for address in to:
                code, said = client.rcpt(address)
                if code != 250:
                    return code, said.decode()
            code, said = client.data(b"Message-ID: <1@x.test>\r\nSubject: x\r\n\r\nHello\r\n")
            return code, said.decode()


@contextlib.contextmanager
def up(host: Host) -> Iterator[Host]:
    """It runs."""
    with running(host.lda):
        host.lda.mail.start()
        yield host


def test_aliases(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """One for one is answered when it is delivered; a list goes on, from its owner; a program and a
    file are done as the user for that; a virtual domain has nobody else; explain tells the same."""
    host = Host(
        tmp_path,
        clean,
        sink.port,
        "postmaster: ANN\nsales: ANN\nteam: ANN, BOB, :include:{folder}/members\nowner-team: BOB\n"
        "robot: |note -a x\narchive: PLACE/files/box\nbad: |/bin/sh\n",
    )
    host.write("members", "# more\nm1@far.test, m2@far.test\n")
    host.write("virtual", "info@v.test sales\n@w.test no@w.test\n")
    host.program("note", 'echo "$* $(id -un)" >note; cat >>note')
    with up(host):
        code, said = host.send("sales@y.test")
        assert (code, "delivered as" in said, len(clean.new("ann"))) == (250, True, 1)
        assert host.send("info@v.test")[0] == 250
        assert host.send("nobody@v.test")[:1] == (550,)
        assert host.send("postmaster")[0] == 250
        copies = [path.read_text() for path in clean.new("ann")]
        assert sum("Delivered-To: info@v.test\n" in text for text in copies) == 1
        assert sum("Delivered-To: sales@y.test\n" in text for text in copies) == 1
        before = len(copies)

        sink.refuse["m2@far.test"] = b"550 5.1.1 m2 is unknown"
        assert host.send("team@y.test")[0] == 250
        message = sink.arrived("m1@far.test")
        assert message.sender == "owner-team@y.test"
        until(lambda: len(clean.new("ann")) == before + 1, "ann has her copy")
        until(lambda: len(clean.new("bob")) == 2, "bob has his copy, and the notification for the owner")
        assert any("m2 is unknown" in path.read_text() for path in clean.new("bob"))

        assert host.send("robot@y.test")[0] == 250
        note = clean.home("prog") / "note"
        assert note.read_text().startswith(f"-a x {clean.names['prog']}\n")
        assert host.send("archive@y.test")[0] == 250
        assert (host.place / "files" / "box").read_text().startswith("From s@x.test ")
        assert host.send("bad@y.test")[0] == 550
        record = json.loads(host.lda.mail.tool("explain", "team@y.test", "--json"))
        assert {end["address"] for end in record["ends"]} == {
            host.address("ann"),
            host.address("bob"),
            "m1@far.test",
            "m2@far.test",
        }


def test_changes(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """A file that has changed counts, without a word to the program; one with mistakes does not, and the log and
    the command say so."""
    host = Host(tmp_path, clean, sink.port, "list: a@far.test\n")
    with up(host):
        host.write("aliases", "list: b@far.test\n")
        host.lda.mail.logged("aliases id=- entries=1 why=new")
        assert host.send("list@y.test")[0] == 250
        sink.arrived("b@far.test")
        host.write("aliases", "list: c@far.test\nx y\n")
        host.lda.mail.logged("what was read before stays in force")
        assert host.send("list@y.test")[0] == 250
        sink.arrived("b@far.test")
        assert "aliases:2: name: target" in host.lda.mail.tool("aliases", "check", status=1)


def test_forward(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """What users have in their files: read as they are, by nobody else; a copy for the mailbox, an address, a
    program; and a file for a detail."""
    host = Host(tmp_path, clean, sink.port)
    host.program("vacation", 'id -un >"$HOME/vacation"; cat >/dev/null')
    name = clean.names["ann"]
    clean.write("ann", ".forward", f"# mine\n\\{name}, ann@far.test\n|/usr/bin/vacation {name}\n", 0o600)
    clean.write("ann", ".forward+list", "lists@far.test\n")
    with up(host):
        assert host.send(host.address("ann"))[0] == 250
        message = sink.arrived("ann@far.test")
        assert message.content.startswith(f"Delivered-To: {host.address('ann')}\r\n".encode())
        until(lambda: len(clean.new("ann")) == 1, "ann keeps a copy")
        until(lambda: (clean.home("ann") / "vacation").exists(), "the program has run")
        assert (clean.home("ann") / "vacation").read_text() == f"{name}\n"
        assert host.send(f"{name}+list@y.test")[0] == 250
        assert "Delivered-To" in sink.arrived("lists@far.test").content.decode()
        assert host.send(host.address("bob"))[0] == 250
        assert len(clean.new("bob")) == 1
        # What comes back is not sent out again.
        content = message.content.decode()
        with smtplib.SMTP(HOST, host.lda.mail.port, "c.test", timeout=60) as client:
            with pytest.raises(smtplib.SMTPDataError) as refused:
                client.sendmail("s@x.test", [host.address("ann")], content)
            assert refused.value.smtp_error[:5] == b"5.4.6"
        assert not host.lda.mail.queue()


def test_directoryDown(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """While the directory of users can't tell, or hangs, nobody is refused: at RCPT, where the agent is asked
    there, and where it is not. Whoever has an alias is there all the same."""
    more = '[call-ahead]\ndomains = ["y.test"]\ndoubt = "delay"\ntimeout = "5s"\n'
    host = Host(tmp_path, clean, sink.port, "info: a@far.test\n", more, brokenDirectory(tmp_path))
    with up(host):
        for address in (host.address("ann"), "no-such-user@y.test"):
            code, said = host.send(address)
            assert (code, said[:5]) == (451, "4.3.0")
        assert host.send("info@y.test")[0] == 250
        sink.arrived("a@far.test")
        assert host.lda.mail.stop() == 0
        host.lda.mail.sets += ["call-ahead.domains=[]", 'aliases.forward-time="2s"', 'queue.local.retry=["1h"]']
        host.lda.mail.start()
        for address in (host.address("ann"), "slow@y.test", "no-such-user@y.test"):
            assert host.send(address)[0] == 250
        assert [entry["recipients"][0]["reply"][:9] for entry in host.lda.mail.queue()] == ["451 4.3.0"] * 3


def test_notifications(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """What senders hear (RFC 3461 section 5.2.7): nothing of an alias for one, whose wishes go along; of several
    that it is expanded; of a list with an owner that it is delivered, and nothing of its members."""
    sink.offers = (*sink.offers, b"DSN")
    aliases = "one: a@far.test\nmany: b@far.test, c@far.test\nlist: d@far.test, e@far.test\nowner-list: ANN\n"
    host = Host(tmp_path, clean, sink.port, aliases)
    with up(host), smtplib.SMTP(HOST, host.lda.mail.port, "c.test", timeout=60) as client:
        client.ehlo()
        for name in ("one", "many", "list"):
            client.mail("s@far.test", ["ENVID=E1", "RET=HDRS"])
            client.rcpt(f"{name}@y.test", [f"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{name}@old.test"])
            assert client.data(b"Subject: x\r\n\r\nHello\r\n")[0] == 250
        until(lambda: len(sink.recipients()) == 7, "all, and two notifications")
        commands = {c.partition("<")[2].partition("@")[0]: c for m in sink.messages for c in m.commands[1:]}
        mails = {r: m.commands[0] for m in sink.messages for r in m.recipients}
        assert "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;one@old.test" in commands["a"]
        assert "NOTIFY=FAILURE ORCPT=rfc822;many@old.test" in commands["b"]
        assert commands["d"] == "RCPT TO:<d@far.test>"
        assert "ENVID=E1" in mails["b@far.test"]
        assert mails["d@far.test"].startswith("MAIL FROM:<owner-list@y.test>")
        assert "ENVID" not in mails["d@far.test"]
        told = [m.content.decode() for m in sink.messages if m.recipients == ["s@far.test"]]
        found = {re.findall(r"(?m)^Action: (\w+)\r$", text)[0]: text for text in told}
        assert set(found) == {"expanded", "delivered"}
        assert "Original-Recipient: rfc822; many@old.test" in found["expanded"]
        assert "Final-Recipient: rfc822; list@y.test" in found["delivered"]


@pytest.mark.parametrize("what", ["shell", "group", "link", "dots", "dash", "root", "folder", "other"])
def test_attacks(clean: LocalUsers, tmp_path: Path, sink: Sink, what: str) -> None:
    """No program beside those of the folder, nothing as root, no file of others: what is asked for is
    refused or waits, and what is told says why."""
    host = Host(tmp_path, clean, sink.port)
    proof = clean.home("ann") / "proof"
    host.program("good", f"touch {proof}")
    secret = clean.write("bob", "secret", "stolen@far.test\n", 0o644)
    code, why = 550, "not among the programs"
    home = clean.home("ann")
    if what == "shell":
        clean.write("ann", ".forward", f'"|/bin/sh -c touch\\ {proof}"\n')
        why = "forbidden"
    elif what == "group":
        clean.write("ann", ".forward", "a@far.test\n")
        home.chmod(0o770)
        code, why = 250, "the home can be written by others"
    elif what == "link":
        os.symlink("/etc/passwd", home / ".forward")
        code, why = 250, "a symbolic link"
    elif what == "dots":
        clean.write("ann", ".forward", "|../../../bin/touch\n")
        why = "touch is not among the programs"
    elif what == "dash":
        clean.write("ann", ".forward", "|-c\n")
        why = "no program is named"
    elif what == "root":
        clean.write("ann", ".forward", "root\n")
        why = "a user of the system"
    elif what == "folder":
        clean.write("ann", ".forward", "/etc/umbcmail-test\n")
        why = "not in a folder that is permitted"
    else:
        os.link(secret, home / ".forward")
        code, why = 250, "belongs to uid"
    with up(host):
        said = host.send(host.address("ann"))
        assert said[0] == code, said
        line = host.lda.mail.logged(why)
        assert line
        if code == 250:
            [entry] = host.lda.mail.queue()
            assert host.address("ann") in json.dumps(entry)
            # When it is mended it goes on.
            home.chmod(0o700)
            (home / ".forward").unlink()
            host.lda.mail.tool("queue", "retry", "--all")
            until(lambda: len(clean.new("ann")) == 1, "it is delivered")
    assert not proof.exists()
    assert not sink.messages
    assert not Path("/etc/umbcmail-test").exists()


def test_agentAway(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """While the agent is away nobody is refused: the mail waits, and goes when it is there again."""
    host = Host(tmp_path, clean, sink.port, "list: ANN, a@far.test\n")
    clean.write("ann", ".forward", "b@far.test\n")
    with up(host):
        assert host.lda.running.stop() == 0
        assert host.send("list@y.test")[0] == 250
        sink.arrived("a@far.test")
        assert host.send(host.address("ann"))[0] == 250
        assert len(host.lda.mail.queue()) == 2
        host.lda.start()
        until(lambda: sink.recipients() == ["b@far.test", "b@far.test"], "it goes on")
        host.lda.mail.emptied()


@pytest.mark.parametrize(
    "point", ["umbcmail.queue.intake:Intake._committed", "umbcmail.queue.settlement:Settlement._record"]
)
def test_killed(clean: LocalUsers, tmp_path: Path, point: str) -> None:
    """C{kill -9} between expansion and delivery, and amid the deliveries: every member gets it, nobody is lost
    though the list is another one by then, and nobody gets it twice but who was in the air."""
    port = freePort()
    names = [f"m{number}" for number in range(20)]
    text = "list: ANN, :include:{folder}/members\nowner-list: BOB\n"
    # Each in a domain of its own, so that each has a delivery of its own.
    routes = "".join(route(f"{name}.far2.test", port) for name in names)
    more = routes + '[queue.remote]\nretry = ["1s"]\npoll = "0.2s"\n'
    host = Host(tmp_path, clean, port, text, more)
    host.write("members", "".join(f"{name}@{name}.far2.test\n" for name in names))
    mail = host.lda.mail
    with running(host.lda):
        twistd = mail.twistd
        mail.twistd = (sys.executable, str(KILLPOINT), point, "1" if "intake" in point else "2")
        sink = Sink(port)
        mail.start()
        mail.twistd = twistd
        with contextlib.suppress(OSError, smtplib.SMTPException):
            host.send("list@y.test")
        assert mail.running.process.wait(30) == -signal.SIGKILL
        host.write("members", "new@new.far2.test\n")
        mail.start()
        until(lambda: {r.partition("@")[0] for r in sink.recipients()} >= set(names), "all have it", 30)
        mail.emptied()
        found = Counter(recipient.partition("@")[0] for recipient in sink.recipients())
        assert set(found) == set(names)
        most = max(found.values()), len(clean.new("ann"))
        # The second record was to come: what the first one says is not done again.
        assert most == (1, 1) if "intake" in point else most in ((1, 2), (2, 1))
        sink.close()


def test_procmail(clean: LocalUsers, tmp_path: Path, sink: Sink) -> None:
    """The old way: procmail as the program of a C{.forward}, and as the way of all mailboxes."""
    real = need("procmail")
    host = Host(tmp_path, clean, sink.port)
    os.symlink(real, host.place / "programs" / "procmail")
    recipe = "MAILDIR=$HOME\nDEFAULT=$HOME/Maildir/\n"
    for label in ("ann", "bob"):
        clean.write(label, ".procmailrc", recipe)
    clean.write("ann", ".forward", '"|/usr/bin/procmail -t -Y -a list"\n')
    with up(host):
        assert host.send(host.address("ann"))[0] == 250
        [path] = clean.new("ann")
        assert re.match(r"Return-Path: <s@x.test>\nDelivered-To: ", path.read_text())
        assert path.stat().st_uid == clean.user("ann").pw_uid
