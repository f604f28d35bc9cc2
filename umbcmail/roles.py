"""Makes the services of the roles that are neither an agent nor a queue.  Part of the
composition: called by `service`.

Each is a Twisted service.  `application` lets it bind its ports before privileges
are dropped, starts it when spool and state are open, and stops it after the agents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import IService

from umbcmail.findings import Findings
from umbcmail.interfaces import IWatched


def makeServices(findings: Findings, tools: Any, roles: Sequence[str], watched: list[IWatched]) -> list[IService]:
    """The services of some roles.

    @param tools: L{umbcmail.service.Tools}.
    @param watched: parts that tell how they are; those of the services are added.
    """
    return []
