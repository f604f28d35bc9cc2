"""C{umbcmail postman status}: the ticket that local deliveries run with, as the role
C{postman} has put it down.

Ends with 0 when there is one and all is well, 1 when not, 75 when the role has put nothing
down.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred, execute

from umbcmail import credentials
from umbcmail.cli.command import NOTHING, UNAVAILABLE, Refusal
from umbcmail.cli.listing import safe, spanOf, timeOf
from umbcmail.credentials import Credentials


def addPostman(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    postman = parts.add_parser("postman", help="the Kerberos ticket that local deliveries run with")
    actions = postman.add_subparsers(required=True, metavar="ACTION", dest="action")
    actions.add_parser("status", parents=[common], help="whether there is one, and until when").set_defaults(
        prepare=_prepare
    )


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """

    def work(config: Any, reactor: Any) -> Deferred[None]:
        return execute(_show, config.section("postman")["cache"], tools, given.json)

    return work


def _show(cache: str, tools: Any, asJSON: bool) -> None:
    """Print it.

    @raise Refusal: there is none, or something is wrong.
    """
    path = credentials.recordAt(cache)
    try:
        known = credentials.read(cache)
    except OSError as why:
        raise Refusal(UNAVAILABLE, f"{path}: {why.strerror}") from None
    if known is None:
        raise Refusal(UNAVAILABLE, f"there is no {path}: the role postman does not run, or has another postman.cache")
    now = tools.now()
    if asJSON:
        print(json.dumps(recordOf(known, now)), file=tools.out)
    else:
        tools.out.writelines(f"{name:<10} {value}\n" for name, value in linesOf(known, now))
    wrong = known.trouble(now) or known.warning(now)
    if wrong:
        tools.out.flush()
        raise Refusal(NOTHING, wrong)


def linesOf(known: Credentials, now: float) -> Iterable[tuple[str, str]]:
    """What people see, by name."""
    yield "principal", safe(known.principal)
    yield "keytab", safe(known.keytab)
    yield "cache", safe(known.cache)
    if known.got:
        isGood = known.expires > now
        ends = f"ends in {spanOf(known.expires - now)}" if isGood else f"ended {spanOf(now - known.expires)} ago"
        yield "ticket", f"of {timeOf(known.got)}, {ends}"
    else:
        yield "ticket", "none"
    yield "next try", f"in {spanOf(known.next - now)}" if known.next > now else "is due"
    yield "tries", f"{known.renewals} good, {known.failures} failed, since the role has begun"


def recordOf(known: Credentials, now: float) -> dict[str, Any]:
    """JSON values; times are ISO 8601, UTC, L{None} for never."""
    times = {name: timeOf(value) if value else None for name, value in _times(known).items()}
    return {**asdict(known), **times, "valid": known.expires > now}


def _times(known: Credentials) -> dict[str, float]:
    return {"got": known.got, "expires": known.expires, "next": known.next}
