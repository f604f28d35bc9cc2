"""Delivery status notifications of a running system, by what senders have asked for."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Conversation, Message, Sink
from tests.system.programs import until

DSN = (b"PIPELINING", b"8BITMIME", b"SIZE", b"DSN")
LONG = "no such user " + "and so many words " * 20
Asked = dict[str, str]
"""By recipient what stands behind it."""


def _send(port: int, content: bytes, asked: Asked, sender: str = "s@z.test", parameters: str = "") -> None:
    """A message with a NOTIFY of its own for each recipient."""
    talk = Conversation(port)
    talk.expect(b"EHLO client.test", b"250")
    talk.expect(f"MAIL FROM:<{sender}> {parameters}".rstrip().encode(), b"250")
    for recipient, words in asked.items():
        talk.expect(f"RCPT TO:<{recipient}> {words}".rstrip().encode(), b"250")
    talk.expect(b"DATA", b"354")
    assert talk.message(content).startswith(b"250")
    talk.close()


def _read(message: Message) -> tuple[EmailMessage, list[EmailMessage], EmailMessage]:
    """A notification, its blocks for programs, and what has come back."""
    assert message.sender == "" and message.recipients == ["s@z.test"]
    whole = cast(EmailMessage, message_from_bytes(message.content, policy=policy.default))
    assert not whole.defects and whole.get_content_type() == "multipart/report"
    text, status, returned = cast("list[EmailMessage]", list(whole.iter_parts()))
    assert text.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
    return whole, cast("list[EmailMessage]", status.get_payload()), returned


def _actions(back: Sink) -> dict[str, list[str]]:
    """What the sender has been told: by action the recipients."""
    found: dict[str, list[str]] = {}
    for message in back.messages:
        for block in _read(message)[1][1:]:
            found.setdefault(str(block["Action"]), []).append(str(block["Final-Recipient"]).partition("; ")[2])
    return {action: sorted(recipients) for action, recipients in found.items()}


def test_form(tmp_path: Path, sink: Sink) -> None:
    """To the sender from nobody, in one message for all that have failed and for no others, with
    the real replies, whatever their length and their octets; the header only is returned."""
    back = Sink()
    sink.refuse["long@next.test"] = ("550-5.1.1 " + LONG + "\r\n550-5.1.1 " + LONG + "\r\n550 5.1.1 end").encode()
    sink.refuse["wide@next.test"] = "554 5.7.1 Zugriff verweigert für \x01 Fremde".encode("latin-1")
    sink.refuse["bare@next.test"] = b"553 go away"
    ids = " ".join(f"<{'r' * 40}{n}@references.test>" for n in range(60))
    folded = ids.replace(" ", "\r\n ")
    content = f"Message-ID: <1@z.test>\r\nReferences: {folded}\r\nSubject: secret\r\n\r\nthe body\r\n".encode()
    asked = {
        "long@next.test": "ORCPT=rfc822;alias+2Bx@old.test NOTIFY=FAILURE",
        "wide@next.test": "",
        "bare@next.test": "NOTIFY=DELAY,FAILURE",
        "good@next.test": "NOTIFY=FAILURE",
    }
    config = route("next.test", sink.port) + route("z.test", back.port)
    with running(Umbcmail(tmp_path, config)) as mail:
        _send(mail.relayPort, content, asked, parameters="RET=HDRS ENVID=QQ+2B314159")
        until(lambda: back.messages, "the sender is told")
        mail.emptied()
        assert len(mail.events("bounced")) == 1
    [message] = back.messages
    assert sink.recipients() == ["good@next.test"]
    whole, blocks, returned = _read(message)
    assert whole["To"] == "s@z.test" and whole["Auto-Submitted"] == "auto-replied"
    assert str(whole["References"]).endswith("<1@z.test>") and len(whole["References"]) > 500
    assert all(len(line) <= 998 for line in message.content.split(b"\r\n"))
    unfolded = message.content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    assert all(len(line) <= 998 for line in unfolded.split(b"\r\n"))
    part = message.content[message.content.index(b"message/delivery-status") :]
    status = part[: part.index(b"text/rfc822-headers")]
    assert status.isascii() and b"\x01" not in status and all(len(line) <= 78 for line in status.split(b"\r\n"))
    assert (blocks[0]["Reporting-MTA"], blocks[0]["Original-Envelope-Id"]) == ("dns; mx.y.test", "QQ+314159")
    found = {str(block["Final-Recipient"]): block for block in blocks[1:]}
    assert set(found) == {f"rfc822; {name}@next.test" for name in ("long", "wide", "bare")}
    states = {name: str(block["Status"]) for name, block in found.items()}
    assert states == {
        "rfc822; long@next.test": "5.1.1",
        "rfc822; wide@next.test": "5.7.1",
        "rfc822; bare@next.test": "5.0.0",
    }
    assert all(block["Action"] == "failed" and block["Remote-MTA"] for block in found.values())
    long = found["rfc822; long@next.test"]
    assert long["Original-Recipient"] == "rfc822; alias+x@old.test"
    assert " ".join(long["Diagnostic-Code"].split()) == " ".join(f"smtp; 550 5.1.1 {LONG} {LONG} end".split())
    assert found["rfc822; bare@next.test"]["Diagnostic-Code"] == "smtp; 553 go away"
    assert found["rfc822; bare@next.test"]["Original-Recipient"] is None
    assert "Zugriff verweigert f" in found["rfc822; wide@next.test"]["Diagnostic-Code"]
    assert returned.get_content_type() == "text/rfc822-headers" and b"the body" not in message.content
    assert b"Subject: secret" in message.content
    back.close()


def test_failureAndSuccess(tmp_path: Path, sink: Sink) -> None:
    """Each recipient of one message by its own word: failures, what a next hop without DSN, one
    with it, and a mailbox have taken.  One notification for what has the same action, and none
    for who wants none."""
    back, able = Sink(), Sink(offers=DSN)
    (tmp_path / "maildirs").mkdir()
    asked: Asked = {}
    for word in ("", "NEVER", "FAILURE", "SUCCESS", "DELAY", "SUCCESS,FAILURE", "SUCCESS,FAILURE,DELAY"):
        name = word.lower().replace(",", "-") or "default"
        for kind in ("no", "yes"):
            for domain in ("next.test", "able.test"):
                asked[f"{kind}-{name}@{domain}"] = word and f"NOTIFY={word}"
                if kind == "no":
                    sink.refuse[f"{kind}-{name}@{domain}"] = able.refuse[f"{kind}-{name}@{domain}"] = b"550 5.1.1 no"
        asked[f"{name}@box.test"] = word and f"NOTIFY={word}"
    config = route("next.test", sink.port) + route("able.test", able.port) + route("z.test", back.port)
    config += '[[route]]\ndomain = "box.test"\ncourier = "maildir"\n'
    config += '[courier.maildir]\nbase = "{folder}/maildirs/%user"\n'
    with running(Umbcmail(tmp_path, config)) as mail:
        _send(mail.relayPort, b"Subject: s\r\n\r\nx\r\n", asked, parameters="ENVID=id RET=FULL")
        until(lambda: len(back.messages) >= 3, "the sender is told")
        mail.emptied()
        # Of a notification never: nobody is told of mail without a sender, whatever is asked for.
        _send(mail.relayPort, b"Subject: s\r\n\r\nx\r\n", dict.fromkeys(asked, "NOTIFY=SUCCESS,FAILURE,DELAY"), "")
        until(lambda: mail.events("dead"), "it is put aside")
        assert len(back.messages) == 3
    wantsFailure = ["default", "failure", "success-failure", "success-failure-delay"]
    wantsSuccess = ["success", "success-failure", "success-failure-delay"]
    assert _actions(back) == {
        "failed": sorted(f"no-{name}@{domain}" for name in wantsFailure for domain in ("next.test", "able.test")),
        "relayed": sorted(f"yes-{name}@next.test" for name in wantsSuccess),
        "delivered": sorted(f"{name}@box.test" for name in wantsSuccess),
    }
    # Who can tell is asked to, with the words as they were (RFC 3461 section 5.2).
    [handed, _] = able.messages
    assert "ENVID=id" in handed.commands[0] and "RET=FULL" in handed.commands[0]
    words = dict(command[9:].split("> ", 1) for command in handed.commands[1:] if "NOTIFY" in command)
    wanted = {name: word for name, word in asked.items() if name.startswith("yes") and "able" in name and word}
    assert {name: word.split(" ORCPT")[0] for name, word in words.items()} == wanted
    assert not any("NOTIFY" in command for message in sink.messages for command in message.commands)
    back.close()
    able.close()


def test_delay(tmp_path: Path, sink: Sink) -> None:
    """Told of a delay, once, is who has asked for it or has not said anything; when it is given
    up, who wants to hear of failures."""
    back = Sink()
    names = {"default": "", "never": "NEVER", "failure": "FAILURE", "delay": "DELAY", "both": "FAILURE,DELAY"}
    asked = {f"{name}@next.test": word and f"NOTIFY={word}" for name, word in names.items()}
    sink.refuse = dict.fromkeys(asked, b"450 4.2.1 Mailbox busy")
    sets = ['queue.remote.retry=["1s"]', 'queue.remote.poll="0.2s"', 'queue.remote.warn="1s"']
    config = route("next.test", sink.port) + route("z.test", back.port)
    with running(Umbcmail(tmp_path, config, [*sets, 'queue.remote.expire="6s"'])) as mail:
        _send(mail.relayPort, b"Subject: s\r\n\r\nx\r\n", asked)
        until(lambda: len(back.messages) == 2, "the sender is told twice", 40)
        mail.emptied()
    told = [_read(message)[1] for message in back.messages]
    states = [
        {str(block["Final-Recipient"])[8:-10]: (block["Action"], block["Status"][:2]) for block in blocks[1:]}
        for blocks in told
    ]
    assert states[0] == dict.fromkeys(("default", "delay", "both"), ("delayed", "4."))
    assert states[1] == dict.fromkeys(("default", "failure", "both"), ("failed", "4."))
    assert all(block["Will-Retry-Until"] for block in told[0][1:])
    assert all("450 4.2.1 Mailbox busy" in block["Diagnostic-Code"] for blocks in told for block in blocks[1:])
    assert not sink.messages
    back.close()
