"""The rule C{table}: what an access table says of a client, its name, HELO, the sender
and the recipient, in this order; the first opinion decides.

C{docs/access-table.md} is for whoever writes one.  It is asked for our own domains
too.  What a client only claims (HELO, the sender) never lets it relay.  Names count
when they are forward-confirmed; where the DNS can't tell and an entry might be meant,
the client is told to come again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import implementer

from umbcmail.check.access import AccessTable
from umbcmail.check.networks import NAMES, hasAddress
from umbcmail.check.tablefiles import TableFiles, TableService
from umbcmail.clientaddress import clientAddress
from umbcmail.destination import NoAnswer, NoSuchName
from umbcmail.envelope import Client, Recipient
from umbcmail.figure import Figure
from umbcmail.interfaces import IRelayRule, IResolver, IWatched
from umbcmail.options import CHARACTER, PATH, Kind, Option, duration, listOf, word
from umbcmail.reply import CLIENT_NAME_YET
from umbcmail.verdict import Answer, Verdict, delay, doubt


def _entry(value: Any) -> str:
    line = word(value)
    AccessTable().add(line)
    return line


OPTIONS = (
    Option("files", listOf(PATH), [], "Files with entries, a line for each; read again when they have changed."),
    Option("entries", listOf(Kind("a line of an access table", _entry)), [], "More entries."),
    Option("delimiter", CHARACTER, "+", "What begins the detail of user+detail; empty: nothing."),
    Option("poll", duration(1), "10s", "How often to look whether a file has changed."),
)


@implementer(IRelayRule, IWatched)
class TableRule(TableService[AccessTable]):
    """Says what the table says."""

    name = "table"
    restricts = True

    def __init__(self, files: TableFiles[AccessTable], resolver: IResolver) -> None:
        """
        @param files: loaded.
        """
        TableService.__init__(self, files)
        self._resolver = resolver

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        return (Figure("table_entries", len(self._files.table), "Entries of the access table."),)

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayRule.judge}; waits only where a name must be looked up."""
        table = self._files.table
        said = table.ofClient(client.address)
        if said is not None:
            return said
        if table.names and client.address:
            if not client.name:
                asked: Deferred[Verdict] = self._byName(table, client, sender, recipient)
                return asked
            said = table.ofName(client.name)
            if said is not None:
                return said
        return table.ofMessage(client.helo, sender, recipient.address)

    @inlineCallbacks
    def _byName(self, table: AccessTable, client: Client, sender: str, recipient: Recipient) -> Any:
        said = yield self._confirmed(table, clientAddress(client.address))
        if said is not None and not said.isDoubt:
            return said
        more = table.ofMessage(client.helo, sender, recipient.address)
        if said is None or more.answer is Answer.PERMIT:
            return more
        # It may be permitted by its name, so whatever is against it must wait.
        return said if more.answer in (Answer.NO_OPINION, Answer.PASS) else delay(CLIENT_NAME_YET, said.why)

    @inlineCallbacks
    def _confirmed(self, table: AccessTable, address: str) -> Any:
        """What is said of the client's names, L{None}: nothing."""
        try:
            names = yield self._resolver.pointers(address)
        except NoSuchName:
            return None
        except NoAnswer:
            return (delay if table.namesRestrict else doubt)(CLIENT_NAME_YET, f"no answer about the name of {address}")
        for name in [name for name in names if table.names.find(name) is not None][:NAMES]:
            said = table.ofName(name)
            found = yield hasAddress(self._resolver, name, address)
            if found is None:
                restricts = said is not None and said.answer is not Answer.PERMIT
                return (delay if restricts else doubt)(CLIENT_NAME_YET, f"no answer about the addresses of {name}")
            if found:
                return said
        return None


def make(settings: Mapping[str, Any], tools: Any) -> TableRule:
    """The rule, as configured; see L{umbcmail.interfaces.IPart.make}.

    @raise ExceptionGroup: of C{ValueError}, one for each mistake in the files.
    """
    files = TableFiles(
        settings["files"],
        settings["entries"],
        partial(AccessTable, settings["delimiter"]),
        settings["poll"],
        tools.reactor,
        tools.log,
        tools.inThread,
    )
    mistakes = files.load()
    if mistakes:
        raise ExceptionGroup("the access table has mistakes", [ValueError(mistake) for mistake in mistakes])
    return TableRule(files, tools.resolver)
