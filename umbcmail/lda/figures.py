"""How the local delivery agent is, as figures, and as text for who asks by its socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from umbcmail.figure import Figure

if TYPE_CHECKING:
    from umbcmail.lda.server import Server


def figuresOf(server: Server) -> list[Figure]:
    """The figures of a server."""
    children, users = server.children, server.directory
    kinds = ("delivered", "delayed", "failed")
    count = server.delivery.results
    deliveries = "Deliveries to users, by what came of them."
    return [
        *(Figure("lda_deliveries_total", count[kind], deliveries, (("result", kind),), True) for kind in kinds),
        Figure("lda_processes", len(children.links), "Processes of users."),
        Figure("lda_processes_made_total", children.made, "Processes of users that were made.", grows=True),
        Figure("lda_waiting", children.waiting, "Deliveries that wait for a process."),
        Figure("lda_sessions", server.sessions, "Clients that are connected."),
        Figure("lda_turned_away_total", server.refused, "Clients that may not connect.", grows=True),
        Figure("lda_look_ups_total", users.asked, "Questions to the directory of users.", grows=True),
        Figure("lda_look_ups_unanswered_total", users.unanswered, "Those that it has not answered.", grows=True),
    ]


def write(condition: str, figures: list[Figure]) -> str:
    """All of it as a line."""
    rows = [[figure.name, figure.value, figure.meaning, figure.labels, figure.grows] for figure in figures]
    return json.dumps({"condition": condition, "figures": rows})


def read(text: str) -> tuple[str, list[Figure]]:
    """What L{write} has written.

    @raise ValueError: it is something else.
    """
    told: Any = json.loads(text)
    try:
        rows = told["figures"]
        labelled = [
            (name, value, meaning, tuple((k, v) for k, v in labels), grows)
            for name, value, meaning, labels, grows in rows
        ]
        return str(told["condition"]), [Figure(*row) for row in labelled]
    except (TypeError, KeyError) as why:
        raise ValueError(f"no figures: {why}") from None
