"""Makes of the configuration the filters that the messages of an agent pass.  Part of the
composition: called by `service`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed

from umbcmail.check.networks import confirmedName
from umbcmail.filter.chain import Filters
from umbcmail.filter.settings import filterTerms
from umbcmail.findings import Findings
from umbcmail.interfaces import ISpool

NAME_TIMEOUT = 5.0
"""Seconds that filters wait for the name of a client."""


def makeFilters(findings: Findings, tools: Any, agent: str, spool: ISpool | None) -> Filters | None:
    """The filters of an agent, where it has any.

    @param tools: L{umbcmail.service.Tools}.
    @param spool: L{None} where there is none, and only mistakes are looked for.
    """
    config = findings.config
    settings = config.section(f"agent.{agent}")
    names = config.names("milter.*")
    terms = []
    for word in settings["filters"]:
        key = f"agent.{agent}.filters"
        if word not in names and ":" not in word:
            findings.unknown(key, "section [milter.NAME], and it is no socket", word, names)
            continue
        made = findings.checked(key, partial(filterTerms, word, config.section, settings, names))
        if made is not None:
            terms.append(made)
    if not terms or spool is None:
        return None

    def nameOf(address: str) -> Deferred[str]:
        if address.startswith("127.") or address == "::1":
            return succeed("localhost")
        found: Deferred[str] = confirmedName(tools.resolver, address)
        return found.addTimeout(NAME_TIMEOUT, tools.reactor)

    return Filters(
        agent,
        terms,
        tools.hostName,
        settings["size-limit"],
        spool.newContent,
        spool.discard,
        tools.reactor,
        tools.log,
        nameOf,
    )
