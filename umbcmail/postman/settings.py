"""The options of the role C{postman}: whose ticket, from which key, kept where."""

from __future__ import annotations

import re
from typing import Any

from umbcmail.options import PATH, WORD, Kind, Option, Section, duration, listOf
from umbcmail.options import TEXT as ANY_TEXT

_PRINCIPAL = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?(@[A-Za-z0-9_.-]+)?")


def _principal(value: Any) -> str:
    text = str(ANY_TEXT.parse(value))
    if text and not _PRINCIPAL.fullmatch(text):
        raise ValueError("a principal such as postman/mx1 or postman/mx1@REALM is needed")
    return text


POSTMAN = Section(
    "postman",
    "The Kerberos ticket that local deliveries run with, kept by a process of its own (--role postman).",
    (
        Option("keytab", PATH, "/local/mail/postman.keytab", "File with the key."),
        Option(
            "principal",
            Kind("a principal, or empty", _principal),
            "",
            "Whose ticket; empty: postman/ and our name up to its first dot.",
        ),
        Option("cache", PATH, "/run/umbcmail/postman.cache", "File for the ticket; the record is beside it (.json)."),
        Option("group", WORD, None, "Group that may read the ticket too; not set: none."),
        Option(
            "lifetime", duration(0, 2592000), "0s", "How long the ticket is to live; 0s: as long as the KDC lets it."
        ),
        Option("timeout", duration(1, 600), "30s", "Time that getting a ticket, or the token command, may take."),
        Option(
            "retry",
            duration(0.1, 3600),
            "5s",
            "Time after which a failure is tried again; doubled by each further one.",
        ),
        Option("longest-retry", duration(0.1, 86400), "5m", "The most that this time grows to."),
        Option(
            "token-command",
            listOf(WORD),
            ["aklog"],
            "What makes a token of the ticket, in the process group of deliveries; [] where there is no AFS.",
        ),
        Option(
            "pag-command",
            listOf(WORD),
            ["pagsh", "-c", 'exec "$0" "$@"'],
            "What starts deliveries in a process group that has tokens of its own (PAG); [] for none.",
        ),
    ),
)


def principalOf(settings: Any, hostName: str) -> str:
    """Whose ticket is to be had.

    @param settings: of the section.
    """
    return str(settings["principal"]) or f"postman/{hostName.partition('.')[0].lower()}"
