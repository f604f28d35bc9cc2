"""The words of C{umbcmail explain}, and the questions that they ask.

`cli` calls L{addExplain} to know them.  A command that makes no sense is a
L{Refusal} before anything is looked at.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from umbcmail.cli.command import USAGE, Refusal
from umbcmail.clientaddress import clientAddress


@dataclass(frozen=True, slots=True)
class Question:
    """A message that might come.

    @ivar sender: as given, with or without angle brackets; C{"<>"} is nobody.
    @ivar recipient: likewise.
    @ivar client: IP address.
    @ivar login: whom the client logs in as, C{""}: not at all.
    @ivar helo: what the client calls itself.
    @ivar tls: whether it uses TLS; L{None}: where it must.
    @ivar agent: name of the agent, C{""}: that of the port, or else delivery.
    @ivar port: TCP port, or name.
    """

    sender: str
    recipient: str
    client: str
    login: str = ""
    helo: str = ""
    tls: bool | None = None
    agent: str = ""
    port: str = "25"


def addExplain(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    parser = parts.add_parser(
        "explain",
        parents=[common],
        help="what would become of a message, and why; what an address stands for",
        description="What would become of a message from a client, and why; or, with ADDRESS, what that stands for. "
        "Nothing is sent.  Status 0: it is taken, 1: it is not.",
    )
    parser.add_argument("address", metavar="ADDRESS", nargs="?", help="alias, list, user: told step by step")
    parser.add_argument("--from", metavar="A", dest="sender", help="sender address; <> is nobody")
    parser.add_argument("--to", metavar="B", dest="recipient", help="recipient address")
    parser.add_argument("--client", metavar="IP", help="address of the client")
    parser.add_argument("--auth", metavar="USER", dest="login", help="the client logs in, with the right password")
    parser.add_argument("--port", metavar="PORT", default="25", help="TCP port, or a name such as delivery.mx (25)")
    parser.add_argument("--helo", metavar="H", help="what the client calls itself")
    parser.add_argument(
        "--tls", action=argparse.BooleanOptionalAction, help="whether it uses TLS; by default where the port begins so"
    )
    parser.add_argument("--agent", choices=("delivery", "relay"), default="", help="the agent (delivery)")
    parser.set_defaults(prepare=_prepare)


def questionOf(given: argparse.Namespace) -> Question:
    """What is asked.

    @raise Refusal: something is missing; or empty, as an unset variable of a script is; or
        no IP address.
    """
    needed = (("from", given.sender), ("to", given.recipient), ("client", given.client))
    missing = [f"--{name}" for name, value in needed if value is None]
    if missing:
        raise Refusal(USAGE, f"the following arguments are required: {', '.join(missing)}; or ADDRESS alone")
    for name, value in (("from", given.sender), ("to", given.recipient), ("auth", given.login), ("helo", given.helo)):
        if value == "":
            raise Refusal(USAGE, f"--{name} must not be empty" + ("; nobody is <>" if name == "from" else ""))
    address = clientAddress(given.client)
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise Refusal(USAGE, f"--client needs an IP address, not {given.client[:80]!r}") from None
    helo = given.helo or (f"[IPv6:{address}]" if version == 6 else f"[{address}]")
    return Question(given.sender, given.recipient, address, given.login or "", helo, given.tls, given.agent, given.port)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """
    if given.address is not None:
        return _prepareAddress(given, tools)
    question = questionOf(given)

    def work(config: Any, reactor: Any) -> Deferred[None]:
        from umbcmail.cli.explaincommand import explain

        done: Deferred[None] = explain(question, config, reactor, tools, given.json)
        return done

    return work


def _prepareAddress(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """The same for an address."""
    for name, value in (("to", given.recipient), ("client", given.client), ("auth", given.login)):
        if value is not None:
            raise Refusal(USAGE, f"ADDRESS and --{name} do not go together")
    if not given.address or given.sender == "":
        raise Refusal(USAGE, "an address must not be empty; nobody is <>")
    sender = (given.sender or "sender@example.org").removeprefix("<").removesuffix(">")

    def work(config: Any, reactor: Any) -> Deferred[None]:
        from umbcmail.cli.addresscommand import explainAddress

        done: Deferred[None] = explainAddress(given.address, sender, config, reactor, tools, given.json)
        return done

    return work
