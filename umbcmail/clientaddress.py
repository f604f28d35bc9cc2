"""IP addresses of clients, brought into one form at the door.

The same client must look the same to every rule, count and log line, however the
kernel reports it: IPv4-mapped IPv6 addresses become IPv4, scopes go away.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def clientAddress(text: str) -> str:
    """The shortest form of an address.

    @param text: IPv4 or IPv6, with or without a scope (C{fe80::1%eth0}).
    @return: an IPv4-mapped address as IPv4; what is no address, unchanged.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=4096)
def networkOf(address: str) -> str:
    """The network that a client counts for: its /24, or /64 of IPv6; what is no
    address stands for itself."""
    try:
        prefix = 64 if ":" in address else 24
        return str(ipaddress.ip_network((address, prefix), strict=False))
    except ValueError:
        return address
