"""What EHLO offers, and to whom.  Pure.

Called by `dialogue` at each EHLO; a parameter is taken only where its extension is
in here.  The order is that of the list below, always.  BINARYMIME is missing: see
C{docs/decisions.md}.
"""

from __future__ import annotations

from umbcmail.accept.handover import Rules
from umbcmail.accept.parameters import deliverByOffer, futureRelease
from umbcmail.envelope import Client


def offers(rules: Rules, client: Client) -> list[str]:
    """The lines behind the name; STARTTLS and AUTH are for the dialogue to add.

    @param client: as far as it is known.
    """
    limits = f"LIMITS RCPTMAX={rules.recipientLimit}"
    if rules.mailLimit:
        limits = f"LIMITS MAILMAX={rules.mailLimit} RCPTMAX={rules.recipientLimit}"
    lines = [
        "PIPELINING",
        f"SIZE {rules.sizeLimit}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        limits,
    ]
    if client.tls:
        lines.append("REQUIRETLS")
    if client.login and rules.deliverBy:
        lines.append(deliverByOffer(rules.deliverBy))
    if client.login and rules.holdLimit:
        lines.append(futureRelease(rules.now(), rules.holdLimit))
    return lines
