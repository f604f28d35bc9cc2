"""C{umbcmail munge} and C{umbcmail clean}: what the role C{schedule} does from time to
time, done once, whether the system runs or not.

What has been changed is printed, and goes to the mail log too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.cli.command import withStore
from umbcmail.cli.listing import counted, safe, spanOf
from umbcmail.config import Config, ConfigError
from umbcmail.entry import Entry, SpoolError
from umbcmail.findings import Findings
from umbcmail.interfaces import ISpool
from umbcmail.maillog import MailLog
from umbcmail.roles import makeCleaner, makeMunger


def addSweeps(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    for name, sweep, text in (
        ("munge", _munge, "move entries between classes by the rules of [[munge]]"),
        ("clean", _clean, "remove notifications about spam"),
    ):
        parser = parts.add_parser(name, parents=[common], help=text)
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.set_defaults(prepare=_prepare, sweep=sweep)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """

    @inlineCallbacks
    def work(config: Config, reactor: Any) -> Any:
        log = tools.openLog(config, reactor)

        def sweep(spool: ISpool) -> Deferred[int]:
            findings = Findings(config)
            done: Deferred[int] = given.sweep(findings, spool, log, given, tools)
            return done

        try:
            number = yield withStore("spool", SpoolError, lambda: tools.openSpool(config, reactor), sweep)
        finally:
            log.flush()
        if not given.json:
            tools.note(counted(number, f" {_DONE[given.part][given.dry_run]}"))

    return work


_DONE = {"munge": ("moved", "would be moved"), "clean": ("removed", "would be removed")}


def _munge(findings: Findings, spool: ISpool, log: MailLog, given: argparse.Namespace, tools: Any) -> Deferred[int]:
    """@raise ConfigError: the rules are wrong."""
    munger = makeMunger(findings, spool, log, tools.now)
    if findings.problems:
        raise ConfigError(findings.problems)

    def told(entry: Entry, to: str) -> None:
        _line(entry, given, tools, to)

    done: Deferred[int] = munger.rehearse(told) if given.dry_run else munger.munge(told)
    return done


def _clean(findings: Findings, spool: ISpool, log: MailLog, given: argparse.Namespace, tools: Any) -> Deferred[int]:
    cleaner = makeCleaner(findings, spool, log)

    def told(entry: Entry) -> None:
        _line(entry, given, tools)

    done: Deferred[int] = cleaner.rehearse(told) if given.dry_run else cleaner.clean(told)
    return done


def _line(entry: Entry, given: argparse.Namespace, tools: Any, to: str = "") -> None:
    """Print what became of an entry, or would."""
    if given.json:
        record = {"id": entry.id, "queue": entry.queue, "sender": entry.envelope.sender, "dry_run": given.dry_run}
        print(json.dumps({**record, "to": to} if to else {**record, "score": entry.envelope.score}), file=tools.out)
        return
    where = f"{safe(entry.queue)} -> {safe(to)}" if to else f"{safe(entry.queue)}, score {entry.envelope.score:g}"
    age, sender = spanOf(tools.now() - entry.created), safe(entry.envelope.sender) or "<>"
    print(f"{safe(entry.id)}  {where}  {age}  {sender}", file=tools.out)
