"""The words of C{umbcmail seal …}: secrets for the seals of the multiplexer.

`cli` calls L{addSeal} to know them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from umbcmail.cli.command import CONFIGURATION, UNAVAILABLE, Refusal
from umbcmail.config import Config
from umbcmail.filter.modules import secret


def addSeal(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    seal = parts.add_parser("seal", help="the secret that mail hosts share for their seals")
    actions = seal.add_subparsers(required=True, metavar="ACTION", dest="action")
    new = actions.add_parser("new", parents=[common], help="make a new secret; the one before becomes the old one")
    new.add_argument("--module", metavar="NAME", default="seal", help="module of the configuration (seal)")
    new.set_defaults(prepare=_prepare)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Config, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """

    def work(config: Config, reactor: Any) -> Deferred[None]:
        if given.module not in config.names("module.*"):
            raise Refusal(CONFIGURATION, f"there is no module {given.module}")
        settings = config.section(f"module.{given.module}")
        path, old = settings["secret"], settings["old-secret"]
        if path is None:
            raise Refusal(CONFIGURATION, f"module.{given.module}.secret is not set")
        try:
            name = secret.new(path, old or "")
        except (OSError, ValueError) as why:
            raise Refusal(UNAVAILABLE, str(why)) from None
        print(f"secret {name} is in {path}", file=tools.out)
        tools.note("copy it to all other mail hosts, with mode 0600; until then they examine what comes from here")
        return succeed(None)

    return work
