"""Entries of the spool as text for people and as JSON values for programs.

Pure; called by `cli.py`.  Addresses, replies and headers come from strangers:
in the text for people, whatever a terminal might obey is escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from umbcmail.entry import Delivery, Entry, Status
from umbcmail.outcome import Outcome

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def sizeOf(octets: int) -> str:
    """C{512 B}, C{4.0 KiB}, C{12.0 MiB}."""
    if octets < 1024:
        return f"{octets} B"
    size = octets / 1024
    for unit in ("KiB", "MiB"):
        if size < 1023.95:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def spanOf(seconds: float) -> str:
    """A span of time in its largest unit, and the next where that tells much:
    C{12s}, C{4m}, C{3h20m}, C{2d5h}."""
    left = max(0, int(seconds))
    for n, (unit, name) in enumerate(_UNITS[:-1]):
        if left >= unit:
            more, small = _UNITS[n + 1]
            rest = left % unit // more
            return f"{left // unit}{name}" + (f"{rest}{small}" if rest and unit > 60 else "")
    return f"{left}s"


def timeOf(seconds: float) -> str:
    """ISO 8601, UTC, whole seconds."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "?"


def safe(text: str) -> str:
    """In one line, with escapes in place of what is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def harmless(text: str) -> str:
    """Some of a text of many lines; line ends and tabs stay."""
    return "\n".join(safe(line) for line in text.replace("\r", "").replace("\t", "    ").split("\n"))


def counted(number: int, note: str = "") -> str:
    """C{1 entry}, C{3 entries}."""
    return f"{number} {'entry' if number == 1 else 'entries'}{note}"


def stateOf(entry: Entry, delivery: Delivery, now: float) -> str:
    """How far a recipient is, and what comes next."""
    if delivery.status is Status.FAILED:
        return "failed, the sender is to be told"
    if delivery.status is Status.DONE:
        return "done"
    if entry.held:
        return f"held: {safe(entry.heldBecause)}" if entry.heldBecause else "held"
    if entry.owner:
        return "being tried now"
    return f"next attempt in {spanOf(entry.due - now)}" if entry.due - now >= 1 else "next attempt now"


def replyOf(outcome: Outcome) -> str:
    """Who said what."""
    who = " ".join(part for part in (outcome.host, outcome.command) if part)
    return safe(f"{who}: {outcome.reply}" if who else str(outcome.reply))


class Table:
    """The lines of a list for people, page by page; columns are as wide as the first
    page needs them.

    @param now: seconds since 1970.
    """

    def __init__(self, now: float) -> None:
        self._now = now
        self._wide: list[int] = []
        self._count = self._size = 0

    def page(self, entries: Sequence[Entry]) -> Iterable[str]:
        """The lines of some more entries."""
        rows = [_row(entry, self._now) for entry in entries]
        if rows and not self._wide:
            self._wide = [max(len(row[n]) for row in (_HEAD, *rows)) for n in range(4)]
            yield self._line(_HEAD)
        for row, entry in zip(rows, entries, strict=True):
            self._count += 1
            self._size += entry.envelope.size
            yield self._line(row)
            for delivery in entry.deliveries:
                yield f"    {safe(delivery.recipient.address)}  {stateOf(entry, delivery, self._now)}"
                if delivery.outcome is not None:
                    yield f"        ({replyOf(delivery.outcome)})"

    def _line(self, row: tuple[str, ...]) -> str:
        wide = self._wide
        return f"{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]:>{wide[2]}}  {row[3]:>{wide[3]}}  {row[4]}"

    def end(self) -> str:
        """The last line."""
        return counted(self._count, f", {sizeOf(self._size)}" if self._count else "")


_HEAD = ("ID", "CLASS", "SIZE", "AGE", "SENDER")


def _row(entry: Entry, now: float) -> tuple[str, str, str, str, str]:
    size, age = sizeOf(entry.envelope.size), spanOf(now - entry.created)
    return safe(entry.id), safe(entry.queue), size, age, safe(entry.envelope.sender) or "<>"


def detailsOf(entry: Entry, now: float) -> Iterable[str]:
    """The lines that tell all about an entry, but for its content."""
    envelope, client = entry.envelope, entry.envelope.client
    pairs: list[tuple[str, Any]] = [
        ("id", entry.id),
        ("message", envelope.id),
        ("class", entry.queue),
        ("state", _stateOfAll(entry)),
        ("held because", entry.heldBecause),
        ("sender", envelope.sender or "<>"),
        ("arrived", f"{timeOf(envelope.arrived)} by {envelope.agent or '?'}"),
        ("created", f"{timeOf(entry.created)} ({spanOf(now - entry.created)} ago)"),
        ("next attempt", timeOf(dueOf(entry))),
        ("attempts", entry.attempts),
        ("warned", "yes" if entry.warned else "no"),
        ("size", f"{sizeOf(envelope.size)} ({envelope.size} octets)"),
        ("body", envelope.body + (" SMTPUTF8" if envelope.smtputf8 else "")),
        ("dsn", " ".join(w for w in (_given("RET", envelope.ret), _given("ENVID", envelope.envid)) if w)),
        ("client", " ".join(w for w in (client.address, client.name, _given("helo", client.helo)) if w)),
        ("client tls", client.tls),
        ("client login", client.login),
    ]
    yield from (f"{name + ':':<14}{safe(str(value))}" for name, value in pairs if value != "")
    for delivery in entry.deliveries:
        yield from _recipient(entry, delivery, now)


def dueOf(entry: Entry) -> float:
    """When it is, or was, due: what is called comes before all others, so its time in the spool is no time."""
    return max(entry.due, entry.created)


def _stateOfAll(entry: Entry) -> str:
    words = ["held"] if entry.held else []
    words += [f"claimed by {entry.owner}"] if entry.owner else []
    return ", ".join(words) or "waiting"


def _given(name: str, value: str) -> str:
    return f"{name}={value}" if value else ""


def _recipient(entry: Entry, delivery: Delivery, now: float) -> Iterable[str]:
    recipient, outcome = delivery.recipient, delivery.outcome
    yield f"{'recipient:':<14}{safe(recipient.address)}"
    yield f"    {'status:':<14}{delivery.status.value}, {stateOf(entry, delivery, now)}"
    yield f"    {'attempts:':<14}{delivery.attempts}"
    wishes = " ".join(w for w in (_given("NOTIFY", recipient.notify), _given("ORCPT", recipient.orcpt)) if w)
    if wishes:
        yield f"    {'dsn:':<14}{safe(wishes)}"
    if outcome is not None:
        yield f"    {'last host:':<14}{safe(outcome.host) or '(none was reached)'}"
        yield f"    {'last reply:':<14}{safe(str(outcome.reply))}"
        if outcome.command:
            yield f"    {'in answer to:':<14}{safe(outcome.command)}"
        if outcome.uncertain:
            yield "    the link was lost after the final dot, it may have arrived"


_HEADER_END = re.compile(rb"^\r?\n|\n\r?\n")


def headerOf(data: bytes) -> tuple[bytes, bool]:
    """The header at the beginning of a content, and whether its end is there."""
    found = _HEADER_END.search(data)
    if found is None:
        return data, False
    return (data[: found.start() + 1] if found.start() else b""), True


def headerLines(header: bytes) -> Iterable[str]:
    """A header for people, indented."""
    for line in header.decode("utf-8", "backslashreplace").replace("\r\n", "\n").removesuffix("\n").split("\n"):
        yield "    " + safe(line.replace("\t", "    "))


def recordOf(entry: Entry) -> dict[str, Any]:
    """All about an entry as JSON values; times are ISO 8601, UTC."""
    record = entry.envelope.toRecord()
    record["arrived"] = timeOf(entry.envelope.arrived)
    record["message"] = record.pop("id")
    return {
        "id": entry.id,
        "queue": entry.queue,
        "created": timeOf(entry.created),
        "due": timeOf(dueOf(entry)),
        "attempts": entry.attempts,
        "held": entry.held,
        "warned": entry.warned,
        "owner": entry.owner,
        **record,
        "recipients": [_recipientRecord(delivery) for delivery in entry.deliveries],
    }


def _recipientRecord(delivery: Delivery) -> dict[str, Any]:
    recipient, outcome = delivery.recipient, delivery.outcome
    return {
        "address": recipient.address,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "notify": recipient.notify,
        "orcpt": recipient.orcpt,
        "host": outcome.host if outcome is not None else "",
        "command": outcome.command if outcome is not None else "",
        "reply": str(outcome.reply) if outcome is not None else "",
        "uncertain": outcome.uncertain if outcome is not None else False,
    }
