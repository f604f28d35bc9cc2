"""What clients are told: relaying, refusals, bounces, and a next hop that is slow."""

from __future__ import annotations

import email
import threading
from pathlib import Path

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Sink, send, stuffed
from tests.system.programs import until

CONTENT = b"Subject: hello\r\nMessage-ID: <1@z.test>\r\n\r\ntext\r\n"


def test_relaying(tmp_path: Path, sink: Sink) -> None:
    """From a network that is not trusted: to our own domains only, and the session
    goes on after a refusal."""
    config = "".join(route(domain, sink.port) for domain in ("local.test", "internal.test", "foreign.test"))
    with running(Umbcmail(tmp_path, config)) as mail:
        talk = Conversation(mail.port, source="127.0.0.2")
        talk.expect(b"EHLO c.test", b"250")
        talk.expect(b"MAIL FROM:<s@local.test>", b"250")
        talk.expect(b"RCPT TO:<a@foreign.test>", b"550 5.7.1")
        talk.expect(b"RCPT TO:<a%foreign.test@sub.local.test>", b"550 5.7.1")
        talk.expect(b"RCPT TO:<a@local.test>", b"250")
        talk.expect(b"RCPT TO:<a@INTERNAL.test>", b"250")
        talk.expect(b"RCPT TO:<postmaster>", b"250")
        talk.expect(b"RSET", b"250")
        talk.begin("a@local.test", "a@internal.test")
        assert talk.message(CONTENT).startswith(b"250 2.0.0 OK, delivered")
        talk.close()
        assert send(mail.port, CONTENT, "a@foreign.test").startswith(b"250 2.0.0 OK, delivered")
    assert sorted(sink.recipients()) == ["a@foreign.test", "a@internal.test", "a@local.test"]


def test_allFailed(tmp_path: Path, sink: Sink) -> None:
    """The client gets the next hop's words, and nobody gets a bounce."""
    sink.refuse = {"no@next.test": b"550 5.1.1 no such user", "never@next.test": b"550 5.1.1 no such user"}
    with running(Umbcmail(tmp_path, route("next.test", sink.port) + route("back.test", sink.port))) as mail:
        answer = send(mail.port, CONTENT, "no@next.test", "never@next.test", sender="s@back.test")
        assert answer == b"550 5.1.1 no such user\r\n"
        assert not mail.queue() and not mail.events("bounced")
    assert not sink.messages


def test_oneOfTwoFailed(tmp_path: Path, sink: Sink) -> None:
    """The message is accepted, one recipient gets it, the sender gets a bounce of
    RFC 3464's form about the other."""
    sink.refuse = {"no@next.test": b"550 5.1.1 no such user"}
    with running(Umbcmail(tmp_path, route("next.test", sink.port) + route("back.test", sink.port))) as mail:
        answer = send(mail.port, CONTENT, "yes@next.test", "no@next.test", sender="s@back.test")
        assert answer.startswith(b"250 2.0.0 OK, queued")
        until(lambda: len(sink.messages) == 2, "message and bounce are there")
        mail.emptied()
    first, bounce = sink.messages
    assert first.recipients == ["yes@next.test"] and first.content.endswith(CONTENT)
    assert (bounce.sender, bounce.recipients) == ("", ["s@back.test"])
    report = email.message_from_bytes(bounce.content)
    assert report.get_content_type() == "multipart/report" and report["Auto-Submitted"]
    text, status, original = report.get_payload()  # type: ignore[misc]
    assert "<no@next.test>" in text.get_payload() and "no such user" in text.get_payload()
    perMessage, perRecipient = status.get_payload()
    assert perMessage["Reporting-MTA"] == "dns; mx.y.test"
    assert perRecipient["Final-Recipient"] == "rfc822; no@next.test"
    assert (perRecipient["Action"], perRecipient["Status"]) == ("failed", "5.1.1")
    assert "no such user" in perRecipient["Diagnostic-Code"]
    assert "Message-ID: <1@z.test>" in original.as_string()


def test_bounceOfABounce(tmp_path: Path, sink: Sink) -> None:
    """What fails and has the null sender is put aside for the postmaster, and nobody hears of it."""
    sink.refuse = {"no@next.test": b"550 5.1.1 no such user"}
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        assert b"queued" in send(mail.port, CONTENT, "yes@next.test", "no@next.test", sender="")
        until(lambda: mail.events("dead"), "it is put aside")
        [entry] = mail.queue()
        assert (entry["queue"], entry["held"]) == ("dead", True)
    assert sink.recipients() == ["yes@next.test"]


def test_slowerThanTheDeadline(tmp_path: Path, sink: Sink) -> None:
    """The client is answered in time, the attempt goes on, and the message comes
    once: also a large one, of which the file is moved meanwhile."""
    sink.stall.add(".")
    sets = ['agent.delivery.deadline="1s"', 'queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"']
    contents = [CONTENT, CONTENT + b"large\r\n" * 100_000]
    with running(Umbcmail(tmp_path, route("next.test", sink.port), sets)) as mail:
        for content in contents:
            assert send(mail.port, content, "a@next.test").startswith(b"250 2.0.0 OK, queued")
        assert len(sink.messages) == 2
        assert all(entry["owner"] for entry in mail.queue())
        assert "being tried now" in mail.tool("queue", "list")
        sink.goOn.set()
        mail.emptied()
        assert len(mail.events("delivered")) == 2
    assert [message.content.partition(b"Subject")[2] for message in sink.messages] == [c[7:] for c in contents]


def test_slowAndFailing(tmp_path: Path, sink: Sink) -> None:
    """A large message, one recipient refused after the deadline: a bounce, and the
    other recipient gets it once."""
    sink.stall.add(".")
    sink.refuse = {"no@next.test": b"550 5.1.1 no such user"}
    sets = ['agent.delivery.deadline="1s"', 'queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"']
    config = route("next.test", sink.port) + route("back.test", sink.port)
    content = CONTENT + b"large\r\n" * 100_000
    with running(Umbcmail(tmp_path, config, sets)) as mail:
        answer = send(mail.port, content, "yes@next.test", "no@next.test", sender="s@back.test")
        assert answer.startswith(b"250 2.0.0 OK, queued")
        sink.goOn.set()
        until(lambda: len(sink.messages) == 2, "message and bounce are there")
        mail.emptied()
        assert not mail.events("trouble")
    assert sink.recipients() == ["yes@next.test", "s@back.test"]
    assert b"Final-Recipient: rfc822; no@next.test" in sink.messages[1].content


def test_pipelined(tmp_path: Path, sink: Sink) -> None:
    """A whole session in one write, with a stall in the middle: all replies, in order."""
    sink.stall.add("RCPT")
    with running(Umbcmail(tmp_path, route("next.test", sink.port))) as mail:
        talk = Conversation(mail.port)
        one = b"MAIL FROM:<s@z.test>\r\nRCPT TO:<%s@next.test>\r\nDATA\r\n"
        stream = b"EHLO c.test\r\n" + b"".join(one % name + stuffed(CONTENT) for name in (b"a", b"b"))
        talk.socket.sendall(stream + b"NOOP\r\nBAD\r\nQUIT\r\n")
        threading.Thread(target=lambda: sink.stalled.wait(20) and sink.goOn.set()).start()
        codes = [talk.reply()[:3] for _ in range(12)]
        assert codes == [b"250", b"250", b"250", b"354", b"250", b"250", b"250", b"354", b"250", b"250", b"500", b"221"]
        talk.close()
    assert sink.recipients() == ["a@next.test", "b@next.test"]
