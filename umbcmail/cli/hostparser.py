"""The words of C{umbcmail hosts …}, and what each of them asks of the state.

`cli` calls L{addHosts} to know them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail.cli.audit import Audit, whoAsks
from umbcmail.cli.command import USAGE, Refusal, withStore
from umbcmail.cli.hostcommand import HostCommand
from umbcmail.config import Config, ConfigError
from umbcmail.interfaces import IState
from umbcmail.sighting import StateError
from umbcmail.state.memory import MemoryState

Action = Callable[[HostCommand], Deferred[None]]


def addHosts(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    hosts = parts.add_parser("hosts", help="next hops that do not answer, or are suspended")
    actions = hosts.add_subparsers(required=True, metavar="ACTION", dest="action")
    listing = actions.add_parser("list", parents=[common], help="hosts that something is wrong with")
    listing.add_argument("--down", action="store_true", help="only those that do not answer")
    listing.add_argument("--suspended", action="store_true", help="only those that are suspended")
    show = actions.add_parser("show", parents=[common], help="all about a host")
    show.add_argument("hosts", metavar="HOST", nargs=1, help="name[address]:port, or a name")
    suspend = actions.add_parser("suspend", parents=[common], help="let no attempt be made at hosts; their mail waits")
    suspend.add_argument("--reason", metavar="TEXT", help="for other operators")
    resume = actions.add_parser("resume", parents=[common], help="try hosts again, suspended ones and those down")
    for parser in (suspend, resume):
        parser.add_argument("hosts", metavar="HOST", nargs="+", help="name[address]:port as in the log, or a name")
    for parser in actions.choices.values():
        parser.set_defaults(prepare=_prepare)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """
    who = whoAsks()
    action = _action(given, who.sudo or who.user or str(who.uid))

    def work(config: Config, reactor: Any) -> Deferred[None]:
        audit = Audit(partial(tools.openLog, config, reactor), who)

        def command(state: IState) -> Deferred[None]:
            return action(HostCommand(state.hosts, audit, tools.out, tools.now, given.json, tools.note))

        done: Deferred[None] = withStore("state", StateError, lambda: _open(config, reactor, tools), command)
        return done

    return work


def _open(config: Config, reactor: Any, tools: Any) -> IState:
    """@raise ConfigError: nobody shares the state, so that nothing here would be of use."""
    state: IState = tools.openState(config, reactor)
    if isinstance(state, MemoryState):
        why = "is in the memory of another process, or not there yet"
        raise ConfigError([config.problem("state.url", why, value=config.section("state")["url"])])
    return state


def _action(given: argparse.Namespace, user: str) -> Action:
    """What is to be done.

    @param user: who suspends a host, if no reason is given.
    @raise Refusal: the command makes no sense; it says all that is wrong.
    """
    if given.action == "list":
        isAny = not given.down and not given.suspended
        return lambda command: command.list(given.down or isAny, given.suspended or isAny)
    mistakes = ["a HOST must not be empty"] if not all(host.strip() for host in given.hosts) else []
    reason = getattr(given, "reason", None)
    if reason is not None and (not reason.strip() or not reason.isprintable()):
        mistakes.append("--reason must be one line, and not empty")
    if mistakes:
        raise Refusal(USAGE, *mistakes)
    if given.action == "show":
        return lambda command: command.show(given.hosts[0])
    if given.action == "resume":
        return lambda command: command.resume(given.hosts)
    return lambda command: command.suspend(given.hosts, reason or f"by {user}")
