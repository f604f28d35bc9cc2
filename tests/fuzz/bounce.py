"""Bounces about any message: L{umbcmail.queue.bounce}."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import SMTP

from umbcmail.entry import Delivery
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import Report, bounceContent
from umbcmail.send.replies import ReplyReader, toReply

SEEDS = [
    b"\0550 5.1.1 no\r\n|Subject: s\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n",
    b"\1550-5.1.1 a\xff\r\n550 5.1.1 b\r\n|X: \xe9\r\n\r\n\xff",
    b"\2|",
]
_KINDS = ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers")


def check(data: bytes) -> None:
    """A report that programs can read, whatever came from the next hop and in the
    message."""
    flags = data[0] if data else 0
    said, _, original = data[1:].partition(b"|")
    remotes = ReplyReader().feed(said)
    outcome = Outcome(toReply(remotes[0]), "mx.z.test[192.0.2.1]:25", "RCPT TO", remote=True) if remotes else None
    envelope = Envelope(
        "m1", "s@z.test", (Recipient("x@y.test"),), 0.0, ret="HDRS" if flags & 1 else "", smtputf8=bool(flags & 4)
    )
    address = "\u00e9@y.test" if flags & 4 else "x@y.test"
    deliveries = (Delivery(Recipient(address), outcome=outcome),)
    report = Report("b1", "mx.y.test", "delayed" if flags & 8 else "failed", envelope, deliveries, 1e9, 2e9)
    whole = bool(flags & 2)
    made = bounceContent(report, original, whole)
    boundary = b"--b1/mx.y.test"
    if boundary in original:
        return
    assert made.endswith(b"\r\n" + boundary + b"--\r\n")
    assert made.count(b"\r\n" + boundary) == 4
    message = message_from_bytes(made, policy=SMTP)
    assert message.get_content_type() == "multipart/report" and not message.defects, message.defects
    text, status, third = message.iter_parts()  # type: ignore[attr-defined]
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    assert third.get_content_type() in _KINDS
    ours = made.partition(b"\r\n" + boundary + b"\r\nContent-Type: " + third.get_content_type().encode())[0]
    assert (b"\r" in original or b"\n" in original) or ours.count(b"\n") == ours.count(b"\r\n") == ours.count(b"\r")
    if flags & 1 and b"\r\n\r\n" in original:
        secret = original.partition(b"\r\n\r\n")[2]
        assert len(secret) < 20 or secret not in made or secret in original.partition(b"\r\n\r\n")[0]
