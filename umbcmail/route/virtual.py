"""Tables of virtual addresses, as Postfix (virtual(5)) and Sendmail (virtusertable) have them.

An entry is an address, blanks, and what it stands for, separated by commas; a line that begins
with a blank goes on with the one before.  C{user@domain} is one address, with or without a
detail, C{@domain} all of a domain that have no entry of their own, C{@.domain} all in the
domains below.  C{@other} on the right is the same user there; C{%1} is what stands before the
detail, C{%2} the detail, C{%3} the detail with its delimiter; C{error:nouser} nobody.  Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from umbcmail.address import AddressError, parseAddress
from umbcmail.aliases import LINE_LIMIT, split
from umbcmail.localaddress import userAndDetail

NOBODY = "error:nouser"
_PART = re.compile("%([123])")
_ENTRY = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^\s"])+)[ \t]+(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Virtual:
    """An entry.

    @ivar key: as it was written.
    @ivar place: C{file:line}.
    @ivar targets: addresses, names, and with C{%1} and C{@other} what becomes one; none
        of them: nobody has this address.
    """

    key: str
    place: str
    targets: tuple[str, ...]


class VirtualTable:
    """The entries of all files.

    @ivar delimiter: what begins the detail of C{user+detail}, C{""}: nothing.
    """

    def __init__(self, delimiter: str = "+") -> None:
        self.delimiter = delimiter
        self._entries: dict[str, Virtual] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, text: str, place: str) -> None:
        """Add an entry, with all of its lines in one.

        @raise ValueError: it makes no sense.
        """
        if len(text) > LINE_LIMIT:
            raise ValueError("this is too long")
        found = _ENTRY.fullmatch(text.strip())
        if found is None:
            raise ValueError("an address, blanks, and what it stands for are needed")
        key = keyOf(found[1])
        known = self._entries.get(key)
        if known is not None:
            raise ValueError(f"{found[1]} is there already ({known.place})")
        self._entries[key] = Virtual(found[1], place, self._targets(found[2]))

    def _targets(self, text: str) -> tuple[str, ...]:
        if text.split(maxsplit=1)[0].lower() == NOBODY:
            return ()
        targets = tuple(split(text))
        if not targets:
            raise ValueError("an address, blanks, and what it stands for are needed")
        for target in targets:
            if target.startswith(("|", "/", ":", "\\", "error:")):
                raise ValueError(f"{target[:80]!r} can't stand here, only addresses, names and {NOBODY}")
            self._made(target, "user", "detail")
        return targets

    def find(self, address: str) -> Virtual | None:
        """The entry that is meant: of the address as it is, then without its detail, then of
        its domain, then of the domains above.

        @param address: with a domain.
        """
        local, _, domain = address.lower().rpartition("@")
        user, detail = userAndDetail(address, self.delimiter, True)
        found = self._entries.get(f"{local}@{domain}")
        if found is None and detail:
            found = self._entries.get(f"{user}@{domain}")
        if found is None:
            found = self._entries.get(f"@{domain}")
        at = domain.find(".")
        while found is None and at >= 0:
            found = self._entries.get(f"@{domain[at:]}")
            at = domain.find(".", at + 1)
        return found

    def targetsOf(self, entry: Virtual, address: str) -> list[str]:
        """What an address stands for by an entry; names have no domain.

        The detail of an address whose entry has none is handed on, as Postfix does it.

        @raise AddressError: with the parts of this address something is no address.
        """
        user, detail = userAndDetail(address, self.delimiter, False)
        isOwn = not entry.key.startswith("@") and self.delimiter + detail not in entry.key
        return [self._made(target, user, detail, isOwn) for target in entry.targets]

    def _made(self, target: str, user: str, detail: str, handsOn: bool = False) -> str:
        """
        @raise AddressError: it is no address.
        """
        more = f"{self.delimiter}{detail}" if detail else ""
        if target.startswith("@"):
            target = f"%1%3{target}"
        parts = {"1": user, "2": detail, "3": more}
        made = _PART.sub(lambda found: parts[found[1]], target)
        isPlain = made == target
        if "@" not in made:
            made = parseAddress(f"{made}@x").removesuffix("@x")
            return made + more if handsOn and isPlain and self.delimiter not in made else made
        made = parseAddress(made)
        local, _, domain = made.rpartition("@")
        if handsOn and isPlain and more and self.delimiter not in local and not local.startswith('"'):
            made = parseAddress(f"{local}{more}@{domain}")
        return made


def keyOf(text: str) -> str:
    """A key so that equal ones are equal.

    @raise ValueError: it is none.
    """
    if text.startswith("@"):
        parseAddress(f"x{text}" if not text.startswith("@.") else f"x@{text[2:]}")
        return text.lower()
    if "@" not in text:
        raise ValueError(f"{text[:80]!r} has no domain: user@domain, @domain or @.domain is needed")
    try:
        return parseAddress(text).lower()
    except AddressError:
        raise ValueError(f"{text[:80]!r} is not user@domain, @domain or @.domain") from None
