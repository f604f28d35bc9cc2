"""Why an entry has not been delivered: in sentences for people, and as JSON values.

Made by `whycommand`.  Pure.  Addresses, replies and names of hosts come from
strangers: whatever a terminal might obey is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from umbcmail.cli.hostlisting import recordOf as hostRecord
from umbcmail.cli.hostlisting import standing
from umbcmail.cli.listing import dueOf, replyOf, safe, sizeOf, spanOf, stateOf, timeOf
from umbcmail.deliverby import parsed
from umbcmail.destination import Route
from umbcmail.entry import REMEMBERED, Attempted, Entry, Status
from umbcmail.hoststatus import HostStatus
from umbcmail.options import durationText
from umbcmail.queue.schedule import Schedule

SHOWN = 20
"""Recipients that are told of one by one."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the mail for a domain goes now.

    @ivar domain: of recipients.
    @ivar source: what in the configuration says so.
    @ivar route: next hops, or what is wrong with them.
    @ivar hosts: what is known of each of them.
    """

    domain: str
    source: str
    route: Route
    hosts: Sequence[HostStatus | None]


@dataclass(frozen=True, slots=True)
class Case:
    """An entry, and all that is known about it.

    @ivar entry: as it is now.
    @ivar history: its attempts, the oldest first.
    @ivar damaged: what is wrong with it, C{""}: nothing.
    @ivar schedule: of its class and destination, L{None}: there is no such class.
    @ivar ways: where its recipients' mail goes.
    """

    entry: Entry
    history: Sequence[Attempted] = ()
    damaged: str = ""
    schedule: Schedule | None = None
    ways: Sequence[Way] = field(default_factory=tuple)


def linesOf(case: Case, now: float) -> Iterable[str]:
    """All of it for people."""
    yield from sentencesOf(case, now)
    yield from _recipients(case.entry, now)
    yield from _history(case)
    if case.ways:
        yield "Where it goes now:"
    for way in case.ways:
        yield f"    {safe(way.domain) or 'postmaster'}: by {way.source}, courier {way.route.courier}"
        if way.route.problem is not None:
            yield f"        no way: {safe(str(way.route.problem))}"
        for hop, status in zip(way.route.hops, way.hosts, strict=True):
            yield f"        {safe(str(hop))}: {standing(status, now)}"


def sentencesOf(case: Case, now: float) -> list[str]:
    """Where it is, what comes next, and when it ends."""
    entry = case.entry
    sender = safe(entry.envelope.sender) or "nobody (a notification)"
    what = f"{safe(entry.id)}, from {sender}, {sizeOf(entry.envelope.size)}"
    found = [f"{what}, made {spanOf(now - entry.created)} ago, is in the class {safe(entry.queue)}."]
    found += _state(case, now)
    isWaiting = any(delivery.status is Status.WAITING for delivery in entry.deliveries)
    if case.schedule is None:
        found.append("The configuration has no such class: nothing looks after it.")
    elif isWaiting and not entry.held and not case.damaged:
        found += [_end(entry, case.schedule, now), *_warning(entry, case.schedule, now)]
    return found


def _state(case: Case, now: float) -> list[str]:
    entry, id = case.entry, safe(case.entry.id)
    if case.damaged:
        return [f"It is damaged and has been put aside: {safe(case.damaged)}.  See umbcmail queue repair."]
    if entry.held:
        why = f"It is held: {safe(entry.heldBecause)}." if entry.heldBecause else "It is held by an operator's order."
        return [why, f"Until umbcmail queue release {id} it is neither tried nor given up."]
    if entry.owner:
        return [f"It is being tried now, by {safe(entry.owner)}."]
    isOver = not any(delivery.status is Status.WAITING for delivery in entry.deliveries)
    what = "All its recipients have failed; telling its sender" if isOver else "It waits: the next attempt"
    if entry.due - now >= 1:
        found = [f"{what} is due in {spanOf(entry.due - now)} ({timeOf(dueOf(entry))})."]
    else:
        found = [
            f"{what} has been due for {spanOf(now - dueOf(entry))}.",
            "There is no place free in its class, or nothing runs that looks after it (umbcmail status).",
        ]
    if entry.envelope.holdUntil > now:
        found.append(f"Its sender wants it to go no earlier than {timeOf(entry.envelope.holdUntil)}.")
    return found


def expiresAt(entry: Entry, schedule: Schedule) -> float:
    """When it is given up, seconds since 1970."""
    by = parsed(entry.envelope.deliverBy)
    end = entry.created + schedule.expire
    return min(end, by.until) if by is not None and by.returns else end


def _end(entry: Entry, schedule: Schedule, now: float) -> str:
    at = expiresAt(entry, schedule)
    if at <= now:
        return "Its time is over: it is given up when it is looked at next."
    age = durationText(round(at - entry.created))
    return f"It is given up in {spanOf(at - now)} ({timeOf(at)}), when it is {age} old."


def _warning(entry: Entry, schedule: Schedule, now: float) -> list[str]:
    if not entry.envelope.sender:
        return ["It has no sender who could be told."]
    if entry.warned:
        return ["Its sender has been told of the delay."]
    at = entry.created + schedule.warn
    if not schedule.warn or at >= expiresAt(entry, schedule):
        return []
    when = f"in {spanOf(at - now)}" if at > now else "after the next attempt"
    return [f"Its sender is told of the delay {when}."]


def _recipients(entry: Entry, now: float) -> Iterable[str]:
    for delivery in entry.deliveries[:SHOWN]:
        tried = "not tried" if not delivery.attempts else f"tried {delivery.attempts} times"
        tried = "tried once" if delivery.attempts == 1 else tried
        state = "" if delivery.status is Status.WAITING else f", {stateOf(entry, delivery, now)}"
        last = f"; {replyOf(delivery.outcome)}" if delivery.outcome is not None else ""
        yield f"{safe(delivery.recipient.address)}: {tried}{state}{last}"
    if len(entry.deliveries) > SHOWN:
        yield f"and {len(entry.deliveries) - SHOWN} recipients more (umbcmail queue show {safe(entry.id)})"


def _history(case: Case) -> Iterable[str]:
    if not case.history:
        return
    yield f"What happened (the last {REMEMBERED} are remembered):"
    for each in case.history:
        more = f" and {each.count - 1} more" if each.count > 1 else ""
        yield f"    {timeOf(each.at)}  {safe(each.address)}{more}: {replyOf(each.outcome)}"


def recordOf(case: Case, now: float) -> dict[str, Any]:
    """All of it as JSON values; times are ISO 8601, UTC."""
    entry, schedule = case.entry, case.schedule
    return {
        "id": entry.id,
        "queue": entry.queue,
        "held": entry.held,
        "held_because": entry.heldBecause,
        "damaged": case.damaged,
        "owner": entry.owner,
        "due": timeOf(dueOf(entry)),
        "expires": timeOf(expiresAt(entry, schedule)) if schedule is not None else None,
        "why": sentencesOf(case, now),
        "history": [
            {
                "at": timeOf(each.at),
                "recipients": each.count,
                "address": each.address,
                "host": each.outcome.host,
                "command": each.outcome.command,
                "reply": str(each.outcome.reply),
            }
            for each in case.history
        ],
        "routes": [_wayRecord(way) for way in case.ways],
    }


def _wayRecord(way: Way) -> dict[str, Any]:
    return {
        "domain": way.domain,
        "source": way.source,
        "courier": way.route.courier,
        "problem": str(way.route.problem) if way.route.problem is not None else "",
        "hosts": [
            {"host": str(hop), "status": hostRecord(status) if status is not None else None}
            for hop, status in zip(way.route.hops, way.hosts, strict=True)
        ],
    }
