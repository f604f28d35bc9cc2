"""The words of C{umbcmail queue …}, and what each of them asks of the spool.

`cli` calls L{addQueue} to know them.  A command that makes no sense is a
L{Refusal} before anything is opened.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TextIO

from twisted.internet.defer import Deferred

from umbcmail.address import AddressError, parseAddress
from umbcmail.cli import queuechange
from umbcmail.cli.audit import Audit, whoAsks
from umbcmail.cli.command import USAGE, Refusal, withStore
from umbcmail.cli.hostcommand import resumeHosts
from umbcmail.cli.queuechange import Change, QueueChange
from umbcmail.cli.queuecommand import QueueCommand
from umbcmail.cli.queuefilters import Meant, addFilters, addIds, atLeast, meantBy, valueOf
from umbcmail.config import Config
from umbcmail.entry import SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.options import domainName
from umbcmail.selection import Sort

REASON_LIMIT = 500
"""Characters of a reason for senders."""
DESTINATIONS = 20
"""How many a summary has unless said."""

_CHANGES = (
    ("move", "move entries to another class"),
    ("retry", "try entries now"),
    ("hold", "put entries aside"),
    ("release", "try held entries again"),
    ("remove", "remove entries for good; nobody is told"),
    ("bounce", "give entries up; their senders are told"),
    ("edit", "give a recipient another address"),
    ("repair", "try to read damaged entries again; what can't be read is saved and removed"),
)

Action = Callable[[ISpool], Deferred[None]]


def addQueue(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    make = type(common)
    some = make(add_help=False)
    addFilters(some)
    ids = make(add_help=False)
    addIds(ids)
    queue = parts.add_parser("queue", help="look at the queues and change them")
    actions = queue.add_subparsers(required=True, metavar="ACTION", dest="action")
    listing = actions.add_parser("list", parents=[common, some, ids], help="what is in the queues, the oldest first")
    listing.add_argument("--sort", metavar="KEY", default="age", help=f"by {', '.join(Sort)} (age)")
    listing.add_argument("--limit", metavar="N", help="at most so many entries")
    listing.add_argument("--after", metavar="ID", default="", help="begin behind this entry, the last of a list before")
    show = actions.add_parser("show", parents=[common], help="all about an entry")
    show.add_argument("id", metavar="ID", help="of an entry, or of a message")
    show.add_argument("--content", action="store_true", help="print the message instead, header and body")
    why = actions.add_parser("why", parents=[common], help="why an entry has not been delivered")
    why.add_argument("id", metavar="ID", help="of an entry, or of a message")
    summary = actions.add_parser("summary", parents=[common, some], help="how old what waits is, by destination")
    summary.add_argument("--limit", metavar="N", help=f"at most so many destinations ({DESTINATIONS})")
    actions.add_parser("damaged", parents=[common, some, ids], help="what can't be read, and why")
    for name, text in _CHANGES:
        _addChange(actions.add_parser(name, parents=[common, some, ids], help=text), name)
    for parser in actions.choices.values():
        parser.set_defaults(prepare=_prepare)


def _addChange(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--all", action="store_true", help="all entries")
    parser.add_argument("--dry-run", action="store_true", help="only say how many, and show the first")
    if name in ("remove", "bounce"):
        parser.add_argument("--yes", action="store_true", help="don't ask")
    if name == "bounce":
        parser.add_argument("--reason", metavar="TEXT", help="for the senders, one line")
    if name == "move":
        parser.add_argument("--to", metavar="CLASS", help="the other class")
    if name == "edit":
        parser.add_argument("--to", metavar="A", help="the new address in place of --recipient, or *@DOMAIN")
    if name == "repair":
        parser.add_argument("--into", metavar="FOLDER", help="where what is left is saved (damaged, in the spool)")


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """
    if given.action == "why":
        return _why(given, tools)
    action = _action(given, tools)

    def work(config: Any, reactor: Any) -> Deferred[None]:
        todo = action(config, reactor)
        done: Deferred[None] = withStore("spool", SpoolError, lambda: tools.openSpool(config, reactor), todo)
        return done

    return work


