"""Arguments of a command with C{%user} and the like in them; pure.

What stands for a placeholder is chosen by strangers.  It stays inside of one argument,
whatever it is; nothing of it is looked at again; and where it would stand at the
beginning of an argument it must not begin with a dash, or a program would take it for an
option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

NAMES = ("user", "detail", "domain", "recipient", "sender", "home")
"""What there is; C{%%} is a percent sign."""
_PLACEHOLDER = re.compile("%([a-z]+|%)?")


class BadValue(Exception):
    """The address can't be an argument."""


def check(text: str) -> None:
    """@raise ValueError: it has a placeholder that does not exist."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] != "%" and found[1] not in NAMES:
            there = ", ".join(f"%{name}" for name in NAMES)
            raise ValueError(f"there is no {found[0]}; there are {there}, and %% for a percent sign")


def fill(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The arguments.

    @param words: as configured, which L{check} has passed.
    @param values: by name.
    @raise BadValue: one would be taken for an option, or ends in the middle.
    """
    return [_filled(word, values) for word in words]


def _filled(word: str, values: Mapping[str, str]) -> str:
    text = _PLACEHOLDER.sub(lambda found: "%" if found[1] == "%" else values[found[1]], word)
    if "\0" in text or (text.startswith("-") and not word.startswith("-")):
        raise BadValue(word)
    return text
