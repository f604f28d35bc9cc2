"""PROXY headers: L{umbcmail.accept.proxy}."""

from __future__ import annotations

import ipaddress

from umbcmail.accept.proxy import BLOCK_LIMIT, ProxyError, ProxyHeader, parseProxy

_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
SEEDS = [
    b"PROXY TCP4 192.0.2.1 198.51.100.1 1000 25\r\nEHLO x\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 65535 0\r\n",
    b"PROXY UNKNOWN whatever\r\nX",
    _V2 + b"\x21\x11\x00\x0c" + bytes(12) + b"EHLO",
    _V2 + b"\x21\x21\x00\x28" + bytes(40),
    _V2 + b"\x20\x00\x00\x00",
]


def check(data: bytes) -> None:
    """A beginning is undecided or says what the whole says; the rest of a
    connection never changes what is known."""
    decided: ProxyHeader | str | None = None
    for end in [*range(min(len(data), 260)), len(data)]:
        try:
            found = parseProxy(data[:end])
        except ProxyError as why:
            found = str(why)  # type: ignore[assignment]
        if isinstance(decided, ProxyHeader):
            assert found == decided
        elif isinstance(decided, str):
            assert isinstance(found, str)
        decided = found
        if isinstance(found, ProxyHeader):
            assert 0 < found.length <= end and 0 <= found.port <= 65535
            assert not found.address or ipaddress.ip_address(found.address)
    if decided is None:
        assert len(data) < 16 + BLOCK_LIMIT, "memory is bounded"
