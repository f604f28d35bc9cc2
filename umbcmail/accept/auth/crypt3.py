"""Hashes of passwords as C{/etc/shadow}, C{htpasswd -B} and Dovecot keep them: bcrypt,
SHA-256-crypt, SHA-512-crypt and yescrypt, each a text such as C{$6$salt$hash}.

`secret` has them in its registry.  The work is done by libxcrypt, the library that
Debian's own log-in uses, which needs no lock and lets other threads run meanwhile;
it is loaded when the first hash is read.  What costs more than about a second, and
what is weaker than these, is refused.
"""

from __future__ import annotations

import ctypes
import hmac
import re
from functools import cache
from typing import Any

PASSWORD_LIMIT = 511
"""Octets that libxcrypt takes."""

_B64 = "[./A-Za-z0-9]"
_FORMS = {
    "BLF-CRYPT": re.compile(rf"\$2[aby]\$(?P<cost>[0-9]{{2}})\${_B64}{{53}}"),
    "SHA256-CRYPT": re.compile(rf"\$5\$(?:rounds=(?P<cost>[0-9]{{1,9}})\$)?[!-#%-9;-~]{{0,16}}\${_B64}{{43}}"),
    "SHA512-CRYPT": re.compile(rf"\$6\$(?:rounds=(?P<cost>[0-9]{{1,9}})\$)?[!-#%-9;-~]{{0,16}}\${_B64}{{86}}"),
    # The cost: memory from 1 MiB (j75) by 16 (j9T, what Debian has) to 256 (jDT).
    "YESCRYPT": re.compile(rf"\$y\$j[789A-D][5T]\${_B64}{{1,86}}\${_B64}{{43}}"),
}
_COSTS = {"BLF-CRYPT": (4, 15), "SHA256-CRYPT": (1000, 5_000_000), "SHA512-CRYPT": (1000, 5_000_000)}
"""Least and most: the exponent of bcrypt, rounds of the others."""


@cache
def _library() -> Any:
    """libxcrypt.

    @raise ValueError: there is none.
    """
    try:
        library = ctypes.CDLL("libcrypt.so.1")
        free = ctypes.CDLL(None).free
        crypt = library.crypt_ra
    except (OSError, AttributeError):
        raise ValueError("hashes of this kind need libxcrypt (libcrypt.so.1), which is not installed") from None
    crypt.restype = ctypes.c_char_p
    crypt.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_int),
    ]
    free.restype = None
    free.argtypes = [ctypes.c_void_p]
    return crypt, free


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """The hash of a password.  Takes a while: not in the reactor.

    @param password: no NUL, at most L{PASSWORD_LIMIT} octets.
    @param setting: kind, cost and salt; what is behind them does not matter.
    @return: L{None} where it can't be made.
    """
    make, free = _library()
    memory, size = ctypes.c_void_p(), ctypes.c_int(0)
    try:
        found: bytes | None = make(password, setting, ctypes.byref(memory), ctypes.byref(size))
        return found
    finally:
        free(memory)


class Hash:
    """A hash that has been read.

    @param text: all of it.
    @param wanted: the only form that it may have, or C{""}: any.
    @raise ValueError: it is none, or costs too much.
    """

    def __init__(self, text: str, wanted: str = "") -> None:
        for form, pattern in _FORMS.items():
            found = pattern.fullmatch(text)
            if found is not None and wanted in ("", form):
                break
        else:
            kinds = wanted or "$2b$ $2y$ $5$ $6$ $y$"
            raise ValueError(f"a whole hash is needed, of a kind that is strong enough: {kinds}")
        low, high = _COSTS.get(form, (0, 0))
        cost = found.groupdict().get("cost")
        if cost is not None and not low <= int(cost) <= high:
            raise ValueError(f"a cost from {low} to {high} is needed")
        _library()
        self._text = text.encode()

    def verify(self, password: bytes) -> bool:
        """Whether a password is right."""
        if b"\0" in password or len(password) > PASSWORD_LIMIT:
            # For the library the password would end at the NUL.
            return False
        found = crypt(password, self._text)
        return found is not None and hmac.compare_digest(found, self._text)
