"""XCLIENT: L{umbcmail.accept.xclient}, and what comes of it in our Received field."""

from __future__ import annotations

import ipaddress
import re

from umbcmail.accept.grammar import CommandError, splitLine
from umbcmail.accept.received import receivedField
from umbcmail.accept.xclient import introduced
from umbcmail.envelope import Client, Envelope, Recipient

SEEDS = [
    b"XCLIENT ADDR=192.0.2.1 NAME=a.test PORT=25 PROTO=ESMTP HELO=c.test LOGIN=ann+40y.test",
    b"XCLIENT addr=IPv6:2001:db8::1 name=[UNAVAILABLE] helo=[TEMPUNAVAIL]",
]


def check(data: bytes) -> None:
    """A client that can stand in a header, or L{CommandError}."""
    try:
        _, argument = splitLine(data)
        client = introduced(Client("192.0.2.9", 1, "c.test"), argument)
    except CommandError:
        return
    assert not client.address or ipaddress.ip_address(client.address)
    envelope = Envelope("id", "s@z.test", (Recipient("x@y.test"),), 0.0, client)
    field = receivedField(envelope, "mx.y.test")
    assert re.fullmatch(rb"Received: [^\r\n]*(?:\r\n\t[^\r\n]*)*\r\n", field), field
    assert field.isascii() or client.login or client.name
