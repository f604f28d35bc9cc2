"""The words of C{umbcmail queue …}, and what each of them asks of the spool.

`cli` calls L{addQueue} to know them.  A command that makes no sense is a
L{Refusal} before anything is opened.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TextIO

from twisted.internet.defer import Deferred

from umbcmail.cli.command import USAGE, Refusal, withStore
from umbcmail.cli.queuecommand import QueueCommand
from umbcmail.entry import SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.selection import Selection

Action = Callable[[ISpool], Deferred[None]]


def addQueue(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    make = type(common)
    some = make(add_help=False)
    some.add_argument("--domain", metavar="D", help="with a recipient in this domain")
    some.add_argument("--queue", metavar="Q", help="in this queue class")
    many = make(add_help=False)
    many.add_argument("ids", metavar="ID", nargs="*", help="of an entry, or of a message for all of its entries")
    many.add_argument("--all", action="store_true", help="all entries")

    queue = parts.add_parser("queue", help="look at the queues and change them")
    actions = queue.add_subparsers(required=True, metavar="ACTION", dest="action")
    listing = actions.add_parser("list", parents=[common, some], help="what is in the queues, the oldest first")
    listing.add_argument("--held", action="store_true", help="only what is held")
    listing.add_argument("--limit", metavar="N", type=int, default=10000, help="at most so many entries (10000)")
    show = actions.add_parser("show", parents=[common], help="all about an entry")
    show.add_argument("id", metavar="ID", help="of an entry, or of a message")
    for name, text in (
        ("retry", "try entries now; all of them when none are named"),
        ("hold", "put entries aside"),
        ("release", "try held entries again; all of them when none are named"),
        ("remove", "remove entries for good"),
    ):
        actions.add_parser(name, parents=[common, some, many], help=text)
    for parser in actions.choices.values():
        parser.set_defaults(prepare=_prepare)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """
    action = _action(given, tools.out, tools.now, tools.note)

    def work(config: Any, reactor: Any) -> Deferred[None]:
        done: Deferred[None] = withStore("spool", SpoolError, lambda: tools.openSpool(config, reactor), action)
        return done

    return work


def _filters(given: argparse.Namespace) -> tuple[str, str]:
    """Domain and queue class, C{""} where not given.

    @raise Refusal: one is given and empty, as an unset variable of a script is.
    """
    domain = None if given.domain is None else given.domain.lower().removesuffix(".")
    if domain == "" or given.queue == "":
        raise Refusal(USAGE, "--domain and --queue must not be empty")
    return domain or "", given.queue or ""


def _selection(given: argparse.Namespace) -> Selection:
    """Which entries are meant.

    @raise Refusal: that is not said, or said in two ways.
    """
    domain, queue = _filters(given)
    if "" in given.ids:
        raise Refusal(USAGE, "an ID must not be empty")
    isSome = bool(given.ids or queue or domain)
    if given.all and isSome:
        raise Refusal(USAGE, "--all goes with no ID and no filter")
    if not isSome and not given.all and given.action in ("hold", "remove"):
        raise Refusal(USAGE, f"{given.action} needs an ID, --domain, --queue or --all")
    return Selection(ids=tuple(given.ids), queue=queue, domain=domain)


def _action(given: argparse.Namespace, out: TextIO, now: Callable[[], float], note: Callable[[str], object]) -> Action:
    """What is to be done with a spool.

    @raise Refusal: the command makes no sense.
    """

    def command(spool: ISpool) -> QueueCommand:
        return QueueCommand(spool, out, now, given.json, note)

    if given.action == "show":
        return lambda spool: command(spool).show(given.id)
    if given.action == "list":
        if given.limit < 1:
            raise Refusal(USAGE, "--limit must be at least 1")
        domain, queue = _filters(given)
        chosen = Selection(queue=queue, domain=domain, held=True if given.held else None)
        return lambda spool: command(spool).list(chosen, given.limit)
    selection = _selection(given)
    return lambda spool: getattr(command(spool), given.action)(selection)
