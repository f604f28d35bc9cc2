"""The section C{[host]}, which every process of the program reads."""

from __future__ import annotations

from umbcmail.options import DOMAIN, Option, Section

HOST = Section(
    "host",
    "This host.",
    (Option("name", DOMAIN, None, "Name of this host in greetings and trace fields; not set: what the system says."),),
)
