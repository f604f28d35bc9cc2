"""What can be set for the sockets of the multiplexer, and for all modules."""

from __future__ import annotations

from umbcmail.filter.sockets import SOCKET
from umbcmail.options import PATH, WORD, Option, Section, choice, duration, integer, listOf, size

FILTER = Section(
    "filter.*",
    "A socket of the multiplexer, the role filter: MTAs have their messages examined there by the milter protocol.",
    (
        Option("listen", SOCKET, None, "Where it listens: unix:/path, or inet:port@address.", True),
        Option("mode", choice("0600", "0660", "0666"), "0660", "Who may connect to a UNIX socket."),
        Option("group", WORD, None, "Group of a UNIX socket; not set: that of the process."),
        Option("modules", listOf(WORD), [], "Modules that examine messages, side by side."),
        Option("connections", integer(1, 100000), 1000, "Connections at the same time."),
        Option("deadline", duration(1, 3600), "5m", "Time for a message; then it is delayed (451)."),
        Option("memory", size(1, 32 << 20), "256KiB", "Octets of a message over which it is kept in a file."),
        Option("folder", PATH, "/var/tmp", "Folder for these files; they have no name, and end with the process."),
        Option("size-limit", size(1), "200MiB", "Octets that a message may have; larger ones are refused (552)."),
        Option(
            "authserv-ids",
            listOf(WORD),
            [],
            "Names of ours in Authentication-Results: such fields are removed, so no filter may have come before.",
        ),
    ),
)

FAILURE = choice("delay", "accept", "refuse", "tag")

MODULE_OPTIONS = (
    Option("deadline", duration(0.1, 3600), "2m", "Time for a message."),
    Option(
        "failure",
        FAILURE,
        "delay",
        "What becomes of mail that it can't examine: delay (451), accept, refuse (550), accept with a tag.",
    ),
)
"""Of all modules, by what the multiplexer does with them."""

DAEMON = Option(
    "socket",
    SOCKET,
    None,
    "Where its daemon listens; not set: unix:/run/clamav/clamd.ctl for clamav, inet:783@127.0.0.1 for spamassassin.",
)
CONCURRENCY = Option("concurrency", integer(1, 1000), 10, "Messages that its daemon gets at the same time.")
SCAN_LIMIT = Option(
    "scan-limit",
    size(1),
    None,
    "Octets over which a message is not examined; not set: 25MiB for clamav, 500KiB for spamassassin.",
)
OVERSIZE = Option(
    "oversize",
    choice("tag", "delay", "refuse"),
    "tag",
    "What becomes of messages over scan-limit: accept with a tag, delay (451), refuse (550).",
)
"""Of modules that ask a daemon."""