def _why(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    _checkId(given.id)

    def work(config: Any, reactor: Any) -> Deferred[None]:
        from umbcmail.cli.whycommand import explainDelay

        done: Deferred[None] = explainDelay(given.id, config, reactor, tools, given.json)
        return done

    return work


def _checkId(id: str) -> None:
    if not id.strip():
        raise Refusal(USAGE, "an ID must not be empty")


def _action(given: argparse.Namespace, tools: Any) -> Callable[[Config, Any], Action]:
    """What is to be done with a configuration, a reactor and a spool.

    @raise Refusal: the command makes no sense; it says all that is wrong.
    """

    def command(spool: ISpool) -> QueueCommand:
        return QueueCommand(spool, tools.out, tools.now, given.json, tools.note)

    if given.action == "show":
        return lambda config, reactor: _show(given, tools.out, command)
    mistakes: list[str] = []
    meant = meantBy(given, tools.stdin, tools.now(), mistakes)
    if given.action in dict(_CHANGES):
        change = _change(given, meant, mistakes)
        _check(mistakes)
        return partial(_changing, given, tools, meant, change)
    limit = valueOf("--limit", getattr(given, "limit", None), atLeast(1), mistakes)
    if given.action == "list" and given.sort not in list(Sort):
        mistakes.append(f"--sort must be one of {', '.join(Sort)}, not {given.sort!r}")
    _check(mistakes)

    def look(spool: ISpool) -> Deferred[None]:
        done: Deferred[None]
        if given.action == "list":
            done = command(spool).list(meant, Sort(given.sort), limit or 0, given.after)
        elif given.action == "summary":
            done = command(spool).summary(meant, limit or DESTINATIONS)
        else:
            done = command(spool).damaged(meant)
        return done

    def work(config: Config, reactor: Any) -> Action:
        for queue in meant.selection.queues:
            if why := _unknown(config, queue):
                tools.note(why)
        return look

    return work


def _check(mistakes: list[str]) -> None:
    if mistakes:
        raise Refusal(USAGE, *mistakes)


def _show(given: argparse.Namespace, out: TextIO, command: Callable[[ISpool], QueueCommand]) -> Action:
    _checkId(given.id)
    if not given.content:
        return lambda spool: command(spool).show(given.id)
    if given.json:
        raise Refusal(USAGE, "--content goes not with --json")
    octets = None if out.isatty() else getattr(out, "buffer", None)
    return lambda spool: command(spool).content(given.id, octets and octets.write)


def _change(given: argparse.Namespace, meant: Meant, mistakes: list[str]) -> Callable[[Config], Change]:
    """What is to be done, once the configuration is known."""
    if given.all and meant.isSome:
        mistakes.append("--all goes with no ID and no filter")
    if not given.all and not meant.isSome and not mistakes:
        mistakes.append(f"{given.action} needs an ID, a filter or --all")
    if given.action == "move":
        if not given.to:
            mistakes.append("move needs --to CLASS")
        return lambda config: queuechange.moving(_known(config, given.to))
    if given.action == "bounce":
        reason = given.reason or ""
        if not reason.isprintable() or len(reason) > REASON_LIMIT or given.reason == "":
            mistakes.append(f"--reason must be one line of up to {REASON_LIMIT} characters")
        return lambda config: queuechange.bouncing(reason)
    if given.action == "edit":
        old = _address("--recipient", meant.selection.recipient, mistakes)
        new = _address("--to", given.to, mistakes)
        return lambda config: queuechange.readdressing(old, new)
    if given.action == "repair":
        if given.into == "":
            mistakes.append("--into must not be empty")
        return lambda config: queuechange.repairing(given.into or _folder(config))
    return lambda config: _SIMPLE[given.action]


_SIMPLE = {
    "retry": queuechange.RETRY,
    "hold": queuechange.HOLD,
    "release": queuechange.RELEASE,
    "remove": queuechange.REMOVE,
}


def _known(config: Config, queue: str) -> str:
    """The name of a class.

    @raise Refusal: there is no such class.
    """
    if why := _unknown(config, queue):
        raise Refusal(USAGE, f"--to: {why}")
    return queue


def _unknown(config: Config, queue: str) -> str:
    """That there is no such class, C{""}: there is."""
    classes = config.names("queue.*")
    return "" if queue in classes else f"there is no queue class {queue}; there are {', '.join(classes)}"


def _address(name: str, text: str | None, mistakes: list[str]) -> str:
    """An address, or C{*@domain}."""
    if not text:
        mistakes.append(f"edit needs {name} ADDRESS")
        return ""
    try:
        return f"*@{domainName(text[2:])}" if text.startswith("*@") else parseAddress(text)
    except (AddressError, ValueError) as why:
        mistakes.append(f"{name}: {text!r}: {why}")
        return ""


def _folder(config: Config) -> str:
    """Where what is damaged is put."""
    return os.path.join(config.section("spool")["url"].partition(":")[2], "damaged")


def _changing(
    given: argparse.Namespace,
    tools: Any,
    meant: Meant,
    change: Callable[[Config], Change],
    config: Config,
    reactor: Any,
) -> Action:
    if given.action == "repair":
        meant = replace(meant, damaged=True)
    todo = change(config)
    audit = Audit(partial(tools.openLog, config, reactor), whoAsks())
    isAsked = tools.stdin.isatty() and not getattr(given, "yes", False)
    confirm = partial(_confirmed, tools.stdin) if isAsked else None
    before = partial(resumeHosts, config, reactor, tools, audit) if given.action == "retry" else None

    def action(spool: ISpool) -> Deferred[None]:
        name = f"queue {given.action}"
        command = QueueChange(spool, tools.out, tools.now, given.json, tools.note, name, audit, confirm, before)
        done: Deferred[None] = (command.rehearse if given.dry_run else command.do)(todo, meant)
        return done

    return action


def _confirmed(stdin: TextIO, question: str) -> bool:
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return stdin.readline().strip().lower() in ("y", "yes")
