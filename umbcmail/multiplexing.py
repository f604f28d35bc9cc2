"""Makes of the configuration the role C{filter}: sockets and modules.  Part of the
composition: called by `roles`.
"""

from __future__ import annotations

import grp
from collections.abc import Mapping
from functools import partial
from typing import Any

from umbcmail.filter.multiplexer.panel import Panel, Seat
from umbcmail.filter.multiplexer.server import Gate, Multiplexer
from umbcmail.filter.multiplexer.settings import MODULE_OPTIONS
from umbcmail.findings import Findings
from umbcmail.interfaces import ISeal
from umbcmail.options import TEXT, Option, Section
from umbcmail.parts import findParts


def moduleSection() -> Section:
    """What can be set for modules, with those that are installed."""
    parts = findParts("module")
    options = {option.name: option for part in parts.values() for option in part.options}
    kinds = ", ".join(sorted(parts))
    return Section(
        "module.*",
        "A module of the multiplexer: what messages are examined by.",
        (Option("type", TEXT, "pattern", f"What it is: {kinds}."), *MODULE_OPTIONS, *options.values()),
        names=tuple(parts),
        defaults=tuple((name, (("type", name),)) for name in parts),
    )


def makeMultiplexer(findings: Findings, tools: Any) -> Multiplexer | None:
    """The role, where it is to listen anywhere.

    @param tools: L{umbcmail.service.Tools}.
    """
    config = findings.config
    made: dict[str, Seat | ISeal | None] = {}
    gates = []
    for name in config.names("filter.*"):
        settings = config.section(f"filter.{name}")
        key = f"filter.{name}"
        findings.checked(f"{key}.group", partial(_group, settings["group"]))
        for module in settings["modules"]:
            if module not in config.names("module.*"):
                findings.unknown(f"{key}.modules", "module", module, config.names("module.*"))
            elif module not in made:
                made[module] = _module(findings, tools, module)
        chosen = [made.get(module) for module in settings["modules"]]
        seats = [each for each in chosen if isinstance(each, Seat)]
        seals = [each for each in chosen if each is not None and not isinstance(each, Seat)]
        if len(seals) > 1:
            findings.wrong(f"{key}.modules", "there can be only one seal")
        if not seats:
            findings.wrong(f"{key}.modules", "there must be a module that examines messages")
        panel = Panel(seats, seals[0] if seals else None, settings["authserv-ids"], tools.reactor, tools.log)
        gates.append(Gate(name, settings, panel, tools.reactor, tools.log, tools.inThread))
    if not gates:
        return None
    seats = [each for each in made.values() if isinstance(each, Seat)]
    parts: list[Any] = [each.module if isinstance(each, Seat) else each for each in made.values()]
    return Multiplexer(gates, seats, [part for part in parts if part is not None])


def _group(name: str | None) -> None:
    """@raise ValueError: there is none of the name."""
    try:
        if name is not None:
            grp.getgrnam(name)
    except KeyError:
        raise ValueError(f"there is no group {name!r}") from None


def _module(findings: Findings, tools: Any, name: str) -> Seat | ISeal | None:
    key = f"module.{name}"
    settings: Mapping[str, Any] = findings.config.section(key)
    parts = findParts("module")
    part = parts.get(settings["type"])
    if part is None:
        findings.unknown(f"{key}.type", "type of module", settings["type"], parts)
        return None
    module: Any = findings.checked(key, partial(part.make, {**settings, "name": name}, tools))
    if module is None or ISeal.providedBy(module):
        return module
    return Seat(name, part.name, module, settings["deadline"], settings["failure"])
