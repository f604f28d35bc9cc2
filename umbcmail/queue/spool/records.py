"""Entries as plain values and back: JSON, whole numbers and texts.

Used by the SQL of the spool; knows nothing of files or SQL itself.  What is read
back may have been damaged on the disk or by a hand: then L{Damaged} is raised,
and nothing else.  Times are kept as whole nanoseconds, since SQLite writes only
15 digits of a float into JSON; they come back exactly as they were given.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from umbcmail.entry import Attempted, Claim, Delivery, Draft, Entry, SpoolError, Status
from umbcmail.envelope import Envelope, Origin, Recipient
from umbcmail.outcome import Outcome
from umbcmail.reply import Reply

RECORD_VERSION = 1
"""Version of the JSON of an envelope; larger ones can't be read."""

DeliveryRow = tuple[Any, ...]
"""A row of the table C{delivery}: its columns in the order of the schema."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}")
_BILLION = 1_000_000_000
_LAST = (1 << 63) - 1


class Damaged(Exception):
    """A record can't be understood; the text says why."""


def checkId(messageId: str) -> str:
    """Ids become file names, so only harmless ones are taken.

    @raise SpoolError: it has other characters than A-Z a-z 0-9 C{.} C{-}, begins
        with one of the latter two, or is too long.
    """
    if not _ID.fullmatch(messageId):
        raise SpoolError(f"{messageId!r} can't be the id of a message")
    return messageId


def entryId(messageId: str, number: int) -> str:
    """The id of a message's first (0), second (1) … entry."""
    return f"{messageId}.{number + 1}" if number else messageId


def firstEntry(envelope: Envelope, number: int, draft: Draft, now: float, owner: str) -> Entry:
    """The entry of a draft.

    @raise SpoolError: nothing is left to be delivered.
    """
    return madeEntry(entryId(envelope.id, number), envelope, draft, now, owner)


def laterEntry(claim: Claim, number: int, draft: Draft) -> Entry:
    """The first (0), second (1) … entry that is made of a claimed one; its id is new for
    ever, since no other claim of that has the token.

    @raise SpoolError: nothing is left to be delivered.
    """
    entry = claim.entry
    return madeEntry(f"{entry.id}.{claim.token}-{number + 1}", entry.envelope, draft, entry.created, "")


def madeEntry(id: str, envelope: Envelope, draft: Draft, now: float, owner: str) -> Entry:
    """The entry of a draft, with an id.

    @raise SpoolError: nothing is left to be delivered.
    """
    deliveries = waiting(draft.deliveries)
    if not deliveries:
        raise SpoolError(f"{envelope.id} has an entry without recipients")
    recipients = tuple([delivery.recipient for delivery in deliveries])
    if recipients != envelope.recipients:
        envelope = envelope.withRecipients(recipients)
    attempts = max([delivery.attempts for delivery in deliveries])
    return Entry(id, draft.queue, envelope, deliveries, now, draft.due, attempts, draft.held, owner=owner)


def waiting(deliveries: tuple[Delivery, ...]) -> tuple[Delivery, ...]:
    """Those that are not DONE; the others are not kept."""
    return tuple([delivery for delivery in deliveries if delivery.status is not Status.DONE])


def toNanoseconds(seconds: float) -> int:
    """Times after the year 2262 are stored as of then.

    @raise SpoolError: not a time.
    """
    try:
        whole = math.floor(seconds)
        return max(-_LAST, min(whole * _BILLION + round((seconds - whole) * _BILLION), _LAST))
    except (OverflowError, ValueError) as why:
        raise SpoolError(f"{seconds!r} is not a time") from why


def toSeconds(nanoseconds: int) -> float:
    """The inverse of L{toNanoseconds}."""
    return nanoseconds / _BILLION


def _harmless(text: str) -> str:
    """A text that has come from a peer, so that it can be stored as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _storable(text: str) -> str:
    """A text that must not be changed.

    @raise SpoolError: it is no UTF-8.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as why:
        raise SpoolError(f"{text!r} can't be stored as UTF-8") from why
    return text


def envelopeText(envelope: Envelope) -> str:
    """The JSON of an envelope, in ASCII, without its recipients."""
    return json.dumps(envelope.toRecord(), separators=(",", ":"))


def deliveryRow(entry: str, number: int, delivery: Delivery, at: int) -> DeliveryRow:
    """The row of a delivery.

    @param entry: id of its entry.
    @param at: when this was written, in nanoseconds; counts where the delivery does
        not say when its attempt was.
    @raise SpoolError: it can't be stored.
    """
    recipient, outcome = delivery.recipient, delivery.outcome
    whom = (entry, number, _storable(recipient.address), _storable(recipient.domain), _storable(recipient.notify))
    state = (_storable(recipient.orcpt), str(delivery.status), delivery.attempts)
    origin = "" if recipient.origin is None else _originText(recipient.origin)
    if outcome is None:
        return (*whom, *state, 0, "", "[]", "", "", 0, 0, at, origin)
    if delivery.at:
        at = toNanoseconds(delivery.at)
    return (*whom, *state, *outcomeColumns(outcome), at, origin)


