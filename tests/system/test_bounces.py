"""What senders are told, by real systems, and who is refused instead."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from tests.system.mailsystem import MAILDIRS, Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import freePort, until
from tests.system.servers import KnownUsers, SmtpSink

CONTENT = b"Message-ID: <1@z.test>\r\nSubject: s\r\nFrom: s@z.test\r\n\r\nbody\r\n"


def read(content: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    """A notification as Python's email package reads it: the whole, and the blocks for
    programs."""
    message = cast(EmailMessage, message_from_bytes(content, policy=policy.default))
    assert message.get_content_type() == "multipart/report" and not message.defects
    text, status, returned = cast("list[EmailMessage]", list(message.iter_parts()))
    assert text.get_content_type() == "text/plain" and not text.defects
    assert returned.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    return message, cast("list[EmailMessage]", status.get_payload())


def recipients(blocks: list[EmailMessage]) -> dict[str, str]:
    """What each recipient's diagnostic is."""
    return {str(block["Final-Recipient"]): str(block["Diagnostic-Code"]) for block in blocks[1:]}


@contextlib.contextmanager
def known(*addresses: str) -> Iterator[KnownUsers]:
    """Dovecot's LMTP for some users."""
    dovecot = KnownUsers(*addresses)
    try:
        yield dovecot
    except BaseException:
        sys.stderr.write(dovecot.output()[-3000:])
        raise
    finally:
        dovecot.stop()


# Notifications


def test_oneForAll(tmp_path: Path, sink: Sink) -> None:
    """Recipients in two classes, some refused, by a host each: one notification for all that
    have failed, and for no others; a real smtp-sink's words are quoted as they were."""
    refusing = SmtpSink(tmp_path / "smtp-sink", refuses="RCPT")
    sink.refuse["a@internal.test"] = b"550-5.1.1 Nobody here\r\n550 5.1.1 of this name"
    hops = route("internal.test", sink.port) + route("next.test", refusing.port) + route("z.test", sink.port)
    mail = Umbcmail(tmp_path / "umbcmail", hops)
    try:
        with running(mail):
            to = ("a@internal.test", "b@internal.test", "c@next.test", "d@next.test")
            answer = send(mail.relayPort, CONTENT, *to, parameters=b" ENVID=QQ+2B1 RET=FULL")
            id = answer.split()[-1].decode()
            got = sink.arrived("s@z.test")
            mail.emptied()
    finally:
        refusing.stop()
    assert got.sender == "" and sink.recipients() == ["b@internal.test"]
    message, blocks = read(got.content)
    assert (message["To"], message["In-Reply-To"]) == ("s@z.test", "<1@z.test>")
    assert message["Auto-Submitted"] == "auto-replied"
    assert blocks[0]["Original-Envelope-Id"] == "QQ+1"
    assert blocks[0]["Received-From-MTA"] == "dns; client.test ([127.0.0.1])"
    found = recipients(blocks)
    assert set(found) == {f"rfc822; {address}" for address in to if address != "b@internal.test"}
    assert found["rfc822; a@internal.test"] == "smtp; 550 5.1.1 Nobody here of this name"
    assert found["rfc822; c@next.test"].startswith("smtp; 500 5.3.0 ")
    assert b"\r\n\r\nbody\r\n" in got.content and id.encode() in got.content
    assert len(mail.events("bounced")) == 1


def test_restartWhileGathering(tmp_path: Path, sink: Sink) -> None:
    """A failure that waits for another class is told after the loss of power, and what has
    been delivered is not delivered again."""
    slow = Sink()
    slow.stall.add("MAIL")
    slow.refuse["b@internal.test"] = b"550 5.1.1 no"
    sink.refuse["a@next.test"] = b"550 5.1.1 no"
    hops = route("next.test", sink.port) + route("internal.test", slow.port) + route("z.test", sink.port)
    mail = Umbcmail(tmp_path, hops, ['bounce.gather="5m"'])
    try:
        mail.start()
        send(mail.relayPort, CONTENT, "a@next.test", "c@next.test", "b@internal.test")
        until(lambda: [e["recipients"][0]["status"] for e in mail.queue()].count("failed") == 1, "a failure waits")
        mail.running.stop(signal.SIGKILL)
        slow.goOn.set()
        assert sink.recipients() == ["c@next.test"]
        with running(mail):
            got = sink.arrived("s@z.test")
            mail.emptied()
    finally:
        slow.close()
    assert set(recipients(read(got.content)[1])) == {"rfc822; a@next.test", "rfc822; b@internal.test"}
    assert sink.recipients().count("c@next.test") == 1


def test_noLoop(tmp_path: Path, sink: Sink) -> None:
    """Two systems, each with a domain, both of which answer before they try to deliver:
    mail from nobody to nobody ends as one dead letter, which can be looked at, released
    and removed."""
    ports = {"a.test": freePort(), "b.test": freePort()}
    sink.refuse = {f"nobody@{domain}": b"550 5.1.1 Nobody" for domain in ports}
    systems = []
    for ours, other in (("a.test", "b.test"), ("b.test", "a.test")):
        base = MAILDIRS.replace("mx.y.test", f"mx.{ours}").replace('["y.test"]', f'["{ours}"]')
        more = (
            '[networks]\ntrusted = ["127.0.0.1"]\n[agent.delivery]\nmode = "background"\n[agent.delivery.port.mx]\n'
            f'endpoint = "tcp:{ports[ours]}:interface=127.0.0.1"\n'
            + route(other, ports[other])
            + route(ours, sink.port)
        )
        systems.append(Umbcmail(tmp_path / ours, more, ['queue.dead.poll="0.5s"'], base))
    one, two = systems
    with running(one), running(two):
        send(ports["a.test"], CONTENT, "nobody@b.test", sender="nobody@a.test")
        line = one.logged(" dead id=")
        until(lambda: not two.queue(), "the other has nothing left")
        [entry] = one.queue()
        assert (entry["queue"], entry["held"], entry["sender"]) == ("dead", True, "")
        assert f"id={entry['id']} " in line
        assert entry["recipients"][0]["address"] == "nobody@a.test"
        assert [len(mail.events("accepted")) for mail in (one, two)] == [2, 1]
        assert [len(mail.events("bounced")) for mail in (one, two)] == [0, 1]
        one.tool("queue", "release", entry["id"])
        one.tool("queue", "retry", entry["id"])
        until(lambda: len(one.events("dead")) == 2, "it has been tried again")
        until(lambda: [e["held"] for e in one.queue()] == [True], "and is put aside again")
        one.tool("queue", "remove", entry["id"])
        one.emptied()


