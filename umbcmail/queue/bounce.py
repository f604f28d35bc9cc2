"""Delivery status notifications (RFC 3464), with the text for people first.  Pure.

`settlement` commits what L{bounceContent} makes of a L{Report}.  The part for
programs and the returned message are labelled by what is in them (RFC 6533); where
the recipient's address is ASCII all but the returned message and the text is 7-bit.
"""

from __future__ import annotations

import re
import textwrap
from email.utils import formatdate

from umbcmail.deliverby import parsed
from umbcmail.entry import Delivery
from umbcmail.queue.bouncetext import textForPeople, words
from umbcmail.queue.report import FULL_LIMIT, Report, ownReason, wants

__all__ = ["FULL_LIMIT", "Report", "bounceContent", "wants"]

DIAGNOSTIC = 2000
"""Characters of a reply that are told to programs: four lines of the greatest length, RFC 5321 section 4.5.3.1.5."""
LINE = 900
"""Characters of a field that can't be folded; RFC 5322 section 2.1.1 has 998."""

_ID = rb"<[!-;=?-~]{1,250}>"
_MESSAGE_ID = re.compile(rb"^message-id:\s*(" + _ID + rb")", re.IGNORECASE | re.MULTILINE)
_REFERENCES = re.compile(rb"^references:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_IDS = re.compile(_ID)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_SUBJECTS = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "relayed": "Your message has been passed on",
    "delivered": "Your message has been delivered",
    "expanded": "Your message has been delivered",
}


def bounceContent(report: Report, original: bytes, whole: bool) -> bytes:
    """The notification, header and body.

    @param original: the message, or its beginning with the header.
    @param whole: C{original} is all of it.
    """
    returned, kind, header = _returned(report, original, whole)
    boundary = f"{report.id}/{report.hostName}"
    while boundary.encode() in returned:
        boundary += "="
    status = "message/global-delivery-status" if report.isWide else "message/delivery-status"
    parts = (
        _part(boundary, "text/plain; charset=utf-8", textForPeople(report).encode()),
        _part(boundary, status, _forPrograms(report)),
        _part(boundary, kind, returned),
        f"--{boundary}--\r\n".encode(),
    )
    body = b"".join(parts)
    return _header(report, header, boundary, body.isascii()).encode() + body


def _part(boundary: str, kind: str, body: bytes) -> bytes:
    encoding = "7bit" if body.isascii() else "8bit"
    head = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body + b"\r\n"


def _returned(report: Report, original: bytes, whole: bool) -> tuple[bytes, str, bytes]:
    """What comes back of the message, its type, and the message's header."""
    headerOnly = report.envelope.ret == "HDRS" or report.envelope.requireTLS  # RFC 8689 section 5
    # RFC 3461 section 4.3: RET is about failures; otherwise the header is enough.
    full = whole and report.action == "failed" and not headerOnly and len(original) <= report.limit
    header, end, _ = original.partition(b"\r\n\r\n")
    if not end and not whole:
        header = header[: header.rfind(b"\r\n") + 1]
    header = header.rstrip(b"\r\n") + b"\r\n"
    returned = original if full else header
    kind = "message/rfc822" if full else "text/rfc822-headers"
    if not header.isascii() and _isUTF8(header):
        # RFC 6533 section 4.  A header in another charset is no message/global, which is UTF-8 by its definition
        # (RFC 6532 section 3.7): octets of unknown meaning come back as they were sent.
        kind = "message/global" if full else "message/global-headers"
    if returned and not returned.endswith(b"\r\n"):
        returned += b"\r\n"
    return returned, kind, header


def _isUTF8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _header(report: Report, original: bytes, boundary: str, isASCII: bool) -> str:
    """RFC 3464 section 2, RFC 3834 section 3.1.  It answers the message in all cases,
    so it is never C{auto-generated} (RFC 3834 section 5)."""
    found = _MESSAGE_ID.search(original)
    about = found[1].decode() if found else ""
    lines = [
        f"Received: by {report.hostName} (umbcmail) id {report.id};\r\n\t{formatdate(report.now)}",
        f"Date: {formatdate(report.now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{report.hostName}>",
        f"To: <{report.envelope.sender}>",
        f"Subject: {_SUBJECTS[report.action]}",
        f"Message-ID: <{report.id}@{report.hostName}>",
        f"In-Reply-To: {about}" if about else "",
        f"References: {_references(original, about)}" if about else "",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        "" if isASCII else "Content-Transfer-Encoding: 8bit",
    ]
    return "".join(f"{line}\r\n" for line in lines if line) + "\r\n"


