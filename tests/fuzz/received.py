"""Hops: L{umbcmail.accept.received.countReceived}, against a reader field by field."""

from __future__ import annotations

import re

from umbcmail.accept.received import countReceived

SEEDS = [
    b"Received: a\r\n\tby b\r\nreceived : c\r\nX: y\r\n\r\nReceived: d\r\n",
    b"RECEIVED:\r\nReceived\r\nX: Received: y\r\n Received: z\r\n",
]


def check(data: bytes) -> None:
    """As many as there are fields of the name before the first empty line."""
    header = data.partition(b"\r\n\r\n")[0]
    # Lines here end with LF: a bare one is refused elsewhere, or mended.
    lines = header.split(b"\n")
    expected = sum(re.match(rb"received[ \t]*:", line, re.IGNORECASE) is not None for line in lines)
    assert countReceived(data) == expected
