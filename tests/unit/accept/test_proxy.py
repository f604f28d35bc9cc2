"""L{umbcmail.accept.proxy}: bytes of a balancer as values."""

from __future__ import annotations

import socket
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.proxy import BLOCK_LIMIT, ProxyError, ProxyHeader, parseProxy

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def block(command: int, family: int, body: bytes) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


def v4(source: str, port: int, more: bytes = b"") -> bytes:
    """The same for IPv4."""
    addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.99")
    return block(1, 0x11, addresses + struct.pack("!HH", port, 25) + more)


def v6(source: str, port: int, more: bytes = b"") -> bytes:
    """The same for IPv6."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::1")
    return block(1, 0x21, addresses + struct.pack("!HH", port, 25) + more)


GOOD = (
    (b"PROXY TCP4 192.0.2.7 192.0.2.99 4711 25\r\n", "192.0.2.7", 4711),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535),
    (b"PROXY TCP6 2001:DB8:0:0::7 ::1 1 25\r\n", "2001:db8::7", 1),
    (b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n", "ffff:" * 7 + "ffff", 65535),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", "", 0),
    (v4("192.0.2.7", 4711), "192.0.2.7", 4711),
    (v4("192.0.2.7", 4711, b"\x04\x00\x03abc"), "192.0.2.7", 4711),
    (v6("2001:db8::7", 65535, b"\x03\x00\x04abcd" * 100), "2001:db8::7", 65535),
    (v6("::ffff:192.0.2.7", 9), "192.0.2.7", 9),
    (block(0, 0x00, b""), "", 0),
    (block(0, 0x11, b"x" * 12), "", 0),
    (block(0, 0xFF, b"xyz"), "", 0),
    (block(1, 0x00, b"any" * 9), "", 0),
    (block(1, 0x31, b"/run/a".ljust(216, b"\0")), "", 0),
)

BAD = (
    b"EHLO c.test\r\n",
    b"PROXY\r\n",
    b"proxy TCP4 192.0.2.7 192.0.2.99 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 1 2 3\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 1\r\n",
    b"PROXY TCP4  192.0.2.7 192.0.2.99 1 2\r\n",
    b"PROXY TCP4 192.0.2.07 192.0.2.99 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 192.0.2.99 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 65536 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 01 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 -1 2\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 1 2\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.99 1 2\rx\r\n",
    b"PROXY UNKNOWN x\rx\r\n",
    b"PROXY UNKNOWN x\nx\r\n",
    b"PROXY UDP4 192.0.2.7 192.0.2.99 1 2\r\n",
    "PROXY TCP4 192.0.2.7 192.0.2.99 \u0661 2\r\n".encode(),
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY " + b"x" * 200,
    b"\r\n\r\n\x00\r\nQUIT\r",
    SIGNATURE + b"\x11\x11\x00\x0c" + b"x" * 12,
    SIGNATURE + b"\x22\x11\x00\x0c" + b"x" * 12,
    block(1, 0x11, b"x" * 11),
    block(1, 0x21, b"x" * 35),
    block(1, 0x31, b"x" * 215),
    block(1, 0x12, b"x" * 12),
    block(1, 0x01, b""),
    block(1, 0x41, b"x" * 300),
    SIGNATURE + b"\x21\x11" + struct.pack("!H", BLOCK_LIMIT + 1),
)


def fed(data: bytes) -> tuple[ProxyHeader | None, int]:
    """The result of octets that come one by one, and after how many it is there."""
    for size in range(1, len(data) + 1):
        found = parseProxy(data[:size])
        if found is not None:
            return found, size
    return None, len(data)


class ProxyTests(SynchronousTestCase):
    """Both versions."""

    def test_good(self) -> None:
        """Address and port are the source's; the header ends where it ends, and not
        before all of it is there; what follows does not matter."""
        for data, address, port in GOOD:
            expected = ProxyHeader(address, port, len(data))
            self.assertEqual(parseProxy(data), expected, data)
            self.assertEqual(parseProxy(data + b"EHLO c\r\n"), expected, data)
            self.assertEqual(fed(data + b"PROXY"), (expected, len(data)), data)

    def test_bad(self) -> None:
        """What is no header is an error, whether it comes at once or in pieces."""
        for data in BAD:
            self.assertRaises(ProxyError, parseProxy, data)
            self.assertRaises(ProxyError, fed, data)

    def test_noWaiting(self) -> None:
        """The first octet that can't be is an error."""
        for data in (b"E", b"PROXX", b"PROXY\t", b"\r\n\r\n\x00\r\nQUIT\r", SIGNATURE + b"\x31"):
            self.assertRaises(ProxyError, parseProxy, data)
        self.assertIsNone(parseProxy(b""))

    @settings(max_examples=300, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=150).map(lambda rest: b"PROXY " + rest),
            st.builds(lambda c, f, n, rest: SIGNATURE + bytes((0x20 + c, f)) + n.to_bytes(2) + rest,
                      st.integers(0, 3), st.integers(0, 255), st.integers(0, 300), st.binary(max_size=300)),
            st.builds(lambda good, at, octet: good[0][:at] + bytes((octet,)) + good[0][at + 1 :],
                      st.sampled_from(GOOD), st.integers(0, 60), st.integers(0, 255)),
        )
    )  # fmt: skip
    def test_anything(self, data: bytes) -> None:
        """Any octets give a header within them, an error, or a wish for more; in pieces
        the same as at once."""
        try:
            whole = parseProxy(data)
        except ProxyError:
            self.assertRaises(ProxyError, fed, data)
            return
        found, size = fed(data)
        self.assertEqual(found, whole)
        if whole is not None:
            self.assertEqual(size, whole.length)
            self.assertTrue(0 <= whole.port < 65536)