def _references(original: bytes, about: str) -> str:
    """RFC 5322 section 3.6.4, in 998 octets: the first of the thread and the last ones."""
    found = _REFERENCES.search(original)
    ids = [id.decode() for id in _IDS.findall(found[1])] if found else []
    ids = [id for id in ids if id != about]
    while ids and len(about) + sum(len(id) + 3 for id in ids) > LINE:
        del ids[1 if len(ids) > 1 else 0]
    return "\r\n\t".join([*ids, about])


# For programs


def _forPrograms(report: Report) -> bytes:
    """RFC 3464 sections 2.2 and 2.3, RFC 2852, RFC 6533.  7-bit, but in a notification
    that goes by SMTPUTF8."""
    envelope, client = report.envelope, report.envelope.client
    by = parsed(envelope.deliverBy)
    address = f" ([{client.address}])" if client.address else ""
    message = [
        f"Original-Envelope-Id: {_decoded(envelope.envid)}" if envelope.envid else "",
        f"Reporting-MTA: dns; {report.hostName}",
        f"Received-From-MTA: dns; {client.helo}{address}" if client.helo else "",
        f"Arrival-Date: {formatdate(envelope.arrived)}",
        f"Deliver-By-Date: {formatdate(by.until)}" if by is not None else "",
    ]
    blocks = [message, *(_recipientFields(report, delivery) for delivery in report.deliveries)]
    encoding = "utf-8" if report.isWide else "ascii"
    return "\r\n".join("".join(_folded(field) for field in block if field) for block in blocks).encode(
        encoding, "replace"
    )


def _recipientFields(report: Report, delivery: Delivery) -> list[str]:
    recipient, outcome = delivery.recipient, delivery.outcome
    own = ownReason(report, delivery)
    said = own if outcome is None else outcome.reply
    reason = own or said
    assert said is not None and reason is not None
    remote = _remoteMTA(outcome.host) if outcome is not None else ""
    kind = "smtp" if outcome is not None and outcome.remote else "x-umbcmail"
    original = _original(recipient.orcpt, report.isWide) if recipient.orcpt else ""
    return [
        f"Original-Recipient: {original}" if 0 < len(original) < LINE else "",
        f"Final-Recipient: {_typed(recipient.address, report.isWide)}",
        f"Action: {report.action}",
        f"Status: {reason.enhanced or f'{reason.code // 100}.0.0'}",
        f"Remote-MTA: dns; {remote}" if remote else "",
        f"Diagnostic-Code: {kind}; {(str(own) if outcome is None else words(outcome))[:DIAGNOSTIC]}",
        f"Last-Attempt-Date: {formatdate(delivery.at)}" if delivery.at else "",
        f"Will-Retry-Until: {formatdate(report.until)}" if report.action == "delayed" else "",
    ]


def _remoteMTA(host: str) -> str:
    """The name of a next hop, or its address in brackets; C{""} for a socket."""
    if host.startswith("unix:"):
        return ""
    name, _, rest = host.partition("[")
    if name and name == rest.partition("]")[0]:
        return f"[IPv6:{name}]" if ":" in name else f"[{name}]"
    return name


def _decoded(xtext: str) -> str:
    """RFC 3461 section 4; printable ASCII only, whatever comes out."""
    return "".join(c if " " <= c <= "~" else "?" for c in _XTEXT.sub(_octet, xtext))


def _octet(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _original(orcpt: str, isWide: bool) -> str:
    """RFC 3464 section 2.3.1: the address is not xtext here; a type beyond ASCII
    keeps its own escapes (RFC 6533 section 3)."""
    kind, _, address = orcpt.partition(";")
    if isWide and kind.lower() == "utf-8":
        return f"utf-8; {''.join(c if c.isprintable() else '?' for c in _XTEXT.sub(_octet, address))}"
    return f"{_decoded(kind)}; {_decoded(_escaped(address))}"


def _escaped(address: str) -> str:
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _typed(address: str, isWide: bool) -> str:
    """RFC 6533 section 3: what is not ASCII is written as C{\\x{E9}} where only ASCII
    can stand."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + (address if isWide else _escaped(address))


def _folded(field: str) -> str:
    """A field in lines of at most 76 octets where it has blanks to fold at."""
    lines = textwrap.wrap(field, 76, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)
    return "".join(f"{line}\r\n" for line in lines)