# Refused at RCPT


def test_tables(tmp_path: Path, sink: Sink) -> None:
    """Who is not in the table is refused; a new table counts without a restart; while
    it can't be read who is not known is put off."""
    people = tmp_path / "people"
    people.write_text("ann@internal.test\n")
    tables = f'[recipients]\ndomains = ["internal.test"]\ntables = ["{people}"]\npoll = "1s"\n'
    mail = Umbcmail(tmp_path, route("internal.test", sink.port) + tables)
    with running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        talk.expect(b"MAIL FROM:<>", b"250")
        talk.expect(b"RCPT TO:<Ann+x@internal.test>", b"250")
        talk.expect(b"RCPT TO:<postmaster@internal.test>", b"250")
        talk.expect(b"RCPT TO:<bob@internal.test>", b"550 5.1.1 ")
        people.write_text("bob@internal.test\n# new\n")
        mail.logged(" recipients id=- entries=1 why=new")
        talk.expect(b"RCPT TO:<bob@internal.test>", b"250")
        people.unlink()
        mail.logged(" trouble id=- where=recipients ")
        talk.expect(b"RCPT TO:<carl@internal.test>", b"451 4.3.0 ")
        talk.expect(b"RCPT TO:<bob@internal.test>", b"250")
        talk.close()
        assert not mail.queue()


@pytest.mark.parametrize("pipelining", [True, False])
def test_callAheadSMTP(tmp_path: Path, pipelining: bool) -> None:
    """A next hop by SMTP is asked; what it says is what the client hears."""
    sink = Sink(offers=(b"PIPELINING", b"8BITMIME") if pipelining else ())
    sink.refuse["bob@internal.test"] = b"550 5.1.1 Nobody"
    ahead = '[call-ahead]\ndomains = ["internal.test"]\n'
    mail = Umbcmail(tmp_path, route("internal.test", sink.port) + ahead)
    with contextlib.closing(sink), running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        talk.expect(b"MAIL FROM:<s@z.test>", b"250")
        for _ in range(2):
            talk.expect(b"RCPT TO:<bob@internal.test>", b"550 5.1.1 Nobody")
        talk.expect(b"RCPT TO:<ann@internal.test>", b"250")
        talk.expect(b"DATA", b"354")
        assert talk.message(CONTENT).startswith(b"250 2.0.0 OK, delivered")
        talk.close()
        assert sink.recipients() == ["ann@internal.test"]


def test_callAheadDovecot(tmp_path: Path) -> None:
    """Dovecot's LMTP knows its users; nothing arrives by asking."""
    ahead = '[call-ahead]\ndomains = ["local.test"]\n'
    with known("ann@local.test") as dovecot:
        mail = Umbcmail(tmp_path, ahead, [f'queue.local.next-hops=["unix:{dovecot.socket}"]'])
        with running(mail):
            talk = Conversation(mail.port)
            talk.expect(b"EHLO client.test", b"250")
            talk.expect(b"MAIL FROM:<s@z.test>", b"250")
            talk.expect(b"RCPT TO:<bob@local.test>", b"550 5.1.1 ")
            talk.expect(b"RCPT TO:<ann@local.test>", b"250")
            assert not list(dovecot.homes.rglob("new/*"))
            talk.expect(b"DATA", b"354")
            assert talk.message(CONTENT).startswith(b"250 2.0.0 OK, delivered")
            talk.expect(b"MAIL FROM:<>", b"250")
            talk.expect(b"RCPT TO:<bob@local.test>", b"550 5.1.1 ")  # as it is remembered
            talk.close()
        assert len(list(dovecot.homes.rglob("new/*"))) == 1


@pytest.mark.parametrize(("doubt", "answer"), [("accept", b"250 "), ("delay", b"451 4.3.0 ")])
def test_callAheadDown(tmp_path: Path, doubt: str, answer: bytes) -> None:
    """Next hops that are down, or say nothing, hold nobody up for long."""
    silent = Sink()
    silent.stall.add("MAIL")
    ahead = f'[call-ahead]\ndomains = ["internal.test", "local.test"]\ntimeout = "1s"\ndoubt = "{doubt}"\n'
    mail = Umbcmail(tmp_path, route("internal.test", silent.port) + ahead)
    with contextlib.closing(silent), running(mail):
        talk = Conversation(mail.port)
        talk.expect(b"EHLO client.test", b"250")
        talk.expect(b"MAIL FROM:<s@z.test>", b"250")
        talk.expect(b"RCPT TO:<a@local.test>", answer)  # no socket there
        talk.expect(b"RCPT TO:<a@internal.test>", answer)
        talk.close()
        until(lambda: len(mail.events("call-ahead")) == 2, "the log says why")
