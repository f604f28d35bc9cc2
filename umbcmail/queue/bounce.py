"""Delivery status notifications (RFC 3464), with the text for people first.  Pure.

`settlement` asks L{wants} who is to be told, and commits what L{bounceContent}
makes.  The text says what happened, to whom, why in plain words, what can be
done, and what the other side said itself.
"""

from __future__ import annotations

import re
import textwrap
import time
from dataclasses import dataclass
from email.utils import formatdate

from umbcmail.deliverby import parsed
from umbcmail.entry import Delivery
from umbcmail.envelope import Envelope, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import EXPIRED

FULL_LIMIT = 50_000
"""Octets up to which the whole message is returned unless only the header is
asked for (RFC 3461 section 4.3 leaves it to us)."""

_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[!-;=?-~]{1,250}>)", re.IGNORECASE | re.MULTILINE)

_CAUSES = {
    "1.1": "there is no such mailbox",
    "1.2": "the domain of the address does not exist",
    "1.3": "the address is not written correctly",
    "1.10": "the domain takes no mail at all",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the message is larger than the mailbox takes",
    "3.3": "the mail system there can't do what was asked for with the message",
    "3.4": "the message is larger than the mail system there takes",
    "4.1": "the mail host does not answer",
    "4.2": "the connection to the mail host broke down",
    "4.3": "the name servers for the domain do not answer",
    "4.4": "no host takes mail for the domain",
    "4.6": "the message goes round in circles",
    "4.7": "it could not be delivered in the time allowed",
    "5.3": "it has too many recipients",
    "6.7": "the mail system there can't take addresses of this kind",
    "7.1": "the mail system there refuses it by its rules",
}
_ADVICE = {
    "1": "Check how the address is written; somebody who knows the person may know a newer one.",
    "2": "Try again later, or reach the person in another way.",
    "3": "Send a smaller message, or put what is large where it can be fetched.",
    "3.3": "Send it again without a time limit or other special wishes.",
    "4": "If it matters, try again later; if it happens again, tell your postmaster.",
    "7": "The postmaster of the other side can say which rule it was.",
}


_SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "relayed": "Your message has been passed on",
    "delivered": "Your message has been delivered",
}
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told.

    @ivar id: of the notification.
    @ivar hostName: who tells it.
    @ivar action: C{"failed"}, C{"delayed"}, C{"relayed"} or C{"delivered"} (RFC 3464
        section 2.3.3).
    @ivar envelope: of the message that it is about.
    @ivar deliveries: whom it is about, with the last outcomes.
    @ivar now: seconds since 1970.
    @ivar until: until when it will be tried, seconds since 1970.
    """

    id: str
    hostName: str
    action: str
    envelope: Envelope
    deliveries: tuple[Delivery, ...]
    now: float
    until: float


def wants(recipient: Recipient, action: str, isTimed: bool = False) -> bool:
    """Whether the sender wants to hear of this (RFC 3461 section 5.2.6).

    @param isTimed: it has a time to be delivered by, so that passing it on is
        told of unless that is forbidden (RFC 2852 section 4.1.4).
    """
    words = recipient.notify.split(",")
    if isTimed and action == "relayed":
        return words != ["NEVER"]
    if action in ("relayed", "delivered"):
        return "SUCCESS" in words
    return not recipient.notify or ("FAILURE" if action == "failed" else "DELAY") in words


def bounceContent(report: Report, original: bytes, whole: bool) -> bytes:
    """The notification, header and body.

    @param original: the message, or its beginning with the header.
    @param whole: C{original} is all of it.
    """
    headerOnly = report.envelope.ret == "HDRS" or report.envelope.requireTLS  # RFC 8689 section 5
    # RFC 3461 section 4.3: RET is about failures; otherwise the header is enough.
    full = whole and report.action == "failed" and not headerOnly and len(original) <= FULL_LIMIT
    header = original.partition(b"\r\n\r\n")[0].rstrip(b"\r\n") + b"\r\n"
    returned = original if full else header
    boundary = f"{report.id}/{report.hostName}"
    encoding = "7bit" if returned.isascii() else "8bit"
    kind = "message/rfc822" if full else "text/rfc822-headers"
    if not header.isascii():  # RFC 6533 section 4
        kind = "message/global" if full else "message/global-headers"
    if returned and not returned.endswith(b"\r\n"):
        returned += b"\r\n"
    text = _forPeople(report)
    textEncoding = "7bit" if text.isascii() else "8bit"
    parts = (
        _header(report, header, boundary),
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {textEncoding}\r\n\r\n",
        text,
        f"\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n",
        _forPrograms(report),
        f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n",
    )
    return "".join(parts).encode() + returned + f"\r\n--{boundary}--\r\n".encode()


def _header(report: Report, original: bytes, boundary: str) -> str:
    """RFC 3464 section 2, RFC 3834 section 3.1.5 and 3.1.7."""
    found = _MESSAGE_ID.search(original)
    about = found[1].decode() if found else ""
    lines = [
        f"Received: by {report.hostName} (umbcmail) id {report.id};\r\n\t{formatdate(report.now)}",
        f"Date: {formatdate(report.now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{report.hostName}>",
        f"To: <{report.envelope.sender}>",
        f"Subject: {_SUBJECTS[report.action]}",
        f"Message-ID: <{report.id}@{report.hostName}>",
        f"References: {about}" if about else "",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    return "".join(f"{line}\r\n" for line in lines if line) + "\r\n"


# For people


def _forPeople(report: Report) -> str:
    sent = _dateText(report.envelope.arrived)
    if report.action == "failed":
        begin = f"The message that you sent on {sent} could not be delivered to:"
        end = "It will not be tried again. The message, or its header, is attached."
    elif report.action == "relayed":
        begin = f"The message that you sent on {sent} has been passed on, as you asked to be told, for:"
        end = "The mail system there does not tell of deliveries, so this is the last that you hear if all goes well."
        if report.envelope.deliverBy:
            end = "You may hear no more of it if all goes well."
    elif report.action == "delivered":
        begin = f"The message that you sent on {sent} has been delivered, as you asked to be told, to:"
        end = "You need not do anything."
    else:
        begin = f"The message that you sent on {sent} has not been delivered yet to:"
        end = (
            f"You need not do anything: it will be tried until {_dateText(report.until)}. "
            "You will be told if it can't be delivered then."
        )
    paragraphs = [f"This is the mail system of {report.hostName}.", begin]
    text = "".join(_wrapped(paragraph) + "\r\n" for paragraph in paragraphs)
    text += "".join(_person(delivery) for delivery in report.deliveries)
    return text + _wrapped(end)


def _person(delivery: Delivery) -> str:
    """One recipient: why, what to do, and what the other side said."""
    outcome = delivery.outcome
    lines = f"  <{delivery.recipient.address}>\r\n"
    if outcome is not None and not outcome.isSent:
        cause = _cause(outcome)
        if cause:
            lines += _wrapped(f"Why: {cause}.", "    ")
        lines += _wrapped(_said(outcome), "    ")
        lines += "".join(_wrapped(line, "      ") for line in str(outcome.reply).splitlines())
        code = outcome.reply.enhanced[2:]
        advice = _ADVICE.get(code) or _ADVICE.get(code.partition(".")[0])
        if advice:
            lines += _wrapped(advice, "    ")
    return lines + "\r\n"


def _cause(outcome: Outcome) -> str:
    return _CAUSES.get(outcome.reply.enhanced[2:], "")


def _said(outcome: Outcome) -> str:
    if outcome.remote:
        return f"The mail host {outcome.host} said, in answer to {outcome.command}:"
    if outcome.host:
        return f"What happened at {outcome.host}:"
    return "What happened:"


def _wrapped(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(
        text, 76, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"{line}\r\n" for line in lines)


def _dateText(seconds: float) -> str:
    return time.strftime("%d %B %Y at %H:%M UTC", time.gmtime(seconds)).lstrip("0")


# For programs


def _forPrograms(report: Report) -> str:
    """RFC 3464 section 2.2 and 2.3, RFC 2852.  Always 7-bit."""
    envelope = report.envelope
    by = parsed(envelope.deliverBy)
    message = [
        f"Reporting-MTA: dns; {report.hostName}",
        f"Original-Envelope-Id: {_decoded(envelope.envid)}" if envelope.envid else "",
        f"Arrival-Date: {formatdate(envelope.arrived)}",
        f"Deliver-By-Date: {formatdate(by.until)}" if by is not None else "",
    ]
    blocks = [message, *(_recipientFields(report, delivery) for delivery in report.deliveries)]
    return "\r\n".join("".join(_folded(field) for field in block if field) for block in blocks)


def _recipientFields(report: Report, delivery: Delivery) -> list[str]:
    recipient = delivery.recipient
    outcome = delivery.outcome or Outcome(EXPIRED)
    answer = outcome.reply
    host = outcome.host.partition("[")[0]
    return [
        f"Original-Recipient: {_original(recipient.orcpt)}" if recipient.orcpt else "",
        f"Final-Recipient: {_typed(recipient.address)}",
        f"Action: {report.action}",
        f"Status: {answer.enhanced or f'{answer.code // 100}.0.0'}",
        f"Remote-MTA: dns; {host}" if host and not host.startswith("unix:") else "",
        f"Diagnostic-Code: {'smtp' if outcome.remote else 'x-umbcmail'}; {answer}",
        f"Last-Attempt-Date: {formatdate(report.now)}",
        f"Will-Retry-Until: {formatdate(report.until)}" if report.action == "delayed" else "",
    ]


def _decoded(xtext: str) -> str:
    """RFC 3461 section 4; printable ASCII only, whatever comes out."""
    text = _XTEXT.sub(lambda found: chr(int(found[1], 16)), xtext)
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def _original(orcpt: str) -> str:
    """RFC 3464 section 2.3.1: the address is not xtext here; a type beyond ASCII
    keeps its own escapes (RFC 6533 section 3)."""
    kind, _, address = orcpt.partition(";")
    address = "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)
    return f"{_decoded(kind)}; {_decoded(address)}"


def _typed(address: str) -> str:
    """RFC 6533 section 3: what is not ASCII is written as C{\\x{E9}}."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _folded(field: str) -> str:
    """A field in lines of at most 76 octets where it has blanks to fold at."""
    text = field.encode("ascii", "replace").decode()
    lines = textwrap.wrap(text, 76, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "".join(f"{line}\r\n" for line in lines)
