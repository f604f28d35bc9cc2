"""What clamd is told and says: clamd(8).  Pure.

Commands begin with C{z} and end with a NUL, and so do replies.  What can't be read is an
error, and never a message without virus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import mktime, strptime

from umbcmail.examination import ModuleError

SCAN = b"zINSTREAM\0"
END = bytes(4)
VERSION = b"zVERSION\0"

_FOUND = re.compile(r"(?:stream|instream\(local\)): (\S.*) FOUND")
_VERSION = re.compile(r"ClamAV ([^/\s]+)(?:/([0-9]+)(?:/(.+))?)?")


def chunk(octets: bytes) -> bytes:
    """A piece of what is to be scanned, not empty."""
    return len(octets).to_bytes(4, "big") + octets


def foundIn(reply: bytes) -> str:
    """The name of a virus, C{""}: there is none.

    @raise ModuleError: the reply says neither.
    """
    if not reply.endswith(b"\0"):
        # The rest may be missing.
        raise ModuleError(f"no whole reply: {_shown(reply)}")
    text = reply[:-1].decode("utf-8", "replace")
    if text == "stream: OK":
        return ""
    found = _FOUND.fullmatch(text)
    if found is None:
        raise ModuleError(f"it says: {_shown(reply)}")
    return "".join(c if c.isprintable() else "?" for c in found[1])[:200]


@dataclass(frozen=True, slots=True)
class Version:
    """What it is.

    @ivar program: version of ClamAV.
    @ivar signatures: number of the daily signatures, 0 where there are none.
    @ivar made: when these were made, seconds since 1970; it is said in local time.
        L{None}: it is not.
    """

    program: str
    signatures: int = 0
    made: float | None = None


def versionIn(reply: bytes) -> Version:
    """C{ClamAV 1.4.3/27500/Mon Jan  5 09:12:33 2026}; without official signatures only the
    first part.

    @raise ModuleError: it is none.
    """
    text = reply.rstrip(b"\0\r\n").decode("ascii", "replace")
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ModuleError(f"it says no version: {_shown(reply)}")
    made = None
    if found[3]:
        try:
            made = mktime(strptime(found[3], "%a %b %d %H:%M:%S %Y"))
        except (ValueError, OverflowError):
            raise ModuleError(f"no date: {_shown(reply)}") from None
    return Version(found[1], int(found[2] or 0), made)


def _shown(reply: bytes) -> str:
    return repr(reply[:80])[2:-1]
