"""Tables of recipients: who gets mail in some domains, so that others are refused at
RCPT and nobody has to be told later.

A line is C{user@domain}; C{user}, in all of these domains; C{@domain}, everybody there;
or C{@.domain}, everybody in all domains below.  The files are read again when they have
changed, in a thread; a look-up is a few accesses to sets.  While they can't be read, who
is not in what was read before is told to come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from zope.interface import implementer

from umbcmail.address import AddressError, parseAddress
from umbcmail.check.access import TEXT_LIMIT, addressKey, foldedAddress
from umbcmail.check.tablefiles import Table, TableFiles, TableService
from umbcmail.envelope import Recipient
from umbcmail.figure import Figure
from umbcmail.interfaces import IRecipientCheck, IWatched
from umbcmail.options import CHARACTER, DOMAIN_PATTERN, PATH, Option, Section, duration, listOf
from umbcmail.reply import RECIPIENT_YET, UNKNOWN_USER, Reply

RECIPIENTS = Section(
    "recipients",
    "Tables of those who get mail, so that others are refused at RCPT.",
    (
        Option("domains", listOf(DOMAIN_PATTERN), [], "Domains whose recipients are all in the tables."),
        Option(
            "tables", listOf(PATH), [], "Files with recipients, a line for each; read again when they have changed."
        ),
        Option("delimiter", CHARACTER, "+", "What begins the detail of user+detail; empty: nothing."),
        Option("poll", duration(1), "10s", "How often to look whether a file has changed."),
    ),
)


class RecipientTable(Table):
    """A whole table."""

    def __init__(self, delimiter: str = "+") -> None:
        """
        @param delimiter: what begins the detail of C{user+detail}, C{""}: nothing.
        """
        Table.__init__(self)
        self._delimiter = delimiter
        self._entries: set[str] = set()
        self._hasDomains = False

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, line: str) -> None:
        """Add a line.

        @raise ValueError: it makes no sense.
        """
        line = line.strip(" \t\r\n")
        if not line or line[0] == "#":
            return
        if len(line) > TEXT_LIMIT or not line.isprintable():
            raise ValueError("this is too long, or has characters that can't be printed")
        if "@" in line:
            self._entries.add(addressKey(line))
            self._hasDomains = self._hasDomains or line[0] == "@"
            return
        try:
            self._entries.add(foldedAddress(parseAddress(f"{line}@x")).removesuffix("@x"))
        except AddressError:
            raise ValueError(f"{line[:80]!r} is not a user, user@domain, @domain or @.domain") from None

    def has(self, address: str) -> bool:
        """Whether somebody gets mail at an address."""
        address = foldedAddress(address)
        local, _, domain = address.rpartition("@")
        if address in self._entries or local in self._entries:
            return True
        at = local.find(self._delimiter) if self._delimiter and local[:1] != '"' else -1
        if at > 0 and (f"{local[:at]}@{domain}" in self._entries or local[:at] in self._entries):
            return True
        return self._hasDomains and self._hasDomain(domain)

    def _hasDomain(self, domain: str) -> bool:
        if f"@{domain}" in self._entries:
            return True
        at = domain.find(".")
        while at >= 0:
            if f"@{domain[at:]}" in self._entries:
                return True
            at = domain.find(".", at + 1)
        return False


@implementer(IRecipientCheck, IWatched)
class RecipientTables(TableService[RecipientTable]):
    """Says what the tables say."""

    name = "recipients"

    def __init__(self, files: TableFiles[RecipientTable], covers: Callable[[str], Any]) -> None:
        """
        @param files: loaded.
        @param covers: whether all recipients of a domain (lower case) are in the tables.
        """
        TableService.__init__(self, files)
        self._covers = covers

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        return (Figure("recipients_entries", len(self._files.table), "Entries of the tables of recipients."),)

    def check(self, sender: str, recipient: Recipient) -> Reply | None:
        """See L{IRecipientCheck.check}."""
        if not self._covers(recipient.domain) or self._files.table.has(recipient.address):
            return None
        return RECIPIENT_YET if self._files.complaint else UNKNOWN_USER


def makeTables(settings: Any, covers: Callable[[str], Any], tools: Any) -> RecipientTables | None:
    """The tables, as configured, or L{None} where there are none.

    @param covers: see L{RecipientTables}.
    @param tools: L{umbcmail.service.Tools}.
    @raise ValueError: one of the two settings is missing.
    @raise ExceptionGroup: of C{ValueError}, one for each mistake in the files.
    """
    if not settings["domains"] and not settings["tables"]:
        return None
    if not settings["domains"] or not settings["tables"]:
        raise ValueError("domains and tables are needed, or neither")
    files = TableFiles(
        settings["tables"],
        (),
        partial(RecipientTable, settings["delimiter"]),
        settings["poll"],
        tools.reactor,
        tools.log,
        tools.inThread,
        "recipients",
    )
    mistakes = files.load()
    if mistakes:
        raise ExceptionGroup("the tables have mistakes", [ValueError(mistake) for mistake in mistakes])
    return RecipientTables(files, covers)
