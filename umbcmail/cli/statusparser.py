"""C{umbcmail status}: asks the program that runs how it is, and prints that.

It goes to the first endpoint of C{watch.listen} that can be reached.  Ends with 0
when all is well, 1 when something is degraded, 75 when nobody answers.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError

from umbcmail.cli.command import CONFIGURATION, UNAVAILABLE, Refusal
from umbcmail.watch.listen import Place, placeOf

DEGRADED, NOT_RUNNING = 1, UNAVAILABLE
PATIENCE = 10.0
"""Seconds to wait for the answer."""


def addStatus(parts: Any, common: argparse.ArgumentParser) -> None:
    """Add the parser.

    @param parts: subparsers of C{umbcmail}.
    @param common: parent with the options that all commands have.
    """
    parser = parts.add_parser("status", parents=[common], help="say how the program that runs is")
    parser.set_defaults(prepare=_prepare)


def _prepare(given: argparse.Namespace, tools: Any) -> Callable[[Any, Any], Deferred[None]]:
    """What is to be done with the configuration and the reactor.

    @param tools: L{umbcmail.cli.Tools}.
    """

    def work(config: Any, reactor: Any) -> Deferred[None]:
        endpoints = config.section("watch")["listen"]
        done: Deferred[None] = printStatus(reactor, endpoints, tools.out, given.json)
        return done

    return work


@inlineCallbacks
def printStatus(reactor: Any, endpoints: Sequence[str], out: TextIO, asJSON: bool) -> Any:
    """Print it.

    @param endpoints: where the program listens.
    @return: L{Deferred}; fails with L{Refusal}, also when something is degraded.
    """
    if not endpoints:
        raise Refusal(CONFIGURATION, "watch.listen is not set, so nobody can be asked")
    places = [place for place in map(placeOf, endpoints) if place is not None]
    if not places:
        raise Refusal(CONFIGURATION, f"watch.listen: no way is known to {', '.join(endpoints)}")
    troubles = []
    for place in places:
        try:
            octets = yield _asked(reactor, place)
        except _NoAnswer as why:
            troubles.append(f"{place}: {why}")
            continue
        record = _record(octets)
        if record is not None:
            _print(record, out, asJSON)
            return
        troubles.append(f"{place}: this is not umbcmail")
    raise Refusal(NOT_RUNNING, f"not running: {'; '.join(troubles)}")


class _NoAnswer(Exception):
    """Nobody is there, or says nothing of use."""


@inlineCallbacks
def _asked(reactor: Any, place: Place) -> Any:
    """The octets of /status.

    @raise _NoAnswer: there are none.
    """
    from twisted.web.client import Agent, ResponseFailed, readBody

    agent = Agent.usingEndpointFactory(reactor, _Way(reactor, place))
    try:
        response = yield agent.request(b"GET", b"http://localhost/status").addTimeout(PATIENCE, reactor)
        if response.code != 200:
            raise _NoAnswer(f"the answer is {response.code}")
        body = yield readBody(response).addTimeout(PATIENCE, reactor)
    except TimeoutError:
        raise _NoAnswer("no answer in time") from None
    except ConnectError as why:
        raise _NoAnswer(os.strerror(why.osError) if isinstance(why.osError, int) else str(why)) from None
    except ResponseFailed as why:
        isLate = any(reason.check(CancelledError) for reason in why.reasons)
        raise _NoAnswer("no answer in time" if isLate else "no answer that makes sense") from None
    except OSError as why:
        raise _NoAnswer(why.strerror or str(why)) from None
    return body


class _Way:
    """Connects to a place, whatever is asked for."""

    def __init__(self, reactor: Any, place: Place) -> None:
        self._reactor = reactor
        self._place = place

    def endpointForURI(self, uri: Any) -> Any:
        """See L{twisted.web.iweb.IAgentEndpointFactory}."""
        place = self._place
        if place.path:
            return UNIXClientEndpoint(self._reactor, place.path, PATIENCE)
        kind = TCP6ClientEndpoint if ":" in place.host else TCP4ClientEndpoint
        return kind(self._reactor, place.host, place.port, PATIENCE)


def _record(octets: bytes) -> Any:
    """What stands in it; L{None} when it is something else."""
    from umbcmail.watch.pages import textOf

    try:
        record = json.loads(octets)
        textOf(record)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return record


def _print(record: Any, out: TextIO, asJSON: bool) -> None:
    """@raise Refusal: something is degraded."""
    from umbcmail.watch.pages import shown, textOf

    out.write(json.dumps(record) + "\n" if asJSON else textOf(record))
    if record["status"] != "ok":
        out.flush()
        raise Refusal(DEGRADED, f"degraded: {', '.join(shown(name) for name in record.get('degraded') or ())}")
