"""The addresses of this host, as the kernel knows them now (Linux, rtnetlink(7)).

Nobody may relay because of an address that is our own: L{umbcmail.drac.admission} asks
for them at the start and from time to time.  It takes one question to the kernel, and
needs no privileges.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_GET_ADDRESSES = 22
_NEW_ADDRESS = 20
_DONE = 3
_DUMP = 0x301
_LOCAL_KINDS = (1, 2, 4)
"""IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST."""
_HEAD = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")


def ownAddresses() -> frozenset[str]:
    """All addresses of all interfaces, broadcast addresses too.

    @raise OSError: the kernel does not say.
    """
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(2.0)
        kernel.sendto(_HEAD.pack(_HEAD.size + 8, _GET_ADDRESSES, _DUMP, 1, 0) + bytes(8), (0, 0))
        while True:
            isLast, addresses = addressesOf(kernel.recv(65536))
            found.update(addresses)
            if isLast:
                return frozenset(found)


def addressesOf(octets: bytes) -> tuple[bool, list[str]]:
    """What is in one answer of the kernel.

    @return: whether it is the last, or makes no sense, and the addresses in it.
    """
    found: list[str] = []
    at = 0
    while at + _HEAD.size <= len(octets):
        length, kind, _, _, _ = _HEAD.unpack_from(octets, at)
        if kind != _NEW_ADDRESS or length < _HEAD.size + _ADDRESS.size:
            return True, found
        found += _attributes(octets[at + _HEAD.size : at + length])
        at += length + -length % 4
    return False, found


def _attributes(octets: bytes) -> Iterator[str]:
    if len(octets) < _ADDRESS.size:
        return
    family = octets[0]
    at = _ADDRESS.size
    while at + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        if length < _ATTRIBUTE.size:
            return
        value = octets[at + _ATTRIBUTE.size : at + length]
        if kind in _LOCAL_KINDS and (family, len(value)) in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            yield socket.inet_ntop(family, value)
        at += length + -length % 4
