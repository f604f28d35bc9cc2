"""Names and passwords in one form, whatever keyboard they were typed on: SASLprep
(RFC 4013), a profile of stringprep (RFC 3454).

Called where secrets are compared or derived (`users`, `scram`).  What may not be
in a name or password raises C{ValueError}.
"""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """The prepared form of a text.  Code points that Unicode 3.2 did not know pass
    (RFC 4013 section 2.5), or nobody could have a new one in a password.

    @raise ValueError: there is a character that may not be, or text of both
        directions is mixed (RFC 3454 section 6).
    """
    if text.isascii() and text.isprintable():
        return text
    spaced = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    prepared = ucd_3_2_0.normalize("NFKC", spaced)
    for each in prepared:
        if any(isProhibited(each) for isProhibited in _PROHIBITED):
            raise ValueError("a character that may not be in a name or password")
    if any(map(stringprep.in_table_d1, prepared)):
        ends = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends or any(map(stringprep.in_table_d2, prepared)):
            raise ValueError("directions are mixed")
    return prepared


def preparedPassword(password: bytes) -> bytes:
    """A password as it goes into a hash: prepared where it can be, else as it is,
    for not every client sends UTF-8."""
    try:
        return saslprep(password.decode()).encode()
    except ValueError:
        return password
