"""Access tables: a line for each entry, and how a client and its message are looked up.

Pure; `table` reads the files and asks the DNS.  C{docs/access-table.md} has the format.
Tables may have 100,000 entries and more: a look-up is a few accesses to dictionaries,
one for each length of prefix, and one for each dot of a name.
"""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import idna

from umbcmail.address import AddressError, checkLiteral, domainOf, parseAddress
from umbcmail.check.actions import ActionReader
from umbcmail.check.tablefiles import Table
from umbcmail.clientaddress import clientAddress
from umbcmail.options import domainName, network
from umbcmail.verdict import Answer, Verdict, noOpinion

TEXT_LIMIT = 2000
"""Characters of a line."""

_NOTHING = noOpinion("the table says nothing of it")
_MILD = (Answer.PERMIT, Answer.NO_OPINION)


class Names:
    """Entries by domain name: a name, or C{.name} for all below it."""

    __slots__ = ("_below", "_exact")

    def __init__(self) -> None:
        self._exact: dict[str, Verdict] = {}
        self._below: dict[str, Verdict] = {}

    def __len__(self) -> int:
        return len(self._exact) + len(self._below)

    def values(self) -> Iterable[Verdict]:
        """What the entries say."""
        return (*self._exact.values(), *self._below.values())

    def place(self, key: str) -> tuple[dict[str, Verdict], str]:
        """Where an entry belongs."""
        return (self._below, key[1:]) if key.startswith(".") else (self._exact, key)

    def find(self, name: str) -> tuple[str, Verdict] | None:
        """The entry for a name in lower case: its own, or the one of most labels."""
        found = self._exact.get(name)
        if found is not None:
            return name, found
        if self._below:
            at = name.find(".")
            while at >= 0:
                found = self._below.get(name[at + 1 :])
                if found is not None:
                    return name[at:], found
                at = name.find(".", at + 1)
        return None


class Addresses:
    """Entries by mail address, or its domain."""

    __slots__ = ("_delimiter", "_domains", "_whole")

    def __init__(self, delimiter: str) -> None:
        """
        @param delimiter: what begins the detail of C{user+detail}, C{""}: nothing.
        """
        self._delimiter = delimiter
        self._whole: dict[str, Verdict] = {}
        self._domains = Names()

    def __len__(self) -> int:
        return len(self._whole) + len(self._domains)

    def place(self, key: str) -> tuple[dict[str, Verdict], str]:
        """Where an entry belongs: C{user@domain}, C{@domain}, C{@.domain}, C{<>}."""
        return self._domains.place(key[1:]) if key.startswith("@") else (self._whole, key)

    def find(self, address: str) -> tuple[str, Verdict] | None:
        """The entry for an address: its own, that without detail, or the domain's."""
        if not address:
            found = self._whole.get("<>")
            return ("<>", found) if found is not None else None
        address = foldedAddress(address)
        if self._whole:
            for key in self._keys(address):
                found = self._whole.get(key)
                if found is not None:
                    return key, found
        named = self._domains.find(domainOf(address))
        return ("@" + named[0], named[1]) if named is not None else None

    def _keys(self, address: str) -> Iterable[str]:
        yield address
        local, _, domain = address.rpartition("@")
        at = local.find(self._delimiter) if self._delimiter and local[:1] != '"' else -1
        if at > 0:
            yield f"{local[:at]}@{domain}"


class Networks:
    """Entries by network."""

    __slots__ = ("_families",)

    def __init__(self) -> None:
        self._families: dict[int, dict[int, dict[int, Verdict]]] = {4: {}, 6: {}}

    def __len__(self) -> int:
        return sum(len(starts) for masks in self._families.values() for starts in masks.values())

    def place(self, key: Any) -> tuple[dict[int, Verdict], int]:
        """Where the entry of a network belongs."""
        masks = self._families[key.version]
        return masks.setdefault(int(key.netmask), {}), int(key.network_address)

    def finish(self) -> None:
        """All entries are there: the longest networks come first."""
        for version, masks in self._families.items():
            self._families[version] = dict(sorted(masks.items(), reverse=True))

    def find(self, address: str) -> tuple[str, Verdict] | None:
        """The entry of the smallest network that an address is in."""
        try:
            isLong = ":" in address
            family = socket.AF_INET6 if isLong else socket.AF_INET
            number = int.from_bytes(socket.inet_pton(family, address))
        except (OSError, ValueError):
            return None
        for mask, starts in self._families[6 if isLong else 4].items():
            found = starts.get(number & mask)
            if found is not None:
                start = socket.inet_ntop(family, (number & mask).to_bytes(16 if isLong else 4))
                return f"{start}/{mask.bit_count()}", found
        return None


