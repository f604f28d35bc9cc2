"""The options of the role C{drac}: who may tell us, by which addresses and ports."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from umbcmail.options import BOOLEAN, NETWORK, PATH, Kind, Option, Section, choice, duration, integer, listOf, word

DAY = 86400


def addressPort(value: Any) -> tuple[str, int]:
    """An IP address, maybe with a port: C{192.0.2.1}, C{192.0.2.1:20101}, C{2001:db8::1},
    C{[2001:db8::1]:20101}.  @return: address, and port or 0."""
    text = word(value)
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?", text)
    host, port = (found[1] or found[2], int(found[3] or 0)) if found else (text, 0)
    if found and found[3] and not 0 < port < 65536:
        raise ValueError(f"{port} is not a port number")
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not an IP address, or address:port") from None


ADDRESS_PORT = Kind("an IP address, or address:port, [v6 address]:port", addressPort)

DRAC = Section(
    "drac",
    "POP and IMAP hosts tell us by Sun RPC who has logged in, from where (POP-before-SMTP).",
    (
        Option("listen", listOf(ADDRESS_PORT), [], "Where to listen, address or address:port; with none, not at all."),
        Option("port", integer(1, 65535), 20101, "Port of those without one."),
        Option("transports", listOf(choice("udp", "tcp"), 1), ["udp", "tcp"], "How clients may call."),
        Option("rpcbind", BOOLEAN, True, "Register with rpcbind, so that clients find the port."),
        Option("rpcbind-interval", duration(1, DAY), "1m", "Time between two looks whether rpcbind knows us still."),
        Option("clients", listOf(NETWORK), [], "Networks whose hosts may add addresses; with none nobody may."),
        Option("allow-file", PATH, None, "A dracd.allow with more of them; it is read again when it has changed."),
        Option("reserved-ports", BOOLEAN, False, "Clients must call from a port below 1024, as root does."),
        Option("unlisted", choice("refuse", "ignore"), "refuse", "What others get: permission denied, or nothing."),
        Option("never", listOf(NETWORK), [], "Addresses that are never added: load balancers, gateways, proxies."),
        Option("lifetime", duration(1, DAY), "30m", "How long an address may relay after it has been added."),
        Option("entries-per-client", integer(0), 20000, "New addresses that a client may add in a lifetime; 0: any."),
        Option("entries", integer(0), 200000, "New addresses that all clients may add in a lifetime; 0: any."),
        Option("deadline", duration(0.1, 20), "4s", "Time after which a client is told of a system error."),
        Option("connections", integer(1), 100, "TCP connections at the same time."),
        Option("idle", duration(1), "5m", "Time without a call after which a TCP connection is closed."),
        Option("notify", listOf(ADDRESS_PORT), [], "Other servers of DRAC that are told of each add."),
    ),
)
