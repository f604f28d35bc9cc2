"""The words of C{umbcmail drac …}, and what each of them asks of the state.

`cli` calls L{addDrac} to know them.  C{add} is another matter: it speaks to a dracd by
the network and needs neither configuration nor state, so it is done at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail.cli.command import USAGE, Refusal, withStore
from umbcmail.cli.draccommand import DracCommand
from umbcmail.clientaddress import clientAddress
from umbcmail.drac.addcommand import SUMMARY, addArguments, tell
from umbcmail.drac.program import encodeAddress
from umbcmail.interfaces import IRoster
from umbcmail.sighting import StateError

Action = Callable[[IRoster, Any], Deferred[None]]
"""Called with the roster and the reactor."""


def addDrac(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    drac = parts.add_parser("drac", help="who may relay since a login was seen (POP-before-SMTP)")
    actions = drac.add_subparsers(required=True, metavar="ACTION", dest="action")
    add = actions.add_parser("add", help="tell mail hosts of a login", description=SUMMARY)
    addArguments(add)
    add.set_defaults(prepare=_add)
    actions.add_parser("list", parents=[common], help="addresses that may relay now")
    remove = actions.add_parser("remove", parents=[common], help="forget addresses")
    remove.add_argument("addresses", metavar="ADDRESS", nargs="+", help="of a client")
    watch = actions.add_parser("watch", parents=[common], help="what comes and goes, until Ctrl-C")
    watch.add_argument("--interval", metavar="SECONDS", type=float, default=1.0, help="how often to look (1)")
    for name in ("list", "remove", "watch"):
        actions.choices[name].set_defaults(prepare=_prepare)


def _add(given: argparse.Namespace, tools: Any) -> None:
    """Do it.

    @raise SystemExit: always, with its status.
    """
    raise SystemExit(tell(given, lambda text: print(text, file=tools.out), tools.note))


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """
    action = _action(given, tools)

    def work(config: Any, reactor: Any) -> Deferred[None]:
        done: Deferred[None] = withStore(
            "state",
            StateError,
            lambda: tools.openState(config, reactor),
            lambda state: action(state.roster, reactor),
        )
        return done

    return work


def _action(given: argparse.Namespace, tools: Any) -> Action:
    """What is to be done with the roster.

    @raise Refusal: the command makes no sense.
    """

    def command(roster: IRoster) -> DracCommand:
        return DracCommand(roster, tools.out, tools.now, given.json, tools.note)

    if given.action == "list":
        return lambda roster, reactor: command(roster).list()
    if given.action == "watch":
        if not 0.05 <= given.interval <= 3600:
            raise Refusal(USAGE, "--interval must be from 0.05 to 3600")
        return lambda roster, reactor: command(roster).watch(reactor, given.interval)
    addresses = list(dict.fromkeys(map(_address, given.addresses)))
    return lambda roster, reactor: command(roster).remove(addresses)


def _address(text: str) -> str:
    address = clientAddress(text)
    try:
        encodeAddress(address)
    except ValueError as why:
        raise Refusal(USAGE, str(why)) from None
    return address
