"""Asks spool, state and routes why an entry has not been delivered.

Called by `queueparser`.  Routes are found as at an attempt, so the DNS is asked.
What can't be told is told so, and the rest all the same.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from umbcmail.cli.command import withStore
from umbcmail.cli.parts import Parts
from umbcmail.cli.queuecommand import missing
from umbcmail.cli.reasons import Case, Way, linesOf, recordOf
from umbcmail.config import Config
from umbcmail.entry import Entry, SpoolError, Status
from umbcmail.hoststatus import HostStatus
from umbcmail.interfaces import ISpool
from umbcmail.selection import Selection
from umbcmail.sighting import StateError
from umbcmail.ways import makeDestinations, makeSchedules

DOMAINS = 5
"""Domains of an entry that routes are looked for."""


def explainDelay(
    id: str, config: Config, reactor: Any, tools: Any, asJSON: bool = False, resolver: Any = None
) -> Deferred[None]:
    """Say why the entries of an ID have not been delivered.

    @param tools: L{umbcmail.cli.Tools}.
    @param resolver: in place of that of the configuration.
    @return: L{Deferred}; fails with L{Refusal} and with C{ConfigError}.
    """
    parts = Parts(config, reactor, tools.note, resolver)
    destinations = makeDestinations(parts.findings, parts.couriers)
    parts.check()
    schedules = makeSchedules(config, destinations)

    @inlineCallbacks
    def told(spool: ISpool) -> Any:
        entries = yield spool.listing(Selection(ids=(id,)), 1000)
        if not entries:
            raise (yield missing(spool, id))
        damaged = {each.id: each.why for each in (yield spool.damaged())}
        known = yield _known(parts, tools)
        for number, entry in enumerate(entries):
            history = yield spool.history(entry.id)
            schedule = schedules.get(entry.queue)
            own = schedule.of(entry.lane) if schedule is not None else None
            ways = yield _ways(parts, entry, known) if own is not None else ()
            case = Case(entry, history, damaged.get(entry.id, ""), own, ways)
            now = tools.now()
            lines = [json.dumps(recordOf(case, now))] if asJSON else [*([""] if number else []), *linesOf(case, now)]
            tools.out.writelines(line + "\n" for line in lines)

    done: Deferred[None] = withStore("spool", SpoolError, lambda: tools.openSpool(config, reactor), told)
    return done


@inlineCallbacks
def _known(parts: Parts, tools: Any) -> Any:
    """What is known of hosts.  @return: L{Deferred} of a dict by name"""
    try:
        yield parts.state.start()
        try:
            found: list[HostStatus] = yield parts.state.hosts.listing(tools.now())
        finally:
            yield parts.state.stop()
    except StateError as why:
        tools.note(f"what is known of hosts can't be told: the state: {why}")
        return {}
    return {status.host: status for status in found}


@inlineCallbacks
def _ways(parts: Parts, entry: Entry, known: dict[str, HostStatus]) -> Any:
    """Where the mail of an entry goes.  @return: L{Deferred} of a list of L{Way}"""
    waiting = [d.recipient.domain for d in entry.deliveries if d.status is Status.WAITING]
    ways = []
    for domain in list(dict.fromkeys(waiting))[:DOMAINS]:
        goal = domain or parts.classes.home
        source = parts.router.way(goal, entry.queue).source
        route = yield parts.router.route(goal, entry.queue)
        ways.append(Way(domain, source, route, [known.get(str(hop)) for hop in route.hops]))
    return ways
