"""The Received field that we put on top of a message (RFC 5321 section 4.4)."""

from __future__ import annotations

import re
import time

from umbcmail.envelope import Envelope

_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(r"[^!-~]|[()\\]")

_lastDate = (-1, "")


def dateText(seconds: float) -> str:
    """A date and time as in RFC 5322 section 3.3, in UTC.  Made anew once a
    second, since every message needs one."""
    global _lastDate
    whole = int(seconds)
    if _lastDate[0] != whole:
        t = time.gmtime(whole)
        text = (
            f"{_DAYS[t.tm_wday]}, {t.tm_mday:02d} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} +0000"
        )
        _lastDate = (whole, text)
    return _lastDate[1]


def protocolName(envelope: Envelope) -> str:
    """The C{with} keyword (RFC 3848, RFC 6531 section 4.3)."""
    client = envelope.client
    if not client.esmtp:
        return "SMTP"
    base = "UTF8SMTP" if envelope.smtputf8 else "ESMTP"
    return base + ("S" if client.tls else "") + ("A" if client.login else "")


def receivedField(envelope: Envelope, hostName: str) -> bytes:
    """The field, with CRLF.  C{for} is there for a single recipient only, so that
    nobody learns of the others.  Programs of this host are named by their user alone."""
    client = envelope.client
    only = f"\r\n\tfor <{envelope.recipients[0].address}>" if len(envelope.recipients) == 1 else ""
    if not client.address and client.login:
        login = _UNSAFE.sub("?", client.login)
        return (
            f"Received: by {hostName} (umbcmail, from user {login}) id {envelope.id}{only};\r\n"
            f"\t{dateText(envelope.arrived)}\r\n"
        ).encode()
    helo = _UNSAFE.sub("?", client.helo)
    literal = f"IPv6:{client.address}" if ":" in client.address else client.address or "unknown"
    name = f"{client.name} " if client.name else ""
    tls = f"\r\n\t({client.tls})" if client.tls else ""
    return (
        f"Received: from {helo} ({name}[{literal}])\r\n"
        f"\tby {hostName} with {protocolName(envelope)} id {envelope.id}{tls}{only};\r\n"
        f"\t{dateText(envelope.arrived)}\r\n"
    ).encode()


def countReceived(beginning: bytes) -> int:
    """How many hosts a message has passed, by the Received fields of its header.

    @param beginning: the message from its first octet; what stands behind the
        header does not count.
    """
    end = beginning.find(b"\r\n\r\n")
    return len(_RECEIVED.findall(beginning, 0, end if end >= 0 else len(beginning)))
