"""C{umbcmail aliases check FILE…}: what is wrong with files of aliases.

Needs no configuration, but can take its files from one.  Ends with 0 when nothing is wrong, otherwise 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from umbcmail.aliases import THROWN_AWAY, Aliases, Kind
from umbcmail.cli.command import NOTHING, USAGE, Refusal

FILE = "/etc/aliases"


def addAliases(parts: Any) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    """
    aliases = parts.add_parser("aliases", help="files of aliases, as Sendmail and Postfix have them")
    actions = aliases.add_subparsers(required=True, metavar="ACTION", dest="action")
    check = actions.add_parser("check", help="what is wrong with them")
    check.add_argument("files", metavar="FILE", nargs="*", help=f"all that belong together ({FILE})")
    check.add_argument(
        "--config", metavar="CONFIG", help="what this configuration has, tables of virtual addresses too"
    )
    check.add_argument("--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help=argparse.SUPPRESS)
    check.add_argument("--json", action="store_true", help="JSON for programs, one value a line")
    check.set_defaults(prepare=_check)


def _read(path: str) -> Iterable[str]:
    with open(path, encoding="utf-8") as file:
        return file.readlines()


def _named(paths: Sequence[str]) -> tuple[Aliases, list[str]]:
    """Files, and what is wrong with them."""
    aliases = Aliases(_read)
    for path in paths:
        aliases.addFile(path)
    aliases.check()
    return aliases, aliases.mistakes + aliases.doubts


def _configured(given: argparse.Namespace) -> tuple[Aliases, list[str]]:
    """What a configuration has, read as the program reads it: files that others can write to are wrong too.

    @raise ConfigError: the section itself is wrong.
    """
    from umbcmail.config import load
    from umbcmail.route.aliasfiles import Known
    from umbcmail.route.aliassettings import ALIASES

    if given.files:
        raise Refusal(USAGE, "either files or --config")
    settings = load((ALIASES,), given.config, given.set, isPart=True).section("aliases")
    known = Known(settings["delimiter"])
    known.read(settings["files"], settings["virtual"])
    mistakes = known.mistakes + known.aliases.doubts
    if settings["program-user"] is None:
        for alias in known.aliases.entries.values():
            mistakes += [
                f"{alias.place}: {target.text[:80]} is refused as long as aliases.program-user is not set"
                for target in alias.targets
                if target.kind in (Kind.PROGRAM, Kind.FILE) and target.text != THROWN_AWAY
            ]
    return known.aliases, mistakes


def _check(given: argparse.Namespace, tools: Any) -> None:
    """Do it.

    @raise SystemExit: nothing is wrong.
    @raise Refusal: something is.
    """
    aliases, mistakes = _configured(given) if given.config else _named(given.files or [FILE])
    kinds = [target.kind for alias in aliases.entries.values() for target in alias.targets]
    counts = {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}
    if given.json:
        record = {"aliases": len(aliases.entries), "targets": counts, "mistakes": mistakes}
        print(json.dumps(record), file=tools.out)
    else:
        for mistake in mistakes:
            print(mistake, file=tools.out)
        shown = ", ".join(f"{kind} {number}" for kind, number in counts.items())
        print(f"{len(aliases.entries)} aliases; targets: {shown or 'none'}", file=tools.out)
    if mistakes:
        tools.out.flush()
        raise Refusal(NOTHING, f"mistakes: {len(mistakes)}")
    raise SystemExit(0)
