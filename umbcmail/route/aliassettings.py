"""The options of aliases: their files, and what may stand in them."""

from __future__ import annotations

from umbcmail.options import (
    BOOLEAN,
    CHARACTER,
    DOMAIN_PATTERN,
    PATH,
    WORD,
    Option,
    Section,
    duration,
    integer,
    listOf,
)

ALIASES = Section(
    "aliases",
    "What addresses stand for: aliases and lists, virtual addresses, and what users have in .forward.",
    (
        Option("files", listOf(PATH), [], "Files of aliases as Sendmail and Postfix have them, such as /etc/aliases."),
        Option(
            "domains",
            listOf(DOMAIN_PATTERN),
            [],
            "Domains whose addresses are looked up in these files and in .forward; empty: those of domains.local.",
        ),
        Option("virtual", listOf(PATH), [], "Tables of virtual addresses, whatever their domain is."),
        Option(
            "virtual-domains",
            listOf(DOMAIN_PATTERN),
            [],
            "Domains of ours that have no addresses but those in the tables of virtual addresses.",
        ),
        Option("forward", BOOLEAN, False, "Ask the local delivery agent for the .forward of local users."),
        Option(
            "agent",
            PATH,
            None,
            "Socket of the local delivery agent, for .forward, programs and files; not set: lda.listen.",
        ),
        Option("forward-time", duration(1, 600), "25s", "How long to wait for its answer; then the mail waits."),
        Option(
            "program-user", WORD, None, "User that |program and /file of aliases are run and written as; not set: none."
        ),
        Option(
            "file-folders", listOf(PATH), [], "Folders that /file of aliases may be in; /dev/null is always allowed."
        ),
        Option("delimiter", CHARACTER, "+", "What begins the detail of user+detail; empty: nothing."),
        Option("depth", integer(1, 100), 20, "Steps that an address may be away from where it leads to."),
        Option("recipients", integer(1, 1_000_000), 10_000, "Recipients that one address may stand for."),
        Option("poll", duration(1), "10s", "How often to look whether a file has changed."),
    ),
)
