"""The command C{umbcmail}: what an operator asks of the system.

Each word behind it has a module that adds its parser (`queueparser`) and says by
C{prepare} what is to be done.  C{umbcmail queue …} opens the spool by itself, and
C{umbcmail hosts …} the state, so they work whether the system runs or not.  Without
C{--config} the options count that are kept for this host (L{hostoptions}).  Ends with
0; 1 when nothing is meant by what was given, C{explain} says no or something is
degraded; 2 when the command is wrong; 75 when spool or state can't do it, or nothing
runs; 78 when the configuration is wrong (the last two as in C{sysexits.h}).  Errors
are one line each on the standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TextIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react

import umbcmail
from umbcmail import hostoptions
from umbcmail.cli.aliasparser import addAliases
from umbcmail.cli.audit import openLog as _openLog
from umbcmail.cli.command import CONFIGURATION, USAGE, Refusal
from umbcmail.cli.dracparser import addDrac
from umbcmail.cli.explainparser import addExplain
from umbcmail.cli.hostparser import addHosts
from umbcmail.cli.postmanparser import addPostman
from umbcmail.cli.queueparser import addQueue
from umbcmail.cli.sealparser import addSeal
from umbcmail.cli.statusparser import addStatus
from umbcmail.cli.sweepparser import addSweeps
from umbcmail.config import Config, ConfigError, load
from umbcmail.interfaces import ISpool, IState
from umbcmail.maillog import MailLog
from umbcmail.options import Section

CONFIG = "/etc/umbcmail/umbcmail.toml"
INTERRUPTED = 130

OpenSpool = Callable[[Config, Any], ISpool]
"""Called with the configuration and the reactor."""
OpenState = Callable[[Config, Any], IState]
"""Called with the configuration and the reactor."""
OpenLog = Callable[[Config, Any], MailLog]
"""Called with the configuration and the reactor."""


class _Parser(argparse.ArgumentParser):
    """Tells of an error in one line, and guesses at no abbreviation."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """See L{argparse.ArgumentParser.error}."""
        raise Refusal(USAGE, f"{message} (see {self.prog} --help)")


@dataclass(frozen=True, slots=True)
class Tools:
    """What commands may need.

    @ivar out: takes the output.
    @ivar note: told what belongs beside it.
    @ivar now: seconds since 1970.
    @ivar openSpool: makes the spool of a configuration and a reactor.
    @ivar openState: makes the state of them.
    @ivar openLog: makes the mail log of them.
    @ivar stdin: IDs come from it, and answers of people.
    """

    out: TextIO
    note: Callable[[str], object]
    now: Callable[[], float]
    openSpool: OpenSpool
    openState: OpenState
    openLog: OpenLog
    stdin: TextIO


def _parser() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--config", metavar="FILE", default=CONFIG, help=f"the configuration ({CONFIG})")
    common.add_argument("--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="change a setting")
    common.add_argument("--json", action="store_true", help="JSON for programs, one value a line")
    parser = _Parser("umbcmail", description="Asks umbcmail what it has and what it would do, and changes its queues.")
    parser.add_argument("--version", action="version", version=f"umbcmail {umbcmail.__version__}")
    parts = parser.add_subparsers(required=True, metavar="COMMAND", dest="part")
    addQueue(parts, common)
    addHosts(parts, common)
    addSweeps(parts, common)
    addExplain(parts, common)
    addDrac(parts, common)
    addSeal(parts, common)
    addPostman(parts, common)
    addAliases(parts)
    addStatus(parts, common)
    return parser


def _ofThisHost(file: str) -> list[str]:
    """What the options set that the units start the program with, where it is meant.

    @raise Refusal: they make no sense.
    """
    try:
        return hostoptions.saved() if file == CONFIG else []
    except ValueError as why:
        raise Refusal(CONFIGURATION, str(why)) from None


def _openState(config: Config, reactor: Any) -> IState:
    """The state of a configuration."""
    from umbcmail import storage

    return storage.visitState(config, reactor)


def _run(reactor: Any, work: Callable[[Any], Deferred[None]]) -> None:
    """Run the reactor until a work has been done.  When it is to end before that
    (Ctrl-C), the work is cancelled and ends what it has opened first.

    @raise Exception: that of the work.
    """
    results: list[Any] = []

    def begin(reactor: Any) -> Deferred[None]:
        done = work(reactor)
        over: Deferred[None] = Deferred()

        def cancelled() -> Deferred[None]:
            done.cancel()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", cancelled)
        return done.addBoth(results.append).addBoth(over.callback)

    try:
        react(begin, (), reactor)
    except SystemExit:
        pass
    if not results:
        raise CancelledError
    if results[0] is not None:
        results[0].raiseException()


def main(
    argv: Sequence[str] | None = None,
    *,
    sections: Sequence[Section] | None = None,
    openSpool: OpenSpool | None = None,
    openState: OpenState | None = None,
    openLog: OpenLog | None = None,
    reactor: Any = None,
    now: Callable[[], float] = time.time,
) -> int:
    """The console command.

    @param argv: arguments without the program's name; by default those of the
        process.  The others are for tests; by default what the program uses.
    @return: exit status.
    """
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        given = _parser().parse_args(argv)
        if sections is None or openSpool is None:
            from umbcmail import storage
            from umbcmail.sections import sections as all_

            sections, openSpool = all_(), storage.visitSpool
        note = partial(_tell, 0)
        tools = Tools(sys.stdout, note, now, openSpool, openState or _openState, openLog or _openLog, sys.stdin)
        work = given.prepare(given, tools)
        config = load(sections, given.config, [*_ofThisHost(given.config), *given.set])
        _run(reactor, lambda reactor: work(config, reactor))
        sys.stdout.flush()
    except SystemExit as end:
        return int(end.code or 0)
    except BrokenPipeError:
        # Who reads has gone (C{| head}); nothing may be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except CancelledError:
        return INTERRUPTED
    except Refusal as why:
        return _tell(why.status, *why.lines)
    except ConfigError as why:
        return _tell(CONFIGURATION, *map(str, why.problems))
    return 0


def _tell(status: int, *lines: str) -> int:
    for line in lines:
        print(f"umbcmail: {line}", file=sys.stderr)
    return status
