"""The options of an agent's intake, and what L{Intake<umbcmail.queue.intake.Intake>} is made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from umbcmail.options import TEXT, Option, choice, duration, integer, number

INTAKE = (
    Option(
        "mode",
        choice("interactive", "background"),
        "interactive",
        "Try to deliver before the client is answered, or commit to the spool and answer at once.",
    ),
    Option("deadline", duration(1), "60s", "Interactive: time after which the message is committed and answered."),
    Option("attempts", integer(1), 500, "Interactive: attempts at the same time; over that messages are committed."),
    Option("load", number(0), 8, "Interactive: load average for each CPU over which messages are committed; 0: never."),
    Option("queue", TEXT, "", "Class that all mail of the agent goes to; empty: by the recipients' domains."),
)


def settingsFor(section: Mapping[str, Any], cpus: int, loadAverage: Callable[[], float]) -> dict[str, Any]:
    """The keyword arguments of L{Intake} that come from the configuration."""
    load = section["load"] * cpus
    return {
        "interactive": section["mode"] == "interactive",
        "deadline": section["deadline"],
        "limit": section["attempts"],
        "isLoaded": (lambda: loadAverage() > load) if load else (lambda: False),
        "queue": section["queue"],
    }
