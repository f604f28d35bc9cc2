"""From a recipient to the folder of its mailbox; pure.

The courier C{maildir} asks.  A local part is chosen by strangers, so it becomes
exactly one component of a path, or else the address is refused: never a slash, a
leading dot, a control character, or a name that is too long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 200
"""Octets of a component, so that there is room for what others add to it."""

_BAD = re.compile("[/\\x00-\\x1f\\x7f]")
USER, DOMAIN = "%user", "%domain"


class BadMailbox(Exception):
    """The address can't be a mailbox."""


@dataclass(frozen=True, slots=True)
class MailboxPath:
    """Where a mailbox is.

    @ivar base: the part that an operator has fixed; absolute.
    @ivar below: components below it; no symbolic link is followed in them.
    @ivar user: which of them is the user's, counted from 0.
    """

    base: str
    below: tuple[str, ...]
    user: int


class Template:
    """C{/srv/mail/%domain/%user}: an absolute path, the variables are whole
    components, C{%user} is added where it is missing."""

    def __init__(self, text: str) -> None:
        """@raise ValueError: it can't be used; says why."""
        if not text.startswith("/"):
            raise ValueError("an absolute path is needed")
        parts = [part for part in text.split("/") if part]
        if USER not in parts:
            parts.append(USER)
        for part in parts:
            if part in (".", "..") or ("%" in part and part not in (USER, DOMAIN)):
                raise ValueError(f"{part!r} can't be used; the variables are /%user/ and /%domain/")
        if parts.count(USER) > 1:
            raise ValueError("%user can be used once")
        start = min(parts.index(part) for part in parts if part in (USER, DOMAIN))
        self._base = "/" + "/".join(parts[:start])
        self._below = parts[start:]
        self._user = self._below.index(USER)

    def path(self, user: str, domain: str) -> MailboxPath:
        """The folder of one mailbox.

        @raise BadMailbox: the user or the domain can't be part of a path.
        """
        values = {USER: user, DOMAIN: domain}
        below = tuple(_component(values[part]) if part in values else part for part in self._below)
        return MailboxPath(self._base, below, self._user)


def _component(text: str) -> str:
    if not text or text.startswith(".") or _BAD.search(text) or len(text.encode("utf-8", "replace")) > LONGEST:
        raise BadMailbox(text)
    return text
