"""The options of C{twistd umbcmail run} that stand for settings which differ from host to host.

`tap` makes C{--set} of them.  The package keeps those of a host in a file that the units
read, C{/etc/default/umbcmail}; the commands read the settings in it too (L{saved}), so that
they speak of the same system as the program.  Imports nothing large: C{sendmail} needs it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

FILE = "/etc/default/umbcmail"
VARIABLE = "UMBCMAIL_OPTIONS"
"""What the file calls them."""

_KEYS = {
    "host": "host.name",
    "delivery-address": "agent.delivery.address",
    "relay-address": "agent.relay.address",
    "spool": "spool.url",
    "state": "state.url",
}
_PLACES = ("spool", "state")
_SHORT = {"-s": "--set"}
_ASSIGNMENT = re.compile(rf"(?:export[ \t]+)?{VARIABLE}=(.*)")


def setting(option: str, value: str) -> str:
    """What is to be given to C{--set}.

    @param option: without hyphens in front.
    @raise ValueError: the value is empty.
    """
    if not value:
        raise ValueError(f"--{option} needs a value")
    if option in _PLACES and value.startswith("/"):
        value = f"sqlite:{value}"
    return f"{_KEYS[option]}={json.dumps(value, ensure_ascii=False)}"


def settings(words: Sequence[str]) -> list[str]:
    """What some options of the program set, in their order; what sets nothing is passed over.

    @raise ValueError: an option has no value.
    """
    found, at = [], 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        name = _SHORT.get(name, name)
        option = name.removeprefix("--")
        isSetting = name == "--set" or (name.startswith("--") and option in _KEYS)
        if isSetting and not equals:
            at += 1
            if at == len(words):
                raise ValueError(f"{name} needs a value")
            value = words[at]
        if isSetting:
            found.append(value if name == "--set" else setting(option, value))
        at += 1
    return found


def saved(path: str = FILE) -> list[str]:
    """What the options that are kept for this host set.

    @param path: a file of shell assignments, as systemd reads them too; without it nothing is set.
    @raise ValueError: they make no sense, or can't be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().replace("\\\n", " ").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as why:
        raise ValueError(f"{path}: can't be read: {why}") from None
    found: list[str] = []
    for line in lines:
        assignment = _ASSIGNMENT.fullmatch(line.strip())
        if assignment is None:
            continue
        try:
            # Once for the quotes around all of it, once for those inside.
            found = settings(shlex.split(" ".join(shlex.split(assignment[1], comments=True))))
        except ValueError as why:
            raise ValueError(f"{path}: {VARIABLE}: {why}") from None
    return found