class AccessTable(Table):
    """A whole table.

    @ivar names: entries by the client's name.
    @ivar namesRestrict: some of them do more than permit.
    """

    def __init__(self, delimiter: str = "+") -> None:
        """
        @param delimiter: see L{Addresses}.
        """
        Table.__init__(self)
        self.namesRestrict = False
        self._clients = Networks()
        self.names = Names()
        self._helos = Names()
        self._senders = Addresses(delimiter)
        self._recipients = Addresses(delimiter)
        self._actions = ActionReader()
        self._kinds: dict[str, tuple[Any, Any, bool]] = {
            "client": (network, self._clients, False),
            "name": (_nameKey, self.names, False),
            "helo": (_heloKey, self._helos, True),
            "sender": (_senderKey, self._senders, True),
            "recipient": (addressKey, self._recipients, False),
        }

    def __len__(self) -> int:
        return sum(len(entries) for _, entries, _ in self._kinds.values())

    # How it is made

    def add(self, line: str) -> None:
        """Add a line.

        @raise ValueError: it makes no sense.
        """
        line = line.strip(" \t\r\n")
        if not line or line[0] == "#":
            return
        if len(line) > TEXT_LIMIT or (not line.isprintable() and not line.replace("\t", " ").isprintable()):
            raise ValueError("this is too long, or has characters that can't be printed")
        kind, key, words = _split(line)
        if kind not in self._kinds:
            raise ValueError(f"{kind[:40]!r} is none of {', '.join(self._kinds)}")
        read, entries, isForgeable = self._kinds[kind]
        found, at = entries.place(read(key))
        verdict = self._actions.read(words, isForgeable)
        if found.setdefault(at, verdict) != verdict:
            raise ValueError(f"there is an entry for {kind} {key[:80]} already, with another action")

    def finish(self) -> None:
        """All lines are there."""
        self._clients.finish()
        self.namesRestrict = not all(said.answer in _MILD for said in self.names.values())
        self._actions = ActionReader()

    # What it says

    def ofClient(self, address: str) -> Verdict | None:
        """What is said of a client's address, L{None}: nothing."""
        return _said("client", self._clients.find(clientAddress(address)))

    def ofName(self, name: str) -> Verdict | None:
        """What is said of a client's name."""
        return _said("name", self.names.find(name))

    def ofMessage(self, helo: str, sender: str, recipient: str) -> Verdict:
        """What is said of HELO, else of the sender, else of the recipient."""
        said = _said("helo", self._helos.find(foldedHelo(helo))) if len(self._helos) else None
        said = said or _said("sender", self._senders.find(sender))
        return said or _said("recipient", self._recipients.find(recipient)) or _NOTHING


def _said(kind: str, found: tuple[str, Verdict] | None) -> Verdict | None:
    """The verdict of an entry, with the entry in its reason."""
    if found is None or found[1].answer is Answer.NO_OPINION:
        return None
    key, verdict = found
    entry = f"the table has {kind} {key}"
    return replace(verdict, why=f"{entry}: {verdict.why}" if verdict.why else entry)


# Keys


def _split(line: str) -> tuple[str, str, str]:
    """Kind, key and action of a line; blanks in quotes belong to the key."""
    kind, _, rest = line.replace("\t", " ").partition(" ")
    rest = rest.lstrip(" ")
    if rest[:1] == '"':
        end = 1
        while end < len(rest) and rest[end] != '"':
            end += 2 if rest[end] == "\\" else 1
        blank = rest.find(" ", end)
    else:
        blank = rest.find(" ")
    if blank < 0:
        raise ValueError("a kind, a key and an action are needed")
    return kind.lower(), rest[:blank], rest[blank:].strip(" ")


def foldedAddress(address: str) -> str:
    """An address so that equal ones are equal: lower case, and the domain in ASCII."""
    if address.isascii():
        return address.lower()
    local, _, domain = unicodedata.normalize("NFC", address).lower().rpartition("@")
    return f"{local}@{_asciiName(domain)}"


def _asciiName(name: str) -> str:
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except UnicodeError:
        return name


def foldedHelo(helo: str) -> str:
    """A name of HELO so that equal ones are equal."""
    if helo[:1] == "[":
        try:
            return f"[{checkLiteral(helo)}]"
        except AddressError:
            return helo.lower()
    return helo.lower().removesuffix(".")


def _nameKey(key: str) -> str:
    name = _asciiName(key)
    return f".{domainName(name[1:])}" if name.startswith(".") else domainName(name)


def _heloKey(key: str) -> str:
    return f"[{checkLiteral(key)}]" if key[:1] == "[" else _nameKey(key)


def addressKey(key: str) -> str:
    """An address, C{@domain} or C{@.domain} so that equal ones are equal.

    @raise ValueError: it is none of them.
    """
    if key[:1] == "@":
        return "@" + (key[1:].lower() if key[1:2] == "[" and checkLiteral(key[1:]) else _nameKey(key[1:]))
    try:
        return foldedAddress(parseAddress(key))
    except AddressError:
        raise ValueError(f"{key[:80]!r} is not user@domain, @domain, or @.domain for all below it") from None


def _senderKey(key: str) -> str:
    return key if key == "<>" else addressKey(key)
