"""The words that a filter has for a client, as a reply of ours.  Pure."""

from __future__ import annotations

import re

from umbcmail import reply
from umbcmail.filter.codec import MilterError
from umbcmail.reply import Reply

LINES = 32
"""Lines of a reply; more are left out."""
LINE_LIMIT = 480
"""Octets of a line, RFC 5321 section 4.5.3.1.5."""

_LINE = re.compile(r"([45][0-9]{2})(?:([ -])(?:([0-9]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?", re.DOTALL)
_PERCENT = re.compile("%(%?)")
_UNSAFE = re.compile("[^ -~]")


def replyOf(text: bytes) -> Reply:
    """What C{550 5.7.1 text} says, maybe with several lines.

    The enhanced code may be missing.  Where lines disagree, or a code is not of its
    class, the usual words are taken for the first digit.

    @raise MilterError: it is no refusal.
    """
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines[0][:1] not in ("4", "5"):
        raise MilterError(f"{text[:40]!r} is no reply that refuses")
    usual = reply.FILTER_LATER if lines[0][0] == "4" else reply.FILTER_REFUSES
    found = [_LINE.fullmatch(line) for line in lines]
    first = found[0]
    if first is None:
        return usual
    code, enhanced = first[1], first[3] or ""
    words = []
    for at, line in enumerate(found, 1):
        if line is None or line[1] != code or (line[3] or enhanced) != enhanced:
            return usual
        if at < len(found) and line[2] != "-":
            return usual
        words.append(_UNSAFE.sub("?", _PERCENT.sub(r"\1", line[4] or ""))[:LINE_LIMIT])
    if enhanced and enhanced[0] != code[0]:
        return usual
    return Reply(int(code), enhanced, tuple(words[:LINES]))
