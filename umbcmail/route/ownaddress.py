"""Is an IP address one of this host?

Asked for every address that an MX record leads to, so that mail that would come
back to us is found before it is sent.  The kernel is asked, by binding a socket,
so that addresses that come and go (a cluster's) are known without a setting.
"""

from __future__ import annotations

import socket

_FOREIGN = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that no host has (RFC 5737, RFC 3849)."""


def isOwnAddress(address: str) -> bool:
    """Whether this host has an address.

    @param address: IPv4 or IPv6 as text.
    @return: C{False} also where it can't be told: where the kernel lets a
        program bind any address (C{net.ipv4.ip_nonlocal_bind}).
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return _binds(family, address) and not _binds(family, _FOREIGN[family])


def _binds(family: int, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as door:
            door.bind((address, 0))
    except OSError:
        return False
    return True
