"""The command C{umbcmail}: what an operator asks of the queues.

C{umbcmail queue list|show|retry|hold|release|remove} opens the spool by itself,
so it works whether the system runs or not.  Ends with 0; 1 when nothing is meant
by what was given; 2 when the command is wrong; 75 when the spool can't do it; 78
when the configuration is wrong (the last two as in C{sysexits.h}).  Errors are
one line each on the standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import react

import umbcmail
from umbcmail.cli.queuecommand import CONFIGURATION, SPOOL, USAGE, QueueCommand, Refusal
from umbcmail.config import Config, ConfigError, load
from umbcmail.entry import Selection, SpoolError
from umbcmail.interfaces import ISpool
from umbcmail.options import Section

CONFIG = "/etc/umbcmail/umbcmail.toml"
INTERRUPTED = 130

OpenSpool = Callable[[Config, Any], ISpool]
"""Called with the configuration and the reactor."""


class _Parser(argparse.ArgumentParser):
    """Tells of an error in one line, and guesses at no abbreviation."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """See L{argparse.ArgumentParser.error}."""
        raise Refusal(USAGE, f"{message} (see {self.prog} --help)")


def _parser() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--config", metavar="FILE", default=CONFIG, help=f"the configuration ({CONFIG})")
    common.add_argument("--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="change a setting")
    common.add_argument("--json", action="store_true", help="JSON for programs, one value a line")
    some = _Parser(add_help=False)
    some.add_argument("--domain", metavar="D", help="with a recipient in this domain")
    some.add_argument("--queue", metavar="Q", help="in this queue class")
    many = _Parser(add_help=False)
    many.add_argument("ids", metavar="ID", nargs="*", help="of an entry, or of a message for all of its entries")
    many.add_argument("--all", action="store_true", help="all entries")

    parser = _Parser("umbcmail", description="Looks at the queues of umbcmail, and changes them.")
    parser.add_argument("--version", action="version", version=f"umbcmail {umbcmail.__version__}")
    parts = parser.add_subparsers(required=True, metavar="queue", dest="part")
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
    return parser


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


def _action(given: argparse.Namespace, out: TextIO, now: Callable[[], float]) -> Callable[[ISpool], Deferred[None]]:
    """What is to be done with a spool.

    @raise Refusal: the command makes no sense.
    """

    def command(spool: ISpool) -> QueueCommand:
        return QueueCommand(spool, out, now, given.json, lambda text: _tell(0, text))

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


@inlineCallbacks
def withSpool(opener: Callable[[], ISpool], action: Callable[[ISpool], Deferred[None]]) -> Any:
    """Open a spool, do something with it, and stop it whatever comes of that.

    @return: L{Deferred}; fails with L{Refusal}.
    """
    try:
        spool = opener()
        yield spool.start()
        try:
            yield action(spool)
        finally:
            yield spool.stop()
    except SpoolError as why:
        raise Refusal(SPOOL, f"the spool: {why}") from why


def _run(reactor: Any, opener: Callable[[Any], ISpool], action: Callable[[ISpool], Deferred[None]]) -> None:
    """Run the reactor until an action has been done.  When it is to end before
    that (Ctrl-C), the spool is stopped first.

    @raise Exception: that of the action.
    """
    results: list[Any] = []

    def begin(reactor: Any) -> Deferred[None]:
        done: Deferred[None] = withSpool(lambda: opener(reactor), action)
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
        action = _action(given, sys.stdout, now)
        if sections is None or openSpool is None:
            from umbcmail import service, storage

            sections, openSpool = service.sections(), storage.visitSpool
        opener, config = openSpool, load(sections, given.config, given.set)
        _run(reactor, lambda reactor: opener(config, reactor), action)
        sys.stdout.flush()
    except SystemExit as end:
        return int(end.code or 0)
    except BrokenPipeError:
        # Who reads has gone (C{| head}); nothing may be written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except CancelledError:
        return INTERRUPTED
    except Refusal as why:
        return _tell(why.status, str(why))
    except ConfigError as why:
        return _tell(CONFIGURATION, *map(str, why.problems))
    return 0


def _tell(status: int, *lines: str) -> int:
    for line in lines:
        print(f"umbcmail: {line}", file=sys.stderr)
    return status
