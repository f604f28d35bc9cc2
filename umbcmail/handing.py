"""Makes of the configuration what fetches mail that programs of this host have left while
umbcmail did not run.  Part of the composition: called by `roles`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from umbcmail.accept.portkinds import isLocal
from umbcmail.entry import Delivery, Status
from umbcmail.envelope import Envelope
from umbcmail.findings import Findings
from umbcmail.outcome import Outcome
from umbcmail.queue.bounce import bounceContent
from umbcmail.queue.report import Report
from umbcmail.reply import reply
from umbcmail.sendmail import socketOf
from umbcmail.submit.client import Order
from umbcmail.submit.pickup import Failures, Pickup


def makePickup(findings: Findings, tools: Any, roles: Sequence[str]) -> Pickup | None:
    """It, in the process that has a port for programs of this host.

    @param tools: L{umbcmail.service.Tools}.
    """
    settings = findings.config.section("drop")
    if settings["folder"] is None:
        return None
    ports = [tuple(name.split(".")) for name in findings.config.names("agent.*.port.*")]
    found = {
        agent: endpoint
        for agent, port in reversed(ports)
        if isLocal(endpoint := findings.config.section(f"agent.{agent}.port.{port}")["endpoint"] or "")
    }
    if not found:
        findings.wrong("drop.folder", "needs a port of an agent whose endpoint is unix:PATH")
    endpoint = next((endpoint for agent, endpoint in reversed(found.items()) if agent in roles), "")
    if not endpoint:
        return None
    contact = findings.config.section("bounce")["contact"]
    notify = partial(notification, tools.hostName, contact)
    return Pickup(settings, socketOf(endpoint), tools.hostName, notify, tools.log, tools.reactor, tools.inThread)


def notification(hostName: str, contact: str, order: Order, failures: Failures, beginning: bytes) -> bytes:
    """What the sender of a message is told who has gone long since."""
    now = time.time()
    deliveries = tuple(
        Delivery(recipient, Status.FAILED, 1, Outcome(reply(answer.code, *_parts(answer.text))), now)
        for recipient, answer in failures
    )
    recipients = tuple(recipient for recipient, _ in failures)
    envelope = Envelope("-", order.sender, recipients, now, ret="HDRS", envid=order.envid)
    report = Report(f"{time.time_ns():x}", hostName, "failed", envelope, deliveries, now, now, contact)
    return bounceContent(report, beginning, False)


def _parts(text: str) -> tuple[str, str]:
    """Enhanced status code and text of a reply."""
    code, _, rest = text.replace("\n", " ").partition(" ")
    return (code, rest) if code.count(".") == 2 else ("", text)
