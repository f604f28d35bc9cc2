"""C{umbcmail explain ADDRESS}: what an address stands for, step by step, and where that goes.

The files, and the local delivery agent for C{.forward}, are really asked.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred

from umbcmail.addresses import Addresses
from umbcmail.cli.command import NOTHING, USAGE, Refusal, withStore
from umbcmail.cli.listing import safe
from umbcmail.cli.parts import Parts
from umbcmail.config import Config
from umbcmail.entry import Delivery
from umbcmail.envelope import Recipient
from umbcmail.sighting import StateError

Steps = list[tuple[int, str]]


class Found:
    """What an address stands for.

    @ivar steps: pairs of depth and what was found.
    @ivar deliveries: what comes of it; L{None}: the address stands for itself.
    """

    def __init__(self, recipient: Recipient, steps: Steps, deliveries: tuple[Delivery, ...] | None) -> None:
        self.steps = steps
        self.deliveries = deliveries if deliveries is not None else (Delivery(recipient),)

    @property
    def isTaken(self) -> bool:
        """Somebody gets it, or it is thrown away as configured."""
        return any(delivery.outcome is None or delivery.outcome.isSent for delivery in self.deliveries)


def found(addresses: Addresses, sender: str, recipient: Recipient) -> Deferred[Found]:
    """Ask what an address stands for.

    @param sender: of the message; notifications (C{""}) have no owner of a list.
    """
    steps: Steps = []
    if addresses.expander is None:
        asked: Deferred[Any] = maybeDeferred(lambda: None)
    else:
        asked = maybeDeferred(
            addresses.expander.expand, sender, recipient, lambda depth, text: steps.append((depth, text))
        )
    return asked.addCallback(lambda deliveries: Found(recipient, steps, deliveries))


@inlineCallbacks
def explainAddress(
    text: str, sender: str, config: Config, reactor: Any, tools: Any, asJSON: bool, resolver: Any = None
) -> Any:
    """Answer the question, and print it.

    @param tools: L{umbcmail.cli.Tools}.
    @return: L{Deferred}; fails with L{Refusal}, without a text and with status 1 when nobody
        gets it, and with C{ConfigError}.
    """
    from umbcmail.cli.explaincommand import recipientOf

    recipient = recipientOf(text)
    if recipient is None:
        raise Refusal(USAGE, f"{text[:80]!r} is no address")
    parts = Parts(config, reactor, tools.note, resolver)
    addresses = parts.addresses()
    parts.check()
    said: Found = yield withStore(
        "state", StateError, lambda: parts.state, lambda state: found(addresses, sender, recipient)
    )
    lines = [json.dumps(recordOf(said, parts))] if asJSON else linesOf(said, parts)
    tools.out.writelines(line + "\n" for line in lines)
    tools.out.flush()
    if not said.isTaken:
        raise Refusal(NOTHING)


def stepLines(steps: Steps) -> list[str]:
    """The steps, for people."""
    return [safe("  " * depth + text) for depth, text in steps]


def linesOf(said: Found, parts: Any) -> list[str]:
    """For people."""
    steps = stepLines(said.steps) or ["it stands for itself"]
    ends = [end for delivery in said.deliveries for end in _endLines(delivery, parts)]
    return [f"{'steps:' if number == 0 else '':<10}{line}".rstrip() for number, line in enumerate(steps)] + [
        f"{'goes to:' if number == 0 else '':<10}{line}".rstrip() for number, line in enumerate(ends)
    ]


def _endLines(delivery: Delivery, parts: Any) -> list[str]:
    record = _endOf(delivery, parts)
    words = [f"{record['action']} (as {record['address']})" if record["action"] else record["address"]]
    if record["class"]:
        words.append(f"class {record['class']}, by {record['route']}")
    if record["told"]:
        words.append(f"{record['told']} is told what goes wrong")
    if record["reply"]:
        words.append(record["reply"])
    return [safe("; ".join(words))]


def _endOf(delivery: Delivery, parts: Any) -> dict[str, str]:
    recipient, outcome = delivery.recipient, delivery.outcome
    queue = parts.router.classify(recipient.domain)
    isGoing = outcome is None
    source = parts.router.way(recipient.domain or parts.classes.home, queue).source if isGoing else ""
    origin = recipient.origin
    action = origin.action if origin is not None else ""
    return {
        "address": recipient.address,
        "action": action,
        "class": queue if isGoing else "",
        "route": ("the local delivery agent" if action else source) if isGoing else "",
        "told": (origin.sender or "") if origin is not None else "",
        "reply": str(outcome.reply) if outcome is not None else "",
    }


def recordOf(said: Found, parts: Any) -> dict[str, Any]:
    """As JSON values."""
    return {
        "steps": [{"depth": depth, "found": text} for depth, text in said.steps],
        "ends": [{**_endOf(delivery, parts), "status": str(delivery.status)} for delivery in said.deliveries],
        "taken": said.isTaken,
    }
