"""The module C{pattern}: finds the test strings EICAR and GTUBE, so that one can see mail
being filtered without a daemon.  It is no scanner: it finds nothing else.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from zope.interface import implementer

from umbcmail.examination import Action, Examined, Opinion, Rank
from umbcmail.interfaces import IContent, IModule
from umbcmail.options import Option

OPTIONS: tuple[Option, ...] = ()

LIMIT = 1024 * 1024
"""Octets of a message that are looked at."""

# In pieces, so that scanners don't find them here.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/=]{4,200}\r?\n)*[A-Za-z0-9+/=]{4,200}")


def looks(octets: bytes) -> Iterator[bytes]:
    """What some octets may mean: as they are, as quoted-printable, as base64."""
    yield octets
    if b"=" in octets:
        yield binascii.a2b_qp(octets)
    for block in _BASE64.finditer(octets):
        if len(block[0]) >= 64:
            try:
                yield binascii.a2b_base64(block[0])
            except binascii.Error:
                continue


@implementer(IModule)
class Pattern:
    """The module."""

    mark = "X-Virus-Status"
    claims = (b"x-virus-", b"x-spam-")

    def examine(self, examined: Examined) -> Deferred[Opinion]:
        """See L{IModule.examine}."""
        data = examined.content.data
        octets = succeed(data[:LIMIT]) if data is not None else _beginning(examined.content)
        return octets.addCallback(self._found)

    def _found(self, octets: bytes) -> Opinion:
        for look in looks(octets):
            if EICAR in look:
                return Opinion(Rank.VIRUS, Action.REFUSE, "EICAR", "Message infected: EICAR")
            if GTUBE in look:
                return Opinion(Rank.SPAM, Action.REFUSE, "GTUBE", "This is spam: GTUBE", 1000.0)
        return Opinion(headers=(("X-Virus-Status", "Unknown, only looked at for test strings"),))


@inlineCallbacks
def _beginning(content: IContent) -> Any:
    """@return: L{Deferred} of the first octets."""
    reader, octets = content.open(), b""
    try:
        while len(octets) < LIMIT and (piece := (yield reader.read())):
            octets += piece
    finally:
        reader.close()
    return octets[:LIMIT]


def make(settings: Mapping[str, Any], tools: Any) -> Pattern:
    """The module; see L{umbcmail.interfaces.IPart.make}."""
    return Pattern()
