"""What an address means on the host where its mailbox is: the user, the detail, and
the fields that a delivery puts on top of a message; pure.

Used by who delivers into mailboxes: the courier C{maildir}, the role C{lda}.
"""

from __future__ import annotations

import re

_PAIR = re.compile(r"\\(.)")
_CONTROL = re.compile("[\\x00-\\x1f\\x7f]")
_DELIVERED_TO = re.compile(rb"^delivered-to[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\n\r?\n")
_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def userOf(address: str, delimiter: str, lowerCase: bool) -> str:
    """The user that an address names.

    @param address: as in L{umbcmail.envelope.Recipient.address}.
    @param delimiter: what begins a detail (C{user+detail}, RFC 5233); C{""}: there are none.
    @param lowerCase: make ASCII letters lower case.  Others stay: case mapping
        of Unicode makes one name of two.
    """
    return userAndDetail(address, delimiter, lowerCase)[0]


def userAndDetail(address: str, delimiter: str, lowerCase: bool) -> tuple[str, str]:
    """The same, and the detail as it was written, C{""} where there is none."""
    local, detail = address.rpartition("@")[0] if "@" in address else address, ""
    if len(local) > 1 and local[0] == local[-1] == '"':
        local = _PAIR.sub(r"\1", local[1:-1])
    if delimiter and local.find(delimiter) > 0:
        local, _, detail = local.partition(delimiter)
    return local.translate(_LOWER) if lowerCase else local, detail


def isPrintable(text: str) -> bool:
    """Whether it has no control characters, which would end a header field."""
    return not _CONTROL.search(text)


def deliveryFields(sender: str, recipient: str, end: str) -> bytes:
    """The fields for the copy of one recipient (RFC 5321 section 4.4).

    @param recipient: its address, which L{isPrintable}.
    @param end: of a line.
    """
    fields = f"Return-Path: <{_CONTROL.sub('?', sender)}>{end}Delivered-To: {recipient}{end}"
    return fields.encode("utf-8", "replace")


def deliveredTo(start: bytes) -> set[str]:
    """The addresses that a message has been delivered to before, in lower case.

    @param start: the beginning of the message, with the header; lines end with LF or CRLF.
    """
    end = _HEADER_END.search(start)
    header = start if end is None else start[: end.start()]
    return {found.strip().decode("utf-8", "replace").lower() for found in _DELIVERED_TO.findall(header)}