def _originText(origin: Origin) -> str:
    """The JSON of what a recipient was made of, in ASCII."""
    return json.dumps([origin.address, origin.sender, origin.action, origin.depth], separators=(",", ":"))


def _origin(text: Any) -> Origin | None:
    """The inverse of L{_originText}; C{""} is L{None}."""
    if text == "":
        return None
    address, sender, action, depth = json.loads(text)
    areTexts = isinstance(address, str) and isinstance(action, str) and (sender is None or isinstance(sender, str))
    if not (areTexts and (depth is None or isinstance(depth, int))):
        raise Damaged("what a recipient was made of makes no sense")
    return Origin(address, sender, action, depth)


def outcomeColumns(outcome: Outcome) -> tuple[int, str, str, str, str, int, int]:
    """Of a delivery's row: code, enhanced, text, host, command, remote, uncertain."""
    reply = outcome.reply
    said = (reply.code, _harmless(reply.enhanced), json.dumps(reply.lines))
    return (*said, _harmless(outcome.host), _harmless(outcome.command), int(outcome.remote), int(outcome.uncertain))


def _delivery(row: list[Any]) -> Delivery:
    """The inverse of L{deliveryRow}, of what L{entryOf} describes."""
    _, address, notify, orcpt, status, attempts, code, enhanced, text, host, command, remote, uncertain, at, *more = row
    if not (isinstance(address, str) and isinstance(notify, str) and isinstance(orcpt, str)):
        raise Damaged("a recipient is not a text")
    recipient = Recipient(address, notify, orcpt, _origin(*more))
    if code == 0:
        return Delivery(recipient, Status(status), int(attempts))
    lines = tuple(json.loads(text))
    if not (200 <= code < 600 and lines and all(isinstance(line, str) for line in lines)):
        raise Damaged("a reply makes no sense")
    outcome = Outcome(Reply(code, enhanced, lines), host, command, bool(remote), bool(uncertain))
    return Delivery(recipient, Status(status), int(attempts), outcome, toSeconds(at))


def _envelope(text: Any, version: Any, messageId: str, recipients: tuple[Recipient, ...]) -> Envelope:
    if not isinstance(version, int) or version > RECORD_VERSION:
        raise Damaged(f"its message is missing or of version {version}")
    if not isinstance(text, str) or not text.isascii():
        raise Damaged("the envelope is not JSON in ASCII")
    envelope = Envelope.fromRecord(json.loads(text), recipients)
    if envelope.id != messageId or not isinstance(envelope.sender, str):
        raise Damaged("the envelope is not that of the message")
    float(envelope.arrived)
    float(envelope.score or 0.0)
    return envelope


def attemptText(attempted: Attempted) -> str:
    """The JSON of what came of an attempt, in ASCII."""
    outcome = attempted.outcome
    said = [outcome.reply.code, outcome.reply.enhanced, list(outcome.reply.lines)]
    where = [outcome.host, outcome.command, int(outcome.remote), int(outcome.uncertain)]
    return json.dumps([attempted.at, attempted.count, attempted.address, *said, *where], separators=(",", ":"))


def attemptOf(text: Any) -> Attempted | None:
    """The inverse of L{attemptText}, L{None} when it makes no sense: then it is left
    out, since nothing but the operator's curiosity hangs on it."""
    try:
        at, count, address, code, enhanced, lines, host, command, remote, uncertain = json.loads(text)
        said = Reply(int(code), str(enhanced), tuple(map(str, lines)) or ("",))
        outcome = Outcome(said, str(host), str(command), bool(remote), bool(uncertain))
        return Attempted(float(at), int(count), str(address), outcome)
    except (ValueError, TypeError, RecursionError):
        return None


def entryOf(row: list[Any]) -> tuple[Entry, int, float]:
    """An entry as the spool reads it.

    @param row: id, message, queue, created, due, attempts, held, warned, owner,
        lease, token, version, envelope, and a list of deliveries, each a list of
        n, address, notify, orcpt, status, attempts, code, enhanced, text, host,
        command, remote, uncertain, at, origin.
    @return: the entry, the token and the lease of its claim.
    @raise Damaged: it makes no sense.
    """
    id, message, queue, created, due, attempts, held, warned, owner, lease, token, version, envelope, rows = row
    try:
        deliveries = tuple([_delivery(values) for values in sorted(rows)])
        if not deliveries:
            raise Damaged("it has no recipients")
        whole = _envelope(envelope, version, message, tuple([d.recipient for d in deliveries]))
        times = toSeconds(created), toSeconds(due)
        entry = Entry(id, queue, whole, deliveries, *times, int(attempts), bool(held), bool(warned), owner)
        return entry, int(token), toSeconds(lease)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as why:
        raise Damaged(f"{type(why).__name__}: {why}") from why
